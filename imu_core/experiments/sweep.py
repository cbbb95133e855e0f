"""Many runs: a grid of settings, worked off by this machine's cores or a Dask cluster; each run is stored as it ends.

Workers put finished runs into the database themselves, so a crash of anything loses at most the runs that were in progress, and
starting the same sweep again does what is missing and nothing else.
"""

from __future__ import annotations

import gc
import itertools
import logging
import os
import statistics
import time
import uuid
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib

from imu_core.errors import ConfigError, ImuError, StoreError, cut
from imu_core.experiments.cell_runs import Assignment, begin_worker, is_settled, run_cell
from imu_core.experiments.grid import Cell, cells, checked_measure, parse_value, plugin_files, read_spec, with_settings
from imu_core.numeric import as_number, is_whole
from imu_core.progress import Task
from imu_core.records.outcome import Outcome
from imu_core.records.shapes import Metrics
from imu_core.report.numbers import duration
from imu_core.store.runs import Store, Summary, default_url
from imu_core.store.stored import Measure, clean_name, clean_tags

__all__ = ["Cell", "Plan", "Sweep", "cells", "parse_value", "plugin_files", "read_spec", "with_settings"]

_LOG = logging.getLogger(__name__)
_PATIENCE = 10  # seconds for which a Dask scheduler is looked for
_IDLE = 20  # seconds after which a worker without work ends and gives its memory back


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
        wall = duration(self.seconds / max(1, min(self.workers, self.todo)))
        guess = f" About {wall} on {self.workers} workers once they are up, judging by stored runs of the same methods."
        return what + guess + (f" For {self.unknown:,} of them there is nothing to judge by." if self.unknown else "")


class Sweep(Task):
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
        super().__init__()
        measure = checked_measure(measure)
        workers = as_number(workers)
        if workers is not None and not (is_whole(workers) and 1 <= workers <= 1024):
            raise ConfigError(f"workers is {workers!r}; it must be a whole number from 1 to 1024.")
        self.id, self.cells, self.cluster, self.retry = uuid.uuid4().hex, list(cells), cluster, retry
        self.store = Store(url or default_url())
        self.workers = workers or os.cpu_count() or 1
        files = tuple(str(Path(file).absolute()) for file in plugins)
        self.assignment = Assignment(self.store.url, self.id, measure, clean_name(name), clean_tags(tags), files, keep, brief)

    def cancel(self) -> None:
        """Ask every worker to stop; safe from any thread. What has ended is stored, what was in progress is not."""
        super().cancel()
        self.store.ask_to_stop(self.id)

    @property
    def results(self) -> list[Summary]:
        """The stored runs of this sweep, in the order of its cells; those that have not run yet are missing."""
        keys = [cell.key for cell in self.cells]
        summaries = self.store.latest(keys)
        return [summaries[key] for key in keys if key in summaries]

    def pending(self) -> list[Cell]:
        """The cells that are not stored yet, or were measured less than asked for or before their retrained model was there."""
        summaries = self.store.latest([cell.key for cell in self.cells])
        return [cell for cell in self.cells if not is_settled(cell, summaries.get(cell.key), self.assignment.measure, self.retry)]

    def plan(self) -> Plan:
        """What is to be done, and how long that may take judging by what is stored."""
        todo = self.pending()
        paces = _paces(self.store, todo, self.assignment.measure)
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
            for ended in parallel(joblib.delayed(run_cell)(cell, self.assignment) for cell in self._until_cancelled(todo)):
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
        return itertools.takewhile(lambda _: not self.is_cancelled, todo)

    def _ending(self, missing: int, failed: int) -> Outcome:
        if self.is_cancelled:
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
                workers = {"idle_worker_timeout": _IDLE, "initializer": begin_worker, "initargs": (os.getpid(),)}
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
    client = None
    with suppress(Exception):  # whatever Dask makes of an address that is none: a file, another protocol, half a name
        client = Client(address, timeout=_PATIENCE, set_as_default=False)
    if client is None:
        gc.collect()  # half a client is left: collected while the next one begins, it would wait for that for ever
        raise ConfigError(f"No Dask scheduler answers at {cut(address, 100, 0)!r}. Give its address, such as tcp://host:8786.")
    with client:
        if not client.scheduler_info()["workers"]:
            raise ConfigError(f"The Dask scheduler at {address} has no workers. Start some with: dask worker {address}")
        yield client


def _left(began: float, done: int, missing: int) -> str:
    """How long the missing runs may take, at the pace of those that have ended."""
    return f"; {duration((time.monotonic() - began) / done * missing)} left" if missing else ""


def _kind(cell: Cell) -> tuple[str, ...]:
    """What runs must share for one to say how long the other takes."""
    return cell.config.method, cell.config.scope, cell.dataset, cell.model


def _paces(store: Store, todo: Iterable[Cell], measure: str) -> dict[tuple[str, ...], float]:
    """Seconds that stored runs of each kind took, the median, with their measurement."""
    paces = {}
    for kind in {_kind(cell) for cell in todo}:
        seen = [
            run.seconds + (_seconds_of(run.metrics) if measure != "none" else 0.0)
            for run in store.search(method=kind[0], limit=1000)
            if (run.method, run.scope, run.dataset, run.model_name) == kind
            and run.state in ("done", "diverged")
            and run.depth.level >= Measure(measure).level
        ]
        if seen:
            paces[kind] = statistics.median(seen)
    return paces


def _seconds_of(metrics: Metrics) -> float:
    parts = metrics.get("seconds")
    return sum(s for s in parts.values() if isinstance(s, (int, float))) if isinstance(parts, dict) else 0.0


def _runs(count: int) -> str:
    return f"{count:,} run" + ("" if count == 1 else "s")
