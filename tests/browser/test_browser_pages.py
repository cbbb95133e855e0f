"""Every page opened once in a real headless Chromium: the smoke test of the default run.

It is one test, because a second worker would start a second server and load Streamlit's scripts again.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from test_browser import HEADINGS, NAVIGATION, Server, Visitor, main

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser
WIDTHS = (1400, 800)
ROLES = "button|link|slider|combobox|textbox|checkbox|switch|spinbutton"
OVER = "element => element.scrollWidth - element.clientWidth"


def test_every_page_opens_fits_its_window_and_names_everything(server: Server, visitor: Visitor) -> None:
    assert server.first_navigation == list(NAVIGATION), "the very first visit to a fresh server may be a deep link"
    assert server.first_sidebar["Forget"] == "class:Bag"
    assert {"Dataset", "Model"} <= server.first_sidebar.keys()
    assert server.first_has_run
    wrong = {path or "start": faults for path in HEADINGS if (faults := faults_of(visitor.open(path)))}
    assert not wrong
    assert not visitor.errors
    assert "Traceback" not in server.log.read_text()


def faults_of(page: Page) -> list[str]:
    """What is wrong with the page as it stands: wider than its window, a picture or a control without a name, an exception."""
    faults = []
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 1000})
        page.wait_for_timeout(500)  # charts draw themselves after the script has ended
        for name, over in (
            ("page", page.evaluate(f"({OVER})(document.scrollingElement)")),
            ("main part", main(page).evaluate(OVER)),
        ):
            faults += [f"at {width} the {name} is {over} pixels too wide"] if over > 2 else []
    unnamed = page.evaluate("[...document.images].filter(image => !image.alt).map(image => image.outerHTML.slice(0, 200))")
    faults += [f"a picture without a name: {picture}" for picture in unnamed]
    tree = page.locator("body").aria_snapshot()
    faults += ["hardly any buttons"] if len(re.findall(r"- '?button \"", tree)) <= 3 else []
    faults += [f"a control without a name: {line}" for line in re.findall(rf"^\s*- '?(?:{ROLES})(?: \[.*|:.*|)$", tree, re.M)]
    return faults + page.get_by_test_id("stException").all_inner_texts()
