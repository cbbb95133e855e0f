"""A real browser that is seconds behind its server: the page lives on."""

from __future__ import annotations

import itertools
import time
from typing import Any

from playwright.sync_api import Browser, Page, WebSocketRoute, expect
from test_browser import (
    IN_FULL_RUN,
    LONG_NAME,
    Server,
    drawn_step,
    eventually,
    last_step,
    main,
    slider,
    start_long,
    verdict,
    visitor_at,
)

pytestmark = IN_FULL_RUN

LAG = 3.0  # seconds from a message to its arrival at the page
DRAGS = 24
KEYS = ("Home", "End", "PageDown")  # to and fro


class SlowWire:
    """The page's connection to its server, on which every message takes `lag` seconds while `pass_time` is called."""

    def __init__(self, page: Page) -> None:
        self.lag, self._page = 0.0, page
        self._held: list[tuple[float, Any]] = []
        self._route: WebSocketRoute | None = None
        page.route_web_socket("**/_stcore/stream", self._connect)

    def _connect(self, route: WebSocketRoute) -> None:
        self._route = route
        route.connect_to_server().on_message(self._came)

    def _came(self, message: Any) -> None:
        if self.lag or self._held:
            self._held.append((time.monotonic() + self.lag, message))
        else:
            self._route.send(message)

    def pass_time(self, seconds: float) -> None:
        """Let so much time pass; what has been on its way for long enough arrives."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._page.wait_for_timeout(50)
            while self._held and self._held[0][0] <= time.monotonic():
                self._route.send(self._held.pop(0)[1])


def test_a_browser_that_is_seconds_behind_stays_connected(server: Server, chromium: Browser) -> None:
    """Streamlit's "Cached ForwardMsg MISS": what the page dropped is never sent as a reference (`minCachedMessageSize`).

    A run on all layers is drawn again and again, as the only thing left that ticks; meanwhile the visitor moves the slider.
    """
    with visitor_at(server.address, chromium) as visitor:
        wire = SlowWire(visitor.page)
        page = start_long(visitor)
        begun = drawn_step(page, LONG_NAME)
        slider(page).focus()
        wire.lag = LAG
        for key in itertools.islice(itertools.cycle(KEYS), DRAGS):
            page.keyboard.press(key)
            wire.pass_time(0.5)
        wire.pass_time(2 * LAG)
        wire.lag = 0.0
        wire.pass_time(1.0)
        expect(page.get_by_text("Connection error")).to_have_count(0)
        slider(page).press("End")
        eventually(lambda: wire.pass_time(0.1) or drawn_step(page, LONG_NAME) > begun, "what came late is drawn")
        main(page).get_by_role("button", name="Stop", exact=True).click()
        eventually(lambda: wire.pass_time(0.1) or verdict(page, "Stopped by you at step").count(), "the connection lives")


def test_a_replay_needs_no_server(server: Server, chromium: Browser) -> None:
    """Frames are in the browser: with a server that is seconds behind, the player moves at once and stays where it was put."""
    with visitor_at(server.address, chromium) as visitor:
        wire = SlowWire(visitor.page)
        page = visitor.open("", play=0)
        wire.lag = LAG
        slider(page).focus()
        for key, step in (("Home", 0), ("ArrowRight", 1), ("End", last_step(page)), ("ArrowLeft", last_step(page) - 1)):
            page.keyboard.press(key)
            expect(slider(page)).to_have_value(str(step))
            wire.pass_time(0.5)
        wire.pass_time(3 * LAG)
        expect(slider(page)).to_have_value(str(last_step(page) - 1))
        wire.lag = 0.0
        wire.pass_time(1.0)
        expect(page.get_by_text("Connection error")).to_have_count(0)
