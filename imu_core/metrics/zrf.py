"""Zero retrain forgetting: how much the outputs on the forget set are like those of a network that never learned anything."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from imu_core.metrics.divergence import expected, js, log_probabilities


class Zrf(NamedTuple):
    """`zrf` on the scale of the published code (near 1 whatever happens), `zrf_js` with the true divergence in nats."""

    zrf: float
    zrf_js: float


def zrf(model: Any, incompetent: Any) -> Zrf:
    """1 − JS between the outputs of `model` and of an `incompetent` (randomly initialised) network, mean over samples.

    zrf_js   1 − JS in nats, from 1 − ln 2 = 0.31 (nothing in common) to 1 (equal)
    zrf      as in the authors' code: with m = (p + q) / 2 it takes ½ KL(m ‖ p) + ½ KL(m ‖ q), the arguments the other way
             round, and divides by the number of classes as well, so that most values lie near 1; it has no lower bound

    Higher means more like noise, not better: a retrained model still gives unseen samples confident answers.

    Args: logits (n, C) of both on the forget set. Raises: DataError when shapes do not fit.
    Source: Bad Teaching, arXiv 2205.08096, and vikram2000b/bad-teaching-unlearning.
    """
    p, q = log_probabilities(model, incompetent)
    m = torch.logaddexp(p, q) - torch.log(torch.tensor(2.0, dtype=torch.float64))
    reverse = 0.5 * (expected(m, m - p) + expected(m, m - q))
    return Zrf(float(1 - reverse.mean()), 1 - js(model, incompetent))
