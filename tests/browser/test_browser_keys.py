"""Without a mouse, in a real browser: the player is near and keeps the focus, and the whole lesson can be taken."""

from __future__ import annotations

import contextlib

import pytest
from test_browser import (
    IN_FULL_RUN,
    Visitor,
    eventually,
    in_stage,
    last_step,
    main,
    problem_of,
    scrub,
    slider,
    slider_value,
    stage,
    told,
)

from pages.lesson.steps import STEPS
from pages.lesson.words import words

with contextlib.suppress(ImportError):  # reported by the fixture `chromium`
    from playwright.sync_api import Locator, Page, expect

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


# The lesson: each step is predicted, done and left by Tab, Enter, arrows and Escape.

STOPS = 160  # stops of the Tab key
IS_FOCUSED = "element => element.matches(':focus, :focus-within')"
ENGLISH = words()


def reach(page: Page, wanted: Locator) -> None:
    """Press Tab until `wanted` has the focus."""
    wanted.first.wait_for()
    for _ in range(STOPS):
        if wanted.first.evaluate(IS_FOCUSED):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"{wanted} is not reached by {STOPS} stops of the Tab key")


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


def press_run(visitor: Visitor) -> None:
    press(visitor.page, button(visitor.page, "Run"))


def open_a_card(visitor: Visitor) -> None:
    page = visitor.page
    press(page, button(page, "Open"))
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
    "forget": press_run,
    "cost": lambda visitor: None,
    "influence": open_a_card,
    "shuffle": press_run,
    "far": press_run,
    "tenth": press_run,
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
