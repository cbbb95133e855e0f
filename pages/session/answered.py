"""The note at the top of a page: what its link asked and could not have."""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Iterator
from typing import Any

import streamlit as st
from streamlit.runtime.scriptrunner import StopException

from pages.session import links
from pages.widgets.text import plain


@contextlib.contextmanager
def answered() -> Iterator[None]:
    """Run a page inside this context: a note at its top then says what its link asked for and could not have."""
    place, now = st.empty(), links.visit()
    now.drawn.clear()
    try:
        yield
    except StopException:  # the page waits for something: its widgets, and their words, may come later
        _answer(place)
        raise
    now.shown = {name: words for name, words in now.shown.items() if name in now.drawn}
    _left_over()
    _answer(place)


def _answer(place: Any) -> None:
    now = links.visit()
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
    now = links.visit()
    for name in [name for name in now.asked if name not in now.names]:
        words = now.asked.pop(name)
        if not now.outside:
            continue  # it came along from another page of ours
        links.rewrite(name)
        now.again = True
        near = difflib.get_close_matches(name[:80], now.names, 1, 0.7)
        meant = f" Did you mean {plain(near[0])}?" if near else ""
        parameter = plain(f"{links.short(name)}={links.short(words[-1])}")
        links.tell(f"**{parameter}** was left out: nothing on this page, as it is shown, goes by that name.{meant}")
