"""The page Runs in a real browser: a run that a visitor made is found there, looked at, taken along, deleted and brought back."""

from __future__ import annotations

import contextlib
import json
import os
import re
from pathlib import Path

import pytest
from test_browser import IN_FULL_RUN, Server, Visitor, eventually, main, popover, press_run, visitor_at

with contextlib.suppress(ImportError):  # reported by the fixture `chromium`
    from playwright.sync_api import Browser, Page, expect

pytestmark = IN_FULL_RUN
FIRST_ROW = (16, 36 + 17)  # pixels from the corner of a table: the box at the left of its first row
NAME = f"Cormorant{os.environ.get('PYTEST_XDIST_WORKER', '')}"  # two workers may share the database


def tick_first(visitor: Visitor) -> None:
    """Tick the first row; a table draws itself after the script has ended."""
    page = visitor.settled()
    table = main(page).get_by_test_id("stDataFrame").first
    table.locator("canvas").first.wait_for()
    closer = main(page).get_by_role("button", name="Look closer", exact=True)

    def ticked() -> bool:
        table.click(position={"x": FIRST_ROW[0], "y": FIRST_ROW[1]})
        with contextlib.suppress(AssertionError):  # the table may still have been drawing itself
            expect(closer).to_be_enabled(timeout=15_000)
        return closer.is_enabled()

    eventually(ticked, "a row is ticked")


def find(visitor: Visitor, name: str) -> Page:
    """Search for `name` until exactly one run is listed."""
    page = visitor.settled()
    box = main(page).get_by_placeholder("a name, a method")
    box.fill(name)
    box.press("Enter")
    expect(main(page).get_by_text(re.compile("^One run, newest first"))).to_be_visible()
    return visitor.settled()


@pytest.fixture(scope="module")
def made(server: Server, chromium: Browser) -> str:
    """The name of a run that some visitor made and named; the visitor has gone since."""
    with visitor_at(server.address, chromium) as someone:
        page = someone.open("unlearn", model="lenet5", methods="GA", measure="false")
        press_run(page)
        page = someone.settled()
        main(page).get_by_text("Name and export").click()
        someone.settled()  # the run may have ended just now: what is typed while the page is drawn anew may be drawn over
        box = main(page).get_by_role("textbox", name="Name of the run")
        box.fill(NAME)
        box.press("Enter")
        expect(main(page).get_by_role("radio", name=NAME)).to_be_visible()  # who leaves before has not named it
        someone.settled()
    return NAME


def test_a_run_is_found_looked_at_and_opened_again(visitor: Visitor, made: str) -> None:
    visitor.open("runs")
    page = find(visitor, made)
    assert f"search={made}" in page.url
    tick_first(visitor)
    main(page).get_by_role("button", name="Look closer", exact=True).click()
    expect(main(page).get_by_role("heading", name=made, exact=True)).to_be_visible()
    page.wait_for_url(re.compile(r"run=[0-9a-f]{32}"))
    expect(main(page).get_by_test_id("stPlotlyChart")).to_have_count(2)
    main(page).get_by_role("button", name="Open in Unlearn", exact=True).click()
    expect(page.get_by_role("heading", name="Watch it forget", exact=True)).to_be_visible()
    page.wait_for_url(re.compile("methods=GA"))
    visitor.settled()
    assert "model=lenet5" in page.url


def test_a_run_is_exported_deleted_and_brought_back(visitor: Visitor, made: str, tmp_path: Path) -> None:
    visitor.open("runs", search=made)
    page = find(visitor, made)
    tick_first(visitor)
    with page.expect_download() as download:
        main(page).get_by_role("button", name="Export", exact=True).click()
    download.value.save_as(tmp_path / "runs.json")
    assert [run["name"] for run in json.loads((tmp_path / "runs.json").read_text())["runs"]] == [made]
    main(page).get_by_role("button", name="Delete", exact=True).click()
    expect(main(page).get_by_text("1 run deleted.")).to_be_visible()
    expect(main(page).get_by_text(re.compile("^One run, newest first"))).to_have_count(0)
    main(page).get_by_role("button", name="Undo", exact=True).click()
    expect(main(page).get_by_text("1 run back in the list.")).to_be_visible()
    find(visitor, made)


@pytest.mark.parametrize("width", [1280, 390])
def test_a_tick_does_not_move_the_table(visitor: Visitor, made: str, width: int) -> None:
    visitor.page.set_viewport_size({"width": width, "height": 800})
    visitor.open("runs")
    page = find(visitor, made)
    table, title = main(page).get_by_test_id("stDataFrame").first, main(page).get_by_role("heading", name="Runs", exact=True)

    def below_the_title() -> float:  # a click may scroll the page
        return table.bounding_box()["y"] - title.bounding_box()["y"]

    before = below_the_title()
    tick_first(visitor)
    expect(main(page).get_by_text("1 run ticked.")).to_be_visible()
    page.wait_for_timeout(500)
    assert below_the_title() == before


def test_a_file_is_taken_in_and_a_wrong_one_is_not(visitor: Visitor, made: str, tmp_path: Path) -> None:
    page = visitor.open("runs")
    for content, said in (("zebra", "it is not JSON"), ('{"format": "imu_core runs", "schema": 1, "runs": []}', "0 runs")):
        (tmp_path / "file.json").write_text(content)
        popover(page, main(page).get_by_test_id("stPopover").filter(has_text="Import runs").get_by_role("button").first)
        page.locator("input[type=file]").set_input_files(tmp_path / "file.json")
        page.get_by_role("button", name="Import", exact=True).click()
        expect(main(page).get_by_text(said)).to_be_visible()
        visitor.settled()
