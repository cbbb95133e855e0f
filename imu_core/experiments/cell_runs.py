"""One cell of a grid in a worker: run, measured, stored, stopped from afar."""

from __future__ import annotations

import dataclasses
import logging
import platform
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import threadpoolctl
import torch

from imu_core import ending, runtime
from imu_core.errors import Cancelled, ConfigError, ImuError, StoreError
from imu_core.evaluation.measurement import Measurement, divergences, model_accuracies, run_logits
from imu_core.experiments.grid import Cell, load_plugins
from imu_core.models import checkpoints
from imu_core.problems.problem import problem as make_problem
from imu_core.problems.reference import retrained
from imu_core.records.outcome import Outcome
from imu_core.records.run import Trajectory
from imu_core.records.shapes import Metrics
from imu_core.report.numbers import percent
from imu_core.store.runs import Store, Summary, changed_parameters
from imu_core.store.stored import Measure, knows_reference
from imu_core.unlearning.run import Run, unlearn

_LOG = logging.getLogger(__name__)
_LOOK = 0.25  # seconds between two looks at whether somebody pressed Stop


@dataclass(frozen=True)
class Assignment:
    """What every cell of a sweep has in common: where its record goes, what is measured, what is kept."""

    url: str
    sweep: str
    measure: str
    name: str
    tags: tuple[str, ...]
    plugins: tuple[str, ...]
    keep: bool
    brief: bool = False


@dataclass(frozen=True)
class Ended:
    """What a worker says of a cell: its key, how it ended (stopped: not stored), a few words, and the seconds it took."""

    key: str
    state: str
    words: str
    seconds: float = 0.0


def begin_worker(parent: int) -> None:
    """Prepare a worker process: it ends after process `parent` has ended, and ignores Ctrl-C: the sweep itself stops it."""
    ending.with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def run_cell(cell: Cell, assignment: Assignment) -> Ended:
    """Run one cell in this process with one thread, measure it and store it; StoreError where it cannot be stored."""
    store, start = _store(assignment.url), time.perf_counter()
    if store.is_stopped(assignment.sweep):
        return Ended(cell.key, "stopped", "")
    there = store.latest([cell.key]).get(cell.key)
    if there is not None and there.state != "failed" and is_settled(cell, there, assignment.measure, False):
        return Ended(cell.key, there.state, f"{cell.title}: stored by somebody else meanwhile")
    with runtime.one_thread(), threadpoolctl.threadpool_limits(1):
        trajectory, parameters = _attempt(cell, assignment, store)
    if trajectory is None:
        return Ended(cell.key, "stopped", "")
    store.add(trajectory, name=assignment.name, tags=assignment.tags, parameters=parameters, once=True)
    words = f"{cell.title}: {ending_in_words(trajectory)}"
    return Ended(cell.key, trajectory.outcome.state, words, time.perf_counter() - start)


@lru_cache(maxsize=4)
def _store(url: str) -> Store:
    return Store(url)


def _attempt(cell: Cell, assignment: Assignment, store: Store) -> tuple[Trajectory | None, bytes | None]:
    """(the record, parameters to keep); no record where somebody pressed Stop meanwhile."""
    try:
        with _stopped_from_afar(store, assignment.sweep) as watched:
            run = _run(cell, assignment, watched)
            measured = _measured(run, assignment.measure, watched) if run.outcome.state != "failed" else {}
    except Cancelled:
        return None, None
    except ImuError as error:
        return _failure(cell, str(error)), None
    except Exception as error:  # a defect of ours or of a plug-in is one cell's failure, not the end of the sweep
        _LOG.exception("cell %s failed", cell.title)
        return _failure(cell, f"Something went wrong inside the program ({type(error).__name__}: {str(error)[:300]})."), None
    parameters = changed_parameters(run) if assignment.keep and run.outcome.state != "failed" else None
    return dataclasses.replace(run.trajectory, metrics=measured), parameters


def _run(cell: Cell, assignment: Assignment, watched: list[Any]) -> Run:
    load_plugins(assignment.plugins)
    problem = make_problem(cell.dataset, model=cell.model, forget=cell.forget, seed=cell.problem_seed)
    if problem.split.request != cell.forget:
        raise ConfigError(f"The request {cell.forget[:60]!r} must be spelt {problem.split.request[:60]!r} here.")
    run = unlearn(problem, cell.config, brief=assignment.brief)
    watched.append(run)
    for _ in run:
        pass
    if run.outcome.state == "cancelled":
        raise Cancelled(run.outcome.reason)
    return run


def _measured(run: Run, measure: str, watched: list[Any]) -> Metrics:
    if measure == "full":
        measurement = Measurement(run)
        watched.append(measurement)
        for _ in measurement:
            pass
        if measurement.outcome.state == "cancelled":
            raise Cancelled(measurement.outcome.reason)
        return measurement.result
    if measure == "none":
        return {}
    metrics = _quick(run)
    if measure == "membership":
        start = time.perf_counter()
        watched.append(measurement := Measurement(run))
        metrics["membership"] = measurement.memberships()
        metrics["seconds"]["membership"] = time.perf_counter() - start
    return metrics


def _quick(run: Run) -> Metrics:
    """Accuracies of all models and their distance from the retrained one: what a pass through the logits tells."""
    start, problem = time.perf_counter(), run.problem
    logits = {"original": (problem.train.logits, problem.test.logits), "run": run_logits(run)}
    reference = retrained(problem)
    distances = {}
    if reference is not None:
        known = (reference.train.logits, reference.test.logits)
        distances = {name: divergences(problem, known, pair) for name, pair in logits.items()}
        logits["retrained"] = known
    accuracies = {name: model_accuracies(problem, pair) for name, pair in logits.items()}
    return {"accuracies": accuracies, "divergence": distances, "seconds": {"quick": time.perf_counter() - start}}


@contextmanager
def _stopped_from_afar(store: Store, sweep: str) -> Iterator[list[Any]]:
    """Whatever is put into the list that this yields is cancelled as soon as somebody asks the sweep to stop."""
    watched: list[Any] = []
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(_LOOK):
            with suppress(StoreError):
                if store.is_stopped(sweep):
                    for work in list(watched):
                        work.cancel()

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield watched
    finally:
        ended.set()
        thread.join()


def _failure(cell: Cell, reason: str) -> Trajectory:
    environment = {"python": platform.python_version(), "torch": torch.__version__}
    return Trajectory(cell.config, cell.describe(), (), {}, Outcome("failed", reason), {}, environment=environment)


def ending_in_words(trajectory: Trajectory) -> str:
    """How a run of a sweep ended, in a few words."""
    if trajectory.outcome.state == "failed":
        return f"failed: {trajectory.outcome.reason}"
    last = trajectory.points[-1]
    accuracies = ", ".join(f"{name} {percent(value)}" for name, value in last.accuracies.items())
    return f"{trajectory.outcome.state} after {last.step:,} steps, {accuracies}"


_SETTLED = ("done", "diverged", "failed")  # a run that was stopped is run again


def is_settled(cell: Cell, summary: Summary | None, measure: str, retry: bool) -> bool:
    """Whether the stored run leaves nothing to do for `cell`: it ended, and was measured as deeply as `measure` asks."""
    if summary is None or summary.state not in _SETTLED:
        return False
    if summary.state == "failed":
        return not retry
    if measure != "none" and not knows_reference(summary.metrics) and is_retrained(cell):
        return False
    return summary.depth.level >= Measure(measure).level


def is_retrained(cell: Cell) -> bool:
    """Whether there is a retrained model by now; False as well where the problem itself is no longer there."""
    with suppress(ImuError):
        problem = make_problem(cell.dataset, model=cell.model, forget=cell.forget, seed=cell.problem_seed)
        return checkpoints.find(problem.dataset, problem.model_name, problem.split.removed) is not None
    return False
