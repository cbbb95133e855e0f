"""A number is a number, whoever's it is; and a solver that cannot give a sensible one says so."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
import torch

import imu_core
from imu_core.errors import ConfigError, ConvergenceError, DataError
from imu_core.evaluation import attacks
from imu_core.influence import full_scores, head_scores
from imu_core.influence.solvers import check_step
from imu_core.methods.base import Edit
from imu_core.methods.registry import METHODS
from imu_core.model_import import orders
from imu_core.numeric import as_number, is_number, is_whole
from imu_core.records.run import Influence, RunConfig
from imu_core.runtime import generator
from imu_core.training.recipes import Recipe
from imu_core.weights import sample_weights

FLOATS = (np.float32(0.25), np.float64(0.25), np.float16(0.25), np.array(0.25), torch.tensor(0.25), np.longdouble(0.25))
WHOLES = (np.int64(3), np.uint8(3), np.array(3), torch.tensor(3))
NONE = (True, np.True_, torch.tensor(True), "0.25", None, np.array([0.25]), torch.ones(2), 1j, np.float32("nan"))


@pytest.mark.parametrize("value", FLOATS + WHOLES, ids=lambda v: type(v).__name__ + str(getattr(v, "dtype", "")))
def test_a_number_becomes_pythons_own(value: Any) -> None:
    found = as_number(value)
    assert type(found) in (int, float)
    assert found == (0.25 if any(value is one for one in FLOATS) else 3)
    assert is_number(found)
    assert is_whole(found) == any(value is one for one in WHOLES)


@pytest.mark.parametrize("value", NONE, ids=str)
def test_what_is_no_number_stays_none(value: Any) -> None:
    assert not is_number(as_number(value))
    assert not is_whole(as_number(value))
    with pytest.raises(ConfigError, match="damping"):
        RunConfig(damping=value)


def test_a_config_of_other_peoples_numbers_is_the_same_config() -> None:
    plain = RunConfig(
        epochs=3, damping=0.25, top=0.25, stop_at=0.25, seed=3, eval_every=3, update_every=3, options={"alpha": 0.25}
    )
    for whole in WHOLES:
        for part in FLOATS:
            given = RunConfig(
                epochs=whole, damping=part, top=part, stop_at=part, seed=whole, eval_every=whole, update_every=whole,
                options={"alpha": part},
            )  # fmt: skip
            assert given == plain
            assert json.dumps(given.changed()) == json.dumps(plain.changed())
    assert RunConfig(augment=np.True_).augment is True
    with pytest.raises(ConfigError, match="epochs"):
        RunConfig(epochs=np.float64(3.0))


def head(spread: float = 1.0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Features (60, 8), labels, weight and bias; with a large `spread` the head is sure of every sample."""
    g = torch.Generator().manual_seed(0)
    Z, W = spread * torch.randn(60, 8, generator=g), torch.randn(4, 8, generator=g)
    return Z, torch.arange(60) % 4, W, torch.zeros(4)


def test_influence_takes_every_kind_of_number() -> None:
    wanted = head_scores(*head(), estimator="exact", damping=0.25, total=3).scores
    for part in FLOATS:
        for whole in WHOLES:
            assert torch.equal(
                head_scores(*head(), estimator="exact", damping=part, total=whole, rtol=np.float64(1e-8)).scores, wanted
            )
    for wrong in NONE:
        with pytest.raises(ConfigError, match="damping"):
            head_scores(*head(), damping=wrong)


def test_settings_and_seeds_take_every_kind_of_number() -> None:
    influence = head_scores(*head())
    for part, whole in zip(FLOATS, WHOLES * 2, strict=False):
        assert torch.equal(
            sample_weights(influence, top=part, clip_quantile=part), sample_weights(influence, top=0.25, clip_quantile=0.25)
        )
        assert torch.equal(torch.randn(2, generator=generator(whole)), torch.randn(2, generator=generator(3)))
        assert json.dumps(Recipe(epochs=whole, batch_size=whole, learning_rate=part).epochs) == "3"
        assert attacks.in_range("alpha", part, 0.0, 1.0) == 0.25
        assert orders.from_percent(whole) == 0.03
        step = METHODS["newton"].parameters
        assert type(next(p for p in step if p.name == "scale").check(part)) is float
    for wrong in (True, "3", None, np.True_):
        with pytest.raises(ConfigError):
            Recipe(epochs=wrong)
        with pytest.raises(ConfigError):
            imu_core.problem("fashion", model="lenet5", forget="class:Bag", seed=wrong)


@pytest.mark.parametrize("estimator", ["diagonal", "diagonal_ggn", "exact", "kfac", "ekfac", "dual"])
@pytest.mark.parametrize("spread", [1e4, 1e60, 1e160])
@pytest.mark.parametrize("damping", [0.0, 1e-12])
def test_a_head_that_is_sure_gives_sensible_scores_or_a_sentence(estimator: str, spread: float, damping: float) -> None:
    Z, *rest = head()
    Z, query = spread * Z.double(), (spread * Z[:7].double().flip(0), rest[0][:7])
    for asked in (None, query):
        with suppress(ConvergenceError, ConfigError, DataError):
            found = head_scores(Z, *rest, estimator=estimator, damping=damping, query=asked)
            assert bool(torch.isfinite(found.scores).all())
            assert float(found.scores.abs().max()) <= 1e3 * (1 + float(found.losses.max()))


@pytest.mark.parametrize("estimator", ["diagonal_ggn", "exact", "kfac", "ekfac"])
def test_what_a_sure_head_is_told_says_what_to_do(estimator: str) -> None:
    """Every probability is 0 or 1: without damping the curvature is rounding."""
    with pytest.raises(ConvergenceError, match="damping") as caught:
        head_scores(*head(1e4), estimator=estimator, damping=0.0)
    assert str(caught.value).endswith(".")


def test_undamped_scores_that_are_sensible_are_returned_as_they_were() -> None:
    for estimator in ("diagonal", "diagonal_ggn", "kfac", "ekfac", "dual"):
        found = head_scores(*head(), estimator=estimator, damping=0.0)
        assert 0 < float(found.scores.abs().max()) < 100


def test_a_whole_network_that_is_sure_says_a_sentence() -> None:
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3, 3, bias=False))
    model.head_layer = "1"
    model[1].weight.data = 30 * torch.eye(3)
    x, y = torch.eye(3).view(3, 3, 1, 1), torch.arange(3)
    wrong = (x, y.roll(1))  # of which the network is as sure as of the right ones
    with pytest.raises(ConvergenceError, match="Raise the damping, which is 0"):
        full_scores(model, x, y, estimator="diagonal", damping=np.float32(0.0), query=wrong)
    assert float(full_scores(model, x, y, estimator="diagonal", damping=torch.tensor(0.25), query=wrong).scores.abs().max()) < 1


def test_scores_that_are_no_numbers_weight_nothing() -> None:
    bad = torch.tensor([1.0, math.inf, 2.0])
    with pytest.raises(DataError, match="no numbers"):
        sample_weights(Influence(bad, bad, bad, "exact", 0.0, 3))


def test_a_step_that_leads_nowhere_is_a_sentence() -> None:
    weights = [torch.ones(3)]
    check_step(torch.full((3,), 10.0), weights, 0.01)
    for step in (torch.full((3,), 1e9), torch.full((3,), math.nan), torch.full((3,), math.inf)):
        with pytest.raises(ConvergenceError, match=r"damping, which is 0\.01"):
            check_step(step, weights, 0.01)
    with pytest.raises(ConvergenceError, match="no numbers"):
        Edit([torch.tensor([1.0, math.nan])])
