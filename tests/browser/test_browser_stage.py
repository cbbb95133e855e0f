"""The stage in a real browser: it plays by itself and without its server, what is pointed at gets a tip, words say the same."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from test_browser import (
    IN_FULL_RUN,
    LONG_NAME,
    ROOT,
    Server,
    Visitor,
    charted,
    drawn_step,
    eventually,
    in_stage,
    last_step,
    main,
    press_run,
    problem_of,
    run_button,
    scrub,
    slider,
    slider_value,
    stage,
    start_long,
    told,
    verdict,
    visitor_at,
)

with contextlib.suppress(ImportError):  # reported by the fixture `chromium`
    from playwright.sync_api import Browser, Page, expect

pytestmark = IN_FULL_RUN
STORED = json.loads((ROOT / "assets" / "examples" / "fashion-small_resnet.json").read_text())
SCENES = dict(zip(STORED["names"], STORED["scenes"], strict=True))
QUICK = {"methods": ["IMU", "GA"], "measure": "false"}  # on Unlearn: runs that end within seconds
FRAMES = b'"flips"'  # stands in every message that holds frames
DRAWN = "window.imuStages.drawn"
# Every step that a slider in a shadow root has shown, in order: window.seen.
WATCH = """(() => {
    window.seen = [];
    let slider;
    const find = root => root.querySelector('.stage input[type=range]')
        ?? [...root.querySelectorAll('*')].map(el => el.shadowRoot && find(el.shadowRoot)).find(Boolean);
    setInterval(() => {
        if (!slider?.isConnected) slider = find(document);
        const step = slider?.max > 1 ? Number(slider.value) : window.seen.at(-1);
        if (step !== window.seen.at(-1)) window.seen.push(step);
    }, 15);
})()"""


def said(page: Page) -> list[str]:
    """The words under the pictures."""
    return stage(page).locator(".tile .says").all_inner_texts()


def answers(scene: dict[str, Any], name: str, step: int) -> list[str]:
    """What the run `name` says of each picture of the wall at `step`."""
    line = line_of(scene, name)
    place = place_of(line, step)
    return [scene["wall"]["names"][[to for at, to in flips if at <= place][-1]] for flips in line["flips"]]


def line_of(scene: dict[str, Any], name: str) -> dict[str, Any]:
    return next(line for line in scene["lines"] if line["name"] == name)


def place_of(line: dict[str, Any], step: int) -> int:
    """The place of the last point at or before `step`."""
    return sum(at <= step for at in line["steps"]) - 1


def number(cell: str) -> float:
    return float(cell.removesuffix(" %"))


def run_quick(visitor: Visitor) -> Page:
    """Unlearn with the runs of `QUICK`, which the stage shows from the first step on."""
    page = visitor.open("unlearn", **QUICK)
    press_run(page)
    eventually(lambda: charted(page).keys() == {"IMU", "GA", "original", "retrained"}, "the runs take the example's place")
    return visitor.settled()


def check_plays_alone(visitor: Visitor) -> None:
    """A replay goes to its end; between two moments well inside it nothing is sent and nothing comes."""
    page, last = visitor.page, last_step(visitor.page)
    told(visitor)
    in_stage(page, "slow").click()
    in_stage(page, "Play").click()
    eventually(lambda: 3 <= slider_value(page) < last, "the replay has begun")
    drawn, before = page.evaluate(DRAWN), (len(visitor.sent), len(visitor.received))
    eventually(lambda: slider_value(page) > last // 2, "the replay is past its middle")
    assert in_stage(page, "Pause").count(), "the replay is still going on"
    assert (len(visitor.sent), len(visitor.received)) == before, "frames come from the browser alone"
    assert page.evaluate(DRAWN) > drawn + 3
    expect(in_stage(page, "Play")).to_be_visible()
    expect(slider(page)).to_have_value(str(last))


def check_played_once(page: Page, last: int) -> None:
    """From one of the first steps to the last without a step back, as far as a look every 15 ms can tell."""
    expect(slider(page)).to_have_value(str(last))
    expect(in_stage(page, "Play")).to_be_visible()
    seen = page.evaluate("window.seen")
    played = seen[seen.index(min(seen)) :]
    assert played[0] <= last // 3
    assert all(one < then for one, then in pairwise(played))
    assert len(played) > 3
    assert played[-1] == last


def test_start_plays_once_by_itself_and_alone(visitor: Visitor) -> None:
    page = visitor.page
    page.add_init_script(WATCH)
    visitor.open()
    last = max(line["steps"][-1] for line in SCENES["Sandal"]["lines"])
    check_played_once(page, last)
    sent = len(visitor.sent)
    told(visitor)
    assert len(visitor.sent) == sent, "the server expects that it has ended"
    check_plays_alone(visitor)


def test_unlearn_plays_its_run_once_by_itself_and_alone(visitor: Visitor) -> None:
    page = visitor.page
    page.add_init_script(WATCH)
    visitor.open("unlearn", **QUICK)
    page.evaluate("window.seen = []")
    press_run(page)
    eventually(lambda: page.evaluate("window.seen.some((step, n) => n > 0 && step < window.seen[n - 1])"), "the replay has begun")
    check_played_once(page, last_step(page))
    visitor.settled()
    check_plays_alone(visitor)


@pytest.mark.parametrize("query", [{"play": 0}, {"step": 12}], ids=["play=0", "step=12"])
def test_a_link_can_ask_for_a_start_at_rest(visitor: Visitor, query: dict[str, int]) -> None:
    page = visitor.open("", **query)
    expect(in_stage(page, "Play")).to_be_visible()
    expect(slider(page)).to_have_value(str(query.get("step", last_step(page))))
    drawn = page.evaluate(DRAWN)
    page.wait_for_timeout(1000)
    assert page.evaluate(DRAWN) == drawn


@pytest.mark.parametrize("path", ["", "unlearn"], ids=["start", "unlearn"])
def test_with_less_motion_it_waits_for_the_button(server: Server, chromium: Browser, path: str) -> None:
    with visitor_at(server.address, chromium, reduced_motion="reduce") as visitor:
        page = run_quick(visitor) if path else visitor.open()
        for name in (None, *(() if path else ("Bag",))):  # what plays when it is chosen waits, too
            if name:
                stage(page).get_by_role("radio", name=name, exact=True).click()
                visitor.settled()
            assert last_step(page) > 1
            expect(slider(page)).to_have_value("0")
            expect(in_stage(page, "Play")).to_be_visible()
            drawn = page.evaluate(DRAWN)
            page.wait_for_timeout(1000)
            assert (slider_value(page), page.evaluate(DRAWN)) == (0, drawn)
        in_stage(page, "Play").click()
        eventually(lambda: slider_value(page) > 2, "the button plays it")
        expect(slider(page)).to_have_value(str(last_step(page)))


def test_another_class_is_replayed_and_becomes_the_problem(visitor: Visitor) -> None:
    page = visitor.page
    page.add_init_script(WATCH)
    visitor.open("", play=0)
    page.evaluate("window.seen = []")
    bag = stage(page).get_by_role("radio", name="Bag", exact=True)
    bag.click()
    expect(bag).to_be_checked()
    expect(stage(page).get_by_role("radio", checked=True)).to_have_count(1)
    eventually(lambda: problem_of(page)["Forget"] == "class:Bag", "the sidebar follows")
    check_played_once(page, max(line["steps"][-1] for line in SCENES["Bag"]["lines"]))
    assert said(page) == answers(SCENES["Bag"], "IMU", last_step(page))
    told(visitor)
    assert problem_of(page)["Forget"] == "class:Bag"
    expect(bag).to_be_checked()
    main(page).get_by_test_id("stPageLink").filter(has_text="Run it yourself").get_by_role("link").click()
    expect(run_button(page)).to_be_visible()
    visitor.settled()
    assert problem_of(page) == {"Dataset": "fashion", "Model": "small_resnet", "Forget": "class:Bag"}
    visitor.go_to("Start")
    expect(stage(page).get_by_role("radio", name="Bag", exact=True)).to_be_checked()
    expect(in_stage(page, "Play")).to_be_visible()


def test_the_sidebar_chooses_the_class_too(visitor: Visitor) -> None:
    page = visitor.open("", play=0, forget="class:Coat")
    coat = stage(page).get_by_role("radio", name="Coat", exact=True)
    expect(coat).to_be_checked()
    assert charted(page).keys() >= {"IMU", "GA", "original", "retrained"}
    expect(stage(page).locator(".tile").first.get_by_role("img")).to_have_attribute("aria-label", re.compile("^Coat, train"))


def test_a_picture_that_is_pointed_at_is_shown_large(visitor: Visitor) -> None:
    page = visitor.open("", play=0)
    scene, tip = SCENES["Sandal"], stage(page).locator(".tip")
    expect(tip).to_be_hidden()
    for n in (0, 7):
        stage(page).locator(".tile").nth(n).hover()
        expect(tip).to_be_visible()
        expect(tip).to_contain_text(f"Sandal, train sample {scene['wall']['ids'][n]}: IMU says")
        expect(tip).to_contain_text(f"Weight: {scene['wall']['glow'][n]:.2f} of the largest")
        image = tip.locator(".image")
        expect(image).to_have_css("background-image", re.compile("data:image/png"))
        assert image.bounding_box()["width"] > stage(page).locator(".tile .image").first.bounding_box()["width"]
    stage(page).locator(".sentence").hover()
    expect(tip).to_be_hidden()


# The place (x, y) within a canvas in the middle of all at which the tip begins with some words; it is asked everywhere.
FIND = """(canvas, words) => {
    const box = canvas.getBoundingClientRect(), tip = canvas.closest('.stage').querySelector('.tip');
    const found = [];
    for (let y = 1; y < box.height; y += 2) for (let x = 1; x < box.width; x += 2) {
        const at = { clientX: box.left + x, clientY: box.top + y, bubbles: true };
        canvas.dispatchEvent(new PointerEvent('pointermove', at));
        if (!tip.hidden && tip.textContent.startsWith(words)) found.push([x, y]);
    }
    return found[found.length >> 1];
}"""


@pytest.mark.parametrize("name", ["IMU", "DELETE"])
def test_the_tip_of_a_line_says_whose_it_is_and_where(visitor: Visitor, name: str) -> None:
    page = visitor.open("", play=0)
    scene = SCENES["Sandal"]
    line, canvas, tip = line_of(scene, name), stage(page).locator(".plane canvas"), stage(page).locator(".tip")
    canvas.scroll_into_view_if_needed()
    for step in (30, last_step(page)):
        scrub(visitor, step)
        n = place_of(line, step)
        at = canvas.evaluate(FIND, f"{name}, step {line['steps'][n]}: ")
        assert at, f"nothing on the chart says {name}, step {line['steps'][n]}"
        canvas.hover(position={"x": at[0], "y": at[1]})
        expect(tip).to_be_visible()
        found = re.fullmatch(r".*: forget ([\d.]+) %, kept ([\d.]+) %, loss (-?[\d.e-]+)", tip.inner_text())
        assert [float(value) for value in found.groups()] == pytest.approx(
            [line["forget"][n], line["kept"][n], line["losses"][n]], abs=0.051
        )
        stage(page).locator(".sentence").hover()
        expect(tip).to_be_hidden()
    assert canvas.evaluate(FIND, f"{name}, step 45: "), "earlier points, too"


@pytest.mark.parametrize("name", ["Sandal", "Bag"])
def test_at_rest_words_say_what_the_charts_show(visitor: Visitor, name: str) -> None:
    page = visitor.open("", play=0, forget=f"class:{name}")
    scene, table, canvas = SCENES[name], stage(page).locator("table"), stage(page).locator(".plane canvas")
    for step in (last_step(page), 0, 23, 66):
        scrub(visitor, step)
        expect(table.locator("caption")).to_have_text(f"What the charts show at step {step}")
        expect(table.locator("th")).to_have_text(["Run", "Step", "Forget accuracy", "Test accuracy, other classes"])
        rows = charted(page)
        for line in scene["lines"]:
            n = place_of(line, step)
            at, forget, kept = rows.pop(line["name"])
            assert int(at) == line["steps"][n]
            assert (number(forget), number(kept)) == pytest.approx((line["forget"][n], line["kept"][n]), abs=0.051)
            assert f"{line['name']}: forget {forget}, kept {kept}" in canvas.get_attribute("aria-label")
        for who in ("original", "retrained"):
            assert [number(cell) for cell in rows.pop(who)[1:]] == pytest.approx(scene[who], abs=0.051)
        assert not rows
        sentence = [words for at, words in scene["sentences"] if at <= step][-1]
        expect(stage(page).locator(".sentence")).to_have_text(sentence)


def test_the_legend_chooses_whose_answers_the_pictures_show(visitor: Visitor) -> None:
    page = visitor.open("", play=0)
    scene = SCENES["Sandal"]
    names = [line["name"] for line in scene["lines"]]
    expect(in_stage(page, "IMU")).to_have_attribute("aria-pressed", "true")
    shown = set()
    for step in (40, 52):
        scrub(visitor, step)
        for name in names:
            in_stage(page, name).click()
            expect(in_stage(page, name)).to_have_attribute("aria-pressed", "true")
            expect(stage(page).locator(".who [aria-pressed=true]")).to_have_count(1)
            assert said(page) == answers(scene, name, step)
            shown.add((step, *said(page)))
    assert len(shown) > 2, "the runs differ, so their words do"


def test_unlearn_shows_whose_answers_are_chosen(visitor: Visitor) -> None:
    page = run_quick(visitor)
    scrub(visitor, last_step(page))
    for name in ("GA", "IMU"):
        in_stage(page, name).click()
        expect(in_stage(page, name)).to_have_attribute("aria-pressed", "true")
        label = stage(page).locator(".tile").first.get_by_role("button")
        expect(label).to_have_attribute("aria-label", re.compile(f"^Sandal, train sample \\d+: {name} says "))


@pytest.mark.parametrize("path", ["", "unlearn"], ids=["start", "unlearn"])
def test_the_frames_come_once(visitor: Visitor, path: str) -> None:
    page = run_quick(visitor) if path else visitor.open()
    expect(slider(page)).to_have_value(str(last_step(page)))
    expect(in_stage(page, "Play")).to_be_visible()
    assert any(FRAMES in message for message in visitor.received), "this is how frames come"
    whole = max(map(len, visitor.received))
    acts: tuple[Callable[[], None], ...] = (
        lambda: scrub(visitor, last_step(page) // 2),
        in_stage(page, "Back one step").click,
        lambda: slider(page).press("Home"),
    )
    for act in acts:
        sent, before = len(visitor.sent), len(visitor.received)
        act()
        told(visitor)
        assert len(visitor.sent) == sent + 1, "the server hears once of it"
        answer = visitor.received[before:]
        assert answer
        assert not any(FRAMES in message for message in answer), "its answer holds no frames"
        assert path or sum(map(len, answer)) < whole / 4, "on Start, where they are much more than all else"


def test_a_window_that_lost_the_frames_gets_them_again(visitor: Visitor) -> None:
    page = visitor.open("", play=0)
    before = charted(page)
    page.evaluate("window.imuStages.frames.clear()")
    scrub(visitor, 12)  # frames that are drawn are still there
    visitor.go_to("Glossary")
    visitor.go_to("Start")
    expect(slider(page)).to_have_value("12")
    scrub(visitor, last_step(page))
    assert charted(page) == before


def test_a_reload_brings_the_stage_back(visitor: Visitor) -> None:
    page = visitor.open("", forget="class:Bag")
    page.reload()
    visitor.settled()
    expect(stage(page).get_by_role("radio", name="Bag", exact=True)).to_be_checked()
    eventually(lambda: slider_value(page) > 2, "it plays again")
    expect(slider(page)).to_have_value(str(last_step(page)))


def test_a_step_that_is_looked_at_stays_while_a_run_goes_on(visitor: Visitor) -> None:
    """A visitor may look back at any step of a run that goes on; it is followed again from its end."""
    page = start_long(visitor)

    def grows() -> bool:
        before = last_step(page)
        return bool(eventually(lambda: last_step(page) > before, "the run goes on"))

    slider(page).press("Home")
    assert grows()
    assert grows()
    expect(slider(page)).to_have_value("0")
    in_stage(page, "Forward one step").click()
    assert grows()
    expect(slider(page)).to_have_value("1")
    slider(page).press("End")
    reached = slider_value(page)
    eventually(lambda: slider_value(page) > reached and drawn_step(page, LONG_NAME) > reached, "it is followed again")
    main(page).get_by_role("button", name="Stop", exact=True).click()
    expect(verdict(page, "Stopped by you at step")).to_be_visible()
    expect(slider(page)).to_have_value(str(last_step(page)))


def test_a_new_name_of_a_run_is_in_the_words_too(visitor: Visitor) -> None:
    page = run_quick(visitor)
    expect(in_stage(page, "Play")).to_be_visible()
    main(page).get_by_text("Name and export").click()
    visitor.settled()
    box = main(page).get_by_role("textbox", name="Name of the run")
    box.fill("Albatross")
    box.press("Enter")
    visitor.settled()
    expect(in_stage(page, "Albatross")).to_be_visible()
    eventually(lambda: "Albatross" in charted(page), "the table names it so")
