"""What whoever opens the database may see, change and keep there."""

from __future__ import annotations

from dataclasses import dataclass

from imu_core.access import limits
from imu_core.access.rules import is_public


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


def of_visitor(name: str) -> Rights:
    """What the visitor called `name` (as `visitors.name_of` made it; empty: nobody) may do on this server."""
    return Rights(
        visitor=name or None,
        sees_all=limits.shares_runs(),
        changes_all=not is_public() and limits.shares_runs(),
        most_runs=limits.RUNS.value,
        most_bytes=limits.STORED_MB.value * 2**20,
    )
