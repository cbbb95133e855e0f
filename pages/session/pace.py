"""How often a page looks again at what goes on: the more visitors, the more seldom, so that drawing never holds up the work."""

from __future__ import annotations

import threading
import time
import uuid

import streamlit as st

LEAST = 0.7  # seconds between two looks; a browser that draws two charts on a tired machine keeps up with that
EACH = 0.1  # seconds more for every visitor: all looks together take about a tenth of one core
FEW = 8  # visitors who do not notice each other
LATELY = 60.0  # seconds for which a visitor counts after a page of theirs was drawn


class Audience:
    """The visitors who have been here lately, with the time at which each was seen last."""

    def __init__(self) -> None:
        self._seen: dict[str, float] = {}
        self._lock = threading.Lock()

    def count(self, visitor: str, now: float) -> int:
        """How many visitors there have been within the last `LATELY` seconds before `now`, `visitor` among them."""
        with self._lock:
            self._seen[visitor] = now
            self._seen = {name: when for name, when in self._seen.items() if now - when <= LATELY}
            return len(self._seen)


@st.cache_resource(show_spinner=False)
def audience() -> Audience:
    """The audience of this server."""
    return Audience()


def visitors() -> int:
    """How many visitors there have been lately, this one among them."""
    return audience().count(st.session_state.setdefault("audience", uuid.uuid4().hex), time.monotonic())


def tick() -> float:
    """Seconds until this page looks again, for `st.fragment(run_every=…)`."""
    return max(LEAST, EACH * visitors())


def longer(seconds: float) -> float:
    """`seconds` of waiting, as many times as long as a class makes everything: a page that is drawn twice holds up the others."""
    return seconds * max(1.0, visitors() / FEW)
