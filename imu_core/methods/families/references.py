"""What unlearning is compared with: training again without the forget set, and merely training on."""

from __future__ import annotations

import torch
from torch import Tensor

from imu_core.methods.base import Batch, Objective, Parameter
from imu_core.methods.view import View
from imu_core.records import RunConfig

SPARSITY = Parameter(
    "sparsity", "L1 on all parameters", 1e-4, "Weight of the L1 norm, falling to 0 over the run.", 0.0, 1.0, logarithmic=True
)


class CrossEntropy(Objective):
    """minimise the mean cross-entropy of the batch."""

    def __call__(self, batch: Batch) -> Tensor:
        """The batch's mean loss."""
        return batch.losses().mean()


def retrain(view: View, config: RunConfig) -> Objective:
    """Retrain: the parameters in scope go back to their initial values and learn from the retain set alone.

    With `scope="all"` this is the real reference, and no trace of the forget set is left. With a narrower scope the frozen
    part still carries what it learned from the forget set.
    """
    initial = view.initial_weights
    trained = {id(p) for p in view.parameters}
    with torch.no_grad():
        for name, parameter in view.module.named_parameters():
            if id(parameter) in trained:
                parameter.copy_(initial[name])
        if config.scope == "all":
            for name, buffer in view.module.named_buffers():
                buffer.copy_(initial[name])
    return CrossEntropy()


def finetune(view: View, config: RunConfig) -> Objective:
    """Fine-tune: keep training on the retain set and hope (OPTML's FT)."""
    return CrossEntropy()


class Sparse(Objective):
    """minimise the mean cross-entropy plus aₜ ‖θ‖₁ over the parameters in scope; aₜ falls linearly, epoch by epoch."""

    def __init__(self, view: View, epochs: int) -> None:
        self._parameters, self._epochs = view.parameters, max(1, epochs)
        self._sparsity = view.options["sparsity"]

    def __call__(self, batch: Batch) -> Tensor:
        """The batch's loss."""
        now = self._sparsity * (1 - batch.epoch / self._epochs)
        return batch.losses().mean() + now * sum(p.abs().sum() for p in self._parameters)


def l1_sparse(view: View, config: RunConfig) -> Objective:
    """ℓ1-sparse: fine-tune on the retain set under a falling L1 penalty (arXiv 2304.04934, `FT_prune`)."""
    return Sparse(view, config.epochs)
