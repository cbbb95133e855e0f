"""The requests that came before this one, as the link carries them: checked, and repeated in line with a bar and Stop."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import streamlit as st

from imu_core import methods
from imu_core.errors import ConfigError
from imu_core.jobs import Job
from imu_core.parsing import from_json
from imu_core.records.run import Problem, RunConfig
from imu_core.records.shapes import Settings
from imu_core.unlearning.sequence import Repeating
from pages.session import visitor
from pages.widgets import progress, waited
from pages.widgets.text import plain

MOST, MOST_EPOCHS, MOST_WIDE, LONGEST = 8, 2000, 100, 50_000  # requests; epochs of all together; of those on images; signs
PATIENCE = waited.PATIENCE

History = list[tuple[str, Settings]]


def read() -> History:
    """The earlier requests in the link; a ConfigError where they are damaged, or cost more than a page repeats."""
    try:
        text = str(st.session_state.get("after") or "[]")
        requests = from_json(text) if len(text) <= LONGEST else [None] * (MOST + 1)
        if isinstance(requests, list) and len(requests) > MOST:
            raise ConfigError(f"The link names too many earlier requests; at most {MOST} are repeated. {_BACK}")
        history = [(_request(request), dict(settings)) for request, settings in requests]
    except ConfigError:  # a ValueError too
        raise
    except (ValueError, TypeError, RecursionError) as error:
        raise ConfigError(f"The list of earlier requests in the link is damaged. {_BACK}") from error
    _check_cost([RunConfig.from_dict(settings) for _, settings in history])
    if not history and (known := st.session_state.pop("repeating", None)):
        known[1].cancel()  # nobody waits for it any more
    return history


_BACK = "Press “Back to the original model” in the sidebar."


def _request(text: Any) -> str:
    if not isinstance(text, str):
        raise TypeError("a request is a text")
    return text


def _check_cost(configs: list[RunConfig]) -> None:
    for config in configs:
        methods.find(config.method)
    wide = sum(c.epochs for c in configs if c.scope != "head" or c.augment or c.bn != "eval")
    if sum(c.epochs for c in configs) > MOST_EPOCHS or wide > MOST_WIDE:
        raise ConfigError(
            f"The earlier requests in the link take too long: together at most {MOST_EPOCHS:,} epochs are repeated here, at most "
            f"{MOST_WIDE} of them below the head or on images. The library repeats any (imu_core.problem with history). {_BACK}"
        )


def problem(history: History, forget: str) -> Problem:
    """The sidebar's problem with request `forget`, after `history`.

    While the history is repeated (bar and Stop), or where that failed (a sentence), the page ends here.
    """
    job = _job(history)
    if not job.finished:
        job.wait(PATIENCE)
    if not job.finished:
        _going(job)
        st.stop()
    if job.state != "done":
        st.warning(plain(job.reason), icon=":material/history:")
        st.button("Repeat the earlier requests", on_click=lambda: st.session_state.pop("repeating", None))
        st.stop()
    return job.work.problem(forget)


def _job(history: History) -> Job:
    """The job that repeats `history`: this visit's, one that this visitor has started elsewhere, or a new one."""
    state = st.session_state
    where = (state.dataset, state.model, state.seed)
    mark = hashlib.sha256(json.dumps([where, history]).encode()).hexdigest()[:8]
    known = state.get("repeating")
    if known is None or known[0] != mark:
        title = f"{len(history)} earlier request{'s' * (len(history) > 1)} ({mark})"
        going = [job for job in visitor.queue().active(visitor.owner()) if job.title == title]
        job = going[0] if going else Job(title, lambda: Repeating(*where, history), kind="history", owner=visitor.owner())
        if known is not None:
            known[1].cancel()  # nobody waits for it any more
        state.repeating = known = (mark, job if going else visitor.queue().submit(job))
    return known[1]


def _going(job: Job) -> None:
    """How far it is, with Stop, until it has ended."""

    @st.fragment(run_every=1.0)
    def show() -> None:
        if job.finished:
            st.rerun()
        fraction, words = progress.of(job)
        st.progress(fraction, text=plain(words))
        progress.stop_button(job, f"history-stop-{job.id}")

    show()
