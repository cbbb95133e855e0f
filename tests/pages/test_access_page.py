"""What pages say of folders of the machine: nothing of a closed one, and nothing of an open one before somebody asks."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest
from test_pages import has_button, nothing_left_running, press, rerun, sentence, visit, words  # noqa: F401

from imu_core import data, runtime
from imu_core.access import rules
from imu_core.errors import ClosedError

CLOSED = "only where its owner allows it"


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two sets of images, `open` which the owner lists and `secret`; classes called zebra and yak."""
    for root in ("open", "secret"):
        for number, name in enumerate(("zebra", "yak")):
            (tmp_path / root / name).mkdir(parents=True)
            for shot in range(5):
                Image.new("RGB", (16, 16), (90 * number, 40 * shot, 9)).save(tmp_path / root / name / f"{shot}.png")
    monkeypatch.setenv("IMU_FOLDERS", str(tmp_path / "open"))
    monkeypatch.delenv("IMU_PUBLIC", raising=False)
    return tmp_path


def decoded() -> set[str]:
    return set(os.listdir(runtime.home() / "folders")) if (runtime.home() / "folders").is_dir() else set()


def everything(at: AppTest) -> str:
    """All that the page shows and offers."""
    boxes = [f"{box.options} {box.value}" for box in [*at.selectbox, *at.sidebar.selectbox]]
    return " ".join([words(at), *boxes, *(button.label for button in at.button)])


@pytest.mark.parametrize("page", ["unlearn", "influence"])
def test_a_closed_folder_is_like_a_missing_one(folders: Path, page: str) -> None:
    before, said = decoded(), set()
    names = [f"folder:{folders}/{name}" for name in ("secret@32", "secret@32grey", "open/../secret", "missing@32")]
    for name in (*names, "folder:/@32", "market:/", "market:/etc", f"market:{folders}/secret"):
        at = visit(page, dataset=name)
        said.add(sentence(at))
        assert "zebra" not in everything(at)
        assert not has_button(at, "Read folder")
    assert len(said) == 1
    assert CLOSED in said.pop()
    assert decoded() == before


def test_a_folder_that_a_command_has_read_is_closed_to_pages(folders: Path) -> None:
    name = f"folder:{folders}/secret@32"
    assert data.load(name).class_names == ("yak", "zebra")
    at = visit("unlearn", dataset=name)
    assert CLOSED in sentence(at)
    assert "zebra" not in everything(at)


def test_an_open_folder_is_read_after_a_click_and_not_before(folders: Path) -> None:
    before = decoded()
    at = visit("unlearn", dataset=f"folder:{folders}/open@16")
    assert "not read yet" in words(at)
    assert "zebra" not in everything(at)
    assert decoded() == before
    press(at, "Read folder")
    assert len(decoded() - before) == 1
    at = visit("unlearn", dataset=f"folder:{folders}/open@16")
    assert "class:zebra" in at.sidebar.selectbox(key="forget").options


def test_a_link_that_leads_out_of_an_open_folder_is_not_followed(folders: Path) -> None:
    (folders / "open" / "other").symlink_to(folders / "secret" / "zebra")
    at = press(visit("unlearn", dataset=f"folder:{folders}/open@17"), "Read folder")
    assert CLOSED in at.error[0].value
    (folders / "open" / "other").unlink()
    (folders / "open" / "yak" / "9.png").symlink_to(folders / "secret" / "zebra" / "0.png")
    at = press(visit("unlearn", dataset=f"folder:{folders}/open@18"), "Read folder")
    assert CLOSED in at.error[0].value


def test_a_record_that_names_a_closed_folder_opens_nothing(folders: Path, tmp_path: Path) -> None:
    about = {"dataset": f"folder:{folders}/secret@32", "model": "lenet5", "forget": "class:yak", "seed": 0, "history": []}
    at = AppTest.from_function(take_problem, kwargs={"about": about}, default_timeout=60).run()
    assert not at.exception
    assert CLOSED in at.warning[0].value


def take_problem(about: dict) -> None:
    """A script: the problem of a record becomes that of every page."""
    from pages.sidebar import problem_choice, reopen

    reopen.take_problem(about)
    problem_choice.current()


@pytest.mark.slow(reason="several whole pages; the rule itself is tested where it stands")
def test_your_own_reads_no_closed_folder_or_checkpoint(folders: Path) -> None:
    file = folders / "secret" / "net.pt"
    file.write_bytes(b"x" * 100)
    mine = folders / "open"
    for folder, path in (
        (folders / "secret", ""),
        (folders / "none", ""),
        (folders / "open", file),
        (folders / "open", "/none.pt"),
    ):
        at = visit("your_own")
        at.button_group(key="own_where").set_value("Folder")
        at.button_group(key="own_how").set_value("Path")
        rerun(at)
        at.text_input(key="own_folder").set_value(str(folder))
        at.text_input(key="own_path").set_value(str(path or mine / "any.pt"))
        at.text_input(key="own_name").set_value("paged")
        at = press(rerun(at), "Check it")
        assert CLOSED in words(at)
        assert "bringing" not in at.session_state or at.session_state["bringing"] in (None, {}), "nothing was begun"


@pytest.mark.slow(reason="several whole pages; the rule itself is tested where it stands")
def test_a_public_app_asks_for_no_folder(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMU_PUBLIC", "1")
    at = visit("your_own")
    assert list(at.button_group(key="own_where").options) == ["Already here", "Zip file"]
    assert list(at.button_group(key="own_how").options) == ["Upload"]
    for name in (f"folder:{folders}/open@32", f"market:{folders}/open", "market"):
        at = visit("unlearn", dataset=name)
        assert not has_button(at, "Read")
    monkeypatch.setattr(rules, "_SERVING", [lambda: True])
    with pytest.raises(ClosedError, match="reads no folders"):
        data.load(f"folder:{folders}/open@32")
