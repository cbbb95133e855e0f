"""How everybody is drawn: colour, dash and marker, once, for Plotly, for Matplotlib and for the small marks in tables."""

from __future__ import annotations

import hashlib
import itertools
import math
from dataclasses import dataclass
from typing import Any

from imu_core.methods import METHODS

FORGET, RETAIN, GREY = "#D55E00", "#0072B2", "#8a8a8a"
SEQUENTIAL = "#CC6677"
INK = {"light": "#1b1b1b", "dark": "#ecebe6"}
_NEWCOMER = "#882255"  # methods from elsewhere
_HOLLOW = "-open"

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
SHAPES = ("circle", *_REGULAR, *_IRREGULAR)


@dataclass(frozen=True)
class Style:
    """How somebody is drawn: colour, dash of the line, marker, in Plotly's names; a marker that ends in "-open" is hollow."""

    colour: str
    dash: str
    marker: str

    @property
    def hollow(self) -> bool:
        """Whether the marker is drawn by its edge alone."""
        return self.marker.endswith(_HOLLOW)

    @property
    def corners(self) -> list[tuple[float, float]]:
        """The corners of the marker, in order: x to the right, y up, at most 1 from the middle; [] for a circle."""
        return _corners(self.marker.removesuffix(_HOLLOW))

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


STYLES: dict[str, Style] = {
    "imu": Style("#0072B2", "solid", "circle"),
    "ga": Style("#D55E00", "solid", "triangle-up"),
    "npo": Style("#009E73", "solid", "square"),
    "simnpo": Style("#009E73", "dot", "square-open"),
    "neggrad_plus": Style("#D55E00", "dash", "triangle-down"),
    "rl": Style("#E69F00", "solid", "diamond"),
    "boundary_shrink": Style("#E69F00", "dash", "diamond-open"),
    "boundary_expand": Style("#E69F00", "dot", "diamond-wide"),
    "salun": Style("#E69F00", "dashdot", "diamond-tall"),
    "amnesiac_relabel": Style("#E69F00", "longdash", "diamond-tall-open"),
    "delete": Style("#7A5195", "solid", "hexagon"),
    "scar": Style("#7A5195", "dash", "hexagon-open"),
    "scrub": Style("#7A5195", "dot", "hexagon2"),
    "bad_teaching": Style("#7A5195", "dashdot", "hexagon2-open"),
    "trw": Style("#7A5195", "longdash", "octagon"),
    "ssd": Style("#56B4E9", "solid", "pentagon"),
    "lfssd": Style("#56B4E9", "dash", "pentagon-open"),
    "fisher": Style("#56B4E9", "dot", "hourglass"),
    "unsir": Style("#56B4E9", "longdash", "bowtie"),
    "iu_optml": Style("#56B4E9", "dashdot", "star-square"),
    "iu_woodfisher": Style("#56B4E9", "solid", "star-diamond"),
    "iau": Style("#56B4E9", "dash", "cross"),
    "usgd": Style("#56B4E9", "dot", "cross-open"),
    "newton": Style("#56B4E9", "longdashdot", "triangle-ne"),
    "amnesiac_delta": Style("#56B4E9", "longdash", "triangle-sw"),
    "finetune": Style("#8a8a8a", "dashdot", "diamond"),
    "l1_sparse": Style("#8a8a8a", "dot", "diamond-open"),
    "retrain": Style("#8a8a8a", "dash", "star"),
}
CONTROLS: dict[str, Style] = {
    "permuted": Style("#CC79A7", "dot", "x"),
    "random": Style("#CC79A7", "dot", "x-open"),
    "uniform": Style("#CC79A7", "dot", "cross"),
    "loss": Style("#CC79A7", "dot", "star-diamond-open"),
    "gradient_norm": Style("#CC79A7", "dot", "star-square-open"),
}
_TAKEN = {(style.dash, style.marker) for style in (*STYLES.values(), *CONTROLS.values())}
_FREE = [look for look in itertools.product(DASHES, [s + e for e in ("", _HOLLOW) for s in SHAPES]) if look not in _TAKEN]


def style_of(method: str, control: str | None = None) -> Style:
    """The style of a run. Controls have one colour; a method that nobody styled has one of its own in the colour of newcomers."""
    if control:
        return CONTROLS.get(control, CONTROLS["permuted"])
    return STYLES.get(method) or Style(_NEWCOMER, *_FREE[_place(method) % len(_FREE)])


def _place(method: str) -> int:
    """Where a newcomer stands among those that are registered, so that no two look alike; a hash where it is not registered."""
    others = [name for name in METHODS if name not in STYLES]
    return others.index(method) if method in others else int(hashlib.sha256(method.encode()).hexdigest(), 16)
