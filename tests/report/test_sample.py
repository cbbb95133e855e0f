"""Why a sample has its score: every explanation, read one by one."""

from __future__ import annotations

import pytest
import torch

from imu_core.records.run import Influence
from imu_core.report.sample import Why, why, why_words

MANY = [
    float(n) for n in range(10)
]  # of the other ten samples: what stands at 9.5 is above all, at -1 below all, at 4.5 in the middle


def scored(score: float, loss: float, gradient: float, others: list[float] = MANY) -> Influence:
    """A forget set whose first sample has these numbers; the scores of the others are positive."""
    columns = [torch.tensor([first, *others]) for first in (score, loss, gradient)]
    return Influence(*columns, "diagonal", 1e-2, 100)


@pytest.mark.parametrize(
    ("numbers", "reason", "words"),
    [
        (
            (9.5, 9.5, 9.5),
            Why.UNSURE,
            "large because the model is unsure of it: its loss, 9.500 nats, is above that of 100 % of the set.",
        ),
        ((9.5, 4.5, 9.5), Why.STEEP, "large although its loss is not: its gradient is longer than that of 100 % of the set."),
        ((9.5, 4.5, 4.5), Why.ALONG, "its gradient points where most of the others' point"),
        (
            (0.5, 0.5, 0.5),
            Why.KNOWN,
            "small because the model knows it well: its loss, 0.500 nats, is above that of 10 % of the set only.",
        ),
        ((0.5, 9.5, 9.5), Why.ACROSS, "points elsewhere, although its loss, 9.500 nats, is above that of 100 % of the set."),
        ((4.5, 4.5, 4.5), Why.MIDDLE, "neither large nor small; its loss, 4.500 nats, is above that of 50 % of the set."),
        ((-0.5, 9.5, 9.5), Why.AGAINST, "Its score is negative"),
    ],
)
def test_every_explanation(numbers: tuple[float, float, float], reason: Why, words: str) -> None:
    influence = scored(*numbers)
    assert why(influence, 0) is reason
    assert words in why_words(influence, 0)


def test_a_single_sample_stands_beside_nothing() -> None:
    influence = scored(1.0, 1.0, 1.0, others=[])
    assert why(influence, 0) is Why.ALONE
    assert "nothing stands beside it" in why_words(influence, 0)


def test_every_reason_has_words() -> None:
    seen = {why(scored(s, loss, g), 0) for s in (-1, 0.5, 4.5, 9.5) for loss in (0.5, 4.5, 9.5) for g in (0.5, 9.5)}
    assert seen == set(Why) - {Why.ALONE}
