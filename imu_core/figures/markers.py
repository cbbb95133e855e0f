"""The mark of a method as a small picture, for tables: the colour and the shape it has in every chart."""

from __future__ import annotations

import base64
import math

from imu_core.figures import Style

# Shape → (corners, turn in degrees, inner radius of a star as a share of the outer one); what is not here is a circle.
_SHAPES: dict[str, tuple[int, float, float | None]] = {
    "triangle-up": (3, 0, None),
    "triangle-down": (3, 180, None),
    "triangle-ne": (3, 45, None),
    "triangle-sw": (3, 225, None),
    "square": (4, 45, None),
    "diamond": (4, 0, None),
    "diamond-wide": (4, 0, None),
    "diamond-tall": (4, 0, None),
    "diamond-x": (4, 0, None),
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
_SIZE = 24  # pixels


def picture(style: Style) -> str:
    """The mark of `style` as a data: URL (SVG, 24 x 24); open marks have no filling, shapes of few methods become circles."""
    shape, hollow = style.marker.removesuffix("-open"), style.marker.endswith("-open")
    fill = "none" if hollow else style.colour
    paint = f'fill="{fill}" stroke="{style.colour}" stroke-width="2.5" stroke-linejoin="round"'
    body = f'<polygon points="{_corners(shape)}" {paint}/>' if shape in _SHAPES else f'<circle cx="12" cy="12" r="7" {paint}/>'
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" width="{_SIZE}" height="{_SIZE}" viewBox="0 0 24 24">{body}</svg>'
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


def _corners(shape: str) -> str:
    corners, turn, inner = _SHAPES[shape]
    radii = [8.5] if inner is None else [9.5, 9.5 * inner]
    count = corners * len(radii)
    angles = [math.radians(turn + 360 * n / count) for n in range(count)]
    radius = [radii[n % len(radii)] for n in range(count)]
    return " ".join(f"{12 + r * math.sin(a):.2f},{12 - r * math.cos(a):.2f}" for r, a in zip(radius, angles, strict=True))
