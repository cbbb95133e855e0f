"""Run an iterator in a worker thread: queue, progress, Stop, error. Knows nothing of Streamlit."""

from __future__ import annotations

import itertools
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from imu_core import ending
from imu_core.errors import ImuError

STATES = ("queued", "running", "stopping", "done", "cancelled", "diverged", "failed")
FINISHED = ("done", "cancelled", "diverged", "failed")
PAGE = "page"  # the kind of what a page that somebody looks at cannot be drawn without
_LOG = logging.getLogger(__name__)
_numbers = itertools.count(1)


class Job:
    """An iterable to be run by a `JobQueue`. `make` builds it in the worker, so that building may be slow too.

    What it yields is collected in `items`. If the iterable has `cancel()`, Stop calls it; if it has an `outcome`, that
    decides between done, cancelled, diverged and failed, and `reason` says why. A `quick` job ends within a second or so.
    `after` is called with the job, in the worker, once its work has ended other than failed.
    """

    def __init__(
        self,
        title: str,
        make: Callable[[], Iterable[Any]],
        *,
        kind: str = "run",
        quick: bool = False,
        owner: str = "",
        after: Callable[[Job], None] | None = None,
    ) -> None:
        self.id = next(_numbers)
        self.title, self.kind, self.quick, self.owner = title, kind, quick, owner
        self.items: list[Any] = []
        self.work: Any = None
        self.reason = ""
        self.created, self.started, self.ended = time.time(), 0.0, 0.0
        self._make, self._after = make, after
        self._state, self._lock = "queued", threading.Lock()
        self._cancel, self._over = threading.Event(), threading.Event()

    @property
    def state(self) -> str:
        """One of `STATES`."""
        with self._lock:
            stopping = self._state == "running" and self._cancel.is_set()
            return "stopping" if stopping else self._state

    @property
    def lane(self) -> str:
        """Which workers take it: page, quick or slow."""
        return PAGE if self.kind == PAGE else "quick" if self.quick else "slow"

    @property
    def finished(self) -> bool:
        """Whether the job has ended, in whichever way."""
        return self.state in FINISHED

    @property
    def seconds(self) -> float:
        """Wall seconds it has run so far."""
        return (self.ended or time.time()) - self.started if self.started else 0.0

    def snapshot(self) -> list[Any]:
        """What the iterable has yielded so far, as a list that no longer changes."""
        return list(self.items)

    def cancel(self) -> None:
        """Stop it: a queued job never starts, a running one ends at its next step. Safe to call twice, from any thread."""
        self._cancel.set()
        with self._lock:
            if self._state == "queued":
                self._state, self.ended = "cancelled", time.time()
                self.reason = "Stopped by you before it began."
                self._over.set()
                return
        if hasattr(self.work, "cancel"):
            self.work.cancel()

    def wait(self, seconds: float = 60.0) -> bool:
        """Wait until it has finished; False when `seconds` ran out first."""
        self._over.wait(seconds)
        return self.finished

    def run(self) -> None:
        """Do the work in the calling thread; every exception ends as `failed` with a sentence."""
        with self._lock:
            if self._state != "queued":
                return
            self._state, self.started = "running", time.time()
        try:
            self._consume()
            state, self.reason = self._ending()
            if self._after is not None and state != "failed":
                self._after(self)
        except ImuError as error:
            state, self.reason = "failed", str(error)
        except ending.Ending:
            state, self.reason = "cancelled", "The program ended."
        except BaseException as error:  # a defect of ours must not stop the other visitors, nor end this worker
            _LOG.exception("job %s (%s) failed", self.id, self.title)
            state, self.reason = (
                "failed",
                f"Something went wrong inside the program ({type(error).__name__}: {error}). Please report it.",
            )
        with self._lock:
            self._state, self.ended = state, time.time()
        self._over.set()

    def _consume(self) -> None:
        self.work = self._make()
        if self._cancel.is_set() and hasattr(self.work, "cancel"):
            self.work.cancel()
        for item in self.work:
            self.items.append(item)
            if self._cancel.is_set() and not hasattr(self.work, "cancel"):
                return

    def _ending(self) -> tuple[str, str]:
        outcome = getattr(self.work, "outcome", None)
        if outcome is not None and outcome.state in FINISHED:
            return outcome.state, outcome.reason
        return ("cancelled", "Stopped by you.") if self._cancel.is_set() else ("done", "")


class JobQueue:
    """A few worker threads. Jobs of one owner run one after another, so that nobody's click keeps the others waiting.

    One worker is kept free for runs: measurements and trainings never take the last. An owner's measurements wait for all runs of
    that owner. Quick jobs have workers of their own, one a core and no more: each gives up the interpreter at every small
    operation, and then waits for all the others. Page work has its own as well: somebody waits for it, and it stands behind
    nobody's run, not even behind those of its owner.

    Each job runs inside the context `around(owner)`, for code that needs to know for whom it works.
    """

    def __init__(self, workers: int = 3, around: Callable[[str], AbstractContextManager[Any]] = nullcontext) -> None:
        self._around = around
        # A worker gives up the interpreter at every small tensor operation and then waits its turn behind whoever draws a page;
        # at Python's 5 ms a turn, a run of 0.1 s took ten seconds.
        sys.setswitchinterval(0.0005)
        self._jobs: list[Job] = []
        self._running: list[Job] = []
        cores = os.cpu_count() or 1
        self._workers, self._closed = workers, False
        self._changed = threading.Condition()
        for number, lane in enumerate(["slow"] * workers + ["quick"] * cores + [PAGE] * cores):
            threading.Thread(target=self._work, args=(lane,), name=f"imu-worker-{number}", daemon=True).start()
        ending.tell(self.close)

    def close(self) -> None:
        """Cancel every job and end the workers; a job that is submitted from now on is cancelled at once. Waits for nothing."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for job in self.active():
            job.cancel()

    def submit(self, job: Job) -> Job:
        """Put `job` in line and return it."""
        with self._changed:
            if self._closed:
                job.cancel()
            self._jobs.append(job)
            self._drop_finished()
            self._changed.notify_all()
        return job

    def active(self, owner: str | None = None) -> list[Job]:
        """Jobs of `owner` (of everybody: None) that have not finished, oldest first."""
        with self._changed:
            self._drop_finished()
            return [job for job in self._jobs if owner in (None, job.owner)]

    def ahead_of(self, job: Job) -> int:
        """How many unfinished jobs were submitted before `job`; page work and everything else do not wait for each other."""
        return sum(other.id < job.id for other in self.active() if (other.lane == PAGE) == (job.lane == PAGE))

    def _drop_finished(self) -> None:
        """A job holds its work, and that may hold a model: once it has ended, whoever wants it has it."""
        self._jobs = [job for job in self._jobs if not job.finished]

    def _next(self, lane: str) -> Job | None:
        busy = {job.owner for job in self._running if (job.lane == PAGE) == (lane == PAGE)}
        running = {job.owner for job in self._jobs if job.kind == "run" and not job.finished}
        slow = sum(job.kind != "run" for job in self._running if job.lane == "slow")
        room = lane != "slow" or slow < max(1, self._workers - 1)
        queued = (job for job in self._jobs if job.state == "queued" and job.lane == lane and job.owner not in busy)
        may = (job for job in queued if job.kind == "run" or (room and not (job.kind == "measure" and job.owner in running)))
        return min(may, key=lambda job: (job.kind != "run", job.id), default=None)

    def _work(self, lane: str) -> None:
        while True:
            with self._changed:
                while (job := self._next(lane)) is None:
                    if self._closed:
                        return
                    self._changed.wait()
                self._running.append(job)
            try:
                with self._around(job.owner):
                    job.run()
            finally:
                with self._changed:
                    self._running.remove(job)
                    self._drop_finished()
                    self._changed.notify_all()
                del job
