"""Who looks at the page, and what is theirs on this server: kept while they are away, found again when they come back."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import streamlit as st
from starlette.middleware import Middleware
from streamlit import config
from streamlit.runtime import Runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx

from imu_core.access import cookie, limits, rules
from imu_core.errors import ConfigError
from imu_core.jobs import JobQueue
from pages.session import housekeeping

T = TypeVar("T")
MOST_SHELVES = 500  # visitors whose things are in memory
SHORT_ABSENCE = 60.0  # seconds after which the stored runs of a visitor who is away leave memory, to be fetched when they look
PASSING = ("page_work", "compare_jobs")  # things of a visitor that are soon made again: answers and layers of networks
LONGEST_ABSENCE = 12 * 3600.0  # seconds after which the things of somebody who is away leave memory; what is stored stays stored


def is_starting() -> bool:
    """Whether the server is loading app.py to be started; it runs the same file later, once a visit."""
    return get_script_run_ctx(suppress_warning=True) is None


def middleware() -> list[Middleware]:
    """The server's middleware: it gives each browser the cookie that its visitor is known by.

    Raises SystemExit with a sentence where a limit that the server's owner set cannot be read.
    """
    try:
        limits.check()
    except ConfigError as error:
        raise SystemExit(str(error)) from None
    return [Middleware(cookie.VisitorCookie, path=config.get_option("server.baseUrlPath") or "/")]


@asynccontextmanager
async def lifespan(_: st.App) -> AsyncIterator[None]:
    """The time in which the server serves; asked to stop (Ctrl-C, SIGTERM), it then ends as any program does, with exit code 0.

    uvicorn would raise the signal again, which kills the process before anything is put in order.
    """
    stop, loop = threading.Event(), asyncio.get_running_loop()
    threading.Thread(target=housekeeping.keep_house, args=(shelves(), stop, loop), name="imu-housekeeping", daemon=True).start()
    yield
    stop.set()
    signals = getattr(getattr(signal.getsignal(signal.SIGTERM), "__self__", None), "_captured_signals", None)
    if isinstance(signals, list):
        signals.clear()


class Shelf:
    """The things of one visitor by name (their runs, jobs that a page will look for), and the windows (sessions) they have."""

    def __init__(self) -> None:
        self.things: dict[str, Any] = {}
        self.windows: set[str] = set()
        self.seen, self.is_light, self._is_lightened = time.monotonic(), False, False
        self.lock = threading.RLock()  # two windows of one visitor work on the same things

    def lighten(self, whole: int = 0) -> bool:
        """Keep only the records of finished runs in memory, but for the `whole` newest; returns whether nothing is left to do."""
        runs = list(self.things.get("runs", ()))
        done = [item.lighten() for item in runs[: max(0, len(runs) - whole)]]
        return all(done)

    def put_away(self) -> bool:
        """Drop what can be fetched or computed again once the visitor is back; returns whether nothing is left to do."""
        runs = self.things.get("runs", [])
        was_light, self._is_lightened = self._is_lightened, self.lighten()
        with self.lock:
            runs[:] = [item for item in runs if not item.is_on_record]
            self.things.pop("looked", None)  # so that pages look into the database again
        for name in PASSING:
            jobs = self.things.get(name, {})
            for key in [key for key, job in list(jobs.items()) if job.finished]:
                jobs.pop(key, None)
        return was_light and self._is_lightened  # what became light just now is on record only by the next look

    def away(self, now: float) -> float:
        """Seconds since its visitor had a window open; a window that has lost its connection does not count."""
        if any(_is_connected(window) for window in list(self.windows)):
            self.seen, self.is_light, self._is_lightened = now, False, False
        return now - self.seen


def _is_connected(window: str) -> bool:
    return not Runtime.exists() or bool(Runtime.instance().is_active_session(window))


class Shelves:
    """The shelves of all visitors of this server, at most `MOST_SHELVES`: those away longest lose theirs first."""

    def __init__(self) -> None:
        self._shelves: dict[str, Shelf] = {}
        self._lock = threading.Lock()

    def of(self, name: str) -> Shelf:
        """The shelf of the visitor called `name`, a new one for a new visitor."""
        with self._lock:
            is_new = name not in self._shelves
            shelf = self._shelves.setdefault(name, Shelf())
            shelf.seen = time.monotonic()
            if is_new:  # a page asks many times, and looking through all of them takes time
                self._clear(shelf.seen)
            return shelf

    def opened(self, name: str, window: str) -> None:
        """Note that the visitor `name` has opened `window`."""
        self.of(name).windows.add(window)

    def closed(self, name: str, window: str, known: bool) -> None:
        """Note that `window` has gone; the shelf of a visitor who cannot come back (`known` is False) is dropped."""
        self.of(name).windows.discard(window)
        if not known:
            with self._lock:  # the housekeeping may be going through all of them
                self._shelves.pop(name, None)

    def clear(self) -> None:
        """Forget everybody."""
        with self._lock:
            self._shelves.clear()

    @property
    def is_empty(self) -> bool:
        """Whether nobody has come yet."""
        return not self._shelves

    def tidy(self, now: float) -> bool:
        """Lighten the shelves of visitors away for longer than `SHORT_ABSENCE`; returns whether there were any."""
        with self._lock:
            left = [shelf for shelf in self._shelves.values() if shelf.away(now) > SHORT_ABSENCE and not shelf.is_light]
        for shelf in left:
            shelf.is_light = shelf.put_away()
        return bool(left)

    def _clear(self, now: float) -> None:
        away = sorted(((shelf.away(now), name) for name, shelf in self._shelves.items()), reverse=True)
        for position, (seconds, name) in enumerate(away):
            if seconds > LONGEST_ABSENCE or (seconds and position < len(away) - MOST_SHELVES):
                del self._shelves[name]


_SHELVES = Shelves()


def shelves() -> Shelves:
    """The shelves of this server."""
    return _SHELVES


@st.cache_resource(show_spinner=False)
def queue() -> JobQueue:
    """The worker threads of this server, shared by all visitors; each visitor's jobs run one after another."""
    return JobQueue(workers=3, around=rules.acting_for)


def owner() -> str:
    """The name of the visitor who looks at the page: one a browser, or one a session where the browser keeps no cookies.

    Everybody sees and stops only their own jobs. The name stays for the session: a lost connection has no cookies.
    """
    state = st.session_state
    if "owner" not in state:
        given = st.context.cookies.get(cookie.COOKIE)
        state.known = cookie.is_id(given)
        state.owner = cookie.name_of(given if state.known else cookie.new_id())
    _window(state.owner, state.get("known", False))  # again after a lost connection, where it was released
    return state.owner


def shelf(name: str) -> Shelf:
    """The shelf of the visitor called `name`, with what they have on this server."""
    return shelves().of(name)


def theirs(key: str, make: Callable[[], T]) -> T:
    """What this visitor has under `key` (`make()` at first), whichever window they look through and whenever they come back."""
    if key not in st.session_state:
        st.session_state[key] = shelf(owner()).things.setdefault(key, make())
    return st.session_state[key]


def _who() -> str:
    """The visitor whose page this thread runs; empty in all other threads."""
    return "" if is_starting() else owner()


rules.serve_when(st.runtime.exists, _who)  # from here on this process works for whoever opens a page


def _closed(of: tuple[str, str, bool]) -> None:
    """A window has gone; nobody could stop the jobs of a visitor who cannot come back."""
    name, window, known = of
    shelves().closed(name, window, known)
    if not known:
        for job in queue().active(name):
            job.cancel()


@st.cache_resource(scope="session", on_release=_closed, show_spinner=False)
def _window(name: str, known: bool) -> tuple[str, str, bool]:
    """Nothing but a thing that Streamlit releases when the connection has gone."""
    context = get_script_run_ctx(suppress_warning=True)
    window = context.session_id if context else ""
    shelves().opened(name, window)
    return name, window, known
