"""Points and tables on every page: what is made for images takes them too, or says why not."""

from __future__ import annotations

import numpy as np
import pytest
from test_pages import finish, press_run, rerun, visit, words

from imu_core import data
from imu_core.data import thumbnails
from imu_core.data.vectors.pictures import SIDE, picture

SETS = {"points:moons": "ids:70-99", "points:blobs": "class:A", "table:wine": "random:10%,seed=0"}
PAGES = ("start", "influence", "unlearn", "compare", "attack", "runs", "paper", "your_own", "glossary", "docs")


@pytest.mark.slow(reason="thirty whole runs of pages; the playground is tested in the default run")
@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("name", SETS)
def test_every_page_opens_with_vectors(name: str, page: str) -> None:
    at = visit(page, dataset=name, model="mlp", forget=SETS[name])
    assert not at.warning
    assert at.session_state.dataset == name
    assert at.session_state.forget == SETS[name]


@pytest.mark.parametrize(("name", "noun"), [("points:blobs", "points of A"), ("table:wine", "rows")])
def test_runs_on_vectors_speak_of_what_they_are(name: str, noun: str) -> None:
    at = visit("unlearn", dataset=name, model="mlp", forget=SETS[name], measure="false")
    at.pills(key="methods").set_value(["ga"])
    finish(press_run(rerun(at)))
    said = words(at)
    assert noun in said
    assert "images of A" not in said


def test_a_table_has_no_boundary_and_the_playground_says_so() -> None:
    at = visit("playground", dataset="table:wine", model="mlp", forget="random:10%,seed=0")
    assert "no boundary to draw" in " ".join(element.value for element in at.info)
    next(button for button in at.button if button.label == "Open the two moons").click()
    rerun(at)
    assert at.session_state.dataset == "points:moons"
    assert at.title[0].value == "Where does the boundary go?"


# Pictures of vectors.


def test_a_point_is_a_dark_square_at_its_place() -> None:
    dataset = data.load("points:moons")
    for index in (0, 70, 150):
        pixels = picture(dataset, "train", index)
        assert pixels.shape == (3, SIDE, SIDE)
        assert pixels.dtype == np.uint8
        dark = np.argwhere(pixels.max(0) < 40)
        row, column = dark.mean(0)
        across, up = 2 * (column + 0.5) / SIDE - 1, 1 - 2 * (row + 0.5) / SIDE
        assert (across, up) == pytest.approx(dataset.train.images[index].tolist(), abs=0.06)


def test_a_row_is_a_bar_for_each_column_up_or_down_from_the_mean() -> None:
    dataset = data.load("table:wine")
    index = 3
    z = (dataset.train.images[index].double().numpy() - np.array(dataset.mean)) / np.array(dataset.std)
    pixels = picture(dataset, "train", index)
    edges = np.linspace(0, SIDE, len(z) + 1).astype(int)
    for value, left in zip(z, edges, strict=False):
        blue = np.argwhere(pixels[2, :, left] == 193)
        if abs(value) > 0.5:
            assert (blue.mean() < SIDE / 2) == (value > 0)


def test_more_columns_than_pixels_share_bars() -> None:
    assert picture(data.load("table:digits"), "test", 5).shape == (3, SIDE, SIDE)


def test_thumbnails_take_both() -> None:
    assert thumbnails.png("points:moons", "train", 0).startswith(b"\x89PNG")
    assert thumbnails.plain_url("fashion", "train", 0).startswith("data:image/png;base64,")
    assert np.array_equal(thumbnails.pixels(data.load("fashion"), "train", 1), data.load("fashion").train.images[1].numpy())
