"""The whole lesson without a mouse, in a real browser: each step is predicted, done and left by Tab, Enter, arrows and Escape."""

from __future__ import annotations

import contextlib

from test_browser import IN_FULL_RUN, Visitor, main, slider

from pages.lesson.steps import STEPS
from pages.lesson.words import words

with contextlib.suppress(ImportError):  # reported by the fixture `chromium`
    from playwright.sync_api import Locator, Page, expect

pytestmark = IN_FULL_RUN
MOST = 160  # stops of the Tab key
IS_FOCUSED = "element => element.matches(':focus, :focus-within')"
ENGLISH = words()


def reach(page: Page, wanted: Locator) -> None:
    """Press Tab until `wanted` has the focus."""
    wanted.first.wait_for()
    for _ in range(MOST):
        if wanted.first.evaluate(IS_FOCUSED):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"{wanted} is not reached by {MOST} stops of the Tab key")


def press(page: Page, wanted: Locator, key: str = "Enter") -> None:
    reach(page, wanted)
    page.keyboard.press(key)


def button(page: Page, name: str) -> Locator:
    return main(page).get_by_role("button", name=name, exact=True)


def choose(page: Page, name: str) -> None:
    """Reach the group of the choice `name`, which is one stop of the Tab key, go along it by arrows, and choose."""
    wanted = page.get_by_role("radio", name=name, exact=True)
    reach(page, main(page).get_by_role("radiogroup").filter(has=wanted))
    for _ in range(10):
        if wanted.evaluate(IS_FOCUSED):
            page.keyboard.press("Space")
            return
        page.keyboard.press("ArrowRight")
    raise AssertionError(f"{wanted} is not reached by arrows")


def strip(page: Page) -> Locator:
    return page.locator(".st-key-lesson")


def run(visitor: Visitor) -> None:
    press(visitor.page, button(visitor.page, "Run"))


def open_a_card(visitor: Visitor) -> None:
    page = visitor.page
    press(page, button(page, "open"))
    expect(page.get_by_role("dialog")).to_be_visible()
    visitor.settled()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def to_the_first_step(visitor: Visitor) -> None:
    reach(visitor.page, slider(visitor.page))
    visitor.page.keyboard.press("Home")


def move_the_threshold(visitor: Visitor) -> None:
    reach(visitor.page, main(visitor.page).get_by_role("slider"))
    visitor.page.keyboard.press("ArrowRight")


TASKS = {
    "knows": to_the_first_step,
    "forget": run,
    "cost": lambda visitor: None,
    "influence": open_a_card,
    "shuffle": run,
    "far": run,
    "tenth": run,
    "attack": move_the_threshold,
    "probe": lambda visitor: press(visitor.page, button(visitor.page, "Train fresh heads")),
    "person": lambda visitor: None,
    "retraining": lambda visitor: choose(visitor.page, "A against B"),
    "own": lambda visitor: press(visitor.page, main(visitor.page).locator("summary").filter(has_text="What is read")),
}


def test_the_whole_lesson_without_a_mouse(visitor: Visitor) -> None:
    page = visitor.open("", lesson=1, play=0)
    for number, step in enumerate(STEPS, 1):
        part = ENGLISH[step.name]
        expect(strip(page)).to_contain_text(part["title"])
        visitor.settled()
        if part.get("ask"):
            press(
                page,
                strip(page)
                .get_by_role("radio", name=part["answers"][0])
                .or_(strip(page).get_by_role("button", name=part["answers"][0])),
            )
            expect(strip(page)).to_contain_text("You said")
        TASKS[step.name](visitor)
        expect(strip(page)).to_contain_text(ENGLISH["strip"]["done"])
        if number < len(STEPS):
            press(page, strip(page).get_by_role("button", name=ENGLISH["strip"]["next"], exact=True))
    expect(strip(page)).to_contain_text(ENGLISH["strip"]["end"])
