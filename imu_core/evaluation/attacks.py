"""Attacks that train something to find out what a model still knows: a linear probe, relearning, and shadow heads.

Each is iterated for (fraction done, what is happening), fills `result` as it goes, and ends at once after `cancel()`.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from imu_core.errors import ConfigError
from imu_core.models.head import find_head, head_name, split_head
from imu_core.models.inference import chunk_of, to_input
from imu_core.numeric import as_number, is_number
from imu_core.problems.reference import retrained, retrained_model
from imu_core.progress import Task
from imu_core.records.run import Features, Problem
from imu_core.records.shapes import Json

UNTRAINED, RANDOM_HEAD = "untrained", "random head"  # the controls of the probe and of relearning
CONTROL_SEED = 1  # the seed of the controls' random weights; trained models start from 0


class Attack(Task):
    """The base of all attacks: `result` is valid at any time, `outcome` says how it ended (errors of the engine: failed)."""

    STOPPED = "Stopped by you; what was found before stays."

    def __init__(self, problem: Problem) -> None:
        super().__init__()
        self.problem = problem
        self.result: dict[str, Json] = {}

    @torch.no_grad()
    def _features(self, model: nn.Module, part: str, index: Tensor) -> Tensor:
        """Penultimate features (n, d) of samples `index` of the set `part` (train | test), from memory where they are known."""
        known = self._known(model, part)
        if known is not None:
            return known.Z[index]
        images = getattr(self.problem.dataset, part).images[index]
        backbone, _ = split_head(model)
        backbone.eval()
        features = []
        for chunk in images.split(chunk_of(images)):
            self._raise_if_cancelled()
            features.append(backbone(to_input(chunk)))
        return torch.cat(features)

    def _known(self, model: nn.Module, part: str) -> Features | None:
        if same_backbone(model, self.problem.model):
            return getattr(self.problem, part)
        stored = retrained_model(self.problem)
        if stored is not None and same_backbone(model, stored):
            return getattr(retrained(self.problem), part)
        return None


def same_backbone(one: nn.Module, other: nn.Module) -> bool:
    """Whether two models compute the same features: every tensor below the head is the same, buffers included."""
    if one is other:
        return True
    states = []
    for model in (one, other):
        head = head_name(model) + "."
        states.append({name: tensor for name, tensor in model.state_dict().items() if not name.startswith(head)})
    a, b = states
    return type(one) is type(other) and a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def descent(head: nn.Linear, Z: Tensor, labels: Tensor, decay: float, iterations: int) -> Callable[[], float]:
    """A function that takes `iterations` L-BFGS steps on mean cross-entropy + decay/2 ‖W‖² and returns the loss before them."""
    optimizer = torch.optim.LBFGS(
        head.parameters(), max_iter=iterations, history_size=20, line_search_fn="strong_wolfe", tolerance_grad=1e-6
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(head(Z), labels) + decay / 2 * head.weight.square().sum()
        value.backward()
        return value

    return lambda: float(optimizer.step(loss).detach())


@torch.no_grad()
def share_right(module: nn.Module, inputs: Tensor, labels: Tensor) -> float:
    """The share (0 to 1) of `inputs` for which the largest output of `module` is that of their label."""
    return float((module(inputs).argmax(1) == labels).double().mean())


@torch.no_grad()
def with_head(problem: Problem, head: nn.Linear, retain: Tensor) -> Problem:
    """`problem` with another head over the same features, and a retain set of its own; nothing of the original is changed.

    Training samples in neither the forget set nor `retain` are then in no set: methods must not see them.
    """
    model = copy.deepcopy(problem.model)
    find_head(model).load_state_dict(head.state_dict())
    train, test = (Features(part.Z, part.labels, head(part.Z)) for part in (problem.train, problem.test))
    split = dataclasses.replace(problem.split, retain=retain)
    return dataclasses.replace(problem, model=model, train=train, test=test, split=split)


def in_range(name: str, value: Any, low: float, high: float) -> Any:
    """`value` as a Python number; ConfigError unless it is a number from `low` to `high`."""
    value = as_number(value)
    if not is_number(value) or not low <= value <= high:
        raise ConfigError(f"{name} is {value!r}; it must be a number from {low:,} to {high:,}.")
    return value
