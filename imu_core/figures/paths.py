"""The two charts of runs, `plane` and `by_step`, as plain dictionaries: while a run goes on they are drawn again and again.

Plotly's own classes check a property each time it is set, which takes far longer than everything else about a chart, and
ten visitors who watched kept each other from getting any result. The tests check these charts with Plotly's classes instead.
"""

from __future__ import annotations

from collections.abc import Sequence

from plotly.basedatatypes import BaseFigure

from imu_core.figures import BASE, GREY, INK, Shown, utility, utility_title
from imu_core.records.run import Point, Trajectory
from imu_core.records.shapes import Json

DIGITS = 2  # of a percentage in a chart: more cannot be seen, and half of a message would be digits
_Trace = dict[str, Json]


class Chart(BaseFigure):
    """A chart as a plain dictionary, which `st.plotly_chart` takes like a figure; Plotly neither checks nor copies it."""

    def __init__(self, traces: Sequence[_Trace], layout: dict[str, Json]) -> None:
        self.__dict__["spec"] = {"data": list(traces), "layout": {**layout, "template": {"layout": {}}}}

    def to_dict(self) -> dict[str, Json]:
        """The specification itself."""
        return self.__dict__["spec"]


def plane(
    shown: Sequence[Shown],
    cursor: int | None = None,
    reference: dict[str, float] | None = None,
    theme: str = "light",
    height: int = 380,
) -> Chart:
    """Test accuracy (up) against forget accuracy (left = no longer recognised), percent; each run draws a path.

    The original model is an open grey circle, the retrained reference a star: the point to reach.
    """
    key, traces = utility(shown, reference), []
    for item in shown:
        points = _until(item.trajectory, cursor)
        traces.append(_path(item, points, key))
        if points:
            traces.append(_tip(item, points[-1].accuracies, key))
    start = next((s.trajectory.points[0].accuracies for s in shown if s.trajectory.points), None)
    if start:
        traces.append(_mark("Original", start, key, "circle-open", GREY))
    if reference:
        traces.append(_mark("Retrained", reference, key, "star", INK[theme]))
    axes = {
        "xaxis": {"title": {"text": "Forget accuracy, %"}, "range": [-4, 106], "zeroline": False},
        "yaxis": {"title": {"text": f"{utility_title(key)}, %"}, "range": value_range(shown, key, reference), "zeroline": False},
    }
    return Chart(traces, {**BASE, "height": height, **axes})


def by_step(
    shown: Sequence[Shown],
    cursor: int | None = None,
    reference: dict[str, float] | None = None,
    theme: str = "light",
    height: int = 380,
) -> Chart:
    """Two charts over the step: forget accuracy above, the accuracy that must be kept below; dashes: the retrained model."""
    key, traces = utility(shown, reference), []
    for item in shown:
        points = _until(item.trajectory, cursor)
        traces += [_curve(item, points, name, axis) for name, axis in (("forget", ""), (key, "2"))]
    last = max((s.trajectory.points[-1].step for s in shown if s.trajectory.points), default=1)
    steps = {"range": [-0.02 * last, max(1, last) * 1.02], "zeroline": False, "domain": [0, 1]}
    short = "Test, other, %" if key == "test_other" else "Test, %"
    axes = {
        "xaxis": {**steps, "anchor": "y", "matches": "x2", "showticklabels": False},
        "xaxis2": {**steps, "anchor": "y2", "title": {"text": "Step"}},
        "yaxis": {"anchor": "x", "domain": [0.54, 1], "title": {"text": "Forget, %"}, "range": [-4, 106], "zeroline": False},
        "yaxis2": {
            "anchor": "x2", "domain": [0, 0.46], "title": {"text": short},
            "range": value_range(shown, key, reference), "zeroline": False,
        },
    }  # fmt: skip
    lines = [_level(reference[name], axis, theme) for name, axis in (("forget", ""), (key, "2"))] if reference else []
    return Chart(traces, {**BASE, "height": height, **axes, "shapes": lines})


def _until(trajectory: Trajectory, cursor: int | None) -> list[Point]:
    return [p for p in trajectory.points if cursor is None or p.step <= cursor]


def _percent(fraction: float) -> float:
    return round(100 * fraction, DIGITS)


def _path(item: Shown, points: Sequence[Point], key: str) -> _Trace:
    return {
        "type": "scatter",
        "x": [_percent(p.accuracies["forget"]) for p in points],
        "y": [_percent(p.accuracies[key]) for p in points],
        "name": item.name,
        "mode": "lines+markers",
        "line": {"color": item.style.colour, "dash": item.style.dash, "width": 2},
        "marker": {"symbol": item.style.marker, "size": _sizes(points)},
        "customdata": [p.step for p in points],
        "hovertemplate": "step %{customdata}: forget %{x:.1f} %, test %{y:.1f} %<extra>" + item.name + "</extra>",
        "showlegend": False,
    }


def _sizes(points: Sequence[Point]) -> list[int]:
    """Marker sizes: every point of a short run, about a dozen along a long one, so that grey print still tells who is who."""
    steps = max((p.step for p in points), default=0)
    gap = 1 if steps < 30 else 10 ** (len(str(steps)) - 1)
    return [6 if p.step % gap == 0 else 0 for p in points]


def _tip(item: Shown, last: dict[str, float], key: str) -> _Trace:
    return {
        "type": "scatter",
        "x": [_percent(last["forget"])],
        "y": [_percent(last[key])],
        "name": item.name,
        "mode": "markers",
        "marker": {"symbol": item.style.marker, "size": 12, "color": item.style.colour},
        "hovertemplate": "%{x:.1f} %, %{y:.1f} %<extra>" + item.name + "</extra>",
    }


def _mark(name: str, accuracies: dict[str, float], key: str, symbol: str, colour: str) -> _Trace:
    return {
        "type": "scatter",
        "x": [_percent(accuracies["forget"])],
        "y": [_percent(accuracies[key])],
        "name": name,
        "mode": "markers",
        "marker": {"symbol": symbol, "size": 15, "color": colour, "line": {"width": 2, "color": colour}},
        "hovertemplate": name + ": forget %{x:.1f} %, test %{y:.1f} %<extra></extra>",
    }


def value_range(shown: Sequence[Shown], key: str, reference: dict[str, float] | None) -> list[float]:
    """The ends of the axis of the accuracy `key`, percent: fixed over a whole replay, so that nothing but the points moves."""
    values = [100 * p.accuracies[key] for s in shown for p in s.trajectory.points]
    values += [100 * reference[key]] if reference else []
    if not values:
        return [0, 100]
    low, high = min(values), max(values)
    pad = max(1.0, 0.12 * (high - low))
    return [round(max(-1.0, low - pad), DIGITS), round(min(101.0, high + pad), DIGITS)]


def _level(value: float, axis: str, theme: str) -> dict[str, Json]:
    at = _percent(value)
    line = {"dash": "dash", "color": INK[theme], "width": 1.5}
    return {"type": "line", "x0": 0, "x1": 1, "xref": f"x{axis} domain", "y0": at, "y1": at, "yref": f"y{axis}", "line": line}


def _curve(item: Shown, points: Sequence[Point], name: str, axis: str) -> _Trace:
    return {
        "type": "scatter",
        "x": [p.step for p in points],
        "y": [_percent(p.accuracies[name]) for p in points],
        "xaxis": f"x{axis}",
        "yaxis": f"y{axis}",
        "name": item.name,
        "legendgroup": item.name,
        "showlegend": not axis,
        "mode": "lines+markers",
        "line": {"color": item.style.colour, "dash": item.style.dash, "width": 2},
        "marker": {"symbol": item.style.marker, "size": _sizes(points)},
        "hovertemplate": "step %{x}: %{y:.1f} %<extra>" + item.name + "</extra>",
    }
