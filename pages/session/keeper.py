"""Keeps what visitors run: one store a database, and one thread that writes, so that nobody ever waits for a database.

Pages reach the database through `view` alone: it shows and changes what the visitor who looks at the page may see and change.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any, TypeVar

import streamlit as st

from imu_core.access import rights
from imu_core.caches import SharedCache
from imu_core.depth import utility_key
from imu_core.errors import ImuError, StoreError
from imu_core.records.run import Problem, Trajectory
from imu_core.store.restored import RestoredRun, drawable
from imu_core.store.runs import Store, Summary, default_url, save_run
from pages.session import visitor
from pages.session.kept import Kept

T = TypeVar("T")
STORED_STATES = ("done", "diverged", "cancelled")
PATIENCE = 1.0  # seconds that a page waits for what is being written
CURVE = 48  # points of a sparkline
_LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Curve:
    """Of one stored run: the forget accuracy by step in percent, at most `CURVE` points, and the change of utility in points."""

    forget: tuple[float, ...] = ()
    change: float | None = None


class Keeper:
    """One store a database and one thread that writes: a slow or broken database never holds up a run or a page."""

    def __init__(self) -> None:
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="imu-store")
        self._stores: dict[str, Store] = {}
        self._lock = threading.Lock()
        self._curves: SharedCache[tuple[Any, ...], Curve] = SharedCache(5000)

    def store(self, url: str | None = None) -> Store:
        """The store at `url` (None: `default_url()`); StoreError, a sentence, where it cannot be used."""
        url = url or default_url()
        with self._lock:
            if url not in self._stores:
                self._stores[url] = Store(url)
            return self._stores[url]

    def reopen(self) -> None:
        """Forget the stores after an error, so that a database that has come back is prepared again."""
        with self._lock:
            self._stores.clear()

    def write(self, item: Kept, work: Callable[[Store], None]) -> None:
        """Queue `work` for the writing thread, which does one after another; an error is noted in `item.trouble`."""
        self._writer.submit(self._try, default_url(), item, work)

    def settle(self, seconds: float = PATIENCE) -> bool:
        """Wait until everything queued so far is written. Returns whether it is; False when `seconds` ran out first."""
        return not wait([self._writer.submit(lambda: None)], seconds).not_done

    def ask(self, visitor: str, work: Callable[[Store], T], seconds: float = PATIENCE) -> T | None:
        """What `work` returns from the database as `visitor` sees it, after all queued writes; None when `seconds` ran out first.

        It is done in the writing thread: no run that has just been written is seen before its id is known here.
        """
        url = default_url()
        future = self._writer.submit(lambda: work(self.store(url).seen_by(rights.of_visitor(visitor))))
        if wait([future], seconds).not_done:
            future.cancel()
            return None
        return future.result()

    def curves(self, store: Store, runs: list[Summary]) -> dict[str, Curve]:
        """The curves of `runs` by id; kept, because unpacking fifty trajectories takes longer than all the rest of the page."""
        keys = {run.id: (store.url, run.id, run.state, run.seconds) for run in runs}
        unread = [run_id for run_id, key in keys.items() if key not in self._curves]
        self._curves.update({keys[run_id]: _curve(trajectory) for run_id, trajectory in store.trajectories(unread).items()})
        return {run_id: self._curves.get(key, Curve()) for run_id, key in keys.items()}

    def _try(self, url: str, item: Kept, work: Callable[[Store], None]) -> None:
        try:
            work(self.store(url).seen_by(rights.of_visitor(item.owner)))
        except ImuError as error:
            item.trouble = str(error)
            if isinstance(error, StoreError):
                self.reopen()
        except Exception as error:  # a defect of ours: the run itself is done and must stay so
            _LOG.exception("storing %s failed", item.name)
            item.trouble = f"Something went wrong inside the program ({type(error).__name__}). Please report it."


@st.cache_resource(show_spinner=False)
def keeper() -> Keeper:
    """The one keeper of this server, for the runs of all visitors."""
    return Keeper()


def view() -> Store:
    """The database as the visitor who looks at this page may see and change it; StoreError where it cannot be used."""
    return keeper().store().seen_by(rights.of_visitor(visitor.owner()))


def keep(into: Keeper, item: Kept) -> None:
    """Store the finished run of `item` with what is measured of it; failed ones and those without a point are left out."""

    def write(store: Store) -> None:
        run = item.run
        if not item.stored and run is not None and run.points and run.outcome.state in STORED_STATES:
            measured = item.measured if item.measuring and item.measuring.finished else {}  # else it is still growing
            item.stored, item.trouble = save_run(store, run, measured, item.name), ""
            if item.is_removed:
                store.unlist(item.stored)

    into.write(item, write)


def complete(into: Keeper, item: Kept) -> None:
    """Put the measurement of `item`, as far as it came, into its record."""
    measured = dict(item.measured)
    if measured:
        into.write(item, lambda store: store.complete(item.stored, measured) if item.stored else None)


def rename(into: Keeper, item: Kept) -> None:
    """Give the record of `item` the name it has now."""
    into.write(item, lambda store: store.rename(item.stored, item.name) if item.stored else None)


def unlist(into: Keeper, item: Kept) -> None:
    """Take the record of `item` off its visitor's list; it stays stored."""
    into.write(item, lambda store: store.unlist(item.stored) if item.stored else None)


def restored(into: Keeper, problem: Problem, trajectory: Trajectory, run_id: str, owner: str, keeps_model: bool) -> RestoredRun:
    """The stored run `run_id` of `owner` as a finished run; what was kept of its model is fetched when it is asked for."""
    url = default_url()

    def parameters() -> bytes | None:
        return into.store(url).seen_by(rights.of_visitor(owner)).get(run_id).parameters if keeps_model else None

    return RestoredRun(problem, trajectory, parameters, keeps_model)


def lighten(into: Keeper, item: Kept) -> None:
    """Put what the database holds in place of the finished run of `item`, where that is all of it; what it cached goes too."""

    def swap(store: Store) -> None:
        if store.keeps_parameters(item.stored):
            path = store.trajectories([item.stored])[item.stored]
            item.on_record, item.measuring = item.measured, None  # a measurement holds the run
            item.job.work = restored(into, item.problem, path, item.stored, item.owner, True)
            item.job.items.clear()
            item.drop_answers()

    into.write(item, swap)


def _curve(trajectory: Trajectory) -> Curve:
    points = drawable(trajectory).points
    if not points:
        return Curve()
    key = utility_key(points[0].accuracies)
    chosen = [points[round(n * (len(points) - 1) / (CURVE - 1))] for n in range(CURVE)] if len(points) > CURVE else points
    change = 100 * (points[-1].accuracies[key] - points[0].accuracies[key])
    return Curve(tuple(round(100 * p.accuracies["forget"], 2) for p in chosen), change)
