"""A link and what this program makes of it: every parameter is taken where it can be had, and said where it cannot.

Streamlit drops what a bound widget cannot take, or fails on it. So whatever a link asks is looked at before the widget is
made: `read` notes what is asked, the widgets of `_bound` take their own words, and `answered` says what was left over.
"""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import streamlit as st
from streamlit.errors import StreamlitAPIException
from streamlit.navigation.page import Page
from streamlit.runtime.scriptrunner import StopException, get_script_run_ctx

from pages import _parts
from pages._asked import Asked

SIDEBAR = ("dataset", "model", "forget", "after", "seed")  # on every page, so they go along from page to page
LONGEST = 40  # signs of a word, repeated in a sentence


@dataclass
class Visit:
    """One arrival at a page: what its link asks and nobody has taken yet, what had to be said, what stands in for it."""

    page: str
    asked: dict[str, list[str]]
    outside: bool  # the address was typed, clicked elsewhere, or gone back to
    said: list[str] = field(default_factory=list)
    refused: dict[str, Asked] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)  # of every widget that reads the link, also of those that come later
    again: bool = False


def read(page: Page) -> None:
    """Note what the link asks, where it is a new one; call before any widget is drawn."""
    known: Visit | None = st.session_state.get("visit")
    back = bool(getattr(get_script_run_ctx(), "is_history_navigation", False))
    if known and known.page == page.url_path and not back:
        return
    asked = {name: st.query_params.get_all(name) for name in st.query_params}
    outside = known is None or back
    if not outside:
        asked = {name: words for name, words in asked.items() if name not in SIDEBAR}
    st.session_state.visit = Visit(page.url_path, asked, outside)


def visit() -> Visit:
    """The arrival that this run of the page belongs to."""
    return st.session_state.setdefault("visit", Visit("", {}, outside=False))


def take(name: str) -> list[str] | None:
    """The words that the link has for `name`, once; None where it has none or they were taken before."""
    now = visit()
    now.names.add(name)
    return now.asked.pop(name, None)


def word(name: str) -> str:
    """What the address says about `name` at the moment, for what is no widget."""
    take(name)
    return st.query_params.get(name, "")


def later(*names: str) -> None:
    """Names of widgets that will be on this page, but are not yet: the link keeps its words for them."""
    visit().names.update(names)


def rewrite(name: str, words: Sequence[str] = ()) -> bool:
    """Put `words` in the address in place of what it says about `name`, or nothing; False where a widget holds it already."""
    try:
        if words:
            st.query_params[name] = words
        else:
            st.query_params.pop(name, None)
    except StreamlitAPIException:
        return False
    return True


def refuse(name: str, asked: Asked, instead: str) -> None:
    """Say what of `name` could not be had, what is allowed, and what was taken instead."""
    words = ", ".join(_short(part) for part in asked.wrong)
    tell(f"**{_parts.plain(f'{name}={words}')}** cannot be had. Allowed: {_parts.plain(asked.allowed)}. {_instead(instead)}")


def tell(sentence: str) -> None:
    """Add a sentence (Markdown) to the note at the top of the page, once."""
    if sentence not in visit().said:
        visit().said.append(sentence)


def _instead(shown: str) -> str:
    return f"Taken instead: {_parts.plain(_short(shown))}." if shown else "Nothing was taken instead."


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


@contextlib.contextmanager
def answered() -> Iterator[None]:
    """Run a page in it: at its top stands what the link asked and could not have."""
    place = st.empty()
    try:
        yield
    except StopException:  # the page waits for something: its widgets, and their words, may come later
        _answer(place)
        raise
    _left_over()
    _answer(place)


def _answer(place: Any) -> None:
    now = visit()
    if now.again:
        now.again = False
        st.rerun()
    if not now.said:
        return
    with place.container(border=True, gap="xsmall", key="link_note"):
        st.markdown(":material/link: Not everything that the link asks for can be shown:")
        st.markdown("\n".join(f"- {sentence}" for sentence in now.said))
        st.button("Close this note", type="tertiary", on_click=now.said.clear, key="link_note_close")


def _left_over() -> None:
    """Say which names nothing on the page goes by."""
    now = visit()
    for name in [name for name in now.asked if name not in now.names]:
        words = now.asked.pop(name)
        if not now.outside:
            continue  # it came along from another page of ours
        rewrite(name)
        now.again = True
        near = difflib.get_close_matches(name[:80], now.names, 1, 0.7)
        meant = f" Did you mean {_parts.plain(near[0])}?" if near else ""
        asked = _parts.plain(f"{_short(name)}={_short(words[-1])}")
        tell(f"**{asked}** was left out: nothing on this page, as it is shown, goes by that name.{meant}")
