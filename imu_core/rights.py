"""What whoever opens the database may see, change and keep there."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rights:
    """Of one visitor, or (without a `visitor`) of the owner, who may do everything: a command or the library.

    `sees_all` and `changes_all` say whether that goes for the runs of others and of nobody too. `most_runs` and `most_bytes`
    are what a visitor may keep; nothing means as much as fits.
    """

    visitor: str | None = None
    sees_all: bool = True
    changes_all: bool = True
    most_runs: int | None = None
    most_bytes: int | None = None


OWNER = Rights()
