"""Requests in sequence as a link carries them: repeated in line, with a bar and Stop, and refused where they cost too much."""

from __future__ import annotations

import json
import threading

import pytest
from test_pages import TINY, has_button, nothing_left_running, press, rerun, sentence, visit, wait_until  # noqa: F401

import imu_core
from imu_core.records.run import Problem
from imu_core.unlearning.sequence import Repeating
from pages.session import visitor
from pages.sidebar import history as sidebar_history

SLOW = json.dumps([["class:Sandal", {"method": "ga", "scope": "all", "epochs": 100, "batch_size": 1, "stop_at": None}]])


def test_a_long_sequence_is_repeated_in_line_and_can_be_stopped(tiny: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sidebar_history, "PATIENCE", 0.0)
    at = visit("unlearn", **TINY, forget="class:Bag", after=SLOW)
    mark, job = at.session_state["repeating"]
    assert not job.finished
    assert job in visitor.queue().active(at.session_state["owner"])
    assert not has_button(at, "Run")
    wait_until(lambda: len(job.snapshot()) > 2, "it has begun")
    at = press(at, "Stop")
    wait_until(lambda: job.finished, f"{job.title}: {job.state}")
    assert job.state == "cancelled"
    at = rerun(at)
    assert "Stopped by you" in sentence(at)
    assert at.session_state["repeating"] == (mark, job), "it does not begin again by itself"
    assert has_button(at, "Repeat the earlier requests")


def test_a_sequence_that_nobody_waits_for_any_more_is_stopped(tiny: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sidebar_history, "PATIENCE", 0.0)
    at = visit("unlearn", **TINY, forget="class:Bag", after=SLOW)
    _, job = at.session_state["repeating"]
    press(at, "Back to the original model")
    wait_until(lambda: job.finished, f"{job.title}: {job.state}")
    assert job.state == "cancelled"


@pytest.mark.parametrize(
    "history",
    [
        [["class:Sandal", {"epochs": 0}]] * 300,
        [["class:Sandal", {"scope": "all", "epochs": 500}]],
        [["class:Sandal", {"scope": "last:1", "epochs": 60}], ["class:Bag", {"scope": "all", "epochs": 60}]],
        [["class:Sandal", {"epochs": 500, "augment": True}]],
        [["class:Sandal", {"epochs": 500}]] * 5,
        [["x" * 60_000, {}]],
    ],
    ids=["300", "all", "two", "images", "many epochs", "long"],
)
def test_a_sequence_that_costs_too_much_is_refused(history: list) -> None:
    with pytest.raises(imu_core.errors.ConfigError, match="at most"):
        _read(json.dumps(history))


@pytest.mark.parametrize(
    "text",
    ['[["class:Bag", {}], ["class:Bag"]]', '[[7, {}]]', "{}x", '[["a", {"seed": 1, "seed": 2}]]', '[["a", {"l1": NaN}]]',
     f'[["a", {{"seed": {"9" * 5001}}}]]', '[["a", {"learning_rate": 1e400}]]', "[" * 3000, '[["a", [["seed"]]]]'],
)  # fmt: skip
def test_a_sequence_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(imu_core.errors.ConfigError):
        _read(text)


def _read(text: str) -> object:
    import streamlit as st

    st.session_state["after"] = text
    try:
        return sidebar_history.read()
    finally:
        del st.session_state["after"]


def test_repeating_gives_the_same_problem_in_another_thread(lenet: Problem) -> None:
    history = [
        ("class:Sandal", {"method": "ga", "seed": 3, "epochs": 2}),
        ("class:Bag", {"method": "ga", "scope": "last:1", "epochs": 1}),
    ]
    work = Repeating("tiny", "lenet5", 0, history)
    seen: list[tuple[float, str]] = []
    thread = threading.Thread(target=lambda: seen.extend(work))
    thread.start()
    thread.join()
    assert work.outcome.state == "done"
    assert [f for f, _ in seen] == sorted(f for f, _ in seen)
    one = work.problem("class:Coat")
    other = imu_core.problem_after(history, "tiny", model="lenet5", forget="class:Coat")
    assert one.describe() == other.describe()
    assert bool((one.train.logits == other.train.logits).all())
    assert bool((one.test.Z == other.test.Z).all())


def test_a_request_of_the_sequence_that_does_not_exist_is_a_sentence(lenet: Problem) -> None:
    with pytest.raises(imu_core.errors.DataError, match="zebra"):
        list(Repeating("tiny", "lenet5", 0, [("class:zebra", {})]))
