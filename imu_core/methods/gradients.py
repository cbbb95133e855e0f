"""Gradients and curvature of whole sets over the parameters in scope: what the methods without steps are made of."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from imu_core.methods.view import View


def gradients(view: View, loss: Tensor) -> list[Tensor]:
    """d loss / d parameter for each parameter in scope; zeros where the loss does not depend on it."""
    derivatives = torch.autograd.grad(loss, view.parameters, allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(view.parameters, derivatives, strict=True)]


def mean_gradient(view: View, which: str, limit: int | None = None) -> list[Tensor]:
    """Gradient of the mean cross-entropy over the set `which` (forget | retain), a tensor for each parameter in scope.

    It is taken at the current parameters in eval mode, over a fixed random `limit` of the set.
    """
    total, count = [torch.zeros_like(p) for p in view.parameters], 0
    with view.judging():
        for inputs, labels in view.batches(which, limit=limit):
            loss = F.cross_entropy(view.module(inputs), labels, reduction="sum")
            for running_sum, g in zip(total, gradients(view, loss), strict=True):
                running_sum += g
            count += len(labels)
    return [t / max(1, count) for t in total]


def sample_gradients(view: View, which: str, limit: int) -> Iterator[Tensor]:
    """Cross-entropy gradients of single samples, flattened, (p,) each, of a fixed random `limit` of the set; eval mode."""
    with view.judging():
        for inputs, labels in view.batches(which, size=1, limit=limit):
            yield flat(gradients(view, F.cross_entropy(view.module(inputs), labels)))


def flat(tensors: list[Tensor]) -> Tensor:
    """All entries of `tensors`, one after another, as one vector (p,)."""
    return torch.cat([t.reshape(-1) for t in tensors])


def moved(view: View, step: Tensor) -> list[Tensor]:
    """The parameters in scope plus `step` (p,), as new tensors of their shapes; the parameters themselves do not change."""
    parts = step.split([p.numel() for p in view.parameters])
    return [p.detach() + part.view_as(p) for p, part in zip(view.parameters, parts, strict=True)]
