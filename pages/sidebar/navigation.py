"""Where a visitor can go: all pages, by what they want to do."""

from __future__ import annotations

import streamlit as st
from streamlit.navigation.page import Page

PEOPLE_PAGE, POINTS_PAGE = "reidentify", "playground"  # pages that need a kind of data
_THROUGH_APP = "through_app"  # of the session: app.py has begun this run of the page


def navigation() -> Page:
    """Draw the list of all pages, by what a visitor wants to do; returns the page that is open."""
    st.session_state[_THROUGH_APP] = True
    return st.navigation(
        {
            "": [
                st.Page("pages/start.py", title="Start", icon=":material/play_circle:", default=True),
                st.Page("pages/playground.py", title="Playground", icon=":material/gesture:", url_path=POINTS_PAGE),
            ],
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


def hand_over() -> None:
    """Leave a page that Streamlit runs on its own, without app.py: it does so when a server's very first visit is a deep link.

    Until `st.navigation` has been called once, a folder called `pages` is served the old way. Calling it here ends that for
    good, and the rerun goes through app.py. Every page calls this once.
    """
    if not st.session_state.pop(_THROUGH_APP, False) and "dataset" not in st.session_state:
        navigation()
        st.rerun()
