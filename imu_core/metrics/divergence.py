"""How far two models' outputs are apart on the same samples: KL, Jensen-Shannon, per-class W1."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from imu_core.errors import DataError


def _log_probabilities(reference: Any, model: Any) -> tuple[Tensor, Tensor]:
    pair = [torch.as_tensor(t).detach().to(torch.float64) for t in (reference, model)]
    if pair[0].shape != pair[1].shape or pair[0].ndim != 2 or not len(pair[0]):
        raise DataError(f"Logits of shapes {tuple(pair[0].shape)} and {tuple(pair[1].shape)}: both must be (n, C), n at least 1.")
    return pair[0].log_softmax(1), pair[1].log_softmax(1)


def kl(reference: Any, model: Any) -> float:
    """Mean over samples of KL(p_reference ‖ p_model) in nats, from logits (n, C); 0 when equal, unbounded; float64."""
    p, q = _log_probabilities(reference, model)
    return float(_expected(p, p - q).sum(1).mean())


def _expected(log_p: Tensor, values: Tensor) -> Tensor:
    """p · values, with 0 · anything = 0: a class that cannot happen counts nothing."""
    return torch.where(log_p == -torch.inf, 0.0, log_p.exp() * values)


def js(reference: Any, model: Any) -> float:
    """Mean over samples of the Jensen-Shannon divergence in nats, from logits (n, C); symmetric, from 0 to ln 2."""
    p, q = _log_probabilities(reference, model)
    m = torch.logaddexp(p, q) - torch.log(torch.tensor(2.0, dtype=torch.float64))
    return float(0.5 * (_expected(p, p - m) + _expected(q, q - m)).sum(1).mean())


def w1(reference: Any, model: Any) -> float:
    """Mean over classes of the 1-d Wasserstein-1 distance between the two sets of probabilities of that class, 0 to 1.

    A distance between distributions over samples, not between samples, and free of the order of the classes, unlike the
    W1 between argmax class indices of the IMU authors' code.
    """
    p, q = (t.exp().sort(0).values for t in _log_probabilities(reference, model))
    return float((p - q).abs().mean())
