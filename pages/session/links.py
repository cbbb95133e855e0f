"""A link and what this program makes of it: every parameter is taken where it can be had, and said where it cannot.

Streamlit drops what a bound widget cannot take, or fails on it. So whatever a link asks is looked at before the widget is
made: `read` notes what is asked, the widgets of `bound` take their own words, and `answered` says what was left over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qs

import streamlit as st
from streamlit.errors import StreamlitAPIException
from streamlit.navigation.page import Page
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.state.query_params import EMBED_QUERY_PARAMS_KEYS

from pages.widgets.asked import Asked
from pages.widgets.text import plain

SIDEBAR = ("dataset", "model", "forget", "after", "seed")  # on every page, so they go along from page to page
LONGEST = 40  # signs of a word, repeated in a sentence
Words = dict[str, list[str]]  # of a link, by the name of the parameter


@dataclass
class Visit:
    """One arrival at a page: the words of its link that nobody has taken yet, what must be said about them, what is shown."""

    page: str
    asked: Words
    outside: bool  # the address was typed, clicked elsewhere, or gone back to
    said: list[str] = field(default_factory=list)
    refused: dict[str, Asked] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)  # of every widget that reads the link, also of those that come later
    again: bool = False
    shown: Words = field(default_factory=dict)  # what the page itself shows, in the words of a link
    drawn: set[str] = field(default_factory=set)  # names of `shown` in this run of the page
    before: tuple[str, Words] | None = None  # the page that a click led here from, and what it showed
    lost: Words = field(default_factory=dict)  # what the address gone back to asks besides, see `_lost`


def read(page: Page) -> None:
    """Note what the link asks, where it is a new one; call before any widget is drawn."""
    known: Visit | None = st.session_state.get("visit")
    back = bool(getattr(get_script_run_ctx(), "is_history_navigation", False))
    if known and known.page == page.url_path and not back:
        return
    words = {name: st.query_params.get_all(name) for name in st.query_params}
    outside = known is None or back
    if not outside:
        words = _own(words)
    now = Visit(page.url_path, words, outside)
    if known:
        stays = known.page == page.url_path
        now.before = known.before if stays else None if back else (known.page, known.shown)
        now.lost = _lost(known, page.url_path) if back else {}
        now.asked |= now.lost
    st.session_state.visit = now


def _own(words: Words) -> Words:
    """Without the sidebar's."""
    return {name: given for name, given in words.items() if name not in SIDEBAR}


def _lost(known: Visit, page: str) -> Words:
    """What the address asks that was gone back to, and Streamlit took from it.

    A click that leaves a page makes an entry of its own in the browser's history: that page without what its widgets say.
    And words that the page just left goes by, too, are taken from the address as it is gone back to.
    """
    sent = _own(parse_qs(get_script_run_ctx().query_string, keep_blank_values=True))
    if not sent and known.before and known.before[0] == page:
        sent = known.before[1]
    return {name: words for name, words in sent.items() if name not in (*st.query_params, *EMBED_QUERY_PARAMS_KEYS)}


def restore() -> None:
    """After the visitor has gone back, put the words that Streamlit lost into the address again; call after the sidebar."""
    now = visit()
    lost, now.lost = now.lost, {}
    written = [rewrite(name, words) for name, words in lost.items()]
    if any(written):
        st.rerun()  # widgets take what the address says when a run of the page begins


def visit() -> Visit:
    """The visit (arrival at a page) that this run of the script belongs to."""
    return st.session_state.setdefault("visit", Visit("", {}, outside=False))


def take(name: str) -> list[str] | None:
    """The words that the link has for `name`, and take them from it; None where it has none, or they were taken before."""
    now = visit()
    now.names.add(name)
    return now.asked.pop(name, None)


def word(name: str) -> str:
    """What the address says about `name` now, "" for nothing; for parameters that belong to no widget."""
    take(name)
    text = st.query_params.get(name, "")
    show(name, [text] if text else [])
    return text


def show(name: str, words: list[str]) -> None:
    """Note in which words a link would say what the page shows under `name`; empty `words` mean that a link leaves it out."""
    now = visit()
    now.drawn.add(name)
    now.shown.pop(name, None)
    if words and name not in SIDEBAR:
        now.shown[name] = words


def shown() -> Words:
    """What the page shows, in the words of a link: every choice, number and switch on it, without the sidebar's."""
    return dict(visit().shown)


def translate(name: str, meanings: Mapping[str, str]) -> None:
    """Where the link's word for `name` is a key of `meanings`, put its value there instead; call before the widget is drawn."""
    words = visit().asked.get(name)
    if words and words[-1] in meanings and rewrite(name, [meanings[words[-1]]]):
        visit().asked[name] = [meanings[words[-1]]]
        st.rerun()


def later(*names: str) -> None:
    """Tell the `names` of widgets that this page draws only later, so that the link keeps its words for them."""
    visit().names.update(names)


def rewrite(name: str, words: Sequence[str] = ()) -> bool:
    """Set `name` to `words` in the address, or remove it. Returns whether that worked: not where a widget holds it already."""
    try:
        if words:
            st.query_params[name] = words
        else:
            st.query_params.pop(name, None)
    except StreamlitAPIException:
        return False
    return True


def refuse(name: str, wish: Asked, instead: str) -> None:
    """Say what of `name` could not be had, what is allowed, and what was taken instead."""
    words = ", ".join(short(part) for part in wish.wrong)
    tell(f"**{plain(f'{name}={words}')}** cannot be had. Allowed: {plain(wish.allowed)}. {_instead(instead)}")


def tell(sentence: str) -> None:
    """Add a sentence (Markdown) to the note at the top of the page, once."""
    if sentence not in visit().said:
        visit().said.append(sentence)


def _instead(shown: str) -> str:
    return f"Taken instead: {plain(short(shown))}." if shown else "Nothing was taken instead."


def short(text: str) -> str:
    """`text` cut to `LONGEST` signs, with … at the end where it was longer."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
