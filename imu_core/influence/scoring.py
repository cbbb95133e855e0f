"""Scores of the forget set of a problem: which of them take long, and those as work that can be stopped."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from imu_core.influence.head import head_scores
from imu_core.progress import Task
from imu_core.records.run import Influence, Problem

MANY = 2500  # samples above which the n x n form takes longer than half a second
PRODUCTS = 1e8  # n C d above which conjugate gradients do


def is_slow(estimator: str, samples: int, classes: int, features: int) -> bool:
    """Whether the scores of so many samples take longer than about half a second."""
    if estimator == "dual":
        return samples > MANY
    return estimator in ("exact", "kfac", "ekfac") and samples * classes * features > PRODUCTS


def forget_scores(
    problem: Problem,
    estimator: str = "diagonal",
    damping: float = 1e-2,
    *,
    head: tuple[Tensor, Tensor] | None = None,
    curvature: Tensor | None = None,
) -> Influence:
    """`head_scores` of the forget set of `problem`, from its stored features; ImuError where the estimator refuses it.

    `head` is (W, b), by default the original's. `curvature` holds the indices of the training samples that the curvature is taken
    from, by default the forget set.
    """
    part, index, (weight, bias) = problem.train, problem.split.forget, head or (problem.head.weight, problem.head.bias)
    curved = None if curvature is None else (part.Z[curvature], part.labels[curvature])
    total = len(problem.dataset.train)
    settings = {"estimator": estimator, "damping": damping, "curvature": curved, "total": total}
    return head_scores(part.Z[index], part.labels[index], weight, bias, **settings)


class Scoring(Task):
    """`forget_scores` as work: iterate it for (fraction done, words); `found` is there at the end."""

    def __init__(self, problem: Problem, estimator: str, damping: float) -> None:
        super().__init__()
        self.problem, self.estimator, self.damping = problem, estimator, damping
        self.found: Influence | None = None

    def working(self) -> Iterator[tuple[float, str]]:
        """Solve one system of equations and set `found`; yields 0 alone, since nobody knows how far it is before it ends."""
        yield 0.0, f"solving the equations of {len(self.problem.split.forget):,} samples"
        self.found = self._abandonable(lambda: forget_scores(self.problem, self.estimator, self.damping))
