"""What a server does while it serves: it puts away what nobody needs, and gives its memory back."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from contextlib import nullcontext, suppress
from typing import Protocol

from streamlit.runtime import Runtime

from imu_core import runtime

_LOG = logging.getLogger(__name__)
TIDY = 5.0  # seconds between two looks at what nobody needs any more


class Shelves(Protocol):
    """The things of all visitors, as `keep_house` needs them (see `visitor.Shelves`)."""

    is_empty: bool

    def tidy(self, now: float) -> bool:
        """Put away what nobody needs; returns whether there was anything to put away."""


def keep_house(shelves: Shelves, stop: threading.Event, loop: asyncio.AbstractEventLoop) -> None:
    """Put away what nobody needs, and give its memory back, again and again until `stop`."""
    is_settled = False
    while not stop.wait(TIDY):
        if shelves.is_empty:
            continue
        if not is_settled:
            runtime.settle()  # by now a page was drawn, and everything is loaded
            is_settled = True
        try:
            shelves.tidy(time.monotonic())
        except Exception:  # of one visitor's things; the server goes on, and so does the housekeeping of everybody else's
            _LOG.exception("what nobody needs could not all be put away")
        with suppress(RuntimeError):  # the loop has just been closed
            loop.call_soon_threadsafe(forget_lost_windows)
        runtime.give_back()


def forget_lost_windows() -> None:
    """Let go of windows that lost their connection longer ago than Streamlit's `server.disconnectedSessionTTL`.

    Streamlit does so only when the next one loses its connection: the last of a class, and whatever their pages drew, would stay
    for as long as nobody comes. To be called in the thread of the server's event loop, where Streamlit works on them itself.
    """
    manager = getattr(Runtime.instance(), "_session_mgr", None) if Runtime.exists() else None
    expire = getattr(getattr(getattr(manager, "_session_storage", None), "_cache", None), "expire", None)
    if expire is not None:
        with getattr(manager, "_storage_lock", nullcontext()):
            expire()
