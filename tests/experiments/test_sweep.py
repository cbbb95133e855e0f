"""Many runs: which ones a description means, that nothing is lost or repeated, and that numbers do not depend on the workers."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from imu_core import methods, runtime
from imu_core.errors import ConfigError, DataError, ImuError
from imu_core.evaluation import measurement
from imu_core.experiments import cell_runs, sweep
from imu_core.experiments.sweep import Cell, Sweep, cells, parse_value, read_spec, with_settings
from imu_core.experiments.sweep_table import table
from imu_core.problems.problem import problem as make_problem
from imu_core.problems.reference import retrain
from imu_core.records.data import Dataset
from imu_core.records.run import RunConfig
from imu_core.store.runs import Store

TINY = {"problem": "tiny", "model": "lenet5", "preset": "five epochs", "settings": {"epochs": 1}}
GRID = {"methods": ["imu", "ga"], "seeds": "0-1", "preset": "five epochs", "settings": {"epochs": 2}}  # fashion, small_resnet


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'runs.sqlite'}"


def finish(work: Sweep) -> list[str]:
    """Run to the end; what was said."""
    return [words for _, words in work]


def numbers(store: Store, keys: list[str]) -> list[Any]:
    """Every number of every run of `keys` that is no measured time."""
    found = [store.find(key) for key in keys]
    points = [[dataclasses.replace(point, seconds=0.0) for point in run.trajectory.points] for run in found]
    read = ("step", "epoch", "loss", "accuracies", "weights", "full")
    return [[[getattr(p, name) for name in read] for p in line] for line in points] + [run.metrics["divergence"] for run in found]


# Which runs.


def test_the_grid_is_the_product_of_its_parts(tiny: Dataset) -> None:
    spec = {**TINY, "methods": ["imu", "ga"], "forget": ["class:Sandal", "class:Bag"], "seeds": "0-2", "problem_seeds": [0, 1]}
    found = cells(spec)
    assert len(found) == 2 * 2 * 3 * 2
    assert len({cell.key for cell in found}) == len(found)
    assert {cell.config.epochs for cell in found} == {1}
    problems = [(cell.forget, cell.problem_seed) for cell in found]
    assert len({(p, i // 6) for i, p in enumerate(problems)}) == 4, "runs on one problem stand together"


def test_defaults_are_those_of_run() -> None:
    (cell,) = cells({})
    assert cell == Cell("fashion", "small_resnet", "class:Sandal", 0, methods.preset("gentle", "imu", "head"))


def test_requests_are_spelt_as_runs_spell_them(tiny: Dataset) -> None:
    found = cells({**TINY, "forget": ["random:10%", "random: 10.0 %, seed=0", "class:bag+sandal"]})
    assert [cell.forget for cell in found] == ["random:10%,seed=0", "class:Sandal+Bag"]


def test_settings_make_a_grid_and_skip_methods_that_do_not_use_them(tiny: Dataset) -> None:
    settings = {"beta": ["0.5", 1, "2"], "learning-rate": [0.01, "1e-1"]}
    found = cells({**TINY, "methods": ["ga", "npo"], "settings": settings})
    assert [cell.config.method for cell in found] == ["ga"] * 2 + ["npo"] * 6
    assert {cell.config.beta for cell in found[2:]} == {0.5, 1, 2}
    assert {cell.config.learning_rate for cell in found} == {0.01, 0.1}


def test_overrides_are_for_one_method(tiny: Dataset) -> None:
    found = cells({**TINY, "methods": ["ga", "npo"], "overrides": {"npo": {"epochs": [2, 3], "beta": 0.1}}})
    assert [(cell.config.method, cell.config.epochs) for cell in found] == [("ga", 1), ("npo", 2), ("npo", 3)]
    assert found[1].config.beta == 0.1


WRONG = [
    ({"method": "nope"}, "no method called 'nope'"),
    ({"model": "nope"}, "no model called 'nope'"),
    ({"problem": "nope"}, "no dataset called 'nope'"),
    ({"forget": "class:Nope"}, "no class 'Nope'"),
    ({"forget": ["class:Sandal", 7]}, "must be a text"),
    ({"preset": "nope"}, "no preset called 'nope'"),
    ({"scope": "nope"}, "scope is 'nope'"),
    ({"seeds": "5-2"}, "seed is '5-2'"),
    ({"seeds": 1.5}, "seed is '1.5'"),
    ({"seeds": True}, "seed is 'True'"),
    ({"seeds": -1}, "seed is '-1'"),
    ({"seeds": "0-99999"}, "seed is '0-99999'"),
    ({"methods": []}, "empty list"),
    ({"colour": "red"}, "no part called 'colour'; its parts are problem"),
    ({"method": "ga", "methods": "imu"}, "twice"),
    ({"measure": "everything"}, "allowed are none, quick, membership, full"),
    ({"settings": ["beta"]}, "must map names to values"),
    ({"settings": {"colour": 1}}, "no setting called 'colour'. Known settings: .*learning_rate"),
    ({"settings": {"seed": 1}}, "no setting called 'seed'"),
    ({"settings": {"epochs": -1}}, "epochs is -1"),
    ({"settings": {"epochs": {"a": 1}}}, "a value or a list of values"),
    ({"settings": {"epochs": []}}, "a value or a list of values"),
    ({"overrides": {"npo": {"beta": 1}}}, "not among the methods: imu"),
    ({"overrides": {"imu": {"beta": 1}}}, "IMU does not use beta"),
    ({"seeds": "0-9999", "scope": ["head", "all", "last:1"]}, "30,000 runs and more; a sweep may have 20,000"),
    ({"seeds": "0-99", "settings": {"damping": list(range(1, 300))}}, "29,900 runs and more"),
    ({"plugins": "/nowhere/plugin.py"}, "plugin.py"),
]


@pytest.mark.parametrize(("spec", "words"), WRONG, ids=[words for _, words in WRONG])
def test_wrong_descriptions_get_a_sentence(tiny: Dataset, spec: dict, words: str) -> None:
    with pytest.raises(ImuError, match=words):
        cells({"problem": "tiny", "model": "lenet5", **spec})


def test_a_file_says_the_same(tiny: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text(
        "problem: tiny\nmodel: lenet5\nmethods: [imu, npo]\nforget: ['class:Sandal', 'random:10%']\nseeds: 0-1\n"
        "preset: five epochs\nsettings: {epochs: 1, stop_at: [none, 1e-2]}\noverrides: {npo: {beta: [0.5, 1]}}\nname: mine\n"
    )
    found = cells(path)
    assert len(found) == 2 * 2 * 2 + 2 * 2 * 2 * 2
    assert {cell.config.stop_at for cell in found} == {None, 0.01}
    assert read_spec(path)["name"] == "mine"


@pytest.mark.parametrize(
    "content", [b"a: [1", b"\xff\xfe\xfa", b"- 1\n- 2", b"just words", b"!!python/object:os.system x", b"[" * 9999]
)
def test_a_damaged_file_gets_a_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError):
        cells(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        cells(tmp_path / "missing.yaml")


def test_values_as_people_write_them() -> None:
    assert [parse_value(text) for text in ("1", "1e-3", "0.5", "true", "none", "null", "sqrt", "[1]", "")] == [
        *(1, 1e-3, 0.5, True, None, None, "sqrt", "[1]", "")
    ]
    assert with_settings(RunConfig(), {"epochs": 3}) == RunConfig(epochs=3)
    with pytest.raises(ConfigError, match="has no setting 'colour'"):
        with_settings(RunConfig(), {"colour": 1})


# In this process.


def test_every_run_is_stored_and_none_is_repeated(tiny: Dataset, url: str) -> None:
    grid = cells({**TINY, "methods": ["imu", "ga"], "seeds": "0-1"})
    work = Sweep(grid, url, workers=1, name="night", tags=["a", "b"])
    assert (work.plan().todo, work.plan().seconds) == (4, None)
    assert "unknown" in work.plan().words()
    steps = list(work)
    assert [fraction for fraction, _ in steps] == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert work.outcome.state == "done"
    assert [run.key for run in work.results] == [cell.key for cell in grid]
    assert {(run.name, run.tags, run.depth, run.has_parameters) for run in work.results} == {
        ("night", ("a", "b"), "quick", False)
    }
    again = Sweep([*grid, *cells({**TINY, "methods": ["npo"]})], url, workers=1)
    assert (again.plan().stored, again.plan().todo, again.plan().unknown) == (4, 1, 1)
    assert len(finish(again)) == 2
    assert [run.id for run in again.results][:4] == [run.id for run in work.results]
    assert again.store.count() == 5
    assert finish(again) == []  # a sweep runs once


def test_what_is_stored_is_what_the_run_alone_gives(tiny: Dataset, url: str) -> None:
    (cell,) = cells(TINY)
    work = Sweep([cell], url, workers=1, measure="none", keep=True)
    finish(work)
    stored = work.store.find(cell.key)
    from imu_core.problems.problem import problem
    from imu_core.unlearning.run import unlearn

    asked = problem("tiny", model="lenet5", forget=cell.forget)
    with runtime.one_thread():
        run = unlearn(asked, cell.config)
        for _ in run:
            pass
    strip = lambda record: [{**p, "seconds": 0} for p in record.to_dict()["points"]]  # noqa: E731
    assert strip(stored.trajectory) == strip(run.trajectory)
    assert stored.model(asked) is not None
    assert stored.metrics == {}


def test_a_fuller_measurement_completes_the_same_records(tiny: Dataset, url: str) -> None:
    grid = cells(TINY)
    depths, ids = [], set()
    for measure in ("none", "quick", "full", "quick"):
        work = Sweep(grid, url, workers=1, measure=measure)
        finish(work)
        (run,) = work.results
        depths.append(run.depth)
        ids.add(run.id)
    assert depths == ["none", "quick", "full", "full"]
    assert len(ids) == 1


def test_a_brief_run_skips_the_whole_sets_and_a_measured_one_takes_its_place(tiny: Dataset, url: str) -> None:
    spec = {**TINY, "scope": "all", "forget": "class:Bag", "method": "ga"}
    finish(Sweep(cells(spec), url, workers=1, measure="none", brief=True))
    (found,) = Sweep(cells(spec), url).results
    points = Store(url).get(found.id).trajectory.points
    assert len(points) > 1
    assert not any(point.full for point in points)
    whole = Sweep(cells(spec), url, workers=1)
    finish(whole)
    (measured,) = whole.results
    assert measured.id == found.id
    last = Store(url).get(found.id).trajectory.points[-1]
    assert last.full
    assert last.step == points[-1].step
    with pytest.raises(ConfigError, match="measure 'none'"):
        Sweep(cells(spec), url, brief=True)


@pytest.mark.slow(reason="trains a model and sweeps twice")
def test_runs_are_measured_again_once_their_retrained_model_is_there(tiny: Dataset, url: str) -> None:
    spec = {**TINY, "forget": "ids:3,5,9"}
    work = Sweep(cells(spec), url, workers=1, measure="quick")
    finish(work)
    (before,) = work.results
    assert not before.metrics["divergence"]
    assert not Sweep(cells(spec), url, measure="quick").pending()
    training = retrain(make_problem("tiny", model="lenet5", forget="ids:3,5,9"))
    for _ in training:
        pass
    training.save()
    assert not Sweep(cells(spec), url, measure="none").pending()
    again = Sweep(cells(spec), url, workers=1, measure="quick")
    assert len(again.pending()) == 1
    finish(again)
    (after,) = again.results
    assert after.id == before.id
    assert set(after.metrics["divergence"]) == {"original", "run"}
    assert not again.pending()


def test_a_failing_run_is_stored_with_its_reason_and_stops_nothing(
    tiny: Dataset, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = cells({**TINY, "methods": ["imu", "ga"]})

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("broken")

    with monkeypatch.context() as patch:
        patch.setattr("imu_core.methods.view.head_scores", fail)
        work = Sweep(grid, url, workers=1)
        said = finish(work)
    assert [run.state for run in work.results] == ["failed", "done"]
    assert "broken" in work.store.get(work.results[0].id).trajectory.outcome.reason
    assert any("failed" in words for words in said)
    assert work.outcome.state == "done"
    assert "1 failed" in work.outcome.reason
    assert Sweep(grid, url).pending() == []
    again = Sweep(grid, url, workers=1, retry=True)
    finish(again)
    assert [run.state for run in again.results] == ["done", "done"]
    assert [run.id for run in again.results] == [run.id for run in work.results]
    assert Sweep(grid, url, retry=True).pending() == []


def test_a_deleted_run_is_run_again(tiny: Dataset, url: str) -> None:
    work = Sweep(cells(TINY), url, workers=1, measure="none")
    finish(work)
    work.store.delete(work.results[0].id)
    again = Sweep(cells(TINY), url, workers=1, measure="none")
    assert again.plan().todo == 1
    finish(again)
    assert again.results[0].id != work.store.search(deleted=True)[0].id


def test_the_estimate_comes_from_stored_runs(tiny: Dataset, url: str) -> None:
    first = Sweep(cells({**TINY, "seeds": "0-2"}), url, workers=1, measure="none")
    finish(first)
    plan = Sweep(cells({**TINY, "seeds": "0-9", "methods": ["imu", "ga"]}), url, workers=2, measure="none").plan()
    assert (plan.total, plan.stored, plan.todo, plan.unknown) == (20, 3, 17, 10)
    middle = sorted(run.seconds for run in first.results)[1]
    assert plan.seconds == pytest.approx(17 * middle)
    assert "About" in plan.words()
    assert "10 of them" in plan.words()
    assert Sweep(cells(TINY), url, measure="full").plan().seconds is None  # none of them was measured that far


def endless(**changes: Any) -> dict[str, Any]:
    """A run that takes minutes and learns nothing."""
    settings = {"epochs": 500, "learning_rate": 0, "eval_every": 1, "batch_size": 1}
    return {"problem": "tiny", "model": "lenet5", "preset": "five epochs", "settings": settings, **changes}


@pytest.mark.parametrize("whom", ["this sweep", "its workers from afar"])
def test_stop_stops_and_keeps_what_had_ended(tiny: Dataset, url: str, whom: str) -> None:
    quick, slow = cells({**TINY, "methods": ["ga"]}), cells(endless(methods=["imu"]))
    work = Sweep([*quick, *slow], url, workers=1, measure="none")
    said, seen = [], threading.Event()

    def follow() -> None:
        for fraction, words in work:
            said.append(words)
            if fraction:
                seen.set()

    thread = threading.Thread(target=follow)
    thread.start()
    assert seen.wait(60)
    if whom == "this sweep":
        work.cancel()
    else:
        Store(url).ask_to_stop(work.id)
    thread.join(60)
    assert not thread.is_alive()
    assert work.outcome.state == "cancelled"
    assert "1 run missing" in work.outcome.reason
    assert [run.key for run in work.store.search()] == [quick[0].key]
    assert not work.store.is_stopped(work.id)  # no sign is left behind


def test_closing_the_iterator_ends_it(tiny: Dataset, url: str) -> None:
    work = Sweep(cells({**TINY, "seeds": "0-3"}), url, workers=1, measure="none")
    steps = iter(work)
    while next(steps)[0] < 0.5:
        assert work.outcome.state == "running"
    steps.close()
    assert (work.outcome.state, work.outcome.reason) == ("cancelled", "Nobody asked for more; what had ended is stored.")
    assert 2 <= len(Sweep(work.cells, url).store.search()) < 4


@pytest.fixture
def two_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As on a machine of two cores, whatever OMP_NUM_THREADS says here."""
    before = torch.get_num_threads()
    monkeypatch.setattr(runtime, "_usable", lambda: 2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_a_run_computes_with_one_thread_and_leaves_the_others_theirs(
    tiny: Dataset, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, seen = runtime.limit_threads(), []
    logits = measurement.run_logits
    monkeypatch.setattr(cell_runs, "run_logits", lambda run: seen.append(torch.get_num_threads()) or logits(run))
    finish(Sweep(cells(TINY), url, workers=1))
    assert seen == [1]
    assert torch.get_num_threads() == before == 2


@pytest.mark.parametrize("given", [{"workers": 0}, {"workers": True}, {"workers": "2"}, {"measure": "all"}])
def test_wrong_arguments_get_a_sentence(url: str, given: dict) -> None:
    with pytest.raises(ConfigError):
        Sweep([], url, **given)


@pytest.mark.parametrize("given", [{"tags": "text"}, {"tags": ["x" * 99]}, {"name": "x" * 999}])
def test_names_that_cannot_be_stored_are_said_before_anything_runs(url: str, given: dict) -> None:
    with pytest.raises(DataError, match=r"[Tt]ag|name"):
        Sweep([], url, **given)


def test_a_table_has_a_row_a_run(tiny: Dataset, url: str) -> None:
    work = Sweep(cells({**TINY, "methods": ["npo"], "settings": {"beta": [0.5, 1.5], "epochs": 1}}), url, workers=1)
    finish(work)
    rows = table(work.results)
    assert [row["settings"] for row in rows] == ['{"epochs": 1, "beta": 0.5}', '{"epochs": 1, "beta": 1.5}']
    assert rows[0]["forget"] == "class:Sandal"
    assert 0 <= rows[0]["accuracy_forget"] <= 1


# In other processes: each imports torch anew, and a cluster has a scheduler too. The default run sweeps in its own process.

APART = pytest.mark.slow(reason="starts processes that import torch")


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Cell], list[Any]]:
    """(cells on the data set that ships, their numbers when one process runs them)."""
    url = f"sqlite:///{tmp_path_factory.mktemp('alone') / 'runs.sqlite'}"
    grid = cells(GRID)
    work = Sweep(grid, url, workers=1)
    finish(work)
    assert work.outcome.state == "done"
    return grid, numbers(work.store, [cell.key for cell in grid])


@APART
def test_two_workers_give_the_same_numbers(alone: tuple, url: str) -> None:
    grid, expected = alone
    work = Sweep(grid, url, workers=2)
    finish(work)
    assert work.outcome.state == "done"
    assert numbers(work.store, [cell.key for cell in grid]) == expected


@contextmanager
def dask_workers(address: str, count: int, folder: Path) -> Iterator[list[subprocess.Popen]]:
    """`count` workers of the scheduler at `address`, started as a person starts them; what they print is shown when they fail."""
    command = [sys.executable, "-m", "dask", "worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard"]
    started = []
    with ExitStack() as stack:
        for index in range(count):
            log = stack.enter_context((folder / f"worker-{index}.log").open("w"))
            here = {"stdout": log, "stderr": subprocess.STDOUT, "cwd": Path(sweep.__file__).parents[2]}
            process = subprocess.Popen([*command, "--local-directory", str(folder)], **here)
            stack.callback(process.wait)
            stack.callback(process.kill)
            started.append(process)
        with distributed_client(address) as client:
            try:
                client.wait_for_workers(count, timeout=180)
            except TimeoutError:
                pytest.fail("\n".join(path.read_text()[-4000:] for path in sorted(folder.glob("worker-*.log"))))
        yield started


def distributed_client(address: str) -> Any:
    return pytest.importorskip("distributed").Client(address, set_as_default=False)


@APART
@pytest.mark.parametrize("killed", [0, 1])
def test_a_dask_cluster_gives_the_same_numbers(killed: int, alone: tuple, url: str, tmp_path: Path) -> None:
    """Also when one of its two workers is killed as soon as a run has ended."""
    distributed = pytest.importorskip("distributed", reason="the extra [cluster] is not installed")
    grid, expected = alone
    with (
        distributed.LocalCluster(n_workers=0, dashboard_address=None, host="127.0.0.1") as cluster,
        dask_workers(cluster.scheduler_address, 2, tmp_path) as workers,
    ):
        work = Sweep(grid, url, cluster=cluster.scheduler_address)
        for fraction, _ in work:
            if fraction:
                for worker in workers[:killed]:
                    assert worker.poll() is None
                    worker.kill()
                killed = 0
    assert work.outcome == dataclasses.replace(work.outcome, state="done")
    assert numbers(work.store, [cell.key for cell in grid]) == expected
    assert work.store.count() == len(grid)


@APART
def test_a_cluster_without_workers_is_said(url: str) -> None:
    distributed = pytest.importorskip("distributed", reason="the extra [cluster] is not installed")
    with distributed.LocalCluster(n_workers=0, dashboard_address=None, host="127.0.0.1") as cluster:
        work = Sweep([Cell("fashion", "small_resnet", "class:Sandal", 0, RunConfig())], url, cluster=cluster.scheduler_address)
        finish(work)
    assert work.outcome.state == "failed"
    assert "has no workers" in work.outcome.reason


@APART
def test_a_cluster_that_does_not_answer_is_said(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed", reason="the extra [cluster] is not installed")
    monkeypatch.setattr(sweep, "_PATIENCE", 1)
    for address in ("tcp://127.0.0.1:9", "nonsense"):
        work = Sweep([Cell("fashion", "small_resnet", "class:Sandal", 0, RunConfig())], url, cluster=address)
        finish(work)
        assert work.outcome.state == "failed"
        assert "No Dask scheduler answers" in work.outcome.reason


PLUGIN = """
import dataclasses, os, signal
from imu_core.methods import METHODS, register
register("mine", dataclasses.replace(METHODS["ga"], title="Mine"))
def die(view, config):
    os.kill(os.getpid(), signal.SIGKILL)
register("deadly", dataclasses.replace(METHODS["ga"], title="Deadly", start=die))
"""


@pytest.fixture
def plugin(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "plugin.py"
    path.write_text(PLUGIN)
    yield path
    for name in ("mine", "deadly"):
        methods.METHODS.pop(name, None)


@APART
def test_a_worker_that_is_killed_costs_its_run_alone(alone: tuple, url: str, plugin: Path) -> None:
    """A plug-in's methods are known to the workers; one of them kills the process that runs it."""
    spec = {**GRID, "plugins": [str(plugin)]}
    good = cells({**spec, "methods": ["mine"]})
    deadly = cells({**spec, "methods": ["deadly"], "seeds": 0})
    first = Sweep(good[:1] + deadly, url, workers=2, measure="none", plugins=[plugin])
    finish(first)
    assert first.outcome.state == "failed"
    assert "start the sweep again" in first.outcome.reason
    assert first.store.integrity() == []
    assert "failed" not in {run.state for run in first.results}
    second = Sweep(good, url, workers=2, measure="none", plugins=[plugin])
    finish(second)
    assert second.outcome.state == "done"
    assert [run.method for run in second.results] == ["mine"] * len(good)


KILLED = {
    **{"methods": ["imu", "ga"], "seeds": "0-5", "preset": "five epochs", "measure": "none"},
    "settings": {"epochs": 60, "learning_rate": 0, "eval_every": 1},  # half a second each
}


def start(url: str, folder: Path) -> subprocess.Popen[str]:
    """`python -m imu_core sweep …` as the leader of a process group of its own."""
    (folder / "sweep.yaml").write_text(json.dumps(KILLED))  # every JSON is YAML
    command = [sys.executable, "-m", "imu_core", "sweep", str(folder / "sweep.yaml"), "--workers", "2"]
    env = {**os.environ, "IMU_DATABASE_URL": url}
    return subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)


@APART
def test_kill_9_loses_nothing_that_had_ended(alone: tuple, url: str, tmp_path: Path) -> None:
    grid, store = cells(KILLED), Store(url)
    command = start(url, tmp_path)
    end = time.monotonic() + 120
    while store.count() < 2 and time.monotonic() < end and command.poll() is None:
        time.sleep(0.01)
    os.killpg(command.pid, signal.SIGKILL)  # the command, its workers and whatever they started
    command.wait(60)
    while workers_of(command.pid) and time.monotonic() < end:
        time.sleep(0.05)
    assert workers_of(command.pid) == []
    survivors = {run.key: (run.id, run.created) for run in store.search(limit=None)}
    assert 2 <= len(survivors) < len(grid)
    assert store.integrity() == []
    assert all(len(store.get(run).trajectory.points) == 241 for run, _ in survivors.values())

    again = Sweep(grid, url, workers=1, measure="none")
    said = finish(again)
    assert said[0] == f"{len(survivors)} of {len(grid)} are stored already"
    assert len(said) == 1 + len(grid) - len(survivors)
    assert not any(run.key in survivors and (run.id, run.created) != survivors[run.key] for run in again.results)
    assert [run.key for run in again.results] == [cell.key for cell in grid]
    assert {run.state for run in again.results} == {"done"}
    assert store.count() == len(grid)
    assert store.integrity() == []


def workers_of(group: int) -> list[str]:
    """Processes of the group that are alive (one that has ended and waits to be collected is not)."""
    found = subprocess.run(["ps", "-eo", "pgid=,stat=,pid="], capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in found.splitlines()]
    return [pid for pgid, state, pid in rows if int(pgid) == group and not state.startswith("Z")]


def test_combinations_that_make_no_sense_are_left_out_unless_nothing_is_left() -> None:
    found = cells({"methods": ["scar", "ga", "unsir"], "scope": ["head", "last:1"], "forget": ["class:Bag", "random:5%,seed=0"]})
    kept = {(c.config.method, c.config.scope, c.forget.partition(":")[0]) for c in found}
    assert ("scar", "last:1", "random") in kept
    assert ("unsir", "head", "class") in kept
    assert not {m for m, s, _ in kept if m == "scar" and s == "head"}
    assert not {m for m, _, f in kept if m == "unsir" and f == "random"}
    with pytest.raises(ConfigError, match="no gradient in the head"):
        cells({"methods": ["scar"], "scope": ["head"]})
