"""Figures of attacks: scores of both sides of a threshold, curves of the probe, curves of relearning."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from imu_core.figures import GREY, INK, Style, base
from imu_core.metrics.thresholds import Accuses

BARS = 60
_LEFT, _RIGHT = 58, 14  # margins in pixels, fixed so that a slider below can have the same
_OTHERS = {"original": "Original", "retrained": "Retrained", "untrained": "Random weights", "random head": "Random head"}


@dataclass(frozen=True, eq=False)
class Side:
    """One side of a threshold attack: what the legend calls it, its scores (n,) as the axis shows them, its colour."""

    name: str
    values: np.ndarray
    colour: str


def mirrored(
    up: Side, down: Side, threshold: float, accuses: Accuses, span: tuple[float, float], title: str, theme: str = "light"
) -> go.Figure:
    """Two histograms back to back, percent of each side, over one axis `span`; accused bars are drawn full.

    `accuses` says which side of the threshold is accused. The margins are fixed (58 and 14 pixels), the bins of both sides
    the same.
    """
    edges = np.linspace(*span, BARS + 1)
    figure, most = go.Figure(), 0.0
    for side, sign in ((up, 1), (down, -1)):
        counts = np.histogram(side.values, edges)[0]
        shares = 100 * counts / max(1, len(side.values))
        most = max(most, float(shares.max()))
        figure.add_trace(_bars(side, sign * shares, counts, edges, threshold, accuses))
    ticks = _ticks(most)
    figure.update_layout(barmode="overlay", bargap=0.04)
    figure.update_yaxes(
        title="Share of samples, %", tickvals=ticks, ticktext=[f"{abs(t):g}" for t in ticks], range=[-1.18 * most, 1.18 * most]
    )
    figure.update_yaxes(zeroline=True, zerolinecolor=GREY, zerolinewidth=1, automargin=False)
    figure.update_xaxes(title=title, range=list(span), zeroline=False)
    figure.add_vline(threshold, line={"color": INK[theme], "width": 2})
    _point_at_accused(figure, threshold, accuses, span)
    base(figure, 380).update_layout(margin={"l": _LEFT, "r": _RIGHT})
    return figure


def _bars(side: Side, heights: np.ndarray, counts: np.ndarray, edges: np.ndarray, threshold: float, accuses: Accuses) -> go.Bar:
    middles = (edges[:-1] + edges[1:]) / 2
    accused = middles <= threshold if accuses == Accuses.AT_MOST else middles >= threshold
    return go.Bar(
        x=middles,
        y=heights,
        width=(edges[1] - edges[0]) * 0.94,
        name=side.name,
        marker={"color": side.colour, "opacity": np.where(accused, 1.0, 0.35).tolist(), "line": {"width": 0}},
        customdata=np.stack([counts, edges[:-1], edges[1:]], 1),
        hovertemplate="%{customdata[0]} samples from %{customdata[1]:.3g} to %{customdata[2]:.3g}<extra>"
        + side.name
        + "</extra>",
    )


def _ticks(most: float) -> list[float]:
    """Round heights up to `most` and their mirror images."""
    raw = max(most, 1e-9) / 3
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= raw)
    above = [step * k for k in range(1, int(most / step) + 1)]
    return [*(-t for t in reversed(above)), 0.0, *above]


def _point_at_accused(figure: go.Figure, threshold: float, accuses: Accuses, span: tuple[float, float]) -> None:
    left = accuses == Accuses.AT_MOST
    room = (threshold - span[0] if left else span[1] - threshold) > 0.12 * (span[1] - span[0])
    figure.add_annotation(
        x=threshold, y=1.0, yref="paper", yanchor="top", showarrow=False, text="◀ accused" if left else "accused ▶",
        xanchor="right" if left == room else "left", xshift=-6 if left == room else 6,
    )  # fmt: skip


def probe(
    result: Mapping[str, Sequence[dict[str, float]]], name: str, style: Style, title: str, theme: str = "light"
) -> go.Figure:
    """Accuracy of a fresh head by step, percent, a line a model: on what the `title` names (left), on everything else (right).

    `result` is that of `attacks.Probe`; the model called "unlearned" is drawn as the run `name` with its `style`.
    """
    figure = make_subplots(1, 2, shared_yaxes=True, horizontal_spacing=0.05, subplot_titles=(title, "Everything else"))
    for model, points in [(model, list(points)) for model, points in result.items()]:  # it may be growing
        for column, key in ((1, "forgotten"), (2, "others")):
            line = _line(model, name, style, theme, [p["step"] for p in points], [100 * p[key] for p in points])
            figure.add_trace(line.update(showlegend=column == 1), row=1, col=column)
    figure.update_xaxes(title="Step of the fresh head", zeroline=False)
    figure.update_yaxes(range=[-4, 104], zeroline=False)
    figure.update_yaxes(title="Accuracy, %", row=1, col=1)
    return base(figure, 320).update_layout(margin={"t": 70}, legend={"y": 1.13})


def relearning(result: Mapping[str, Any], name: str, style: Style, theme: str = "light") -> go.Figure:
    """Forget accuracy by step of training on, percent, a line a model; the horizontal line is the accuracy to reach.

    `result` is that of `attacks.Relearn`; the model called "run" is drawn as the run `name` with its `style`.
    """
    figure, target = go.Figure(), 100 * result["target"]
    curves = {model: list(points) for model, points in list(result["curves"].items())}  # it may be growing
    for model, points in curves.items():
        steps, heights = [p["step"] for p in points], [100 * p["forget"] for p in points]
        figure.add_trace(_line(model, name, style, theme, steps, heights))
    text = f"recognised again: {target:.1f} %"
    figure.add_hline(
        target, line={"color": GREY, "width": 1, "dash": "dash"}, annotation_text=text, annotation_position="top left"
    )
    last = max((p["step"] for points in curves.values() for p in points), default=0)
    figure.update_xaxes(title="Step of relearning", range=[-0.02 * max(1, last), 1.02 * max(1, last)], zeroline=False)
    lowest = min((p["forget"] for points in curves.values() for p in points), default=0.0)
    low = -4 if lowest < 0.5 else 100 * lowest - 5
    figure.update_yaxes(title="Forget accuracy, %", range=[low, 100 + (100 - low) / 13], zeroline=False)
    return base(figure, 320)


def _line(model: str, name: str, style: Style, theme: str, steps: list[float], heights: list[float]) -> go.Scatter:
    """One model's curve; the original's rings are drawn large, so that a curve on top of it can be seen to be on top of it."""
    colour, dash, symbol, size = style.colour, style.dash, style.marker, 5
    if model == "retrained":
        colour, dash, symbol, size = INK[theme], "dash", "star", 8
    elif model == "original":
        colour, dash, symbol, size = GREY, "solid", "circle-open", 11
    elif model in _OTHERS:
        colour, dash, symbol, size = GREY, "dot", "x", 6
    every = max(1, len(steps) // 10)
    return go.Scatter(
        x=steps,
        y=heights,
        name=_OTHERS.get(model, name),
        mode="lines+markers",
        line={"color": colour, "dash": dash, "width": 2},
        marker={"symbol": symbol, "size": [size if k % every == 0 else 0 for k in range(len(steps))]},
        hovertemplate="step %{x}: %{y:.1f} %<extra>" + _OTHERS.get(model, name) + "</extra>",
    )
