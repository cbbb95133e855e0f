"""Draw one pedestrian: shapes in body coordinates, on a colour canvas and on a canvas that says which part each pixel is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from PIL import Image, ImageDraw

from imu_core.data.people.look import Colour, Look

PARTS = ("background", "skin", "hair", "top", "logo", "bottom", "shoes", "bag", "occluder")
CUES = ("hair", "top", "logo", "bottom", "shoes", "bag")  # what tells one identity from another
VIEWS = ("front", "back", "left", "right")
Point = tuple[float, float]


@dataclass(frozen=True)
class Pose:
    """One shot of a body: where the head's top is (pixels), how tall it is, viewpoint, stride −1 to 1, swing of the arms."""

    x: float
    y: float
    height: float
    view: str
    stride: float
    swing: float


class Body:
    """A pen in body coordinates: u from −0.5 to 0.5 across, v from 0 (top of the head) to 1 (soles), both in body heights."""

    def __init__(self, colours: Image.Image, parts: Image.Image, pose: Pose, build: float) -> None:
        self.colours, self.parts, self.pose, self.build = colours, parts, pose, build
        self.side = pose.view in ("left", "right")
        self._mirror = -1.0 if pose.view == "left" else 1.0
        self._pens = ImageDraw.Draw(colours), ImageDraw.Draw(parts)

    def at(self, u: float, v: float) -> Point:
        """(x, y) in pixels of the body coordinates (u, v)."""
        return self.pose.x + self._mirror * u * self.pose.height, self.pose.y + v * self.pose.height

    def polygon(self, points: Sequence[Point], colour: Colour, part: str) -> None:
        """Draw a filled polygon whose corners are in body coordinates."""
        corners = [self.at(u, v) for u, v in points]
        self._pens[0].polygon(corners, fill=colour)
        self._pens[1].polygon(corners, fill=PARTS.index(part))

    def ellipse(self, u: float, v: float, ru: float, rv: float, colour: Colour, part: str, cut: float | None = None) -> None:
        """Draw a filled ellipse around (u, v), with radii `ru` and `rv`; with `cut` only what lies above v = cut."""
        (x, y), height = self.at(u, v), self.pose.height
        box = (x - ru * height, y - rv * height, x + ru * height, y + rv * height)
        if cut is None:
            self._pens[0].ellipse(box, fill=colour)
            self._pens[1].ellipse(box, fill=PARTS.index(part))
            return
        mask = Image.new("1", self.colours.size)
        pen = ImageDraw.Draw(mask)
        pen.ellipse(box, fill=1)
        pen.rectangle((0, self.at(0, cut)[1], *mask.size), fill=0)
        self._stamp(mask, Image.new("RGB", mask.size, colour), part)

    def limb(self, joints: Sequence[Point], widths: Sequence[float], colour: Colour, part: str) -> None:
        """Draw a tapering tube through `joints`, at each as wide as `widths` says; its ends are round."""
        for (a, b), (wa, wb) in zip(pairwise(joints), pairwise(widths), strict=True):
            (ua, va), (ub, vb) = a, b
            length = ((ub - ua) ** 2 + (vb - va) ** 2) ** 0.5 or 1.0
            nu, nv = -(vb - va) / length / 2, (ub - ua) / length / 2
            self.polygon(
                [
                    (ua + nu * wa, va + nv * wa),
                    (ub + nu * wb, vb + nv * wb),
                    (ub - nu * wb, vb - nv * wb),
                    (ua - nu * wa, va - nv * wa),
                ],
                colour,
                part,
            )
        for (u, v), w in zip(joints, widths, strict=True):
            self.ellipse(u, v, w / 2, w / 2, colour, part)

    def cloth(self, points: Sequence[Point], look: Look, part: str) -> None:
        """Draw a polygon filled with the pattern of the identity's top."""
        corners = [self.at(u, v) for u, v in points]
        mask = Image.new("1", self.colours.size)
        ImageDraw.Draw(mask).polygon(corners, fill=1)
        self._stamp(mask, self._pattern(look), part)

    def _stamp(self, mask: Image.Image, fill: Image.Image, part: str) -> None:
        self.colours.paste(fill, mask=mask)
        self.parts.paste(PARTS.index(part), mask=mask)

    def _pattern(self, look: Look) -> Image.Image:
        """The top's cloth as a whole canvas, in body coordinates, so that it moves with the body."""
        canvas = Image.new("RGB", self.colours.size, look.top_colour)
        pen, second = ImageDraw.Draw(canvas), look.second_colour
        step = 0.052

        def box(u0: float, v0: float, u1: float, v1: float) -> tuple[float, ...]:
            (xa, ya), (xb, yb) = self.at(u0, v0), self.at(u1, v1)
            return min(xa, xb), ya, max(xa, xb), yb

        if look.pattern in ("hoops", "checks"):
            for k in range(12):
                pen.rectangle(box(-0.5, 0.15 + k * step, 0.5, 0.15 + (k + 0.45) * step), fill=second)
        if look.pattern in ("stripes", "checks"):
            for k in range(-8, 9):
                pen.rectangle(box((k - 0.22) * step, 0, (k + 0.22) * step, 1), fill=second)
        if look.pattern == "dots":
            for row in range(12):
                for k in range(-6, 7):
                    u, v, r = (k + 0.5 * (row % 2)) * step, 0.16 + row * step, 0.014
                    pen.ellipse(box(u - r, v - r, u + r, v + r), fill=second)
        if look.pattern == "halves":
            pen.rectangle(box(-0.5, 0.34, 0.5, 1), fill=second)
        if look.pattern == "band":
            pen.rectangle(box(-0.5, 0.27, 0.5, 0.36), fill=second)
        return canvas


def draw(body: Body, look: Look) -> None:
    """Draw the whole person: what is farthest from the camera first, what is nearest last."""
    shoulder = (0.068 if body.side else 0.122) * look.build
    if look.bag == "backpack" and body.side:
        body.limb([(-0.085, 0.24), (-0.085, 0.4)], [0.1, 0.11], look.bag_colour, "bag")
    if look.hair == "long":
        body.limb(
            [(-0.012 if body.side else 0, 0.075), (-0.025 if body.side else 0, 0.2)], [0.12, 0.105], look.hair_colour, "hair"
        )
    _arm(body, look, -shoulder, -1)
    _legs(body, look)
    body.limb([(0, 0.11), (0, 0.17)], [0.055, 0.06], look.skin, "skin")
    _torso(body, look, shoulder)
    _chest(body, look)
    _arm(body, look, 0.0 if body.side else shoulder, 1)
    _bag(body, look, shoulder)
    _head(body, look)


def _darker(colour: Colour, share: float = 0.82) -> Colour:
    return tuple(int(c * share) for c in colour)


def _legs(body: Body, look: Look) -> None:
    spread = 0.1 if body.side else 0.03
    for sign, tint in ((-1, 0.8), (1, 1.0)):
        hip = (sign * (0.012 if body.side else 0.046 * look.build), 0.49)
        stride = sign * body.pose.stride
        foot = (hip[0] + stride * spread, 0.95 - (0.02 * max(0.0, -stride)))
        knee = ((hip[0] + foot[0]) / 2 + (0.015 if body.side else 0.0), 0.715)
        cloth = _darker(look.bottom_colour, tint)
        bare = look.bottom in ("shorts", "skirt")
        widths = [0.092 * look.build, 0.074 * look.build, 0.055]
        body.limb([hip, knee, foot], [w * (0.82 if bare else 1) for w in widths], _darker(look.skin, tint) if bare else cloth,
                  "skin" if bare else "bottom")  # fmt: skip
        if look.bottom == "shorts":
            end = (hip[0] + 0.8 * (knee[0] - hip[0]), 0.49 + 0.8 * 0.225)
            body.limb([hip, end], [0.1 * look.build, 0.1 * look.build], cloth, "bottom")
        _shoe(body, look, foot, tint)
    if look.bottom == "skirt":
        half, low = 0.075 * look.build, (0.095 if body.side else 0.12) * look.build
        body.polygon([(-half, 0.47), (half, 0.47), (low, 0.7), (-low, 0.7)], look.bottom_colour, "bottom")


def _shoe(body: Body, look: Look, foot: Point, tint: float) -> None:
    colour, (u, v) = _darker(look.shoe_colour, tint), foot
    toe = 0.03 if body.side else 0.0
    if look.boots:
        body.limb([(u, v - 0.11), (u, v)], [0.062, 0.058], colour, "shoes")
    body.ellipse(u + toe, v + 0.022, 0.052 if body.side else 0.036, 0.024, colour, "shoes")


def _torso(body: Body, look: Look, shoulder: float) -> None:
    hip = (0.062 if body.side else 0.092) * look.build
    low = {"tee": 0.5, "sleeves": 0.5, "jacket": 0.53, "coat": 0.68}[look.top]
    flare = hip * (1.15 if look.top == "coat" else 1.0)
    outline = [(-shoulder * 0.55, 0.15), (shoulder * 0.55, 0.15), (shoulder, 0.19), (hip, 0.46), (flare, low), (-flare, low),
               (-hip, 0.46), (-shoulder, 0.19)]  # fmt: skip
    body.cloth(outline, look, "top")
    if look.hair == "hood" and body.pose.view == "back":
        body.ellipse(0, 0.18, 0.06, 0.035, _darker(look.top_colour), "top")
    if look.top in ("jacket", "coat") and body.pose.view == "front":
        body.polygon([(-0.006, 0.17), (0.006, 0.17), (0.006, low), (-0.006, low)], _darker(look.top_colour, 0.5), "top")


def _chest(body: Body, look: Look) -> None:
    """The logo, which only the front shows."""
    if look.logo == "none" or body.pose.view != "front":
        return
    u, v, r, colour = 0.0, 0.27, 0.042, look.logo_colour
    if look.logo == "disc":
        body.ellipse(u, v, r, r, colour, "logo")
    elif look.logo == "square":
        body.polygon([(u - r, v - r), (u + r, v - r), (u + r, v + r), (u - r, v + r)], colour, "logo")
    elif look.logo == "triangle":
        body.polygon([(u, v - r * 1.1), (u + r * 1.1, v + r), (u - r * 1.1, v + r)], colour, "logo")
    else:
        for a, b in ((r * 1.2, r * 0.38), (r * 0.38, r * 1.2)):
            body.polygon([(u - a, v - b), (u + a, v - b), (u + a, v + b), (u - a, v + b)], colour, "logo")


def _arm(body: Body, look: Look, at: float, sign: int) -> None:
    swing = sign * body.pose.swing * (0.1 if body.side else 0.03)
    top = (at * 0.93, 0.2)
    elbow = (at + (0.0 if body.side else sign * 0.022) + swing * 0.5, 0.345)
    hand = (at + (0.02 if body.side else sign * 0.022) + swing * 1.2, 0.475)
    tint = 0.8 if sign < 0 and body.side else 0.93
    body.ellipse(*hand, 0.023, 0.027, _darker(look.skin, tint), "skin")
    sleeve = _darker(look.top_colour, tint)
    if look.top == "tee":
        body.limb([elbow, hand], [0.042, 0.036], _darker(look.skin, tint), "skin")
        body.limb([top, (top[0] + 0.75 * (elbow[0] - top[0]), 0.31)], [0.062, 0.056], sleeve, "top")
        return
    body.limb([top, elbow, hand], [0.062 * look.build, 0.054 * look.build, 0.044], sleeve, "top")


def _bag(body: Body, look: Look, shoulder: float) -> None:
    view, colour = body.pose.view, look.bag_colour
    if look.bag == "backpack" and view == "back":
        body.limb([(0, 0.225), (0, 0.4)], [0.15 * look.build, 0.17 * look.build], colour, "bag")
        body.limb([(-0.03, 0.35), (0.03, 0.35)], [0.05, 0.05], _darker(colour, 0.7), "bag")
    elif look.bag == "backpack":
        for u in (0.0,) if body.side else (-0.075, 0.075):
            body.limb([(u * look.build, 0.165), (u * look.build * 1.05, 0.33)], [0.022, 0.02], colour, "bag")
    elif look.bag == "shoulder":
        sign = -1 if view == "back" else 1
        hip = (0.02 if body.side else sign * 0.115 * look.build, 0.49)
        body.limb([(0.0 if body.side else -sign * shoulder * 0.6, 0.165), hip], [0.018, 0.018], _darker(colour, 0.8), "bag")
        body.polygon(
            [(hip[0] - 0.06, 0.46), (hip[0] + 0.06, 0.46), (hip[0] + 0.055, 0.56), (hip[0] - 0.055, 0.56)], colour, "bag"
        )
    elif look.bag == "hand":
        sign = -1 if view == "back" else 1
        u = (0.02 if body.side else sign * (shoulder + 0.03)) + sign * body.pose.swing * 0.03
        body.limb([(u, 0.47), (u, 0.52)], [0.012, 0.012], _darker(colour, 0.6), "bag")
        body.polygon([(u - 0.05, 0.52), (u + 0.05, 0.52), (u + 0.06, 0.63), (u - 0.06, 0.63)], colour, "bag")


def _head(body: Body, look: Look) -> None:
    view, hair = body.pose.view, look.hair_colour
    body.ellipse(0, 0.072, 0.052, 0.068, look.skin, "skin")
    if view == "front":
        for u in (-0.02, 0.02):
            body.ellipse(u, 0.075, 0.007, 0.006, (40, 34, 34), "skin")
        body.polygon([(-0.015, 0.108), (0.015, 0.108), (0.015, 0.114), (-0.015, 0.114)], _darker(look.skin, 0.65), "skin")
    if look.hair == "bald":
        return
    if look.hair == "hood":
        body.ellipse(-0.012 if body.side else 0, 0.07, 0.066, 0.078, _darker(hair, 0.9), "hair")
        if view != "back":
            body.ellipse(0.02 if body.side else 0, 0.078, 0.036, 0.05, look.skin, "skin")
        return
    low = 0.128 if view == "back" else 0.052
    body.ellipse(0, 0.068, 0.058, 0.07, hair, "hair", cut=low)
    if body.side:
        body.ellipse(-0.022, 0.075, 0.042, 0.06, hair, "hair", cut=0.12)
    if look.hair == "long" and view == "front":
        for sign in (-1, 1):
            body.limb([(sign * 0.051, 0.06), (sign * 0.055, 0.19)], [0.026, 0.032], hair, "hair")
    if look.hair == "long" and view == "back":
        body.limb([(0, 0.1), (0, 0.23)], [0.11, 0.09], hair, "hair")
    if look.hair == "bun":
        body.ellipse(-0.045 if body.side else 0, 0.0 if not body.side else 0.03, 0.03, 0.028, hair, "hair")
    if look.hair == "cap" and body.side:
        body.limb([(0.0, 0.05), (0.075, 0.055)], [0.02, 0.016], _darker(hair, 0.85), "hair")
    elif look.hair == "cap" and view == "front":
        body.polygon([(-0.055, 0.046), (0.055, 0.046), (0.05, 0.062), (-0.05, 0.062)], _darker(hair, 0.75), "hair")
