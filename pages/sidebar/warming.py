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


def warm(visitors: Visitors, stop: threading.Event) -> None:
    """Load the engine and compute the features that the pages open with; ends early once `stop` is set.

    It begins once the first page of all, which needs no engine, has had its time. What it leaves undone a page goes on with.
    """
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
