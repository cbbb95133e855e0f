"""Unlearning by teaching something else: random labels, or the original model's answer without the true class."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from imu_core import runtime
from imu_core.methods.base import Batch, Objective, Parameter
from imu_core.methods.gradients import flat, mean_gradient
from imu_core.methods.view import View
from imu_core.records import RunConfig

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
    """The retain set only where it is asked for."""
    return frozenset({"forget", "retain"} if config.options.get("with_retain") else {"forget"})


def rl_stream(config: RunConfig) -> str:
    """The forget set, then the retain set where that is asked for."""
    return "in_turn" if config.options.get("with_retain") else "forget"


class Masked(RandomLabels):
    """Random labels and retain samples, but only the parameters that the forget set cares about may move."""

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
        """Cut the gradient to the mask."""
        for p, mask in zip(self._parameters, self.masks, strict=True):
            if p.grad is not None:
                p.grad *= mask

    @torch.no_grad()
    def after_step(self) -> None:
        """Put back what weight decay moved outside the mask."""
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
        kept = torch.where(q > 0, target, torch.zeros_like(target))  # 0 · log 0 is 0, and −∞ would spoil the sum
        return (q * (kept - batch.logits.log_softmax(1))).sum(1).mean()


def delete(view: View, config: RunConfig) -> Objective:
    """DELETE: distil the original model with the true class masked, on the forget set alone (arXiv 2503.23751)."""
    return WithoutTheClass(view)
