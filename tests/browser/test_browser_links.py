"""Links in a real browser: what the box gives away opens the same for somebody else, and Back brings back what was shown."""

from __future__ import annotations

import contextlib
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from test_browser import (
    HEADINGS,
    IN_FULL_RUN,
    Server,
    Visitor,
    charted,
    in_stage,
    last_step,
    main,
    popover,
    press_run,
    scrub,
    slider,
    slider_value,
    stage,
    told,
    visitor_at,
)

with contextlib.suppress(ImportError):  # reported by the fixture `chromium`
    from playwright.sync_api import Browser, Page, expect

pytestmark = IN_FULL_RUN
LENET = {"model": "lenet5"}  # no retrained model, quick features
PRESET = "five epochs"  # not the one that the page opens with


@pytest.fixture
def somebody(server: Server, chromium: Browser) -> Any:
    """Another visitor, who has nothing of the first one's but a link."""
    with visitor_at(server.address, chromium) as visitor:
        yield visitor


def choose(visitor: Visitor, *names: str) -> Page:
    """Click options of groups, by their names."""
    for name in names:
        options = main(visitor.page).get_by_test_id("stButtonGroup").get_by_text(name, exact=True)
        options.first.click()
        visitor.settled()
    return visitor.page


def chosen(page: Page) -> list[str]:
    """Every option that is switched on, of all groups on the page, in their order."""
    on = '[data-testid="stButtonGroup"] :is([aria-checked="true"], [aria-pressed="true"], [data-testid$="Active"])'
    return [text.strip() for text in main(page).locator(on).all_inner_texts()]


def taken(visitor: Visitor) -> str:
    """The address in the box; the box is closed again."""
    page = visitor.page
    body = popover(page, main(page).get_by_role("button", name="Link", exact=True))
    visitor.settled()
    address = body.get_by_test_id("stCode").inner_text().replace("\n", "").strip()
    page.keyboard.press("Escape")
    expect(body).to_have_count(0)
    return address


def follow(visitor: Visitor, address: str) -> Page:
    """Open a whole address and wait until the page has been drawn; it says of nothing that it could not be had."""
    visitor.page.goto(address)
    heading = HEADINGS[urlsplit(address).path.strip("/")]
    expect(visitor.page.get_by_role("heading", name=heading, exact=True)).to_be_visible()
    page = visitor.settled()
    expect(page.get_by_text("Not everything that the link asks for")).to_have_count(0)
    return page


def measure(page: Page) -> Any:
    return (
        main(page)
        .get_by_role("switch", name="Attack the result afterwards")
        .or_(main(page).get_by_role("checkbox", name="Attack the result afterwards"))
    )


def test_unlearn_opens_with_the_same_preset_methods_switch_and_step(visitor: Visitor, somebody: Visitor) -> None:
    page = visitor.open("unlearn", **LENET)
    choose(visitor, "NPO", "SimNPO", PRESET)
    main(page).get_by_text("Attack the result afterwards").click()
    visitor.settled()
    before = chosen(page)
    assert {"IMU", "GA", "SimNPO", PRESET} <= set(before)
    assert "NPO" not in before
    there = follow(somebody, taken(visitor))
    assert chosen(there) == before, "the form, before anything was run"
    press_run(visitor.settled())
    visitor.settled()
    scrub(visitor, last_step(page))
    for _ in range(2):
        in_stage(page, "Back one step").click()
    told(visitor)
    step = slider_value(page)
    assert step == last_step(page) - 2
    address = taken(visitor)
    asked = parse_qs(urlsplit(address).query)
    assert (asked["preset"], asked["methods"], asked["step"]) == ([PRESET], ["IMU", "GA", "SimNPO"], [str(step)])
    there = follow(somebody, address)
    assert chosen(there) == before
    expect(measure(there)).not_to_be_checked()
    expect(main(there).get_by_role("spinbutton", name="Epochs")).to_have_count(0)
    press_run(there)
    somebody.settled()
    assert slider_value(there) == step
    slider(page).press("ArrowLeft")
    told(visitor)
    assert parse_qs(urlsplit(taken(visitor)).query)["step"] == [str(step - 1)], "it is written as it is opened"


def test_start_opens_with_the_same_class_and_step(visitor: Visitor, somebody: Visitor) -> None:
    page = visitor.open("", play=0)
    assert parse_qs(urlsplit(taken(visitor)).query) == {"forget": ["class:Sandal"]}, "the end needs no step"
    stage(page).get_by_role("radio", name="Bag", exact=True).click()
    scrub(visitor, 12)
    address = taken(visitor)
    assert parse_qs(urlsplit(address).query) == {"forget": ["class:Bag"], "step": ["12"]}
    there = follow(somebody, address)
    expect(stage(there).get_by_role("radio", name="Bag", exact=True)).to_be_checked()
    expect(slider(there)).to_have_value("12")
    expect(in_stage(there, "Play")).to_be_visible()
    assert charted(there) == charted(page)
    scrub(visitor, 13)
    assert parse_qs(urlsplit(taken(visitor)).query)["step"] == ["13"], "it is written as it is opened"


def test_compare_and_attack_open_with_the_same_runs_and_choices(visitor: Visitor, somebody: Visitor) -> None:
    page = visitor.open("unlearn", **LENET, methods=["GA", "NPO"], measure="false", run_seed=5)
    press_run(page)
    visitor.settled()
    page = visitor.go_to("Compare")
    choose(visitor, "A against B", "test set")
    said = re.compile("^GA and NPO give the same answer to")
    expect(main(page).get_by_text(said)).to_be_visible()
    address = taken(visitor)
    assert len(parse_qs(urlsplit(address).query)["runs"][0].split(",")) == 2
    there = follow(somebody, address)
    expect(main(there).get_by_text(said)).to_be_visible()
    assert {"A against B", "test set"} <= set(chosen(there))

    page = visitor.go_to("Attack")
    choose(visitor, "NPO", "All of it", "Entropy", "all images")
    there = follow(somebody, taken(visitor))
    now = chosen(there)
    assert {"Entropy", "all images"} <= set(now)
    assert [name for name in now if name.startswith("NPO (")], "the stored run, not the example of that name"
    expect(main(there).get_by_text("Finished examples")).to_have_count(0)


def back_to(visitor: Visitor, path: str) -> None:
    """Press Back until that page is there: Re-identify has taken its people since, and every address it had is a step."""
    for _ in range(6):
        visitor.page.go_back()
        visitor.settled()
        if urlsplit(visitor.page.url).path == f"/{path}":
            break
    expect(visitor.page.get_by_role("heading", name=HEADINGS[path], exact=True)).to_be_visible()
    visitor.settled()


def test_back_brings_back_what_a_page_showed(visitor: Visitor) -> None:
    """Also where both pages have a choice of that name, and where a button led away."""
    page = visitor.open("unlearn", **LENET)
    choose(visitor, "NPO", PRESET, "last:1")
    before = chosen(page)
    for name in ("Influence", "Re-identify"):
        page = visitor.go_to(name)
        choose(visitor, "exact" if name == "Influence" else "GA")
        here = chosen(page)
        back_to(visitor, "unlearn")
        assert chosen(page) == before
        assert parse_qs(urlsplit(page.url).query)["preset"] == [PRESET]
        if name == "Re-identify":
            continue
        page.go_forward()
        expect(page.get_by_role("heading", name=HEADINGS["unlearn"], exact=True)).to_have_count(0)
        assert chosen(visitor.settled()) == here
        back_to(visitor, "unlearn")
        assert chosen(page) == before
    page = visitor.go_to("Influence")
    choose(visitor, "exact")
    main(page).get_by_role("button", name=re.compile("^Unlearn ")).click()
    expect(page.get_by_role("heading", name=HEADINGS["unlearn"], exact=True)).to_be_visible()
    visitor.settled()
    back_to(visitor, "influence")
    assert "exact" in chosen(page)
