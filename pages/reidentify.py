"""Re-identify: make a model forget one person, see where it looks, and find out whether the person can still be found."""

from __future__ import annotations

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from imu_core.errors import ImuError
from imu_core.evaluation import reidentification
from imu_core.evaluation import scopes as evaluated
from imu_core.evaluation.reidentification import Found
from imu_core.methods import METHODS
from imu_core.problems.reference import target
from imu_core.records.run import Problem
from imu_core.records.shapes import ScopeRecord
from imu_core.report.numbers import percent
from imu_core.report.verdicts import Side, search_verdict, side, two_steps
from pages.lesson import deeds, strip
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
    "export": "Name and export",
}
STORY = ("imu", ("**1 · Change the head alone.**", "**2 · Change every layer.**"))


def story(record: ScopeRecord | None) -> None:
    """Write in two steps what a stored comparison found: what the head alone does to a search, and what all layers do."""
    told = two_steps(record["rows"], record["references"]) if record and not strip.asks("person") else None
    if told is None:
        return
    for column, title, text in zip(st.columns(2, gap="large"), STORY[1], told, strict=True):
        column.markdown(f"{title} {plain(text)}")
    about = "mAP says how well a search ranks the right pictures: 100 % at best."
    st.caption(f"Stored results of {METHODS[STORY[0]].title}. {about}", help=f"`{record['command']}` makes them again.")


def run_row(problem: Problem, head: DeltaGenerator) -> None:
    """Draw the form and the batch-norm mode here, Run and Stop in the row `head`; start the runs where Run is pressed."""
    try:
        configs = run_form.settings(target(problem), also=run_form.scope_of(problem))
    except ImuError as error:
        st.warning(plain(error))
        return
    configs = people.in_mode(configs)
    if not configs:
        st.caption("Pick at least one method.")
    patience.foretell(problem, configs)
    run = head.button("Run", type="primary", disabled=not configs, key="run")
    active = visitor.queue().active(visitor.owner())
    if active and head.button("Stop all", key="stop_all"):
        for job in active:
            job.cancel()
    if (
        run
        and session_runs.submit(problem, configs, measure=False)
        and not patience.ended_soon(session_runs.kept()[-len(configs) :])
    ):
        st.rerun()  # what goes on stands in the sidebar, too


def waiting(problem: Problem, items: list[session_runs.Kept]) -> None:
    """Draw the runs that are going on, with progress and Stop, and what they have come to so far; the page follows their end."""
    going = [item for item in items if not item.job.finished]
    if not going:
        return

    @st.fragment(run_every=pace.tick())
    def show() -> None:
        session_runs.going(going)
        if drawn := [item for item in going if item.shown]:
            live = Stage("people_now", max(item.run.points[-1].step for item in drawn))
            live.follow()
            live.draw([scenes.data(problem, drawn, session_runs.reference_of(problem), True)], scenes.LOOK)
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


def happened(problem: Problem, items: list[session_runs.Kept], title: DeltaGenerator) -> None:
    """Draw whether the person is still found after the runs that have ended, one part at a time; until then the examples."""
    finished = [item for item in items if item.job.finished and item.shown and not item.lacks_model]
    for item in (item for item in items if item.lacks_model):
        st.caption(f"{plain(item.name)}: {plain(item.lacks_model)}")
    for item in (item for item in items if item.job.finished and not item.shown):
        progress.ended_words(item.job, item.name)
    if not finished:
        finished = session_runs.examples(problem)
    if finished[0].is_example:
        st.caption("Until you press Run, and it has ended: a finished example, the gentle preset on the head.")
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
                harder = side(now.map, before.map) is Side.BELOW
                deeds.note("search", before=percent(before.map), now=percent(now.map), right="0" if harder else "1")
        draw_parts(problem, item, finished, known if is_known else None)
    except ImuError as error:
        st.warning(plain(error))


def draw_parts(
    problem: Problem, item: session_runs.Kept, finished: list[session_runs.Kept], known: dict[str, Found] | None
) -> None:
    """Draw the part that is chosen; those that compare searches come once people were looked for, which `known` then says."""
    shows = bound.parts(PARTS, key="people_part")
    if known and shows("numbers"):
        people.table(problem, finished, known, session_runs.reference_of(problem))
        drifted(problem, item)
    if shows("steps"):
        st.fragment(watch)(problem, finished)
    if known and shows("nearest"):
        st.subheader("The ten nearest, before and after")
        st.fragment(people.ranks)(problem, item, known["original"])
    if shows("looks"):
        st.subheader("Where it looks")
        st.fragment(gaze.section)(problem, item)
    if shows("scopes"):
        st.subheader("Which part must change?")
        scopes.section(problem, known)
    if shows("export"):
        share.take_away(item, finished, session_runs.reference_of(problem))


navigation.hand_over()
title = link_box.titled("Can the person still be found?", stays=True)
st.markdown(
    "A network that tells people apart is made to forget one of them. Does a search among everybody else still find that person?"
)
stored = st.empty()
if st.session_state.dataset == problem_choice.USUAL[navigation.PEOPLE_PAGE] and not st.session_state.get("after"):
    people_named = st.session_state.forget.removeprefix("identity:").split("+")
    with stored.container():
        story(evaluated.shipped(st.session_state.model, people_named, STORY[0]))  # before anybody is drawn, which takes a while
problem = problem_choice.current()
if problem.dataset.people is None:
    st.info(f"{plain(problem.dataset.title)} shows no identities; this page needs a set of people.")
    usual = (problem_choice.USUAL[navigation.PEOPLE_PAGE],)
    st.button("Open the synthetic people", type="primary", on_click=problem_choice.take_problem, args=usual)
    st.stop()
stored.empty()  # a container drawn anew would keep what it does not draw over
if fits := evaluated.stored_rows(problem, STORY[0]):
    with stored.container():
        story(fits)
people.choose(problem)
found, form = st.container(), st.container()  # the result stands above what it is made with
with form.expander("What Run does: methods, settings, scope, batch norm", icon=":material/tune:"):
    run_row(problem, title)
    results.reference_offer(problem)
items = session_runs.of(problem)
with found:
    waiting(problem, items)
    happened(problem, items, title)
