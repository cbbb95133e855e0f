"""Influence: which forget samples carry the most, by which estimator, and what they look like."""

from __future__ import annotations

from typing import Any

import numpy as np
import streamlit as st

from imu_core import figures
from imu_core.errors import ImuError
from imu_core.glossary import help_text
from imu_core.influence import ranking
from imu_core.records.run import Influence, Problem
from imu_core.report.numbers import percent
from imu_core.weights import effective_share, sample_weights
from pages.sections.influence import gallery, through, truth
from pages.sections.influence.controls import controls
from pages.sections.sample import card
from pages.sidebar import problem_choice
from pages.widgets import bound, link_box
from pages.widgets.theme import NO_BAR


def picked(event: dict) -> list[int]:
    """Positions within the forget set that a chart selection names: Plotly gives raw sample indices for both charts."""
    selection = (event or {}).get("selection") or {}
    indices = selection.get("point_indices") or [p["point_index"] for p in selection.get("points", []) if "point_index" in p]
    return sorted({int(i) for i in indices})


PARTS = {"scores": "Scores", "truth": "Is it true?", "agreement": "Order by exact", "layers": "All layers"}
POINTER = {"opens": "pan", "box": "select", "lasso": "lasso"}  # what the pointer does on points; Plotly has no two at once
POINTS = ("scatter", "ranks")  # charts that have a point for each sample: a click on one opens its card


def _select(chart: str) -> None:
    st.session_state.update(chosen=picked(st.session_state[chart]), chosen_in=chart)
    st.session_state.pop("gallery_page", None)
    if chart in POINTS and len(st.session_state.chosen) == 1:  # a click on a point, not a box around many
        st.session_state.clicked = st.session_state.chosen.pop()


def _chosen_elsewhere(chart: str) -> list[int] | None:
    """What is selected in another chart, to be marked in this one; None where nothing is, or this one shows it itself."""
    chosen = st.session_state.get("chosen")
    return chosen if chosen and st.session_state.get("chosen_in") != chart else None


def _of_samples(chart: str, figure: Any, alt: str, kinds: tuple[str, ...] = ("points", "box", "lasso")) -> None:
    """Draw a chart in which samples can be selected."""
    st.plotly_chart(figure, key=chart, on_select=lambda: _select(chart), selection_mode=kinds, config=NO_BAR, alt=alt)


def charts(problem: Problem, scored: Influence) -> None:
    """Draw the histogram and the scatter of scores; the gallery shows the samples that are selected in either."""
    values, ids = scored.scores.numpy(), problem.split.forget.numpy()
    alt = f"Histogram of the scores of {len(values)} forget samples"
    _of_samples("histogram", figures.histogram(values, ids), alt, ("box",))
    with st.container(horizontal=True, gap="medium"):
        against = bound.segmented_control("Score against", ["loss", "confidence"], default="loss", key="against", required=True)
        pointer = bound.segmented_control("Pointer", list(POINTER), default="opens", key="pointer", required=True)
    loss = scored.losses.numpy()
    x, title = (loss, "Loss, nats") if against == "loss" else (100 * np.exp(-loss), "Probability of the true class, %")
    chart = figures.scatter(x, values, ids, title, against == "loss", _chosen_elsewhere("scatter"), POINTER[pointer or "opens"])
    _of_samples("scatter", chart, f"Score against {against}")


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


def agreement(problem: Problem, scored: Influence, exact: Influence) -> None:
    """Draw how much of the total score the top samples hold, and the ranks beside the exact estimator's."""
    ids = problem.split.forget.numpy()
    order = (ranking.ranks(exact.scores), ranking.ranks(scored.scores))
    chart = figures.ranks(*order, ids, scored.estimator, _chosen_elsewhere("ranks"))
    _of_samples("ranks", chart, "Rank by the chosen estimator against rank by exact")
    mark = (0.05, ranking.held_by_top(scored.scores, 0.05))
    chart = figures.concentration(ranking.concentration(scored.scores), [mark])
    st.plotly_chart(chart, key="concentration", config=NO_BAR, alt=f"The top 5 % hold {mark[1]:.0%} of the total score")


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


if said := truth.first_sentence(problem, estimator, damping):
    st.markdown(f"**{said}**")


@st.fragment
def linked() -> None:
    """Draw charts and gallery in one fragment, so that a selection does not run the whole page."""
    clicked = st.session_state.pop("clicked", None)
    left, right = st.columns([6, 6], gap="large")
    with left:
        shows = bound.parts(PARTS, key="influence_part")
        if shows("scores"):
            charts(problem, scored)
        if shows("truth"):
            truth.section(problem, scored.estimator, damping)
        if shows("agreement"):
            agreement(problem, scored, exact)
        if shows("layers"):
            through.section(problem, damping, _select)
    with right:
        right_side(problem, scored, weights)
    if clicked is not None and clicked < len(scored.scores):
        card.show(problem, scored, weights.numpy(), clicked)


linked()
facts(problem, scored, exact, weights)
with title:
    link_box.of_page(problem, "Opens this page with the same problem and choices, but for what was picked or selected")
