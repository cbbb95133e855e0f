"""Unlearning by teaching something else: random labels, or the original model's answer without the true class."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from imu_core import runtime
from imu_core.methods.base import Batch, Objective
from imu_core.methods.view import View
from imu_core.records import RunConfig

_DRAW = 53  # stream of the generator


def wrong_labels(labels: Tensor, classes: int, generator: torch.Generator) -> Tensor:
    """A label for each sample, drawn uniformly from the `classes` − 1 that are not its own; (n,) int64."""
    drawn = torch.randint(classes - 1, (len(labels),), generator=generator)
    return drawn + (drawn >= labels)


class RandomLabels(Objective):
    """minimise the mean cross-entropy to labels that are wrong and drawn afresh at every step."""

    def __init__(self, config: RunConfig) -> None:
        self._seed = config.seed

    def __call__(self, batch: Batch) -> Tensor:
        """The batch's mean loss against its random labels."""
        generator = runtime.generator(self._seed, _DRAW, batch.step)
        return F.cross_entropy(batch.logits, wrong_labels(batch.labels, batch.logits.shape[1], generator))


def rl(view: View, config: RunConfig) -> Objective:
    """Random labels on the forget set alone, never the true one (Golatkar et al. 2020; the retain-free RL of the IMU paper).

    OPTML's RL differs: it draws from all classes, the true one included, and trains on the retain set as well.
    """
    return RandomLabels(config)


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
