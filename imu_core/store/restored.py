"""A run from the database that answers as one that has just ended: its path at once, its model when somebody asks for it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

from torch import nn

from imu_core.depth import utility_key
from imu_core.errors import DataError
from imu_core.progress import Task
from imu_core.records.run import Point, Problem, Trajectory
from imu_core.store.stored import LARGEST_PARAMETERS, rebuilt

NO_MODEL = (
    f"The parameters that this run changed were not kept (less than {LARGEST_PARAMETERS // 2**20} MB are), so its model cannot "
    "be asked. Its path and its figures are on record; run it again for the rest."
)


class RestoredRun(Task):
    """A finished run made from its record alone: it has what pages, attacks, measurements and exports use of a `Run`.

    `parameters` fetches what was kept of its model (safetensors bytes, or None); it is called when the model is asked for.
    `keeps_model` says beforehand whether there is anything to fetch.
    `logits` is None: a record holds none, so whoever needs them asks the model.
    """

    logits = None

    def __init__(
        self,
        problem: Problem,
        trajectory: Trajectory,
        parameters: Callable[[], bytes | None],
        keeps_model: bool = True,
    ) -> None:
        super().__init__()
        self.problem, self.config, self.trajectory = problem, trajectory.config, trajectory
        self.points, self.outcome = list(trajectory.points), trajectory.outcome
        self.phases, self.sizes, self.granted = dict(trajectory.phases), dict(trajectory.sizes), frozenset(trajectory.saw)
        self._parameters, self.keeps_model = parameters, keeps_model

    @property
    def steps(self) -> int:
        """Steps that it took."""
        return self.points[-1].step if self.points else 0

    def __iter__(self) -> Iterator[Point]:
        yield from self.points

    def progress(self, last: Point) -> tuple[float, str]:
        """(1.0, the number of the last step in words): a stored run has ended."""
        return 1.0, f"step {last.step}"

    def model(self) -> nn.Module:
        """The unlearned model, a copy that the caller owns; DataError where it was not kept or belongs to another original."""
        content = self._parameters()
        if content is None:
            raise DataError(NO_MODEL)
        return rebuilt(self.problem, content)


def drawable(trajectory: Trajectory) -> Trajectory:
    """`trajectory` with the points that charts can show: an imported record may lack accuracies, or hold nothing for them."""
    first = trajectory.points[0].accuracies if trajectory.points else {}
    needed = ("forget", utility_key(first))
    points = tuple(p for p in trajectory.points if all(p.accuracies.get(key) is not None for key in needed))
    return dataclasses.replace(trajectory, points=points)
