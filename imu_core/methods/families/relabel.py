"""Unlearning by teaching something else: random labels, or the original model's answer without the true class."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from imu_core import runtime
from imu_core.methods.base import RETAIN_SHARE, Batch, Method, Objective, Parameter
from imu_core.methods.card import Card, Look
from imu_core.methods.gradients import flat, mean_gradient
from imu_core.methods.view import View, needs
from imu_core.records.run import RunConfig

_DRAW, _FIXED = 53, 71  # streams of the generator
WITH_RETAIN = Parameter(
    "with_retain", "Train on the retain set too", False, "As OPTML's code does: each epoch then ends with a pass over it."
)
TRUE_LABELS = Parameter(
    "true_labels", "Draw the true label too", False, "As OPTML's code does for CIFAR-10: labels from all classes."
)
DENSITY = Parameter("density", "Share of parameters", 0.5, "The share with the largest forget gradient may change.", 0.001, 1.0)
STRICT = Parameter(
    "strict", "Hold the others fast", True, "Off, weight decay moves masked parameters too, as in the first published code."
)


def wrong_labels(labels: Tensor, classes: int, generator: torch.Generator) -> Tensor:
    """A label for each sample, drawn uniformly from the `classes` − 1 that are not its own; (n,) int64."""
    drawn = torch.randint(classes - 1, (len(labels),), generator=generator)
    return drawn + (drawn >= labels)


class RandomLabels(Objective):
    """minimise the mean cross-entropy to labels drawn afresh at every step; retain batches keep their own."""

    def __init__(self, config: RunConfig, true_labels: bool = False) -> None:
        self._seed, self._true = config.seed, true_labels

    def __call__(self, batch: Batch) -> Tensor:
        """The batch's mean loss against its random labels."""
        if not bool(batch.is_forget.all()):
            return batch.losses().mean()
        generator, classes = runtime.generator(self._seed, _DRAW, batch.step), batch.logits.shape[1]
        if self._true:
            labels = torch.randint(classes, (len(batch.labels),), generator=generator)
        else:
            labels = wrong_labels(batch.labels, classes, generator)
        return F.cross_entropy(batch.logits, labels)


def rl(view: View, config: RunConfig) -> Objective:
    """Random labels, by default on the forget set alone and never the true one (Golatkar et al. 2020; RL of the IMU paper).

    As published by OPTML it draws from all classes, the true one included, and trains on the retain set as well: both options.
    """
    return RandomLabels(config, view.options["true_labels"])


def rl_needs(config: RunConfig) -> frozenset[str]:
    """The forget set, and the retain set only under `with_retain`."""
    return frozenset({"forget", "retain"} if config.options.get("with_retain") else {"forget"})


def rl_stream(config: RunConfig) -> str:
    """The stream: "in_turn" (forget set, then retain set) under `with_retain`, else "forget"."""
    return "in_turn" if config.options.get("with_retain") else "forget"


class Masked(RandomLabels):
    """Random labels and retain samples, but only the parameters with the largest forget gradients may move."""

    def __init__(self, view: View, config: RunConfig) -> None:
        super().__init__(config, true_labels=True)
        gradient = flat(mean_gradient(view, "forget")).abs()
        count = max(1, round(view.options["density"] * len(gradient)))
        mask = torch.zeros(len(gradient), dtype=torch.bool)
        mask[gradient.argsort(descending=True, stable=True)[:count]] = True
        self._parameters: list[nn.Parameter] = view.parameters
        shapes = [p.numel() for p in view.parameters]
        self.masks = [m.view_as(p) for m, p in zip(mask.split(shapes), view.parameters, strict=True)]
        self._fixed = [p.detach().clone() for p in view.parameters] if view.options["strict"] else None

    def before_step(self) -> None:
        """Set the gradient to 0 outside the mask."""
        for p, mask in zip(self._parameters, self.masks, strict=True):
            if p.grad is not None:
                p.grad *= mask

    @torch.no_grad()
    def after_step(self) -> None:
        """Put back what weight decay moved outside the mask, under `strict`."""
        for p, mask, old in zip(self._parameters, self.masks, self._fixed or [], strict=self._fixed is not None):
            p.copy_(torch.where(mask, p, old))


def salun(view: View, config: RunConfig) -> Objective:
    """SalUn: OPTML's RL on the parameters with the largest |sum of forget gradients| of all (arXiv 2310.12508, Eq. 3)."""
    return Masked(view, config)


class FixedLabels(Objective):
    """minimise the mean cross-entropy; forget samples have one wrong label each, drawn once."""

    def __init__(self, view: View, config: RunConfig) -> None:
        generator = runtime.generator(config.seed, _FIXED)
        self._labels = wrong_labels(view.forget.labels, view.head.out_features, generator)

    def __call__(self, batch: Batch) -> Tensor:
        """The batch's mean loss."""
        labels = batch.labels.clone()
        labels[batch.is_forget] = self._labels[batch.position[batch.is_forget]]
        return F.cross_entropy(batch.logits, labels)


def amnesiac_relabel(view: View, config: RunConfig) -> Objective:
    """Train on both sets shuffled together, the forget set under fixed wrong labels ("amnesiac" in the SSD repository)."""
    return FixedLabels(view, config)


class WithoutTheClass(Objective):
    """minimise the mean KL(q ‖ p): q is the original model's distribution with the true class taken out, p the model's."""

    def __init__(self, view: View) -> None:
        self._original = view.original

    def __call__(self, batch: Batch) -> Tensor:
        """The batch's mean divergence, nats; q_c = p⁰_c / (1 − p⁰_y) for c ≠ y, from the same (possibly flipped) inputs."""
        with torch.no_grad():
            before = self._original(batch.inputs).scatter(1, batch.labels[:, None], -torch.inf)
            target = before.log_softmax(1)
        q = target.exp()
        log_q = torch.where(q > 0, target, torch.zeros_like(target))  # 0 · log 0 is 0, and −∞ would spoil the sum
        return (q * (log_q - batch.logits.log_softmax(1))).sum(1).mean()


def delete(view: View, config: RunConfig) -> Objective:
    """DELETE: distil the original model with the true class masked, on the forget set alone (arXiv 2503.23751)."""
    return WithoutTheClass(view)


METHODS = {
    "rl": Method(
        title="RL",
        family="relabelling",
        start=rl,
        needs=rl_needs,
        source="random labels; arXiv 1911.04933",
        stream=rl_stream,
        parameters=(WITH_RETAIN, TRUE_LABELS, RETAIN_SHARE),
        look=Look("#E69F00", "solid", "diamond"),
        card=Card(
            title="RL (random labels)",
            short="Trains on the forget set with labels drawn at random among the wrong ones.",
            text=(
                "Every step draws a new wrong label for each forget sample, all wrong classes equally likely, and takes a step "
                "of ordinary training on them. It sees the forget set only. The trap: under one name there are several methods. "
                "OPTML's draws from all classes, the true one included, and trains on the retain set as well; that one is not "
                "meant here."
            ),
            see=("delete", "ga", "sees"),
        ),
    ),
    "delete": Method(
        title="DELETE",
        family="distillation",
        start=delete,
        needs=needs("forget"),
        source="arXiv 2503.23751",
        look=Look("#7A5195", "solid", "hexagon"),
        card=Card(
            title="DELETE",
            short="Teaches the original model's own answer with the true class taken out.",
            text=(
                "For each forget sample the target is the original model's distribution without the true class, $q_c = p^0_c / "
                r"(1 - p^0_y)$, and the mean $\mathrm{KL}(q \,\|\, p)$ is minimised. What the model knows about the other "
                "classes stays in the target, so it resembles a retrained model's confusion. It sees the forget set only. The "
                "trap: only the true class is masked, so for random samples it teaches an answer that a retrained model would "
                "often not give."
            ),
            see=("rl", "npo", "sees"),
        ),
    ),
    "salun": Method(
        title="SalUn",
        family="relabelling",
        start=salun,
        needs=needs("forget", "retain"),
        source="arXiv 2310.12508",
        stream="in_turn",
        parameters=(DENSITY, STRICT, RETAIN_SHARE),
        look=Look("#E69F00", "dashdot", "diamond-tall"),
        card=Card(
            title="SalUn",
            short="Random labels, but only the parameters with the largest forget gradient may change.",
            text=(
                "The gradient of the forget loss is summed over the forget set, and the half of all parameters where it is "
                "largest forms a mask. Then each epoch goes through the forget set with random labels, the true one included, "
                "and through the retain set with its own. It needs both sets. The trap: with weight decay and momentum masked "
                "parameters moved all the same in the first published code; here they are held fast unless you say otherwise."
            ),
            see=("rl", "sees"),
        ),
    ),
    "amnesiac_relabel": Method(
        title="Amnesiac (relabel)",
        family="relabelling",
        start=amnesiac_relabel,
        needs=needs("forget", "retain"),
        source="arXiv 2010.10981, the repository's second method",
        stream="together",
        parameters=(RETAIN_SHARE,),
        look=Look("#E69F00", "longdash", "diamond-tall-open"),
        card=Card(
            title="Amnesiac, by relabelling",
            short="Trains on both sets together, the forget set under wrong labels that are drawn once.",
            text=(
                "Each forget sample gets one wrong label for good, and the model is trained on forget and retain set shuffled "
                "together. It stands as `amnesiac` in the tables of other papers, though the paper's main method is another. It "
                "needs both sets. The trap: fixed random labels can be learned by heart, image by image."
            ),
            see=("amnesiac_delta", "rl", "salun"),
        ),
    ),
}
