"""The database of runs: what goes in comes out, whoever writes at the same time, and nothing hostile gets in."""

from __future__ import annotations

import base64
import dataclasses
import json
import math
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
import torch
from conftest import same_bits, tamper
from safetensors.torch import save as save_tensors

from imu_core import runtime
from imu_core.errors import DataError, ImuError, StoreError
from imu_core.records.outcome import Outcome
from imu_core.records.run import Point, Problem, RunConfig, Trajectory
from imu_core.store import database, stored
from imu_core.store.runs import Store, changed_parameters, default_url, run_key, save_run
from imu_core.unlearning.run import unlearn

PROBLEM = {"dataset": "fashion", "model": "lenet5", "forget": "class:Sandal", "seed": 0, "history": []}


def made(seed: int = 0, state: str = "done", **changes: Any) -> Trajectory:
    """A small run on record, without having run."""
    points = tuple(Point(n, float(n), 0.5 * n, -0.1 * n, {"forget": 1 / (1 + n), "test": 0.9}) for n in range(3))
    values = {
        "config": RunConfig(method="ga", seed=seed, learning_rate=0.01),
        "problem": PROBLEM,
        "points": points,
        "phases": {"prepare": 0.25, "steps": 1.0, "evaluation": 0.5},
        "outcome": Outcome(state, "All 3 steps were taken."),
        "sizes": {"forget": 40},
        "saw": ("forget",),
        "metrics": {"accuracies": {"run": {"forget": 1 / 3}}},
        "environment": {"python": "3.11"},
        "costs": {"moved": 0.125, "peak_bytes": 4096.0},
    }
    return Trajectory(**values | changes)


@pytest.fixture
def store(address: Callable[[], str]) -> Store:
    return Store(address())


# In and out.


def test_a_run_comes_back_as_it_was(store: Store) -> None:
    trajectory = made()
    run = store.get(store.add(trajectory, name="  first try ", tags=["talk", "b", "talk"]))
    assert run.trajectory.to_dict() == trajectory.to_dict()
    assert (run.name, run.tags, run.deleted, run.parameters) == ("first try", ("b", "talk"), None, None)
    assert (run.method, run.dataset, run.model_name, run.forget, run.seed) == ("ga", "fashion", "lenet5", "class:Sandal", 0)
    assert (run.state, run.scope, run.seconds) == ("done", "head", 1.75)
    assert run.accuracies == {"forget": 1 / 3, "test": 0.9}
    assert run.metrics == trajectory.metrics
    assert run.depth == "quick"
    assert run.settings == {"method": "ga", "scope": "head", "learning_rate": 0.01}


def test_numbers_that_are_none_in_json_are_stored_as_nothing(store: Store) -> None:
    point = Point(0, 0.0, 0.0, math.nan, {"forget": 0.5}, {"largest": math.inf})
    run = store.get(store.add(made(points=(point,), metrics={"x": math.nan})))
    assert (run.trajectory.points[0].loss, run.trajectory.points[0].weights, run.metrics) == (
        None,
        {"largest": None},
        {"x": None},
    )


def test_a_run_that_goes_on_is_not_stored(store: Store) -> None:
    with pytest.raises(StoreError, match="running"):
        store.add(made(state="running"))
    assert store.count() == 0


def test_the_key_is_that_of_the_run_and_of_nothing_else() -> None:
    key = run_key(PROBLEM, RunConfig(learning_rate=1.0))
    assert key == run_key(dict(reversed(PROBLEM.items())), RunConfig(learning_rate=1))
    assert key == run_key(PROBLEM, RunConfig(learning_rate=1.0, damping=1e-2, stop_at=None))
    others = [
        run_key({**PROBLEM, "forget": "class:Bag"}, RunConfig(learning_rate=1.0)),
        run_key({**PROBLEM, "history": [{"forget": "class:Bag", "config": {}}]}, RunConfig(learning_rate=1.0)),
        run_key(PROBLEM, RunConfig(learning_rate=1.0, seed=1)),
        run_key(PROBLEM, RunConfig(learning_rate=1.0, options={"alpha": 2.0})),
        run_key(PROBLEM, RunConfig(learning_rate=1.0, method="ga")),
    ]
    assert len({key, *others}) == 6


def test_the_key_stays_the_same_over_versions() -> None:
    """A sweep that was begun with an older version goes on with this one; a change here repeats everybody's runs."""
    assert run_key(PROBLEM, RunConfig(method="ga"))[:16] == "1032c6880edf3fc8"


def test_find_returns_the_newest_that_is_not_deleted(store: Store) -> None:
    first, second = store.add(made()), store.add(made())
    key = store.get(first).key
    found = store.find(key)
    assert found is not None
    assert found.id == second
    store.delete(second)
    assert store.find(key).id == store.latest([key, "other"])[key].id == first
    store.delete(first)
    assert store.find(key) is None
    assert store.latest([key]) == {}


def test_once_keeps_one_record_and_completes_it(store: Store) -> None:
    failed = store.add(made(state="failed", points=(), metrics={}), name="mine", tags=["talk"], once=True)
    assert store.add(made(metrics={}), once=True) == failed
    assert store.get(failed).state == "done"
    full = {"accuracies": {"run": {}}, "membership": {"run": 0.5}}
    assert store.add(made(metrics=full), name="other", once=True) == failed
    assert store.add(made(metrics={}), once=True) == failed  # says less: nothing changes
    run = store.get(failed)
    assert (run.metrics, run.name, run.tags, store.count()) == (full, "mine", ("talk",), 1)
    assert store.add(made(seed=1), once=True) != failed


def test_a_stopped_run_does_not_pass_for_the_whole(store: Store) -> None:
    stopped = store.add(made(state="cancelled"))
    assert store.add(made(metrics={}), once=True) == stopped
    assert store.get(stopped).state == "done"


# Names, tags, search, delete and its undo.


def test_search_finds_words_tags_and_methods(store: Store) -> None:
    one = store.add(made(), name="Figure 3", tags=["talk"])
    two = store.add(made(config=RunConfig(method="npo")), tags=["talk", "paper_1"])
    three = store.add(made(problem={**PROBLEM, "forget": "random:10%,seed=0"}))
    ids = lambda **given: [run.id for run in store.search(**given)]  # noqa: E731
    assert ids() == [three, two, one]
    assert ids(text="figure") == [one]
    assert ids(text="sandal NPO") == [two]
    assert ids(text="paper") == [two]
    assert ids(text="10%") == [three]
    assert ids(text="_") == [two]  # no wildcard
    assert ids(method="ga") == [three, one]
    assert ids(tags=["talk"]) == [two, one]
    assert ids(tags=["talk", "paper_1"]) == [two]
    assert ids(limit=1, offset=1) == [two]
    assert (store.count(), store.count(text="sandal"), store.count(tags=["talk"])) == (3, 2, 2)
    assert store.tags() == {"paper_1": 1, "talk": 2}


def test_search_narrows_by_state_and_problem_and_says_what_there_is(store: Store) -> None:
    bag = {**PROBLEM, "forget": "class:Bag"}
    store.add(made(seed=1))
    two = store.add(made(state="cancelled", problem=bag))
    three = store.add(made(problem=bag))
    about = ("fashion", "lenet5", "class:Bag", 0)
    assert [run.id for run in store.search(problem=about)] == [three, two]
    assert [run.id for run in store.search(problem=about, state="cancelled")] == [two]
    assert (store.count(problem=about), store.count(state="done"), store.count(state="zebra")) == (2, 2, 0)
    sandal = ("fashion", "lenet5", "class:Sandal", 0)
    assert store.used() == {"method": {"ga": 3}, "state": {"done": 2, "cancelled": 1}, "problem": {about: 2, sandal: 1}}
    store.delete(three)
    assert store.used()["problem"] == {about: 1, sandal: 1}
    assert store.used(deleted=True) == {"method": {"ga": 1}, "state": {"done": 1}, "problem": {about: 1}}


def test_a_later_measurement_replaces_what_one_record_held(store: Store) -> None:
    one, two = store.add(made()), store.add(made())
    measured = {"membership": {"run": 0.5, "retrained": math.nan}}
    store.complete(one, measured)
    assert store.get(one).metrics == {"membership": {"run": 0.5, "retrained": None}}
    assert store.get(one).trajectory.metrics == store.get(one).metrics
    assert store.get(two).metrics == made().metrics
    with pytest.raises(StoreError, match="There is no run"):
        store.complete("nobody", measured)


def test_many_trajectories_at_once_leave_out_what_cannot_be_read(store: Store) -> None:
    good, bad = store.add(made(seed=3)), store.add(made())
    tamper(store, "UPDATE runs SET trajectory = :content WHERE id = :id", content=b"broken", id=bad)
    found = store.trajectories([bad, good, "nobody"])
    assert list(found) == [good]
    assert found[good].points[-1].accuracies == made().points[-1].accuracies
    assert found[good].config.seed == 3


def test_rename_and_tag_replace(store: Store) -> None:
    run = store.add(made(), name="a", tags=["x", "y"])
    store.rename(run, "b")
    store.tag(run, ["z"])
    assert (store.get(run).name, store.get(run).tags) == ("b", ("z",))
    store.tag(run, [])
    assert store.get(run).tags == ()


def test_delete_is_undone_and_purge_is_not(store: Store) -> None:
    one, two = store.add(made(), tags=["t"]), store.add(made(seed=1))
    store.delete(one)
    assert [run.id for run in store.search()] == [two]
    assert [run.id for run in store.search(deleted=True)] == [one]
    assert store.get(one).deleted is not None
    store.restore(one)
    assert store.get(one).deleted is None
    assert {run.id for run in store.search()} == {one, two}
    store.delete(one)
    assert store.purge(older=3600) == 0
    assert store.purge() == 1
    with pytest.raises(StoreError, match="There is no run"):
        store.get(one)
    assert store.integrity() == []  # its tags went with it


def test_what_is_not_there_is_said_and_changes_nothing(store: Store) -> None:
    run = store.add(made())
    for call in (lambda: store.delete(run, "f" * 32), lambda: store.rename("x", "y"), lambda: store.tag("x", ["y"])):
        with pytest.raises(StoreError, match="There is no run"):
            call()
    assert store.get(run).deleted is None


def test_ids_can_be_shortened(store: Store) -> None:
    run = store.add(made())
    assert store.resolve(run[:6]) == run
    for start, words in (("abc", "too short"), ("zzzz", "No run begins"), ("%%%%", "No run begins")):
        with pytest.raises(StoreError, match=words):
            store.resolve(start)


@pytest.mark.parametrize("name", ["x" * 201, "a\x00b", "line\nbreak", "\ud800", "turned \u202e around", 7])
def test_names_that_break_lists_are_refused(store: Store, name: Any) -> None:
    with pytest.raises(DataError, match="name"):
        store.add(made(), name=name)


@pytest.mark.parametrize("tags", ["word", ["x" * 41], ["a,b"], [str(i) for i in range(21)], [1], None])
def test_tags_that_break_lists_are_refused(store: Store, tags: Any) -> None:
    with pytest.raises(DataError, match=r"[Tt]ag"):
        store.add(made(), tags=tags)


# Parameters.


@pytest.mark.parametrize("settings", [{}, {"scope": "all", "bn": "train", "epochs": 1}])
def test_the_model_is_rebuilt_bit_for_bit(store: Store, resnet: Problem, cheap: Callable, settings: dict) -> None:
    run = unlearn(resnet, cheap(**settings))
    for _ in run:
        pass
    kept = store.get(save_run(store, run, {"accuracies": {}}, "n", ["t"]))
    rebuilt = kept.model(resnet)
    assert rebuilt is not None
    assert same_bits(rebuilt.state_dict(), run.model().state_dict())
    assert not same_bits(rebuilt.state_dict(), resnet.model.state_dict())
    tensors, _ = stored.read_parameters(kept.parameters)
    assert len(tensors) == 2 if not settings else len(tensors) > 20
    assert not any(p.requires_grad for p in rebuilt.parameters())


def test_a_model_is_rebuilt_on_its_own_problem_only(store: Store, lenet: Problem, resnet: Problem, cheap: Callable) -> None:
    run = unlearn(lenet, cheap())
    for _ in run:
        pass
    kept = store.get(save_run(store, run, {}))
    with pytest.raises(DataError, match="another problem"):
        kept.model(resnet)
    retrained = dataclasses.replace(lenet, model=torch.nn.Sequential(torch.nn.Linear(2, 2)))
    with pytest.raises(DataError, match="no longer the one"):
        kept.model(retrained)
    assert store.get(store.add(made())).model(lenet) is None


def test_parameters_above_the_limit_are_left_out(lenet: Problem, cheap: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    run = unlearn(lenet, cheap())
    for _ in run:
        pass
    whole = changed_parameters(run)
    assert whole is not None
    monkeypatch.setattr(stored, "LARGEST_PARAMETERS", len(whole))
    assert changed_parameters(run) is None


# Export and import.


def test_runs_travel_with_everything(store: Store, lenet: Problem, cheap: Callable, address: Callable) -> None:
    run = unlearn(lenet, cheap())
    for _ in run:
        pass
    ids = [
        save_run(store, run, {"membership": {"run": 0.25}}, "größer", ["a"]),
        store.add(made(config=RunConfig(method="unheard"))),
    ]
    text = store.export(ids)
    other = Store(address())
    assert other.import_(text) == ids
    assert other.import_(text) == ids  # again: nothing twice
    assert other.count() == 2
    for run_id in ids:
        before, after = store.get(run_id), other.get(run_id)
        assert after.trajectory.to_dict() == before.trajectory.to_dict()
        names = ("id", "key", "name", "tags", "created", "parameters", "metrics", "settings", "accuracies")
        assert [getattr(after, name) for name in names] == [getattr(before, name) for name in names]
    assert same_bits(other.get(ids[0]).model(lenet).state_dict(), run.model().state_dict())
    assert other.export(ids) == text


def test_import_brings_a_deleted_run_back_and_never_overwrites(store: Store) -> None:
    run = store.add(made(), name="mine")
    text = store.export([run])
    store.delete(run)
    assert store.import_(text) == [run]
    assert store.get(run).deleted is None
    content = json.loads(text)
    content["runs"][0]["trajectory"]["config"]["seed"] = 5  # another run that claims the same id
    (new,) = store.import_(json.dumps(content))
    assert new != run
    assert (store.get(run).seed, store.get(new).seed) == (0, 5)
    assert store.get(new).key == run_key(PROBLEM, RunConfig(method="ga", seed=5, learning_rate=0.01))


def altered(*path: str | int, to: Any) -> Callable[[dict], None]:
    def change(content: dict) -> None:
        for step in path[:-1]:
            content = content[step]
        content[path[-1]] = to

    return change


TRAJECTORY = ("runs", 1, "trajectory")
HOSTILE = {
    "another format": (altered("format", to="pickle"), "no export of runs"),
    "another schema": (altered("schema", to=99), "schema 99"),
    "no list": (altered("runs", to={}), "a list of at most"),
    "no mapping": (altered("runs", 1, to=7), "Run 2 of 2"),
    "an id that climbs": (altered("runs", 1, "id", to="../../etc/passwd"), "id"),
    "an id in capitals": (altered("runs", 1, "id", to="F" * 32), "hexadecimal"),
    "a date that is none": (altered("runs", 1, "created", to="now"), "created"),
    "an endless name": (altered("runs", 1, "name", to="x" * 10_000), "name"),
    "a hidden name": (altered("runs", 1, "name", to="a\u202eb"), "cannot be shown"),
    "half a letter": (altered("runs", 1, "name", to="\ud800"), "cannot be shown"),
    "tags that are text": (altered("runs", 1, "tags", to="abc"), "tags"),
    "too many tags": (altered("runs", 1, "tags", to=[str(i) for i in range(99)]), "20 tags"),
    "parameters that are no base64": (altered("runs", 1, "parameters", to="%%%"), "base64"),
    "parameters that are a pickle": (altered("runs", 1, "parameters", to=base64.b64encode(b"\x80\x04.").decode()), "safetensors"),
    "parameters without end": (altered("runs", 1, "parameters", to="A" * 12_000_000), "too large"),
    "no trajectory": (altered(*TRAJECTORY, to=None), "mapping"),
    "an unknown setting": (altered(*TRAJECTORY, "config", "shell", to="rm"), "Unknown setting"),
    "a setting out of range": (altered(*TRAJECTORY, "config", "epochs", to=10**9), "epochs"),
    "a method that is no text": (altered(*TRAJECTORY, "config", "method", to=["imu"]), "method"),
    "a scope that is none": (altered(*TRAJECTORY, "config", "scope", to="'; DROP TABLE runs"), "scope"),
    "a huge seed": (altered(*TRAJECTORY, "problem", "seed", to=10**300), "whole number"),
    "no forget request": (altered(*TRAJECTORY, "problem", "forget", to=""), "forget"),
    "a history of nonsense": (altered(*TRAJECTORY, "problem", "history", to=[{"forget": "x", "config": {"a": 1}}]), "setting"),
    "points that are no list": (altered(*TRAJECTORY, "points", to="abc"), "points"),
    "a point with a tensor": (altered(*TRAJECTORY, "points", 0, "head", to=[1]), "A point must hold"),
    "a step that is text": (altered(*TRAJECTORY, "points", 0, "step", to="1"), "step"),
    "an accuracy above one": (altered(*TRAJECTORY, "points", 0, "accuracies", to={"test": 7}), "accuracies"),
    "an endless loss": (altered(*TRAJECTORY, "points", 0, "loss", to=10**400), "loss"),
    "a state that is none": (altered(*TRAJECTORY, "outcome", "state", to="running"), "state"),
    "nested metrics": (altered(*TRAJECTORY, "metrics", to={"a": [[[[[[[[[[[[[[1]]]]]]]]]]]]]]}), "nested deeper"),
    "endless metrics": (altered(*TRAJECTORY, "metrics", to={"a": [0] * 200_000}), "more than"),
    "costs that are text": (altered(*TRAJECTORY, "costs", to={"moved": "far"}), "costs"),
    "environment of numbers": (altered(*TRAJECTORY, "environment", to={"python": 3}), "environment"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_imports_get_a_sentence_and_nothing_gets_in(store: Store, name: str) -> None:
    change, expected = HOSTILE[name]
    ids = [store.add(made()), store.add(made(seed=1))]
    content = json.loads(store.export(ids))
    store.delete(*ids)
    store.purge()
    change(content)
    with pytest.raises(ImuError, match=expected) as caught:
        store.import_(json.dumps(content))
    assert len(str(caught.value)) < 800
    assert store.count() == 0


@pytest.mark.parametrize("text", ["", "not json", "[]", "{}", '{"a": NaN}', "[" * 200_000, '"' + "9" * 5000, "9" * 5000, None, 7])
def test_texts_that_are_no_export_get_a_sentence(store: Store, text: Any) -> None:
    with pytest.raises(DataError):
        store.import_(text)


def test_infinity_written_as_a_number_is_refused(store: Store) -> None:
    text = store.export([store.add(made())]).replace('"loss": -0.1', '"loss": 1e999')
    assert "1e999" in text
    with pytest.raises(DataError, match="loss"):
        store.import_(text)


def test_parameters_of_another_shape_do_not_become_a_model(store: Store, lenet: Problem, cheap: Callable) -> None:
    run = unlearn(lenet, cheap())
    for _ in run:
        pass
    content = json.loads(store.export([save_run(store, run, {})]))
    tensors, base = stored.read_parameters(base64.b64decode(content["runs"][0]["parameters"]))
    forged = {name: torch.zeros(3) for name in tensors}
    content["runs"][0] |= {"parameters": base64.b64encode(save_tensors(forged, {"base": base})).decode(), "id": "a" * 32}
    content["runs"][0]["trajectory"]["config"]["seed"] = 9
    with pytest.raises(DataError, match="do not fit"):
        store.get(store.import_(json.dumps(content))[0]).model(lenet)


# The file.


def test_the_file_is_in_home_unless_the_environment_names_another(fresh_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IMU_DATABASE_URL", raising=False)
    assert default_url() == f"sqlite:///{runtime.home() / 'runs.sqlite'}"
    monkeypatch.setenv("IMU_DATABASE_URL", f"sqlite:///{fresh_home}/a b/other.sqlite")
    run = Store().add(made())
    assert (fresh_home / "a b" / "other.sqlite").exists()
    assert Store().get(run).id == run


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nonsense", "cannot be read"),
        ("sqlite://", "in memory"),
        ("sqlite:////proc/nowhere/runs.sqlite", "cannot be made"),
        ("unheard://host/name", "driver"),
        ("postgresql+unheard://user:secret@host/name", "driver"),
    ],
)
def test_wrong_addresses_get_a_sentence(url: str, words: str) -> None:
    with pytest.raises(StoreError, match=words) as caught:
        Store(url)
    assert "secret" not in str(caught.value)


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_bytes(b"Dear reader, " * 100)
    with pytest.raises(StoreError, match="no database"):
        Store(f"sqlite:///{path}")
    assert path.read_bytes() == b"Dear reader, " * 100


def test_somebody_elses_database_is_refused(address: Callable[[], str]) -> None:
    url = database.parsed(address())
    with sqlalchemy.create_engine(url).begin() as connection:
        connection.execute(sqlalchemy.text("CREATE TABLE runs (distance REAL)"))
    with pytest.raises(StoreError, match="something else"):
        Store(url.render_as_string(hide_password=False))


@pytest.mark.parametrize(("version", "words"), [(3, "a newer version"), (0, "another version")])
def test_another_schema_is_refused(store: Store, version: int, words: str) -> None:
    store.close()
    tamper(store, "UPDATE imu_schema SET version = :version", version=version)
    with pytest.raises(StoreError, match=words):
        Store(store.url)


def test_damage_is_found(store: Store) -> None:
    good, bad, worse = store.add(made()), store.add(made(seed=1)), store.add(made(seed=2), parameters=save_tensors({}))
    assert store.integrity() == []
    tamper(store, "UPDATE runs SET trajectory = :content WHERE id = :id", content=b"rubbish", id=bad)
    tamper(store, "UPDATE runs SET parameters = :content WHERE id = :id", content=b"rubbish", id=worse)
    problems = store.integrity()
    assert len(problems) == 2
    assert any(bad in line for line in problems)
    assert any(worse in line for line in problems)
    assert store.get(good).id == good
    with pytest.raises(DataError, match="damaged"):
        store.get(bad)


def test_a_writer_that_fails_leaves_nothing(store: Store, address: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    text = store.export([store.add(made()), store.add(made(seed=1))])
    other = Store(address())
    taken: list[str] = []

    def fail_at_the_second(connection: Any, run_id: str, tags: Any) -> None:
        taken.append(run_id)
        if len(taken) == 2:
            raise DataError("No.")

    monkeypatch.setattr("imu_core.store.connection.attach", fail_at_the_second)
    with pytest.raises(DataError):
        other.import_(text)
    assert len(taken) == 2
    assert other.count() == 0


# Many at once.

WRITER = """
import dataclasses, json, sys
from imu_core.records.run import Trajectory
from imu_core.store.runs import Store
store, one = Store(sys.argv[1]), Trajectory.from_dict(json.loads(sys.argv[3]))
for number in range(25):
    config = dataclasses.replace(one.config, seed=1000 * int(sys.argv[2]) + number)
    run = store.add(dataclasses.replace(one, config=config), tags=["w" + sys.argv[2]])
    store.rename(run, "renamed")
"""


@pytest.mark.slow(reason="four processes import torch")
def test_four_processes_and_four_threads_lose_nothing(address: Callable[[], str]) -> None:
    """They also race to make the tables: there are none when they start."""
    url = address()
    record = json.dumps(made().to_dict())
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, url, str(number), record], stderr=subprocess.PIPE, text=True)
        for number in range(4)
    ]
    store, errors = Store(url), []

    def write(number: int) -> None:
        try:
            for seed in range(10):
                store.add(made(seed=1000 * number + seed), tags=[f"w{number}"])
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4, 8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    said = [writer.communicate(timeout=120)[1] for writer in writers]
    assert [writer.returncode for writer in writers] == [0] * 4, said
    assert errors == []
    assert store.count() == 4 * 25 + 4 * 10
    assert store.tags() == {f"w{number}": 25 if number < 4 else 10 for number in range(8)}
    assert store.count(text="renamed") == 100
    seeds = {run.seed for run in store.search(limit=None)}
    assert seeds == {1000 * w + i for w in range(8) for i in range(25 if w < 4 else 10)}
    assert store.integrity() == []


def test_a_busy_database_is_said_to_be_busy(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imu_core.store.database.WAIT", 0.05)
    impatient = Store(store.url)
    with store._writing(), pytest.raises(StoreError, match="busy"):
        impatient.rename("f" * 32, "x")
    with store._writing():
        assert impatient.search() == []  # readers do not wait
    impatient.add(made())
