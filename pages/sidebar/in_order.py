"""A page and the sidebar beside it, in the order in which a visitor has most of them."""

from __future__ import annotations

from typing import Any

from streamlit.navigation.page import Page
from streamlit.runtime.scriptrunner import StopException

from pages.lesson import lecture, strip
from pages.session import links

START = ""  # the address of the page that is drawn before the engine is loaded


def draw(page: Page) -> None:
    """Draw the sidebar and `page`, above it the lesson where the visitor takes it.

    Start comes before the sidebar: it needs no engine, and loading that takes seconds.
    """
    lecture.lay_out()
    place = strip.begin(page)
    if page.url_path == START:
        _main(page, place)
        _sidebar(page)
    else:
        _sidebar(page)
        _main(page, place)


def _main(page: Page, place: Any) -> None:
    try:
        page.run()
    except StopException:  # the page waits for something; the lesson goes on
        strip.end(place)
        raise
    strip.end(place)


def _sidebar(page: Page) -> None:
    from pages.sidebar import problem_choice  # brings the engine along

    problem_choice.sidebar(page)
    links.restore()
