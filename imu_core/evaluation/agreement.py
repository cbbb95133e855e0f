"""Whether influence by the head alone ranks the forget samples as influence through all layers does: the paper's Figure 2."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
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
    """A kind of scores: from gradients of the head or of all layers, by which estimator; the value is its name in records."""

    HEAD = "head exact"
    DIAGONAL = "head diagonal"
    FULL_DIAGONAL = "layers diagonal"
    FULL = "layers exact"

    @property
    def estimator(self) -> str:
        """The name of the estimator, exact or diagonal."""
        return "exact" if self in (Kind.HEAD, Kind.FULL) else "diagonal"


HEAD, DIAGONAL, FULL_DIAGONAL, FULL = KINDS = tuple(Kind)


@dataclass(frozen=True)
class Agreed:
    """How well one set of scores agrees with another.

    `spearman` is the correlation of the ranks, with its interval from `low` to `high`. `overlap` maps each of `SHARES` to the
    fraction of the top samples that both sets have in common. `discrepancy` is the median over samples of |a_i − b_i| / |b_i|.
    """

    spearman: float
    low: float
    high: float
    overlap: dict[float, float]
    discrepancy: float


@dataclass(frozen=True)
class AgreementRow:
    """How one kind of scores agrees with `FULL`, and its cost; `peak_bytes` is the most by which the process grew meanwhile."""

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
    """The scores of the forget samples by kind, and what they cost; `peak`: kind → bytes by which the process grew at most."""

    scope: str
    damping: float
    curvature: int
    scores: dict[str, Influence]
    peak: dict[str, int] = field(default_factory=dict)

    def through_layers(self, estimator: str) -> Influence:
        """The scores through all layers by `estimator`, exact or diagonal."""
        return self.scores[FULL if estimator == "exact" else FULL_DIAGONAL]

    def agreed(self, kind: str, other: str = FULL) -> Agreed:
        """How well the scores of `kind` agree with those of `other`, by default the exact ones through the layers."""
        a, b = self.scores[kind].scores, self.scores[other].scores
        rho = ranking.spearman(a, b)
        overlap = {share: ranking.overlap(a, b, share) for share in SHARES}
        return Agreed(rho, *spearman_interval(rho, len(b)), overlap, float(np.nanmedian(ranking.discrepancy(a, b))))

    def rows(self) -> list[AgreementRow]:
        """A row for each kind: its agreement with `FULL`, seconds, bytes, iterations and residual."""
        return [
            AgreementRow(
                kind, **vars(self.agreed(kind)), seconds=influence.seconds, peak_bytes=self.peak[kind],
                iterations=influence.iterations, residual=influence.residual,
            )
            for kind, influence in self.scores.items()
        ]  # fmt: skip


class Agreement(Task):
    """Computes scores by the head alone and through the layers in `scope`. Iterate it for (fraction done, words).

    At the end the scores are in `found` and on disk, where `stored` reads them. All four kinds of scores take the curvature
    over the same samples: the forget set, or `curvature` of its samples evenly spaced, as large sets and networks need.
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
        """Computes the scores of the head, then those through the layers, and fills `found` with both."""
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
    """The scores that an earlier `Agreement` with these settings stored here, or that ship with the program; None without any."""
    count = min(curvature or len(problem.split.forget), len(problem.split.forget))
    path = _path(problem, scope, float(damping), count)
    for place in (path, runtime.ASSETS / "influence" / path.name):
        try:
            return _from_text(place.read_text(encoding="utf-8"))
        except (OSError, ValueError, KeyError, TypeError):
            continue  # missing, damaged or of another version: it is computed again
    return None


def verdict(comparison: Found) -> str:
    """The comparison in sentences: how alike the two orders are, how alike the scores, and how much time the head alone saves."""
    head, like = comparison.agreed(HEAD), comparison.agreed(DIAGONAL, FULL_DIAGONAL)
    if math.isnan(head.spearman):
        why = ranking.unranked(comparison.scores[HEAD].scores) or "through all layers all scores are equal"
        return f"There is nothing to rank: {why}."
    alike, size = ranking.order(head.spearman, head.low, head.high), len(comparison.scores[FULL].scores)
    interval = "" if alike is ranking.Order.UNKNOWN else f", {decimal(head.low, 3)} to {decimal(head.high, 3)}"
    times = comparison.scores[FULL].seconds / max(comparison.scores[HEAD].seconds, 1e-9)
    quick = f"the head is {times:,.0f} times faster" if times >= 1.5 else "the head is not much faster"
    text = (
        f"Over these {size:,} samples, the head alone beside {words_of(comparison.scope)}: {alike.value} (Spearman correlation "
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


def _as_text(comparison: Found | None) -> str:
    assert comparison is not None
    scores = {}
    for kind, one in comparison.scores.items():
        scores[kind] = {name: value.tolist() if name in _ARRAYS else value for name, value in vars(one).items()}
    return json.dumps(finite({**vars(comparison), "format": _FORMAT, "scores": scores}), allow_nan=False)


def _from_text(text: str) -> Found:
    values = json.loads(text)
    if values.pop("format") != _FORMAT or set(values["scores"]) != set(KINDS):
        raise ValueError("another version")
    scores = values.pop("scores")
    for one in scores.values():
        one.update({name: torch.tensor(one[name], dtype=torch.float64) for name in _ARRAYS})
    return Found(scores={kind: Influence(**scores[kind]) for kind in KINDS}, **values)
