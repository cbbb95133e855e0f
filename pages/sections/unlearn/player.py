"""Plays the stored steps of runs at a pace the visitor sets: play, pause, step, speed, to the end."""

from __future__ import annotations

import time
from collections.abc import Callable

import streamlit as st

from imu_core.glossary import help_text
from pages.session import pace

SPEEDS = {"slow": 20.0, "normal": 7.0, "fast": 2.0}  # seconds for the whole replay


def skip_to(name: str) -> None:
    """A link before everything else on the page, seen while it has the focus: from it the next Tab stop is Play."""
    st.html(f'<a class="skip" href="#{name}-player">Skip to Play</a>')


class Player:
    """A cursor over steps 0 … last, kept in the session under `name`; `last` may grow while a run is going on."""

    def __init__(self, name: str, last: int) -> None:
        self.name, self.last = name, last
        self._key, self._count = f"{name}_at", f"{name}_slider"
        st.session_state.setdefault(self._key, last)
        st.session_state[self._key] = min(st.session_state[self._key], last)

    @property
    def step(self) -> int:
        """The step shown now."""
        return st.session_state[self._key]

    @property
    def playing(self) -> bool:
        """Whether the cursor moves by itself."""
        return bool(st.session_state.get(f"{self.name}_playing"))

    @property
    def run_every(self) -> float | None:
        """For `st.fragment(run_every=…)`: seconds between two ticks while playing; None at rest."""
        return pace.tick() if self.playing else None

    def start(self) -> None:
        """Play from the first step; call before `run_every` is read."""
        self._set(0, playing=True)
        self._turned()

    def show(self, step: int) -> None:
        """Show `step`, or the last there is, at rest."""
        self._set(step, playing=False)

    def to_end(self) -> None:
        """Show everything, at rest."""
        self._set(self.last, playing=False)

    def _set(self, step: int, playing: bool) -> None:
        if not (playing and self.playing):
            self._new_slider()
        st.session_state[self._key] = max(0, min(self.last, step))
        if playing != self.playing:
            st.session_state[f"{self.name}_turned"] = True
            st.session_state[f"{self.name}_clock"] = time.monotonic()
        st.session_state[f"{self.name}_playing"] = playing

    def _turned(self) -> bool:
        """Whether play and pause have changed places since this was asked last."""
        return bool(st.session_state.pop(f"{self.name}_turned", False))

    @property
    def _slider(self) -> str:
        return f"{self.name}_step_{st.session_state.setdefault(self._count, 0)}"

    def _new_slider(self) -> None:
        """Whatever moves the cursor but a hand on the slider makes a new one.

        A browser that is behind goes on sending where its slider was, with a click or with a tick: nobody listens to the old one.
        """
        st.session_state[self._count] = st.session_state.get(self._count, 0) + 1

    def _dragged(self, slider: str) -> None:
        if slider == self._slider and not self.playing:
            st.session_state[self._key] = st.session_state[slider]

    def _toggle(self) -> None:
        at_end = self.step >= self.last
        self._set(0 if at_end and not self.playing else self.step, not self.playing)

    def advance(self) -> None:
        """One tick: move on while playing, and stop at the end. Call first thing in the fragment."""
        if not self.playing:
            return
        whole = SPEEDS.get(st.session_state.get(f"{self.name}_speed") or "normal", SPEEDS["normal"])
        clock, now = f"{self.name}_clock", time.monotonic()
        passed = min(1.0, now - st.session_state.get(clock, now))  # by the clock, so that a slow browser only skips pictures
        st.session_state[clock] = now
        self._set(self.step + max(1, round(passed / whole * self.last)), playing=True)
        if self.step >= self.last:
            self._set(self.last, playing=False)

    def controls(self, beside: Callable[[], None] | None = None) -> None:
        """Draw the row of buttons, what `beside` draws at its end, and the slider."""
        st.html(f'<span class="skip" id="{self.name}-player" tabindex="-1"></span>')
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            # One button under one key, whatever it says, and none that is disabled where it has done its work: focus stays.
            self._button("toggle", "Pause" if self.playing else "Play", self._toggle)
            self._button("back", "Back one step", lambda: self._set(self.step - 1, False))
            self._button("forward", "Forward one step", lambda: self._set(self.step + 1, False))
            self._button("end", "To the end", self.to_end)
            st.segmented_control(
                "Speed", list(SPEEDS), default="normal", key=f"{self.name}_speed", label_visibility="collapsed", required=True
            )
            if beside:
                beside()
        if self.last > 0:
            # The browser repeats the slider's value with every tick, and under load an old one: the cursor is kept apart from it.
            slider = self._slider
            st.session_state[slider] = self.step
            st.slider(
                f"Step (of {self.last})", 0, self.last, help=help_text("step"),
                key=slider, on_change=self._dragged, args=(slider,),
            )  # fmt: skip
        if self._turned():
            st.rerun()  # the clock of the fragment is set when the whole page runs

    def _button(self, key: str, label: str, act: Callable[[], None]) -> None:
        st.button(label, key=f"{self.name}_{key}", on_click=act, disabled=self.last == 0)
