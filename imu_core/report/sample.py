"""Why one sample of the forget set has the influence it has, in words."""

from __future__ import annotations

from enum import StrEnum

import torch

from imu_core.records.run import Influence
from imu_core.report.numbers import percent

_MANY, _FEW = 0.75, 0.25  # shares of the forget set above and below which a number is called large and small


class Why(StrEnum):
    """What explains the score of a sample beside those of the rest of its forget set."""

    ALONE = "alone"  # it is the whole forget set
    AGAINST = "against"  # its gradient points away from the mean gradient
    UNSURE = "unsure"  # a large score and a large loss
    STEEP = "steep"  # a large score and a large gradient, by features more than by loss
    ALONG = "along"  # a large score without either: its gradient points where the others' do
    KNOWN = "known"  # a small score and a small loss
    ACROSS = "across"  # a small score in spite of its loss: its gradient points elsewhere
    MIDDLE = "middle"  # neither


def why(influence: Influence, position: int) -> Why:
    """What explains the score of the sample at `position` of the forget set."""
    score, loss, gradient = (
        _below(values, position) for values in (influence.scores, influence.losses, influence.gradient_norms)
    )
    if len(influence.scores) == 1:
        return Why.ALONE
    if float(influence.scores[position]) < 0:
        return Why.AGAINST
    if score >= _MANY:
        return Why.UNSURE if loss >= _MANY else Why.STEEP if gradient >= _MANY else Why.ALONG
    if score <= _FEW:
        return Why.KNOWN if loss <= _FEW else Why.ACROSS
    return Why.MIDDLE


def why_words(influence: Influence, position: int) -> str:
    """One sentence with numbers: why the sample at `position` of the forget set has the score it has."""
    loss, gradient = (percent(_below(values, position), 0) for values in (influence.losses, influence.gradient_norms))
    its_loss = f"its loss, {float(influence.losses[position]):.3f} nats, is above that of {loss} of the set"
    return {
        Why.ALONE: "It is the whole forget set, so nothing stands beside it.",
        Why.AGAINST: "Its score is negative: a step that helps this one harms the rest of the forget set.",
        Why.UNSURE: f"Its score is large because the model is unsure of it: {its_loss}.",
        Why.STEEP: f"Its score is large although its loss is not: its gradient is longer than that of {gradient} of the set.",
        Why.ALONG: "Its score is large because its gradient points where most of the others' point; it is no longer than theirs.",
        Why.KNOWN: f"Its score is small because the model knows it well: {its_loss} only.",
        Why.ACROSS: f"Its score is small because its gradient points elsewhere, although {its_loss}.",
        Why.MIDDLE: f"Its score is neither large nor small; {its_loss}.",
    }[why(influence, position)]


def _below(values: torch.Tensor, position: int) -> float:
    """Share of the other values that are smaller than the one at `position`; 0 where there is no other."""
    return float((values < values[position]).double().sum()) / max(1, len(values) - 1)
