"""Work that takes long: iterated for (fraction done, words), stopped from any thread, and never a traceback at its end."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from imu_core import runtime
from imu_core.errors import Cancelled, ImuError
from imu_core.records import Outcome


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
