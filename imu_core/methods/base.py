"""What a method is: a function from what it may see to an objective, and one line in the registry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor
from torch.nn import functional as F

from imu_core.records import RunConfig

if TYPE_CHECKING:
    from imu_core.methods.view import View

SEES = ("forget", "retain", "statistics", "initial_weights", "surrogate", "training_log")


@dataclass(frozen=True, eq=False)
class Batch:
    """One mini-batch: `position` (n,) within its set, what went into the module, labels (n,), and the logits (n, C)."""

    position: Tensor
    inputs: Tensor
    labels: Tensor
    logits: Tensor
    step: int
    epoch: int

    def losses(self) -> Tensor:
        """Cross-entropy of each sample, nats, (n,), with gradient."""
        return F.cross_entropy(self.logits, self.labels, reduction="none")


class Objective:
    """What a method minimises. Called once a step; returns a scalar, or None to skip the batch.

    `refresh` runs before the forward pass of every step (IMU recomputes its scores there); `weights` are the current
    sample weights (n,) if there are any: the loop puts their summary on record.
    """

    weights: Tensor | None = None

    def refresh(self, step: int, epoch: int) -> None:
        """Bring the objective up to date before step `step` (from 0) of epoch `epoch` (from 0)."""

    def __call__(self, batch: Batch) -> Tensor | None:
        """The loss of one batch, a scalar with gradient."""
        raise TypeError(f"{type(self).__name__} does not say what to minimise.")


@dataclass(frozen=True)
class Method:
    """A line of the registry.

    start        view, config → Objective; called once, before the first step
    needs        config → the names in `SEES` that the view opens; anything else raises AccessError
    stream       the set whose batches drive the loop: forget | retain
    head         whether `scope="head"` makes sense for it
    from_scratch whether it starts at chance, so that chance is no sign of divergence
    """

    title: str
    family: str
    start: Callable[[View, RunConfig], Objective]
    needs: Callable[[RunConfig], frozenset[str]]
    source: str
    stream: str = "forget"
    head: bool = True
    from_scratch: bool = False
    uses: tuple[str, ...] = ()  # the settings beyond the common ones that change what it does
