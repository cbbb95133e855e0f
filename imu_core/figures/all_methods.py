"""The chart of all methods beside one another."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from imu_core.experiments.standing import Standing
from imu_core.figures import GREY, INK, base, style_of
from imu_core.figures.style import FAINT
from imu_core.report.numbers import signed, signed_interval

_FAINT = 0.35
_ROW = 23  # pixels of a row in the chart of all methods


def standings(rows: Sequence[Standing], reference: Mapping[str, float], theme: str = "light") -> go.Figure:
    """Change of the accuracy to keep, percentage points, a row for each method in the order given; bars: 95 % intervals.

    The band is the retrained model's interval. Beside a name stands what the method saw; rows whose runs did not all reach the
    depth are faint: they forgot less, so their change is no fair price. A row far beyond the others stands at the edge, with its
    number.
    """
    names, low, high = [_label(row) for row in rows], *_span(rows, reference)
    figure = go.Figure()
    if reference:
        _band(figure, reference, theme)
    for faint in (False, True):
        mine = [(row, name) for row, name in zip(rows, names, strict=True) if (row["reached"] < row["runs"]) == faint]
        if mine:
            figure.add_trace(_standing(mine, faint, low))
    figure.add_vline(0, line={"color": GREY, "width": 1})
    figure.update_yaxes(
        type="category",
        autorange="reversed",
        categoryorder="array",
        categoryarray=names,
        showgrid=True,
        gridcolor=FAINT,
        dtick=1,
    )
    pad = 0.04 * (high - low)
    title = "Change, points"
    figure.update_xaxes(title=title, zeroline=False, range=[low - pad, high + pad])
    return base(figure, 100 + _ROW * max(4, len(rows)))


def _span(rows: Sequence[Standing], reference: Mapping[str, float]) -> tuple[float, float]:
    """From where to where the chart goes, points: all intervals of rows that got there, but for one that is far from all."""
    judged = [row for row in rows if row["reached"] == row["runs"]] or list(rows)
    middle = [100 * row["change"] for row in judged] + ([100 * reference["change"]] if reference else []) + [0.0]
    lower, upper = np.quantile(middle, (0.25, 0.75))
    furthest = lower - 4 * (upper - lower) - 1.0
    halves = [100 * _half(row) for row in judged]
    low = min(100 * row["change"] - half for row, half in zip(judged, halves, strict=True)) if judged else 0.0
    high = max((100 * row["change"] + half for row, half in zip(judged, halves, strict=True)), default=0.0)
    return max(min(low, *middle), furthest), max(high, *middle) + 0.2


def _half(row: Standing) -> float:
    value = row.get("half")
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else 0.0


def _label(row: Standing) -> str:
    saw = " + ".join(name.replace("_", " ") for name in row["saw"])
    count = "" if row["reached"] == row["runs"] else f", {row['reached']}/{row['runs']}"
    return f"{row['title']} <span style='color:{GREY}'>· {saw}{count}</span>"


def _band(figure: go.Figure, reference: Mapping[str, float], theme: str) -> None:
    at, half = 100 * reference["change"], 100 * (reference.get("half") or 0.0)
    if half and not math.isnan(half):
        figure.add_vrect(at - half, at + half, fillcolor=GREY, opacity=0.18, line_width=0, layer="below")
    line = {"color": INK[theme], "dash": "dash", "width": 1.5}
    figure.add_vline(at, line=line)
    figure.add_trace(go.Scatter(x=[None], y=[None], mode="lines", line=line, name=f"Retrained, {signed(at, 2)} points"))


def _standing(mine: Sequence[tuple[Standing, str]], faint: bool, low: float) -> go.Scatter:
    styles = [style_of(row["method"], row.get("control")) for row, _ in mine]
    halves = [100 * row["half"] if isinstance(row.get("half"), (int, float)) else math.nan for row, _ in mine]
    out = [100 * row["change"] < low for row, _ in mine]
    return go.Scatter(
        x=[low if far else 100 * row["change"] for (row, _), far in zip(mine, out, strict=True)],
        y=[name for _, name in mine],
        error_x={
            "type": "data",
            "array": [0.0 if far else half for half, far in zip(halves, out, strict=True)],
            "color": GREY,
            "thickness": 1.5,
            "width": 3,
        },
        mode="markers+text",
        text=[f"  ← {signed(100 * row['change'], 2)}" if far else "" for (row, _), far in zip(mine, out, strict=True)],
        textposition="middle right",
        opacity=_FAINT if faint else 1.0,
        marker={"color": [s.colour for s in styles], "symbol": [s.marker for s in styles], "size": 10},
        customdata=[
            [row["title"], signed_interval(100 * row["change"], half, 2), 100 * row["forget"], row["runs"]]
            for (row, _), half in zip(mine, halves, strict=True)
        ],
        hovertemplate="%{customdata[1]} points at %{customdata[2]:.1f} % forget accuracy, %{customdata[3]} runs"
        "<extra>%{customdata[0]}</extra>",
        name="Did not always get there" if faint else "Reached the depth every time",
    )
