"""Charts of the paper's tables beside ours: printed marks and measured intervals, scores sample by sample and epoch by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from imu_core.figures import FORGET, GREY, INK, Style, base, style_of
from imu_core.figures.style import FAINT
from imu_core.records.shapes import MeanRecord

_ROW = 25  # pixels of a row
_FAINT = 0.4


@dataclass(frozen=True)
class Pair:
    """A row of a table in one column: what we measured and what the paper prints, each with half an interval or None."""

    title: str
    method: str
    control: str | None
    ours: float | None
    half: float | None = None
    theirs: float | None = None
    their_half: float | None = None
    faint: bool = False

    @property
    def style(self) -> Style:
        """How it is drawn; the original and the retrained model have no method."""
        if self.method in ("original", "retrained"):
            return Style(GREY, "solid", "circle-open" if self.method == "original" else "star")
        return style_of(self.method, self.control)


def beside(pairs: Sequence[Pair], title: str, theme: str = "light") -> go.Figure:
    """A row for each pair, in the order given: the paper's value as a diamond, ours as the method's mark; bars: 95 % intervals.

    A thin line joins the two. Faint: some runs of ours did not reach the depth of the others.
    """
    figure, names = go.Figure(), [pair.title for pair in pairs]
    for pair in pairs:
        if pair.ours is not None and pair.theirs is not None:
            line = {"color": GREY, "width": 1}
            figure.add_trace(
                go.Scatter(
                    x=[pair.ours, pair.theirs], y=[pair.title] * 2, mode="lines", line=line, hoverinfo="skip", showlegend=False
                )
            )
    figure.add_trace(_printed([pair for pair in pairs if pair.theirs is not None], theme))
    for pair in pairs:
        if pair.ours is not None:
            figure.add_trace(_measured(pair))
    figure.add_trace(_legend(theme))
    figure.update_yaxes(
        type="category",
        autorange="reversed",
        categoryorder="array",
        categoryarray=names,
        gridcolor=FAINT,
        dtick=1,
    )
    figure.update_xaxes(title=title, zeroline=False)
    return base(figure, 96 + _ROW * max(4, len(pairs)))


def _printed(pairs: Sequence[Pair], theme: str) -> go.Scatter:
    return go.Scatter(
        x=[pair.theirs for pair in pairs],
        y=[pair.title for pair in pairs],
        error_x={
            "type": "data",
            "array": [pair.their_half or 0.0 for pair in pairs],
            "color": INK[theme],
            "thickness": 1,
            "width": 3,
        },
        mode="markers",
        name="the paper",
        marker={"symbol": "diamond-open", "size": 11, "color": INK[theme], "line": {"width": 1.5}},
        hovertemplate="%{y}: %{x:.2f}<extra>the paper</extra>",
    )


def _measured(pair: Pair) -> go.Scatter:
    style = pair.style
    return go.Scatter(
        x=[pair.ours],
        y=[pair.title],
        error_x={"type": "data", "array": [pair.half or 0.0], "color": style.colour, "thickness": 2, "width": 4},
        mode="markers",
        marker={"symbol": style.marker, "size": 10, "color": style.colour},
        opacity=_FAINT if pair.faint else 1.0,
        hovertemplate="%{y}: %{x:.2f}<extra>here</extra>",
        showlegend=False,
    )


def _legend(theme: str) -> go.Scatter:
    """An entry that stands for all marks of ours, whose colours say which method it is."""
    marker = {"symbol": "circle", "size": 9, "color": GREY}
    return go.Scatter(x=[None], y=[None], mode="markers", name="here, in the method's colour", marker=marker)


def influence(points: Mapping[str, Sequence[Sequence[float]]], titles: Mapping[str, str], theme: str = "light") -> go.Figure:
    """N·s of single forget samples in ascending order, a panel for each kind of forget set; dots are samples."""
    figure = make_subplots(1, max(1, len(points)), subplot_titles=[titles[kind] for kind in points], horizontal_spacing=0.08)
    for column, (kind, samples) in enumerate(points.items(), 1):
        ordered = sorted(samples, key=lambda pair: pair[1])
        trace = go.Scatter(
            x=[100 * (place + 0.5) / len(ordered) for place in range(len(ordered))],
            y=[value for _, value in ordered],
            customdata=[int(sample) for sample, _ in ordered],
            mode="markers",
            name=kind,
            marker={"color": FORGET, "size": 5, "opacity": 0.6},
            hovertemplate="training sample %{customdata}: %{y:.4f}<extra></extra>",
            showlegend=False,
        )
        figure.add_trace(trace, row=1, col=column)
    figure.add_hline(0, line={"color": GREY, "width": 1})
    figure.update_xaxes(title="Forget samples in order, %", zeroline=False)
    figure.update_yaxes(zeroline=False)
    figure.update_yaxes(title="Influence, N·s", col=1)
    base(figure, 360)
    return figure.update_layout(margin={"t": 48})


def epochs(
    lines: Mapping[str, Mapping[str, Sequence[float]]], shares: Mapping[str, Mapping[str, Sequence[MeanRecord]]],
    titles: Mapping[str, str], theme: str = "light",
) -> go.Figure:  # fmt: skip
    """Above: N·s of single samples after each epoch of IMU. Below: one share over all samples under IMU and GA, percent ± 95 %.

    `lines`: kind → sample → values; `shares`: kind → imu and ga → {mean, half} at each epoch; `titles`: kind → heading.
    """
    figure = make_subplots(
        2, max(1, len(lines)), shared_xaxes=True, horizontal_spacing=0.08, vertical_spacing=0.1,
        subplot_titles=[titles[kind] for kind in lines],
    )  # fmt: skip
    for column, kind in enumerate(lines, 1):
        for sample, values in lines[kind].items():
            figure.add_trace(_line(sample, values), row=1, col=column)
        for who, told in shares[kind].items():
            figure.add_trace(_share(who, told, column == 1), row=2, col=column)
    figure.update_xaxes(title="Epoch", dtick=1, zeroline=False, row=2)
    figure.update_yaxes(zeroline=False)
    figure.update_yaxes(title="Influence, N·s", row=1, col=1)
    figure.update_yaxes(title="Share, %", row=2, col=1)
    base(figure, 560)
    return figure.update_layout(margin={"t": 72}, legend={"y": 1.07})


def _line(sample: str, values: Sequence[float]) -> go.Scatter:
    return go.Scatter(
        x=list(range(len(values))),
        y=list(values),
        mode="lines",
        line={"color": FORGET, "width": 1.3},
        opacity=0.7,
        hovertemplate=f"training sample {sample}, epoch %{{x}}: %{{y:.4f}}<extra></extra>",
        showlegend=False,
    )


def _share(who: str, told: Sequence[MeanRecord], legend: bool) -> go.Scatter:
    style = style_of(who)
    return go.Scatter(
        x=list(range(len(told))),
        y=[100 * value["mean"] for value in told],
        error_y={
            "type": "data",
            "array": [100 * (value["half"] or 0.0) for value in told],
            "color": style.colour,
            "thickness": 1.5,
        },
        mode="lines+markers",
        name={"imu": "IMU", "ga": "GA, the control"}[who],
        line={"color": style.colour, "dash": "dot" if who == "ga" else style.dash, "width": 2},  # often one upon the other
        marker={"symbol": style.marker, "size": 8},
        hovertemplate="epoch %{x}: %{y:.1f} %<extra></extra>",
        showlegend=legend,
    )


def ranks(head: Sequence[float], full: Sequence[float], theme: str = "light") -> go.Figure:
    """Full-model score against head score, a dot a sample: on a rising curve both order the samples alike."""
    figure = go.Figure(
        go.Scatter(
            x=list(head),
            y=list(full),
            mode="markers",
            marker={"color": FORGET, "size": 6, "opacity": 0.6},
            hovertemplate="head %{x:.4g}, whole model %{y:.4g}<extra></extra>",
        )
    )
    figure.update_xaxes(title="Score by the head", zeroline=False, exponentformat="power")
    figure.update_yaxes(title="Score through the whole model", zeroline=False, exponentformat="power")
    return base(figure, 400)
