"""Runs at the same depth of forgetting: what a run has cost when its forget accuracy first reaches a target."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from imu_core.records.run import Point, Trajectory
from imu_core.report.numbers import points

SAME = 0.001  # accuracies that differ by no more are called the same everywhere: a tenth of a point, what is printed


def utility_key(names: Iterable[str]) -> str:
    """The accuracy that must be kept: on the other classes' test images where whole classes go, else on all of them."""
    return "test_other" if "test_other" in names else "test"


@dataclass(frozen=True)
class AtDepth:
    """A run at the target: accuracies by set, the step, and whether they lie between two evaluated points.

    `accuracies` are interpolated linearly in forget accuracy between the last point above the target and the first at or below
    it; `overshoot` is how far below the target that point lies. Not `reached`: the values are those of the last point.
    """

    reached: bool
    step: float
    accuracies: dict[str, float]
    interpolated: bool
    overshoot: float

    def words(self) -> str:
        """In words: never reached, reached at a step, or interpolated between two points."""
        if not self.reached:
            return "the target was never reached; these are the figures at the end"
        if not self.interpolated:
            return f"at step {self.step:.0f}"
        return f"interpolated around step {self.step:.1f}: the next point lies {points(self.overshoot)} below the target"


def at_depth(trajectory: Trajectory, target: float) -> AtDepth:
    """`trajectory` at the first place where its forget accuracy is at or below `target` (0-1), by interpolation.

    Between points that were judged on different samples (subsets during a wide run, whole sets at its end) the later point
    is taken as it is.
    """
    previous: Point | None = None
    for point in trajectory.points:
        now = point.accuracies["forget"]
        if now <= target:
            return _between(previous, point, target)
        previous = point
    if previous is None:  # a run that failed before anything was judged
        return AtDepth(False, 0, {"forget": math.nan}, False, math.nan)
    last = previous
    return AtDepth(
        _has_stopped_at(trajectory, target), last.step, dict(last.accuracies), False, target - last.accuracies["forget"]
    )


def _has_stopped_at(trajectory: Trajectory, target: float) -> bool:
    """Whether the run ended at this very target, which wide scopes look for on a subset: the whole set may lie a little above."""
    config = trajectory.config
    return config.stop_at is not None and config.stop_at <= target and trajectory.outcome.reached


def _between(before: Point | None, after: Point, target: float) -> AtDepth:
    now, overshoot = after.accuracies["forget"], target - after.accuracies["forget"]
    if before is None or overshoot == 0.0 or before.full != after.full:
        return AtDepth(True, after.step, dict(after.accuracies), False, overshoot)
    share = (before.accuracies["forget"] - target) / (before.accuracies["forget"] - now)
    names = before.accuracies.keys() & after.accuracies.keys()
    mixed = {n: before.accuracies[n] + share * (after.accuracies[n] - before.accuracies[n]) for n in sorted(names)}
    return AtDepth(True, before.step + share * (after.step - before.step), mixed, True, overshoot)
