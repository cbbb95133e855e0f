"""What a server computes by itself once it stands, so that its first visitor does not wait for it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Protocol

import streamlit as st

from imu_core import runtime
from imu_core.errors import ImuError
from pages.session import visitor

ALONE, FIRST = 15.0, 2.0  # seconds that a server waits for its first visitor, and leaves to them, before it computes
GLANCE = 0.2  # seconds between two looks for a first visitor
LAST = 10.0  # seconds that a server which is to end waits for what it computes


class Visitors(Protocol):
    """The visitors of a server, as `warm` needs them (see `visitor.Shelves`)."""

    is_empty: bool


@asynccontextmanager
async def lifespan(app: st.App) -> AsyncIterator[None]:
    """The time in which the server serves, as `visitor.lifespan` says; meanwhile it computes what its pages open with."""
    stop = threading.Event()
    warming = threading.Thread(target=warm, args=(visitor.shelves(), stop), name="imu-warming", daemon=True)
    async with visitor.lifespan(app):
        warming.start()
        yield
        stop.set()
        await asyncio.to_thread(warming.join, LAST)  # a process that ends while torch computes is aborted


def _first_page() -> None:
    """Load what Start needs, so that a server's first visitor does not wait for Python's imports; none of it is the engine."""
    from pages.lesson import lecture, strip  # noqa: F401
    from pages.session import answered  # noqa: F401
    from pages.stage import first
    from pages.widgets import link_box, theme  # noqa: F401

    first.stored()


def warm(visitors: Visitors, stop: threading.Event) -> None:
    """Load the first page, then the engine, and compute the features that pages open with; ends early once `stop` is set.

    The engine comes once the first page of all, which needs none, has had its time. What it leaves undone a page goes on with.
    """
    _first_page()
    until = time.monotonic() + ALONE
    while visitors.is_empty and time.monotonic() < until and not stop.is_set():
        stop.wait(GLANCE)
    if stop.wait(FIRST):
        return
    from imu_core.problems import problem, reference

    with runtime.one_thread(), suppress(ImuError):  # what is not here, the pages say themselves
        for _ in problem.prepare():
            if stop.is_set():
                return
        for _ in reference.prepare(problem.problem()):
            if stop.is_set():
                return
