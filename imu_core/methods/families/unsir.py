"""UNSIR: forget a class without its data, by training on noise that the model finds as wrong as can be for it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from imu_core import runtime
from imu_core.methods.base import Batch, Method, Objective, Parameter
from imu_core.methods.card import Card, Look
from imu_core.methods.view import View, needs
from imu_core.records.run import RunConfig

_NOISE, _IMAGES, _STEPS, _RATE, _SMALL = 61, 32, 25, 0.1, 0.1
PARAMETERS = (
    Parameter("retain_share", "Share of the retain set", 0.5, "A fixed random share of the retain set takes part.", 0.001),
    Parameter("noise_share", "Noise per retain sample", 0.57, "How much the noise counts while impairing.", 0.0, 10.0),
    Parameter("impair", "Share of impairing", 0.5, "Of the epochs; the rest repairs on the retain sample alone.", 0.0, 1.0),
)


def error_maximising_noise(view: View, label: int, seed: int) -> Tensor:
    """32 inputs N that maximise CE(model(N), label) − 0.1 mean ‖N‖², by 25 Adam steps from standard normal noise; eval mode."""
    noise = view.random_inputs(_IMAGES, runtime.generator(seed, _NOISE, label)).requires_grad_(True)
    optimizer = torch.optim.Adam([noise], _RATE)
    labels = torch.full((_IMAGES,), label)
    with view.judging():
        for _ in range(_STEPS):
            view.raise_if_stopped()
            size = noise.flatten(1).square().mean(1).mean()
            loss = -F.cross_entropy(view.module(noise), labels) + _SMALL * size
            optimizer.zero_grad()
            (noise.grad,) = torch.autograd.grad(loss, noise)
            optimizer.step()
    return noise.detach()


class Impaired(Objective):
    """minimise the cross-entropy on retain samples and, in the first epochs, on noise labelled as the forgotten class."""

    def __init__(self, view: View, config: RunConfig) -> None:
        self._module, self._share = view.module, view.options["noise_share"]
        self._until = max(1, round(view.options["impair"] * config.epochs)) if view.options["impair"] else 0
        made = [(error_maximising_noise(view, c, config.seed), c) for c in view.classes]
        self._noise = torch.cat([noise for noise, _ in made])
        self._labels = torch.cat([torch.full((len(noise),), c) for noise, c in made])

    def __call__(self, batch: Batch) -> Tensor:
        """The batch's mean loss, the noise counted `noise_share` times as much as the batch while impairing."""
        loss = batch.losses().mean()
        if batch.epoch >= self._until:
            return loss
        wrong = F.cross_entropy(self._module(self._noise), self._labels)
        return (loss + self._share * wrong) / (1 + self._share)


def unsir(view: View, config: RunConfig) -> Objective:
    """UNSIR: impair with error-maximising noise, then repair (arXiv 2111.08947). Never sees the forget set.

    The noise is penalised by its mean square here, not by its sum, so that one constant serves inputs of any size; on the head
    it is made in the space of features.
    """
    return Impaired(view, config)


METHODS = {
    "unsir": Method(
        title="UNSIR",
        family="dampening",
        start=unsir,
        needs=needs("retain"),
        source="arXiv 2111.08947",
        stream="retain",
        classes=True,
        parameters=PARAMETERS,
        note="Never sees the forget set. On the head its noise is made in the space of features: an interpretation.",
        look=Look("#56B4E9", "longdash", "bowtie"),
        card=Card(
            title="UNSIR",
            short="Forgets a class without its data: trains on noise made to be as wrong as can be for it, then repairs.",
            text=(
                "Inputs of noise are changed until the model finds them as unlike the class as possible, and are then given its "
                "label: training on them impairs the class. Half of the retain set takes part, and later epochs repair on it "
                "alone. It never sees the forget set and can forget whole classes only. The trap: the damage spreads to similar "
                "classes before the repair."
            ),
            see=("fisher", "sees"),
        ),
    ),
}
