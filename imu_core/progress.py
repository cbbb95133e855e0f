"""Work that takes long: iterated for (fraction done, words), stopped from any thread, and never a traceback at its end."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from imu_core import runtime
from imu_core.errors import Cancelled, ImuError
from imu_core.records.outcome import Outcome

T = TypeVar("T")
Part = TypeVar("Part", bound="Task")

runtime.limit_threads()  # whoever computes in this thread without a Task


class Task:
    """The base class of such work: a subclass says in `working` what it does; `outcome` says how it ended.

    Errors of the engine end it as failed. What it had computed by then, or when it was stopped, stays. A subclass that yields
    something else than (fraction done, words) says in `progress` how far that is.
    """

    STOPPED = ""  # said instead of the reason that `Cancelled` gives

    def __init__(self) -> None:
        self.outcome = Outcome("queued")
        self._cancel = threading.Event()
        self._part: Task | None = None

    def cancel(self) -> None:
        """Ask the work to stop; safe from any thread. What it has computed stays."""
        self._cancel.set()
        if self._part is not None:
            self._part.cancel()

    @property
    def is_cancelled(self) -> bool:
        """Whether the work was asked to stop."""
        return self._cancel.is_set()

    @property
    def time_left(self) -> float | None:
        """Seconds until the end, where the work knows them better than from the share that is done; else None."""
        return None

    def progress(self, last: Any) -> tuple[float, str]:
        """(fraction done, words) after the work has yielded `last`."""
        return min(1.0, last[0]), str(last[1])

    def __iter__(self) -> Iterator[tuple[float, str]]:
        runtime.limit_threads()
        self.outcome = Outcome("running")
        try:
            yield from self.working()
            self.outcome = Outcome("done")
            yield 1.0, "done"
        except Cancelled as error:
            self.outcome = Outcome("cancelled", self.STOPPED or str(error))
        except ImuError as error:
            self.outcome = Outcome("failed", str(error))

    def working(self) -> Iterator[tuple[float, str]]:
        """Do the work, yielding (fraction done, words). It raises its errors, and Cancelled where it was stopped."""
        raise TypeError(f"{type(self).__name__} does not say what it does.")

    def _through(self, part: Part) -> Part:
        """`part`, another task which this one goes through now: who stops this one stops it."""
        self._part = part
        if self.is_cancelled:
            part.cancel()
        return part

    def _raise_if_cancelled(self) -> None:
        if self.is_cancelled:
            raise Cancelled("Stopped by you.")

    def _abandonable(self, work: Callable[[], T]) -> T:
        """Run `work`, which cannot be interrupted, in a thread of its own: Stop leaves it behind to end by itself."""
        outputs: list[T] = []
        errors: list[Exception] = []

        def target() -> None:
            step_back()
            try:
                outputs.append(work())
            except Exception as error:  # handed to the caller, who is in another thread
                errors.append(error)

        thread = threading.Thread(target=target, daemon=True)
        thread.start()
        while thread.is_alive():
            thread.join(0.05)
            self._raise_if_cancelled()
        if errors:
            raise errors[0]
        return outputs[0]


def step_back() -> None:
    """Let this thread wait behind everybody else's clicks, where the system knows priorities of threads (Linux)."""
    if hasattr(os, "setpriority"):
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
