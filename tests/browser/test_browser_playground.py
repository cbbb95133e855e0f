"""The playground in a real browser: the boundary moves, a point can be dragged, drawn and marked, and the server hears of it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from test_browser import IN_FULL_RUN, Server, Visitor, eventually, main, problem_of, slider_value, stage, visitor_at

with contextlib.suppress(ImportError):  # reported by the fixture `chromium`
    from playwright.sync_api import Browser, Locator, Page, expect

pytestmark = IN_FULL_RUN


@pytest.fixture
def visitor(server: Server, chromium: Browser) -> Iterator[Visitor]:
    with visitor_at(server.address, chromium, 1280, 720, reduced_motion="reduce") as made:
        yield made


def plane(page: Page) -> Locator:
    return stage(page).locator(".ground canvas")


def inked(page: Page) -> str:
    """What the plane shows, as an address that differs where a pixel does."""
    return plane(page).evaluate("canvas => canvas.toDataURL()")


def tool(page: Page, name: str) -> None:
    stage(page).get_by_role("radio", name=name, exact=True).click()


def spot(page: Page, across: float, up: float) -> tuple[float, float]:
    """Where a point of the plane lies on the screen."""
    box = plane(page).bounding_box()
    assert box
    return box["x"] + (across + 1) / 2 * box["width"], box["y"] + (1 - up) / 2 * box["height"]


def dataset(page: Page) -> str:
    return problem_of(page)["Dataset"]


def test_the_boundary_moves_with_the_steps_and_the_server_hears_nothing(server: Server, chromium: Browser) -> None:
    with visitor_at(server.address, chromium, 1280, 720) as visitor:
        page = visitor.open("playground")
        eventually(lambda: slider_value(page) == 40, "it has played once")
        box = plane(page).bounding_box()
        assert box
        assert box["y"] + box["height"] < 720  # on the first screen
        last = inked(page)
        visitor.settled()
        before = len(visitor.sent)
        stage(page).get_by_role("button", name="Play", exact=True).click()
        eventually(lambda: 0 < slider_value(page) < 40, "it plays")
        eventually(lambda: inked(page) != last, "the plane follows")
        assert len(visitor.sent) == before


def test_dragging_a_point_trains_anew_and_plays(visitor: Visitor) -> None:
    page = visitor.open("playground", dataset="points:outlier", model="mlp", forget="ids:0")
    before = inked(page)
    page.mouse.move(*spot(page, 0.5, -0.2))
    expect(stage(page).locator(".tip")).to_contain_text("point 0, class A; to be forgotten; influence 1.00")
    page.mouse.down()
    page.mouse.move(*spot(page, 0.6, 0.3), steps=8)
    page.mouse.up()
    eventually(lambda: dataset(page).startswith("points:drawn-"), "the moved points are the problem")
    visitor.settled()
    assert problem_of(page)["Forget"] == "ids:0"
    assert inked(page) != before
    page.mouse.move(*spot(page, 0.6, 0.3))
    expect(stage(page).locator(".tip")).to_contain_text("point 0, class A; to be forgotten")


def test_points_are_drawn_marked_and_erased(visitor: Visitor) -> None:
    page = visitor.open("playground")
    tool(page, "Draw points of class C")
    page.mouse.move(*spot(page, -0.9, -0.9))
    page.mouse.down()
    page.mouse.move(*spot(page, -0.5, -0.9), steps=12)
    page.mouse.up()
    eventually(lambda: dataset(page).startswith("points:drawn-"), "the drawn points are the problem")
    visitor.settled()
    three = dataset(page)
    tool(page, "Brush the points that must be forgotten")
    page.mouse.move(*spot(page, -0.9, -0.9))
    page.mouse.down()
    page.mouse.move(*spot(page, -0.5, -0.9), steps=12)
    page.mouse.up()
    eventually(lambda: problem_of(page)["Forget"] != "ids:70-99", "more points are marked")
    assert problem_of(page)["Forget"].startswith("ids:70-99,200-")
    assert dataset(page) == three
    visitor.settled()
    tool(page, "Erase points")
    page.mouse.move(*spot(page, -0.9, -0.9))
    page.mouse.down()
    page.mouse.move(*spot(page, -0.5, -0.9), steps=12)
    page.mouse.up()
    eventually(lambda: dataset(page) != three, "the points are gone")
    visitor.settled()
    assert problem_of(page)["Forget"] == "ids:70-99"


def test_points_that_cannot_be_used_are_said_and_nothing_is_lost(visitor: Visitor) -> None:
    page = visitor.open("playground", dataset="points:outlier", model="mlp", forget="ids:0")
    tool(page, "Brush points that may stay")
    page.mouse.click(*spot(page, 0.5, -0.2))
    expect(main(page).get_by_text("No point is marked to be forgotten")).to_be_visible()
    assert dataset(page) == "points:outlier"
    expect(stage(page).locator(".ground.waits")).to_have_count(0)


def test_tools_are_chosen_with_the_keyboard(visitor: Visitor) -> None:
    page = visitor.open("playground")
    stage(page).get_by_role("radio", name="Drag a point; point at one to read it", exact=True).focus()
    page.keyboard.press("ArrowRight")
    expect(stage(page).get_by_role("radio", name="Draw points of class A", exact=True)).to_be_focused()
    expect(stage(page).get_by_role("radio", name="Draw points of class A", exact=True)).to_be_checked()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    expect(stage(page).get_by_role("radio", name="Brush points that may stay", exact=True)).to_be_checked()
