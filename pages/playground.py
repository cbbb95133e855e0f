"""Playground: points of the plane and a small network; forget some, and watch its boundary beside the retrained one's."""

from __future__ import annotations

import streamlit as st

from imu_core.errors import DataError, ImuError
from imu_core.evaluation.boundary import check_plane
from imu_core.methods import METHODS
from imu_core.problems.reference import retrained
from imu_core.records.run import Problem, RunConfig
from imu_core.settings import RUN
from pages.sections.playground import points, runs
from pages.session import links
from pages.sidebar import navigation, problem_choice
from pages.stage.stage import Look, Stage, skip_to
from pages.widgets import bound, link_box
from pages.widgets.text import plain

LOOK = Look(panels=("ground", "curves"), height=392)
MOST_METHODS = 4
RATES = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1)
MOST_PASSES = 400


def settings(problem: Problem) -> list[RunConfig]:
    """Draw the controls; returns the settings of each run."""
    one, two, three, four = st.columns([5, 3, 3, 2], gap="medium", vertical_alignment="bottom")
    with four, st.popover("More", icon=":material/tune:", help="Which layers move, and where runs stop"):
        which = RUN["scope"]
        scope = bound.segmented_control(which.label, ("head", "all"), default="all", key="scope", required=True) or "all"
        stops = bound.toggle("Stop when as much is forgotten as by retraining", False, key="stops")
    offered = runs.fitting(problem, scope)
    with one:
        chosen = bound.multiselect(
            f"Methods, at most {MOST_METHODS}",
            offered,
            default=[name for name in ("imu", "ga") if name in offered],
            key="methods",
            format_func=lambda name: METHODS[name].title,
            max_selections=MOST_METHODS,
        )
    with two:
        rate = bound.select_slider(
            RUN["learning_rate"].label, RATES, (RATES[0], RATES[-1]), 0.003, key="rate", format_func=lambda value: f"{value:g}"
        )
    with three:
        passes = bound.slider("Passes", 5, MOST_PASSES, 100, 5, key="passes")
    aim = retrained(problem) if stops else None
    stop = aim.accuracies["forget"] if aim else None
    return [runs.config(problem, name, scope, rate, passes, stop) for name in chosen]


def in_link() -> tuple[dict[str, str], list[str]]:
    """(the step at which the stage rests, for a link, unless it is the last; nothing that is left out)."""
    at, last = (st.session_state.get(f"playground_{name}") for name in ("at", "last"))
    return ({} if at in (None, last) else {"step": str(at)}), []


problem = problem_choice.current()
try:
    check_plane(problem)
except DataError as error:
    st.info(plain(error))
    usual = (problem_choice.USUAL[navigation.POINTS_PAGE],)
    st.button("Open the two moons", type="primary", on_click=problem_choice.take_problem, args=usual)
    st.stop()
skip_to("playground")
with link_box.titled("Where does the boundary go?"):
    points.choose(problem.dataset.name)
    link_box.of_page(problem, "Opens this page with the same points and choices, at this step", in_link)
st.caption(points.shows(problem.dataset.name))
points.told()
stage_place = st.container()
try:
    configs = settings(problem)
    played = runs.play(problem, configs) if configs else None
except ImuError as error:
    st.warning(plain(error))
    st.stop()
if played is None:
    st.caption("Pick at least one method.")
    st.stop()
with stage_place:
    stage, rests = Stage("playground", played.last), "step" in links.visit().asked
    bound.cursor("playground", played.last)
    if st.session_state.get("playground_played") != played.scene["id"]:  # whatever was changed, it plays
        st.session_state.playground_played = played.scene["id"]
        if rests:
            stage.show(stage.step)
        else:
            stage.play()
    stage.draw([played.scene], LOOK, on_edit=points.edit)
for sentence in played.refused:
    st.caption(sentence)
