"""What a method says and shows of itself: its entry in the glossary, and how it is drawn in every chart and table."""

from __future__ import annotations

import re
from dataclasses import dataclass

from imu_core.errors import ConfigError, told
from imu_core.glossary.term import OF_METHODS, Term

DASHES = ("solid", "dot", "dash", "longdash", "dashdot", "longdashdot")
SHAPES = (
    "circle", "triangle-up", "triangle-down", "square", "diamond", "pentagon", "hexagon", "hexagon2", "octagon", "star",
    "star-square", "star-diamond", "cross", "x", "triangle-ne", "triangle-sw", "diamond-wide", "diamond-tall", "hourglass",
    "bowtie",
)  # fmt: skip
HOLLOW = "-open"  # behind a shape: only its edge is drawn


@dataclass(frozen=True)
class Card:
    """The entry of a method in the glossary: its title there, a sentence for tooltips, a paragraph, the keys of related terms."""

    title: str
    short: str
    text: str
    see: tuple[str, ...] = ("method",)

    def term(self, key: str) -> Term:
        """The glossary entry of the method called `key`."""
        return Term(key=key, title=self.title, group=OF_METHODS, short=self.short, text=self.text, see=self.see)


@dataclass(frozen=True)
class Look:
    """How a method is drawn: colour (#RRGGBB), dash of its line (`DASHES`), marker (`SHAPES`, hollow with "-open" behind it).

    Raises: ConfigError for what cannot be drawn.
    """

    colour: str
    dash: str = "solid"
    marker: str = "circle"

    def __post_init__(self) -> None:
        if not isinstance(self.colour, str) or not re.fullmatch("#[0-9A-Fa-f]{6}", self.colour):
            raise ConfigError(f"colour is {told(self.colour)}; it must be # and six hexadecimal digits, such as #0072B2.")
        if self.dash not in DASHES:
            raise ConfigError(f"dash is {told(self.dash)}; allowed are {', '.join(DASHES)}.")
        if not isinstance(self.marker, str) or self.marker.removesuffix(HOLLOW) not in SHAPES:
            raise ConfigError(
                f"marker is {told(self.marker)}; allowed are {', '.join(SHAPES)}, each also with {HOLLOW} behind it."
            )
