"""The mark of a method as a small picture, for tables: the colour and the shape it has in every chart."""

from __future__ import annotations

import base64

from imu_core.figures.style import Style

_SIZE, _REACH = 24, 9.5  # pixels: the picture, and how far a marker goes from its middle


def picture(style: Style) -> str:
    """The mark of `style` as a data: URL (SVG, 24 x 24); open marks have no filling."""
    fill = "none" if style.hollow else style.colour
    paint = f'fill="{fill}" stroke="{style.colour}" stroke-width="2.5" stroke-linejoin="round"'
    middle = _SIZE / 2
    corners = " ".join(f"{middle + _REACH * x:.2f},{middle - _REACH * y:.2f}" for x, y in style.corners)
    body = f'<polygon points="{corners}" {paint}/>' if corners else f'<circle cx="{middle:g}" cy="{middle:g}" r="7" {paint}/>'
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" width="{_SIZE}" height="{_SIZE}" viewBox="0 0 {_SIZE} {_SIZE}">{body}</svg>'
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()
