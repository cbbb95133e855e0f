"""The decision boundary of a network for points of the plane: what it says everywhere, also at every step of a run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from imu_core.errors import DataError
from imu_core.models.head import head_name
from imu_core.problems.features import compute
from imu_core.records.run import Point, Problem
from imu_core.unlearning.run import Run

SIDE = 48  # cells across and up of a ground that moves


def grid(side: int) -> Tensor:
    """The middles of side x side cells of the square from −1 to 1, (side², 2) float32, row by row from the top left."""
    middles = (2 * torch.arange(side) + 1) / side - 1
    up, across = torch.meshgrid(-middles, middles, indexing="ij")
    return torch.stack([across.flatten(), up.flatten()], 1)


@torch.no_grad()
def everywhere(model: nn.Module, side: int = SIDE) -> Tensor:
    """Logits (side, side, C) of `model` in eval mode at the points of `grid`."""
    return compute(model, grid(side))[1].view(side, side, -1)


def check_plane(problem: Problem) -> None:
    """A DataError where the samples of `problem` are no points of the plane: only those have a boundary that can be drawn."""
    dataset = problem.dataset
    if not dataset.holds_vectors or dataset.train.images.shape[1] != 2:
        raise DataError(f"{dataset.title} holds no points of the plane, so it has no boundary to draw. Choose points:moons.")


@dataclass(frozen=True, eq=False)
class Moment:
    """A run at one of its points: its logits everywhere, (side, side, C), and ‖θ − θ_R‖₂ to the retrained network's parameters.

    The distance is nan where there is no retrained network.
    """

    logits: Tensor
    apart: float


class Watched:
    """Iterates `run` and keeps, by step, what its model says everywhere (`moments`)."""

    def __init__(self, run: Run, retrained: nn.Module | None) -> None:
        check_plane(run.problem)
        self.run = run
        self.moments: dict[int, Moment] = {}
        self._aim = dict(retrained.named_parameters()) if retrained else {}
        self._names = [name for name, _ in run.problem.model.named_parameters()]
        self._grid = grid(SIDE)
        self._features = compute(run.problem.model, self._grid)[0]

    def __iter__(self) -> Iterator[Point]:
        for point in self.run:
            self.moments[point.step] = self._moment(point)
            yield point

    @torch.no_grad()
    def _moment(self, point: Point) -> Moment:
        model, state = self.run.problem.model, self.run.state()
        if point.head is None:
            logits = torch.func.functional_call(model, state, (self._grid,))
        else:  # points on a head come a few at a time, when the head has moved on
            weight, bias = point.head
            logits = self._features @ weight.T + bias
            name = head_name(model)
            state = {**state, f"{name}.weight": weight, f"{name}.bias": bias}
        return Moment(logits.view(SIDE, SIDE, -1), self._distance(state))

    def _distance(self, state: dict[str, Tensor]) -> float:
        if not self._aim:
            return float("nan")
        gaps = [(state[name] - self._aim[name]).square().sum() for name in self._names]
        return float(torch.stack(gaps).sum().sqrt())
