"""No text is cut: every word of every page is measured in a real browser, at four widths."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest
from test_browser import HEADINGS, IN_FULL_RUN, Visitor, eventually, main, popover, press_run, stage, verdict
from test_browser_runs import tick_first

with contextlib.suppress(ImportError):  # reported by the fixture `chromium`
    from playwright.sync_api import Page, expect

pytestmark = IN_FULL_RUN
WIDTHS = (1400, 1280, 800, 390)
MEASURE = (Path(__file__).parent / "cut.js").read_text()
DRAW = (Path(__file__).parent / "drawn.js").read_text()
EDGE = "document.querySelector('[data-testid=stSidebar]').getBoundingClientRect().right"
TRIES, PAUSE = 12, 400  # charts and tables draw themselves some time after the page


def cut(page: Page) -> list[str]:
    """What is cut on the page as it is now, once two looks in a row say the same."""
    before = None
    for _ in range(TRIES):
        page.wait_for_timeout(PAUSE)
        found = page.evaluate(MEASURE)
        if found == before or not found:
            break
        before = found
    return found


def look(visitor: Visitor) -> None:
    """Open whatever can be unfolded, then measure at every width."""
    page = visitor.page
    page.evaluate("document.querySelectorAll('details:not([open]) > summary').forEach(summary => summary.click())")
    visitor.settled()
    found = {}
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        texts = [*cut(page), *(unfolded(page) if page.get_by_role("dialog").count() == 0 else ())]
        sideways = main(page).evaluate("element => element.scrollWidth - element.clientWidth")
        texts += [f"the page is {sideways} px wider than its window"] if sideways > 2 else []
        if texts:
            found[width] = texts
    assert not found


def unfolded(page: Page) -> list[str]:
    """What is cut in popovers and in the sidebar; behind an open dialog nobody can open them."""
    return popovers(page) + sidebar(page)


def popovers(page: Page) -> list[str]:
    """What is cut in each popover of the page, one opened after the other."""
    found = []
    for opener in main(page).get_by_test_id("stPopover").get_by_role("button").all():
        if opener.is_enabled():
            body = popover(page, opener)
            found += cut(page)
            page.keyboard.press("Escape")
            expect(body).to_be_hidden()
    return found


def sidebar(page: Page) -> list[str]:
    """What is cut in the sidebar, where it is folded away until it is asked for; it is folded away again."""
    opener = page.get_by_test_id("stExpandSidebarButton")
    if not opener.is_visible():
        return []
    opener.click()
    expect(opener).to_be_hidden()
    page.wait_for_function(f"{EDGE} >= 200")
    found = cut(page)
    page.get_by_test_id("stSidebarCollapseButton").get_by_role("button").click()
    page.wait_for_function(f"{EDGE} <= 0")
    return found


def opened(visitor: Visitor, path: str, **query: str) -> Page:
    """The page, with a note kept of every word that its tables draw."""
    visitor.page.set_viewport_size({"width": WIDTHS[0], "height": 800})
    visitor.page.add_init_script(DRAW)
    return visitor.open(path, **query)


def sample_card(visitor: Visitor) -> None:
    """Open the card of the first sample."""
    main(visitor.page).get_by_role("button", name="Open").first.click()
    expect(visitor.page.get_by_role("dialog").get_by_text("Rank by score")).to_be_visible()
    visitor.settled()


def own_runs(visitor: Visitor) -> None:
    """Run the three methods, and wait for what is said of them."""
    press_run(visitor.page)
    expect(verdict(visitor.page, "NPO still recognises")).to_be_visible()
    visitor.settled()


def one_run(visitor: Visitor) -> None:
    """Look closer at the first stored run."""
    tick_first(visitor)
    main(visitor.page).get_by_role("button", name="Look closer", exact=True).click()
    expect(main(visitor.page).get_by_role("heading", name="Figures")).to_be_visible()
    visitor.settled()


def long_names(visitor: Visitor) -> None:
    """Three stored runs with names, tags and requests of a length that people use."""
    own_runs(visitor)
    page = visitor.open("runs")
    tick_first(visitor)
    for opener, text, button in LONG_WORDS:
        body = popover(page, main(page).get_by_test_id("stPopover").get_by_role("button", name=opener, exact=True))
        body.get_by_role("textbox").fill(text)
        body.get_by_role("button", name=button, exact=True).click()
        visitor.settled()
        page.keyboard.press("Escape")
        expect(body).to_be_hidden()
        if button == LONG_WORDS[0][2]:
            tick_first(visitor)


LONG_WORDS = (
    ("Name", "The gentlest of all gradient ascents with WWWWWWWWWWWWWWWW, second attempt, for the lecture on Tuesday", "Rename"),
    ("Tags", f"lecture on Tuesday, a much longer tag than usual, {13 * 'W'}", "Tag"),
)
VIEWS: dict[str, tuple[str, dict[str, str], Callable[[Visitor], None] | None]] = {
    **{path or "start": (path, {}, None) for path in HEADINGS},
    "own settings": ("unlearn", {"preset": "own"}, None),
    "own runs": ("unlearn", {"measure": "false"}, own_runs),
    "named runs": ("unlearn", {"measure": "false"}, long_names),
    "a card": ("influence", {}, sample_card),
    "all methods": ("compare", {"compare": "All methods"}, None),
    "your runs": ("compare", {"compare": "Your runs"}, None),
    "the longest points": ("playground", {"dataset": "points:overlap", "model": "logistic", "forget": "hardest:20"}, None),
    "all of an attack": ("attack", {"attack_part": "All of it"}, None),
    "a person by steps": ("reidentify", {"dataset": "crowd", "people_part": "Step by step"}, None),
    "a against b": ("compare", {"compare": "A against B"}, None),
}


@pytest.mark.parametrize("view", VIEWS)
def test_no_text_is_cut(visitor: Visitor, view: str) -> None:
    path, query, prepare = VIEWS[view]
    opened(visitor, path, **query)
    if prepare:
        prepare(visitor)
    look(visitor)


@pytest.mark.parametrize(
    ("style", "kind"),
    [
        ("width: 60px; overflow: hidden; white-space: nowrap", "cut by"),
        ("width: 60px; overflow: hidden; white-space: nowrap; text-overflow: ellipsis", "cut by"),
        ("position: relative; left: 5000px", "off the window"),
        ("height: 9px; overflow: hidden", "cut below"),
    ],
)
def test_the_measure_finds_what_is_cut(visitor: Visitor, style: str, kind: str) -> None:
    page = opened(visitor, "glossary")
    page.evaluate("style => document.querySelector('h1').setAttribute('style', style)", style)
    assert any(text.startswith(kind) and "Glossary" in text for text in cut(page))


def test_the_measure_sees_into_the_stage(visitor: Visitor) -> None:
    page = opened(visitor, "", play="0")
    sentence = stage(page).locator(".sentence")
    for style, kind in (
        ("width: 60px; overflow: hidden; white-space: nowrap", "cut by"),
        ("position: relative; left: 5000px", "off the window"),
    ):
        sentence.evaluate("(element, style) => element.setAttribute('style', style)", style)
        assert any(text.startswith(kind) and "All stop once" in text for text in cut(page))
    sentence.evaluate("element => element.removeAttribute('style')")
    assert not cut(page)


def test_the_measure_sees_the_names_on_the_charts(visitor: Visitor) -> None:
    page = opened(visitor, "", play="0")
    script = "() => [...window.drawn].filter(([canvas]) => canvas.isConnected).flatMap(([, texts]) => [...texts.keys()])"
    assert {"chart IMU", "chart retrained", "chart Forget accuracy, % (left: forgotten)"} <= set(page.evaluate(script))
    stage(page).locator(".plane").evaluate("chart => chart.setAttribute('style', 'flex: none; width: 120px; height: 300px')")
    stage(page).evaluate("stage => (stage.style.width = '90%')")  # it draws itself anew where its size changes
    eventually(lambda: any("Test accuracy" in text for text in cut(page)), "what reaches over the edge is found")


def test_the_measure_sees_the_folded_sidebar(visitor: Visitor) -> None:
    page = opened(visitor, "glossary")
    page.set_viewport_size({"width": 390, "height": 800})
    assert not sidebar(page)
    style = "[data-testid=stSidebar] label { width: 20px; overflow: hidden; white-space: nowrap }"
    page.add_style_tag(content=style)
    assert any("Dataset" in text for text in sidebar(page))


def test_the_measure_sees_the_heads_of_tables(visitor: Visitor) -> None:
    page = opened(visitor, "compare", compare="Your runs", model="lenet5")
    script = "() => [...window.drawn].filter(([canvas]) => canvas.isConnected).flatMap(([, texts]) => [...texts.keys()])"
    drawn = eventually(lambda: page.evaluate(script), "the table is drawn")
    assert "head Run" in drawn
    page.evaluate("for (const texts of window.drawn.values()) texts.set('head Run', 20)")
    assert any("head Run" in text for text in cut(page))
