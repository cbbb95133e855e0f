"""How far two models' outputs are apart on the same samples: KL, Jensen-Shannon, W1, activation distance, agreement."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from imu_core.errors import DataError


def log_probabilities(reference: Any, model: Any) -> tuple[Tensor, Tensor]:
    """ln softmax of both, float64 (n, C), from logits of one shape; DataError for anything else."""
    pair = [torch.as_tensor(t).detach().to(torch.float64) for t in (reference, model)]
    if pair[0].shape != pair[1].shape or pair[0].ndim != 2 or not len(pair[0]):
        raise DataError(f"Logits of shapes {tuple(pair[0].shape)} and {tuple(pair[1].shape)}: both must be (n, C), n at least 1.")
    return pair[0].log_softmax(1), pair[1].log_softmax(1)


def kl(reference: Any, model: Any) -> float:
    """Mean over samples of KL(p_reference ‖ p_model) in nats, from logits (n, C); 0 when equal, unbounded; float64."""
    p, q = log_probabilities(reference, model)
    return float(expected(p, p - q).sum(1).mean())


def expected(log_p: Tensor, values: Tensor) -> Tensor:
    """p · values, with 0 · anything = 0: a class that cannot happen counts nothing."""
    return torch.where(log_p == -torch.inf, 0.0, log_p.exp() * values)


def js(reference: Any, model: Any) -> float:
    """Mean over samples of the Jensen-Shannon divergence in nats, from logits (n, C); symmetric, from 0 to ln 2."""
    p, q = log_probabilities(reference, model)
    m = torch.logaddexp(p, q) - torch.log(torch.tensor(2.0, dtype=torch.float64))
    return float(0.5 * (expected(p, p - m) + expected(q, q - m)).sum(1).mean())


def w1(reference: Any, model: Any) -> float:
    """Mean over classes of the 1-d Wasserstein-1 distance between the two sets of probabilities of that class, 0 to 1.

    A distance between distributions over samples, not between samples, and free of the order of the classes, unlike the
    W1 between argmax class indices of the IMU authors' code.
    """
    p, q = (t.exp().sort(0).values for t in log_probabilities(reference, model))
    return float((p - q).abs().mean())


def activation_distance(reference: Any, model: Any) -> float:
    """Mean over samples of ‖p_reference − p_model‖₂ between softmax outputs, from logits (n, C); 0 to √2.

    Despite its name it compares outputs, not hidden activations. Source: Golatkar et al. 2021, Chundawat et al. 2023.
    """
    p, q = log_probabilities(reference, model)
    return float(torch.linalg.vector_norm(p.exp() - q.exp(), dim=1).mean())


def agreement(reference: Any, model: Any) -> float:
    """Share of samples to which both models give the same class first, from logits (n, C); right or wrong counts the same."""
    p, q = log_probabilities(reference, model)
    return float((p.argmax(1) == q.argmax(1)).double().mean())


def w1_classes(reference: Any, model: Any) -> float:
    """Wasserstein-1 distance between the two models' lists of predicted class *numbers*, from logits (n, C); 0 to C − 1.

    The "W_dist" of the IMU authors' code, which takes it over the test set without the forgotten classes. It depends on the
    arbitrary order of the classes, and two models that swap their answers between samples have distance 0. `w1` does not
    depend on the order of the classes.
    """
    from scipy.stats import wasserstein_distance

    p, q = log_probabilities(reference, model)
    return float(wasserstein_distance(p.argmax(1).numpy(), q.argmax(1).numpy()))
