"""The player without a mouse, in a real browser: few stops of the Tab key before it, and focus that stays where it was."""

from __future__ import annotations

import contextlib

import pytest
from test_browser import IN_FULL_RUN, Visitor, eventually, main, slider_value

with contextlib.suppress(ImportError):  # reported by the fixture `chromium`
    from playwright.sync_api import Page, expect

pytestmark = IN_FULL_RUN
FEW = 4  # stops of the Tab key until the link that leads to Play
FOCUSED = "document.activeElement.innerText?.trim() || document.activeElement.value || document.activeElement.tagName"


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
    page = visitor.open(path)
    button = {name: main(page).get_by_role("button", name=name, exact=True) for name in ("Play", "Pause")}
    tab_to(page, "Skip to Play", FEW)
    page.keyboard.press("Enter")
    tab_to(page, "Play", 1)
    tab_to(page, "slow", 5)
    page.keyboard.press("Space")
    expect(main(page).get_by_role("radio", name="slow")).to_be_checked()
    visitor.settled()
    tab_to(page, "Play", 5, "Shift+Tab")
    for key, then in (("Enter", "Pause"), ("Space", "Play"), ("Enter", "Pause")):
        page.keyboard.press(key)
        expect(button[then]).to_be_focused()
    seen: set[int] = set()
    eventually(lambda: seen.add(slider_value(page)) or len(seen) > 2, "the replay moves")
    expect(button["Pause"]).to_be_focused()
    page.keyboard.press("Space")
    expect(button["Play"]).to_be_focused()


def test_the_steps_keep_the_focus_at_both_ends(visitor: Visitor) -> None:
    page = visitor.open("unlearn")
    slider = main(page).get_by_role("slider", name="Step")
    last = slider.get_attribute("max")
    forward = main(page).get_by_role("button", name="Forward one step", exact=True)
    end = main(page).get_by_role("button", name="To the end", exact=True)
    main(page).get_by_role("button", name="Back one step", exact=True).click()
    expect(slider).to_have_value(str(int(last) - 1))
    for button in (forward, end):
        button.focus()
        page.keyboard.press("Enter")
        expect(slider).to_have_value(last)
        visitor.settled()
        expect(button).to_be_focused()
