"""The player without a mouse, in a real browser: few stops of the Tab key before it, and focus that stays where it was."""

from __future__ import annotations

import contextlib

import pytest
from test_browser import (
    IN_FULL_RUN,
    Visitor,
    eventually,
    in_stage,
    last_step,
    problem_of,
    scrub,
    slider,
    slider_value,
    stage,
    told,
)

with contextlib.suppress(ImportError):  # reported by the fixture `chromium`
    from playwright.sync_api import Page, expect

pytestmark = IN_FULL_RUN
FEW = 4  # stops of the Tab key until the link that leads to the stage
NEAR = 1  # stops from there to Play
STILL = {"": {"play": 0}, "unlearn": {}}  # the words of a link that opens a page with its player at rest
FOCUSED = """() => {
    let at = document.activeElement;
    while (at.shadowRoot?.activeElement) at = at.shadowRoot.activeElement;
    return at.innerText?.trim() || at.value || at.tagName;
}"""


def focused(page: Page) -> str:
    """What the element with the focus says."""
    return page.evaluate(FOCUSED)


def tab_to(page: Page, wanted: str, most: int, key: str = "Tab") -> None:
    """Press Tab until `wanted` has the focus; at most `most` times."""
    passed = []
    while not passed or passed[-1] != wanted:
        assert len(passed) < most, f"after {most} stops still not at {wanted}: {passed}"
        page.keyboard.press(key)
        passed.append(focused(page))


@pytest.mark.parametrize("path", ["", "unlearn"], ids=["start", "unlearn"])
def test_the_player_is_near_and_keeps_the_focus(visitor: Visitor, path: str) -> None:
    page = visitor.open(path, **STILL[path])
    tab_to(page, "Skip to Play", FEW)
    page.keyboard.press("Enter")
    tab_to(page, "Play", NEAR)
    tab_to(page, "slow", 5)
    page.keyboard.press("Space")
    expect(in_stage(page, "slow")).to_have_attribute("aria-pressed", "true")
    tab_to(page, "Play", 5, "Shift+Tab")
    for key, then in (("Enter", "Pause"), ("Space", "Play"), ("Enter", "Pause")):
        page.keyboard.press(key)
        expect(in_stage(page, then)).to_be_focused()
    seen: set[int] = set()
    eventually(lambda: seen.add(slider_value(page)) or len(seen) > 2, "the replay moves")
    expect(in_stage(page, "Pause")).to_be_focused()
    page.keyboard.press("Space")
    expect(in_stage(page, "Play")).to_be_focused()
    told(visitor)
    expect(in_stage(page, "Play")).to_be_focused()


def test_arrows_step_and_the_focus_stays_at_both_ends(visitor: Visitor) -> None:
    page = visitor.open("unlearn")
    last = last_step(page)
    button = in_stage(page, "Play")
    button.focus()
    for key, step in (("ArrowRight", last), ("ArrowLeft", last - 1), ("ArrowLeft", last - 2), ("ArrowRight", last - 1)):
        page.keyboard.press(key)
        expect(slider(page)).to_have_value(str(step))
        told(visitor)
        expect(button).to_be_focused()
    forward, back = in_stage(page, "Forward one step"), in_stage(page, "Back one step")
    for one, step in ((forward, last), (forward, last), (back, last - 1)):
        one.focus()
        page.keyboard.press("Enter")
        expect(slider(page)).to_have_value(str(step))
        told(visitor)
        expect(one).to_be_focused()
    slider(page).focus()
    for key, step in (("Home", 0), ("ArrowLeft", 0), ("ArrowRight", 1), ("End", last)):
        page.keyboard.press(key)
        expect(slider(page)).to_have_value(str(step))
        told(visitor)
        expect(slider(page)).to_be_focused()


@pytest.mark.parametrize("path", ["", "unlearn"], ids=["start", "unlearn"])
def test_the_end_of_a_replay_leaves_the_focus_on_the_button(visitor: Visitor, path: str) -> None:
    page = visitor.open(path, **STILL[path])
    in_stage(page, "slow").click()
    scrub(visitor, last_step(page) - 15)
    in_stage(page, "Play").focus()
    sent = len(visitor.sent)
    page.keyboard.press("Enter")
    expect(in_stage(page, "Pause")).to_be_focused()
    expect(in_stage(page, "Play")).to_be_focused()
    expect(slider(page)).to_have_value(str(last_step(page)))
    told(visitor)
    assert len(visitor.sent) == sent + 1, "the server hears once of the end"
    expect(in_stage(page, "Play")).to_be_focused()
    page.keyboard.press("Enter")
    expect(in_stage(page, "Pause")).to_be_focused()
    page.keyboard.press("Enter")
    expect(in_stage(page, "Play")).to_be_focused()


def test_space_plays_from_the_slider_too(visitor: Visitor) -> None:
    page = visitor.open("", **STILL[""])
    in_stage(page, "slow").click()
    slider(page).focus()
    page.keyboard.press("Space")
    expect(in_stage(page, "Pause")).to_be_visible()
    page.keyboard.press("Space")
    expect(in_stage(page, "Play")).to_be_visible()
    expect(slider(page)).to_be_focused()


def test_arrows_choose_another_class(visitor: Visitor) -> None:
    page = visitor.open("", **STILL[""])
    stage(page).get_by_role("radio", name="Sandal").focus()
    for key, name in (("ArrowRight", "Shirt"), ("ArrowLeft", "Sandal"), ("ArrowLeft", "Coat")):
        page.keyboard.press(key)
        chosen = stage(page).get_by_role("radio", name=name, exact=True)
        expect(chosen).to_be_checked()
        expect(chosen).to_be_focused()
        visitor.settled()
        expect(chosen).to_be_focused()
        eventually(lambda name=name: problem_of(page)["Forget"] == f"class:{name}", "the sidebar follows")


def test_the_wall_is_one_stop_and_a_picture_opens_its_card(visitor: Visitor) -> None:
    page = visitor.open("unlearn")
    pictures = stage(page).locator(".tile button")
    pictures.first.focus()
    for key, place in (("ArrowLeft", 0), ("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1)):
        page.keyboard.press(key)
        expect(pictures.nth(place)).to_be_focused()
    assert pictures.evaluate_all("all => all.filter(one => one.tabIndex === 0).length") == 1
    page.keyboard.press("Enter")
    card = page.get_by_role("dialog")
    expect(card.get_by_text("Rank by score")).to_be_visible()
    page.keyboard.press("Escape")
    expect(card).to_have_count(0)
