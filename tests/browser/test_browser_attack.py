"""Attack and Influence in a real browser: the slider under the chart, the worst case, the door; what opens a card."""

from __future__ import annotations

import contextlib
import re

import pytest
from test_browser import IN_FULL_RUN, Visitor, eventually, main

with contextlib.suppress(ImportError):  # reported by the fixture `chromium`
    from playwright.sync_api import Locator, Page, expect

pytestmark = IN_FULL_RUN


def slider(page: Page) -> Locator:
    return main(page).get_by_role("slider", name="Threshold")


def bars(page: Page) -> list[list[float]]:
    """The opacities of the bars above and below the axis: full where the threshold accuses."""
    script = """() => [...document.querySelectorAll('.js-plotly-plot')].map(chart => chart.data ?? [])
        .filter(data => data[0]?.type === 'bar').flatMap(data => data.map(bars => [...bars.marker.opacity]))"""
    return page.evaluate(script)


def line(page: Page) -> float:
    """Where the chart draws the threshold."""
    script = """() => [...document.querySelectorAll('.js-plotly-plot')]
        .filter(chart => chart.data?.[0]?.type === 'bar').map(chart => chart.layout.shapes[0].x0)[0]"""
    return page.evaluate(script)


def test_the_slider_moves_the_line_and_the_link(visitor: Visitor) -> None:
    page = visitor.open("attack")
    before = float(slider(page).input_value())
    assert line(page) == pytest.approx(before)
    slider(page).focus()
    for _ in range(25):
        slider(page).press("ArrowRight")
    eventually(lambda: line(page) == pytest.approx(before + 0.25), "the line follows the slider")
    eventually(lambda: f"loss_at={before + 0.25:.2f}" in page.url, "the link follows the slider")
    expect(main(page).get_by_text(f"{before + 0.25:.2f} nats for an answer of IMU")).to_be_visible()
    assert {1.0, 0.35} == {opacity for side in bars(page) for opacity in side}
    main(page).get_by_role("button", name="Worst case").click()
    eventually(lambda: line(page) == pytest.approx(before), "the worst case brings the line back")


def test_the_slider_lies_under_the_axis(visitor: Visitor) -> None:
    page = visitor.open("attack")
    script = """() => { const chart = [...document.querySelectorAll('.js-plotly-plot')].find(c => c.data?.[0]?.type === 'bar');
        const box = chart.getBoundingClientRect(), axis = chart._fullLayout.xaxis;
        return [box.left + axis._offset, axis._length, axis.range[0], axis.range[1]]; }"""
    left, length, low, high = page.evaluate(script)
    at = float(slider(page).input_value())
    thumb = main(page).get_by_test_id("stSliderThumbValue").first.bounding_box()
    assert thumb["x"] + thumb["width"] / 2 == pytest.approx(left + length * (at - low) / (high - low), abs=4)


def test_a_link_brings_run_score_and_threshold_back(visitor: Visitor) -> None:
    page = visitor.open("attack", attacked="NPO", attack_by="Entropy", entropy_at="0.5")
    assert float(slider(page).input_value()) == 0.5
    expect(main(page).get_by_text(re.compile("entropy of at (most|least) 0.500 nats for an answer of NPO"))).to_be_visible()


def test_fresh_heads_come_by_themselves(visitor: Visitor) -> None:
    page = visitor.open("attack")
    for part, words in (("Its features", "A fresh head brings back"), ("Relearning", "IMU needs")):
        main(page).get_by_role("radio", name=part, exact=True).click()
        expect(main(page).get_by_text(words)).to_be_visible()
    main(page).get_by_role("radio", name="All numbers", exact=True).click()
    expect(main(page).get_by_role("cell", name="Linear probe, forgotten")).to_be_visible()


def test_a_door_on_the_first_page_leads_here(visitor: Visitor) -> None:
    page = visitor.open("")
    main(page).get_by_test_id("stPageLink").filter(has_text="Did it really forget?").get_by_role("link").click()
    expect(main(page).get_by_role("heading", name="Did it really forget?", exact=True)).to_be_visible()
    visitor.settled()


# Where the highest point of the chart lies on the screen: Plotly draws it on a canvas.
HIGHEST = """() => {
  const chart = document.querySelector(".st-key-scatter .js-plotly-plot"), {xaxis: x, yaxis: y} = chart._fullLayout;
  const {x: xs, y: ys} = chart._fullData[0], at = ys.indexOf(Math.max(...ys)), frame = chart.getBoundingClientRect();
  return [frame.left + x._offset + x.d2p(xs[at]), frame.top + y._offset + y.d2p(ys[at])];
}"""


def test_a_picture_and_a_point_open_the_card_and_a_box_selects_points(visitor: Visitor) -> None:
    page = visitor.open("influence", influence_part="Scores")
    area = page.locator(".st-key-scatter .nsewdrag")
    area.wait_for()
    page.locator('[class*="st-key-cell_"] img').first.click(force=True)
    expect(page.get_by_role("dialog")).to_be_visible()
    visitor.settled()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    area.scroll_into_view_if_needed()
    page.wait_for_timeout(500)
    page.mouse.move(*page.evaluate(HIGHEST))
    page.wait_for_timeout(500)
    page.mouse.down()
    page.wait_for_timeout(100)
    page.mouse.up()
    expect(page.get_by_role("dialog")).to_contain_text("Rank by score")
    expect(page.get_by_role("dialog")).to_contain_text("1 of 1,000")
    visitor.settled()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    main(page).get_by_role("radio", name="box", exact=True).click()
    visitor.settled()
    area.scroll_into_view_if_needed()
    page.wait_for_timeout(500)
    box = area.bounding_box()
    assert box
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 3)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.97 * box["width"], box["y"] + 0.8 * box["height"], steps=8)
    page.mouse.up()
    expect(main(page).get_by_text(re.compile(r"^[\d,]+ selected in the chart"))).to_be_visible()
