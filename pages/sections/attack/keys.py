"""What names an attack among the jobs of a run."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

AS_RUN = "as the run"


class Kind(StrEnum):
    """Which attack it is; the value is its name in the list of jobs."""

    PROBE = "Probe"
    RELEARNING = "Relearning"
    SHADOWS = "Shadows"


@dataclass(frozen=True)
class Key:
    """One attack on a run: its kind, and the settings that make it another one of that kind."""

    kind: Kind
    settings: tuple[str | int, ...] = ()


PROBE = Key(Kind.PROBE)


def relearn_key(data: str, scope: str) -> Key:
    """The key of a relearning attack among the jobs."""
    return Key(Kind.RELEARNING, (data, scope))


def shadow_key(pairs: int) -> Key:
    """The key of an attack with so many pairs of shadow heads."""
    return Key(Kind.SHADOWS, (pairs,))
