"""What a set of scores looks like from above: how concentrated it is, and whether two rankings agree."""

from __future__ import annotations

import math
from enum import Enum
from typing import Any

import numpy as np
import torch

from imu_core.report.numbers import decimal


def _array(scores: Any) -> np.ndarray:
    return np.asarray(torch.as_tensor(scores).detach(), dtype=np.float64)


def concentration(scores: Any) -> tuple[np.ndarray, np.ndarray]:
    """(share of samples, share of the total positive score they hold), both (n + 1,) from 0 to 1, largest scores first.

    Negative scores count as 0, as they do in IMU's weights. Where all are 0, both arrays are the same.
    """
    ordered = np.sort(np.clip(_array(scores), 0, None))[::-1]
    share = np.linspace(0.0, 1.0, len(ordered) + 1)
    total = ordered.sum()
    return share, np.concatenate([[0.0], np.cumsum(ordered) / total]) if total > 0 else share.copy()


def held_by_top(scores: Any, share: float) -> float:
    """Share of the total positive score that the top `share` (0-1) of samples hold; partial samples count in part."""
    return float(np.interp(share, *concentration(scores)))


def ranks(scores: Any) -> np.ndarray:
    """Rank of each sample, 1 = largest score; ties get their mean rank. (n,) float64."""
    from scipy.stats import rankdata

    return rankdata(-_array(scores))


def spearman(one: Any, other: Any) -> float:
    """Spearman's rank correlation of two sets of scores over the same samples, −1 to 1; nan where one is constant."""
    a, b = ranks(one), ranks(other)
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def unranked(scores: Any) -> str:
    """Words on why `scores` have no order; "" where they have one."""
    values = _array(scores)
    if len(values) < 2:
        return "one sample alone has no order"
    return "all scores are equal" if np.ptp(values) == 0 else ""


def written(correlation: float) -> str:
    """A rank correlation as pages and commands write it: 0.987, or a dash where there was nothing to rank."""
    return decimal(correlation, 3)


def overlap(one: Any, other: Any, share: float) -> float:
    """Share of the top `share` (0-1) of samples by `one` that is in the top `share` by `other` as well, at least one sample.

    By chance it would be `share` itself. Ties are broken by position.
    """
    a, b = _array(one), _array(other)
    count = max(1, round(share * len(a)))
    top = (set(np.argsort(-scores, kind="stable")[:count].tolist()) for scores in (a, b))
    return len(set.intersection(*top)) / count


def discrepancy(approximate: Any, exact: Any) -> np.ndarray:
    """Relative discrepancy of every score, |a_i − b_i| / |b_i|, (n,); nan where the exact score is 0."""
    a, b = _array(approximate), _array(exact)
    return np.divide(np.abs(a - b), np.abs(b), out=np.full(len(b), np.nan), where=b != 0)


class Order(Enum):
    """How alike two orders of the same samples are, by Spearman's correlation; the value is the wording in sentences."""

    NEARLY_THE_SAME = "nearly the same order"
    SIMILAR = "a similar order"
    LOOSE = "a loosely similar order"
    UNRELATED = "no common order that could be told from chance"
    OPPOSITE = "rather the opposite order"
    UNKNOWN = "too few samples to tell"


_NEARLY, _SIMILAR = 0.95, 0.7  # correlations from which an order is called so


def order(rho: float, low: float, high: float) -> Order:
    """The `Order` that a correlation and its interval show: first whether it may be chance, then by its size."""
    if math.isnan(low):
        return Order.UNKNOWN
    if low <= 0.0 <= high:
        return Order.UNRELATED
    if rho < 0.0:
        return Order.OPPOSITE
    if rho >= _NEARLY:
        return Order.NEARLY_THE_SAME
    return Order.SIMILAR if rho >= _SIMILAR else Order.LOOSE
