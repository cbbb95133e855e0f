"""Work that takes long: iterated for (fraction done, words), stopped from any thread, and never a traceback at its end."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

from imu_core import runtime
from imu_core.errors import Cancelled, ImuError
from imu_core.records.outcome import Outcome

T = TypeVar("T")


class Stoppable:
    """The frame of such work: a kind of it says what it does in `working`; `outcome` says how it ended.

    Errors of the engine end it as failed. What it had found by then, or when it was stopped, stays.
    """

    STOPPED = ""  # said instead of the reason that `Cancelled` gives

    def __init__(self) -> None:
        self.outcome = Outcome("queued")
        self._cancel = threading.Event()

    def cancel(self) -> None:
        """Ask it to stop; safe from any thread."""
        self._cancel.set()

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
        """The work without its end: errors are raised, and Cancelled where it was stopped."""
        raise TypeError(f"{type(self).__name__} does not say what it does.")

    def _raise_if_cancelled(self) -> None:
        if self._cancel.is_set():
            raise Cancelled("Stopped by you.")

    def _abandonable(self, work: Callable[[], T]) -> T:
        """Run `work`, which cannot be interrupted, in a thread of its own: Stop leaves it behind to end by itself."""
        found: list[T] = []
        errors: list[Exception] = []

        def target() -> None:
            step_back()
            try:
                found.append(work())
            except Exception as error:  # handed to the caller, who is in another thread
                errors.append(error)

        thread = threading.Thread(target=target, daemon=True)
        thread.start()
        while thread.is_alive():
            thread.join(0.05)
            self._raise_if_cancelled()
        if errors:
            raise errors[0]
        return found[0]


def step_back() -> None:
    """Let this thread wait behind everybody else's clicks, where the system knows priorities of threads (Linux)."""
    if hasattr(os, "setpriority"):
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
