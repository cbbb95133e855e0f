"""Threshold attacks: the scalars an attacker can read off a model's outputs, and what every threshold on them gives away."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor

from imu_core.errors import DataError

LOW = ("loss", "entropy")  # of a sample that was trained on these are low, the others high


def scores(logits: Any, labels: Any) -> dict[str, np.ndarray]:
    """Every score that can be attacked, name → float64 (n,), of n samples with logits (n, C) and labels (n,).

    loss −ln p_y (nats), confidence p_y, margin logit_y − logsumexp(other logits) (nats), entropy −Σ p ln p (nats), which needs no
    label. The margin is ln(p_y / (1 − p_y)), without the rounding of a probability near 1: the scale on which Gaussians fit.
    """
    z, y = checked(logits, labels)
    log_p = z.log_softmax(1)
    true = log_p.gather(1, y[:, None])[:, 0]
    by_name = {"loss": -true, "confidence": true.exp(), "margin": margins(z, y), "entropy": entropy(log_p)}
    return {name: value.numpy() for name, value in by_name.items()}


def margins(logits: Tensor, labels: Tensor) -> Tensor:
    """logit_y − logsumexp(other logits), float64 (n,): the logarithm of the odds of the true class."""
    z = logits.detach().double()
    others = z.scatter(1, labels[:, None], -torch.inf).logsumexp(1)
    return z.gather(1, labels[:, None])[:, 0] - others


def entropy(log_p: Tensor) -> Tensor:
    """−Σ p ln p in nats (n,), from ln p (n, C); a class that cannot happen counts nothing."""
    return -torch.where(log_p == -torch.inf, 0.0, log_p.exp() * log_p).sum(1)


def checked(logits: Any, labels: Any) -> tuple[Tensor, Tensor]:
    """Logits (n, C) in float64 and labels (n,), or a DataError that says what does not fit."""
    z, y = torch.as_tensor(logits).detach().double(), torch.as_tensor(labels)
    if z.ndim != 2 or not len(z) or z.shape[1] < 2 or y.shape != z.shape[:1]:
        raise DataError(f"Logits of shape {tuple(z.shape)} and labels {tuple(y.shape)}; expected (n, C) and (n,), C at least 2.")
    if bool(z.isnan().any()):
        raise DataError("Logits hold values that are not numbers; no attack can be run on them.")
    if int(y.min()) < 0 or int(y.max()) >= z.shape[1]:
        raise DataError(f"Labels run from {int(y.min())} to {int(y.max())}; expected 0 to {z.shape[1] - 1}.")
    return z, y


@dataclass(frozen=True, eq=False)
class Curve:
    """The error rates of every threshold t on one score: `fpr` and `fnr` at `thresholds`, all (m,).

    Samples with score ≥ t (≤ t if `low`) are accused of having been trained on. Thresholds go from strict to lax: the
    first accuses nobody, the last everybody. `positives` and `negatives` are the numbers of samples.
    """

    thresholds: np.ndarray
    fpr: np.ndarray
    fnr: np.ndarray
    auc: float
    low: bool
    positives: int
    negatives: int

    def at(self, threshold: float) -> tuple[float, float]:
        """(fpr, fnr) of any threshold in the score's own unit."""
        t = -threshold if self.low else threshold
        accused = np.flatnonzero((-self.thresholds if self.low else self.thresholds) >= t)
        place = int(accused[-1]) if len(accused) else 0
        return float(self.fpr[place]), float(self.fnr[place])

    @cached_property
    def balanced_accuracy(self) -> np.ndarray:
        """1 − (fpr + fnr) / 2 at every threshold, (m,)."""
        return 1 - (self.fpr + self.fnr) / 2

    @property
    def best_threshold(self) -> float:
        """The threshold with the highest balanced accuracy, the strictest of several."""
        return float(self.thresholds[int(self.balanced_accuracy.argmax())])

    @property
    def best_balanced_accuracy(self) -> float:
        """Balanced accuracy at `best_threshold`: 0.5 (nothing given away) to 1; chosen on the same samples, so a little high."""
        return float(self.balanced_accuracy.max())

    def tpr_at(self, fpr: float) -> float:
        """The highest true-positive rate among thresholds with a false-positive rate of at most `fpr`."""
        return float(1 - self.fnr[self.fpr <= fpr + 1e-12].min())


def curve(positives: Any, negatives: Any, low: bool = False) -> Curve:
    """The `Curve` of telling `positives` (n,) from `negatives` (m,) by a threshold on their scores.

    Positives are the forget set under the unlearned model. Negatives are the same samples under the retrained model, or test
    samples of the same kind where there is none: other samples, so that some of what is found is a difference between
    samples. AUC is the share of pairs in which the positive looks more trained on, ties counting half: 0.5 gives nothing
    away, and below 0.5 the forget set looks *less* trained on than samples never seen, which gives it away as well.

    Raises: DataError for empty or misshapen sets and for nan. Cost: O((n + m) log(n + m)).
    """
    p, q = (_vector(name, v) for name, v in (("positives", positives), ("negatives", negatives)))
    sign = -1.0 if low else 1.0
    # By hand, because scikit-learn's `roc_curve` refuses infinite scores, which a masked class gives, and takes twice as long.
    high_p, high_q = np.sort(sign * p), np.sort(sign * q)
    steps = np.concatenate([[np.inf], np.unique(np.concatenate([high_p, high_q]))[::-1]])
    fnr = np.searchsorted(high_p, steps, "left") / len(p)
    fpr = 1 - np.searchsorted(high_q, steps, "left") / len(q)
    ranks = rankdata(np.concatenate([high_p, high_q]))[: len(p)]
    auc = (ranks.sum() - len(p) * (len(p) + 1) / 2) / (len(p) * len(q))
    return Curve(sign * steps, fpr, fnr, float(auc), low, len(p), len(q))


def _vector(name: str, values: Any) -> np.ndarray:
    array = np.asarray(torch.as_tensor(values).detach(), np.float64)
    if array.ndim != 1 or not len(array) or np.isnan(array).any():
        raise DataError(f"{name} of shape {array.shape}; expected a list of at least one number, none of them nan.")
    return array


class Accuses(StrEnum):
    """Which side of a threshold is accused of having been trained on; the value is how it is written."""

    AT_MOST = "at most"
    AT_LEAST = "at least"


class WorstCase(NamedTuple):
    """The score and threshold with the highest attack advantage |TPR − FPR|, its rates, and the highest TPR at 1 % FPR.

    `accuses` says which side of the threshold is accused. `tpr_at_1_fpr` may be another score's,
    named in `tpr_score`. `chance` is the advantage that one score reaches in 1 of 20 cases where there is nothing to find.
    """

    score: str
    threshold: float
    accuses: Accuses
    advantage: float
    fpr: float
    fnr: float
    tpr_at_1_fpr: float
    tpr_score: str
    chance: float


def worst_case(positives: Mapping[str, Any], negatives: Mapping[str, Any]) -> WorstCase:
    """The attack that gives most away, over all scores and both directions, from score → values of both sides (`scores`).

    Both directions, because over-forgetting gives samples away too. Score and threshold are chosen on the samples they are
    judged by, as no attacker could: an upper bound, to be read beside `chance` (Kolmogorov-Smirnov, 5 %, one score).
    """
    if not positives or positives.keys() != negatives.keys():
        raise DataError(f"Scores {sorted(positives)} and {sorted(negatives)}; expected the same on both sides, at least one.")
    sides = ((name, low) for name in positives for low in (name in LOW, name not in LOW))
    curves = [(name, curve(positives[name], negatives[name], low)) for name, low in sides]
    name, best = max(curves, key=lambda pair: pair[1].best_balanced_accuracy)
    fpr, fnr = best.at(best.best_threshold)
    tpr_score, strict = max(curves, key=lambda pair: pair[1].tpr_at(0.01))
    n, m = best.positives, best.negatives
    chance = min(1.0, math.sqrt(-math.log(0.025) / 2 * (n + m) / (n * m)))
    accuses = Accuses.AT_MOST if best.low else Accuses.AT_LEAST
    return WorstCase(name, best.best_threshold, accuses, 1 - fpr - fnr, fpr, fnr, strict.tpr_at(0.01), tpr_score, chance)


class Accusation(NamedTuple):
    """What one threshold gives an attacker who accuses its better side of having been trained on.

    `advantage` is TPR − FPR on that side, never negative; `balanced_accuracy` is (1 + advantage) / 2.
    """

    threshold: float
    accuses: Accuses
    fpr: float
    fnr: float

    @property
    def advantage(self) -> float:
        """TPR − FPR, 0 to 1: the share of samples that the attack judges rightly beyond guessing."""
        return 1 - self.fpr - self.fnr

    @property
    def balanced_accuracy(self) -> float:
        """Mean of the shares judged rightly on both sides, 0.5 to 1."""
        return (1 + self.advantage) / 2


def accuse(positives: Any, negatives: Any, threshold: float) -> Accusation:
    """The `Accusation` at one threshold on one score, from its values on both sides: (n,) and (m,).

    Free to choose the side, an attacker also profits from over-forgetting; ties between the sides accuse `AT_MOST`.
    Raises: DataError for empty or misshapen sets and for nan.
    """
    return best_accusation(positives, negatives, [threshold])


def best_accusation(positives: Any, negatives: Any, candidates: Any) -> Accusation:
    """The `Accusation` with the highest advantage among the thresholds `candidates` (k,), the first of several."""
    p, q = (np.sort(_vector(name, values)) for name, values in (("positives", positives), ("negatives", negatives)))
    t = _vector("candidates", np.asarray(candidates, np.float64))  # a list would lose digits on its way
    low, high = (
        [np.searchsorted(side, t, place) / len(side) for side in (p, q)] for place in ("right", "left")
    )  # shares at most t, and shares below t
    sides = ((Accuses.AT_MOST, low[1], 1 - low[0]), (Accuses.AT_LEAST, 1 - high[1], high[0]))
    accuses, fpr, fnr = max(sides, key=lambda side: float((1 - side[1] - side[2]).max()))
    best = int((1 - fpr - fnr).argmax())
    return Accusation(float(t[best]), accuses, float(fpr[best]), float(fnr[best]))
