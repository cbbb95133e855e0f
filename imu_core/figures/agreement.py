"""Head-only influence beside influence through all layers: scores, ranks and relative discrepancy, a mark a sample."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from imu_core.evaluation.agreement import FULL, HEAD, Found, words_of
from imu_core.figures import FORGET, GREY, INK, base, log_ticks
from imu_core.influence import ranking

_HEIGHT = 300


def scores(comparison: Found, ids: np.ndarray, theme: str = "light") -> go.Figure:
    """Score by the head alone against the score through the layers; on the line they are equal. Drag to select."""
    x, y = (comparison.scores[kind].scores.numpy() for kind in (FULL, HEAD))
    ends = [float(min(x.min(), y.min())), float(max(x.max(), y.max()))]
    figure = go.Figure(_line(ends, INK[theme]))
    figure.add_trace(_marks(x, y, ids, "through the layers %{x:.3g}, by the head %{y:.3g}"))
    figure.update_xaxes(title=f"Score through {words_of(comparison.scope)}", zeroline=True, exponentformat="power")
    figure.update_yaxes(title="Score by the head alone", zeroline=True, exponentformat="power")
    return _selectable(figure)


def ranks(comparison: Found, ids: np.ndarray) -> go.Figure:
    """Rank by the head alone against the rank through the layers; 1 is the most influential, the line is agreement."""
    x, y = (ranking.ranks(comparison.scores[kind].scores) for kind in (FULL, HEAD))
    figure = go.Figure(_line([1, len(x)], GREY))
    figure.add_trace(_marks(x, y, ids, "rank %{x} through the layers, %{y} by the head"))
    figure.update_xaxes(title=f"Rank through {words_of(comparison.scope)}", autorange="reversed", zeroline=False)
    figure.update_yaxes(title="Rank by the head alone", autorange="reversed", zeroline=False)
    return _selectable(figure)


def discrepancies(comparison: Found, ids: np.ndarray) -> go.Figure:
    """Relative discrepancy |head − layers| / |layers| of every sample, percent, by its rank through the layers (Figure 2)."""
    full = comparison.scores[FULL].scores
    x, y = ranking.ranks(full), 100 * ranking.discrepancy(comparison.scores[HEAD].scores, full)
    figure = go.Figure(_marks(x, y, ids, "rank %{x} through the layers, the scores differ by %{y:.1f} %"))
    figure.update_xaxes(title=f"Rank through {words_of(comparison.scope)}", zeroline=False)
    figure.update_yaxes(title="Scores differ by, %", type="log", zeroline=False, **log_ticks(y))
    return _selectable(figure)


def _marks(x: np.ndarray, y: np.ndarray, ids: np.ndarray, words: str) -> go.Scattergl:
    return go.Scattergl(
        x=x,
        y=y,
        customdata=ids,
        mode="markers",
        marker={"color": FORGET, "size": 6, "opacity": 0.55},
        hovertemplate="sample %{customdata}: " + words + "<extra></extra>",
        showlegend=False,
    )


def _line(ends: list[float], colour: str) -> go.Scatter:
    return go.Scatter(x=ends, y=ends, mode="lines", line={"dash": "dot", "color": colour}, hoverinfo="skip", showlegend=False)


def _selectable(figure: go.Figure) -> go.Figure:
    figure.update_layout(dragmode="lasso")
    return base(figure, _HEIGHT)
