"""A visitor without a screen, for load and crash tests: speaks to the app over a websocket as a browser does.

It keeps the same cache of messages and the same timers as Streamlit's page. `lag` is a slow browser: a message is looked at so
many seconds after it came, while the timers go on. A message that the server sends as a reference to one that the page has
dropped would be "Cached ForwardMsg MISS", the end of a page; it is counted in `misses`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import websockets
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState

LOOK = 0.05  # seconds between two looks at whether something has come about


@dataclass
class Cached:
    """A message that the page holds: its bytes, the number of the run that used it last, the fragment that it belongs to."""

    data: bytes
    used: int
    fragment: str


@dataclass
class Drawn:
    """An element on the page, the run that drew it last, and the fragment that it belongs to ("" for none)."""

    run: str
    element: Any
    fragment: str


class Visitor:
    """One page of the app, at `address` (ws://…), opened on `page` with the parameters `query` (text)."""

    def __init__(self, address: str, page: str = "", query: str = "", lag: float = 0.0, cookie: str = "") -> None:
        self.address, self.page, self.query, self.lag, self.cookie = address, page, query, lag, cookie
        self.misses: list[str] = []
        self.exceptions: list[str] = []
        self.messages = self.bytes = self.finished = 0
        self.answers = 0  # ends of runs that have come, looked at or not
        self.is_running = self.is_closed = False
        self._states: dict[str, WidgetState] = {}
        self._elements: dict[tuple[int, ...], Drawn] = {}  # by place
        self._cache: dict[str, Cached] = {}
        self._runs, self._age, self._has_news = 0, 2, False
        self._timers: dict[str, tuple[float, asyncio.Task[None]]] = {}
        self._page_hash = self._run = ""
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Connect, and ask for the page."""
        headers = {"Cookie": self.cookie} if self.cookie else None
        self._socket = await websockets.connect(
            self.address, subprotocols=["streamlit"], max_size=None, ping_interval=None, additional_headers=headers
        )
        self._inbox: asyncio.Queue[tuple[float, ForwardMsg, bytes]] = asyncio.Queue()
        self._tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._look())]
        await self.send()

    async def close(self) -> None:
        """Close the window."""
        self.is_closed = True
        for task in [*self._tasks, *(task for _, task in self._timers.values())]:
            task.cancel()
        self._timers.clear()
        await self._socket.close()

    async def send(self, fragment: str = "", tick: bool = False, trigger: str = "") -> None:
        """Ask for a run of the script, or of one fragment; `trigger` is the id of a button that is pressed."""
        message = BackMsg()
        rerun = message.rerun_script
        rerun.query_string, rerun.page_script_hash = self.query, self._page_hash
        rerun.page_name = "" if self._page_hash else self.page
        for state in self._states.values():
            rerun.widget_states.widgets.add().CopyFrom(state)
        if trigger:
            pressed = rerun.widget_states.widgets.add()
            pressed.id, pressed.trigger_value = trigger, True
        rerun.fragment_id, rerun.is_auto_rerun = fragment, tick
        rerun.cached_message_hashes.extend(self._cache)
        rerun.context_info.timezone, rerun.context_info.locale = "UTC", "en-GB"
        rerun.context_info.url = self.address.replace("ws", "http", 1).replace("/_stcore/stream", f"/{self.page}")
        self._has_news = False
        await self._socket.send(message.SerializeToString())

    async def press(self, label: str) -> None:
        """Press the button `label`; KeyError where there is none."""
        button, fragment = self._found("button", label)
        await self.send(fragment, trigger=button.id)

    async def drag(self, label: str, value: float) -> None:
        """Put the slider whose label begins with `label` at `value`."""
        slider, fragment = self._found("slider", label)
        state = WidgetState(id=slider.id)
        state.double_array_value.data[:] = [value]
        self._states[slider.id] = state
        await self.send(fragment)

    async def go_to(self, page: str) -> None:
        """Follow the navigation to another page."""
        self.page, self._page_hash = page, ""
        self._states.clear()
        await self.send()

    def has(self, kind: str, label: str) -> bool:
        """Whether there is an element of that kind whose label begins with `label`."""
        return any(element.label.startswith(label) for element in self.all(kind))

    def all(self, kind: str) -> list[Any]:
        """Every element of that kind, from the top of the page to its end."""
        return [getattr(drawn.element, kind) for drawn in self._drawn(kind)]

    def texts(self) -> list[str]:
        """Every piece of Markdown on the page."""
        return [element.body for element in self.all("markdown")]

    async def until(self, condition: Callable[[], bool], seconds: float = 60.0) -> bool:
        """Wait until `condition` holds; False where it does not within `seconds`."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self.is_closed:
            if condition():
                return True
            await asyncio.sleep(LOOK)
        return False

    async def settle(self, seconds: float = 60.0) -> bool:
        """Wait until a whole run of the script has ended and none is going on."""
        return await self.until(lambda: self.finished > 0 and not self.is_running and self._inbox.empty(), seconds)

    # Below: what Streamlit's page does.

    def _drawn(self, kind: str) -> list[Drawn]:
        return [drawn for _, drawn in sorted(self._elements.items()) if drawn.element.WhichOneof("type") == kind]

    def _found(self, kind: str, label: str) -> tuple[Any, str]:
        """The first such element and its fragment; KeyError where there is none."""
        for drawn in self._drawn(kind):
            element = getattr(drawn.element, kind)
            if element.label.startswith(label):
                return element, drawn.fragment
        raise KeyError(f"No {kind} {label!r} on {self.page}.")

    async def _read(self) -> None:
        with contextlib.suppress(websockets.ConnectionClosed):
            async for data in self._socket:
                if isinstance(data, bytes):
                    self.messages += 1
                    self.bytes += len(data)
                    message = ForwardMsg.FromString(data)
                    self.answers += message.WhichOneof("type") == "script_finished"
                    self._inbox.put_nowait((time.monotonic() + self.lag, message, data))
        self.is_closed = True

    async def _look(self) -> None:
        while True:
            due, message, data = await self._inbox.get()
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            try:
                self._take(message, data)
            except Exception as error:
                self.exceptions.append(f"this visitor: {error!r}")

    async def _tick(self, fragment: str, seconds: float) -> None:
        while True:
            await asyncio.sleep(seconds)
            with contextlib.suppress(websockets.ConnectionClosed):
                await self.send(fragment, tick=True)

    def _take(self, message: ForwardMsg, data: bytes) -> None:
        kind = message.WhichOneof("type")
        if kind == "ref_hash":
            held = self._cache.get(message.ref_hash)
            if held is None:
                self.misses.append(message.ref_hash)
                return
            held.used, place = self._runs, message.metadata
            message = ForwardMsg.FromString(held.data)
            message.metadata.CopyFrom(place)
            kind = "delta"
        elif message.metadata.cacheable:
            self._cache[message.hash] = Cached(data, self._runs, message.delta.fragment_id)
        take = getattr(self, f"_take_{kind}", None)
        if take:
            take(message)

    def _take_new_session(self, message: ForwardMsg) -> None:
        self._has_news, self.is_running = True, True
        self._age = int(message.new_session.config.max_cached_message_age) or self._age
        self._run = message.metadata.run.script_run_id
        if not message.metadata.run.fragment_ids:
            self._stop_timers(list(self._timers))
            self._page_hash = message.new_session.page_script_hash

    def _take_delta(self, message: ForwardMsg) -> None:
        place, kind = tuple(message.metadata.delta_path), message.delta.WhichOneof("type")
        if kind == "new_element":
            element = message.delta.new_element
            self._elements[place] = Drawn(self._run, element, message.delta.fragment_id)
            if element.WhichOneof("type") == "exception":
                self.exceptions.append(f"{element.exception.type}: {element.exception.message[:300]}")
        elif kind == "add_block":
            self._elements.pop(place, None)

    def _take_navigation(self, message: ForwardMsg) -> None:
        self._page_hash = message.navigation.page_script_hash

    def _take_auto_rerun(self, message: ForwardMsg) -> None:
        fragment, seconds = message.auto_rerun.fragment_id, message.auto_rerun.interval
        if self._timers.get(fragment, (None,))[0] != seconds:
            self._stop_timers([fragment])
            self._timers[fragment] = seconds, asyncio.create_task(self._tick(fragment, seconds))

    def _take_stop_auto_rerun(self, message: ForwardMsg) -> None:
        self._stop_timers(message.stop_auto_rerun.fragment_ids)

    def _take_script_finished(self, message: ForwardMsg) -> None:
        fragments = set(message.metadata.run.fragment_ids)
        self.is_running = False
        if message.script_finished == ForwardMsg.FINISHED_EARLY_FOR_RERUN:
            return
        self.finished += not fragments
        self._elements = {
            place: drawn
            for place, drawn in self._elements.items()
            if drawn.run == self._run or (fragments and drawn.fragment not in fragments)
        }
        if self._has_news:
            self._runs += 1
            self._drop_old(fragments)

    def _drop_old(self, fragments: set[str]) -> None:
        for name, held in list(self._cache.items()):
            if (not fragments or held.fragment in fragments) and self._runs - held.used > self._age:
                del self._cache[name]

    def _stop_timers(self, fragments: Any) -> None:
        for fragment in list(fragments):
            _, task = self._timers.pop(fragment, (None, None))
            if task:
                task.cancel()
