"""How everybody is drawn: for Plotly, for Matplotlib and for the small marks in tables. Methods declare their own look."""

from __future__ import annotations

import hashlib
import itertools
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from imu_core.methods.card import HOLLOW, SHAPES, Look
from imu_core.methods.registry import METHODS

FORGET, RETAIN, GREY = "#D55E00", "#0072B2", "#8a8a8a"
FRAMES = {"forget": FORGET, "retain": RETAIN, "none": None}  # of pictures, by the set that they are from
CLASSES = ("#4a7fc1", "#8fae3b", "#9467bd", "#7f8c8d")  # of points of the plane, by class
SAME, OTHER = "#2E9E5B", "#C8383A"  # of pictures in a rank list: the person asked for, and somebody else
INK = {"light": "#111111", "dark": "#ecebe6"}  # text, by theme: as in .streamlit/config.toml
GROUND = {"light": "#fcfcfa", "dark": "#121314"}  # of pages: as there
# One scale for "below" and "above", orange and blue around the ground of the page; both ends can be told apart in grey.
BELOW = {"light": "#e8a36b", "dark": "#8a4413"}
ABOVE = {"light": "#7db2dd", "dark": "#1c5a86"}
FAINT = "rgba(128,128,128,.15)"  # lines that only guide the eye
_NEWCOMER = "#882255"  # methods from elsewhere

# Plotly's name of a dash → Matplotlib's, in widths of the line.
DASHES: dict[str, Any] = {
    "solid": "-",
    "dot": (0, (1, 1.6)),
    "dash": (0, (4, 2)),
    "longdash": (0, (8, 2.5)),
    "dashdot": (0, (5, 2, 1, 2)),
    "longdashdot": (0, (8, 2, 1, 2)),
}

# Plotly's name of a shape with straight sides → (corners, turn in degrees, inner radius of a star as a share of the outer one),
_REGULAR: dict[str, tuple[int, float, float | None]] = {
    "triangle-up": (3, 0, None),
    "triangle-down": (3, 180, None),
    "square": (4, 45, None),
    "diamond": (4, 0, None),
    "pentagon": (5, 0, None),
    "hexagon": (6, 0, None),
    "hexagon2": (6, 30, None),
    "octagon": (8, 22.5, None),
    "star": (5, 0, 0.4),
    "star-square": (4, 45, 0.5),
    "star-diamond": (4, 0, 0.5),
    "cross": (4, 0, 0.3),
    "x": (4, 45, 0.3),
}
# or its corners: x to the right, y up, at most 1 from the middle.
_IRREGULAR: dict[str, tuple[tuple[float, float], ...]] = {
    "triangle-ne": ((-0.5, 0.8), (0.8, 0.8), (0.8, -0.5)),
    "triangle-sw": ((0.5, -0.8), (-0.8, -0.8), (-0.8, 0.5)),
    "diamond-wide": ((0.0, 0.5), (1.0, 0.0), (0.0, -0.5), (-1.0, 0.0)),
    "diamond-tall": ((0.0, 1.0), (0.5, 0.0), (0.0, -1.0), (-0.5, 0.0)),
    "hourglass": ((-0.7, 0.7), (0.7, 0.7), (-0.7, -0.7), (0.7, -0.7)),
    "bowtie": ((0.7, 0.7), (0.7, -0.7), (-0.7, 0.7), (-0.7, -0.7)),
}


@dataclass(frozen=True)
class Style:
    """How somebody is drawn: colour, dash of the line, marker, in Plotly's names; a marker that ends in "-open" is hollow."""

    colour: str
    dash: str
    marker: str

    @property
    def hollow(self) -> bool:
        """Whether the marker is drawn by its edge alone."""
        return self.marker.endswith(HOLLOW)

    @property
    def corners(self) -> list[tuple[float, float]]:
        """The corners of the marker, in order: x to the right, y up, at most 1 from the middle; [] for a circle."""
        return _corners(self.marker.removesuffix(HOLLOW))

    def for_matplotlib(self) -> dict[str, Any]:
        """The same look as keywords for Matplotlib's `plot`: a dozen markers along a line."""
        outline = self.corners
        return {
            "color": self.colour,
            "linestyle": DASHES[self.dash],
            "marker": [*outline, outline[0]] if outline else "o",
            "markerfacecolor": "none" if self.hollow else self.colour,
            "markersize": 7,
            "markevery": 0.1,
        }


def _corners(shape: str) -> list[tuple[float, float]]:
    if shape not in _REGULAR:
        return list(_IRREGULAR.get(shape, ()))
    corners, turn, inner = _REGULAR[shape]
    radii = [0.9] if inner is None else [1.0, inner]
    count = corners * len(radii)
    angles = [math.radians(turn + 360 * n / count) for n in range(count)]
    return [(radii[n % len(radii)] * math.sin(a), radii[n % len(radii)] * math.cos(a)) for n, a in enumerate(angles)]


CONTROLS: dict[str, Style] = {
    "permuted": Style("#CC79A7", "dot", "x"),
    "random": Style("#CC79A7", "dot", "x-open"),
    "uniform": Style("#CC79A7", "dot", "cross"),
    "loss": Style("#CC79A7", "dot", "star-diamond-open"),
    "gradient_norm": Style("#CC79A7", "dot", "star-square-open"),
}


def style_of(method: str, control: str | None = None) -> Style:
    """The style of a run: controls of IMU have one colour, everybody else what the method declares.

    A method that declares nothing, or what another has, gets a free dash and marker in the colour of newcomers; so does one
    that is not here any more.
    """
    if control:
        return CONTROLS.get(control, CONTROLS["permuted"])
    styles = _styles(tuple((name, known.look) for name, known in METHODS.items()))
    if method in styles:
        return styles[method]
    free = _free({(style.dash, style.marker) for style in styles.values()})
    return Style(_NEWCOMER, *free[int(hashlib.sha256(method.encode()).hexdigest(), 16) % len(free)])


@lru_cache(maxsize=8)
def _styles(declared: tuple[tuple[str, Look | None], ...]) -> dict[str, Style]:
    """The style of every method by name; no two have both dash and marker in common, so that grey prints can be read."""
    styles: dict[str, Style] = {}
    taken = {(style.dash, style.marker) for style in CONTROLS.values()}
    for name, look in declared:
        if look and (look.dash, look.marker) not in taken:
            styles[name] = Style(look.colour, look.dash, look.marker)
            taken.add((look.dash, look.marker))
    without = [name for name, _ in declared if name not in styles]
    return styles | {name: Style(_NEWCOMER, *free) for name, free in zip(without, itertools.cycle(_free(taken)), strict=False)}


def _free(taken: set[tuple[str, str]]) -> list[tuple[str, str]]:
    """The pairs of dash and marker that nobody in `taken` has."""
    markers = [shape + end for end in ("", HOLLOW) for shape in SHAPES]
    return [pair for pair in itertools.product(DASHES, markers) if pair not in taken]
