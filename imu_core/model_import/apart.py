"""Reading what a stranger pickled in a short-lived process: it may hang, swell or crash there, and is ended in time.

The file goes in and the tensors come back through temporary files without a name: nothing is left of them whatever happens.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
import time
from contextlib import suppress
from typing import IO

from imu_core import ending
from imu_core.errors import Cancelled, shown
from imu_core.model_import import pickled
from imu_core.model_import.pickled import Found, Refused

PATIENCE, _SPEED = 120.0, 8 << 20  # seconds for any file, and bytes a second that a slow machine reads of a large one
_BREATH = 0.1  # seconds between two looks at Stop


def unpickled(content: bytes, stop: threading.Event | None = None) -> Found:
    """The tensors by dotted name, in the file's order, of a checkpoint that torch pickled, and what lay beside them.

    Raises Refused where it holds none, or what nobody should run, takes too long or too much memory; Cancelled soon after
    `stop` is set.
    """
    try:
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as answer:
            given.write(content)
            given.seek(0)
            status = _run(given, answer, PATIENCE + len(content) / _SPEED, stop)
            answer.seek(0)
            reply = answer.read()
    except OSError as error:
        raise Refused(
            f"could not be read apart from this program ({shown(error, 120)}). Free memory and disk, try again."
        ) from error
    if status == pickled.REFUSED:
        raise Refused(reply.decode("utf-8", "replace"))
    if status:
        raise Refused("is damaged: the process that read it broke down. Save the model again, as safetensors.")
    return pickled.unpacked(reply)


def _run(given: IO[bytes], answer: IO[bytes], seconds: float, stop: threading.Event | None) -> int:
    """The exit status of the process that reads `given`; whatever happens, it has ended when this returns."""
    process = subprocess.Popen(
        ending.command(pickled.__file__, str(max(1, round(seconds)))),
        stdin=given,
        stdout=answer,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        end = time.monotonic() + seconds
        while process.poll() is None:
            if stop is not None and stop.is_set():
                raise Cancelled("Stopped by you.")
            if time.monotonic() > end:
                raise Refused(
                    f"was not read within {seconds:,.0f} seconds, so it is no usual checkpoint. Save it as safetensors."
                )
            with suppress(subprocess.TimeoutExpired):
                process.wait(_BREATH)
        return process.returncode
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)  # it leads a group of its own
        else:
            process.kill()
        process.wait()
