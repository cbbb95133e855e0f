"""Boundary unlearning: move the forget set across the nearest decision boundary, or into a class of its own."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from imu_core import runtime
from imu_core.errors import ConfigError
from imu_core.methods.base import Batch, Method, Objective, Parameter
from imu_core.methods.card import Card, Look
from imu_core.methods.view import View, needs
from imu_core.models.inference import to_input
from imu_core.records.run import RunConfig

_CHUNK, _ROW = 250, 59  # images of one attack; stream of the generator
EPSILON = Parameter("epsilon", "ε of the attack", 0.1, "How far each pixel may move to cross the boundary, 0 to 1.", 0.001, 1.0)


def nearest_labels(view: View, epsilon: float) -> Tensor:
    """The class the original sees in each forget image after a signed gradient step away from its label, (n,) int64.

    The step moves each pixel (0 to 1), or each number of a vector, by `epsilon`. Pixels are clamped and rounded to
    1/255, as an image file would hold them (FGSM, Goodfellow et al. 2015).
    """
    model, answers = view.whole_original, []
    for pixels, labels in zip(view.pixels("forget").split(_CHUNK), view.forget.labels.split(_CHUNK), strict=True):
        view.raise_if_stopped()
        x = to_input(pixels).clone().requires_grad_(True)
        (g,) = torch.autograd.grad(F.cross_entropy(model(x), labels, reduction="sum"), x)
        moved = x.detach() + epsilon * g.sign()
        if pixels.dtype == torch.uint8:
            moved = (moved.clamp(0, 1) * 255).round() / 255
        with torch.no_grad():
            answers.append(model(moved).argmax(1))
    return torch.cat(answers)


class Relabelled(Objective):
    """minimise the mean cross-entropy to one fixed label a sample; samples whose label is −1 take no part."""

    def __init__(self, labels: Tensor) -> None:
        self._labels = labels

    def __call__(self, batch: Batch) -> Tensor | None:
        """The batch's mean loss over the samples that have a new label, or None where none has."""
        labels = self._labels[batch.position]
        if not bool((labels >= 0).any()):
            return None
        return F.cross_entropy(batch.logits, labels, ignore_index=-1)


def boundary_shrink(view: View, config: RunConfig) -> Objective:
    """Boundary Shrink: learn the label of the nearest other class, found by an attack on the frozen original (CVPR 2023).

    A sample that the attack does not move to another class takes no part; the published code learns it again instead.
    """
    labels = nearest_labels(view, view.options["epsilon"])
    stays = labels == view.forget.labels
    if bool(stays.all()):
        raise ConfigError("The attack moved no forget sample to another class. Use a larger epsilon.")
    return Relabelled(torch.where(stays, torch.full_like(labels, -1), labels))


class Expanded(Objective):
    """minimise the cross-entropy to a class C + 1 whose row is trained beside the head and thrown away at the end."""

    def __init__(self, view: View, seed: int) -> None:
        width = view.head.in_features
        bound = width**-0.5  # the usual initialisation of a linear layer
        row = torch.rand(width + 1, generator=runtime.generator(seed, _ROW)) * 2 * bound - bound
        self._weight, self._bias = nn.Parameter(row[:-1].clone()), nn.Parameter(row[-1].clone())
        self.extra = (self._weight, self._bias)

    def __call__(self, batch: Batch) -> Tensor:
        """The batch's mean loss towards the extra class."""
        assert batch.features is not None
        new = batch.features @ self._weight + self._bias
        logits = torch.cat([batch.logits, new[:, None]], 1)
        return F.cross_entropy(logits, torch.full((len(logits),), logits.shape[1] - 1))


def boundary_expand(view: View, config: RunConfig) -> Objective:
    """Boundary Expand: send the forget set to an extra class, then prune that class (CVPR 2023, Boundary Unlearning).

    The pruned row is never part of the judged model; OPTML's port keeps it, which flatters the result.
    """
    return Expanded(view, config.seed)


METHODS = {
    "boundary_shrink": Method(
        title="Boundary Shrink",
        family="relabelling",
        start=boundary_shrink,
        needs=needs("forget"),
        source="Boundary Unlearning, CVPR 2023",
        parameters=(EPSILON,),
        note="Samples that the attack cannot move take no part; the published code learns them again.",
        look=Look("#E69F00", "dash", "diamond-open"),
        card=Card(
            title="Boundary Shrink",
            short="Teaches each forget sample the label of the nearest other class, found by a small attack on the original.",
            text=(
                "One signed gradient step in the pixels moves an image over the nearest decision boundary of the frozen "
                "original, and the class found there becomes its new label. Then the model is trained on the untouched images "
                "with these labels. It sees the forget set only. The trap: where the attack does not succeed, the published "
                "code teaches the true label again; here such samples take no part."
            ),
            see=("boundary_expand", "rl", "delete"),
        ),
    ),
    "boundary_expand": Method(
        title="Boundary Expand",
        family="relabelling",
        start=boundary_expand,
        needs=needs("forget"),
        source="Boundary Unlearning, CVPR 2023",
        gentle={"learning_rate": 0.03},
        look=Look("#E69F00", "dot", "diamond-wide"),
        card=Card(
            title="Boundary Expand",
            short="Sends the forget set to an extra class that is cut off again at the end.",
            text=(
                "A row is added to the head, the forget set is trained towards it, and the row is thrown away. What remains is "
                "a model that has learned to give its own class a low logit for these images. It sees the forget set only. The "
                "trap: once the extra row alone explains the forget set, nothing pushes the old class any further, so on some "
                "classes it stops halfway. OPTML's version keeps the row when it judges the model, which flatters it."
            ),
            see=("boundary_shrink", "ga"),
        ),
    ),
}
