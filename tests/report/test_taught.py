"""Every sentence about who taught an answer."""

from __future__ import annotations

import pytest
import torch

from imu_core.influence.queries import Without
from imu_core.report.taught import taught_words

NAMES = ("Bag", "Boot", "Coat")


def without(becomes: list[int], steadfast: float = 1.0, says: int = 0) -> Without:
    helpful, random = torch.tensor([0.8, 0.4, 0.1]), torch.tensor([0.9, 0.88, 0.85])
    return Without(0, says, 0.9, (1, 10, 100), helpful, random, torch.tensor(becomes), torch.full((3,), steadfast))


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (
            without([0, 1, 1]),
            "Trained to its optimum the head gives Bag 90.0 %. Trained again without the 10 images that helped most it says "
            "Boot; without as many random ones of the same classes the answer stays (Bag 88.0 %).",
        ),
        (
            without([2, 2, 1], steadfast=0.3),
            "Trained to its optimum the head gives Bag 90.0 %. Trained again without the one of these images that helped most it "
            "says Coat; without as many random ones of the same classes the answer changes as well (Bag 90.0 %).",
        ),
        (
            without([0, 0, 0]),
            "Trained to its optimum the head gives Bag 90.0 %. Without the 100 images that helped most it still says Bag, with "
            "10.0 %; without 100 random ones of the same classes with 85.0 %.",
        ),
        (
            without([1, 1, 1], says=1),
            "Trained to its optimum the head says Boot already, and gives Bag 90.0 %: a smaller λ brings it nearer to the model.",
        ),
    ],
)
def test_what_is_said(found: Without, said: str) -> None:
    assert taught_words(found, NAMES) == said


def test_nothing_has_to_go_where_the_answer_is_another_already() -> None:
    assert without([1, 1, 1], says=1).needed is None
    assert without([0, 1, 1]).needed == 10
