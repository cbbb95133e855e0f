"""Unlearn: pick methods, run them, watch them forget, compare them with the retrained model."""

from __future__ import annotations

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from imu_core.errors import ImuError
from imu_core.glossary import help_text
from imu_core.problems.reference import target
from imu_core.records.run import Problem
from pages.sections.sample import card
from pages.sections.unlearn import patience, results, scenes, share
from pages.session import pace, session_runs, visitor
from pages.sidebar import problem_choice
from pages.stage.stage import Stage, skip_to
from pages.widgets import bound, link_box, progress, run_form

PARTS = {"numbers": "Numbers", "pictures": "Pictures", "distances": "How far from retrained", "export": "Name and export"}


def run_row(problem: Problem, head: DeltaGenerator, waiting: DeltaGenerator) -> None:
    """Draw the form here, Run and Stop in the row `head`; start the runs where Run is pressed, with their bar in `waiting`."""
    try:
        configs = run_form.settings(target(problem), bool(problem.split.classes), run_form.scope_of(problem))
    except ImuError as error:
        st.warning(str(error))
        return
    measure = bound.toggle("Attack the result afterwards", True, key="measure", help=help_text("membership"))
    if not configs:
        st.caption("Pick at least one method.")
    patience.foretell(problem, configs)
    active = visitor.queue().active(visitor.owner())
    run = head.button("Run", type="primary", disabled=not configs, key="run")
    if active and head.button("Stop all", key="stop_all"):
        for job in active:
            job.cancel()
    if run and session_runs.submit(problem, configs, measure):
        st.session_state.replay = True
        with waiting:
            ended = patience.ended_soon(session_runs.kept()[-len(configs) :])
        if not ended or measure:
            st.rerun()  # what goes on stands in the sidebar, too


def measuring(items: list[session_runs.Kept]) -> None:
    """Draw how far the attacks on the results are, once all runs have ended; charts are not drawn again for that."""
    waiting = [item.measuring for item in items if item.measuring and not item.measuring.finished]
    if waiting and all(item.job.finished for item in items):
        progress.watch_all(waiting, "stop_measuring")


def live(problem: Problem, items: list[session_runs.Kept], reference: dict[str, float] | None) -> None:
    """Draw the stage: it follows the runs while they go on, and replays them in the browser afterwards."""
    running = any(not item.job.finished for item in items)
    last = max((item.run.points[-1].step for item in items if item.run and item.run.points), default=0)
    about, before = str(problem.describe()), st.session_state.get("unlearn_about")
    st.session_state.unlearn_about = about
    step = None if running else bound.cursor("unlearn", last)
    stage = Stage("unlearn", last)
    if running:
        stage.follow()
    elif before not in (None, about) and not st.session_state.get("replay"):
        stage.to_end()  # where the stage rested on another problem means nothing here
    elif st.session_state.get("replay"):
        st.session_state.replay = False
        if step is None and all(item.config.scope == "head" for item in items):
            stage.play()
        elif step is not None:
            stage.show(step)  # the link that was opened shows this step of these runs
        else:
            stage.to_end()  # it was watched live

    # While runs go on, each picture waits for their end until it is time for the next: no time is lost between end and result.
    @st.fragment(run_every=pace.tick() if running else None)
    def show() -> None:
        session_runs.going(items)
        drawn = [item for item in items if item.shown]
        ended = [item for item in drawn if item.job.finished]
        if drawn:
            stage.draw(
                [scenes.data(problem, drawn, reference, running)], scenes.LOOK, who=session_runs.newest(drawn), on_open=card.note
            )
        card.open_noted(problem)
        if running:
            results.verdicts(problem, ended, reference)
        if running and patience.have_ended([item.job for item in items], pace.tick()):
            st.rerun()

    show()


def happened(problem: Problem, items: list[session_runs.Kept], reference: dict[str, float] | None) -> None:
    """Draw what the runs that have ended came to, one part at a time."""
    finished = [item for item in items if item.job.finished and item.shown]
    for item in (item for item in items if item.job.finished and not item.shown):
        progress.ended_words(item.job, item.name)
    if not finished:
        return
    st.subheader("What happened")
    shows = bound.parts(PARTS, key="unlearn_part")
    if shows("numbers"):
        if all(item.job.finished for item in items):
            results.verdicts(problem, finished, reference)
        results.table(problem, items, reference)
    if not any(shows(part) for part in PARTS if part != "numbers"):
        return
    item = share.look_closer(finished)
    if shows("pictures"):
        results.pictures(problem, item)
    if shows("distances"):
        results.distances(item)
    if shows("export"):
        share.take_away(item, items, reference)


skip_to("unlearn")
title = link_box.titled("Watch it forget", stays=True)
problem = problem_choice.current()
waiting, stage, form = st.container(), st.container(), st.container()  # the result stands above what it is made with
with form:
    run_row(problem, title, waiting)
    results.reference_offer(problem)
items = session_runs.of(problem)
reference = session_runs.reference_of(problem)
with stage:
    st.markdown(
        "Until you press Run: a finished example, the gentle preset on the head. What runs next is chosen below."
        if items[0].is_example
        else "Each method made its own copy of the model forget, step by step, beside the retrained model."
    )
    live(problem, items, reference)
measuring(items)
happened(problem, items, reference)
shown = [item for item in items if item.job.finished and item.shown]
if shown and all(item.job.finished for item in items):
    with title:
        st.fragment(link_box.box)(lambda: share.link(shown))
elsewhere = len([item for item in session_runs.kept() if item.problem.describe() != problem.describe()])
if elsewhere:
    st.caption(f"{elsewhere} of your runs belong to other problems; choose that problem in the sidebar to see them.")
