"""Start: a finished example that can be replayed at once, four doors, what this is, what it cannot promise."""

from __future__ import annotations

import streamlit as st

import imu_core
from imu_core import figures
from imu_core.figures import paths
from imu_core.glossary import help_text
from imu_core.records.run import Problem
from imu_core.report.numbers import signed
from imu_core.report.verdicts import one_path, percent, point_at, verdict_of_all
from imu_core.unlearning.run import Run
from pages.sections.unlearn.player import Player, skip_to
from pages.session import session_runs
from pages.session.address import address
from pages.sidebar import problem_choice
from pages.widgets import bound, link_box, run_link
from pages.widgets.pictures import strip
from pages.widgets.text import plain
from pages.widgets.theme import NO_BAR, light_or_dark


def numbers(problem: Problem, run: Run, step: int, reference: dict[str, float] | None) -> None:
    """Draw, for IMU at `step`, how much is still recognised and how the kept accuracy changed, beside that of retraining."""
    first, now = run.points[0].accuracies, point_at(run.points, step).accuracies
    key = figures.utility([], now)
    sizes = f"{len(problem.split.forget):,} images"
    term = "forget" if problem.split.classes else "random_sets"
    st.metric("Still recognised (IMU)", percent(now["forget"]), help=help_text(term), delta_description=sizes)
    st.metric(
        "Change on the other classes" if key == "test_other" else "Change on the test set",
        f"{signed(100 * (now[key] - first[key]))} points",
        help=help_text(key),
    )
    if reference:
        st.metric("Change if retrained", f"{signed(100 * (reference[key] - first[key]))} points", help=help_text("retrained"))


def replay(problem: Problem, runs: list[Run]) -> None:
    """Draw the replay: the plane, the numbers, the sentence and the pictures, all at the player's step."""
    retrained = imu_core.retrained(problem)
    reference = retrained.accuracies if retrained else None
    last = max(run.points[-1].step for run in runs)
    bound.cursor("start", last)
    player = Player("start", last)

    @st.fragment(run_every=player.run_every)
    def show() -> None:
        player.advance()
        left, right = st.columns([3, 1], gap="large")
        shown = [figures.Shown(run.method.title, run.trajectory, figures.style_of(run.config.method)) for run in runs]
        with left:
            chart = paths.plane(shown, player.step, reference, light_or_dark(), 360)
            alt = "Test accuracy against forget accuracy; three paths run from the original model towards the retrained one."
            st.plotly_chart(chart, key="start_plane", config=NO_BAR, alt=alt)
        with right:
            numbers(problem, runs[0], player.step, reference)
        player.controls(lambda: link_box.box(lambda: link(problem, player)))
        told = verdict_of_all([(run.method.title, run.trajectory) for run in runs], problem, reference, player.step)
        st.markdown(plain(told))
        pictures(problem, runs[0], player.step)

    show()


def link(problem: Problem, player: Player) -> None:
    """Write the whole address of this page with its problem, at the step shown."""
    at = {} if player.step == player.last else {"step": player.step}
    link_box.write(address("", run_link.about(problem.describe()) | at), "Opens this page with the same problem, at this step")


def pictures(problem: Problem, run: Run, step: int) -> None:
    """Draw ten forget samples, each with the class that the model predicts at `step`."""
    predictions = point_at(run.points, step).forget_predictions
    names, split = problem.dataset.class_names, problem.split
    ids = split.forget[:: max(1, len(split.forget) // 10)][:10].tolist()
    positions = [split.forget.tolist().index(i) for i in ids]
    st.caption(f"{len(ids)} of {len(split.forget):,} images to forget, and what IMU's model says they are at this step:")
    strip(problem, ids, [names[int(predictions[p])] for p in positions], label="Images to forget")


DOORS = (
    ("pages/unlearn.py", "See a model forget", "Pick methods, press Run, watch every step.", ":material/ink_eraser:", None),
    ("pages/influence.py", "Who matters most?", "The images that decide, by seven estimators.", ":material/scatter_plot:", None),
    ("pages/attack.py", "Did it really forget?", "Attack the result, beside the retrained model.", ":material/policy:", None),
    (
        "pages/reidentify.py",
        "Is the person still found?",
        "Forget one of 150 people, then search for them.",
        ":material/person_search:",
        None,
    ),
)


def doors() -> None:
    """Draw the links to the four pages that a visitor can go to from here."""
    for column, (page, label, text, icon, query) in zip(st.columns(len(DOORS)), DOORS, strict=True):
        with column, st.container(border=True, gap="xsmall"):
            st.page_link(page, label=f"**{label}**", icon=icon, query_params=query)
            st.caption(text)


skip_to("start")
st.title("What a model must forget", anchor=False)
st.markdown("A trained classifier unlearns a part of its training set in front of you, and you see what that costs.")
problem = problem_choice.current()
runs = [item.run for item in session_runs.examples(problem)]
replay(problem, runs)
st.markdown(
    f"The three runs took {sum(sum(run.phases.values()) for run in runs):.2f} s on this machine. "
    + plain(one_path([(run.method.title, run.points) for run in runs]))
)
doors()
st.markdown(
    "[Machine unlearning](glossary?term=unlearning) means making a trained model behave as if it had never seen some of its "
    "training samples, without training it again from nothing. "
    "[IMU](glossary?term=imu) does it by gradient ascent on those samples alone, pushing hardest where a sample's "
    "[influence](glossary?term=influence) is largest. "
    "Here you can watch it beside its rivals on equal terms, look at the images that carry the influence, and swap the influence "
    "for [random weights](glossary?term=random) to see what it is worth. "
    "The measure of everything is the [retrained model](glossary?term=retrained), drawn as a star: it never saw that data."
)
with st.expander("What this cannot promise", icon=":material/info:"):
    st.markdown(
        "- A low accuracy on the forget set is not proof that the data is gone: with the head alone changed, the features below "
        "it still hold everything they learned.\n"
        "- An attack that fails here says only that this attack failed.\n"
        "- For [random forget sets](glossary?term=random_sets) the aim is not a low accuracy but the retrained model's.\n"
        "- These are small models on small images, and the people are drawn, not photographed. What holds here may not hold for "
        "yours: the same commands run on yours.\n"
        "- Nothing here is a legal certificate of deletion."
    )
