"""How work ended: in which state, for which cause, and why in a sentence. Programs read state and cause, people the sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from imu_core.records.shapes import Json


class State(StrEnum):
    """What a piece of work is doing, or how it ended; on record as these words."""

    QUEUED = "queued"
    RUNNING = "running"
    STOPPING = "stopping"  # asked to stop, and still on its way there
    DONE = "done"
    CANCELLED = "cancelled"
    DIVERGED = "diverged"
    FAILED = "failed"

    @property
    def ended(self) -> bool:
        """Whether nothing more happens."""
        return self not in (State.QUEUED, State.RUNNING, State.STOPPING)


class Cause(StrEnum):
    """What brought a run to its end."""

    TARGET = "reached the target"
    COMPLETE = "steps used up"  # or the whole edit made: it did all it was to do
    CANCELLED = "cancelled"
    DIVERGED = "diverged"
    FAILED = "failed"


_TOLD = "Reached the target"  # how the sentence of such a run began before `reached` was written down


@dataclass(frozen=True)
class Outcome:
    """How a run ended: its state, why in a sentence, and whether it ended because of its target."""

    state: State
    reason: str = ""
    reached: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "state", State(self.state))

    @property
    def cause(self) -> Cause | None:
        """What ended it; None while it goes on."""
        if not self.state.ended:
            return None
        return (Cause.TARGET if self.reached else Cause.COMPLETE) if self.state == State.DONE else Cause(self.state.value)

    @classmethod
    def from_dict(cls, values: Mapping[str, Json]) -> Outcome:
        """The outcome that `values` record; TypeError where they are no mapping.

        Older files do not hold `reached`: there the beginning of the sentence says whether the target was reached.
        """
        if not isinstance(values, Mapping):
            raise TypeError(f"an outcome is {values!r:.40}")
        reason = values.get("reason", "")
        return cls(values["state"], reason, bool(values.get("reached", reason.startswith(_TOLD))))
