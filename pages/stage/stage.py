"""The stage: it gets all frames of the runs shown once, plays them in the browser, and tells only where it came to rest."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import streamlit as st

_HERE = Path(__file__).parent
_SCRIPTS = ("stage.js", "ground.js", "drawing.js", "elements.js")  # of one module, in this order


@dataclass(frozen=True)
class Look:
    """What of the scenes is shown, and how large (pixels).

    `panels`: wall, plane, curves, ground. `columns`, `tile`, `pictures`: of the wall.
    """

    panels: tuple[str, ...] = ("plane", "curves")
    height: int = 340
    columns: int = 6
    tile: int = 64
    pictures: int = 24


@lru_cache
def _component() -> Callable[..., Any]:
    """The component, made once a process; Streamlit sends its files along whenever a page draws it."""
    script = "\n".join((_HERE / name).read_text() for name in _SCRIPTS)
    return st.components.v2.component(
        "imu_stage", html=(_HERE / "stage.html").read_text(), css=(_HERE / "stage.css").read_text(), js=script
    )


def skip_to(name: str) -> None:
    """A link before everything else on the page, seen while it has the focus: from it the next Tab stop is the stage."""
    st.html(f'<a class="skip" href="#{name}-player">Skip to Play</a>')


class Stage:
    """The stage called `name` on this page, for steps 0 … `last`; `last` may grow while a run is going on."""

    def __init__(self, name: str, last: int) -> None:
        self.name, self.last = name, last
        self._at, self._ordered = f"{name}_at", f"{name}_order"
        st.session_state.setdefault(self._at, last)
        st.session_state.setdefault(self._ordered, (0, "rest", None))
        st.session_state[self._at] = max(0, min(last, st.session_state[self._at]))

    @property
    def step(self) -> int:
        """The step at which the stage rests, as far as the browser has told; the last while it plays for the first time."""
        return st.session_state[self._at]

    def play(self) -> None:
        """Play from the first step; at rest on it where the visitor's system asks for less motion."""
        self._order("play", 0, rests_at=self.last)

    def show(self, step: int) -> None:
        """Show `step`, or the last there is, at rest."""
        self._order("rest", step, rests_at=min(step, self.last))

    def to_end(self) -> None:
        """Show everything, at rest."""
        self.show(self.last)

    def follow(self) -> None:
        """Show whatever comes as it comes, until told otherwise."""
        if st.session_state[self._ordered][1] != "follow":
            self._order("follow", self.last, rests_at=self.last)

    def _order(self, what: str, step: int, rests_at: int) -> None:
        number = st.session_state[self._ordered][0] + 1
        st.session_state[self._ordered] = (number, what, step)
        st.session_state[self._at] = rests_at

    def draw(
        self,
        scenes: Sequence[Mapping[str, Any]],
        look: Look,
        *,
        chosen: int = 0,
        who: int | None = None,
        picks: Sequence[str] = (),
        asks: str = "",
        on_pick: Callable[[int], None] | None = None,
        on_open: Callable[[int], None] | None = None,
        on_edit: Callable[[object], None] | None = None,
    ) -> None:
        """Draw the stage with `scenes`, each as `Scene.data` makes it; the one at `chosen` is shown, first with the run at `who`.

        Points of a ground can be drawn and moved where there is an `on_edit`; it gets them all, as the browser sent them.
        With `picks`, a name for each scene, the visitor can choose another by its first picture; `asks` says what is chosen.
        """
        known = hashlib.sha256("".join(scene["id"] for scene in scenes).encode()).hexdigest()[:16]
        number, what, step = st.session_state[self._ordered]
        sent = f"{self.name}_sent"
        # A window outlives its session where the server was started anew; orders are counted afresh then.
        session = st.session_state.setdefault("stage_session", secrets.token_hex(4))
        st.html(f'<span class="skip" id="{self.name}-player" tabindex="-1"></span>')
        _component()(
            key=f"{self.name}_stage",
            data={
                "key": self.name,
                "id": known,
                "scenes": None if st.session_state.get(sent) == known else list(scenes),
                "chosen": chosen,
                "who": who,
                "picks": list(picks),
                "asks": asks,
                "order": [f"{session}-{number}", what, self.step if step is None else step],
                "at": self.step,
                "panels": list(look.panels),
                "height": look.height,
                "columns": look.columns,
                "tile": look.tile,
                "pictures": look.pictures,
                "opens": on_open is not None,
                "edits": on_edit is not None,
            },
            on_step_change=self._rested,
            on_missing_change=lambda: st.session_state.pop(sent, None),
            on_picked_change=self._told("picked", on_pick),
            on_opened_change=self._told("opened", on_open),
            on_edited_change=lambda: on_edit(self._said().get("edited")) if on_edit else None,
        )
        st.session_state[sent] = known

    def _rested(self) -> None:
        step = self._said().get("step")
        if type(step) is int:  # True is no step
            st.session_state[self._at] = max(0, min(self.last, step))

    def _told(self, what: str, then: Callable[[int], None] | None) -> Callable[[], None]:
        def act() -> None:
            value = self._said().get(what)
            if then and type(value) is int:
                then(value)

        return act

    def _said(self) -> Mapping[str, Any]:
        """What the browser said last; it may be anything, so whoever reads it looks at it first."""
        said = st.session_state.get(f"{self.name}_stage")
        return said if isinstance(said, Mapping) else {}
