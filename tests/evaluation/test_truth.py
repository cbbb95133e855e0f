"""Scores held against leaving samples out, on a small problem; and every sentence about what came of it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from imu_core.evaluation import truth
from imu_core.evaluation.truth import HoldAgainst
from imu_core.influence import ESTIMATORS, forget_scores
from imu_core.influence.truth import Match
from imu_core.records.run import Problem


@pytest.fixture(scope="module")
def held(lenet: Problem) -> truth.Held:
    work = HoldAgainst(lenet, 1.0)  # of 400 samples one weighs much: with less λ its absence is no small change any more
    fractions = [fraction for fraction, _ in work]
    assert work.outcome.state == "done", work.outcome.reason
    assert fractions == sorted(fractions)
    return work.found


def test_exact_influence_is_true_and_the_order_of_samples_is_kept(held: truth.Held, lenet: Problem) -> None:
    assert held.left_out.tolist() == lenet.split.forget.tolist(), "all of a small forget set"
    assert set(held.estimators) == set(ESTIMATORS)
    assert held.estimators["exact"].pearson > 0.99
    assert held.estimators["exact"].slope == pytest.approx(1.0, abs=0.2)
    assert held.estimators["exact"].lds > 0.9
    assert held.estimators["exact"].lds >= max(m.lds for m in held.estimators.values()) - 0.02
    assert abs(held.estimators["diagonal"].slope - 1) > 0.2
    scores = forget_scores(lenet, "diagonal", 1.0).scores.numpy()
    real = held.truth.changes.numpy()
    rank = lambda values: np.argsort(np.argsort(values))  # noqa: E731
    assert held.own.spearman == pytest.approx(np.corrcoef(rank(scores), rank(real))[0, 1], abs=1e-6)
    assert np.isnan(held.own.lds)


def test_it_can_be_stopped(lenet: Problem) -> None:
    work = HoldAgainst(lenet)
    for _ in work:
        work.cancel()
    assert (work.outcome.state, work.found) == ("cancelled", None)


NOTHING = Match(1.0, 1.0, np.nan, np.nan, np.nan, np.nan, np.nan, np.nan)


def like(rho: float, low: float, high: float) -> Match:
    return dataclasses.replace(NOTHING, spearman=rho, low=low, high=high)


@pytest.mark.parametrize(
    ("own", "loss", "said"),
    [
        (
            like(0.998, 0.99, 0.999), like(0.997, 0.99, 0.999),
            "On this forget set IMU's score (0.998) orders the samples as leaving them out does, and so does their loss (0.997).",
        ),
        (
            like(0.998, 0.99, 0.999), like(0.5, 0.4, 0.6),
            "On this forget set IMU's score (0.998) orders the samples as leaving them out does, unlike their loss (0.500).",
        ),
        (
            like(0.56, 0.4, 0.7), like(0.9, 0.85, 0.93),
            "On this forget set IMU's score (0.560) does not order the samples as leaving them out does: a loosely similar "
            "order; their loss (0.900) tells more.",
        ),
        (
            like(0.8, 0.7, 0.9), like(0.5, 0.4, 0.6),
            "On this forget set IMU's score (0.800) does not order the samples as leaving them out does: a similar order; their "
            "loss (0.500) tells less.",
        ),
        (
            like(0.05, -0.1, 0.2), like(0.1, -0.05, 0.25),
            "On this forget set IMU's score (0.050) does not order the samples as leaving them out does: no common order that "
            "could be told from chance; their loss (0.100) tells about as much.",
        ),
        (
            like(-0.5, -0.6, -0.4), like(0.9, 0.85, 0.93),
            "On this forget set IMU's score (−0.500) does not order the samples as leaving them out does: rather the opposite "
            "order; their loss (0.900) tells more.",
        ),
        (NOTHING, NOTHING, "Too few samples were left out to say whether their order is right."),
    ],
)  # fmt: skip
def test_what_is_said(held: truth.Held, own: Match, loss: Match, said: str) -> None:
    assert truth.verdict(dataclasses.replace(held, own=own, loss=loss)) == said
