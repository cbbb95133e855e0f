"""How sure a mean is: the t-interval over samples."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from scipy import stats


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
    kept = np.asarray(values, np.float64)
    kept = kept[~np.isnan(kept)]
    if len(kept) < 2:
        return Mean(float(kept.mean()) if len(kept) else math.nan, math.nan, len(kept))
    half = float(stats.t.ppf(0.5 + confidence / 2, len(kept) - 1) * kept.std(ddof=1) / math.sqrt(len(kept)))
    return Mean(float(kept.mean()), half, len(kept))
