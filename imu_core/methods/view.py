"""What a method is allowed to see: what it declared in `needs`. Asking for more raises AccessError."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from imu_core.errors import AccessError
from imu_core.influence.head import head_scores
from imu_core.records.run import Influence
from imu_core.records.shapes import Value

if TYPE_CHECKING:
    from imu_core.methods.workspace import Workspace


@dataclass(frozen=True, eq=False)
class Samples:
    """A set as a method sees it: `index` into the training set (n,), `labels` (n,), original `losses` (n,), nats."""

    index: Tensor
    labels: Tensor
    losses: Tensor


class View:
    """What a method works with: the declared parts of the problem, the original model, the copy being unlearned.

    It never opens the retrained reference. A part that was not declared raises AccessError. `options` are the method's own
    settings, defaults filled in; `classes` are the classes that the request removes entirely.
    """

    def __init__(
        self, workspace: Workspace, granted: frozenset[str], method: str, options: Mapping[str, Value] | None = None
    ) -> None:
        self._workspace, self._granted, self._method = workspace, granted, method
        self.original: nn.Module = workspace.original
        self.total: int = len(workspace.problem.dataset.train)
        self.classes: tuple[int, ...] = workspace.problem.split.classes
        self.options: Mapping[str, Value] = options or {}

    def _open(self, name: str) -> None:
        if name not in self._granted:
            allowed = ", ".join(sorted(self._granted)) or "nothing"
            raise AccessError(f"{self._method} asked for {name!r} but declared {allowed}. Add it to the method's needs.")

    @property
    def forget(self) -> Samples:
        """The forget set."""
        self._open("forget")
        return self._samples(self._workspace.problem.split.forget)

    @property
    def retain(self) -> Samples:
        """The retain set."""
        self._open("retain")
        return self._samples(self._workspace.problem.split.retain)

    def _samples(self, index: Tensor) -> Samples:
        train = self._workspace.problem.train
        return Samples(index, train.labels[index], train.losses[index])

    def batches(self, which: str, size: int = 500, limit: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (inputs, labels) of the set `which` (forget | retain), in order, `size` samples at a time.

        `limit` takes so many random samples, the same ones at each call. Raises Cancelled as soon as the run is stopped.
        """
        samples = self.forget if which == "forget" else self.retain
        index = self._workspace.sample(samples.index, limit)
        for part in index.split(size):
            self.raise_if_stopped()
            yield self._workspace.inputs(part), self._workspace.problem.train.labels[part]

    def pixels(self, which: str) -> Tensor:
        """The images of a set as uint8 (n, channels, h, w), for a method that changes them."""
        samples = self.forget if which == "forget" else self.retain
        return self._workspace.problem.dataset.train.images[samples.index]

    @property
    def whole_original(self) -> nn.Module:
        """The original model from images to logits, at every scope; shared: never change it."""
        return self._workspace.problem.model

    @property
    def initial_weights(self) -> dict[str, Tensor]:
        """The weights the original model started its training from, by parameter name of the module in the loop."""
        self._open("initial_weights")
        return self._workspace.companion("initial")

    @property
    def statistics(self) -> dict[str, Tensor]:
        """Statistics of the features of each class, stored when the original model was trained."""
        self._open("statistics")
        return self._workspace.companion("statistics")

    @property
    def importances(self) -> dict[str, Tensor]:
        """Importances of the parameters over the training set, by the module's names, stored when the original was trained."""
        self._open("statistics")
        return self._workspace.companion("importances")

    @property
    def training_log(self) -> list[Tensor]:
        """For each parameter in scope, the sum of its changes in those training steps whose batch held a forget sample."""
        self._open("training_log")
        traced = self._workspace.training_log(self.raise_if_stopped)
        return [traced[name] for name in self.names]

    @property
    def recipe(self) -> dict[str, Value]:
        """How the original was trained (epochs, batch size, learning rate …): its card's recipe."""
        return self._workspace.recipe

    @property
    def module(self) -> nn.Module:
        """The copy being unlearned: the head alone over cached features, or the whole model."""
        return self._workspace.module

    @property
    def parameters(self) -> list[nn.Parameter]:
        """The parameters that the scope opens."""
        return self._workspace.parameters

    @property
    def names(self) -> list[str]:
        """Names of `parameters` in the whole model, in the same order."""
        return self._workspace.names

    @property
    def head(self) -> nn.Linear:
        """The classifier head as it is now."""
        return self._workspace.head

    def fresh(self, seed: int) -> nn.Module:
        """A randomly initialised network in the place of the module (at head scope: a random head), eval mode, frozen."""
        return self._workspace.fresh(seed)

    def random_inputs(self, count: int, generator: torch.Generator) -> Tensor:
        """`count` inputs of standard normal noise in the units that the first layer sees (normalised pixels, or features)."""
        return self._workspace.random_inputs(count, generator)

    @contextmanager
    def judging(self) -> Iterator[None]:
        """Inside `with`, the copy is in eval mode, as for accuracies: batch norm uses its running statistics and keeps them."""
        self._workspace.set_mode(training=False)
        try:
            yield
        finally:
            self._workspace.set_mode(training=True)

    def raise_if_stopped(self) -> None:
        """Raise Cancelled once the visitor has pressed Stop; to be called in long work before the first step."""
        self._workspace.raise_if_stopped()

    def original_losses(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy of the original model on the same (possibly augmented) inputs of a batch, nats, (n,)."""
        with torch.no_grad():
            return nn.functional.cross_entropy(self.original(inputs), labels, reduction="none")

    def influence(self, *, hessian: str = "forget", **settings: Any) -> Influence:
        """Head influence of the forget samples at the current parameters; `settings` go to `influence.head_scores`.

        `hessian`: the curvature over the forget set alone, or over all training samples ("train"), which opens the retain set.
        """
        samples, head = self.forget, self.head
        Z = self._workspace.features_of(samples.index)
        if hessian == "train":
            everything = torch.cat([samples.index, self.retain.index]).sort().values
            settings["curvature"] = self._workspace.features_of(everything), self._workspace.problem.train.labels[everything]
        return head_scores(Z, samples.labels, head.weight, head.bias, total=self.total, **settings)


Needs = Callable[[Any], frozenset[str]]


def needs(*names: str) -> Needs:
    """A function for `Method.needs` that returns `names` for every config."""
    return lambda config: frozenset(names)
