"""Re-identify: make a model forget one person, see where it looks, and find out whether the person can still be found."""

from __future__ import annotations

import streamlit as st

from imu_core import reidentification
from imu_core.errors import ImuError
from imu_core.records import Problem
from imu_core.reference import target
from imu_core.reidentification import Found
from imu_core.verdicts import search_verdict
from pages import (
    _form,
    _gaze,
    _link_box,
    _pace,
    _parts,
    _patience,
    _people,
    _problem,
    _results,
    _runs,
    _scopes,
    _searched,
    _share,
)


def run_row(problem: Problem) -> None:
    """The form, Run and Stop, as on the Unlearn page."""
    try:
        configs = _form.settings(target(problem), also=_form.scope_of(problem))
    except ImuError as error:
        st.warning(_parts.plain(error))
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        configs = _people.in_mode(configs)
        run = st.button("Run", type="primary", disabled=not configs, key="run")
        active = _parts.queue().active(_parts.owner())
        if st.button("Stop all", disabled=not active, key="stop_all"):
            for job in active:
                job.cancel()
        if not configs:
            st.caption("Pick at least one method.")
    if run and _runs.submit(problem, configs, measure=False) and not _patience.ended_soon(_runs.kept()[-len(configs) :]):
        st.rerun()  # what goes on stands in the sidebar, too


def waiting(items: list[_runs.Kept]) -> None:
    """The runs that are going on, with progress and Stop; the page starts again when the last has ended."""
    going = [item for item in items if not item.job.finished]
    if not going:
        return

    @st.fragment(run_every=_pace.tick())
    def show() -> None:
        _runs.going(going)
        if all(item.job.finished for item in going):
            st.rerun()

    show()


def verdict(problem: Problem, item: _runs.Kept, known: dict[str, Found]) -> str:
    """Is the person still found? Sentences with numbers."""
    now, before = _searched.found(item), known["original"]
    return _parts.plain(search_verdict(problem, now, before, known.get("retrained"), item.name, item.run.outcome))


def drifted(problem: Problem, item: _runs.Kept) -> None:
    """How far the batch-norm statistics moved, where they did."""
    moved = reidentification.drift(problem.model, _searched.network(item))
    largest = max(moved, key=moved.get, default="")
    if largest and moved[largest] > 0:
        st.caption(
            f"Batch-norm statistics drifted in {sum(v > 0 for v in moved.values())} of {len(moved)} layers, most in {largest}: "
            f"by {moved[largest]:.2f} standard deviations of what it had learned."
        )
    else:
        st.caption(f"Batch-norm statistics: all {len(moved)} layers as they were.")


title = _link_box.titled("Can the person still be found?")
st.markdown(
    "A network that recognises people is made to forget one of them. Look where it looks, before and after, and search for that "
    "person among everybody else."
)
problem = _problem.current()
if problem.dataset.people is None:
    st.info(f"{_parts.plain(problem.dataset.title)} shows no identities; this page needs a set of people.")
    st.button("Open the synthetic people", type="primary", on_click=_problem.take_problem, args=(_problem.USUAL_PEOPLE,))
    st.stop()
if problem.dataset.people.synthetic:
    st.badge("synthetic people", icon=":material/draw:", color="gray")
_people.choose(problem)
run_row(problem)
_results.reference_offer(problem)
items = _runs.of(problem)
waiting(items)
finished = [item for item in items if item.job.finished and item.shown and not item.lacks_model]
for item in (item for item in items if item.lacks_model):
    st.caption(f"{_parts.plain(item.name)}: {_parts.plain(item.lacks_model)}")
for item in (item for item in items if item.job.finished and not item.shown):
    _parts.ended_words(item.job, item.name)
if items[0].is_example:
    st.caption("Until you press Run: a finished example, the gentle preset on the head.")
if not finished:
    st.stop()
item = _share.look_closer(finished)
with title:
    st.fragment(_link_box.box)(lambda: _share.link(finished, _parts.PEOPLE_PAGE))
try:
    st.subheader("Is the person still found?")
    known = _searched.references(problem)
    if _searched.searched(problem, finished) and known:
        st.markdown(verdict(problem, item, known))
        _people.table(problem, finished, known, _runs.reference_of(problem))
        drifted(problem, item)

        st.subheader("The ten nearest, before and after")
        st.fragment(_people.ranks)(problem, item, known["original"])

    st.subheader("Where it looks")
    st.fragment(_gaze.section)(problem, item)

    st.subheader("Which part must change?")
    _scopes.section(problem, known)
except ImuError as error:
    st.warning(_parts.plain(error))
with st.expander("Name and export", icon=":material/ios_share:"):
    _share.take_away(item, finished, _runs.reference_of(problem))
