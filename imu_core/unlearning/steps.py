"""One step of a method: forward, loss, backward, the optimizer's step. Knows nothing of evaluations, targets or outcomes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat

import torch
from torch import Tensor, nn
from torch.optim.sgd import sgd

from imu_core.methods.base import Batch, Objective
from imu_core.methods.workspace import Head, Workspace
from imu_core.records.run import RunConfig
from imu_core.training.loop import one_cycle
from imu_core.unlearning.batches import Part


@dataclass(frozen=True, eq=False)
class Taken:
    """A step that was taken: what it came to, before anybody judged it.

    `step` (from 1), `loss` (None where the method skipped the batch), the sample `weights` it used, a copy of the `head` where
    this step will be judged together with others, `seconds` of the run until then.
    """

    step: int
    loss: float | None
    weights: Tensor | None
    head: Head | None
    seconds: float

    @property
    def is_broken(self) -> bool:
        """Whether the loss stopped being a number."""
        return self.loss is not None and not math.isfinite(self.loss)


class Stepper:
    """Moves a workspace's parameters along a method's objective, with the optimizer and the schedule that `config` names.

    `steps` is how many there will be: the one-cycle schedule is laid out over them.
    """

    def __init__(self, workspace: Workspace, objective: Objective, config: RunConfig, steps: int) -> None:
        self._workspace, self._objective, self._config = workspace, objective, config
        self._parameters: list[nn.Parameter] = [*workspace.parameters, *objective.extra]
        self._labels = workspace.problem.train.labels
        self._rates = _rates(config, steps)
        self._velocities: list[Tensor | None] = [None] * len(self._parameters)

    def step(self, part: Part, step: int, epoch: int) -> float | None:
        """Take step `step` (from 0) of epoch `epoch` on `part`; the loss, or None where the method skips the batch."""
        workspace, objective = self._workspace, self._objective
        inputs, labels = workspace.inputs(part.index, step), self._labels[part.index]
        logits, features = workspace.forward(inputs)
        loss = objective(Batch(part.position, inputs, labels, logits, step, epoch, part.is_forget, features))
        if loss is None:
            return None
        for parameter in self._parameters:
            parameter.grad = None
        loss.backward()
        objective.before_step()
        if self._config.optimizer == "normalised":
            _normalise(self._parameters)
        self._move()
        objective.after_step()
        return float(loss.detach())

    @torch.no_grad()
    def _move(self) -> None:
        # As a function: an optimizer of torch.optim loads the compiler first, which takes a second and 70 MB.
        moving = [number for number, p in enumerate(self._parameters) if p.grad is not None]
        velocities = [self._velocities[number] for number in moving]
        sgd(
            [self._parameters[number] for number in moving],
            [self._parameters[number].grad for number in moving],
            velocities,
            foreach=False,
            weight_decay=self._config.weight_decay,
            momentum=self._config.momentum,
            lr=next(self._rates),
            dampening=0.0,
            nesterov=False,
            maximize=False,
        )
        for number, velocity in zip(moving, velocities, strict=True):
            self._velocities[number] = velocity


def _rates(config: RunConfig, steps: int) -> Iterator[float]:
    """The learning rate of each step."""
    if config.schedule == "constant" or config.learning_rate == 0.0:
        yield from repeat(config.learning_rate)
    optimizer = torch.optim.SGD([torch.zeros(())], config.learning_rate)  # moves nothing: the schedule sets its rate
    schedule = one_cycle(optimizer, steps)
    while True:
        yield optimizer.param_groups[0]["lr"]
        optimizer.step()
        schedule.step()


def _normalise(parameters: list[nn.Parameter]) -> None:
    """Scale all gradients together to length 1, so that every step has the length of the learning rate."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for g in gradients]))
    if float(norm) > 0:
        for gradient in gradients:
            gradient /= norm
