"""Unlearn: pick methods, run them, watch them forget, compare them with the retrained model."""

from __future__ import annotations

import streamlit as st

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


def run_row(problem: Problem) -> None:
    """Draw the form, Run and Stop; start the runs where Run is pressed."""
    try:
        configs = run_form.settings(target(problem), bool(problem.split.classes), run_form.scope_of(problem))
    except ImuError as error:
        st.warning(str(error))
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        run = st.button("Run", type="primary", disabled=not configs, key="run")
        active = visitor.queue().active(visitor.owner())
        if st.button("Stop all", disabled=not active, key="stop_all"):
            for job in active:
                job.cancel()
        measure = bound.toggle("Attack the result afterwards", True, key="measure", help=help_text("membership"))
        if not configs:
            st.caption("Pick at least one method.")
    if run and session_runs.submit(problem, configs, measure):
        st.session_state.replay = True
        if not patience.ended_soon(session_runs.kept()[-len(configs) :]) or measure:
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
    step = None if running else bound.cursor("unlearn", last)
    stage = Stage("unlearn", last)
    if running:
        stage.follow()
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
            stage.draw([scenes.data(problem, drawn, reference, running)], scenes.LOOK, on_open=card.note)
        card.open_noted(problem)
        if ended and not running:
            link_box.box(lambda: share.link(ended))
        results.verdicts(problem, ended, reference)
        if running and patience.have_ended([item.job for item in items], pace.tick()):
            st.rerun()

    show()


skip_to("unlearn")
st.title("Watch it forget", anchor=False)
st.markdown("Pick methods, press Run: each makes its own copy of the model forget, step by step, beside the retrained model.")
problem = problem_choice.current()
run_row(problem)
results.reference_offer(problem)
items = session_runs.of(problem)
reference = session_runs.reference_of(problem)
if items[0].is_example:
    st.caption("Until you press Run: a finished example, the gentle preset on the head.")
live(problem, items, reference)
measuring(items)
finished = [item for item in items if item.job.finished and item.shown]
for item in (item for item in items if item.job.finished and not item.shown):
    progress.ended_words(item.job, item.name)
if finished:
    st.subheader("What happened")
    results.table(problem, items, reference)
    item = share.look_closer(finished)
    results.distances(item)
    results.pictures(problem, item)
    with st.expander("Name and export", icon=":material/ios_share:"):
        share.take_away(item, items, reference)
elsewhere = len([item for item in session_runs.kept() if item.problem.describe() != problem.describe()])
if elsewhere:
    st.caption(f"{elsewhere} of your runs belong to other problems; choose that problem in the sidebar to see them.")
