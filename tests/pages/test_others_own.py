"""What a visitor of a public server brought is theirs: nobody else is offered it, and no link or message shows it to them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest
from test_access_page import everything
from test_own import SIDE, State, bring, colours, name_of, order, safe, trained, zipped  # noqa: F401
from test_pages import has_button, nothing_left_running, press, words  # noqa: F401
from test_visitor import ME, YOU, restart, window

import imu_core
from imu_core import data, runtime
from imu_core.access import rules
from imu_core.data import folder
from imu_core.errors import CheckpointError, ClosedError
from imu_core.jobs import Job
from imu_core.model_import import brought_sets, own
from imu_core.models import brought, checkpoints
from pages.session import visitor

IMAGES = f"folder:mine@{SIDE}"
ON_IMAGES = {"dataset": IMAGES, "model": "own-mine"}
ON_TINY = {"dataset": "tiny", "model": "own-mine", "forget": "class:Bag"}


@pytest.fixture
def public(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server for people who do not know each other."""
    monkeypatch.setenv("IMU_PUBLIC", "1")
    monkeypatch.setattr(rules, "_SERVING", [lambda: True])
    restart()


@pytest.fixture(autouse=True)
def nothing_brought() -> Iterator[None]:
    """Whatever a test brings is deleted after it: home is shared with the other files."""
    yield
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("IMU_PUBLIC", raising=False)
        for dataset, model in brought.everything():
            brought_sets.remove(dataset, model)
    data.load.cache_clear()


@pytest.fixture
def mine(colours: Path, trained: State, tiny: Any, public: None) -> None:  # noqa: F811
    """ME has brought a model with its images, and another one on images that everybody has."""
    asked = order(colours, safe(trained), name="mine", images=zipped(colours), side=SIDE)
    lenet = safe(checkpoints.read_tensors(runtime.home() / "models" / "tiny" / "lenet5" / "original.safetensors"))
    for one in (asked, order(colours, lenet, name="mine", dataset="tiny", normalisation="dataset")):
        job = visitor.queue().submit(Job("", lambda one=one: own.Bringing(one), kind="training", owner=ME))
        job.wait()
        assert job.state == "done", job.reason


def offered(at: AppTest) -> str:
    return everything(at).replace("\\", "")


@pytest.mark.slow(reason="several servers' pages; the rights are tested where they stand")
@pytest.mark.usefixtures("mine")
def test_whoever_brought_it_has_it_and_nobody_else_is_offered_it() -> None:
    assert "own-mine" in offered(window("your_own"))
    assert IMAGES in offered(window("unlearn", **ON_TINY))
    at = window("unlearn", **ON_IMAGES)
    assert "class:red" in at.sidebar.selectbox(key="forget").options
    for page in ("your_own", "unlearn", "influence", "start"):
        assert "mine" not in offered(window(page, YOU, **{**ON_TINY, "model": "lenet5"}))


@pytest.mark.slow(reason="several servers' pages; the rights are tested where they stand")
@pytest.mark.usefixtures("mine")
def test_a_link_of_theirs_shows_others_nothing() -> None:
    window("unlearn", **ON_IMAGES)  # it is in memory now
    window("unlearn", **ON_TINY)
    there, missing = (
        offered(window("unlearn", YOU, dataset=f"folder:{name}@{SIDE}", model="own-mine")).replace(name, "")
        for name in ("mine", "none")
    )
    assert there == missing, "whether it exists is not said"
    assert "red" not in there.split()
    history = '[["class:Bag", {"method": "ga", "epochs": 1}]]'
    for query in ({}, {"after": history}):
        at = window("unlearn", YOU, **ON_TINY, **query)
        assert at.session_state["model"] != "own-mine"


@pytest.mark.usefixtures("mine")
def test_neither_work_in_line_nor_a_path_reaches_it() -> None:
    place = folder.kept() / "mine"
    with rules.acting_for(ME):
        assert data.load(IMAGES).class_names
        assert imu_core.problem("tiny", model="own-mine", forget="class:Bag").model_name == "own-mine"
        assert rules.allowed(place / "train")
        assert not rules.allowed(folder.kept()), "the names of all sets are in it"
    for name in (YOU, ""):
        with rules.acting_for(name):
            for text in (IMAGES, f"folder:{place}@{SIDE}", f"folder:{place}/train@{SIDE}", f"folder:{place}/../mine@{SIDE}"):
                with pytest.raises(ClosedError, match="reads no folders"):
                    data.load(text)
            for history in ((), [("class:Bag", {"method": "ga", "epochs": 1})]):
                with pytest.raises(CheckpointError, match="There is no brought model"):
                    imu_core.problem_after(history, "tiny", model="own-mine", forget="class:Trouser")
            with pytest.raises(CheckpointError, match="There is no brought model"):
                brought_sets.remove("tiny", "own-mine")
    assert place.is_dir()


@pytest.mark.usefixtures("mine")
def test_it_is_theirs_after_a_restart_and_everybodys_where_people_know_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    restart()
    at = window("your_own")
    assert "Brought by you" in words(at) or "Brought by you" in [block.value for block in at.subheader]
    assert has_button(at, "Delete it for good")
    monkeypatch.delenv("IMU_PUBLIC")
    assert "own-mine" in offered(window("your_own", YOU))
    assert IMAGES in offered(window("unlearn", YOU, **ON_TINY))
    assert window("unlearn", YOU, **ON_TINY).session_state["model"] == "own-mine"


def test_what_a_command_brought_is_the_owners(colours: Path, trained: State, public: None, monkeypatch: Any) -> None:  # noqa: F811
    monkeypatch.setattr(rules, "_SERVING", [])
    bring(order(colours, safe(trained), name="mine", images=zipped(colours), side=SIDE))
    assert brought.everything() == [(IMAGES, "own-mine")]
    monkeypatch.setattr(rules, "_SERVING", [lambda: True])
    with rules.acting_for(ME):
        assert brought.everything() == []
        with pytest.raises(ClosedError):
            data.load(IMAGES)
    monkeypatch.setattr(rules, "_SERVING", [])
    brought_sets.remove(IMAGES, "own-mine")
