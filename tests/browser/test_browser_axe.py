"""No page has a serious fault for people who use a screen reader, a keyboard or need contrast: axe-core looks at each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import axe_playwright_python
import pytest
from test_browser import HEADINGS, IN_FULL_RUN, Server, visitor_at

pytestmark = IN_FULL_RUN
AXE = Path(axe_playwright_python.__file__).with_name("axe.min.js").read_text()
# Streamlit itself puts headings into the list of pages.
LOOK = "axe.run({exclude: [['[data-testid=stSidebarNavItems]']], resultTypes: ['violations']})"
GRAVE = ("serious", "critical")


def faults(page: Any) -> list[str]:
    """What axe-core calls serious or critical on the page, with where it is."""
    page.evaluate(AXE)
    found = page.evaluate(LOOK)["violations"]
    return [f"{fault['id']}: {node['html'][:120]}" for fault in found if fault["impact"] in GRAVE for node in fault["nodes"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_on_any_page(server: Server, chromium: Any, scheme: str) -> None:
    wrong = {}
    with visitor_at(server.address, chromium, color_scheme=scheme) as visitor:
        for path in HEADINGS:
            if found := faults(visitor.open(path)):
                wrong[path or "start"] = found
        if found := faults(visitor.open("unlearn", lesson=5)):
            wrong["lesson"] = found
    assert not wrong


def test_axe_sees_into_the_stage(server: Server, chromium: Any) -> None:
    with visitor_at(server.address, chromium) as visitor:
        page = visitor.open()
        page.locator(".stage .toggle").evaluate("button => { button.textContent = ''; }")
        assert any(fault.startswith("button-name") for fault in faults(page))
