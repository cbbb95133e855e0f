"""Whether influence tells the truth: each estimator, IMU's own score and the plain loss, held against leaving samples out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from imu_core.influence import ranking
from imu_core.influence.scoring import forget_scores
from imu_core.influence.truth import LeavingOut, Match, Truth, match, predictions
from imu_core.problems.subsets import spread
from imu_core.progress import Task
from imu_core.records.run import Problem
from imu_core.report.numbers import decimal
from imu_core.settings import INFLUENCE

LEFT_OUT, HALVES = 200, 100  # samples of the forget set, one at a time; random halves of the training set


@dataclass(frozen=True, eq=False)
class Held:
    """What leaving out forget samples did to the mean loss of the forget set, and how well it was foretold.

    `left_out` are the training indices of `truth.left_out`. `predicted` maps an estimator to its scores of those samples, at the
    head's optimum with the curvature of all training samples; `estimators` says how each agrees. `own` is for the score that IMU
    takes, at the network as it stands with the forget set's curvature, `loss` for the samples' plain loss there.
    """

    truth: Truth
    left_out: np.ndarray
    predicted: dict[str, np.ndarray]
    estimators: dict[str, Match]
    own: Match
    loss: Match


class HoldAgainst(Task):
    """Leaves out up to 200 forget samples and trains on 100 half sets, at the head; iterate it for (fraction done, words).

    `found` is there at the end. λ is `damping`: what damps the curvature is what holds the head's weights back.
    """

    def __init__(self, problem: Problem, damping: float = INFLUENCE["damping"].default, estimator: str = "diagonal") -> None:
        super().__init__()
        part, forget = problem.train, problem.split.forget
        self.problem, self.damping, self.estimator = problem, damping, estimator
        self._index, self._query = spread(forget, LEFT_OUT), (part.Z[forget], part.labels[forget])
        head = (problem.head.weight, problem.head.bias)
        settings = {"query": self._query, "left_out": self._index, "halves": HALVES, "l2": damping, "seed": problem.seed}
        self._work = self._through(LeavingOut(part.Z, part.labels, *head, **settings))
        self.found: Held | None = None

    def working(self) -> Iterator[tuple[float, str]]:
        """Leave samples out, then ask every estimator what it had foretold."""
        for fraction, words in self._work.working():
            yield 0.8 * fraction, words
        part, truth = self.problem.train, self._work.found
        known, estimators = {}, {}
        for done, (name, scores) in enumerate(predictions(truth, part.Z, part.labels, self._query)):
            yield 0.8 + 0.03 * done, f"asking {name} what it foretells"
            self._raise_if_cancelled()
            known[name], estimators[name] = scores[truth.left_out].numpy(), match(truth, scores[truth.left_out], scores)
        own = forget_scores(self.problem, self.estimator, self.damping)
        places = {int(index): place for place, index in enumerate(self.problem.split.forget)}
        chosen = [places[int(index)] for index in self._index]
        self.found = Held(
            truth,
            self._index.numpy(),
            known,
            estimators,
            match(truth, own.scores[chosen]),
            match(truth, own.losses[chosen]),
        )


def verdict(held: Held) -> str:
    """Whether IMU's score orders the samples as leaving them out does, and whether their plain loss tells more."""
    own = f"IMU's score ({ranking.written(held.own.spearman)})"
    loss = f"their loss ({ranking.written(held.loss.spearman)})"
    kind, losses = (ranking.order(m.spearman, m.low, m.high) for m in (held.own, held.loss))
    if kind is ranking.Order.UNKNOWN:
        return "Too few samples were left out to say whether their order is right."
    if kind is ranking.Order.NEARLY_THE_SAME:
        as_loss = "and so does" if losses is ranking.Order.NEARLY_THE_SAME else "unlike"
        return f"On this forget set {own} orders the samples as leaving them out does, {as_loss} {loss}."
    tells = "tells about as much"
    if held.loss.low > held.own.high or held.loss.high < held.own.low:
        tells = "tells more" if held.loss.spearman > held.own.spearman else "tells less"
    return f"On this forget set {own} does not order the samples as leaving them out does: {kind.value}; {loss} {tells}."


def row(name: str, m: Match) -> dict[str, str]:
    """A line of the table: slope, Pearson, Spearman and LDS, the last two with their 95 % intervals."""
    interval = lambda value, low, high: f"{decimal(value, 3)} ({decimal(low, 2)} to {decimal(high, 2)})"  # noqa: E731
    return {
        "Foretold by": name,
        "Slope": decimal(m.slope, 2),
        "Pearson": decimal(m.pearson, 4),
        "Spearman": interval(m.spearman, m.low, m.high),
        "LDS": "–" if np.isnan(m.lds) else interval(m.lds, m.lds_low, m.lds_high),
    }
