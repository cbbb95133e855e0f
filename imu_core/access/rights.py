"""What a visitor, or the owner, may see, change and keep in the database of runs."""

from __future__ import annotations

from dataclasses import dataclass

from imu_core.access import limits
from imu_core.access.rules import is_public


@dataclass(frozen=True)
class Rights:
    """What one visitor may do in the database of runs. Without a `visitor` it is the owner, who may do everything.

    Commands and the library work as the owner. `sees_all` and `changes_all` say whether the visitor may see and change runs of
    others and of nobody too. `most_runs` and `most_bytes` limit what the visitor may keep; None is no limit.
    """

    visitor: str | None = None
    sees_all: bool = True
    changes_all: bool = True
    most_runs: int | None = None
    most_bytes: int | None = None


OWNER = Rights()


def of_visitor(name: str) -> Rights:
    """What the visitor called `name` (as `cookie.name_of` made it; empty: nobody) may do on this server."""
    return Rights(
        visitor=name or None,
        sees_all=limits.shares_runs(),
        changes_all=not is_public() and limits.shares_runs(),
        most_runs=limits.RUNS.value,
        most_bytes=limits.STORED_MB.value * 2**20,
    )
