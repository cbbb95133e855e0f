"""Waiting is shown: what is done, how far it is, how long it goes on, and a Stop."""

from __future__ import annotations

import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from test_pages import TINY, finish, has_button, press, press_run, rerun, runs_of, visit, wait_until

from imu_core import unlearn
from imu_core.measurement import Measurement, asking, run_logits
from imu_core.records import Problem, RunConfig
from pages import _parts


@pytest.mark.parametrize(
    ("seconds", "fraction", "said"),
    [
        (10, 0.5, ", about 10 s left"),
        (30, 0.1, ", about 4 min left"),  # 270 s
        (0.5, 0.5, ""),  # as good as over
        (60, 0.01, ""),  # nobody knows yet
        (60, 1.0, ""),
    ],
)
def test_how_long_it_goes_on(seconds: float, fraction: float, said: str) -> None:
    assert _parts.still(seconds, fraction) == said


@pytest.mark.parametrize("scope", ["head", "all"])
def test_a_model_is_asked_in_parts_with_the_same_answers(lenet: Problem, scope: str) -> None:
    run = unlearn(lenet, RunConfig(method="ga", scope=scope, epochs=1, batch_size=40))
    list(run)
    unasked: Any = SimpleNamespace(logits=None, config=run.config, problem=run.problem, model=run.model)
    found: list[Any] = []
    seen = list(asking(unasked, found))
    assert all(torch.equal(a, b) for a, b in zip(found[0], run_logits(unasked), strict=True))
    assert [fraction for fraction, _ in seen] == sorted(fraction for fraction, _ in seen)
    assert not seen or seen[-1][0] == pytest.approx(1)
    assert bool(seen) == (scope == "all")


def test_attacks_on_results_have_a_bar_and_a_stop(tiny: object, monkeypatch: pytest.MonkeyPatch) -> None:
    def endless(self: Measurement) -> Iterator[tuple[float, str]]:
        while True:
            self._raise_if_cancelled()
            yield 0.5, "an attack that goes on"
            time.sleep(0.02)

    monkeypatch.setattr(Measurement, "working", endless)
    at = visit("unlearn", **TINY, methods="GA", measure="true")
    press_run(at)
    wait_until(lambda: runs_of(at)[0].job.finished and runs_of(at)[0].measuring.items, "the attack goes on")
    rerun(at)
    bars = [element.proto.text for element in at.main.get("progress")]
    assert any("an attack that goes on" in text and "1 of 1 to go" in text for text in bars), bars
    press(at, "Stop measuring")
    finish(at)
    assert runs_of(at)[0].measuring.state == "cancelled"
    assert not has_button(rerun(at), "Stop measuring")
