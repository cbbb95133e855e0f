"""Which runs are compared: the visitor's own on this problem, and stored ones that the link names."""

from __future__ import annotations

import streamlit as st

from imu_core.errors import ImuError, StoreError
from imu_core.records.run import Problem
from imu_core.store.restored import drawable
from imu_core.store.runs import Stored
from pages.sections.compare.compared import PAIR, Compared
from pages.session import keeper, links, restored, session_runs
from pages.session import stored as session_stored
from pages.sidebar import reopen
from pages.widgets import link_box
from pages.widgets.text import plain

MOST = 40  # stored runs that a link may name


def gather(problem: Problem) -> list[Compared]:
    """Every finished run with a point: the visitor's own on `problem` (else the examples), then those that the link names."""
    named = _named(problem)
    mine = [item for item in session_runs.of(problem) if item.job.finished and item.shown]
    if named and mine and mine[0].is_example:
        mine = []  # who asked for certain runs did not ask for examples
    stored = {item.stored for item in mine if item.stored}
    items = [Compared(f"run-{i.job.id}", i.name, i.trajectory, i.measured, i, cache=i.cache) for i in mine]
    items += [item for item in named if item.stored.id not in stored]
    taken: dict[str, int] = {}
    for item in items:
        taken[item.name] = taken.get(item.name, 0) + 1
        item.name = item.name if taken[item.name] == 1 else f"{item.name} ({taken[item.name]})"
    return items


def has_own(problem: Problem) -> bool:
    """Whether this visitor ran something on `problem`."""
    return bool(session_runs.own(problem))


def asked_for() -> list[str]:
    """The ids of the stored runs that the link asks for by `runs=ID,ID`; they are kept for this session."""
    given = links.word("runs")
    if "runs" in st.query_params:
        st.session_state.compare_ids = list(dict.fromkeys(part.strip() for part in given.split(",") if part.strip()))
    ids = st.session_state.get("compare_ids", [])
    links.show("runs", [",".join(ids)] if ids else [])
    return ids


def in_link(items: list[Compared]) -> tuple[dict[str, str], list[str]]:
    """(parameters of a link to these runs, sentences on what it leaves out). It has ids: others may use the same names."""
    ids = {item.name: item.id for item in items if item.id}
    pair = {key: ids.get(words[-1], words[-1]) for key, words in links.shown().items() if key in PAIR}
    listed = sorted(ids.values(), key=lambda run_id: run_id not in pair.values())[:MOST]
    named = {name for name, run_id in ids.items() if run_id in listed}
    left = [item.name for item in items if item.name not in named and not (item.kept and item.kept.is_example)]
    return {**pair, "runs": ",".join(listed)}, link_box.of_runs(listed, left)


def offer(problem: Problem) -> None:
    """A box that adds one of the stored runs on `problem` to the comparison, and a way to leave the added ones out again."""
    named = asked_for()
    offered = {run_id: run for run_id, run in restored.others(problem).items() if run_id not in named}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if offered and len(named) < MOST:
            restored.box("Add a stored run", offered, key="compare_add", on_change=_add)
        if named:
            st.button("Leave out the added runs", on_click=_drop, key="compare_leave")


def _add() -> None:
    added = st.session_state.get("compare_add")
    if added:
        st.session_state.compare_ids = [*asked_for(), added]
        st.query_params["runs"] = ",".join(st.session_state.compare_ids)
        st.session_state.compare_add = None


def _drop() -> None:
    st.session_state.compare_ids = []
    st.query_params.pop("runs", None)


def _named(problem: Problem) -> list[Compared]:
    """The stored runs of the link that belong to `problem`; a sentence for every one that cannot be shown."""
    ids = asked_for()
    items, elsewhere, trouble = [], [], []
    for run_id in ids[:MOST]:
        try:
            run = keeper.view().get(run_id)
            item = _of_stored(run)
        except StoreError as error:
            trouble.append(str(error))
            continue
        if run.deleted:
            trouble.append(f"{item.name} was deleted; the page Runs can bring it back.")
        elif run.trajectory.problem != problem.describe():
            elsewhere.append(run)
        elif not item.trajectory.points:
            trouble.append(f"{item.name} ended before anything was evaluated; there is nothing to compare.")
        else:
            items.append(item)
    if len(ids) > MOST:
        trouble.append(f"The link names {len(ids)} runs; the first {MOST} are shown.")
    _say(trouble, elsewhere)
    return items


def _of_stored(run: Stored) -> Compared:
    cache = st.session_state.setdefault("compare_cache", {}).setdefault(run.id, {})
    return Compared(run.id, session_stored.title_of(run), drawable(run.trajectory), run.metrics, stored=run, cache=cache)


def _say(trouble: list[str], elsewhere: list[Stored]) -> None:
    if trouble:
        st.warning(plain(" ".join(trouble[:4])) + (f" And {len(trouble) - 4} more." if len(trouble) > 4 else ""))
    if elsewhere:
        first, many = elsewhere[0], len(elsewhere) > 1
        about = f"{first.forget[:60]} on {first.dataset}/{first.model_name}"
        count = f"{len(elsewhere)} stored runs of the link belong" if many else "One stored run of the link belongs"
        st.info(plain(f"{count} to another problem: {about}. Only runs on one problem can be compared."))
        if _is_known(first):
            problem = first.trajectory.problem
            st.button("Open that problem", on_click=reopen.take_problem, args=(problem,), key="compare_take")
    if trouble or elsewhere:
        st.button("Drop the runs named in the link", on_click=_drop, key="compare_drop")


def _is_known(run: Stored) -> bool:
    try:
        reopen.check_known(run)
    except ImuError:
        return False
    return True
