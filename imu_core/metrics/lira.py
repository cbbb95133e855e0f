"""U-LiRA: are models that were trained on a sample and unlearned it like models that never saw it? Judged over shadow models."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch

from imu_core.errors import DataError
from imu_core.metrics import thresholds

_SMALLEST_VARIANCE = 1e-12


class Lira(NamedTuple):
    """How well the attack tells "trained, then unlearned" from "never trained": 0.5, 0.5 and 0.01 are private."""

    auc: float
    balanced_accuracy: float
    tpr_at_1_fpr: float
    shadows: int


def u_lira(unlearned: Any, never: Any) -> Lira:
    """The likelihood-ratio attack on margins φ = logit_y − logsumexp(other logits) of n samples under K + K shadow models.

    For each k in turn the Gaussians of every sample are fitted without k: a mean of its own for each of the two worlds, one
    variance pooled over all samples and both worlds (with few shadows a variance of its own would often be 0). Then
    Λ = ((φ − μ_never)² − (φ − μ_unlearned)²) / 2σ² is asked about the pair that was left out; Λ > 0 says "unlearned".

    Args: φ (K, n) where the sample was learned and unlearned, and (K, n) where it was never seen; K at least 2.
    Raises: DataError when shapes do not fit. Source: Hayes et al., arXiv 2403.01218; the variant for a low budget.
    """
    a, b = (np.asarray(torch.as_tensor(v).detach(), np.float64) for v in (unlearned, never))
    if a.ndim != 2 or a.shape != b.shape or len(a) < 2 or not a.shape[1] or not np.isfinite([a, b]).all():
        raise DataError(f"Margins of shapes {a.shape} and {b.shape}; expected finite (K, n) twice, K at least 2, n at least 1.")
    ratios = np.stack([_ratios(a, b, k) for k in range(len(a))])
    curve = thresholds.curve(ratios[:, 0].ravel(), ratios[:, 1].ravel())
    says = np.sign(ratios)  # 0 is a coin toss
    balanced = 0.5 + float(says[:, 0].mean() - says[:, 1].mean()) / 4
    return Lira(curve.auc, balanced, curve.tpr_at(0.01), len(a))


def _ratios(a: np.ndarray, b: np.ndarray, k: int) -> np.ndarray:
    """Λ (2, n) of the pair `k`, from Gaussians that never saw it."""
    others = np.arange(len(a)) != k
    means = a[others].mean(0), b[others].mean(0)
    variance = np.mean([(world[others] - mean) ** 2 for world, mean in zip((a, b), means, strict=True)])
    margins = np.stack([a[k], b[k]])
    return ((margins - means[1]) ** 2 - (margins - means[0]) ** 2) / (2 * max(variance, _SMALLEST_VARIANCE))
