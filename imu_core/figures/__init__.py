"""Records to Plotly figures. Knows nothing of Streamlit; colour, dash and marker say who, everywhere the same."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from imu_core.depth import utility_key
from imu_core.figures.style import CONTROLS, FORGET, GREY, INK, RETAIN, Style, style_of
from imu_core.records.run import Trajectory
from imu_core.records.shapes import Json, ScopeRow
from imu_core.report.numbers import percent, power_of_ten

__all__ = ["CONTROLS", "FORGET", "GREY", "INK", "RETAIN", "Style", "style_of"]


@dataclass(frozen=True, eq=False)
class Shown:
    """A run as the figures need it: its name, its record, its style."""

    name: str
    trajectory: Trajectory
    style: Style


def utility(shown: Sequence[Shown], reference: dict[str, float] | None = None) -> str:
    """The key of the accuracy that must be kept: test_other (other classes) where whole classes go, else test (the whole set)."""
    keys = reference or next((s.trajectory.points[0].accuracies for s in shown if s.trajectory.points), {})
    return utility_key(keys)


def utility_title(key: str) -> str:
    """The title of the accuracy with this key of `utility`."""
    return "Test accuracy, other classes" if key == "test_other" else "Test accuracy"


BASE: dict[str, Json] = {
    "margin": {"l": 8, "r": 8, "t": 34, "b": 8},
    "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.03, "x": 0},
    "hovermode": "closest",
    "uirevision": "keep",
    "paper_bgcolor": "rgba(0,0,0,0)",
    "plot_bgcolor": "rgba(0,0,0,0)",
}
"""The look that all charts share: thin margins, the legend above, clear ground."""
HEIGHT = 260  # of a chart of the forget set, pixels: two lie above one another on a screen


def base(figure: go.Figure, height: int) -> go.Figure:
    """`figure`, `height` pixels high, with the look that all charts share."""
    figure.update_layout(height=height, **BASE)
    return figure


def histogram(scores: np.ndarray, ids: np.ndarray) -> go.Figure:
    """How many forget samples have which score; drag to select. Bars are drawn by Plotly, so a selection names samples."""
    figure = go.Figure(
        go.Histogram(
            x=scores,
            customdata=ids,
            nbinsx=60,
            marker={"color": FORGET, "line": {"width": 0}},
            hovertemplate="score %{x}: %{y} samples<extra></extra>",
        )
    )
    figure.update_xaxes(title="Score (positive = helpful)", zeroline=True, exponentformat="power")
    figure.update_yaxes(title="Samples (log scale)", type="log", dtick=1)
    figure.update_layout(dragmode="select", selectdirection="h", bargap=0.06)
    return base(figure, HEIGHT)


def scatter(
    x: np.ndarray,
    scores: np.ndarray,
    ids: np.ndarray,
    title: str,
    logarithmic: bool,
    marked: Sequence[int] | None = None,
    drag: str = "pan",
) -> go.Figure:
    """Score against another number of each forget sample. Those at `marked` stand out.

    `drag` is what dragging does: select (a box), lasso, or pan; only with pan does a click choose a point.
    """
    figure = go.Figure(
        go.Scattergl(
            x=x,
            y=scores,
            customdata=ids,
            mode="markers",
            marker={"color": FORGET, "size": 6, "opacity": 0.55},
            selectedpoints=marked,
            hovertemplate="sample %{customdata}: %{x:.3g}, score %{y:.3g}<extra></extra>",
        )
    )
    about = {"type": "log", **log_ticks(x)} if logarithmic else {"type": "linear"}
    figure.update_xaxes(title=title, zeroline=False, exponentformat="power", **about)
    figure.update_yaxes(title="Score", zeroline=True, exponentformat="power")
    figure.update_layout(dragmode=drag)
    return base(figure, HEIGHT)


_MOST_POWERS = 9  # that stand side by side in half a page


def log_ticks(values: np.ndarray) -> dict[str, Json]:
    """Ticks of a logarithmic axis: powers of ten, or 1, 2, 5 written in full where the positive `values` span less than two.

    Left alone, Plotly writes the 2 and 5 between powers of ten as bare digits, and the powers larger than all other figures.
    """
    positive = values[(values > 0) & np.isfinite(values)]
    if not len(positive):
        return {"dtick": 1}
    powers = range(math.floor(math.log10(positive.min())), math.ceil(math.log10(positive.max())) + 1)
    if positive.max() < 100 * positive.min():
        ticks = [digit * 10.0**power for power in powers for digit in (1, 2, 5)]
        return {"tickvals": ticks, "ticktext": [f"{tick:.6g}" for tick in ticks]}
    every = math.ceil(len(powers) / _MOST_POWERS)
    chosen = [power for power in powers if power % every == 0]
    return {
        "tickvals": [10.0**power for power in chosen],
        "ticktext": [power_of_ten(power) for power in chosen],
    }


def concentration(curve: tuple[np.ndarray, np.ndarray], marks: Sequence[tuple[float, float]]) -> go.Figure:
    """Share of the total positive score held by the top share of samples; the diagonal would be equal influence."""
    figure = go.Figure()
    figure.add_trace(
        go.Scatter(x=[0, 100], y=[0, 100], mode="lines", line={"dash": "dot", "color": GREY}, hoverinfo="skip", showlegend=False)
    )
    figure.add_trace(
        go.Scatter(
            x=100 * curve[0],
            y=100 * curve[1],
            mode="lines",
            line={"color": FORGET, "width": 2.5},
            showlegend=False,
            hovertemplate="top %{x:.1f} % hold %{y:.1f} %<extra></extra>",
        )
    )
    for share, held in marks:
        figure.add_annotation(
            x=100 * share, y=100 * held, text=f"top {100 * share:g} %: {percent(held, 0)}", ax=48, ay=18, showarrow=True
        )
    figure.update_xaxes(title="Top samples, %", range=[0, 100])
    figure.update_yaxes(title="Share of the total score, %", range=[0, 103])
    return base(figure, HEIGHT)


def ranks(
    exact: np.ndarray, chosen: np.ndarray, ids: np.ndarray, estimator: str, marked: Sequence[int] | None = None
) -> go.Figure:
    """Rank by the chosen estimator against rank by `exact`; 1 is the most influential, the diagonal is agreement.

    The samples at `marked` stand out.
    """
    n = len(exact)
    figure = go.Figure(
        go.Scatter(x=[1, n], y=[1, n], mode="lines", line={"dash": "dot", "color": GREY}, hoverinfo="skip", showlegend=False)
    )
    figure.add_trace(
        go.Scattergl(
            x=exact,
            y=chosen,
            customdata=ids,
            mode="markers",
            marker={"color": FORGET, "size": 5, "opacity": 0.5},
            selectedpoints=marked,
            hovertemplate="sample %{customdata}: rank %{x} by exact, %{y}<extra></extra>",
            showlegend=False,
        )
    )
    figure.update_xaxes(title="Rank by exact", autorange="reversed", zeroline=False)
    figure.update_yaxes(title=f"Rank by {estimator}", autorange="reversed", zeroline=False)
    return base(figure, HEIGHT)


_MOST_BARS = 12


def probabilities(names: Sequence[str], models: dict[str, np.ndarray], truth: int, theme: str = "light") -> go.Figure:
    """Class probabilities of one sample under several models, side by side; the true class is set in bold.

    Of more than twelve classes, twelve are drawn: the true one and those to which any model gives most probability.
    """
    if len(names) > _MOST_BARS:
        likely = np.max(list(models.values()), axis=0)
        classes = sorted({truth, *np.argsort(-likely)[: _MOST_BARS - 1].tolist()})
        names, truth = [names[c] for c in classes], classes.index(truth)
        models = {name: values[classes] for name, values in models.items()}
    colours = {"Original": GREY, "Retrained": INK[theme]}
    figure = go.Figure()
    for name, values in models.items():
        figure.add_trace(
            go.Bar(y=list(names), x=100 * values, name=name, orientation="h", marker={"color": colours.get(name, FORGET)})
        )
    labels = [f"<b>{name}</b>" if index == truth else name for index, name in enumerate(names)]
    figure.update_yaxes(autorange="reversed", tickvals=list(names), ticktext=labels)
    figure.update_xaxes(title="Probability, %", range=[0, 102])
    return base(figure, 320)


def scopes(rows: Sequence[ScopeRow], references: dict[str, dict[str, float]], theme: str = "light") -> go.Figure:
    """mAP of the forgotten person and of unseen people, percent, a row for each scope and batch-norm mode.

    The original model is a thin solid line, the retrained one dashed: right of the dashed line the person is easier to
    find than for a model that never saw them.
    """
    titles = {"person_map": "Person: mAP, %", "map": "Unseen: mAP, %"}
    figure = make_subplots(1, 2, shared_yaxes=True, horizontal_spacing=0.06)
    names = [f"{row['scope']}, {row['bn']}" for row in rows]
    for column, key in enumerate(titles, 1):
        for mode, symbol in (("eval", "circle-open"), ("train", "circle")):
            mine = [(100 * row[key], name) for row, name in zip(rows, names, strict=True) if row["bn"] == mode and key in row]
            marks = go.Scatter(
                x=[x for x, _ in mine], y=[name for _, name in mine], mode="markers", name=f"batch norm in {mode} mode",
                marker={"symbol": symbol, "size": 12, "color": RETAIN if mode == "eval" else FORGET, "line": {"width": 2}},
                hovertemplate="%{y}: %{x:.1f} %<extra></extra>", showlegend=column == 1,
            )  # fmt: skip
            figure.add_trace(marks, row=1, col=column)
        for who, dash in (("original", "solid"), ("retrained", "dash")):
            if key in references.get(who, {}):
                colour, at = GREY if who == "original" else INK[theme], 100 * references[who][key]
                figure.add_vline(at, line={"color": colour, "dash": dash, "width": 1.5}, row=1, col=column)
                line = {"color": colour, "dash": dash, "width": 1.5}
                if column == 1:
                    figure.add_trace(go.Scatter(x=[None], y=[None], mode="lines", line=line, name=who.capitalize()), row=1, col=1)
        figure.update_xaxes(title=titles[key], row=1, col=column)
    figure.update_yaxes(autorange="reversed", categoryorder="array", categoryarray=names)
    return base(figure, 90 + 34 * max(3, len(rows)))


def png(shown: Sequence[Shown], reference: dict[str, float] | None) -> bytes:
    """The two charts of runs, by step and in the plane, as one picture for a slide or a paper: PNG bytes, 1100 x 420 pixels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    key, figure = utility(shown, reference), Figure(figsize=(11, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    drawn = []
    for item in shown:
        points, look = item.trajectory.points, item.style.for_matplotlib()
        forget, utilities = ([100 * p.accuracies[name] for p in points] for name in ("forget", key))
        left.plot([p.step for p in points], forget, **look)
        drawn += right.plot(forget, utilities, **look)
    if reference:
        left.axhline(100 * reference["forget"], color="black", linestyle="--", linewidth=1)
        drawn += right.plot([100 * reference["forget"]], [100 * reference[key]], "k*", markersize=13, linestyle="none")
    left.set(xlabel="Step", ylabel="Forget accuracy, %")
    right.set(xlabel="Forget accuracy, %", ylabel=f"{utility_title(key)}, %")
    names = [item.name for item in shown] + (["Retrained"] if reference else [])
    for text, name in zip(right.legend(drawn, [" "] * len(names), frameon=False, fontsize=8).get_texts(), names, strict=True):
        text.set(text=name, parse_math=False)  # a name is a name: neither "$" nor "_" in front means anything
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()
