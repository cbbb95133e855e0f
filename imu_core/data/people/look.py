"""What a made-up pedestrian looks like: the cues that tell one identity from another, drawn from a seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Colour = tuple[int, int, int]

SKIN: tuple[Colour, ...] = ((241, 205, 178), (224, 178, 144), (190, 138, 100), (141, 94, 64), (92, 60, 44))
HAIR: tuple[Colour, ...] = ((28, 24, 24), (70, 44, 28), (128, 84, 44), (206, 168, 98), (158, 66, 36), (168, 166, 164))
CLOTH: tuple[Colour, ...] = (
    (32, 34, 40), (212, 210, 204), (118, 120, 126), (34, 46, 86), (176, 36, 44), (226, 112, 40), (232, 196, 66), (62, 132, 70),
    (40, 138, 140), (44, 82, 166), (112, 62, 142), (222, 132, 164), (116, 80, 54), (196, 176, 140), (118, 126, 72),
    (150, 196, 226),
)  # fmt: skip
LEGS: tuple[Colour, ...] = (
    (34, 36, 42), (52, 70, 108), (96, 118, 152), (120, 120, 122), (186, 170, 136), (92, 70, 50), (70, 84, 60), (206, 204, 200),
    (120, 36, 48), (30, 60, 62),
)  # fmt: skip
SHOES: tuple[Colour, ...] = ((28, 28, 30), (232, 232, 230), (124, 82, 48), (186, 40, 44), (48, 80, 160), (214, 190, 70))

PLAIN_CLOTH, PLAIN_LEGS, PLAIN_SHOES, PLAIN_HAIR = 4, 3, 2, 3  # the first few of each palette, which most people wear
CLOTH_SHARE = 0.6  # of people dress in those

HAIR_STYLES = ("short", "short", "short", "short", "long", "long", "long", "bun", "bald", "cap", "hood")
TOPS = ("tee", "tee", "sleeves", "sleeves", "jacket", "coat")
PATTERNS = ("plain", "plain", "plain", "plain", "plain", "hoops", "stripes", "checks", "dots", "halves", "band")
LOGOS = ("none", "none", "none", "none", "disc", "square", "triangle", "cross")
BOTTOMS = ("trousers", "trousers", "trousers", "trousers", "trousers", "shorts", "skirt")
BAGS = ("none", "none", "none", "backpack", "backpack", "shoulder", "hand")


@dataclass(frozen=True)
class Look:
    """The lasting traits of one identity; pose, light and viewpoint belong to a shot, not to a person."""

    skin: Colour
    hair: str
    hair_colour: Colour
    top: str
    top_colour: Colour
    pattern: str
    second_colour: Colour
    logo: str
    logo_colour: Colour
    bottom: str
    bottom_colour: Colour
    boots: bool
    shoe_colour: Colour
    bag: str
    bag_colour: Colour
    build: float
    height: float


def _pick(rng: np.random.Generator, choices: tuple) -> object:
    return choices[int(rng.integers(len(choices)))]


def _dress(rng: np.random.Generator, palette: tuple[Colour, ...], plain: int) -> Colour:
    """A colour of `palette`; mostly one of its first `plain`, because most people wear black, grey and blue."""
    return _pick(rng, palette[:plain] if rng.random() < CLOTH_SHARE else palette)


def _other(rng: np.random.Generator, colour: Colour) -> Colour:
    """A cloth colour that can be told from `colour`."""
    while True:
        other = _pick(rng, CLOTH)
        if sum(abs(a - b) for a, b in zip(other, colour, strict=True)) > 150:
            return other


def look(rng: np.random.Generator) -> Look:
    """The traits of one identity, drawn from `rng`."""
    top_colour = _dress(rng, CLOTH, PLAIN_CLOTH)
    hair = _pick(rng, HAIR_STYLES)
    return Look(
        skin=_pick(rng, SKIN),
        hair=hair,
        hair_colour=_pick(rng, CLOTH) if hair == "cap" else top_colour if hair == "hood" else _dress(rng, HAIR, PLAIN_HAIR),
        top=_pick(rng, TOPS),
        top_colour=top_colour,
        pattern=_pick(rng, PATTERNS),
        second_colour=_other(rng, top_colour),
        logo=_pick(rng, LOGOS),
        logo_colour=_other(rng, top_colour),
        bottom=_pick(rng, BOTTOMS),
        bottom_colour=_dress(rng, LEGS, PLAIN_LEGS),
        boots=bool(rng.integers(4) == 0),
        shoe_colour=_dress(rng, SHOES, PLAIN_SHOES),
        bag=_pick(rng, BAGS),
        bag_colour=_dress(rng, CLOTH, PLAIN_CLOTH),
        build=0.88 + 0.27 * float(rng.random()),
        height=0.92 + 0.13 * float(rng.random()),
    )
