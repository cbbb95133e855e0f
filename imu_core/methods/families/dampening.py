"""Selective synaptic dampening: shrink the parameters that matter more to the forget set than to the training set."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from imu_core.methods.base import Edit, Method, Parameter
from imu_core.methods.card import Card, Look
from imu_core.methods.gradients import gradients
from imu_core.methods.view import View, needs
from imu_core.records.run import RunConfig

SELECT = Parameter(
    "alpha", "Selection α", 10.0, "A parameter is dampened where the forget set's importance exceeds α times the stored one.",
    1e-3, 1e4, logarithmic=True,
)  # fmt: skip
DAMPEN = Parameter(
    "dampening", "Dampening λ", 1.0, "Selected parameters are multiplied by λ · stored / forget, at most 1.", 0.0, 10.0
)


def forget_importances(view: View, squared: bool, size: int) -> list[Tensor]:
    """Importance of each parameter in scope on the forget set, by the same rule and batch size as the stored ones.

    It is the mean over batches of (gradient of the cross-entropy)² if `squared`, else of |gradient of the squared logit norm|.
    """
    batches, total = 0, [torch.zeros_like(p) for p in view.parameters]
    with view.judging():
        for inputs, labels in view.batches("forget", size):
            logits = view.module(inputs)
            loss = F.cross_entropy(logits, labels) if squared else logits.square().sum(1).mean()
            for running_sum, g in zip(total, gradients(view, loss), strict=True):
                running_sum += g.square() if squared else g.abs()
            batches += 1
    return [t / batches for t in total]


def _dampened(view: View, kind: str) -> Edit:
    stored = view.importances
    alpha, strength = view.options["alpha"], view.options["dampening"]
    target, chosen = [], 0
    importances = forget_importances(view, kind == "fisher", int(stored["batch_size"]))
    for name, p, mine in zip(view.names, view.parameters, importances, strict=True):
        theirs = stored[f"{kind}.{name}"]
        selected = mine > alpha * theirs
        factor = torch.where(selected, (strength * theirs / mine).clamp(max=1.0), torch.ones_like(mine))
        target.append(p.detach() * factor)
        chosen += int(selected.sum())
    total = sum(p.numel() for p in view.parameters)
    return Edit(target, f"Dampened {chosen:,} of {total:,} parameters.")


def ssd(view: View, config: RunConfig) -> Edit:
    """SSD: θ ← min(λ I_D / I_f, 1) θ where I_f > α I_D; I the mean squared gradient of batches (arXiv 2308.07707, Eqs. 4-6).

    I_D is stored beside the original model, over the whole training set and at the same batch size: I scales with it.
    """
    return _dampened(view, "fisher")


def lfssd(view: View, config: RunConfig) -> Edit:
    """LFSSD: SSD whose importance is the mean |gradient| of the squared norm of the logits: no labels (arXiv 2402.19308)."""
    return _dampened(view, "absolute")


METHODS = {
    "ssd": Method(
        title="SSD",
        family="dampening",
        start=ssd,
        needs=needs("forget", "statistics"),
        source="arXiv 2308.07707",
        edit=True,
        parameters=(SELECT, DAMPEN),
        strength="alpha",
        look=Look("#56B4E9", "solid", "pentagon"),
        card=Card(
            title="SSD (selective synaptic dampening)",
            short="Shrinks the parameters that matter much more to the forget set than to the whole training set.",
            text=(
                "Importance is the mean squared gradient of batches. Where a parameter's importance on the forget set exceeds "
                "α times the stored one, it is multiplied by their ratio times λ, at most by 1. No step is taken, and the "
                "retain set is not needed, only importances stored at training. The trap: importance of batches depends on the "
                "batch size, so both must use the same."
            ),
            see=("lfssd", "edit", "fisher"),
        ),
    ),
    "lfssd": Method(
        title="LFSSD",
        family="dampening",
        start=lfssd,
        needs=needs("forget", "statistics"),
        source="arXiv 2402.19308",
        edit=True,
        parameters=(SELECT, DAMPEN),
        strength="alpha",
        gentle={"options": {"alpha": 3.0}},
        look=Look("#56B4E9", "dash", "pentagon-open"),
        card=Card(
            title="LFSSD (label-free SSD)",
            short="SSD whose importance is the mean absolute gradient of the squared length of the logits: no labels needed.",
            text=(
                "It asks which parameters drive the size of the output, whatever the label, and dampens those that do so more "
                "for the forget set than for the training set. Selection and dampening are SSD's. The trap: absolute gradients "
                "spread much less than squared ones, so SSD's α selects hardly anything here and must be smaller."
            ),
            see=("ssd", "edit"),
        ),
    ),
}
