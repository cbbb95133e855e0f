"""The page Your own: a finished example, the three steps, what it says to hostile files, and the way to every other page."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest
from test_own import SIDE, Bomb, State, colours, draw, name_of, permuted, saved, trained, with_commas  # noqa: F401
from test_pages import go_to, healthy, nothing_left_running, press, rerun, visit, wait_until, words  # noqa: F401

from imu_core import data
from imu_core.model_import import brought_sets
from imu_core.models import brought
from pages.widgets.text import plain


@pytest.fixture(autouse=True)
def nothing_brought(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Whatever a test brings is deleted after it: home is shared with the other files, whose features are there already."""
    monkeypatch.setenv("IMU_FOLDERS", str(tmp_path_factory.getbasetemp()))
    yield
    for dataset, model in brought.everything():
        brought_sets.remove(dataset, model)
    data.load.cache_clear()


def filled(root: Path, file: Path) -> AppTest:
    """The page with everything filled in: a folder, and the path of a checkpoint."""
    at = visit("your_own")
    at.button_group(key="own_where").set_value("Folder")
    at.button_group(key="own_how").set_value("Path")
    rerun(at)
    at.text_input(key="own_folder").set_value(str(root))
    at.number_input(key="own_side").set_value(SIDE)
    at.text_input(key="own_path").set_value(str(file))
    at.text_input(key="own_name").set_value("paged")
    at.selectbox(key="own_architecture").set_value("lenet5")
    at.selectbox(key="own_normalisation").set_value("half")
    return rerun(at)


def finish(at: AppTest) -> AppTest:
    job = at.session_state["bringing"]["job"]
    wait_until(lambda: job.finished, f"{job.title}: {job.state}")
    return rerun(at)


def test_it_opens_on_a_finished_example_and_asks_for_what_is_missing() -> None:
    at = visit("your_own")
    assert "the check of a model that ships" in words(at)
    assert "of 5,000 test images are recognised" in at.success[0].value.replace("\\", "")
    assert at.metric[0].value.endswith("%")
    press(at, "Check it")
    assert "Still missing: a name and a checkpoint." in words(at).replace("\\", "")
    assert not at.session_state["bringing"]


def test_a_model_is_brought_opened_and_deleted(trained: State, tmp_path: Path) -> None:  # noqa: F811
    file, root = tmp_path / "three.pt", draw(tmp_path / "images")
    file.write_bytes(saved(trained))
    (root / "test" / "red" / "copy.png").write_bytes((root / "train" / "red" / "000.png").read_bytes())
    (root / "test" / "red" / "photo.heic").write_bytes(b"x")
    at = finish(press(filled(root, file), "Check it"))
    assert at.metric[0].value == "100.0 %"
    assert "by our recipe" in words(at)
    notes = ("1 .heic file (such as red/photo.heic)", "1 of 19 test images are in the training set too")
    assert all(note in words(at).replace("\\", "") for note in notes), words(at)
    press(at, "See it forget")
    assert at.session_state["dataset"] == name_of(root)
    assert at.session_state["model"] == "own-paged"
    at = go_to(healthy(at), "unlearn")
    assert not at.warning, [warning.value for warning in at.warning]
    assert all(note in words(at).replace("\\", "") for note in notes), words(at)
    assert name_of(root) in at.sidebar.selectbox[0].options
    at = go_to(at, "your_own")
    press(at, "Delete it for good")
    assert "own-paged is deleted" in words(at).replace("\\", "")
    assert brought.everything() == []
    assert at.session_state["dataset"] == "fashion"


@pytest.mark.slow(reason="whole runs of a page; the same is tested where it is computed")
def test_advice_is_followed_with_one_click(colours: Path, trained: State, tmp_path: Path) -> None:  # noqa: F811
    file = tmp_path / "three.pt"
    file.write_bytes(saved(permuted(trained, [2, 0, 1])))
    at = finish(press(filled(colours, file), "Check it"))
    assert "does not fit" in at.warning[0].value
    assert not at.error, "that a model does not fit is a finding, not a failure"
    assert brought.everything() == []
    at = finish(press(at, "Check again with that"))
    assert at.metric[0].value == "100.0 %"
    assert at.text_area(key="own_classes").value == "red, blue, green"


@pytest.mark.slow(reason="brings a model again; another piece of advice is followed in test_own.py")
def test_advice_on_a_class_with_a_comma_is_followed_too(trained: State, tmp_path: Path) -> None:  # noqa: F811
    root = with_commas(draw(tmp_path / "commas"))
    file = tmp_path / "three.pt"
    file.write_bytes(saved(permuted(trained, [2, 0, 1])))
    at = finish(press(filled(root, file), "Check it"))
    at = finish(press(at, "Check again with that"))
    assert at.metric[0].value == "100.0 %"
    assert at.text_area(key="own_classes").value == 'red, "blue, dark", "green ""lime"""'


@pytest.mark.slow(reason="whole runs of a page; the same is tested where it is computed")
def test_a_share_in_place_of_percent_is_asked_about(colours: Path, trained: State, tmp_path: Path) -> None:  # noqa: F811
    file = tmp_path / "three.pt"
    file.write_bytes(saved(trained))
    at = filled(colours, file)
    at.number_input(key="own_expected").set_value(0.9)
    press(at, "Check it")
    assert "Did you mean 90 %? Then write 90." in words(at).replace("\\", "")
    assert not at.session_state["bringing"]
    at.number_input(key="own_expected").set_value(99.0)
    at = finish(press(at, "Check it"))
    assert "the 99.0 % that you expect" in at.success[0].value
    assert "Did you mean" not in words(at)


def test_a_hostile_file_is_a_sentence_on_the_page(colours: Path, tmp_path: Path) -> None:  # noqa: F811
    file = tmp_path / "hostile.pt"
    file.write_bytes(pickle.dumps(Bomb(tmp_path / "executed")))
    at = finish(press(filled(colours, file), "Check it"))
    assert "nothing in it was run" in at.warning[0].value
    assert not (tmp_path / "executed").exists()
    assert brought.everything() == []


def test_half_a_surrogate_pair_does_not_break_a_page() -> None:
    assert plain("a\ud800*b") == "a?\\*b"
