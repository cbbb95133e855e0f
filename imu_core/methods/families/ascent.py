"""Gradient ascent on the forget set: uniform (GA), or each sample weighted by its influence (IMU)."""

from __future__ import annotations

import torch
from torch import Tensor

from imu_core.methods.base import Batch, Method, Objective, Parameter
from imu_core.methods.card import Card, Look
from imu_core.methods.view import View, needs
from imu_core.records.run import RunConfig
from imu_core.weights import sample_weights

NEGGRAD = (
    Parameter("alpha", "Retain share α", 0.95, "Weight of the retain loss; 1 − α is that of the ascent.", 0.0, 1.0),
    Parameter("retain_share", "Share of the retain set", 1.0, "A fixed random share of the retain set takes part.", 0.001),
)


IMU_USES = ("estimator", "damping", "psi", "top", "clip_quantile", "control", "update_every", "weight_norm", "l1")
HESSIAN = Parameter(
    "hessian",
    "Hessian over",
    "forget",
    "The set whose curvature the influence is taken with; all training samples need the retain set (Table 8 of the paper).",
    choices=("forget", "train"),
)


class WeightedAscent(Objective):
    """minimise −Σ wᵢ CEᵢ / Σ wᵢ over a batch, plus l1 · ‖head‖₁; a batch whose weights sum to 0 is skipped.

    weight_norm: batch divides by the batch's own sum, as the authors' code does, so that a learning rate means the same
    as GA's; dataset uses the weights as they are (they sum to 1 over the forget set); mean1 scales them to mean 1.
    """

    def __init__(self, view: View, config: RunConfig, weights: Tensor) -> None:
        self._view, self._config = view, config
        self.weights = weights

    def __call__(self, batch: Batch) -> Tensor | None:
        """The batch's loss; gradient flows through the cross-entropy, not through the weights."""
        assert self.weights is not None
        w = self.weights[batch.position]
        if float(total := w.sum()) == 0.0:
            return None
        if self._config.weight_norm == "batch":  # still in float64: softmax gives whole batches weights that float32 takes for 0
            w = w / total
        elif self._config.weight_norm == "mean1":
            w = w * (len(self.weights) / len(w))
        loss = -(w.to(batch.logits.dtype) * batch.losses()).sum()
        if self._config.l1:
            loss = loss + self._config.l1 * sum(p.abs().sum() for p in self._view.head.parameters())
        return loss


class InfluenceAscent(WeightedAscent):
    """Weighted ascent whose weights are recomputed from the current head as `update_every` says (ν in the paper)."""

    def refresh(self, step: int, epoch: int) -> None:
        """Recompute the weights where they are due; the first ones were computed at the start."""
        every = self._config.update_every
        due = step > 0 if every == "iteration" else self._is_new_epoch(epoch) and every and epoch % int(every) == 0
        self._epoch = epoch
        if due:
            self.weights = influence_weights(self._view, self._config)

    _epoch = 0

    def _is_new_epoch(self, epoch: int) -> bool:
        return epoch != self._epoch


def influence_weights(view: View, config: RunConfig) -> Tensor:
    """Weights (n,) of the forget samples, by the config's estimator, ψ and control, at the current head."""
    influence = view.influence(hessian=view.options["hessian"], estimator=config.estimator, damping=config.damping)
    return sample_weights(
        influence,
        control=config.control,
        psi=config.psi,
        top=config.top,
        clip_quantile=config.clip_quantile,
        seed=config.seed,
    )


def ga(view: View, config: RunConfig) -> Objective:
    """Gradient ascent: minimise −mean CE over the forget set (NegGrad; Golatkar et al. 2020; OPTML's GA, without BN drift)."""
    n = len(view.forget.labels)
    return WeightedAscent(view, config, torch.full((n,), 1.0 / n, dtype=torch.float64))


def imu_needs(config: RunConfig) -> frozenset[str]:
    """IMU sees the forget set alone, unless its Hessian is that of all training samples."""
    return frozenset({"forget", "retain"} if config.options.get("hessian") == "train" else {"forget"})


def imu(view: View, config: RunConfig) -> Objective:
    """IMU: ascent with each sample weighted by ψ of its head influence on the forget loss (arXiv 2508.01620, Algorithm 1)."""
    return InfluenceAscent(view, config, influence_weights(view, config))


class DescentAscent(Objective):
    """minimise α · mean CE of the retain samples − (1 − α) · mean CE of the forget samples."""

    def __init__(self, alpha: float) -> None:
        self._alpha = alpha

    def __call__(self, batch: Batch) -> Tensor:
        """The loss of a pair of batches."""
        losses, out = batch.losses(), batch.is_forget
        return self._alpha * losses[~out].mean() - (1 - self._alpha) * losses[out].mean()


def neggrad_plus(view: View, config: RunConfig) -> Objective:
    """NegGrad+: descent on the retain set and ascent on the forget set in one step (arXiv 2302.09880, section 5)."""
    return DescentAscent(view.options["alpha"])


METHODS = {
    "imu": Method(
        title="IMU",
        family="imu",
        start=imu,
        needs=imu_needs,
        source="arXiv 2508.01620",
        uses=IMU_USES,
        parameters=(HESSIAN,),
        gentle={"psi": "tanh"},
        authors={"clip_quantile": 0.93, "l1": 2e-4},
        look=Look("#0072B2", "solid", "circle"),
        card=Card(
            title="IMU",
            short="Gradient ascent on the forget set, with each sample weighted by its influence on the forget loss.",
            text=(
                r"IMU minimises $-\sum_i w_i\,\mathrm{CE}_i / \sum_i w_i$ over each batch: the losses of the forget set are "
                "pushed up, those of samples with a high influence score more than others. By default it changes the head alone "
                "and computes the scores once. The paper compares this with rivals that move the whole network. With all of "
                "them on the head and at the same depth, GA, IMU, IMU with permuted weights and NPO kept the same accuracy on "
                "CIFAR-10, within the spread between classes; whether influence helps when all layers move is open. The Unlearn "
                "page lets you repeat the comparison on your problem."
            ),
            see=("influence", "weight", "ga", "permuted", "authors"),
        ),
    ),
    "ga": Method(
        title="GA",
        family="ga",
        start=ga,
        needs=needs("forget"),
        source="gradient ascent; arXiv 1911.04933",
        uses=("weight_norm", "l1"),
        look=Look("#D55E00", "solid", "triangle-up"),
        card=Card(
            title="GA (gradient ascent)",
            short="Pushes up the loss of every forget sample equally; sees the forget set only.",
            text=(
                r"GA minimises $-\frac{1}{n}\sum_i \mathrm{CE}_i$ over each batch of the forget set: training turned round. It "
                "is what IMU becomes when all weights are equal, so it is IMU's first control. Cross-entropy has no upper "
                "bound, so GA never arrives: it goes on until you stop it, and beyond some depth it pulls the other classes "
                "down with it. The trap: GA in the paper's tables moves the whole network, with batch norm drifting. That is a "
                "different run from GA on the head."
            ),
            see=("imu", "uniform", "stop_at", "bn"),
        ),
    ),
    "neggrad_plus": Method(
        title="NegGrad+",
        family="ga",
        start=neggrad_plus,
        needs=needs("forget", "retain"),
        source="arXiv 2302.09880",
        stream="paired",
        parameters=NEGGRAD,
        look=Look("#D55E00", "dash", "triangle-down"),
        card=Card(
            title="NegGrad+",
            short="Ascent on the forget set and descent on the retain set in one step.",
            text=(
                "Each step takes a batch of both sets and minimises α times the retain loss minus 1 − α times the forget loss. "
                "The retain set holds the other classes in place while GA does its work. It needs both sets. The trap: like GA "
                "it has no end; with too small an α the ascent wins."
            ),
            see=("ga", "scrub"),
        ),
    ),
}
