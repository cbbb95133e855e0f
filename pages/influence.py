"""Influence: which forget samples carry the most, by which estimator, and what they look like."""

from __future__ import annotations

import streamlit as st

from imu_core.errors import ImuError
from imu_core.glossary import help_text
from imu_core.influence import ranking
from imu_core.records.run import Influence, Problem
from imu_core.report.numbers import percent
from imu_core.weights import effective_share, sample_weights
from pages.sections.influence import asked, charts, gallery, through, truth
from pages.sections.influence.controls import controls
from pages.sections.sample import card
from pages.sidebar import problem_choice
from pages.widgets import bound, link_box

PARTS = {
    "scores": "Scores",
    "truth": "Is it true?",
    "asked": "Ask a prediction",
    "agreement": "Order by exact",
    "layers": "All layers",
}


def selection(problem: Problem, scored: Influence) -> tuple[list[int], str]:
    """(positions within the forget set to show, in order; a sentence that says why these)."""
    order = scored.scores.argsort(descending=True, stable=True).tolist()
    chosen = set(st.session_state.get("chosen", [])) & set(order)
    if chosen:
        return [p for p in order if p in chosen], f"**{len(chosen):,} selected** in the chart, highest score first."
    ids = problem.split.forget.tolist()
    by_hand = [ids.index(i) for i in gallery.picked_by_hand() if i in set(ids)]
    view = st.session_state.get("gallery_order") or "most influential"
    if view == "picked by hand":
        return sorted(by_hand, key=order.index), f"**{len(by_hand):,} picked** by hand."
    return (order if view == "most influential" else order[::-1]), f"All {len(order):,}: click one, or drag in a chart."


def right_side(problem: Problem, scored: Influence, weights: object) -> None:
    """Draw the gallery with the choice of its order, and what can be done with the selection."""
    bound.segmented_control(
        "Show",
        ["most influential", "least influential", "picked by hand"],
        default="most influential",
        key="gallery_order",
        required=True,
    )
    positions, sentence = selection(problem, scored)
    ids = problem.split.forget.tolist()
    by_hand = [ids.index(i) for i in gallery.picked_by_hand() if i in set(ids)]
    chosen = bool(st.session_state.get("chosen"))
    take = positions if chosen else by_hand or positions[:50]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(sentence)
        st.space("stretch")
        if chosen:
            st.button("Clear", on_click=lambda: st.session_state.update(chosen=[]))
        if take:
            gallery.unlearn_these(problem, take, chosen or bool(by_hand))
    if positions:
        gallery.gallery(problem, scored, positions, lambda position: card.show(problem, scored, weights.numpy(), position))
    else:
        st.info("Nothing picked yet: tick the box under an image.")


def facts(problem: Problem, scored: Influence, exact: Influence, weights: object) -> None:
    """Draw the numbers that sum the ranking up, and the button for the file of all scores."""
    columns = st.columns([2, 2, 2, 2, 3], vertical_alignment="bottom")
    size = f"{len(scored.scores):,} samples"
    top = ranking.held_by_top(scored.scores, 0.05)
    columns[0].metric("Top 5 % hold", percent(top, 0), help=help_text("concentration"), delta_description=f"of the score, {size}")
    how = ranking.unranked(scored.scores) or "Spearman, 1 = same order"
    rho = ranking.written(ranking.spearman(scored.scores, exact.scores))
    columns[1].metric("Ranks like exact", rho, help=help_text("spearman"), delta_description=how)
    rho = ranking.written(ranking.spearman(scored.scores, scored.losses))
    columns[2].metric("Ranks like the loss", rho, help=help_text("loss"), delta_description=how)
    share = effective_share(weights)
    columns[3].metric(
        "Weights spread over", percent(share, 0), help=help_text("effective_share"), delta_description="of the forget set"
    )
    with columns[4]:
        gallery.download(problem, scored, weights)
        solved = f", {scored.iterations} iterations to a residual of {scored.residual:.0e}" if scored.iterations else ""
        st.caption(f"Computed in {1000 * scored.seconds:.1f} ms{solved}.")


title = link_box.titled("Who matters most?")
st.markdown(
    "Every sample of the forget set has an [influence score](glossary?term=score): how much the model's loss on the forget set "
    "rises when that sample goes. IMU pushes hardest on the highest."
)
problem = problem_choice.current()
estimator, damping, psi = controls()
about = (problem.dataset.name, problem.model_name, problem.split.request, problem.history)
if st.session_state.get("chosen_for") != about:
    st.session_state.update(chosen=[], chosen_for=about)
    st.session_state.pop("gallery_page", None)
try:
    scored = card.scores(problem, estimator, damping)
    exact = scored if estimator == "exact" else card.scores(problem, "exact", damping)
    if scored is None or exact is None:
        st.stop()
    weights = sample_weights(scored, psi=psi)
except ImuError as error:
    st.warning(f"{error} Another estimator or a larger damping will do.")
    st.stop()


stands_below = st.session_state.get("influence_part") in ("truth", bound.EVERYTHING)
if not stands_below and (said := truth.first_sentence(problem, estimator, damping)):
    st.markdown(f"**{said}**")


@st.fragment
def linked() -> None:
    """Draw charts and gallery in one fragment, so that a selection does not run the whole page."""
    clicked = st.session_state.pop("clicked", None)
    left, right = st.columns([6, 6], gap="large")
    held = taught = None
    with left:
        shows = bound.parts(PARTS, key="influence_part")
        if shows("scores"):
            charts.charts(problem, scored)
        if shows("truth"):
            held = truth.section(problem, scored.estimator, damping)
        if shows("asked"):
            taught = asked.section(problem, estimator, damping)
        if shows("agreement"):
            charts.agreement(problem, scored, exact)
        if shows("layers"):
            through.section(problem, damping, charts.select)
    with right:
        right_side(problem, scored, weights)
    if held:
        truth.table(held, scored.estimator)
    if taught:
        asked.teachers(problem, taught)
    if clicked is not None and clicked < len(scored.scores):
        card.show(problem, scored, weights.numpy(), clicked)


linked()
facts(problem, scored, exact, weights)
with title:
    link_box.of_page(problem, "Opens this page with the same problem and choices, but for what was picked or selected")
