"""How long runs may take where none like them is stored: timed here on a few images and one run on the head."""

from __future__ import annotations

import dataclasses
import time
from functools import cached_property

from imu_core import runtime
from imu_core.evaluation.measurement import FEW
from imu_core.experiments.grid import Cell
from imu_core.methods import METHODS
from imu_core.models.inference import chunk_of, predict
from imu_core.paper.experiment import TARGET, plain
from imu_core.problems.problem import problem as make_problem
from imu_core.unlearning.run import unlearn

_TIMED = 200  # images
_EPOCHS, _LOOKS, _LOOK = 3, 15, 500  # of a wide run, as a rule: passes over the forget set, looks between, images a look
_ATTACK = 4e-8  # seconds for every pair of samples that the SVC learns from


class Pace:
    """Seconds that a run takes on one worker, roughly and rather too high."""

    def __init__(self, dataset: str, model: str, request: str) -> None:
        self.problem = make_problem(dataset, model=model, forget=request)

    @cached_property
    def image(self) -> float:
        """Seconds of one image's forward pass: the quicker of two tries, since the first one also warms things up."""
        train = self.problem.dataset.train
        few = dataclasses.replace(train, images=train.images[:_TIMED], labels=train.labels[:_TIMED])
        looks = []
        with runtime.one_thread():
            for _ in range(2):
                began = time.perf_counter()
                predict(self.problem.model, few, chunk_of(train.images))
                looks.append(time.perf_counter() - began)
        return min(looks) / _TIMED

    @cached_property
    def head(self) -> float:
        """Seconds of one run on the head: the second of two, since the first one also warms things up."""
        with runtime.one_thread():
            for _ in range(2):
                began = time.perf_counter()
                list(unlearn(self.problem, plain("imu", "head", TARGET)))
        return time.perf_counter() - began

    def of(self, cell: Cell, measure: str = "quick") -> float:
        """Seconds of a run and its measurement; with "none" it is a run of a search, which is not judged on the whole sets."""
        config, forget = cell.config, len(self.problem.split.forget)
        whole = len(self.problem.train.labels) + len(self.problem.test.labels)
        attack = _ATTACK * min(2 * FEW, 2 * len(self.problem.test.labels)) ** 2 if measure == "membership" else 0.0
        if config.scope == "head":
            return self.head + attack
        steps = whole / 2 if METHODS[config.method].edit else 3 * _EPOCHS * forget
        judged = _LOOKS * _LOOK + (0 if measure == "none" else whole)
        return self.image * (steps + judged) + attack
