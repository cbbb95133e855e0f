"""kill -9 at random moments: what had ended is there and stays, the same command ends with the same numbers, nothing lives on."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from imu_core.experiments.sweep import Sweep, cells
from imu_core.store.runs import Store

ROOT = Path(__file__).resolve().parents[2]
# Sixty-five kills, each after half a second of work; the default run shows in test_sweep.py that what ended is kept.
pytestmark = pytest.mark.slow(reason="kill -9 again and again takes minutes")
KILLS = {"sqlite": 50, "postgresql": 15}
RUNS_A_KILL = 3  # more than end between two kills
PATIENCE = 300  # seconds until a wait is given up; nothing is asserted about how long anything takes
SPEC: dict[str, Any] = {
    **{"problem": "fashion", "model": "lenet5", "methods": ["imu", "ga"], "preset": "five epochs"},
    **{"settings": {"epochs": 1}, "measure": "none"},
}


def spec(runs: int) -> dict[str, Any]:
    """A sweep of so many short runs."""
    return {**SPEC, "seeds": f"0-{(runs + 1) // 2 - 1}"}


def results(store: Store, keys: list[str]) -> dict[str, Any]:
    """By key, every number of the stored runs that is no measured time; reading them all is also a check of each."""
    latest = store.latest(keys)
    found = store.trajectories([run.id for run in latest.values()])
    points = {key: [dataclasses.replace(p, seconds=0.0) for p in found[run.id].points] for key, run in latest.items()}
    return {key: [(p.step, p.epoch, p.loss, p.accuracies, p.weights, p.full) for p in line] for key, line in points.items()}


def alone(grid: list[Any], folder: Path) -> dict[str, Any]:
    """What the runs give when nobody disturbs them."""
    work = Sweep(grid, f"sqlite:///{folder / 'alone.sqlite'}", workers=1, measure="none")
    list(work)
    assert work.outcome.state == "done"
    return results(work.store, [cell.key for cell in grid])


def wait_until(condition: Callable[[], Any]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


class Killed:
    """Sweeps of one file that are begun, and killed with whatever they started."""

    def __init__(self, process: subprocess.Popen[str], file: Path) -> None:
        self._process, self._file = process, file
        self.running: list[int] = []

    def _ask(self, what: Any) -> int:
        print(json.dumps(what), file=self._process.stdin, flush=True)
        return int(self._process.stdout.readline())

    def begin(self) -> None:
        """One more sweep of the file."""
        self.running.append(self._ask(["sweep", str(self._file), "--workers", "1"]))

    def kill(self, which: int) -> int:
        """kill -9 for one that runs; how it ended (-9: it still ran)."""
        pid = self.running.pop(which)
        os.killpg(pid, signal.SIGKILL)
        return self._ask(pid)

    def pause(self) -> None:
        """Those that run stand still, whatever they were about to do, until `go_on`."""
        for pid in self.running:
            os.killpg(pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """Those that stood still go on."""
        for pid in self.running:
            os.killpg(pid, signal.SIGCONT)

    def wait(self) -> list[int]:
        """How those that run end by themselves."""
        return [self._ask(self.running.pop()) for _ in list(self.running)]


@contextmanager
def sweeps(url: str, file: Path) -> Iterator[Killed]:
    """Nothing of them lives on afterwards."""
    here = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": ROOT}
    env = {**os.environ, "IMU_DATABASE_URL": url, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, str(ROOT / "tests" / "experiments" / "kills.py")], env=env, **here)
    killed = Killed(process, file)
    try:
        yield killed
    finally:
        while killed.running:
            killed.kill(0)
        process.kill()
        process.communicate()


def test_what_had_ended_outlives_every_kill_and_the_end_is_the_same(
    address: Callable[[], str], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Two sweeps of one file at a time; again and again one of them is killed at a random moment, and begun anew."""
    kills = KILLS[request.node.callspec.params["address"]]
    description = spec(RUNS_A_KILL * kills)
    (tmp_path / "sweep.yaml").write_text(json.dumps(description))  # every JSON is YAML
    grid, draw = cells(description), random.Random(kills)
    keys, expected, url = [cell.key for cell in grid], alone(grid, tmp_path), address()
    store, seen = Store(url), {}
    with sweeps(url, tmp_path / "sweep.yaml") as killed:
        killed.begin()
        killed.begin()
        for _ in range(kills):
            goal = store.count() + draw.randrange(3)
            wait_until(lambda goal=goal: store.count() >= goal)
            time.sleep(draw.uniform(0, 0.1))
            assert killed.kill(draw.randrange(2)) == -signal.SIGKILL, "it had ended before"
            killed.pause()  # else a slow machine is through with the sweep before it is through with looking
            runs = store.search(limit=None)
            there = {run.key: (run.id, run.created, run.state) for run in runs}
            assert seen.items() <= there.items(), "a finished run was lost or made anew"
            assert len(there) == len(runs), "a run is there twice"
            assert store.integrity() == []
            seen = there
            killed.go_on()
            killed.begin()
        assert kills / 2 < len(seen) < len(grid)
        assert killed.wait() == [0, 0]
    assert results(store, keys) == expected
    assert {run.state for run in store.search(limit=None)} == {"done"}
    assert store.count() == len(grid)
    assert seen.items() <= {run.key: (run.id, run.created, run.state) for run in store.search(limit=None)}.items()


def processes(group: int) -> list[str]:
    """The command lines of the group's processes that are alive (one that has ended and waits to be collected is not)."""
    found = subprocess.run(["ps", "-ewwo", "pgid=,stat=,args="], capture_output=True, text=True, check=True).stdout
    rows = [line.split(maxsplit=2) for line in found.splitlines()]
    return [row[2] for row in rows if int(row[0]) == group and not row[1].startswith("Z")]


def test_workers_end_with_the_command_that_started_them(tmp_path: Path) -> None:
    """It alone is killed, while both compute what takes minutes."""
    endless = {**SPEC, "seeds": "0-2", "settings": {"epochs": 500, "learning_rate": 0, "eval_every": 1, "batch_size": 1}}
    (tmp_path / "sweep.yaml").write_text(json.dumps(endless))
    command = [sys.executable, "-m", "imu_core", "sweep", str(tmp_path / "sweep.yaml"), "--workers", "2"]
    env = {**os.environ, "IMU_DATABASE_URL": f"sqlite:///{tmp_path / 'runs.sqlite'}"}
    process = subprocess.Popen(command, env=env, cwd=ROOT, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        wait_until(lambda: sum("popen_loky" in line for line in processes(process.pid)) == 2)
        process.kill()
        process.wait()
        wait_until(lambda: not processes(process.pid))
    finally:
        if processes(process.pid):
            os.killpg(process.pid, signal.SIGKILL)
