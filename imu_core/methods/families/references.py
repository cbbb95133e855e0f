"""What unlearning is compared with: training again without the forget set, and merely training on."""

from __future__ import annotations

import torch
from torch import Tensor

from imu_core.methods.base import RETAIN_SHARE, Batch, Method, Objective, Parameter
from imu_core.methods.card import Card, Look
from imu_core.methods.view import View, needs
from imu_core.records.run import RunConfig

_TRAIN = {"optimizer": "sgd", "momentum": 0.9, "weight_decay": 5e-4, "batch_size": 128}
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
    """Fine-tune: keep training on the retain set (OPTML's FT); nothing in it acts on the forget set."""
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


METHODS = {
    "finetune": Method(
        title="Fine-tune",
        family="reference",
        start=finetune,
        needs=needs("retain"),
        source="train on, on the retain set",
        stream="retain",
        parameters=(RETAIN_SHARE,),
        forgets=False,
        note="Not meant to lower the forget accuracy by itself: nothing in it speaks of the forget set.",
        fixed={**_TRAIN, "learning_rate": 0.01, "epochs": 5},
        look=Look("#8a8a8a", "dashdot", "diamond"),
        card=Card(
            title="Fine-tune",
            short="Keeps training on the retain set and relies on the rest fading by itself.",
            text=(
                "Fine-tuning minimises the mean cross-entropy of the retain set, starting from the original model. Nothing "
                "pushes the forget set away; it fades only as far as the new steps overwrite it. It needs the retain set, which "
                "GA, IMU and NPO do without, so it is a comparison and not an equal. On the head alone it usually changes "
                "little, because the original head already fits the retain set."
            ),
            see=("retrain", "retain_set", "sees"),
        ),
    ),
    "l1_sparse": Method(
        title="L1-sparse",
        family="reference",
        start=l1_sparse,
        needs=needs("retain"),
        source="arXiv 2304.04934",
        stream="retain",
        parameters=(SPARSITY, RETAIN_SHARE),
        look=Look("#8a8a8a", "dot", "diamond-open"),
        card=Card(
            title="L1-sparse",
            short="Fine-tunes on the retain set under an L1 penalty that fades away.",
            text=(
                "The penalty drives small parameters to zero and with them, one hopes, what the forget set left behind. It "
                "falls linearly, so the last epochs repair the accuracy. It needs the retain set and says nothing of the forget "
                "set. The trap: like fine-tuning it forgets slowly, and mostly what the model was unsure of anyway."
            ),
            see=("finetune", "l1"),
        ),
    ),
    "retrain": Method(
        title="Retrain",
        family="reference",
        start=retrain,
        needs=needs("retain", "initial_weights"),
        source="train again without the forget set",
        stream="retain",
        from_scratch=True,
        fixed={**_TRAIN, "learning_rate": 0.2, "epochs": 30, "schedule": "one_cycle"},
        look=Look("#8a8a8a", "dash", "star"),
        card=Card(
            title="Retrain",
            short="Puts the parameters in scope back to their start and trains them on the retain set alone.",
            text=(
                "At scope `all` nothing learned from the forget set is left, and the cost is that of a training. At a narrower "
                "scope only the parameters in scope start afresh: the frozen part still carries what it learned from the forget "
                "set. It needs the retain set and the initial weights. The trap: this run is not the stored retrained reference. "
                "That one is trained by the original's own recipe, which differs in details, and the metrics compare with it."
            ),
            see=("retrained", "finetune", "scope"),
        ),
    ),
}
