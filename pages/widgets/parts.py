"""Widgets that every page shares: navigation, running jobs with their Stop, pictures, numbers."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

import streamlit as st
from streamlit.navigation.page import Page

from imu_core.access import rules
from imu_core.jobs import JobQueue
from pages.session import visitor

T = TypeVar("T")

# Streamlit stacks columns on phones only; on a narrow window charts and pictures need the whole width too. The Tab key comes
# to the page before it comes to the twenty stops of the sidebar (in browsers that know `reading-flow`).
LAYOUT = """<style>
[data-testid="stMainBlockContainer"] { padding-top: 3.2rem; }
a.skip { position: fixed; left: 1rem; top: -6rem; z-index: 1000000; padding: .5rem 1rem; border-radius: .5rem;
  background: var(--st-primary-color); color: var(--st-background-color) !important; }
a.skip:focus { top: 1rem; }
[data-testid="stElementContainer"]:has(.skip) { position: absolute; }
:has(> [data-testid="stSidebar"]) { reading-flow: source-order; }
:has(> [data-testid="stMain"]) { reading-order: -1; }
[data-testid="stMetric"] *, [data-testid="stPageLink-NavLink"] *, [data-testid^="stBaseButton"] *,
[data-testid="stFileUploaderDropzoneInstructions"] * {
  white-space: normal !important; overflow: visible !important; text-overflow: clip !important;
}
[data-testid="stBaseButton-tertiary"], [data-testid="stBaseButton-tertiary"] * { text-align: left; justify-content: flex-start; }
[data-testid="stButtonGroup"] > div { flex-wrap: wrap; overflow: visible; }
@media (max-width: 1000px) {
  [data-testid="stHorizontalBlock"] { flex-wrap: wrap; }
  [data-testid="stColumn"] { min-width: min(100%, 11rem); flex: 1 1 11rem; }
  [data-testid="stColumn"]:has([data-testid="stPlotlyChart"], [data-testid="stImage"], [data-testid="stButtonGroup"]) {
    min-width: 100%;
  }
}
</style>"""
LETTER, AROUND = 7, 20  # pixels of a letter in the head of a table, at most, and of what stands around the words
PEOPLE_PAGE = "reidentify"


def column_width(title: str, least: int = 0) -> int:
    """Pixels of a table's column that is wide enough for its `title`, and at least `least`."""
    return max(least, AROUND + LETTER * len(title))


def navigation() -> Page:
    """All pages, by what a visitor wants to do; returns the one asked for."""
    return st.navigation(
        {
            "": [st.Page("pages/start.py", title="Start", icon=":material/play_circle:", default=True)],
            "Look": [st.Page("pages/influence.py", title="Influence", icon=":material/scatter_plot:", url_path="influence")],
            "Run": [
                st.Page("pages/unlearn.py", title="Unlearn", icon=":material/ink_eraser:", url_path="unlearn"),
                st.Page("pages/compare.py", title="Compare", icon=":material/compare_arrows:", url_path="compare"),
                st.Page("pages/reidentify.py", title="Re-identify", icon=":material/person_search:", url_path=PEOPLE_PAGE),
                st.Page("pages/attack.py", title="Attack", icon=":material/policy:", url_path="attack"),
            ],
            "Bring": [st.Page("pages/your_own.py", title="Your own", icon=":material/upload_file:", url_path="your_own")],
            "Keep": [st.Page("pages/runs.py", title="Runs", icon=":material/inventory_2:", url_path="runs")],
            "Read": [
                st.Page("pages/paper.py", title="Paper", icon=":material/article:", url_path="paper"),
                st.Page("pages/glossary.py", title="Glossary", icon=":material/menu_book:", url_path="glossary"),
                st.Page("pages/docs.py", title="Docs", icon=":material/description:", url_path="docs"),
            ],
        }
    )


@st.cache_resource(show_spinner=False)
def queue() -> JobQueue:
    """The worker threads of this server, shared by all visitors; each visitor's jobs run one after another."""
    return JobQueue(workers=3, around=rules.acting_for)


def owner() -> str:
    """The name of this visitor, the same after a reload or a lost connection: everybody sees and stops only their own jobs."""
    return visitor.owner(_stop_all)


def _who() -> str:
    """The visitor whose page this thread runs; empty in all other threads."""
    return "" if visitor.is_starting() else owner()


rules.serve_when(st.runtime.exists, _who)  # from here on this process works for whoever opens a page


def _stop_all(name: str) -> None:
    """Nobody could stop the jobs of a visitor who cannot come back."""
    for job in queue().active(name):
        job.cancel()


def theirs(key: str, make: Callable[[], T]) -> T:
    """What this visitor has under `key` (`make()` at first), whichever window they look through and whenever they come back."""
    return visitor.theirs(key, make, owner())


def theme() -> str:
    """light or dark, as the visitor sees the page."""
    return "dark" if getattr(st.context.theme, "type", None) == "dark" else "light"


def hand_over() -> None:
    """Leave a page that Streamlit runs on its own, without app.py: it does so when a server's very first visit is a deep link.

    Until `st.navigation` has been called once, a folder called `pages` is served the old way. Calling it here ends that for
    good, and the rerun goes through app.py.
    """
    if "dataset" not in st.session_state:
        navigation()
        st.rerun()


def plain(text: object) -> str:
    """`text` with every Markdown sign escaped: what a visitor typed is shown, never rendered."""
    sendable = str(text).encode("utf-8", "replace").decode()  # half a surrogate pair, as a file's name may hold, breaks the page
    return re.sub(r"([\\`*_\[\]<>$~:|#!])", r"\\\1", sendable)
