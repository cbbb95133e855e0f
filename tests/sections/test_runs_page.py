"""The page Runs and the storing of runs: nothing is lost, nothing hostile breaks it, a broken database stops nobody."""

from __future__ import annotations

import base64
import math
import re
import sqlite3
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from conftest import written
from streamlit.testing.v1 import AppTest
from test_pages import (  # noqa: F401
    APP,
    LONG,
    PATIENCE,
    TINY,
    button,
    finish,
    go_to,
    has_button,
    healthy,
    nothing_left_running,
    press,
    press_run,
    rerun,
    run_methods,
    runs_of,
    start_methods,
    visit,
    wait_until,
    words,
)
from test_store import PROBLEM, made

from imu_core import figures
from imu_core.figures import markers
from imu_core.methods import METHODS
from imu_core.records.run import Point, RunConfig
from imu_core.store.keeper import CURVE, Curve, Keeper, _curve
from imu_core.store.runs import Store, default_url
from pages.session import keeper as session_keeper
from pages.session import stored, visitor
from pages.widgets import run_link

# A case is a whole run of a page; the default run takes three of each kind.
pytestmark = [pytest.mark.usefixtures("store"), pytest.mark.sample(3, reason="a case is a whole run of a page")]
QUICK = {**TINY, "measure": "false"}


def look(**query: Any) -> AppTest:
    """A new visitor whose first visit is a link to Runs."""
    at = visit("runs", **query)
    assert at.title[0].value == "Runs"
    return at


BOTH = pytest.mark.parametrize("store", ["sqlite", "postgresql"], indirect=True)


def names(at: AppTest) -> list[str]:
    return at.dataframe[0].value["Name"].tolist()


def tick(at: AppTest, *rows: int) -> AppTest:
    """Choose `rows` of the table."""
    at.session_state[at.dataframe[0].key] = {"selection": {"rows": list(rows), "columns": [], "cells": []}}
    return rerun(at)


def warning(at: AppTest) -> str:
    assert len(at.main.warning) == 1, [w.value for w in at.main.warning]
    return at.main.warning[0].value.replace("\\", "")


# Storing what visitors run.


def test_a_finished_run_is_stored_by_itself_and_its_measurement_joins_the_record(tiny: object, store: Store) -> None:
    at = run_methods(["ga"], **TINY)
    written()
    item = runs_of(at)[0]
    assert [run.id for run in store.search()] == [item.stored]
    run = store.get(item.stored)
    assert (run.name, run.state, run.depth, run.tags) == ("GA", "done", "full", ())
    assert run.metrics["membership"]["run"] == item.measured["membership"]["run"]
    assert run.trajectory.points[-1].accuracies == item.run.points[-1].accuracies
    rebuilt = run.model(item.problem)
    assert rebuilt is not None
    assert all(bool((a == b).all()) for a, b in zip(rebuilt.parameters(), item.run.model().parameters(), strict=True))


@BOTH
def test_a_run_is_there_before_it_is_measured(tiny: object, store: Store) -> None:
    run_methods(["ga", "npo"], **QUICK)
    written()
    assert {(run.name, run.depth) for run in store.search()} == {("GA", "none"), ("NPO", "none")}


def test_the_same_run_twice_makes_two_records_each_with_its_measurement(tiny: object, store: Store) -> None:
    at = run_methods(["ga"], **QUICK)
    at.toggle(key="measure").set_value(True)
    rerun(at)
    finish(press_run(at))
    written()
    assert {(run.name, run.depth) for run in store.search()} == {("GA", "none"), ("GA 2", "full")}


@pytest.mark.slow(reason="a page waits for runs")
def test_examples_and_runs_that_never_began_are_not_stored(tiny: object, store: Store) -> None:
    at = visit("unlearn", **TINY)
    assert "Until you press Run" in words(at)
    at = start_methods(["ga", "npo"], **TINY, **LONG)
    first, second = runs_of(at)
    wait_until(lambda: first.run is not None and len(first.run.points) > 1, "the first run takes a step")
    press(at, "Stop all")
    finish(at)
    written()
    assert [(run.name, run.state) for run in store.search()] == [("GA (all)", "cancelled")]
    assert len(store.get(first.stored).trajectory.points) > 1
    assert second.stored == ""


def test_a_diverged_run_is_stored_and_a_failed_one_is_not(tiny: object, store: Store) -> None:
    at = run_methods(["ga"], **QUICK, preset="own", own_optimizer="sgd", own_learning_rate="10")
    written()
    assert [run.state for run in store.search()] == ["diverged"]
    item = SimpleNamespace(
        name="x", owner="", run=SimpleNamespace(points=[1], outcome=SimpleNamespace(state="failed")), stored="", trouble=""
    )
    session_keeper.keep(session_keeper.keeper(), item)
    written()
    assert (item.stored, item.trouble, store.count()) == ("", "", 1)
    assert not has_button(at, "Store them now")


def test_renaming_on_unlearn_renames_the_stored_run(tiny: object, store: Store) -> None:
    at = run_methods(["ga"], **QUICK)
    item = runs_of(at)[0]
    at.text_input(key=f"name_{item.job.id}").set_value("My first run")
    rerun(at)
    written()
    assert store.get(item.stored).name == "My first run"


@pytest.fixture
def no_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The address names a file that is no database."""
    path = tmp_path / "broken.sqlite"
    path.write_text("This is a letter, and a rather long one, so that nobody takes it for an empty file. " * 20)
    monkeypatch.setenv("IMU_DATABASE_URL", f"sqlite:///{path}")
    return path


def test_without_a_database_runs_go_on_and_are_stored_when_it_is_back(tiny: object, no_database: Path) -> None:
    at = run_methods(["ga"], **QUICK)
    written()
    item = runs_of(at)[0]
    assert item.job.state == "done"
    assert "no database" in item.trouble
    assert "of the 40 images of Sandal" in words(at)  # its verdict, at whatever step the replay is
    go_to(at, "runs")
    assert "The stored runs cannot be shown" in warning(at)
    no_database.unlink()
    rerun(at)
    assert "Not everything could be stored (GA)" in warning(at)
    press(at, "Store them now")
    written()
    assert names(rerun(at)) == ["GA"]
    assert not at.main.warning


def test_the_page_says_in_a_sentence_that_there_is_no_database(no_database: Path) -> None:
    for query in ({}, {"run": "a" * 32}):
        said = warning(look(**query))
        assert "The stored runs cannot be shown" in said
        assert "is no database" in said


def test_a_measurement_goes_into_its_own_record_only(store: Store) -> None:
    one, two = store.add(made(metrics={})), store.add(made(metrics={}))
    item = SimpleNamespace(name="x", owner="", measured={"membership": {"run": 0.5}}, stored=one, trouble="")
    session_keeper.complete(session_keeper.keeper(), item)
    written()
    assert (store.get(one).metrics, store.get(two).metrics) == ({"membership": {"run": 0.5}}, {})


def test_whatever_goes_wrong_while_writing_stays_with_the_item() -> None:
    def broken(store: Store) -> None:
        raise ZeroDivisionError("secret")

    item = SimpleNamespace(name="x", owner="", stored="", trouble="")
    session_keeper.keeper().write(item, broken)
    written()
    assert "ZeroDivisionError" in item.trouble
    assert "secret" not in item.trouble


def test_a_page_waits_for_the_writer_only_so_long() -> None:
    keeper, free = Keeper(Store, default_url), threading.Event()
    keeper.write(SimpleNamespace(name="x", owner="", trouble=""), lambda _: free.wait(PATIENCE))
    assert not keeper.settle(0.01)
    free.set()
    assert keeper.settle(PATIENCE)


# The list.


def fill(store: Store) -> dict[str, str]:
    """Three runs, newest last: ids by name."""
    bag = {**PROBLEM, "forget": "class:Bag"}
    imu = RunConfig(method="imu", control="permuted")
    return {
        "one": store.add(made(), name="one", tags=["talk"]),
        "two": store.add(made(state="cancelled", problem=bag), name="two", tags=["talk", "paper"]),
        "three": store.add(made(config=imu), name="three"),
    }


def test_nothing_stored_says_what_will_appear_here() -> None:
    at = look()
    assert "Nothing is stored yet" in words(at)
    assert not at.dataframe
    assert "python -m imu_core sweep" in words(at)
    assert has_button(at, "Import") is False


def test_the_list_shows_the_newest_first_with_its_numbers(store: Store) -> None:
    fill(store)
    at = look()
    assert names(at) == ["three", "two", "one"]
    table = at.dataframe[0].value
    assert table["Method"].tolist() == ["IMU (permuted)", "GA", "GA"]
    assert table["State"].tolist() == ["done", "cancelled", "done"]
    assert table["Forget"].tolist() == pytest.approx([100 / 3] * 3)
    assert table["Change"].tolist() == [0.0] * 3
    assert [list(path) for path in table["Path"]] == [[100.0, 50.0, 33.33]] * 3
    assert table["Seconds"].tolist() == [1.75] * 3
    assert table["Tags"].tolist() == ["", "paper, talk", "talk"]
    assert table["Problem"].tolist() == [f"class:{name} · fashion/lenet5" for name in ("Sandal", "Bag", "Sandal")]
    assert "3 runs, newest first" in words(at)


def test_a_run_without_a_name_goes_by_its_method(store: Store) -> None:
    store.add(made())
    assert names(look()) == ["GA"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"search": "bag"}, ["two"]),
        ({"search": "TALK one"}, ["one"]),
        ({"search": "lenet5"}, ["three", "two", "one"]),
        ({"only_method": "GA"}, ["two", "one"]),
        ({"only_problem": "class:Bag · fashion/lenet5"}, ["two"]),
        ({"only_state": "done"}, ["three", "one"]),
        ({"only_tag": "paper"}, ["two"]),
        ({"only_method": "GA", "only_state": "done", "search": "talk"}, ["one"]),
        ({"only_method": "zebra", "only_state": "", "only_tag": "%", "list_page": "-4"}, ["three", "two", "one"]),
        ({"list_page": "99"}, ["three", "two", "one"]),
    ],
    ids=lambda value: "&".join(f"{k}={v[:9]}" for k, v in value.items()) if isinstance(value, dict) else "",
)
def test_the_link_narrows_the_list(store: Store, query: dict[str, str], found: list[str]) -> None:
    fill(store)
    assert names(look(**query)) == found


def test_every_control_narrows_the_list(store: Store) -> None:
    fill(store)
    at = look()
    at.selectbox(key="only_method").set_value("imu")
    assert names(rerun(at)) == ["three"]
    at.selectbox(key="only_state").set_value("cancelled")
    rerun(at)
    assert not at.dataframe
    press(at, "Show all runs")
    assert names(at) == ["three", "two", "one"]
    at.selectbox(key="only_problem").set_value(("fashion", "lenet5", "class:Bag", 0))
    assert names(rerun(at)) == ["two"]
    at.selectbox(key="only_problem").set_value(None)
    at.selectbox(key="only_tag").set_value("talk")
    assert names(rerun(at)) == ["two", "one"]
    at.text_input(key="search").set_value("nothing of the kind")
    assert "No stored run fits" in words(rerun(at))


def test_a_choice_whose_last_run_is_deleted_gives_way(store: Store) -> None:
    ids = fill(store)
    at = look(only_method=stored.known_title("imu"))
    assert names(at) == ["three"]
    store.delete(ids["three"])
    assert names(rerun(at)) == ["two", "one"]


def test_fifty_runs_a_page_and_curves_are_read_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(103):
        store.add(made(seed=seed), name=f"run {seed}")
    asked: list[int] = []
    real = Store.trajectories
    monkeypatch.setattr(Store, "trajectories", lambda self, ids: asked.append(len(ids)) or real(self, ids))
    at = look()
    assert names(at) == [f"run {n}" for n in range(102, 52, -1)]
    at.get("pagination")[0].set_value(3)
    assert names(rerun(at)) == ["run 2", "run 1", "run 0"]
    rerun(at)
    assert asked == [50, 3, 0]


def test_long_requests_are_cut_and_stay_apart() -> None:
    one, two = (("fashion", "lenet5", "ids:" + "1," * 200 + last, 3) for last in ("5", "6"))
    assert stored.problem_title(one) != stored.problem_title(two)
    assert len(stored.problem_title(one)) < 110
    assert stored.problem_title(one).endswith("seed 3")


def test_long_curves_are_thinned_and_keep_their_ends() -> None:
    points = tuple(
        Point(n, 0.0, 0.0, 0.0, {"forget": 1 - n / 1000, "test": 0.9, "test_other": 0.8 - n / 10_000}) for n in range(1001)
    )
    curve = _curve(made(points=points))
    assert (len(curve.forget), curve.forget[0], curve.forget[-1]) == (CURVE, 100.0, 0.0)
    assert curve.change == pytest.approx(-10.0)
    assert _curve(made(points=())) == Curve()


# Actions.


@BOTH
def test_one_run_is_renamed(store: Store) -> None:
    ids = fill(store)
    at = tick(look(), 2)
    box = next(box for box in at.text_input if box.label == "Name")
    assert box.value == "one"
    box.set_value("another [name](http://a.example)")
    press(at, "Rename")
    assert store.get(ids["one"]).name == "another [name](http://a.example)"
    assert names(at)[2] == "another [name](http://a.example)"


def test_a_name_that_cannot_be_stored_gets_a_sentence(store: Store) -> None:
    ids = fill(store)
    at = tick(look(), 2)
    next(box for box in at.text_input if box.label == "Name").set_value("turn\u202earound")
    press(at, "Rename")
    assert "characters that cannot be shown" in warning(at)
    assert store.get(ids["one"]).name == "one"


def test_tags_of_one_run_are_replaced(store: Store) -> None:
    ids = fill(store)
    at = tick(look(), 1)
    box = next(box for box in at.text_input if box.label.startswith("Tags"))
    assert box.value == "paper, talk"
    box.set_value(" new one,, paper ")
    press(at, "Tag")
    assert store.get(ids["two"]).tags == ("new one", "paper")


def test_tags_of_many_runs_change_what_they_share(store: Store) -> None:
    ids = fill(store)
    at = tick(look(), 1, 2)
    box = next(box for box in at.text_input if box.label.startswith("Tags"))
    assert box.value == "talk"
    box.set_value("lecture")
    press(at, "Tag")
    assert (store.get(ids["one"]).tags, store.get(ids["two"]).tags) == (("lecture",), ("lecture", "paper"))
    at = tick(at, 1, 2)
    next(box for box in at.text_input if box.label.startswith("Tags")).set_value(", ".join(map(str, range(20))))
    press(at, "Tag")
    assert "Nothing was changed" in warning(at)
    assert store.get(ids["one"]).tags == ("lecture",)


def test_a_table_without_a_tick_offers_nothing_that_needs_one(store: Store) -> None:
    fill(store)
    at = look()
    needed = ("Look closer", "Open in Unlearn", "Compare", "Delete")
    assert all(button(at, label).disabled for label in needed)
    assert not any(button(tick(at, 0), label).disabled for label in needed)
    two = tick(at, 0, 1)
    assert [button(two, label).disabled for label in needed] == [True, True, False, False]


def test_runs_of_one_name_are_told_apart_in_the_table(store: Store) -> None:
    same = [store.add(made(seed=seed), name="twin") for seed in (0, 0, 3)]
    told = names(look())
    assert len(set(told)) == 3
    assert sorted(told) == sorted(["twin · seed 3", *(f"twin · seed 0, {run_id[:4]}" for run_id in same[:2])])


@BOTH
def test_deleting_can_be_undone(store: Store) -> None:
    fill(store)
    at = press(tick(look(), 0, 2), "Delete")
    assert names(at) == ["two"]
    assert "2 runs deleted." in words(at)
    press(at, "Undo")
    assert names(at) == ["three", "two", "one"]
    assert "2 runs back" in words(at)
    assert not has_button(at, "Undo")
    assert "Tick rows" in words(at), "another table must begin without a selection"


def test_what_was_deleted_earlier_can_be_brought_back(store: Store) -> None:
    ids = fill(store)
    store.delete(*ids.values())
    at = look()
    assert "Nothing is stored yet" in words(at)
    at.button(key=f"back_{ids['two']}").click()
    assert names(rerun(at)) == ["two"]


def test_what_somebody_else_removed_meanwhile_gets_a_sentence(store: Store) -> None:
    ids = fill(store)
    at = tick(look(), 0)
    store.delete(ids["three"])
    store.purge()
    assert "There is no run" in warning(press(at, "Delete"))


def test_open_restores_problem_and_settings(store: Store) -> None:
    config = RunConfig(method="npo", scope="last:1", seed=7, beta=0.5, epochs=3, stop_at=0.125, batch_size=17)
    problem = {**PROBLEM, "forget": "class:Coat+Shirt", "seed": 4}
    store.add(made(config=config, problem=problem))
    at = press(tick(look(), 0), "Open in Unlearn")
    assert at.title[0].value == "Watch it forget"
    assert at.sidebar.selectbox(key="model").value == "lenet5"
    assert at.sidebar.selectbox(key="forget").value == "class:Coat+Shirt"
    assert at.sidebar.number_input(key="seed").value == 4
    said = dict(parse_qsl(urlsplit(run_link.link(made(config=config, problem=problem))).query, keep_blank_values=True))
    kept = {name: value for name, value in said.items() if name not in ("dataset", "model", "forget", "seed", "after")}
    assert {name: at.query_params[name] for name in kept} == kept


def test_compare_takes_the_runs_along(store: Store) -> None:
    sets = ("forget", "retain", "test", "test_other", "test_forgotten")
    points = tuple(Point(n, float(n), 0.1, 0.5, dict.fromkeys(sets, 0.9 - 0.1 * n)) for n in range(3))
    one, two = (store.add(made(points=points, metrics={}, config=RunConfig(method="ga", seed=n))) for n in range(2))
    at = press(tick(look(), 0, 1), "Compare")
    assert at.query_params["runs"] == f"{two},{one}"
    assert at.sidebar.selectbox(key="model").value == "lenet5"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"problem": {**PROBLEM, "dataset": "zebra"}}, "zebra"),
        ({"problem": {**PROBLEM, "model": "zebra"}}, "The model zebra is not known here"),
        ({"config": RunConfig(method="zebra")}, "The method zebra is not known here"),
    ],
    ids=["dataset", "model", "method"],
)
def test_what_is_not_known_here_cannot_be_opened_but_looked_at(store: Store, changes: dict[str, Any], said: str) -> None:
    run_id = store.add(made(**changes))
    at = press(tick(look(), 0), "Open in Unlearn")
    assert said in warning(at)
    at = look(run=run_id)
    assert said in words(at).replace("\\", "")


def test_runs_travel_by_file(store: Store, tmp_path: Path) -> None:
    ids = fill(store)
    text = store.export([ids["one"], ids["two"]])
    other = Store(f"sqlite:///{tmp_path / 'other.sqlite'}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IMU_DATABASE_URL", other.url)
        at = offer(look(), text.encode())
        press(at, "Import")
        assert sorted(names(at)) == ["one", "two"]
        assert "The file holds 2 runs" in words(at)
        assert not has_button(at, "Import"), "the file is offered again"
    assert other.get(ids["two"]).trajectory.to_dict() == store.get(ids["two"]).trajectory.to_dict()


def offer(at: AppTest, content: bytes, name: str = "runs.json") -> AppTest:
    at.file_uploader[0].set_value((name, content, "application/json"))
    return rerun(at)


HOSTILE = {
    "no JSON": b"zebra",
    "no text": b"\xff\xfe\x00\x80",
    "nothing": b"",
    "a list": b"[]",
    "deep": b"[" * 50_000,
    "another schema": b'{"format": "imu_core runs", "schema": 99, "runs": []}',
    "runs are no list": b'{"format": "imu_core runs", "schema": 1, "runs": {}}',
    "an empty run": b'{"format": "imu_core runs", "schema": 1, "runs": [{}]}',
    "infinity": b'{"format": "imu_core runs", "schema": 1, "runs": [{"created": Infinity}]}',
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_gets_a_sentence_and_nothing_gets_in(store: Store, name: str) -> None:
    at = press(offer(look(), HOSTILE[name]), "Import")
    assert warning(at)
    assert store.count() == 0


def test_a_file_too_large_is_refused_before_it_is_read() -> None:
    from pages.sections.runs import actions, importing

    class Large:
        size = 2**40

        def getvalue(self) -> bytes:
            raise AssertionError("it was read")

    st_state: dict[str, Any] = {}

    class State(dict):
        __getattr__, __setattr__ = dict.__getitem__, dict.__setitem__

    state = State(st_state)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(actions, "st", SimpleNamespace(session_state=state))
        patch.setattr(visitor, "owner", lambda: "somebody")
        importing.take_in(Large())
    assert "at most 32" in state["said"]["error"]


# One run in detail.


def shown_state(at: AppTest) -> str:
    return next(m.value for m in at.main.markdown if "-badge[" in m.value)


@pytest.mark.parametrize("state", ["done", "cancelled", "diverged", "failed"])
def test_a_record_opens_by_its_link(store: Store, state: str) -> None:
    points = () if state == "failed" else made().points
    run_id = store.add(made(state=state, points=points), name="my *run*", tags=["talk"])
    for asked in (run_id, run_id[:8]):
        at = look(run=asked)
        assert at.header[0].value == "my \\*run\\*"
        assert state in shown_state(at)
        assert "talk" in shown_state(at)
        assert len(at.get("plotly_chart")) == (0 if state == "failed" else 2)
        assert "imu_core.RunConfig(method='ga'" in at.code[0].value
        assert f"/runs?run={run_id}" in at.code[1].value
        assert at.code[2].value.startswith("/unlearn?dataset=fashion&model=lenet5&forget=class%3ASandal")
    labels = [b.label for b in at.get("download_button")]
    assert labels == ["Export", "CSV of all steps", *(["PNG of the charts"] if points else [])]


def test_a_record_says_what_happened_beside_the_retrained_model(tiny: object, store: Store) -> None:
    at = run_methods(["ga"], **TINY)
    written()
    item = runs_of(at)[0]
    at = look(run=item.stored)
    first, last = item.run.points[0].accuracies, item.run.points[-1].accuracies
    assert f"{100 * first['forget']:.1f} % were recognised before and {100 * last['forget']:.1f} % at the end" in words(at)
    assert "was not measured with this run" in words(at)
    table = at.dataframe[0].value.set_index("Figure")
    assert table.loc["Forget accuracy", "This run"] == f"{100 * last['forget']:.1f} %"
    assert table.loc["Forget accuracy", "Original"] == f"{100 * first['forget']:.1f} %"
    assert table.loc["Forget accuracy", "Good"] == "↓ lower"
    assert table.loc["Forget accuracy", "Samples"] == "40"
    attack = table.loc["Judged never seen (SVC confidence attack)"]
    assert (attack["This run"], attack["Samples"]) == (f"{item.measured['membership']['run']:.3f}", "40")
    assert "Changed parameters" in [b.label for b in at.get("download_button")]
    settings = at.dataframe[1].value.set_index("Setting")["Value"]
    assert settings["method"] == "ga"
    assert settings["stop_at"] == str(item.config.stop_at)


def test_the_retrained_model_is_drawn_where_it_was_measured(store: Store) -> None:
    reference = {"forget": 0.1, "test": 0.85}
    run_id = store.add(made(metrics={"accuracies": {"run": {"forget": 1 / 3}, "retrained": reference}}))
    assert stored.reference_of(store.get(run_id)) == reference
    assert "The retrained model recognises 10.0 % and changed by −5.0 points." in words(look(run=run_id))


@pytest.mark.parametrize("asked", ["zebra", "a", "f" * 32, "%", "' OR 1=1", "[x](http://a.example)", "\u202e" * 9])
def test_an_unknown_run_gets_a_sentence_and_the_way_out(store: Store, asked: str) -> None:
    fill(store)
    at = look(run=asked)
    assert "There is no stored run" in warning(at)
    press(at, "All runs")
    assert names(at) == ["three", "two", "one"]


def test_a_deleted_run_can_be_brought_back_from_its_link(store: Store) -> None:
    ids = fill(store)
    store.delete(ids["one"])
    at = look(run=ids["one"])
    assert "This run was deleted" in words(at)
    press(at, "Bring it back")
    assert at.header[0].value == "one"


def test_a_record_can_be_deleted_and_that_undone(store: Store) -> None:
    ids = fill(store)
    at = press(look(run=ids["one"]), "Delete")
    assert "This run was deleted" in words(at)
    press(at, "Undo")
    assert at.header[0].value == "one"


def test_look_closer_and_back(store: Store) -> None:
    ids = fill(store)
    at = press(tick(look(search="talk"), 1), "Look closer")
    assert at.header[0].value == "one"
    assert at.query_params["run"] == ids["one"]
    press(at, "All runs")
    assert at.dataframe
    assert "run" not in at.query_params


ODD_METRICS = [
    {"accuracies": 5},
    {"accuracies": {"run": [], "original": "x", "retrained": {"forget": "y"}}},
    {"attacks": [], "membership": {"run": {}}, "divergence": {"run": {"test": 3}}},
    {"membership": {"retrained": None}, "gaps": {"run": {"average_gap": None}}},
    {"accuracies": {"retrained": {"forget": True, "test": None}}},
]
ODD_POINTS = [
    (Point(0, 0.0, 0.0, None, {}),),
    (Point(0, 0.0, 0.0, None, {"forget": math.nan, "test": 0.5}), Point(1, 0.0, 0.0, None, {"forget": 0.5})),
    (Point(0, 0.0, 0.0, None, {"test_other": 0.5}), Point(1, 0.0, 0.0, None, {"forget": 0.5, "test": 0.5})),
    (Point(5, 0.0, 0.0, None, {"forget": 0.5, "test": 0.5}), Point(1, 0.0, 0.0, None, {"forget": 0.5, "test": 0.5})),
]


@pytest.mark.parametrize("metrics", ODD_METRICS, ids=repr)
@pytest.mark.parametrize("points", ODD_POINTS, ids=range(len(ODD_POINTS)))
def test_an_odd_record_from_elsewhere_is_shown_as_far_as_it_goes(store: Store, metrics: Any, points: tuple[Point, ...]) -> None:
    source = store.add(made(metrics=metrics, points=points))
    text = store.export([source])
    store.delete(source)
    store.purge()
    (run_id,) = store.import_(text)
    assert look(run=run_id).header[0].value == "GA"
    assert names(look()) == ["GA"]


def test_a_damaged_record_is_listed_and_opened_with_a_sentence(store: Store, tmp_path: Path) -> None:
    ids = fill(store)
    with sqlite3.connect(tmp_path / "runs.sqlite") as connection:
        connection.execute("UPDATE runs SET trajectory = ? WHERE id = ?", (b"broken", ids["two"]))
    at = look()
    assert names(at) == ["three", "two", "one"]
    assert at.dataframe[0].value["Path"][1] is None
    assert "damaged" in warning(look(run=ids["two"]))


def test_markup_in_a_record_stays_text(store: Store) -> None:
    evil = "x[press](http://a.example)<b>"
    problem = {**PROBLEM, "forget": evil, "history": [{"forget": evil, "config": {}}]}
    run_id = store.add(made(problem=problem, config=RunConfig(method="zebra[x](http://b)")), name=evil, tags=["t[x](http://c)"])
    at = look(run=run_id)
    everything = "\n".join(e.value for e in (*at.main.markdown, *at.main.caption, *at.main.header, *at.main.warning))
    assert re.search(r"(?<!\\)\]\(http", everything) is None
    assert "&lt;b&gt;" in stored.shown(store.get(run_id), made()).name


def test_figures_are_written_with_their_unit() -> None:
    assert stored.written("forget", 0.98765) == "98.8 %"
    assert stored.written("kl", 0.98765) == "0.988"
    assert stored.written("kl", None) == ""
    assert stored.direction("forget", True) == "↓ lower"
    assert stored.direction("forget", False) == "≈ the retrained"
    assert stored.direction("auc", True) == "≈ 50 %"


# Marks.


def svg(style: figures.Style) -> str:
    start = "data:image/svg+xml;base64,"
    url = markers.picture(style)
    assert url.startswith(start)
    return base64.b64decode(url[len(start) :]).decode()


def test_a_mark_has_the_colour_and_the_shape_of_its_method() -> None:
    drawn = {name: svg(figures.style_of(name)) for name in METHODS}
    assert all(figures.style_of(name).colour in picture for name, picture in drawn.items())
    assert len({drawn[name] for name in ("imu", "ga", "npo", "simnpo", "rl", "delete")}) == 6
    assert 'fill="none"' in drawn["simnpo"]
    assert 'fill="none"' not in drawn["npo"]
    assert "<circle" in svg(figures.Style("#123456", "solid", "no such shape"))
