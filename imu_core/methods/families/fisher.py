"""Fisher forgetting: add noise to every parameter, much where the retain loss hardly depends on it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from imu_core import runtime
from imu_core.methods.base import Edit, Method, Parameter
from imu_core.methods.card import Card, Look
from imu_core.methods.view import View, needs
from imu_core.records.run import RunConfig

_NOISE, _BATCH = 67, 32
_MOST, _MOST_HEAD, _WIDER, _ROW = 1e3, 1e2, 10.0, 1e-4  # the clamps and factors of the published code
PARAMETERS = (
    Parameter("alpha", "Noise α", 1e-6, "Variance of the noise, before it is divided by the Fisher information.", 1e-12, 10.0,
              logarithmic=True),
    Parameter("samples", "Retain samples", 2048, "Retain samples that the Fisher information is taken from.", 32, 100_000,
              whole=True),
    Parameter("zero_row", "Erase the head row", True, "Whole classes: their head rows are replaced by small noise."),
)  # fmt: skip


def fisher_diagonal(view: View) -> list[Tensor]:
    """Fisher information of each parameter in scope on the retain set, as SelectiveForgetting and OPTML compute it.

    It is the mean over batches of 32 of Σ_y p̄_y (∂ batch-mean CE with all labels y)², p̄ the mean answer of the batch.
    """
    total, batches = [torch.zeros_like(p) for p in view.parameters], 0
    with view.judging():
        for inputs, labels in view.batches("retain", _BATCH, view.options["samples"]):
            logits = view.module(inputs)
            share = logits.detach().softmax(1).mean(0)
            for y in range(logits.shape[1]):
                loss = F.cross_entropy(logits, torch.full_like(labels, y))
                gradients = torch.autograd.grad(loss, view.parameters, retain_graph=True)
                for running_sum, g in zip(total, gradients, strict=True):
                    running_sum += share[y] * g.square()
            batches += 1
    return [t / max(1, batches) for t in total]


def fisher(view: View, config: RunConfig) -> Edit:
    """Fisher forgetting: θ + sqrt(v) ε, v = α min(1 / F, 10³) (head: 10²), ε normal (Golatkar et al. 2020, OPTML's `fisher_new`).

    v is averaged over the second axis of matrices and kernels, ten times larger for the head and for vectors. Where whole
    classes go, their head rows become small noise around 0: that row alone decides the forget accuracy.
    """
    alpha, target = view.options["alpha"], []
    heads = {id(p) for p in view.head.parameters()}
    for number, (p, F_) in enumerate(zip(view.parameters, fisher_diagonal(view), strict=True)):
        in_head = id(p) in heads
        v = alpha * (1 / (F_ + 1e-8)).clamp(max=_MOST_HEAD if in_head else _MOST)
        v = v.mean(1, keepdim=True).expand_as(v) if p.ndim > 1 else v
        v = v * _WIDER if in_head or p.ndim == 1 else v
        mean = p.detach().clone()
        if in_head and view.classes and view.options["zero_row"]:
            rows = list(view.classes)
            v = v.clone()
            mean[rows], v[rows] = 0.0, _WIDER * _ROW * torch.ones_like(v[rows])
        noise = torch.randn(p.shape, generator=runtime.generator(config.seed, _NOISE, number))
        target.append(mean + v.sqrt() * noise)
    return Edit(target)


METHODS = {
    "fisher": Method(
        title="Fisher forgetting",
        family="dampening",
        start=fisher,
        needs=needs("retain"),
        source="arXiv 1911.04933; fisher_new in OPTML's code",
        edit=True,
        parameters=PARAMETERS,
        strength="alpha",
        note="Where whole classes go, the published code replaces their head rows by noise; that alone forgets them.",
        look=Look("#56B4E9", "dot", "hourglass"),
        card=Card(
            title="Fisher forgetting",
            short="Adds noise to every parameter: much where the retain set does not care, little where it does.",
            text=(
                "The variance of the noise is α over the Fisher information of the retain set, clamped. Where whole classes go, "
                "the published code also replaces their rows in the head by small noise around zero. It reads the retain set "
                "only. The trap: that row alone brings the forget accuracy down, whatever the noise does elsewhere; switch it "
                "off to see."
            ),
            see=("ssd", "edit"),
        ),
    ),
}
