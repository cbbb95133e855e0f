"""What a method is allowed to see. It declared it in `needs`; asking for more raises."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from imu_core.errors import AccessError
from imu_core.influence import head_scores
from imu_core.records import Influence

if TYPE_CHECKING:
    from imu_core.arena import Arena


@dataclass(frozen=True, eq=False)
class Samples:
    """A set as a method sees it: `index` into the training set (n,), `labels` (n,), original `losses` (n,), nats."""

    index: Tensor
    labels: Tensor
    losses: Tensor


class View:
    """The declared part of a problem, the original model, and the copy that is being unlearned. Never the reference."""

    def __init__(self, arena: Arena, granted: frozenset[str], method: str) -> None:
        self._arena, self._granted, self._method = arena, granted, method
        self.original: nn.Module = arena.original
        self.total: int = len(arena.problem.dataset.train)

    def _open(self, name: str) -> None:
        if name not in self._granted:
            allowed = ", ".join(sorted(self._granted)) or "nothing"
            raise AccessError(f"{self._method} asked for {name!r} but declared {allowed}. Add it to the method's needs.")

    @property
    def forget(self) -> Samples:
        """The forget set."""
        self._open("forget")
        return self._samples(self._arena.problem.split.forget)

    @property
    def retain(self) -> Samples:
        """The retain set."""
        self._open("retain")
        return self._samples(self._arena.problem.split.retain)

    def _samples(self, index: Tensor) -> Samples:
        train = self._arena.problem.train
        return Samples(index, train.labels[index], train.losses[index])

    @property
    def initial_weights(self) -> dict[str, Tensor]:
        """The weights the original model started its training from, by parameter name of the module in the loop."""
        self._open("initial_weights")
        return self._arena.companion("initial")

    @property
    def statistics(self) -> dict[str, Tensor]:
        """Class statistics and parameter importances stored when the original model was trained."""
        self._open("statistics")
        return {**self._arena.companion("statistics"), **self._arena.companion("importances")}

    @property
    def module(self) -> nn.Module:
        """The copy being unlearned: the head alone over cached features, or the whole model."""
        return self._arena.module

    @property
    def parameters(self) -> list[nn.Parameter]:
        """The parameters that the scope opens."""
        return self._arena.parameters

    @property
    def head(self) -> nn.Linear:
        """The classifier head as it is now."""
        return self._arena.head

    def original_losses(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy of the original model on the same (possibly augmented) inputs of a batch, nats, (n,)."""
        with torch.no_grad():
            return nn.functional.cross_entropy(self.original(inputs), labels, reduction="none")

    def influence(self, **settings: Any) -> Influence:
        """Head influence of the forget samples at the current parameters; `settings` go to `influence.head_scores`."""
        self._open("forget")
        Z = self._arena.forget_features()
        head = self.head
        return head_scores(Z, self.forget.labels, head.weight, head.bias, total=self.total, **settings)


Needs = Callable[[Any], frozenset[str]]


def needs(*names: str) -> Needs:
    """A `needs` that does not depend on the config."""
    return lambda config: frozenset(names)
