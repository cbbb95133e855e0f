"""Every page opened once in a real headless Chromium: the smoke test of the default run."""

from __future__ import annotations

import re

import pytest
from test_browser import HEADINGS, NAVIGATION, Server, Visitor, main

pytestmark = pytest.mark.browser


def test_the_very_first_visit_to_a_fresh_server_may_be_a_deep_link(server: Server) -> None:
    assert server.first_navigation == list(NAVIGATION)
    assert server.first_sidebar["Forget"] == "class:Bag"
    assert {"Dataset", "Model"} <= server.first_sidebar.keys()
    assert server.first_has_run


@pytest.mark.parametrize("path", HEADINGS, ids=lambda path: path or "start")
def test_a_page_fits_its_window_and_names_everything(visitor: Visitor, path: str) -> None:
    page = visitor.open(path)
    for width in (1400, 800):
        page.set_viewport_size({"width": width, "height": 1000})
        page.wait_for_timeout(500)  # charts draw themselves after the script has ended
        sizes = page.evaluate("[document.scrollingElement.scrollWidth, document.scrollingElement.clientWidth]")
        assert sizes[0] <= sizes[1] + 2
        inner = main(page).evaluate("element => [element.scrollWidth, element.clientWidth]")
        assert inner[0] <= inner[1] + 2
    assert page.evaluate("[...document.images].filter(image => !image.alt).map(image => image.outerHTML.slice(0, 200))") == []
    tree = page.locator("body").aria_snapshot()
    assert len(re.findall(r"- '?button \"", tree)) > 3
    roles = "button|link|slider|combobox|textbox|checkbox|switch|spinbutton"
    assert re.findall(rf"^\s*- '?(?:{roles})(?: \[.*|:.*|)$", tree, re.M) == []


def test_the_server_wrote_no_traceback(server: Server) -> None:
    assert "Traceback" not in server.log.read_text()
