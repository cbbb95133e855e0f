"""Charts that hold models side by side: who keeps most at equal depth, the front, classes, answers, layers, one common frame."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go
from plotly.colors import find_intermediate_color
from plotly.subplots import make_subplots

from imu_core.figures import FORGET, GREY, INK, RETAIN, Style, base
from imu_core.figures.style import ABOVE, BELOW, GROUND

if TYPE_CHECKING:
    from imu_core.evaluation.similarity import Embedding

_MOST_CLASSES = 12
_NEAR = 0.3  # of forget accuracy


@dataclass(frozen=True)
class Who:
    """A model in a chart: its name and how it is drawn."""

    name: str
    style: Style


def told_apart(first: Who, second: Who) -> Who:
    """`second`, with an open marker and a dotted line where both are drawn alike: two runs of one method."""
    if first.style != second.style:
        return second
    open_marker = second.style.marker if second.style.marker.endswith("-open") else f"{second.style.marker}-open"
    return Who(second.name, Style(second.style.colour, "dot", open_marker))


def shade(value: float, theme: str = "light") -> str:
    """The background colour (#rrggbb) of a table's cell for a `value` from −1 to 1: orange below 0, blue above; "" for nan.

    At 0 it is the background of the page. The square root makes small distances visible; beyond ±1 it is the strongest tone.
    """
    if math.isnan(value):
        return ""
    end = (BELOW if value < 0 else ABOVE)[theme]
    share = math.sqrt(min(1.0, abs(value)))
    mixed = find_intermediate_color(_rgb(GROUND[theme]), _rgb(end), share, colortype="tuple")
    return "#" + "".join(f"{round(255 * part):02x}" for part in mixed)


def _rgb(colour: str) -> tuple[float, float, float]:
    return tuple(int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))


# The plane.


@dataclass(frozen=True)
class Place:
    """Where runs of one setting end: mean forget and kept accuracy (fractions), half intervals (nan for a single run)."""

    who: Who
    forget: float
    kept: float
    forget_half: float = math.nan
    kept_half: float = math.nan
    runs: int = 1
    on_front: bool = False


def front_plane(
    places: Sequence[Place],
    original: tuple[float, float] | None,
    reference: tuple[float, float] | None,
    kept_title: str,
    theme: str = "light",
    aim: float = 0.0,
) -> go.Figure:
    """Kept accuracy (up) against forget accuracy (left), percent, one mark a setting; the line joins the Pareto front.

    `original`, `reference` are (forget, kept). With an `aim` above 0, front means near that forget accuracy, from either side.
    Where the runs end close together and far from the original, that one stands in a narrow panel of its own.
    """
    ends = [p.forget for p in places] + ([reference[0]] if reference else [])
    apart = original is not None and bool(ends) and max(ends) - min(ends) < _NEAR and original[0] - max(ends) > _NEAR
    figure = make_subplots(1, 2, shared_yaxes=True, column_widths=[0.88, 0.12], horizontal_spacing=0.02) if apart else go.Figure()
    cell = {"row": 1, "col": 1} if apart else {}
    for trace in _front(places) + [_mark(place) for place in places]:
        figure.add_trace(trace, **cell)
    if reference:
        figure.add_trace(_star("Retrained", reference, "star", INK[theme]), **cell)
    if original:
        figure.add_trace(_star("Original", original, "circle-open", GREY), **({"row": 1, "col": 2} if apart else {}))
    if aim > 0:
        figure.add_vline(100 * aim, line={"color": INK[theme], "dash": "dash", "width": 1}, **cell)
    figure.update_xaxes(zeroline=False)
    figure.update_xaxes(title="Forget accuracy, %", **cell)
    if apart:
        pad = 100 * max(0.005, 0.15 * (max(ends) - min(ends)))
        figure.update_xaxes(range=[100 * min(ends) - pad, 100 * max(ends) + pad], **cell)
        figure.update_xaxes(
            range=[100 * original[0] - 2, 100 * original[0] + 2], tickvals=[round(100 * original[0], 1)], row=1, col=2
        )
    figure.update_yaxes(zeroline=False)
    figure.update_yaxes(title=f"{kept_title}, %", **cell)
    return base(figure, 420)


def _front(places: Sequence[Place]) -> list[go.Scatter]:
    """The dotted line through the places on the front, where there are several."""
    ends = sorted((p for p in places if p.on_front), key=lambda p: p.forget)
    line = {"color": GREY, "dash": "dot", "width": 2}
    x, y = [100 * p.forget for p in ends], [100 * p.kept for p in ends]
    return [go.Scatter(x=x, y=y, mode="lines", line=line, name="Pareto front", hoverinfo="skip")] if len(ends) > 1 else []


def _mark(place: Place) -> go.Scatter:
    style, wide = place.who.style, 100 * (0.0 if math.isnan(place.kept_half) else place.kept_half)
    spread = {"type": "data", "color": style.colour, "thickness": 1.5, "width": 4}
    deep = 100 * (0.0 if math.isnan(place.forget_half) else place.forget_half)
    seeds = f"<br>{place.runs} seeds, ± {deep:.1f} and ± {wide:.1f}" if place.runs > 1 else ""
    return go.Scatter(
        x=[100 * place.forget],
        y=[100 * place.kept],
        error_x={**spread, "array": [deep], "visible": deep > 0},
        error_y={**spread, "array": [wide], "visible": wide > 0},
        mode="markers",
        name=place.who.name,
        marker={
            "color": style.colour,
            "symbol": style.marker,
            "size": 14 if place.on_front else 10,
            "opacity": 1.0 if place.on_front else 0.75,
        },
        hovertemplate=f"forget %{{x:.1f}} %, kept %{{y:.1f}} %{seeds}<extra>{place.who.name}</extra>",
    )


def _star(name: str, at: tuple[float, float], symbol: str, colour: str) -> go.Scatter:
    return go.Scatter(
        x=[100 * at[0]],
        y=[100 * at[1]],
        mode="markers",
        name=name,
        marker={"symbol": symbol, "size": 15, "color": colour, "line": {"width": 2, "color": colour}},
        hovertemplate="forget %{x:.1f} %, kept %{y:.1f} %<extra>" + name + "</extra>",
    )


# Two runs.


def class_changes(
    names: Sequence[str], changes: Mapping[str, np.ndarray], who: Mapping[str, Style], gone: Sequence[int], theme: str = "light"
) -> go.Figure:
    """Bars of every class's change in test accuracy, percentage points, side by side for the models in `changes` (C,).

    Forgotten classes stand apart, on an axis of their own: beside their fall nothing else could be seen. Of many classes only
    the twelve that changed most are drawn.
    """
    size = np.nanmax(np.nan_to_num(np.abs(np.stack(list(changes.values())))), axis=0)
    rest = [c for c in range(len(names)) if c not in gone]
    if len(rest) > _MOST_CLASSES:
        rest = sorted(rest, key=lambda c: -size[c])[:_MOST_CLASSES]
    groups = [group for group in (list(gone), rest) if group]
    widths = [max(len(group), 1.5) for group in groups]
    figure = make_subplots(1, len(groups), column_widths=widths, horizontal_spacing=0.08)
    for number, (name, values) in enumerate(changes.items()):
        style = who.get(name)
        look = {
            "color": style.colour if style else INK[theme],
            "pattern": {"shape": ("", "/", "")[min(number, 2)], "solidity": 0.4},
        }
        for column, group in enumerate(groups, 1):
            bar = go.Bar(x=[names[c] for c in group], y=100 * values[group], name=name, legendgroup=name, marker=look)
            bar.update(showlegend=column == 1, hovertemplate="%{x}: %{y:+.1f} points<extra>" + name + "</extra>")
            figure.add_trace(bar, row=1, col=column)
    figure.update_layout(barmode="group", bargap=0.25)
    figure.update_yaxes(zeroline=True, zerolinecolor=GREY)
    figure.update_yaxes(title="Change in test accuracy, points", row=1, col=1)
    if len(groups) == 2:
        figure.update_xaxes(title="to be forgotten", row=1, col=1)
        figure.update_xaxes(title="to be kept", row=1, col=2)
    return base(figure, 360)


def matrix(counts: np.ndarray, names: Sequence[str], rows: str, columns: str, theme: str = "light") -> go.Figure:
    """Counts (C, C) as a heat map with its numbers: what `rows` says down, what `columns` says across; log colours.

    The diagonal, where both say the same, has no colour, so that the differences stand out.
    """
    off = counts.astype(np.float64) - np.diag(np.diag(counts))
    figure = go.Figure(
        go.Heatmap(
            z=np.log10(off + 1),
            x=list(names),
            y=list(names),
            text=np.where(counts > 0, counts.astype(str), ""),
            customdata=counts,
            texttemplate="%{text}" if counts.size <= 200 else None,
            colorscale=[[0.0, GROUND[theme]], [1.0, BELOW[theme]]],
            showscale=False,
            xgap=1,
            ygap=1,
            hovertemplate=f"{rows}: %{{y}}<br>{columns}: %{{x}}<br>%{{customdata:,}} images<extra></extra>",
        )
    )
    figure.update_yaxes(title=f"{rows} says", autorange="reversed", showgrid=False)
    figure.update_xaxes(title=f"{columns} says", side="bottom", showgrid=False, tickangle=-40)
    return base(figure, 160 + 30 * max(4, len(names)))


def layers(
    names: Sequence[str], values: Mapping[str, Mapping[str, Sequence[float]]], who: Mapping[str, Who], theme: str = "light"
) -> go.Figure:
    """CKA by block, from the input on: to the original on the left, to the retrained model on the right where there is one.

    `values`: model → {original, retrained} → CKA; models without an entry in `who` are drawn as the retrained one.
    """
    sides = [side for side in ("original", "retrained") if any(side in similarities for similarities in values.values())]
    figure = make_subplots(1, len(sides), shared_yaxes=True, subplot_titles=[f"To the {side}" for side in sides])
    for column, side in enumerate(sides, 1):
        for name, similarities in values.items():
            if side not in similarities or name == side:
                continue
            style = who[name].style if name in who else Style(INK[theme], "dash", "star")
            line = go.Scatter(
                x=list(names),
                y=list(similarities[side]),
                name=who[name].name if name in who else "Retrained",
                legendgroup=name,
                showlegend=column == 1,
                mode="lines+markers",
                line={"color": style.colour, "dash": "dot" if name == "b" else style.dash, "width": 2},
                marker={"symbol": style.marker, "size": 9},
                hovertemplate="%{x}: %{y:.3f}<extra></extra>",
            )
            figure.add_trace(line, row=1, col=column)
    low = min(
        (v for similarities in values.values() for side in similarities.values() for v in side if not math.isnan(v)), default=0.0
    )
    figure.update_yaxes(range=[min(low - 0.05, 0.45) if low < 0.5 else math.floor(10 * low) / 10 - 0.02, 1.03], zeroline=False)
    figure.update_yaxes(title="Linear CKA", row=1, col=1)
    base(figure, 330)
    return figure.update_layout(margin={"t": 64}, legend={"y": 1.14})


def common_frame(
    embedding: Embedding, titles: Mapping[str, str], arrows: Mapping[str, Sequence[int]], theme: str = "light"
) -> go.Figure:
    """The same samples under each model of `titles` (key → title), one panel each, all in one frame with the same axes.

    Forgotten samples are warm triangles, others cool dots. Arrows lead from where the original has a sample to where this
    model has it; `arrows`: key → positions.
    """
    keys = [key for key in titles if key in embedding.places]
    figure = make_subplots(
        -(-len(keys) // 2),
        2,
        shared_xaxes="all",
        shared_yaxes="all",
        horizontal_spacing=0.03,
        vertical_spacing=0.09,
        subplot_titles=[titles[key] for key in keys],
    )
    for number, key in enumerate(keys):
        at = {"row": number // 2 + 1, "col": number % 2 + 1}
        moved = list(arrows.get(key, ()))
        if moved:
            figure.add_trace(_arrows(embedding.places["original"][moved], embedding.places[key][moved], theme), **at)
        for forget in (False, True):
            figure.add_trace(_cloud(embedding, key, forget, number == 0), **at)
    figure.update_xaxes(zeroline=False, showticklabels=False, showgrid=False)
    figure.update_yaxes(zeroline=False, showticklabels=False, showgrid=False)
    figure.update_xaxes(title="component 1", row=-(-len(keys) // 2))
    figure.update_yaxes(title="component 2", col=1)
    base(figure, 660 if len(keys) > 2 else 360)
    return figure.update_layout(margin={"t": 60}, legend={"y": 1.06, "itemsizing": "constant"})


def _cloud(embedding: Embedding, key: str, forget: bool, legend: bool) -> go.Scattergl:
    mine = embedding.is_forget == forget
    name = "to be forgotten" if forget else "others"
    return go.Scatter(
        x=embedding.places[key][mine, 0],
        y=embedding.places[key][mine, 1],
        mode="markers",
        name=name,
        legendgroup=name,
        showlegend=legend,
        customdata=embedding.ids[mine],
        marker={
            "color": FORGET if forget else RETAIN,
            "symbol": "triangle-up" if forget else "circle",
            "size": 6 if forget else 5,
            "opacity": 0.6,
        },
        hovertemplate="training sample %{customdata}<extra>" + name + "</extra>",
    )


def _arrows(start: np.ndarray, end: np.ndarray, theme: str) -> go.Scatter:
    gap = np.full(len(start), np.nan)
    path = [np.stack([start[:, axis], end[:, axis], gap], 1).ravel() for axis in (0, 1)]
    tips = np.tile([0, 9, 0], len(start))
    return go.Scatter(
        x=path[0],
        y=path[1],
        mode="lines+markers",
        line={"color": INK[theme], "width": 1},
        marker={"symbol": "arrow", "angleref": "previous", "size": tips, "color": INK[theme]},
        hoverinfo="skip",
        showlegend=False,
    )
