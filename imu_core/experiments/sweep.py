"""Many runs: a grid of settings, worked off by this machine's cores or a Dask cluster; each run is stored as it ends.

Workers put finished runs into the database themselves, so a crash of anything loses at most the runs that were in progress, and
starting the same sweep again does what is missing and nothing else.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import logging
import os
import platform
import signal
import statistics
import threading
import time
import uuid
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import joblib
import threadpoolctl
import torch

from imu_core import ending, runtime
from imu_core.errors import Cancelled, ConfigError, ImuError, StoreError, cut
from imu_core.evaluation.measurement import Measurement, divergences, model_accuracies, numbers, run_logits
from imu_core.experiments.grid import MEASURES, Cell, cells, load_plugins, parse_value, plugin_files, read_spec, with_settings
from imu_core.models import checkpoints
from imu_core.numeric import as_number, is_whole
from imu_core.problems.reference import retrained
from imu_core.records import Outcome, Trajectory
from imu_core.store.runs import Store, Summary, changed_parameters, default_url
from imu_core.store.stored import clean_name, clean_tags, knows_reference
from imu_core.unlearning.run import Run, unlearn
from imu_core.unlearning.sequence import problem as make_problem

__all__ = ["MEASURES", "Cell", "Plan", "Sweep", "cells", "parse_value", "plugin_files", "read_spec", "table", "with_settings"]

_LOG = logging.getLogger(__name__)
_LOOK = 0.25  # seconds between two looks at whether somebody pressed Stop
_PATIENCE = 10  # seconds for which a Dask scheduler is looked for
_IDLE = 20  # seconds after which a worker without work ends and gives its memory back
_SETTLED = ("done", "diverged", "failed")  # a run that was stopped is run again


# The work.


@dataclass(frozen=True)
class Plan:
    """What a sweep has before it: numbers of runs, and seconds of work (None where nothing comparable is stored).

    `seconds` counts the work of one worker; `unknown` of the `todo` runs are of a kind that was never stored here.
    """

    total: int
    stored: int
    todo: int
    unknown: int
    seconds: float | None
    workers: int

    def words(self) -> str:
        """The plan in two sentences, to be said before it starts."""
        what = f"{_runs(self.total)}: {self.stored:,} are stored already, {self.todo:,} to do."
        if not self.todo:
            return what
        if self.seconds is None:
            return what + " How long that takes is unknown: no run like these is stored yet; the first ones will tell."
        wall = _duration(self.seconds / max(1, min(self.workers, self.todo)))
        guess = f" About {wall} on {self.workers} workers once they are up, judging by stored runs of the same methods."
        return what + guess + (f" For {self.unknown:,} of them there is nothing to judge by." if self.unknown else "")


class Sweep:
    """All of `cells`, each stored as soon as it ends; iterate it for (fraction done, what just ended).

    url      the database (None: `store.default_url()`); a cluster of other machines needs one that all of them reach
    workers  processes on this machine (None: one a core); each computes with one thread, so the numbers depend on none of this
    cluster  address of a Dask scheduler, tcp://host:port, instead
    measure  what is measured of each run: none, quick (accuracies, distances), membership (and a quick SVC attack) or full
    keep     whether the parameters that changed are stored too
    retry    whether runs that are stored as failed are tried again
    brief    whether their last point is judged as those before it (`unlearn`); for searches, with measure "none" alone

    What is stored (and not deleted) is not run again, unless it was measured less than asked for now, or before its retrained
    model was trained: then it is completed. A run that fails is stored with its reason and stops nothing. `outcome` says how it
    ended; `results` are the stored runs.
    """

    def __init__(
        self,
        cells: Iterable[Cell],
        url: str | None = None,
        *,
        workers: int | None = None,
        cluster: str | None = None,
        measure: str = "quick",
        name: str = "",
        tags: Iterable[str] = (),
        plugins: Sequence[str | Path] = (),
        keep: bool = False,
        retry: bool = False,
        brief: bool = False,
    ) -> None:
        if brief and measure != "none":
            raise ConfigError("A brief run is not judged on the whole sets, so nothing is measured of it: take measure 'none'.")
        if measure not in MEASURES:
            raise ConfigError(f"measure is {str(measure)[:40]!r}; allowed are {', '.join(MEASURES)}.")
        workers = as_number(workers)
        if workers is not None and not (is_whole(workers) and 1 <= workers <= 1024):
            raise ConfigError(f"workers is {workers!r}; it must be a whole number from 1 to 1024.")
        self.id, self.cells, self.cluster, self.retry = uuid.uuid4().hex, list(cells), cluster, retry
        self.store = Store(url or default_url())
        self.workers = workers or os.cpu_count() or 1
        files = tuple(str(Path(file).absolute()) for file in plugins)
        self.task = Task(self.store.url, self.id, measure, clean_name(name), clean_tags(tags), files, keep, brief)
        self.outcome = Outcome("queued")
        self._cancel = threading.Event()

    def cancel(self) -> None:
        """Ask every worker to stop; safe from any thread. What has ended is stored, what was in progress is not."""
        self._cancel.set()
        self.store.ask_to_stop(self.id)

    @property
    def results(self) -> list[Summary]:
        """The stored runs of this sweep, in the order of its cells; those that have not run yet are missing."""
        keys = [cell.key for cell in self.cells]
        found = self.store.latest(keys)
        return [found[key] for key in keys if key in found]

    def pending(self) -> list[Cell]:
        """The cells that are not stored yet, or were measured less than asked for or before their retrained model was there."""
        found = self.store.latest([cell.key for cell in self.cells])
        return [cell for cell in self.cells if not _is_settled(cell, found.get(cell.key), self.task.measure, self.retry)]

    def plan(self) -> Plan:
        """What is to be done, and how long that may take judging by what is stored."""
        todo = self.pending()
        paces = _paces(self.store, todo, self.task.measure)
        known = [paces[_kind(cell)] for cell in todo if _kind(cell) in paces]
        unknown = len(todo) - len(known)
        seconds = statistics.fmean(known) * len(todo) if known else None
        return Plan(len(self.cells), len(self.cells) - len(todo), len(todo), unknown, seconds, self.workers)

    def __iter__(self) -> Iterator[tuple[float, str]]:
        if self.outcome.state != "queued":
            return
        self.outcome = Outcome("running")
        try:
            yield from self._work()
        except GeneratorExit:
            self.outcome = Outcome("cancelled", "Nobody asked for more; what had ended is stored.")
            raise
        except ImuError as error:
            self.outcome = Outcome("failed", str(error))
        except Exception as error:  # whatever ends a worker process or a connection to a cluster
            _LOG.exception("sweep %s failed", self.id)
            self.outcome = Outcome(
                "failed",
                f"The workers ended unexpectedly ({type(error).__name__}: {str(error)[:200]}), perhaps for lack of memory. "
                "What had ended is stored: start the sweep again to go on.",
            )
        finally:
            with suppress(StoreError):
                self.store.forget_stop(self.id)

    def _work(self) -> Iterator[tuple[float, str]]:
        todo = self.pending()
        total, done = len(self.cells), len(self.cells) - len(todo)
        yield done / max(1, total), f"{done:,} of {total:,} are stored already"
        began, failed, first = 0.0, 0, True
        with self._parallel(len(todo)) as parallel:
            for ended in parallel(joblib.delayed(run_cell)(cell, self.task) for cell in self._until_cancelled(todo)):
                if ended.state == "stopped":
                    continue
                if first and ended.key not in self.store.latest([ended.key]):
                    raise StoreError(
                        f"The workers do not write to {self.store.place}: it is a file of this machine. Name a database that all "
                        "machines reach, in IMU_DATABASE_URL."
                    )
                began = time.monotonic() - ended.seconds if first else began  # the workers' own start is over by then
                done, first, failed = done + 1, False, failed + (ended.state == "failed")
                yield done / total, f"{done:,} of {total:,}: {ended.words}" + _left(began, done - total + len(todo), total - done)
        self.outcome = self._ending(total - done, failed)

    def _until_cancelled(self, todo: Iterable[Cell]) -> Iterator[Cell]:
        return itertools.takewhile(lambda _: not self._cancel.is_set(), todo)

    def _ending(self, missing: int, failed: int) -> Outcome:
        if self._cancel.is_set():
            return Outcome("cancelled", f"Stopped by you with {_runs(missing)} missing; start it again to go on.")
        if missing:
            return Outcome("cancelled", f"Another program stopped it with {_runs(missing)} missing.")
        verb = "is" if len(self.cells) == 1 else "are"
        return Outcome("done", f"{_runs(len(self.cells))} {verb} stored" + (f"; {failed:,} failed." if failed else "."))

    @contextmanager
    def _parallel(self, todo: int) -> Iterator[joblib.Parallel]:
        """joblib's workers: processes of this machine, or a Dask cluster."""
        settings = {"return_as": "generator_unordered", "batch_size": 1}
        warnings.filterwarnings("ignore", message="A worker stopped while some jobs")  # it had grown and was replaced
        with ExitStack() as stack:
            if self.cluster is None:
                workers = {"idle_worker_timeout": _IDLE, "initializer": _begin_worker, "initargs": (os.getpid(),)}
                choice = joblib.parallel_config("loky", inner_max_num_threads=1, **workers)
                settings["n_jobs"] = max(1, min(self.workers, todo))
            else:
                choice = joblib.parallel_config("dask", client=stack.enter_context(_client(self.cluster)))
                settings["n_jobs"] = -1
            with choice:
                parallel = joblib.Parallel(**settings)
            yield parallel


@contextmanager
def _client(address: str) -> Iterator[Any]:
    try:
        from dask.distributed import Client
    except ImportError as error:
        raise ConfigError("A cluster needs Dask, which is not installed: pip install 'imu-core[cluster]'.") from error
    try:
        client = Client(address, timeout=_PATIENCE, set_as_default=False)
    except Exception as error:  # whatever Dask makes of an address that is none: a file, another protocol, half a name
        raise ConfigError(
            f"No Dask scheduler answers at {cut(address, 100, 0)!r}. Give its address, such as tcp://host:8786."
        ) from error
    with client:
        if not client.scheduler_info()["workers"]:
            raise ConfigError(f"The Dask scheduler at {address} has no workers. Start some with: dask worker {address}")
        yield client


def _left(began: float, done: int, missing: int) -> str:
    """How long the missing runs may take, at the pace of those that have ended."""
    return f"; {_duration((time.monotonic() - began) / done * missing)} left" if missing else ""


def _is_settled(cell: Cell, found: Summary | None, measure: str, retry: bool) -> bool:
    if found is None or found.state not in _SETTLED:
        return False
    if found.state == "failed":
        return not retry
    if measure != "none" and not knows_reference(found.metrics) and _is_retrained(cell):
        return False
    return MEASURES.index(found.depth) >= MEASURES.index(measure)


def _is_retrained(cell: Cell) -> bool:
    """Whether there is a retrained model by now; False as well where the problem itself is no longer there."""
    with suppress(ImuError):
        problem = make_problem(cell.dataset, model=cell.model, forget=cell.forget, seed=cell.problem_seed)
        return checkpoints.find(problem.dataset, problem.model_name, problem.split.removed) is not None
    return False


def _kind(cell: Cell) -> tuple[str, ...]:
    """What runs must share for one to say how long the other takes."""
    return cell.config.method, cell.config.scope, cell.dataset, cell.model


def _paces(store: Store, todo: Iterable[Cell], measure: str) -> dict[tuple[str, ...], float]:
    """Seconds that stored runs of each kind took, the median, with their measurement."""
    found = {}
    for kind in {_kind(cell) for cell in todo}:
        seen = [
            run.seconds + (_seconds_of(run.metrics) if measure != "none" else 0.0)
            for run in store.search(method=kind[0], limit=1000)
            if (run.method, run.scope, run.dataset, run.model_name) == kind
            and run.state in ("done", "diverged")
            and MEASURES.index(run.depth) >= MEASURES.index(measure)
        ]
        if seen:
            found[kind] = statistics.median(seen)
    return found


def _seconds_of(metrics: Mapping[str, Any]) -> float:
    parts = metrics.get("seconds")
    return sum(s for s in parts.values() if isinstance(s, (int, float))) if isinstance(parts, dict) else 0.0


def _runs(count: int) -> str:
    return f"{count:,} run" + ("" if count == 1 else "s")


def _duration(seconds: float) -> str:
    """Seconds as people say them: 8 s, 3 min, 2.5 h."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


# In a worker.


@dataclass(frozen=True)
class Task:
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


def _begin_worker(parent: int) -> None:
    """Ctrl-C reaches every process of a terminal; the workers hear of it from the sweep, in good order. They end with it."""
    ending.with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def run_cell(cell: Cell, task: Task) -> Ended:
    """Run one cell in this process with one thread, measure it and store it; StoreError only where that cannot be done."""
    store, start = _store(task.url), time.perf_counter()
    if store.is_stopped(task.sweep):
        return Ended(cell.key, "stopped", "")
    there = store.latest([cell.key]).get(cell.key)
    if there is not None and there.state != "failed" and _is_settled(cell, there, task.measure, False):
        return Ended(cell.key, there.state, f"{cell.title}: stored by somebody else meanwhile")
    with runtime.one_thread(), threadpoolctl.threadpool_limits(1):
        trajectory, parameters = _attempt(cell, task, store)
    if trajectory is None:
        return Ended(cell.key, "stopped", "")
    store.add(trajectory, name=task.name, tags=task.tags, parameters=parameters, once=True)
    words = f"{cell.title}: {_ending_words(trajectory)}"
    return Ended(cell.key, trajectory.outcome.state, words, time.perf_counter() - start)


@lru_cache(maxsize=4)
def _store(url: str) -> Store:
    return Store(url)


def _attempt(cell: Cell, task: Task, store: Store) -> tuple[Trajectory | None, bytes | None]:
    """(the record, parameters to keep); no record where somebody pressed Stop meanwhile."""
    try:
        with _stopped_from_afar(store, task.sweep) as watched:
            run = _run(cell, task, watched)
            measured = _measured(run, task.measure, watched) if run.outcome.state != "failed" else {}
    except Cancelled:
        return None, None
    except ImuError as error:
        return _failure(cell, str(error)), None
    except Exception as error:  # a defect of ours or of a plug-in is one cell's failure, not the end of the sweep
        _LOG.exception("cell %s failed", cell.title)
        return _failure(cell, f"Something went wrong inside the program ({type(error).__name__}: {str(error)[:300]})."), None
    parameters = changed_parameters(run) if task.keep and run.outcome.state != "failed" else None
    return dataclasses.replace(run.trajectory, metrics=measured), parameters


def _run(cell: Cell, task: Task, watched: list[Any]) -> Run:
    load_plugins(task.plugins)
    problem = make_problem(cell.dataset, model=cell.model, forget=cell.forget, seed=cell.problem_seed)
    if problem.split.request != cell.forget:
        raise ConfigError(f"The request {cell.forget[:60]!r} must be spelt {problem.split.request[:60]!r} here.")
    run = unlearn(problem, cell.config, brief=task.brief)
    watched.append(run)
    for _ in run:
        pass
    if run.outcome.state == "cancelled":
        raise Cancelled(run.outcome.reason)
    return run


def _measured(run: Run, measure: str, watched: list[Any]) -> dict[str, Any]:
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
    found = _quick(run)
    if measure == "membership":
        start = time.perf_counter()
        watched.append(measurement := Measurement(run))
        found["membership"] = measurement.memberships()
        found["seconds"]["membership"] = time.perf_counter() - start
    return found


def _quick(run: Run) -> dict[str, Any]:
    """Accuracies of all models and their distance from the retrained one: what a pass through the logits tells."""
    start, problem = time.perf_counter(), run.problem
    logits = {"original": (problem.train.logits, problem.test.logits), "run": run_logits(run)}
    reference = retrained(problem)
    distances = {}
    if reference is not None:
        known = (reference.train.logits, reference.test.logits)
        distances = {name: divergences(problem, known, pair) for name, pair in logits.items()}
        logits["retrained"] = known
    found = {name: model_accuracies(problem, pair) for name, pair in logits.items()}
    return {"accuracies": found, "divergence": distances, "seconds": {"quick": time.perf_counter() - start}}


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


def _ending_words(trajectory: Trajectory) -> str:
    if trajectory.outcome.state == "failed":
        return f"failed: {trajectory.outcome.reason}"
    last = trajectory.points[-1]
    found = ", ".join(f"{name} {100 * value:.1f} %" for name, value in last.accuracies.items())
    return f"{trajectory.outcome.state} after {last.step:,} steps, {found}"


def table(runs: Iterable[Summary]) -> list[dict[str, Any]]:
    """One flat row a run, for CSV and data frames: what it was, how it ended, and its numbers (fractions, nats)."""
    return [
        {
            "id": run.id,
            "name": run.name,
            "tags": ",".join(run.tags),
            "dataset": run.dataset,
            "model": run.model_name,
            "forget": run.forget,
            "problem_seed": run.problem_seed,
            "method": run.method,
            "scope": run.scope,
            "seed": run.seed,
            "settings": json.dumps({k: v for k, v in run.settings.items() if k not in ("method", "scope", "seed")}),
            "state": run.state,
            "seconds": run.seconds,
            **{f"accuracy_{place}": value for place, value in run.accuracies.items()},
            **_measured_numbers(run),
        }
        for run in runs
    ]


def _measured_numbers(run: Summary) -> dict[str, float]:
    """What was measured, by metric; nothing where an imported record is shaped otherwise."""
    try:
        found = numbers(_filled(run.metrics))
    except (AttributeError, TypeError, ValueError):
        return {}
    return {key: value for key, value in found.items() if key not in run.accuracies}


def _filled(tree: Any) -> Any:
    """`tree` without the values that are nothing: a number that was none in JSON."""
    return {name: _filled(inner) for name, inner in tree.items() if inner is not None} if isinstance(tree, dict) else tree
