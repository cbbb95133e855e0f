"""The box that a link to a page is taken from. It is written as it is opened, so that it says what is shown then."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from imu_core.access import limits
from pages.session import links
from pages.session.address import address
from pages.widgets.text import plain

if TYPE_CHECKING:
    from imu_core.records.run import Problem


def titled(title: str, stays: bool = False) -> DeltaGenerator:
    """Write the title of a page; returns the row it stands in, for the box at its end. One that `stays` is seen at any place."""
    row = st.container(horizontal=True, vertical_alignment="center", key="title_stays" if stays else None)
    row.title(title, anchor=False, width="content")
    row.space("stretch")
    return row


def box(draw: Callable[[], None]) -> None:
    """Draw the button Link; `draw` is called while it is open. Inside a fragment it is drawn again with the rest of that."""
    with st.popover("Link", icon=":material/link:", key="link_box", on_change="rerun") as opened:
        if opened.open:
            draw()


def write(link: str, about: str, left_out: Sequence[str] = ()) -> None:
    """Write what `link` opens, the whole address to copy, and the sentences `left_out` about what is not in it."""
    st.caption(about)
    st.code(link, language=None, wrap_lines=True)
    for sentence in left_out:
        st.caption(sentence)


@st.fragment
def of_page(problem: Problem, about: str, extra: Callable[[], tuple[Mapping[str, Any], list[str]]] = lambda: ({}, [])) -> None:
    """Draw the box of a page. Its link holds the problem and every choice on the page.

    `extra` returns (words that replace some of these, sentences about what is left out).
    A fragment of its own: opening it costs nothing else, and by then everything on the page has said what it shows.
    """

    def draw() -> None:
        from pages.widgets import run_link  # brings the engine along; Start has a box of its own before that is loaded

        instead, left_out = extra()
        words = {name: given for name, given in (links.shown() | dict(instead)).items() if given}
        write(address(links.visit().page, run_link.about(problem.describe()) | words), about, left_out)

    box(draw)


def of_runs(ids: Sequence[str], others: Sequence[str]) -> list[str]:
    """Sentences beside a link that names stored runs by `ids`: who can open it, and that it lacks the runs called `others`."""
    sentences = []
    if ids and not limits.shares_runs():
        sentences.append("It names runs of yours: on this server only you see them, whoever opens the link.")
    if others:
        sentences.append(f"Not in it, as they are not stored: {', '.join(plain(name) for name in others)}.")
    return sentences
