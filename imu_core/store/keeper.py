"""Keeps a database of runs for many at once: one store, and one thread that works with it, so that nobody waits for it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from imu_core.access import rights
from imu_core.caches import SharedCache
from imu_core.depth import utility_key
from imu_core.errors import ImuError, StoreError
from imu_core.records.run import Trajectory
from imu_core.store.restored import drawable

if TYPE_CHECKING:
    from imu_core.store.runs import Store, Summary

T = TypeVar("T")
PATIENCE = 1.0  # seconds that somebody waits for what is being written
CURVE = 48  # points of a sparkline
_LOG = logging.getLogger(__name__)


class Item(Protocol):
    """What somebody wants stored: its name, the visitor whose it is, and why it could not be stored (empty: it could)."""

    name: str
    trouble: str

    @property
    def owner(self) -> str:
        """The name of the visitor whose it is."""


@dataclass(frozen=True)
class Curve:
    """Of one stored run: the forget accuracy by step in percent, at most `CURVE` points, and the change of utility in points."""

    forget: tuple[float, ...] = ()
    change: float | None = None


class Keeper:
    """One store a database and one thread that writes: a slow or broken database never holds up a run or a page."""

    def __init__(self, opened: Callable[[str], Store], address: Callable[[], str]) -> None:
        """`opened` opens the store at an address, `address` says where runs are kept now."""
        self._opened, self._address = opened, address
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="imu-store")
        self._stores: dict[str, Store] = {}
        self._lock = threading.Lock()
        self._curves: SharedCache[tuple[Any, ...], Curve] = SharedCache(5000)

    def store(self, url: str | None = None) -> Store:
        """The store at `url` (None: where runs are kept now); StoreError, a sentence, where it cannot be used."""
        url = url or self._address()
        with self._lock:
            if url not in self._stores:
                self._stores[url] = self._opened(url)
            return self._stores[url]

    def reopen(self) -> None:
        """Forget the stores after an error, so that a database that has come back is prepared again."""
        with self._lock:
            self._stores.clear()

    def write(self, item: Item, work: Callable[[Store], None]) -> None:
        """Queue `work` for the writing thread, which does one after another; an error is noted in `item.trouble`."""
        self._writer.submit(self._try, self._address(), item, work)

    def settle(self, seconds: float = PATIENCE) -> bool:
        """Wait until everything queued so far is written. Returns whether it is; False when `seconds` ran out first."""
        return not wait([self._writer.submit(lambda: None)], seconds).not_done

    def ask(self, visitor: str, work: Callable[[Store], T], seconds: float = PATIENCE) -> T | None:
        """What `work` returns from the database as `visitor` sees it, after all queued writes; None when `seconds` ran out first.

        It is done in the writing thread: no run that has just been written is seen before its id is known here.
        """
        url = self._address()
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

    def _try(self, url: str, item: Item, work: Callable[[Store], None]) -> None:
        try:
            work(self.store(url).seen_by(rights.of_visitor(item.owner)))
        except ImuError as error:
            item.trouble = str(error)
            if isinstance(error, StoreError):
                self.reopen()
        except Exception as error:  # a defect of ours: the run itself is done and must stay so
            _LOG.exception("storing %s failed", item.name)
            item.trouble = f"Something went wrong inside the program ({type(error).__name__}). Please report it."


def _curve(trajectory: Trajectory) -> Curve:
    points = drawable(trajectory).points
    if not points:
        return Curve()
    key = utility_key(points[0].accuracies)
    chosen = [points[round(n * (len(points) - 1) / (CURVE - 1))] for n in range(CURVE)] if len(points) > CURVE else points
    change = 100 * (points[-1].accuracies[key] - points[0].accuracies[key])
    return Curve(tuple(round(100 * p.accuracies["forget"], 2) for p in chosen), change)
