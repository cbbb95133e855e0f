"""Whether influence by the head alone ranks the forget samples as influence through all layers does: the paper's Figure 2."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from pathlib import Path

import numpy as np
import torch

from imu_core import runtime
from imu_core.influence import FullInfluence, forget_scores, ranking
from imu_core.metrics.intervals import spearman_interval
from imu_core.models import hashes
from imu_core.problems.subsets import spread
from imu_core.progress import Task
from imu_core.records.run import Influence, Problem, finite
from imu_core.report.numbers import decimal, percent
from imu_core.settings import INFLUENCE

SHARES = (0.1, 0.25, 0.5)  # of the samples, highest scores first, whose overlap is counted
_FORMAT = 1


class Kind(StrEnum):
    """Whose gradients a set of scores is made of, and by which estimator; the value is its name on record."""

    HEAD = "head exact"
    DIAGONAL = "head diagonal"
    FULL_DIAGONAL = "layers diagonal"
    FULL = "layers exact"

    @property
    def estimator(self) -> str:
        """The name of the estimator."""
        return "exact" if self in (Kind.HEAD, Kind.FULL) else "diagonal"


HEAD, DIAGONAL, FULL_DIAGONAL, FULL = KINDS = tuple(Kind)


@dataclass(frozen=True)
class Agreed:
    """How one set of scores agrees with another: Spearman with its interval, overlap of the top shares, relative discrepancy.

    `discrepancy` is the median over samples of |a_i − b_i| / |b_i|.
    """

    spearman: float
    low: float
    high: float
    overlap: dict[float, float]
    discrepancy: float


@dataclass(frozen=True)
class AgreementRow:
    """How one kind of scores agrees with `FULL`, and what it cost: `peak_bytes` by which the process grew at most meanwhile."""

    scores: Kind
    spearman: float
    low: float
    high: float
    overlap: dict[float, float]
    discrepancy: float
    seconds: float
    peak_bytes: int
    iterations: int
    residual: float


@dataclass(frozen=True, eq=False)
class Found:
    """Scores of the forget samples by `KINDS`, with what each cost: `peak` bytes by which the process grew at most meanwhile."""

    scope: str
    damping: float
    curvature: int
    scores: dict[str, Influence]
    peak: dict[str, int] = field(default_factory=dict)

    def through_layers(self, estimator: str) -> Influence:
        """The scores through all layers by `estimator`, exact or diagonal."""
        return self.scores[FULL if estimator == "exact" else FULL_DIAGONAL]

    def agreed(self, kind: str, other: str = FULL) -> Agreed:
        """How `kind` agrees with `other`, through all layers by default."""
        a, b = self.scores[kind].scores, self.scores[other].scores
        rho = ranking.spearman(a, b)
        overlap = {share: ranking.overlap(a, b, share) for share in SHARES}
        return Agreed(rho, *spearman_interval(rho, len(b)), overlap, float(np.nanmedian(ranking.discrepancy(a, b))))

    def rows(self) -> list[AgreementRow]:
        """A row for each kind: its agreement with `FULL`, seconds, bytes, iterations and residual."""
        return [
            AgreementRow(
                kind, **vars(self.agreed(kind)), seconds=found.seconds, peak_bytes=self.peak[kind],
                iterations=found.iterations, residual=found.residual,
            )
            for kind, found in self.scores.items()
        ]  # fmt: skip


class Agreement(Task):
    """Scores by the head alone and through the layers in `scope`, and how they agree. Iterate for (fraction done, words).

    `found` is there once it is done, and kept on disk: `stored` finds it again. All four share the curvature set: the forget
    samples, or `curvature` of them evenly spaced, which is what a large forget set of a large network takes.
    """

    def __init__(
        self, problem: Problem, *, scope: str = "all", damping: float = INFLUENCE["damping"].default, curvature: int | None = None
    ) -> None:
        super().__init__()
        curvature, damping = INFLUENCE["curvature"].check(curvature), INFLUENCE["damping"].check(damping)
        self.problem, self.scope, self.damping = problem, scope, damping
        self._curved = spread(problem.split.forget, curvature or len(problem.split.forget))
        self.found: Found | None = None
        self._work = self._through(self._layers())

    def working(self) -> Iterator[tuple[float, str]]:
        """Scores of the head first, then through the layers; `found` once both are there."""
        scores: dict[str, Influence] = {}
        peak: dict[str, int] = {}
        for kind in (HEAD, DIAGONAL):
            memory = runtime.Memory()
            scores[kind] = forget_scores(self.problem, kind.estimator, self.damping, curvature=self._curved)
            peak[kind] = memory.peak()
        yield from self._work.working()
        for kind in (FULL_DIAGONAL, FULL):
            scores[kind], peak[kind] = self._work.influences[kind.estimator], self._work.peaks[kind.estimator]
        self.found = Found(self.scope, self.damping, len(self._curved), scores, peak)
        path = _path(self.problem, self.scope, self.damping, len(self._curved))
        runtime.write_whole(path, lambda part: part.write_text(_as_text(self.found), encoding="utf-8"))

    def _layers(self) -> FullInfluence:
        images, labels = self.problem.dataset.train.images, self.problem.train.labels
        index, everything = self.problem.split.forget, len(self._curved) == len(self.problem.split.forget)
        return FullInfluence(
            self.problem.model,
            images[index],
            labels[index],
            scope=self.scope,
            curvature=None if everything else (images[self._curved], labels[self._curved]),
            estimators=[kind.estimator for kind in (FULL_DIAGONAL, FULL)],
            damping=self.damping,
            total=len(labels),
        )


def stored(
    problem: Problem, *, scope: str = "all", damping: float = INFLUENCE["damping"].default, curvature: int | None = None
) -> Found | None:
    """What an `Agreement` with these settings found earlier, here or in what ships; None where there is nothing to read."""
    count = min(curvature or len(problem.split.forget), len(problem.split.forget))
    path = _path(problem, scope, float(damping), count)
    for place in (path, runtime.ASSETS / "influence" / path.name):
        try:
            return _from_text(place.read_text(encoding="utf-8"))
        except (OSError, ValueError, KeyError, TypeError):
            continue  # missing, damaged or of another version: it is computed again
    return None


class Order(Enum):
    """How alike two orders of the same samples are, by Spearman's correlation; the value is what is said."""

    NEARLY_THE_SAME = "nearly the same order"
    SIMILAR = "a similar order"
    LOOSE = "a loosely similar order"
    UNRELATED = "no common order that could be told from chance"
    OPPOSITE = "rather the opposite order"
    UNKNOWN = "too few samples to tell"


_NEARLY, _SIMILAR = 0.95, 0.7  # correlations from which an order is called so


def order(agreed: Agreed) -> Order:
    """What a correlation and its interval say: chance first, then its size."""
    if math.isnan(agreed.low):
        return Order.UNKNOWN
    if agreed.low <= 0.0 <= agreed.high:
        return Order.UNRELATED
    if agreed.spearman < 0.0:
        return Order.OPPOSITE
    if agreed.spearman >= _NEARLY:
        return Order.NEARLY_THE_SAME
    return Order.SIMILAR if agreed.spearman >= _SIMILAR else Order.LOOSE


def verdict(found: Found) -> str:
    """What the comparison says: how alike the two orders are, how alike the scores, and what the shortcut saves."""
    head, like = found.agreed(HEAD), found.agreed(DIAGONAL, FULL_DIAGONAL)
    if math.isnan(head.spearman):
        why = ranking.unranked(found.scores[HEAD].scores) or "through all layers all scores are equal"
        return f"There is nothing to rank: {why}."
    alike, size = order(head), len(found.scores[FULL].scores)
    interval = "" if alike is Order.UNKNOWN else f", {decimal(head.low, 3)} to {decimal(head.high, 3)}"
    times = found.scores[FULL].seconds / max(found.scores[HEAD].seconds, 1e-9)
    quick = f"the head is {times:,.0f} times faster" if times >= 1.5 else "the head is not much faster"
    text = (
        f"Over these {size:,} samples, the head alone beside {words_of(found.scope)}: {alike.value} (Spearman correlation "
        f"{decimal(head.spearman, 3)}{interval}). {100 * head.overlap[SHARES[0]]:.0f} % of the top tenth are the same"
    )
    text += "" if math.isnan(head.discrepancy) else f", the scores themselves differ by {percent(head.discrepancy, 0)} (median)"
    text += f", and {quick}."
    if math.isnan(like.spearman):
        return text
    return f"{text} With the diagonal on both sides, as the paper's code has it, the correlation is {decimal(like.spearman, 3)}."


def words_of(scope: str) -> str:
    """`scope` in words: all layers, the head, the head and the last 2 blocks."""
    if scope in ("all", "head"):
        return {"all": "all layers", "head": "the head"}[scope]
    count = int(scope.partition(":")[2])
    return f"the head and the last {'block' if count == 1 else f'{count} blocks'}"


def _path(problem: Problem, scope: str, damping: float, curvature: int) -> Path:
    who = (hashes.state_hash(problem.model), problem.dataset.hash, hashes.removed_hash(problem.split.forget))
    key = hashlib.sha256(repr((_FORMAT, *who, scope, damping, curvature)).encode()).hexdigest()[:24]
    return runtime.home() / "influence" / f"{key}.json"


_ARRAYS = ("scores", "losses", "gradient_norms")


def _as_text(found: Found | None) -> str:
    assert found is not None
    scores = {}
    for kind, one in found.scores.items():
        scores[kind] = {name: value.tolist() if name in _ARRAYS else value for name, value in vars(one).items()}
    return json.dumps(finite({**vars(found), "format": _FORMAT, "scores": scores}), allow_nan=False)


def _from_text(text: str) -> Found:
    values = json.loads(text)
    if values.pop("format") != _FORMAT or set(values["scores"]) != set(KINDS):
        raise ValueError("another version")
    scores = values.pop("scores")
    for one in scores.values():
        one.update({name: torch.tensor(one[name], dtype=torch.float64) for name in _ARRAYS})
    return Found(scores={kind: Influence(**scores[kind]) for kind in KINDS}, **values)
