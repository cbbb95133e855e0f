"""Errors written for people: what was given, what is allowed, what to do.

Everything the engine raises on purpose is an `ImuError`; pages and the command line print its text as it is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_LONGEST, _END = 1_000, 300  # signs of a sentence; how many of them are its end, which says what to do
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def cut(text: str, most: int = _LONGEST, end: int = _END) -> str:
    """`text` as a screen may show it: at most `most` signs, and those that would steer a terminal escaped.

    Where it is longer, a … stands for its middle, and its last `end` signs stay.
    """
    if len(text) > most:
        text = f"{text[: most - end - 1]}…{text[-end:] if end else ''}"
    return _UNSAFE.sub(lambda sign: sign[0].encode("unicode_escape").decode(), text)


def told(value: object) -> str:
    """`repr(value)`, cut to 120 signs; for a value that cannot be printed a few words with its type."""
    try:
        return cut(repr(value), 120, 20)
    except Exception:
        return f"a {type(value).__name__} that cannot be written out"


def shown(value: object, most: int = 60) -> str:
    """`value` as a sentence may hold it: one line, at most `most` signs; what does not print or is no UTF-8 becomes \\x1b."""
    text = str(value)
    printed = "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text[:most])
    return printed if len(text) <= most and len(printed) <= most else f"{printed[: most - 1]}…"


class ImuError(Exception):
    """Base of every error the engine raises on purpose; its text is a sentence for people, cut where a value in it is long."""

    def __init__(self, text: object = "") -> None:
        super().__init__(cut(str(text)))


class DataError(ImuError, ValueError):
    """A dataset, a forget request or an array that cannot be used."""


class ClosedError(DataError):
    """A folder or file of this machine that its owner does not let pages and links read; it may exist or not."""


class ConfigError(ImuError, ValueError):
    """A setting outside its range; the text names the setting, the value and what is allowed."""


class CheckpointError(ImuError):
    """A checkpoint that is missing, damaged or does not fit the model."""


class HeadError(CheckpointError):
    """No head was found; `layers` are the linear layers to choose from, by their dotted names."""

    def __init__(self, text: str, layers: Sequence[str] = ()) -> None:
        super().__init__(text)
        self.layers = tuple(layers)


class AccessError(ImuError):
    """A method asked for data it did not declare in `needs`."""


class ConvergenceError(ImuError):
    """An iterative solve that did not reach its tolerance; the text gives the true residual."""


class Cancelled(ImuError):
    """The visitor pressed Stop; what was computed before stays valid."""


class DiskError(ImuError, OSError):
    """A file or folder that cannot be written; `strerror` is what the system said."""

    def __init__(self, text: str, reason: str = "") -> None:
        super().__init__(text)
        self.strerror = reason


class StoreError(ImuError):
    """The database of runs cannot be used, or does not hold what was asked for."""
