"""The page Compare in a real browser: the table and its files, two runs closely, a link that restores what was chosen."""

from __future__ import annotations

import contextlib
import csv
import json
import re
from pathlib import Path

from test_browser import IN_FULL_RUN, Visitor, eventually, main

with contextlib.suppress(ImportError):  # reported by the fixture `chromium`
    from playwright.sync_api import Page, expect

pytestmark = IN_FULL_RUN
LENET = {"model": "lenet5"}  # no retrained model, quick features


def charts(page: Page) -> list[list[str]]:
    """The names of the traces of every chart that is drawn."""
    script = "[...document.querySelectorAll('.js-plotly-plot')].map(c => (c.data ?? []).map(t => t.name ?? ''))"
    return page.evaluate(script)


def taken(page: Page, label: str, folder: Path) -> str:
    """The text of the file behind a download button."""
    with page.expect_download() as download:
        main(page).get_by_role("button", name=label, exact=True).click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path.read_text()


def test_the_table_can_be_taken_away(visitor: Visitor, tmp_path: Path) -> None:
    page = visitor.open("compare", compare="Your runs", **LENET)
    expect(main(page).get_by_test_id("stDataFrame").first).to_be_visible()
    rows = list(csv.DictReader(taken(page, "CSV", tmp_path).splitlines()))
    assert [row["Run"] for row in rows] == ["Original", "IMU", "GA", "NPO"]
    assert json.loads(taken(page, "JSON", tmp_path))[1]["Run"] == "IMU"
    latex = taken(page, "LaTeX", tmp_path)
    assert re.search(r"\\toprule\n.*Forget, \\%.*\\\\\n\\midrule", latex)
    eventually(lambda: any({"IMU", "GA", "NPO", "Original"} <= set(names) for names in charts(page)), "the plane is drawn")


def test_two_runs_closely_and_the_link_to_them(visitor: Visitor) -> None:
    page = visitor.open("compare", compare="A against B", run_b="NPO", **LENET)
    expect(main(page).get_by_text(re.compile("IMU and NPO give the same answer to"))).to_be_visible()
    expect(main(page).get_by_text(re.compile("IMU and NPO changed the head alone"))).to_be_visible()
    eventually(lambda: len(charts(page)) == 4, "four charts are drawn")
    main(page).get_by_role("radio", name="test set").or_(main(page).get_by_role("button", name="test set")).first.click()
    expect(main(page).get_by_text(re.compile(r"of 5,000 images get two different answers"))).to_be_visible()
    eventually(lambda: "compare_set=test" in page.url, "the choice is in the link")
    assert "run_b=NPO" in page.url
