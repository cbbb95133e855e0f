"""The stage as the server knows it: what it orders, where it rests, and what it makes of whatever a browser says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from pages.stage import first
from pages.stage import stage as stage_module
from pages.stage.stage import Look, Stage

ROOT = Path(__file__).resolve().parents[2]
NONSENSE = [None, "x", 5, ["step"], {}, {"step": "x"}, {"step": None}, {"step": True}, {"step": 2.5}, {"step": [3]}, {"other": 1}]


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """The session of one visitor, as a dictionary."""

    class Session(dict[str, Any]):
        __getattr__, __setattr__ = dict.__getitem__, dict.__setitem__

    held = Session()
    with monkeypatch.context() as patch:
        patch.setattr(st, "session_state", held)
        yield held


def order(session: dict[str, Any]) -> tuple[int, str, int | None]:
    return session["a_order"]


# Orders.


def test_orders_of_another_session_are_other_orders(session: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    told = []
    monkeypatch.setattr(stage_module, "_component", lambda: lambda **sent: told.append(sent["data"]["order"]))
    monkeypatch.setattr(st, "html", lambda text: None)
    for _ in range(2):  # a window outlives its session where the server is started anew
        session.clear()
        stage = Stage("a", 9)
        stage.play()
        stage.draw([{"id": "x"}], Look())
        stage.draw([{"id": "x"}], Look())
    first, again, other, _ = told
    assert first == again
    assert first[1:] == other[1:] == ["play", 0]
    assert first[0] != other[0]


def test_a_new_stage_rests_at_the_last_step_without_an_order(session: dict[str, Any]) -> None:
    assert Stage("a", 9).step == 9
    assert order(session) == (0, "rest", None)


def test_every_order_has_a_number_of_its_own_and_says_where_it_rests(session: dict[str, Any]) -> None:
    stage, seen = Stage("a", 9), []
    for act in (stage.play, lambda: stage.show(4), stage.to_end, lambda: stage.show(99), stage.play):
        act()
        seen.append((*order(session), stage.step))
    assert seen == [(1, "play", 0, 9), (2, "rest", 4, 4), (3, "rest", 9, 9), (4, "rest", 99, 9), (5, "play", 0, 9)]


def test_it_is_told_to_follow_only_once_until_it_is_told_something_else(session: dict[str, Any]) -> None:
    for last in range(3):
        Stage("a", last).follow()
    assert order(session) == (1, "follow", 0)
    Stage("a", 5).show(2)
    Stage("a", 5).follow()
    assert order(session) == (3, "follow", 5)
    assert session["a_at"] == 5


@pytest.mark.parametrize(("before", "rests"), [(-3, 0), (0, 0), (4, 4), (5, 5), (99, 5)])
def test_it_rests_within_the_steps_there_are(session: dict[str, Any], before: int, rests: int) -> None:
    session["a_at"] = before
    assert Stage("a", 5).step == rests


def test_two_stages_do_not_meddle_with_each_other(session: dict[str, Any]) -> None:
    one, other = Stage("a", 5), Stage("b", 9)
    one.show(2)
    assert (one.step, other.step) == (2, 9)


# What a browser says.


@pytest.mark.parametrize("said", NONSENSE, ids=str)
def test_nonsense_from_the_browser_changes_nothing(session: dict[str, Any], said: Any) -> None:
    stage, told = Stage("a", 9), []
    stage.show(4)
    before = order(session)
    session["a_stage"] = said
    stage._rested()
    stage._told("step", told.append)()
    stage._told("step", None)()
    assert (stage.step, told, order(session)) == (4, [], before)


@pytest.mark.parametrize(("step", "rests"), [(0, 0), (3, 3), (9, 9), (10**30, 9), (-1, 0), (-(10**30), 0)])
def test_a_step_from_the_browser_is_one_of_those_there_are(session: dict[str, Any], step: int, rests: int) -> None:
    stage = Stage("a", 9)
    session["a_stage"] = {"step": step}
    stage._rested()
    assert stage.step == rests


def test_what_was_picked_or_opened_is_told_by_its_number(session: dict[str, Any]) -> None:
    stage, told = Stage("a", 9), []
    session["a_stage"] = {"picked": 3, "opened": 77}
    stage._told("picked", told.append)()
    stage._told("opened", told.append)()
    assert told == [3, 77]


# The classes of Start.


def test_a_class_that_is_picked_becomes_the_problem(session: dict[str, Any]) -> None:
    session.update(dataset="people", after="something", elsewhere={})
    first.take(8)
    assert session == {"dataset": "fashion", "model": "small_resnet", "seed": 0, "after": "", "forget": "class:Bag"}


@pytest.mark.parametrize("place", [-1, -10, 10, 99, 10**30])
def test_a_class_that_there_is_none_of_changes_nothing(session: dict[str, Any], place: int) -> None:
    session.update(forget="class:Bag", elsewhere={"model": "x"})
    before = dict(session)
    first.take(place)
    assert session == before


SANDAL, BAG = 5, 8


@pytest.mark.parametrize(
    ("asked", "place", "here"),
    [
        ({}, SANDAL, True),
        ({"forget": ""}, SANDAL, True),
        ({"forget": "class:Bag"}, BAG, True),
        ({"forget": "bag"}, BAG, True),
        ({"dataset": "fashion", "model": "small_resnet", "forget": "class:Bag", "seed": 0, "after": ""}, BAG, True),
        ({"forget": "class:Bag", "seed": "0"}, BAG, True),
        ({"forget": "class:Bag", "seed": "1"}, SANDAL, False),
        ({"forget": "class:Bag", "model": "lenet5"}, SANDAL, False),
        ({"forget": "class:Bag", "dataset": "people"}, SANDAL, False),
        ({"forget": "class:Bag", "after": '[["class:Coat", {}]]'}, SANDAL, False),
        ({"forget": "class:Bag+Coat"}, SANDAL, False),
        ({"forget": "random:10%"}, SANDAL, False),
        ({"forget": "class:Zebra"}, SANDAL, False),
        ({"forget": "x" * 9999}, SANDAL, False),
    ],
    ids=lambda value: str(value)[:60],
)
def test_the_class_of_the_problem_is_shown_and_the_usual_one_for_another_problem(
    session: dict[str, Any], asked: dict[str, Any], place: int, here: bool
) -> None:
    session.update(asked)
    assert (first.chosen(), first.is_here()) == (place, here)


# What is sent.


def drawn() -> None:
    """A page with a stage alone."""
    from pages.stage.stage import Look, Stage

    Stage("a", 9).draw([{"id": "one"}, {"id": "two"}], Look(), chosen=1, picks=("A", "B"), on_open=print)


def sent(at: AppTest) -> dict[str, Any]:
    (stage,) = at.get("bidi_component")
    return json.loads(stage.proto.json)


def test_frames_are_sent_once_and_again_where_the_window_lacks_them() -> None:
    at = AppTest.from_function(drawn, default_timeout=60).run()
    one = sent(at)
    assert (one["scenes"], one["chosen"], one["picks"], one["at"]) == ([{"id": "one"}, {"id": "two"}], 1, ["A", "B"], 9)
    assert (one["panels"], one["opens"]) == (list(Look().panels), True)
    assert sent(at.run()) == {**one, "scenes": None}
    at.session_state.a_sent = ""
    assert sent(at.run()) == one


# Start is there before the engine.

WITHOUT_TORCH = """
import sys
sys.modules.update(dict.fromkeys(("torch", "torchvision")))  # importing them is an ImportError now
sys.modules["pages.sidebar.problem_choice"] = type(sys)("problem_choice")
sys.modules["pages.sidebar.problem_choice"].sidebar = lambda page: None
from streamlit.testing.v1 import AppTest
at = AppTest.from_file("app.py", default_timeout=120)
at.query_params.update({"forget": "class:Bag"})
at.run()
at.session_state.link_box = True
at.run()
shown = len(at.get("bidi_component")), len(at.code)
print([error.message for error in at.exception], at.title[0].value, shown, sys.modules["torch"])
"""


def test_start_is_drawn_without_torch() -> None:
    """Before the first picture nothing may load it: that takes seconds. The sidebar, which comes after, is taken out."""
    with_path = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", WITHOUT_TORCH], cwd=ROOT, env=with_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines()[-1] == "[] It knows ten kinds of clothes. Make it forget. (1, 1) None"
