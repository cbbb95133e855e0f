"""The page Re-identify as Streamlit runs it, without a browser."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from test_pages import (
    PAGES,
    button,
    finish,
    go_to,
    has_button,
    link_of,
    press,
    rerun,
    sentence,
    stage_of,
    visit,
    wait_until,
    words,
)

import imu_core
from imu_core import data
from imu_core.evaluation import reidentification, scopes
from imu_core.records.data import Dataset
from imu_core.records.run import Problem
from pages.sections.reidentify import looks
from pages.session import session_runs, visitor
from pages.sidebar import problem_choice

# A case is a whole run of a page; the default run takes three of each kind.
pytestmark = pytest.mark.sample(3, reason="a case is a whole run of a page")
WHOLE_SET = pytest.mark.slow(reason="draws and embeds the whole set of people, or unlearns through every layer")
FEW = {"dataset": "few", "forget": "identity:0005"}


@pytest.fixture
def opened(person: Problem):
    return visit("reidentify", **FEW)


def images(at) -> str:
    return html.unescape(" ".join(block.proto.body for block in at.get("html")))


def test_the_page_opens_on_a_finished_example(opened) -> None:
    said = words(opened)
    assert "a finished example" in said
    assert "bit-identical to the original" in said
    assert "Nothing moved: every place is the one it was before." in said
    assert said.count("heat on the cues") == 2
    assert images(opened).count('alt="0005, ') > 8


def test_the_table_holds_every_model(opened, person: Problem) -> None:
    table = opened.dataframe[0].value.set_index("Model")
    assert list(table.index) == ["Original", "IMU", "GA", "NPO"]
    found = reidentification.judge(person, person.model).numbers()
    for name, title in looks.COLUMNS.items():
        if name in found:
            assert table[title].tolist() == pytest.approx([100 * found[name]] * 4)
    assert table.loc["IMU", looks.COLUMNS["forget"]] == 0.0


@pytest.mark.slow(reason="whole runs of a page; the same is tested where it is computed")
def test_a_person_is_chosen_by_button(opened) -> None:
    at = press(opened, "0007")
    assert at.session_state.forget == "identity:0007"
    assert "mAP of the forgotten person" in words(at)


@WHOLE_SET
def test_a_run_in_training_mode_drifts_and_says_so(opened) -> None:
    at = opened
    at.button_group(key="methods").set_value(["ga"])
    at.button_group(key="mode").set_value("train")
    rerun(at)
    at = finish(press(at, "Run"))
    said = words(at)
    assert "drifted in 20 of 20 layers" in said
    assert "bit-identical" not in said
    (item,) = at.session_state["runs"]
    assert item.config.bn == "train"
    assert list(at.dataframe[0].value["Model"]) == ["Original", "GA"]


@WHOLE_SET
def test_the_link_brings_the_run_back(opened) -> None:
    at = opened
    at.button_group(key="methods").set_value(["npo"])
    at.button_group(key="mode").set_value("train")
    at = finish(press(rerun(at), "Run"))
    link = link_of(at)
    query = {name: values[-1] for name, values in parse_qs(urlsplit(link).query).items()}
    assert query["mode"] == "train"
    again = visit("reidentify", **query)
    again = finish(press(again, "Run"))
    configs = [runs.session_state["runs"][0].config for runs in (at, again)]
    assert configs[0] == configs[1]


HOSTILE = {
    "dataset": "zebra",
    "model": "zebra",
    "seed": "1e400",
    "methods": "IMU,XYZ",
    "more": "zebra",
    "preset": "zebra",
    "scope": "last:99",
    "target": "5000",
    "run_seed": "-1",
    "mode": "sometimes",
    "cam": "zebra",
    "layer": "zebra",
    "opacity": "101",
    "step": "3",
    "zebra": "1",
    "after": "[[",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_whatever_a_link_asks_and_cannot_have_is_said(few: Dataset, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setitem(problem_choice.USUAL, "reidentify", "few")
    at = visit("reidentify", **{**FEW, name: HOSTILE[name]})
    wrong = "XYZ" if name == "methods" else HOSTILE[name]
    said = "\n".join([words(at), *(w.value for w in at.warning)]).replace("\\", "").replace("**", "")
    if name == "after":
        assert "earlier request" in said
    else:
        assert f"{name}={wrong} " in said
        assert "Taken instead: " in said or f"{name}={wrong} was left out" in said
    assert "Can the person still be found?" in at.title[0].value


@pytest.mark.sample(1, reason="whole runs of a page; the same is tested where it is computed")
@pytest.mark.parametrize(
    ("forget", "said"),
    [
        ("identity:99", "There is no identity '99'"),
        ("identity:", "names nothing to forget"),
        ("class:Bag", "There is no identity 'Bag'"),
    ],
)
def test_wrong_people_get_a_sentence(few: Dataset, forget: str, said: str) -> None:
    assert said in sentence(visit("reidentify", dataset="few", forget=forget))


@pytest.mark.slow(reason="whole runs of a page; the same is tested where it is computed")
def test_a_random_request_has_nobody_to_search_for_but_still_a_price(few: Dataset) -> None:
    said = words(visit("reidentify", dataset="few", forget="random:20,seed=1"))
    assert "names no whole person" in said
    assert "mAP of unseen people" in said


@pytest.mark.sample(1, reason="whole runs of a page; the same is tested where it is computed")
@pytest.mark.parametrize("cam", ["gradcam", "layercam"])
def test_map_layer_and_opacity_come_from_the_link(few: Dataset, cam: str) -> None:
    at = visit("reidentify", **FEW, cam=cam, layer="layer2.1, map of 16 x 8", opacity="40")
    assert "--heat:0.4" in images(at)


@WHOLE_SET
def test_a_link_with_a_dataset_without_people_leads_to_people(
    tiny: Dataset, few: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(problem_choice.USUAL, "reidentify", "few")
    at = visit("reidentify", dataset="tiny", model="lenet5", forget="class:Bag")
    assert "shows no identities" in words(at)
    at = press(at, "Open the synthetic people")
    assert (at.session_state.dataset, at.session_state.model) == ("few", "reid_resnet18")
    assert at.session_state.forget.startswith("identity:")
    assert "mAP" in words(at)


def test_people_that_were_chosen_stay_on_every_page(few: Dataset) -> None:
    at = visit("reidentify", **FEW)
    for page in ("unlearn", "influence", "start"):
        at = go_to(at, page)
        assert (at.session_state.dataset, at.session_state.forget) == ("few", "identity:0005")


def test_choosing_another_dataset_brings_a_model_and_a_request(tiny: Dataset, few: Dataset) -> None:
    at = visit("unlearn", dataset="tiny", model="lenet5", forget="class:Bag")
    at.sidebar.selectbox(key="dataset").set_value("few")
    at = rerun(at)
    assert (at.session_state.model, at.session_state.forget) == ("reid_resnet18", "identity:0001")
    assert not at.warning


def test_a_market_folder_that_is_wrong_is_asked_for_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMU_FOLDERS", str(tmp_path))
    at = visit("reidentify", dataset=f"market:{tmp_path}")
    assert "lacks bounding_box_train, bounding_box_test, query" in sentence(at)
    assert has_button(at, "Read this folder")
    at.text_input(key="market_folder").set_value(str(tmp_path / "elsewhere"))
    at = press(at, "Read this folder")
    assert at.session_state.dataset == f"market:{tmp_path / 'elsewhere'}"
    assert "There is no folder" in sentence(at)


@WHOLE_SET
def test_the_scopes_run_in_the_background_and_end(opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scopes, "SCOPES", ("head",))
    at = press(opened, "Compare all six")
    (job,) = at.session_state["scopes"].values()
    wait_until(lambda: job.finished, "the six runs end")
    at = rerun(at)
    assert job.state == "done"
    table = at.dataframe[-1].value
    assert list(table["Scope"]) == ["head", "head"]
    assert table["Features"].iloc[0] == "identical"
    assert "No retrained model is stored for this person" in words(at)


def test_a_sample_card_shows_where_each_model_looks(person: Problem) -> None:
    at = visit("influence", **FEW)
    opened = next(b for b in at.button if b.label == "Open")
    opened.click()
    at = rerun(at)
    assert "Where each model looks" in " ".join(m.value for m in at.markdown)
    assert {'alt="original"', 'alt="after IMU"'} <= set(re.findall(r'alt="[^"]*"', images(at)))


def test_the_verdict_tells_the_truth_about_a_search(opened, person: Problem) -> None:
    (item, *_) = session_runs.examples(person)
    found = reidentification.judge(person, item.run.model())
    text = next(m.value for m in opened.markdown if "mAP of the forgotten person" in m.value)
    assert f"{100 * found.person.map:.1f} %" in text


def test_everybody_else_still_opens(person: Problem) -> None:
    for page in PAGES:
        assert not visit(page, **FEW).exception


@WHOLE_SET
def test_a_stored_comparison_is_shown_with_its_command() -> None:
    at = visit("reidentify", dataset="people", forget="identity:0011")
    said = words(at)
    assert "python -m imu_core reid --problem people" in said
    stored = scopes.stored_rows(imu_core.problem("people", model="reid_resnet18", forget="identity:0011"), "imu")
    worst = min(row["person_map"] for row in stored["rows"])
    assert f"{100 * worst:.1f} %" in said
    assert json.dumps(stored)
    assert button(at, "0011").label.endswith("★")
    assert data.is_here("people")
    assert not visitor.queue().active(at.session_state["owner"])


@pytest.mark.parametrize("page", ["start", "influence", "unlearn", "reidentify"])
def test_made_up_people_are_called_so_on_every_page(person: Problem, page: str) -> None:
    assert any("synthetic" in caption.value for caption in visit(page, **FEW).sidebar.caption)


def test_the_runs_are_played_step_by_step_on_the_stage(person: Problem) -> None:
    at = visit("reidentify", **FEW, people_part="Step by step")
    sent = stage_of(at)
    (scene,) = sent["scenes"]
    assert [line["name"] for line in scene["lines"]] == ["IMU", "GA", "NPO"]
    assert set(scene["wall"]["ids"]) <= set(person.split.forget.tolist())
    assert sent["opens"]
    at.session_state.opened_sample = scene["wall"]["ids"][0]
    rerun(at)
    assert not at.exception
    assert "Rank by score" in {metric.label for metric in at.metric}


def test_one_part_is_shown_at_a_time(opened) -> None:
    opened.session_state.people_part = "numbers"
    rerun(opened)
    assert not [element.value for element in opened.subheader if element.value == "Where it looks"]
    assert len(opened.dataframe) >= 1
    opened.session_state.people_part = "looks"
    rerun(opened)
    assert "Where it looks" in [element.value for element in opened.subheader]
