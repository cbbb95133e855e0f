"""The lesson's words, one file a language; what a language lacks is said in English."""

from __future__ import annotations

import tomllib
from functools import lru_cache
from pathlib import Path

_HERE = Path(__file__).parent
USUAL = "en"
Words = dict[str, dict[str, str | list[str]]]


def languages() -> list[str]:
    """The languages that the lesson is there in, the usual one first."""
    return sorted((path.stem for path in _HERE.glob("*.toml")), key=lambda name: (name != USUAL, name))


@lru_cache
def words(language: str = USUAL) -> Words:
    """The words by part and name. A `language` that is not there is English."""
    usual = _read(USUAL)
    if language not in languages():
        return usual
    own = _read(language)
    return {part: entries | own.get(part, {}) for part, entries in usual.items()}


def _read(language: str) -> Words:
    return tomllib.loads((_HERE / f"{language}.toml").read_text())
