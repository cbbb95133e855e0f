"""Errors written for people: what was given, what is allowed, what to do.

Everything the engine raises on purpose is an `ImuError`; pages and the command line print its text as it is.
"""

from __future__ import annotations

from collections.abc import Sequence


class ImuError(Exception):
    """Base of every error the engine raises on purpose; its text is a sentence for people."""


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


class StoreError(ImuError):
    """The database of runs cannot be used, or does not hold what was asked for."""
