"""How long a run may take, foretold: by arithmetic from the time of one image, which is set here."""

from __future__ import annotations

import dataclasses

import pytest

from imu_core import preset
from imu_core.records.run import Problem
from imu_core.unlearning import estimate
from imu_core.unlearning.evaluator import SUBSET


@pytest.fixture
def a_second_an_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "_seconds_of_an_image", lambda problem: 1.0)


def test_on_the_head_nobody_waits(lenet: Problem) -> None:
    assert estimate.seconds_at_most(lenet, preset("gentle", "ga")) is None


def test_every_pass_and_every_look_is_counted(lenet: Problem, a_second_an_image: None) -> None:
    config = dataclasses.replace(preset("gentle", "ga", "all"), epochs=3, batch_size=10, eval_every=2)
    forget, retain, test = len(lenet.split.forget), len(lenet.split.retain), len(lenet.test.labels)
    points = 3 * -(-forget // 10) // 2
    looks = points * sum(min(SUBSET, n) for n in (forget, retain, test)) + forget + retain + test
    assert estimate.seconds_at_most(lenet, config) == 3 * 3 * forget + looks


def test_methods_that_train_on_what_stays_take_longer(lenet: Problem, a_second_an_image: None) -> None:
    long, short = (dataclasses.replace(preset("gentle", name, "all"), epochs=5, eval_every=1000) for name in ("finetune", "ga"))
    assert estimate.seconds_at_most(lenet, long) > estimate.seconds_at_most(lenet, short)
    assert estimate.seconds_at_most(lenet, dataclasses.replace(short, epochs=10)) > estimate.seconds_at_most(lenet, short)


def test_the_time_of_an_image_is_measured_once(lenet: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    estimate._look.clear()
    config = preset("gentle", "ga", "all")
    assert estimate.seconds_at_most(lenet, config) > 0
    monkeypatch.setattr(estimate, "predict", None)
    assert estimate.seconds_at_most(lenet, config) > 0
