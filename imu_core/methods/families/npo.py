"""Negative preference optimisation for a classifier: ascent that slows down on samples it has already forgotten."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from imu_core.methods.base import Batch, Method, Objective
from imu_core.methods.card import Card, Look
from imu_core.methods.view import View, needs
from imu_core.records.run import RunConfig


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


METHODS = {
    "npo": Method(
        title="NPO",
        family="npo",
        start=npo,
        needs=needs("forget"),
        source="arXiv 2404.05868",
        uses=("beta",),
        look=Look("#009E73", "solid", "square"),
        card=Card(
            title="NPO (negative preference optimisation)",
            short="Gradient ascent with a brake: a sample already forgotten is pushed less and less.",
            text=(
                r"NPO minimises $-\frac{2}{\beta}$ times the mean of $\log\sigma(\beta(\ell-\ell_0))$, with $\ell$ a sample's "
                r"cross-entropy now and $\ell_0$ the original model's. It starts out as GA; a sample's share in the gradient, "
                r"$2\sigma(-\beta(\ell-\ell_0))$, falls from 1 towards 0 as its loss rises. It sees the forget set only. The "
                "trap: with normalised steps the brake decides only how samples share a step; the step itself keeps its length. "
                "A second one: the NPO in the IMU authors' code has the opposite sign, and this app runs the published formula."
            ),
            see=("beta", "ga", "normalised"),
        ),
    ),
    "simnpo": Method(
        title="SimNPO",
        family="npo",
        start=simnpo,
        needs=needs("forget"),
        source="arXiv 2410.07163",
        uses=("beta",),
        look=Look("#009E73", "dot", "square-open"),
        card=Card(
            title="SimNPO",
            short="NPO without the original model: a sample is pushed less the larger its loss already is.",
            text=(
                r"SimNPO minimises $-\frac{2}{\beta}$ times the mean of $\log\sigma(\beta\ell)$, with $\ell$ a sample's "
                "cross-entropy now. Where NPO asks how much a sample's loss has risen, SimNPO asks how large it is, so samples "
                "the model was never sure of are spared from the start. It sees the forget set only. The trap: on a confident "
                "classifier all losses are near zero at first, and it starts out like GA."
            ),
            see=("npo", "ga", "beta"),
        ),
    ),
}
