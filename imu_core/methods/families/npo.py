"""Negative preference optimisation for a classifier: ascent that slows down on samples it has already forgotten."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from imu_core.methods.base import Batch, Objective
from imu_core.methods.view import View
from imu_core.records import RunConfig


class PreferenceLoss(Objective):
    """minimise −(2/β) mean log σ(β(ℓ − ℓ₀)), ℓ the cross-entropy now, ℓ₀ the original model's on the same input."""

    def __init__(self, view: View, config: RunConfig) -> None:
        self._view, self._config = view, config
        self._before = view.forget.losses

    def __call__(self, batch: Batch) -> Tensor:
        """The batch's loss; at the start its gradient is GA's, and it falls to 0 as a sample is forgotten."""
        flipped = self._config.augment  # then the original model must be asked about the very same images
        before = self._view.original_losses(batch.inputs, batch.labels) if flipped else self._before[batch.position]
        beta = self._config.beta
        return 2.0 / beta * F.softplus(-beta * (batch.losses() - before)).mean()


class SimplePreferenceLoss(Objective):
    """minimise −(2/β) mean log σ(β ℓ), ℓ the cross-entropy now: NPO without a reference (margin γ = 0)."""

    def __init__(self, config: RunConfig) -> None:
        self._beta = config.beta

    def __call__(self, batch: Batch) -> Tensor:
        """The batch's loss; a sample's share in the gradient, 2σ(−βℓ), is already small where the model is unsure of it."""
        return 2.0 / self._beta * F.softplus(-self._beta * batch.losses()).mean()


def simnpo(view: View, config: RunConfig) -> Objective:
    """SimNPO on a classifier (Fan et al. 2024, arXiv 2410.07163, with |y| = 1 and γ = 0)."""
    return SimplePreferenceLoss(config)


def npo(view: View, config: RunConfig) -> Objective:
    """NPO with the cross-entropy in place of the sequence loss (Zhang et al. 2024, arXiv 2404.05868, Eq. 3); β → 0 is GA."""
    return PreferenceLoss(view, config)
