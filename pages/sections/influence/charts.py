"""The charts of the page Influence: scores, and the order of samples beside the exact one; what is selected is marked in all."""

from __future__ import annotations

from typing import Any

import numpy as np
import streamlit as st

from imu_core import figures
from imu_core.influence import ranking
from imu_core.records.run import Influence, Problem
from pages.widgets import bound
from pages.widgets.theme import NO_BAR

POINTER = {"opens": "pan", "box": "select", "lasso": "lasso"}  # what the pointer does on points; Plotly has no two at once
POINTS = ("scatter", "ranks")  # charts that have a point for each sample: a click on one opens its card


def picked(event: dict) -> list[int]:
    """Positions within the forget set that a chart selection names: Plotly gives raw sample indices for both charts."""
    selection = (event or {}).get("selection") or {}
    indices = selection.get("point_indices") or [p["point_index"] for p in selection.get("points", []) if "point_index" in p]
    return sorted({int(i) for i in indices})


def select(chart: str) -> None:
    """Callback: note what is selected in `chart`; one point that was clicked opens its card."""
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
    st.plotly_chart(figure, key=chart, on_select=lambda: select(chart), selection_mode=kinds, config=NO_BAR, alt=alt)


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


def agreement(problem: Problem, scored: Influence, exact: Influence) -> None:
    """Draw how much of the total score the top samples hold, and the ranks beside the exact estimator's."""
    ids = problem.split.forget.numpy()
    order = (ranking.ranks(exact.scores), ranking.ranks(scored.scores))
    chart = figures.ranks(*order, ids, scored.estimator, _chosen_elsewhere("ranks"))
    _of_samples("ranks", chart, "Rank by the chosen estimator against rank by exact")
    mark = (0.05, ranking.held_by_top(scored.scores, 0.05))
    chart = figures.concentration(ranking.concentration(scored.scores), [mark])
    st.plotly_chart(chart, key="concentration", config=NO_BAR, alt=f"The top 5 % hold {mark[1]:.0%} of the total score")
