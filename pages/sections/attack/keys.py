"""The attacks on a run among its jobs: their keys, and what they have found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from imu_core.evaluation.attacks import Attack
from imu_core.jobs import Job
from pages.session.kept import Kept

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


SHADOWS = (8, 16, 32)


def jobs(item: Kept) -> dict[Key, Job]:
    """The attacks on this run by key, also those that have ended; an example's are shared by all visitors."""
    return item.cache.setdefault("attacks", {})


def result(item: Kept, key: Key) -> dict[str, Any]:
    """What the attack `key` has found so far; {} before it began."""
    job = jobs(item).get(key)
    return job.work.result if job and isinstance(job.work, Attack) else {}
