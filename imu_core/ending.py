"""The end of the program: its threads are told, waited for, and interrupted at last; its child processes end with it.

A daemon thread that computes in torch while the interpreter goes away is ended in the midst of C++, and that aborts the process.
A child whose parent was killed is told nothing, so it looks: run as a script, this file does that for another one (`command`).
"""

from __future__ import annotations

import atexit
import concurrent.futures.thread  # noqa: F401  # its own end comes after ours: what was computed can still be handed to a writer
import ctypes
import os
import runpy
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

PATIENCE = 3.0  # seconds for work that was told, and as many again for work that had to be interrupted
_PAUSE = 0.02
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_LOOK = 0.5  # seconds between two looks at whether the parent is still there
_ROOT = Path(__file__).resolve().parent
_OURS = tuple(f"{folder}{os.sep}" for folder in (_ROOT, _ROOT.with_name("pages")))
_told: list[Callable[[], None]] = []


class Ending(SystemExit):
    """Raised in a thread that still works when the program has ended."""


def tell(stop: Callable[[], None]) -> None:
    """Call `stop` when the program ends, before its threads are waited for; it must return at once."""
    if not _told:
        getattr(threading, "_register_atexit", atexit.register)(_end)
    _told.append(stop)


def working() -> list[threading.Thread]:
    """The daemon threads that run this program's code just now, without the caller's own."""
    frames = sys._current_frames()
    others = (t for t in threading.enumerate() if t.daemon and t is not threading.current_thread())
    return [thread for thread in others if _is_inside(frames.get(thread.ident or 0))]


def _is_inside(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith(_OURS):
            return True
        frame = frame.f_back
    return False


def _end() -> None:
    for stop in _told:
        stop()
    _wait()
    for thread in working():
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(Ending))
    _wait()


def _wait() -> None:
    end = time.monotonic() + PATIENCE
    while working() and time.monotonic() < end:
        time.sleep(_PAUSE)


def with_parent(parent: int) -> None:
    """End this process, without a farewell, soon after process `parent`, which started it, has ended (not on Windows).

    A thread looks, because Linux's own sign of a parent's death comes as soon as the *thread* that started a child has ended.
    """
    if os.name == "nt":
        return  # there a process keeps the number of a parent that is gone

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK)
        os._exit(1)

    threading.Thread(target=look, name="imu-parent", daemon=True).start()


def command(script: str, *arguments: str) -> list[str]:
    """The command line of a Python process that runs the file `script` and ends with this process.

    On Linux it ends with the thread that starts it, which has to wait for it. -P: the files beside it shadow nothing of Python's.
    """
    return [sys.executable, "-P", __file__, str(os.getpid()), script, *arguments]


if __name__ == "__main__":
    if sys.platform == "linux":  # a script that is stuck inside C lets no thread look
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    with_parent(int(sys.argv[1]))
    del sys.argv[:2]
    runpy.run_path(sys.argv[0], run_name="__main__")
