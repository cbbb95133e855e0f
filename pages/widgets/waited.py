"""What a part of a page cannot be drawn without: there at once where it is quick; else a bar and a Stop stand in its place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import streamlit as st

from imu_core.caches import SharedCache
from imu_core.jobs import PAGE, Job
from imu_core.progress import Task
from pages.session import visitor
from pages.widgets import progress

W = TypeVar("W", bound=Task)
PATIENCE = progress.QUIET  # seconds a page waits for what is quickly done, before it shows the bar
MOST = 12  # of a visitor that are kept; each may hold a network's answers


def work(key: str, title: str, make: Callable[[], W]) -> W | None:
    """The work under `key` once it is done; where there is none yet, `make()` makes it, and it is begun as a job.

    None while it goes on (the page shows a bar and Stop, and starts again at its end), and where it was stopped or failed
    (the page says so and shows a button that begins it again).
    """
    jobs = _jobs()
    job = jobs.get(key)
    if job is None:
        jobs[key] = job = visitor.queue().submit(Job(title, make, kind=PAGE, owner=visitor.owner()))
        job.wait(PATIENCE)
    if job.state == "done":
        return job.work
    progress.watch(job, job.title, key="page-stop") if not job.finished else _ended(job, key)
    return None


def known(key: str) -> Any:
    """The work under `key` where this visitor has it done; else None. Draws nothing."""
    job = _jobs().get(key)
    return job.work if job and job.state == "done" else None


def is_asked(key: str) -> bool:
    """Whether this visitor has begun the work under `key`, however it ended."""
    return key in _jobs()


def _jobs() -> SharedCache[str, Job]:
    return visitor.theirs("page_work", lambda: SharedCache(MOST, Job.cancel))


def _ended(job: Job, key: str) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        progress.ended_words(job, job.title)
        st.button("Begin again", key=f"page-again-{job.id}", on_click=_jobs().pop, args=(key, None))
