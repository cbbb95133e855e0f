"""Scores of both sides of a threshold attack, as a page shows them."""

from __future__ import annotations

import math

import numpy as np

from imu_core import retrained
from imu_core.evaluation.measurement import threshold_sides
from imu_core.metrics import thresholds
from imu_core.metrics.thresholds import Accusation, WorstCase
from imu_core.models.inference import Logits
from imu_core.records.run import Problem
from pages.sections.attack.scales import HELD_OUT, RETRAINED, SCALES
from pages.session import answers, session_runs

Scores = dict[str, np.ndarray]


def sides(problem: Problem, item: session_runs.Kept, against: str) -> tuple[Scores, Scores]:
    """(scores of the forget set under the run's model, scores of what it is compared with), as shown; computed once.

    Each maps the name of a score to its values, in the units of `SCALES`. The run's logits must be known (`answers.answers`).
    """
    key = ("sides", against)
    return item.once(key, lambda: _as_shown(problem, answers.answers(item), against))


def sides_of_original(problem: Problem, item: session_runs.Kept, against: str) -> tuple[Scores, Scores]:
    """The same as `sides` for the original model, before unlearning; computed once a run."""
    key = ("original sides", against)
    return item.once(key, lambda: _as_shown(problem, (problem.train.logits, problem.test.logits), against))


def _as_shown(problem: Problem, logits: Logits, against: str) -> tuple[Scores, Scores]:
    reference = retrained(problem) if against == RETRAINED else None
    reference_logits = (reference.train.logits, reference.test.logits) if reference else None
    up, down, _ = threshold_sides(problem, logits, reference_logits)
    one, other = ({name: SCALES[name].factor * values for name, values in side.items()} for side in (up, down))
    return one, other


def compared_with(problem: Problem, item: session_runs.Kept) -> list[str]:
    """What this run's scores can be compared with, the better one first: the retrained model, held-out images; [] for neither."""
    return [name for name in (RETRAINED, HELD_OUT) if (name == HELD_OUT or retrained(problem)) and sides(problem, item, name)[1]]


def worst_case(problem: Problem, item: session_runs.Kept, against: str) -> WorstCase:
    """The score and threshold that give most away, the threshold as shown; computed once."""
    key = ("worst", against)
    return item.once(key, lambda: thresholds.worst_case(*sides(problem, item, against)))


def span(score: str, values: np.ndarray, classes: int) -> tuple[float, float]:
    """The two ends of the axis, as shown: those of the score where it has any, else whole numbers around all `values`."""
    if score == "confidence":
        return 0.0, 100.0
    if score == "entropy":
        return 0.0, math.ceil(1000 * math.log(classes)) / 1000
    low, high = math.floor(values.min()), math.ceil(values.max())
    return float(low), float(max(high, low + 1))


def best(score: str, pair: tuple[Scores, Scores], ends: tuple[float, float]) -> Accusation:
    """The accusation that gives most away among all thresholds at which the slider can stand between `ends`."""
    step = SCALES[score].step
    grid = ends[0] + step * np.arange(round((ends[1] - ends[0]) / step) + 1)
    return thresholds.best_accusation(pair[0][score], pair[1][score], grid)
