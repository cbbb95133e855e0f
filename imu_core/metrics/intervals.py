"""How sure a mean is: the t-interval over samples, the paired t-test, and Holm's correction for many tests."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from imu_core.errors import DataError


class Mean(NamedTuple):
    """Mean of `n` values with half the width of its interval: mean ± half."""

    mean: float
    half: float
    n: int

    @property
    def seen(self) -> bool:
        """Whether the interval leaves 0 out: for a difference, whether one is seen at all."""
        return abs(self.mean) > self.half


def mean_interval(values: Any, confidence: float = 0.95) -> Mean:
    """Mean of `values` (n,) and the half-width of its t-interval; nan values are left out, half is nan below two values."""
    numbers = np.asarray(values, np.float64)
    numbers = numbers[~np.isnan(numbers)]
    if len(numbers) < 2:
        return Mean(float(numbers.mean()) if len(numbers) else math.nan, math.nan, len(numbers))
    half = float(stats.t.ppf(0.5 + confidence / 2, len(numbers) - 1) * numbers.std(ddof=1) / math.sqrt(len(numbers)))
    return Mean(float(numbers.mean()), half, len(numbers))


def spearman_interval(rho: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """(low, high) of the interval of Spearman's correlation `rho` over `n` samples; nan where it is not defined (n below 4).

    tanh(atanh ρ ± z √((1 + ρ²/2) / (n − 3))). It speaks of other samples of this kind under the same model, not of other models.
    At ρ = ±1 its width is 0. Bonett and Wright 2000, Psychometrika 65, equation 9.
    """
    if math.isnan(rho) or n < 4:
        return math.nan, math.nan
    if abs(rho) >= 1.0:
        return math.copysign(1.0, rho), math.copysign(1.0, rho)
    half = float(stats.norm.ppf(0.5 + confidence / 2)) * math.sqrt((1 + rho * rho / 2) / (n - 3))
    return math.tanh(math.atanh(rho) - half), math.tanh(math.atanh(rho) + half)


class Seen(StrEnum):
    """What a paired test shows; the value is what is written on record."""

    SEEN = "a difference is seen"
    NOT_SEEN = "no difference seen"  # with few pairs that says little
    ONE_PAIR = "one pair: nothing can be said about chance"
    NO_PAIR = "no pair: nothing can be said about chance"


class Paired(NamedTuple):
    """Mean of the differences a − b, half the width of its interval, p of the paired t-test, and the number of pairs."""

    mean: float
    half: float
    p: float
    n: int

    @property
    def seen(self) -> Seen:
        """Whether a difference is seen: the interval leaves 0 out."""
        if self.n < 2:
            return (Seen.NO_PAIR, Seen.ONE_PAIR)[self.n]
        return Seen.SEEN if abs(self.mean) > self.half else Seen.NOT_SEEN


def paired(a: Any, b: Any, confidence: float = 0.95) -> Paired:
    """Whether `a` and `b` (n,), measured on the same problems and seeds, differ: the paired t-test, two-sided.

    Pairs with a nan are left out. Raises DataError for shapes that do not fit.
    """
    one, other = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if one.ndim != 1 or one.shape != other.shape:
        raise DataError(f"Values of shapes {one.shape} and {other.shape}; pairs need two lists of the same length.")
    differences = one - other
    mean, half, n = mean_interval(differences, confidence)
    if n < 2:
        return Paired(mean, half, math.nan, n)
    p = float(mean == 0.0)  # where all differences are the same number
    if half > 0.0:
        p = float(stats.ttest_1samp(differences, 0.0, nan_policy="omit").pvalue)
    return Paired(mean, half, p, n)


def holm(p_values: Any) -> np.ndarray:
    """p values (m,) adjusted for having made m tests, in the order given: those at most α keep the family's error below α.

    Sorted ascending, p₍ᵢ₎ becomes max over j ≤ i of (m − j + 1) p₍ⱼ₎, at most 1. Holm 1979. Leave tests without a p value
    (nan) out before: DataError for anything outside 0 to 1.
    """
    p = np.asarray(p_values, np.float64)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise DataError(f"p values {p_values!r}; expected a list of numbers from 0 to 1.")
    order = np.argsort(p, kind="stable")
    raised = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(raised, 1.0)
    return adjusted


def difference_half(one: float, other: float, n: int, confidence: float = 0.95) -> float:
    """Half the interval of the difference of two shares over `n` samples each, after Agresti and Caffo 2000.

    A success and a failure are added to either side, so that shares of 0 and 1 over few samples are not called certain.
    """
    p, q = ((share * n + 1) / (n + 2) for share in (one, other))
    return float(stats.norm.ppf(0.5 + confidence / 2)) * math.sqrt((p * (1 - p) + q * (1 - q)) / (n + 2))


class Share(NamedTuple):
    """`count` of `n`, as a fraction with its interval from `low` to `high`."""

    count: int
    n: int
    share: float
    low: float
    high: float


def share_interval(count: int, n: int, confidence: float = 0.95) -> Share:
    """The Wilson interval of a share (Wilson 1927): it stays within 0 to 1 and holds for few samples. DataError where n is 0."""
    if not 0 <= count <= n or n < 1:
        raise DataError(f"{count} of {n} is no share: the count must be from 0 to n, and n at least 1.")
    low, high = stats.binomtest(count, n).proportion_ci(confidence, method="wilson")
    return Share(count, n, count / n, float(low), float(high))
