"""Re-identify: make a model forget one person, see where it looks, and find out whether the person can still be found."""

from __future__ import annotations

import streamlit as st

from imu_core.errors import ImuError
from imu_core.evaluation import reidentification
from imu_core.evaluation.reidentification import Found
from imu_core.problems.reference import target
from imu_core.records.run import Problem
from imu_core.report.numbers import percent
from imu_core.report.verdicts import search_verdict
from pages.lesson import deeds
from pages.sections.influence import gaze
from pages.sections.reidentify import people, scopes
from pages.sections.sample import card
from pages.sections.unlearn import patience, results, scenes, share
from pages.session import pace, searched, session_runs, visitor
from pages.sidebar import navigation, problem_choice
from pages.stage.stage import Stage
from pages.widgets import bound, link_box, progress, run_form
from pages.widgets.text import plain

PARTS = {
    "numbers": "In numbers",
    "steps": "Step by step",
    "nearest": "The ten nearest",
    "looks": "Where it looks",
    "scopes": "Which part must change",
}


def run_row(problem: Problem) -> None:
    """Draw the form, Run and Stop, as on the page Unlearn, with the batch-norm mode; start the runs where Run is pressed."""
    try:
        configs = run_form.settings(target(problem), also=run_form.scope_of(problem))
    except ImuError as error:
        st.warning(plain(error))
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        configs = people.in_mode(configs)
        run = st.button("Run", type="primary", disabled=not configs, key="run")
        active = visitor.queue().active(visitor.owner())
        if st.button("Stop all", disabled=not active, key="stop_all"):
            for job in active:
                job.cancel()
        if not configs:
            st.caption("Pick at least one method.")
    if (
        run
        and session_runs.submit(problem, configs, measure=False)
        and not patience.ended_soon(session_runs.kept()[-len(configs) :])
    ):
        st.rerun()  # what goes on stands in the sidebar, too


def waiting(items: list[session_runs.Kept]) -> None:
    """Draw the runs that are going on, with progress and Stop; the page starts again when the last has ended."""
    going = [item for item in items if not item.job.finished]
    if not going:
        return

    @st.fragment(run_every=pace.tick())
    def show() -> None:
        session_runs.going(going)
        if all(item.job.finished for item in going):
            st.rerun()

    show()


def watch(problem: Problem, items: list[session_runs.Kept]) -> None:
    """Draw the stage: what the finished runs say of the person's images at every step. The search reads features, not this."""
    stage = Stage("people", max(item.run.points[-1].step for item in items))
    stage.draw([scenes.data(problem, items, session_runs.reference_of(problem), False)], scenes.LOOK, on_open=card.note)
    card.open_noted(problem)


def verdict(problem: Problem, item: session_runs.Kept, known: dict[str, Found]) -> str:
    """Sentences with numbers that say whether the person is still found after `item`."""
    now, before = searched.found(item), known["original"]
    return plain(search_verdict(problem, now, before, known.get("retrained"), item.name, item.run.outcome))


def drifted(problem: Problem, item: session_runs.Kept) -> None:
    """Write how far the batch-norm statistics moved, or that none did."""
    moved = reidentification.drift(problem.model, searched.network(item))
    largest = max(moved, key=moved.get, default="")
    if largest and moved[largest] > 0:
        st.caption(
            f"Batch-norm statistics drifted in {sum(v > 0 for v in moved.values())} of {len(moved)} layers, most in {largest}: "
            f"by {moved[largest]:.2f} standard deviations of what it had learned."
        )
    else:
        st.caption(f"Batch-norm statistics: all {len(moved)} layers as they were.")


title = link_box.titled("Can the person still be found?")
st.markdown(
    "A network that recognises people is made to forget one of them. Look where it looks, before and after, and search for that "
    "person among everybody else."
)
problem = problem_choice.current()
if problem.dataset.people is None:
    st.info(f"{plain(problem.dataset.title)} shows no identities; this page needs a set of people.")
    usual = (problem_choice.USUAL[navigation.PEOPLE_PAGE],)
    st.button("Open the synthetic people", type="primary", on_click=problem_choice.take_problem, args=usual)
    st.stop()
if problem.dataset.people.synthetic:
    st.badge("synthetic people", icon=":material/draw:", color="gray")
people.choose(problem)
run_row(problem)
results.reference_offer(problem)
items = session_runs.of(problem)
waiting(items)
finished = [item for item in items if item.job.finished and item.shown and not item.lacks_model]
for item in (item for item in items if item.lacks_model):
    st.caption(f"{plain(item.name)}: {plain(item.lacks_model)}")
for item in (item for item in items if item.job.finished and not item.shown):
    progress.ended_words(item.job, item.name)
if items[0].is_example:
    st.caption("Until you press Run: a finished example, the gentle preset on the head.")
if not finished:
    st.stop()
item = share.look_closer(finished)
with title:
    st.fragment(link_box.box)(lambda: share.link(finished, navigation.PEOPLE_PAGE))
try:
    st.subheader("Is the person still found?")
    known = searched.references(problem)
    is_known = searched.searched(problem, finished) and bool(known)
    if is_known:
        st.markdown(verdict(problem, item, known))
        if (before := known["original"].person) and (now := searched.found(item).person):
            deeds.note("search", before=percent(before.map), now=percent(now.map))
    shows = bound.parts(PARTS, key="people_part")
    if is_known and shows("numbers"):
        people.table(problem, finished, known, session_runs.reference_of(problem))
        drifted(problem, item)
    if shows("steps"):
        st.fragment(watch)(problem, finished)
    if is_known and shows("nearest"):
        st.subheader("The ten nearest, before and after")
        st.fragment(people.ranks)(problem, item, known["original"])
    if shows("looks"):
        st.subheader("Where it looks")
        st.fragment(gaze.section)(problem, item)
    if shows("scopes"):
        st.subheader("Which part must change?")
        scopes.section(problem, known)
except ImuError as error:
    st.warning(plain(error))
with st.expander("Name and export", icon=":material/ios_share:"):
    share.take_away(item, finished, session_runs.reference_of(problem))
