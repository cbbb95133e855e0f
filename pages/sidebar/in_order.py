"""A page and the sidebar beside it, in the order in which a visitor has most of them."""

from __future__ import annotations

from streamlit.navigation.page import Page

from pages.session import links

START = ""  # the address of the page that is drawn before the engine is loaded


def draw(page: Page) -> None:
    """Draw the sidebar and `page`. Start comes before the sidebar: it needs no engine, and loading that takes seconds."""
    if page.url_path == START:
        page.run()
        _sidebar(page)
    else:
        _sidebar(page)
        page.run()


def _sidebar(page: Page) -> None:
    from pages.sidebar import problem_choice  # brings the engine along

    problem_choice.sidebar(page)
    links.restore()
