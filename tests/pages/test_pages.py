"""The pages as Streamlit runs them, without a browser: what they show, refuse, carry over, and let people take away."""

from __future__ import annotations

import csv
import dataclasses
import html
import io
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import plotly.graph_objects as go
import pytest
import torch
from conftest import same_bits
from PIL import Image, ImageColor
from safetensors import safe_open
from safetensors.torch import load
from streamlit.runtime.pages_manager import PagesManager
from streamlit.testing.v1 import AppTest, app_test

import imu_core
from imu_core import data, figures, methods, runtime
from imu_core.data import fashion
from imu_core.figures import paths
from imu_core.influence import ESTIMATORS, ranking
from imu_core.influence.head import head_scores
from imu_core.methods import METHODS, preset
from imu_core.models import checkpoints
from imu_core.problems.forget import ids_request
from imu_core.records.outcome import Outcome
from imu_core.records.run import Point, Problem, RunConfig, Trajectory
from imu_core.report import exports
from imu_core.report.numbers import signed
from imu_core.report.sample import why_words
from imu_core.report.verdicts import one_path, verdict_of_all
from imu_core.training import recipes
from imu_core.training.loop import Training
from imu_core.training.recipes import Recipe
from imu_core.weights import sample_weights
from pages.sections.influence import charts, gallery
from pages.sections.sample import card
from pages.sections.unlearn import patience
from pages.session import session_runs, visitor
from pages.widgets import run_link
from pages.widgets.bound import EVERYTHING

# A case is a whole run of a page. What a link or a setting may say is tested where it is read: test_links.py, test_forget.py.
pytestmark = pytest.mark.sample(3, reason="a case is a whole run of a page")
LONG_WAY = pytest.mark.slow(reason="goes through many whole runs of a page, or trains")
APP = Path(__file__).resolve().parents[2] / "app.py"
WITH_PROBLEM = ("influence", "unlearn")
PAGES = ("start", *WITH_PROBLEM, "paper", "glossary", "docs")
TINY = {"dataset": "tiny", "model": "lenet5"}
PATIENCE = 400.0  # seconds until a wait is given up; nothing is asserted about how long anything takes
LONG = {
    "preset": "own",
    "scope": "all",
    "own_epochs": "500",
    "own_batch_size": "1",
    "measure": "false",
    "own_learning_rate": "0.00001",
}
CLASSES = fashion.CLASS_NAMES


# ---------------------------------------------------------------------------------------------------------------- helpers


def healthy(at: AppTest) -> AppTest:
    """The same app, unless it shows an exception."""
    assert not at.exception, [(error.message, error.stack_trace) for error in at.exception]
    return at


def rerun(at: AppTest) -> AppTest:
    """Run the page again with what was clicked; AppTest by itself cannot send a request that was typed."""
    for box in at.sidebar.selectbox:
        if box.value not in box.options:
            box.options.append(box.value)
    return healthy(at.run())


def visit(page: str = "start", owner: str = "", /, **query: Any) -> AppTest:
    """A window that is opened at a link to `page` with `query`: of a new visitor, or of the one called `owner`."""
    at = AppTest.from_file(APP, default_timeout=PATIENCE)
    at.query_params.update(query)
    for key in {"attack_part", "people_part", "unlearn_part"} - query.keys():
        at.session_state[key] = EVERYTHING
    if owner:
        at.session_state["owner"] = owner
    if page != "start":
        at.switch_page(f"pages/{page}.py")
    return healthy(at.run())


def go_to(at: AppTest, page: str) -> AppTest:
    return rerun(at.switch_page(f"pages/{page}.py"))


def button(at: AppTest, label: str) -> Any:
    """The one button whose label starts so."""
    found = [b for b in at.button if b.label.startswith(label)]
    assert len(found) == 1, f"{len(found)} buttons start with {label!r}: {[b.label for b in at.button]}"
    return found[0]


def stage_of(at: AppTest) -> dict[str, Any]:
    """What the stage on the page has been sent; its `scenes` are None where this session has been sent them before."""
    (stage,) = at.get("bidi_component")
    return json.loads(stage.proto.json)


def scenes_of(at: AppTest) -> list[dict[str, Any]]:
    """The scenes on the stage of this page, sent again as for a window that lacks them."""
    at.session_state[f"{stage_of(at)['key']}_sent"] = ""
    return stage_of(rerun(at))["scenes"]


def link_of(at: AppTest) -> str:
    """The address in the box that is opened by "Link"; the box stays open."""
    at.session_state.link_box = True
    page = rerun(at).session_state.visit.page
    (link,) = [code.value for code in at.code if code.value.startswith(f"/{page}?")]
    return link


def has_button(at: AppTest, label: str) -> bool:
    return any(b.label.startswith(label) for b in at.button)


def press(at: AppTest, label: str) -> AppTest:
    button(at, label).click()
    return rerun(at)


def words(at: AppTest) -> str:
    """Everything in the main part that reads as a sentence."""
    main = at.main
    return "\n".join(e.value for kind in (main.markdown, main.caption, main.warning, main.info, main.error) for e in kind)


def sentence(at: AppTest) -> str:
    """The one warning on the page, without the backslashes that keep a request from being read as Markdown."""
    assert len(at.warning) == 1, [warning.value for warning in at.warning]
    return re.sub(r"\\([^\w\s]|_)", r"\1", at.warning[0].value)


def runs_of(at: AppTest) -> list[session_runs.Kept]:
    return at.session_state.get("runs", [])


def wait_until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"waited in vain: {what}")
        time.sleep(0.01)


def finish(at: AppTest) -> AppTest:
    """Wait for every job of this visitor, then let the page see the end."""
    jobs = [job for item in runs_of(at) for job in (item.job, item.measuring) if job]
    wait_until(lambda: all(job.finished for job in jobs), f"{[(job.title, job.state) for job in jobs]}")
    return rerun(at)


def run_methods(methods: list[str], **query: Any) -> AppTest:
    """A visitor who picked `methods`, pressed Run and waited for everything."""
    return finish(start_methods(methods, **query))


def start_methods(methods: list[str], **query: Any) -> AppTest:
    at = visit("unlearn", **query)
    at.pills(key="methods").set_value(methods)
    rerun(at)
    return press_run(at)


def press_run(at: AppTest) -> AppTest:
    at.button(key="run").click()
    return rerun(at)


def form_config(query: dict[str, Any]) -> list[RunConfig]:
    """The configs that the form makes of a link: what Run would run, stopped at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(patience, "PATIENCE", dict.fromkeys(patience.PATIENCE, 0.0))
        at = press_run(visit("unlearn", **query, measure="false"))
    for item in runs_of(at):
        item.job.cancel()
    return [item.config for item in runs_of(at)]


def query_of(link: str) -> dict[str, Any]:
    """What a browser would hand over for `link`."""
    address = urlsplit(link)
    assert address.path == "/unlearn"
    return {
        name: values[0] if len(values) == 1 else values
        for name, values in parse_qs(address.query, keep_blank_values=True).items()
    }


def alone(problem: Problem, config: RunConfig) -> imu_core.Run:
    """The same run, made without any page."""
    run = imu_core.unlearn(problem, config)
    for _ in run:
        pass
    return run


def figure_captions(at: AppTest) -> list[str]:
    """The captions under the pictures of every strip on the page."""
    found = (re.findall(r"<figcaption>(.*?)</figcaption>", part.value) for part in at.main.get("html"))
    return [html.unescape(text) for texts in found for text in texts]


def record_of(config: RunConfig, problem: Problem, points: tuple[Point, ...] = (), state: str = "done") -> Trajectory:
    outcome = Outcome(state, "" if state == "done" else "because.")
    return Trajectory(config, problem.describe(), points, {"steps": 0.1}, outcome, {})


@pytest.fixture(autouse=True)
def nothing_left_running() -> Iterator[None]:
    yield
    for job in visitor.queue().active():
        job.cancel()
    wait_until(lambda: not visitor.queue().active(), "the jobs a test left behind end")


@pytest.fixture
def own_home(tiny: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of this test alone in which the tiny set has its original models; what is trained here stays here."""
    shutil.copytree(runtime.home() / "models" / "tiny", tmp_path / "models" / "tiny")
    monkeypatch.setenv("IMU_HOME", str(tmp_path))
    _forget_caches()
    yield tmp_path
    _forget_caches()


@pytest.fixture
def nothing_trained(tiny: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No checkpoint anywhere, neither shipped nor trained here."""
    monkeypatch.setenv("IMU_HOME", str(tmp_path))
    monkeypatch.setattr(checkpoints, "folders", lambda: (tmp_path / "none", tmp_path / "models"))
    _forget_caches()
    yield tmp_path
    _forget_caches()


def _forget_caches() -> None:
    sys.modules["imu_core.problems.problem"]._original.cache_clear()
    sys.modules["imu_core.unlearning.sequence"]._REPEATED.clear()
    checkpoints._read_card.cache_clear()
    session_runs._examples.clear()
    card._scores.clear()


@pytest.fixture(scope="module")
def ran(shipped: object) -> AppTest:
    """A visitor on the default problem who pressed Run with the three default methods and measured nothing. Only read it."""
    return finish(press_run(visit("unlearn", measure="false")))


@pytest.fixture(scope="module")
def measured(shipped: object) -> AppTest:
    """The same with the measurement, which takes half a minute. Only read it."""
    return finish(press_run(visit("unlearn")))


@pytest.fixture(scope="module")
def sandal(shipped: object) -> Problem:
    return imu_core.problem("fashion", model="small_resnet", forget="class:Sandal")


# ------------------------------------------------------------------------------------------------------- opening the pages


@pytest.mark.parametrize("page", PAGES)
def test_a_page_opens_on_a_finished_example(page: str) -> None:
    at = visit(page)
    assert at.title[0].value
    assert not at.warning
    assert not at.error
    assert at.sidebar.selectbox(key="forget").value == "class:Sandal"


@LONG_WAY
def test_one_visitor_walks_through_all_pages_and_keeps_the_problem() -> None:
    at = visit("start", forget="class:Bag")
    for page in (*PAGES, *reversed(PAGES)):
        go_to(at, page)
        assert at.sidebar.selectbox(key="forget").value == "class:Bag"


@pytest.mark.slow(reason="starts servers; the browser's first visit in the default run is a deep link")
@pytest.mark.parametrize("page", PAGES)
def test_a_fresh_server_whose_first_visit_is_a_deep_link_shows_the_sidebar(monkeypatch: pytest.MonkeyPatch, page: str) -> None:
    monkeypatch.setattr(app_test, "PagesManager", PagesManager)
    monkeypatch.setattr(PagesManager, "uses_pages_directory", None)
    at = visit(page, forget="class:Bag")
    assert at.sidebar.selectbox(key="forget").value == "class:Bag"
    assert PagesManager.uses_pages_directory is False


@pytest.mark.slow(reason="whole runs of a page; the same is tested where it is computed")
@pytest.mark.parametrize("page", WITH_PROBLEM)
def test_the_second_model_works_on_every_page(page: str) -> None:
    assert not visit(page, model="lenet5", forget="class:Bag").warning


NOT_A_REQUEST = {
    "class:Zebra": "Zebra",
    "nonsense": "There is no class 'nonsense'",
    "random:100%": "allowed are 1 to 9,999",
    "random:0": "allowed are 1 to 9,999",
    "random:": "names nothing to forget",
    "ids:99999999": "from 0 to 9,999",
    "ids:5-3": "from 0 to 9,999",
    "ids:,": "names no sample",
    "class:": "names nothing to forget",
    " ": "empty",
    "class:" + "+".join(CLASSES): "two classes must remain",
    "class:" + "+".join(CLASSES[:9]): "two classes must remain",
    "outliers:many": "not understood",
}


@pytest.mark.parametrize("page", WITH_PROBLEM)
@pytest.mark.parametrize("request_text", NOT_A_REQUEST)
def test_a_request_that_cannot_be_met_gets_a_sentence(page: str, request_text: str) -> None:
    at = visit(page, forget=request_text)
    assert NOT_A_REQUEST[request_text] in sentence(at)
    assert at.sidebar.selectbox(key="forget").value == "class:Sandal"
    assert at.metric or has_button(at, "Run"), "the page is there all the same"


@pytest.mark.parametrize("page", WITH_PROBLEM)
def test_an_empty_request_in_the_link_opens_the_default_problem(page: str) -> None:
    at = visit(page, forget="")
    assert at.sidebar.selectbox(key="forget").value == "class:Sandal"
    assert not at.query_params.get("forget")
    assert not at.warning


def test_a_wrong_request_can_be_put_right_in_the_sidebar() -> None:
    at = visit("influence", forget="nonsense")
    at.sidebar.selectbox(key="forget").set_value("class:Bag")
    rerun(at)
    assert not at.warning
    assert at.metric


BAD_SETTINGS = [
    {"dataset": "zebra"},
    {"dataset": ""},
    {"model": "zebra"},
    {"seed": "-1"},
    {"seed": "many"},
    {"seed": "9" * 40},
    {"methods": "zebra"},
    {"methods": ""},
    {"preset": "zebra"},
    {"preset": ""},
    {"scope": "last:9"},
    {"scope": ""},
    {"target": "-4"},
    {"target": "nan"},
    {"run_seed": "1.5"},
    {"measure": "zebra"},
    {"preset": "own", "own_learning_rate": "nan"},
    {"preset": "own", "own_learning_rate": "1e300"},
    {"preset": "own", "own_epochs": "-3"},
    {"preset": "own", "own_bn": "zebra"},
    {"preset": "own", "own_top": "0"},
    {"preset": "own", "own_clip_quantile": "7"},
    {"preset": "own", "own_update_every": "7"},
]


@pytest.mark.sample(6, reason="whole runs of a page; every setting is walked in tests/settings")
@pytest.mark.parametrize("query", BAD_SETTINGS, ids=lambda query: "&".join(f"{k}={v[:9]}" for k, v in query.items()))
def test_a_setting_out_of_range_in_the_link_never_breaks_the_page(query: dict[str, str]) -> None:
    at = visit("unlearn", **TINY | query)
    assert not at.error
    assert has_button(at, "Run")


@pytest.mark.parametrize(
    "query",
    [{name: value} for name in ("estimator", "psi", "damping", "against") for value in ("zebra", "")],
    ids=lambda query: "&".join(f"{k}={v}" for k, v in query.items()),
)
def test_a_wrong_influence_setting_falls_back_to_the_default(query: dict[str, str]) -> None:
    at = visit("influence", **TINY, **query)
    assert not at.warning
    assert at.metric


DAMAGED_HISTORY = [
    "nonsense",
    "[",
    "[" * 20_000,
    "5",
    '"text"',
    "true",
    '{"a": 1}',
    "[1]",
    '["ab"]',
    "[[5, {}]]",
    '[["class:Bag", 5]]',
    '[["class:Zebra", {}]]',
    '[["class:Bag", {"nothing": 1}]]',
    '[["class:Bag", {"epochs": "x"}]]',
    '[["class:Bag", {"method": "zebra"}]]',
    '[["class:Bag", {"method": []}]]',
    '[["class:Bag", {"estimator": []}]]',
    '[["class:Bag", {"psi": {}}]]',
    '[["class:Bag", {"scope": 5}]]',
]


@pytest.mark.parametrize("history", DAMAGED_HISTORY, ids=lambda text: text[:40])
def test_a_damaged_list_of_earlier_requests_gets_a_sentence_and_a_way_back(tiny: object, history: str) -> None:
    at = visit("unlearn", **TINY, after=history)
    assert sentence(at)
    press(at, "Back to the original model")
    assert not at.warning
    assert has_button(at, "Run")


@pytest.mark.parametrize(
    "step",
    [
        ["class:Sandal", {}],
        ["class:Sandal", {"epochs": 5, "method": "ga", "scope": "head"}],
        [" class:sandal", {"method": "ga", "scope": "head"}],
        ["random:10%", {"method": "ga", "scope": "head"}],
    ],
    ids=json.dumps,
)
def test_earlier_requests_may_be_written_by_hand(tiny: object, step: list[Any]) -> None:
    at = visit("unlearn", **TINY, forget="class:Bag", after=json.dumps([step]))
    assert not at.warning
    assert has_button(at, "Run")


def test_a_dataset_that_is_not_here_offers_the_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMU_DATA", str(tmp_path))
    monkeypatch.setattr(fashion, "DEBIAN_FOLDER", tmp_path / "none")
    data.load.cache_clear()
    for page in WITH_PROBLEM:
        at = visit(page, dataset="fashion-full")
        assert "not on this machine" in sentence(at)
        assert has_button(at, "Download fashion-full")
    refused = lambda name: (_ for _ in ()).throw(imu_core.errors.DataError("No connection."))  # noqa: E731
    monkeypatch.setattr(data, "download", refused)
    assert "No connection" in press(at, "Download fashion-full").error[0].value


@pytest.mark.parametrize("page", WITH_PROBLEM)
def test_a_model_that_is_not_trained_offers_training(nothing_trained: Path, page: str) -> None:
    at = visit(page)
    assert "python -m imu_core train" in sentence(at)
    assert has_button(at, "Train small_resnet on fashion")


@LONG_WAY
def test_training_from_the_page_makes_the_model_that_was_missing(nothing_trained: Path) -> None:
    at = press(visit("influence", **TINY), "Train lenet5 on tiny")
    wait_until(lambda: not visitor.queue().active(at.session_state["owner"]), "the training ends")
    rerun(at)
    assert not at.warning
    assert at.metric


def test_a_training_can_be_stopped_in_the_sidebar_of_another_page(nothing_trained: Path) -> None:
    at = go_to(press(visit("influence"), "Train small_resnet on fashion"), "unlearn")
    (job,) = visitor.queue().active(at.session_state["owner"])
    assert job.title in " ".join(m.value for m in at.sidebar.markdown)
    at.sidebar.button(key=f"side-stop-{job.id}").click()
    rerun(at)
    wait_until(lambda: job.finished, "the training stops")
    assert job.state == "cancelled"
    assert not (nothing_trained / "models" / "fashion" / "small_resnet" / "original.safetensors").exists()


@LONG_WAY
def test_without_a_retrained_model_the_page_says_so_and_trains_it(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(recipes.RECIPES, "lenet5", Recipe(epochs=3, learning_rate=0.05))
    at = visit("unlearn", **TINY, forget="ids:0-19")
    assert "No retrained model is stored for **ids:0-19**" in words(at)
    press(at, "Train it")
    wait_until(lambda: not visitor.queue().active(at.session_state["owner"]), "the training ends")
    rerun(at)
    assert "No retrained model" not in words(at)
    found = imu_core.retrained(imu_core.problem("tiny", model="lenet5", forget="ids:0-19"))
    table = at.dataframe[0].value.set_index("Run")
    assert table.loc["Retrained", "forget"] == 100 * found.accuracies["forget"]


def test_a_new_retrained_model_moves_the_aim_of_the_examples(own_home: Path) -> None:
    def aims(at: AppTest) -> set[float]:
        assert "Until you press Run" in words(at)
        return {item.config.stop_at for item in session_runs.examples(problem)}

    problem = imu_core.problem("tiny", model="lenet5", forget="ids:0-39")
    before = aims(visit("unlearn", **TINY, forget="ids:0-39"))
    training = Training(problem.dataset, "lenet5", problem.split.removed, recipe=Recipe(epochs=1, learning_rate=0.01))
    for _ in training:
        pass
    training.save()
    at = visit("unlearn", **TINY, forget="ids:0-39")
    accuracy = imu_core.retrained(problem).accuracies["forget"]
    assert max(before) != pytest.approx(accuracy), "the test is void: both aims are the same"
    assert f"until {100 * accuracy:.1f} % of the forget set" in words(at)
    assert max(aims(at)) == pytest.approx(accuracy, abs=2e-6)


# ------------------------------------------------------------------------------------------------------------------ start


@pytest.mark.parametrize("query", [{}, {"forget": "class:Bag"}, {"forget": "bag", "model": "small_resnet"}], ids=str)
def test_start_plays_the_stored_frames_of_the_class_in_the_link(query: dict[str, str]) -> None:
    at = visit("start", **query)
    sent = stage_of(at)
    name = "Bag" if query else "Sandal"
    assert sent["picks"] == list(CLASSES)
    assert sent["picks"][sent["chosen"]] == name
    assert f"images of {name}. " in sent["scenes"][sent["chosen"]]["sentences"][0][1]
    assert sent["order"][1:] == ["play", 0]
    assert "What plays here is an example" not in words(at)
    again = stage_of(rerun(at))
    assert again == {**sent, "scenes": None}, "what it has been sent is not sent again, and it plays once"


@pytest.mark.parametrize(
    "query", [{**TINY}, {"forget": "random:10%,seed=0"}, {"forget": "class:Bag", "seed": "3"}, {"forget": "nonsense"}], ids=str
)
def test_start_plays_an_example_where_the_problem_is_another_one_and_says_so(tiny: object, query: dict[str, str]) -> None:
    at = visit("start", **query)
    sent = stage_of(at)
    assert sent["picks"][sent["chosen"]] == "Sandal"
    assert "What plays here is an example" in words(at)
    assert not at.warning


@pytest.mark.parametrize(
    ("query", "what", "step"),
    [({"step": "7"}, "rest", 7), ({"step": "0"}, "rest", 0), ({"play": "0"}, "rest", 69), ({}, "play", 0)],
)
def test_a_link_may_ask_start_to_rest_at_a_step(query: dict[str, str], what: str, step: int) -> None:
    sent = stage_of(visit("start", **query))
    assert sent["scenes"][sent["chosen"]]["lines"][0]["steps"][-1] == 69, "the test is void: the stored example is another one"
    assert sent["order"][1:] == [what, step]
    assert sent["at"] == (69 if what == "play" else step)


def test_the_link_on_start_names_its_class_and_the_step_where_it_rests() -> None:
    at = visit("start", forget="class:Bag")
    assert parse_qs(urlsplit(link_of(at)).query) == {"forget": ["class:Bag"]}
    at.session_state.start_at = 3
    query = parse_qs(urlsplit(link_of(at)).query)
    assert query == {"forget": ["class:Bag"], "step": ["3"]}
    sent = stage_of(visit("start", **{name: values[0] for name, values in query.items()}))
    assert (sent["picks"][sent["chosen"]], sent["order"][1:]) == ("Bag", ["rest", 3])


def test_another_class_in_the_sidebar_is_played_on_start() -> None:
    at = visit("start")
    at.sidebar.selectbox(key="forget").set_value("class:Bag")
    sent = stage_of(rerun(at))
    assert sent["picks"][sent["chosen"]] == "Bag"


def test_a_request_that_cannot_be_met_is_answered_where_start_leads() -> None:
    at = visit("start", forget="class:Zebra")
    assert "Zebra" in sentence(go_to(at, "influence"))
    assert at.sidebar.selectbox(key="forget").value == "class:Sandal"


# -------------------------------------------------------------------------------------------------------- stage of unlearn


def test_what_the_stage_says_follows_the_step(tiny: object) -> None:
    at = run_methods(["ga", "npo"], **TINY, measure="false")
    items = runs_of(at)
    (scene,) = scenes_of(at)
    told, last = scene["sentences"], max(item.run.points[-1].step for item in items)
    assert [step for step, _ in told] == list(range(last + 1))
    reference = session_runs.reference_of(items[0].problem)
    for step, text in told:
        runs = [(item.name, item.trajectory) for item in items]
        assert text == verdict_of_all(runs, items[0].problem, reference, step)
        assert (text.startswith("Nothing has happened yet")) == (step == 0)
        assert (f"At step {step} of {last} " in text) == (0 < step < last)


def test_the_ends_are_told_at_whatever_step_the_stage_rests(tiny: object) -> None:
    at = run_methods(["ga", "npo"], **TINY, measure="false")
    told = words(at)
    for name in ("GA", "NPO"):
        assert any(f"{name} {how}recognises" in told for how in ("", "still ", "no longer "))
    at.session_state.unlearn_at = 0
    assert words(rerun(at)) == told
    assert stage_of(at)["at"] == 0


@pytest.mark.slow(reason="a page waits for runs; a real browser does too")
def test_runs_are_followed_and_replayed_once_they_have_ended(tiny: object) -> None:
    at = start_methods(["ga"], **TINY, **LONG)
    wait_until(lambda: runs_of(at)[0].run is not None and len(runs_of(at)[0].run.points) > 1, "the run takes a step")
    sent = stage_of(rerun(at))
    assert sent["order"][1] == "follow"
    assert not scenes_of(at)[0]["sentences"]
    assert stage_of(rerun(at))["order"] == sent["order"], "it is told so once"
    press(at, "Stop all")
    ended = stage_of(finish(at))
    session, number = sent["order"][0].split("-")
    assert ended["order"][:2] == [f"{session}-{int(number) + 1}", "rest"], "it was watched live"
    assert ended["order"][2] == ended["at"] == runs_of(at)[0].run.points[-1].step
    at.session_state.unlearn_at = 0
    assert stage_of(rerun(at))["order"] == ended["order"]
    head = stage_of(run_methods(["ga"], **TINY, measure="false"))
    assert head["order"][1:] == ["play", 0]


def test_the_stage_of_unlearn_shows_the_images_of_runs_that_ended(lenet: Problem) -> None:
    at = run_methods(["ga"], **TINY, measure="false")
    (scene,) = scenes_of(at)
    (item,) = runs_of(at)
    places = {index: n for n, index in enumerate(lenet.split.forget.tolist())}
    ends = alone(lenet, item.config).points[-1].forget_predictions
    assert len(scene["wall"]["ids"]) == min(24, len(places))
    assert [flips[-1][1] for flips in scene["lines"][0]["flips"]] == [int(ends[places[index]]) for index in scene["wall"]["ids"]]
    assert stage_of(rerun(at))["scenes"] is None, "what it has been sent is not sent again"


# ---------------------------------------------------------------------------------------------------------------- unlearn


@pytest.mark.slow(reason="measures three runs on all images; the default run measures one on the tiny set")
def test_the_three_default_methods_run_and_the_verdicts_say_what_happened(measured: AppTest, sandal: Problem) -> None:
    items = runs_of(measured)
    assert [(item.name, item.job.state) for item in items] == [("IMU", "done"), ("GA", "done"), ("NPO", "done")]
    text = words(measured)
    for item in items:
        last = item.run.points[-1].accuracies
        assert f"{item.name} still recognises {100 * last['forget']:.1f} % of the 1,000 images of Sandal" in text
    assert text.count("The retrained model, which never saw them, recognises 0.0 % and lost 0.2 points") == 3
    assert "Until you press Run" not in text
    assert "What happened" in [s.value for s in measured.subheader]


def test_the_table_shows_what_the_engine_computes_without_a_page(ran: AppTest, sandal: Problem) -> None:
    table = ran.dataframe[0].value.set_index("Run")
    assert list(table.index) == ["Original", "Retrained", "IMU", "GA", "NPO"]
    columns = ["forget", "retain", "test", "test_other"]
    hits = sandal.train.logits.argmax(1) == sandal.train.labels
    assert table.loc["Original", "forget"] == 100 * float(hits[sandal.split.forget].double().mean())
    reference = imu_core.retrained(sandal)
    assert table.loc["Retrained", columns].tolist() == [100 * reference.accuracies[name] for name in columns]
    for item in runs_of(ran):
        run = alone(sandal, item.config)
        assert table.loc[item.name, columns].tolist() == [100 * run.points[-1].accuracies[name] for name in columns]
        assert table.loc[item.name, "Steps"] == str(run.points[-1].step)
        assert table.loc[item.name, "Saw"] == "forget"


@pytest.mark.slow(reason="measures three runs on all images; the default run measures one on the tiny set")
def test_the_table_shows_the_attack_and_the_distance_from_the_retrained_model(measured: AppTest, sandal: Problem) -> None:
    table = measured.dataframe[0].value.set_index("Run")
    p = imu_core.retrained(sandal).test.logits.double().softmax(1)
    for item in runs_of(measured):
        head = alone(sandal, item.config).points[-1].head
        q = (sandal.test.Z @ head[0].T + head[1]).double().softmax(1)
        assert table.loc[item.name, "kl"] == pytest.approx(float((p * (p / q).log()).sum(1).mean()), rel=1e-6)
        assert table.loc[item.name, "membership"] == item.measured["membership"]["run"]
        assert item.measured["membership"]["run"] > item.measured["membership"]["original"]
    assert np.isnan(table.loc["Retrained", "kl"])


def test_the_pictures_are_those_of_the_unlearned_model(ran: AppTest, sandal: Problem) -> None:
    item = runs_of(ran)[0]
    still = int((alone(sandal, item.config).points[-1].forget_predictions == CLASSES.index("Sandal")).sum())
    text = words(ran)
    assert f"**Still recognised: {still:,}**" in text
    assert "**No longer recognised:" in text
    assert "Damaged elsewhere" in text
    captions = figure_captions(ran)
    assert any(caption.startswith("Sandal → ") for caption in captions)
    assert "Sandal → Sandal" not in captions


@LONG_WAY
def test_what_is_near_a_random_set_is_never_called_forgotten() -> None:
    at = run_methods(["imu", "ga", "npo"], forget="random:10%,seed=0", measure="false")
    assert [item.job.state for item in runs_of(at)] == ["done"] * 3
    text = words(at)
    aim = imu_core.retrained(imu_core.problem("fashion", forget="random:10%,seed=0")).accuracies["forget"]
    assert text.count(f"The retrained model, which never saw them, recognises {100 * aim:.1f} %") == 3
    assert "forgot" not in text.partition("What happened")[2]
    assert " forgot " not in text
    for item in runs_of(at):
        assert item.config.stop_at == pytest.approx(aim, abs=2e-6)
        assert item.run.points[-1].accuracies["forget"] <= aim


@pytest.mark.slow(reason="whole runs of a page; the same is tested where it is computed")
def test_stop_all_ends_what_runs_and_what_waits(tiny: object) -> None:
    at = start_methods(["imu", "ga"], **TINY, **LONG)
    running, waiting = runs_of(at)
    wait_until(lambda: running.run is not None and len(running.run.points) > 1, "the first run takes a step")
    assert "IMU" in words(rerun(at))
    press(at, "Stop all")
    finish(at)
    assert [running.job.state, waiting.job.state] == ["cancelled", "cancelled"]
    assert "Stopped by you at step" in words(at)
    assert not at.error, "a visitor's own Stop is no error"
    assert ":gray-badge[:material/block: cancelled] GA (all)\\: Stopped by you before it began." in words(at)
    table = at.dataframe[0].value.set_index("Run")
    assert table.loc["IMU (all)", "State"] == "cancelled"
    assert 0 <= table.loc["IMU (all)", "forget"] <= 100
    assert not has_button(at, "Stop all")


@pytest.mark.slow(reason="whole runs of a page; the same is tested where it is computed")
def test_a_running_job_is_shown_and_stopped_on_every_page(tiny: object) -> None:
    at = start_methods(["ga"], **TINY, **LONG)
    job = runs_of(at)[0].job
    for page in PAGES:
        go_to(at, page)
        assert "GA (all) · class:Sandal" in " ".join(m.value for m in at.sidebar.markdown)
        assert not job.finished
    at.sidebar.button(key=f"side-stop-{job.id}").click()
    rerun(at)
    wait_until(lambda: job.finished, "the job stops")
    assert job.state == "cancelled"


@pytest.mark.slow(reason="whole runs of a page; the same is tested where it is computed")
@pytest.mark.parametrize("epochs", ["1", "2"])
def test_the_one_cycle_schedule_works_for_few_steps(tiny: object, epochs: str) -> None:
    for batch_size in ("10", "20", "40"):  # 1 to 8 steps
        query = {"preset": "own", "own_schedule": "one_cycle", "own_epochs": epochs, "own_batch_size": batch_size}
        at = run_methods(["ga"], **TINY, **query, measure="false")
        assert runs_of(at)[0].job.state == "done", runs_of(at)[0].job.reason


def test_a_diverging_run_is_called_diverged(tiny: object) -> None:
    at = run_methods(["ga"], forget="class:Bag", preset="own", own_optimizer="sgd", own_learning_rate="10", measure="false")
    assert runs_of(at)[0].job.state == "diverged"
    assert "It broke down" in words(at)
    assert at.dataframe[0].value.set_index("Run").loc["GA", "State"] == "diverged"
    assert not has_button(at, "Forget something else")


def test_a_run_can_be_renamed_and_removed(tiny: object) -> None:
    at = run_methods(["ga", "npo"], **TINY, measure="false")
    first, second = runs_of(at)
    at.text_input(key=f"name_{first.job.id}").set_value("My first run")
    rerun(at)
    assert first.name == "My first run"
    assert "My first run" in set(at.dataframe[0].value["Run"]), "the table still shows the old name"
    assert any(f"My first run {how}recognises" in words(at) for how in ("", "still ", "no longer "))
    at.button(key=f"remove_{first.job.id}").click()
    rerun(at)
    assert runs_of(at) == [second]
    assert "My first run" not in set(at.dataframe[0].value["Run"])
    at.button(key=f"remove_{second.job.id}").click()
    rerun(at)
    assert "Until you press Run" in words(at)


def test_two_runs_never_carry_one_name(tiny: object) -> None:
    at = run_methods(["ga", "npo"], **TINY, measure="false")
    first, second = runs_of(at)
    at.text_input(key=f"name_{first.job.id}").set_value("NPO")
    rerun(at)
    rerun(at)
    assert first.name != second.name


def test_the_same_settings_again_make_a_second_run_with_a_name_of_its_own(tiny: object) -> None:
    at = run_methods(["ga"], **TINY, measure="false")
    finish(press_run(at))
    assert [item.name for item in runs_of(at)] == ["GA", "GA 2"]


def test_runs_on_another_problem_wait_until_that_problem_is_chosen_again(tiny: object) -> None:
    at = run_methods(["ga"], **TINY, measure="false")
    at.sidebar.selectbox(key="forget").set_value("class:Bag")
    rerun(at)
    assert "1 of your runs belong to other problems" in words(at)
    assert "Until you press Run" in words(at)
    at.sidebar.selectbox(key="forget").set_value("class:Sandal")
    assert "Until you press Run" not in words(rerun(at))


@pytest.mark.slow(reason="whole runs of a page; the same is tested where it is computed")
def test_a_second_request_starts_from_the_unlearned_model_again_and_again(tiny: object) -> None:
    at = run_methods(["ga"], **TINY, measure="false")
    gone = ["class:Sandal"]
    for _ in range(2):
        press(at, "Forget something else from this model")
        history = json.loads(at.sidebar.text_input(key="after").value)
        assert [request for request, _ in history] == gone
        proposed = at.sidebar.selectbox(key="forget").value
        assert proposed not in gone
        assert not at.warning
        gone.append(proposed)
        at.pills(key="methods").set_value(["ga"])
        rerun(at)
        finish(press_run(at))
        item = runs_of(at)[-1]
        assert item.job.state == "done"
        assert len(item.problem.split.earlier) == 40 * len(history)
        assert item.run.points[-1].accuracies["earlier"] < 0.5
    for page in ("influence", "start", "unlearn"):
        assert not go_to(at, page).warning
    press(at, "Back to the original model")
    assert not at.session_state["after"]
    assert at.sidebar.selectbox(key="forget").value == gone[-1]
    assert not at.warning


# ----------------------------------------------------------------------------------------------- links, snippets and files

LINKED = {
    "gentle imu": preset("gentle", "imu"),
    "gentle ga": preset("gentle", "ga"),
    "gentle npo, all layers": preset("gentle", "npo", "all", seed=7),
    "five epochs imu": preset("five epochs", "imu", "last:2"),
    "authors imu": preset("authors", "imu", "all"),
    "authors npo": preset("authors", "npo"),
    "fine-tune": preset("gentle", "finetune", "last:1"),
    "retrain": preset("gentle", "retrain", "all"),
    "a control": dataclasses.replace(preset("gentle", "imu"), control="permuted"),
    "small numbers": RunConfig("imu", learning_rate=1.25e-5, damping=3e-6, weight_decay=1.5e-5, l1=2e-5, top=0.35),
    "many changes": RunConfig(
        "imu",
        "all",
        bn="train",
        epochs=3,
        batch_size=17,
        optimizer="sgd",
        schedule="one_cycle",
        augment=True,
        seed=3,
        stop_at=0.125,
        estimator="ekfac",
        psi="softmax",
        clip_quantile=0.93,
        update_every="iteration",
        weight_norm="mean1",
    ),
    "scores every second epoch": RunConfig("imu", update_every=2, control="loss"),
}


@pytest.mark.parametrize("name", LINKED)
def test_a_link_brings_the_settings_back(lenet: Problem, name: str) -> None:
    link = run_link.link(record_of(LINKED[name], lenet))
    assert form_config(query_of(link)) == [LINKED[name]]


def test_a_link_brings_the_problem_back(tiny: object) -> None:
    history = [("class:Sandal", RunConfig("ga").changed())]
    problem = imu_core.problem_after(history, "tiny", model="lenet5", forget="random:10%,seed=4", seed=5)
    at = press_run(visit("unlearn", **query_of(run_link.link(record_of(RunConfig("ga"), problem)))))
    assert runs_of(at)[0].problem.describe() == problem.describe()
    assert torch.equal(runs_of(at)[0].problem.split.forget, problem.split.forget)


@pytest.mark.parametrize("aim", [0.907, 0.9, 0.859, 0.07, 1 / 3, 5 / 7])
def test_a_link_keeps_the_aim_of_a_random_set(tiny: object, monkeypatch: pytest.MonkeyPatch, aim: float) -> None:
    monkeypatch.setattr(imu_core.problems.reference, "target", lambda problem: (aim, "as a test wants it"))
    query = {**TINY, "forget": "random:10%,seed=0", "methods": "GA"}
    at = press_run(visit("unlearn", **query, measure="false"))
    config, problem = runs_of(at)[0].config, runs_of(at)[0].problem
    for item in runs_of(at):
        item.job.cancel()
    assert config.stop_at == pytest.approx(aim, abs=2e-6)
    assert config.stop_at >= aim, "a run that reaches the aim exactly would not stop there"
    changed = dataclasses.replace(config, method="ga")
    assert form_config(query_of(run_link.link(record_of(changed, problem))))[0].stop_at == config.stop_at


@LONG_WAY
def test_every_link_word_of_a_method_is_understood() -> None:
    for method in METHODS:
        problem = imu_core.problem("fashion", model="lenet5")
        at = visit("unlearn", **query_of(run_link.link(record_of(RunConfig(method), problem))))
        assert [*at.pills(key="methods").value, *at.multiselect(key="more").value] == [method]


def test_a_method_of_ones_own_is_on_the_page_with_its_settings(lenet: Problem) -> None:
    """One function and one registration: the page offers it, builds its controls, runs it, and its link brings them back."""
    most = methods.Parameter("most", "Largest loss", 3.0, "A sample is left alone above this loss.", 0.1, 100.0)
    on = methods.Parameter("gently", "Gently", True, "Whether to be gentle.")

    class Bounded(methods.Objective):
        def __init__(self, largest: float) -> None:
            self.largest = largest

        def __call__(self, batch: methods.Batch) -> object:
            return -batch.losses().clamp(max=self.largest).mean()

    start = lambda view, config: Bounded(view.options["most"])  # noqa: E731
    methods.register("toy", methods.Method("Toy", "ga", start, methods.needs("forget"), "a test", parameters=(most, on)))
    try:
        at = visit("unlearn", **TINY, methods="Toy", preset="own", own_toy_most="7.5", measure="false")
        assert at.number_input(key="own_toy_most").value == 7.5
        at.toggle(key="own_toy_gently").set_value(False)
        at = press_run(at)
        item = runs_of(at)[0]
        assert item.config.method == "toy"
        assert item.config.options == {"most": 7.5, "gently": False}
        wait_until(lambda: item.job.finished, "the toy method ends")
        assert item.job.state == "done"
        assert form_config(query_of(run_link.link(item.trajectory)))[0].options == item.config.options
    finally:
        del METHODS["toy"]


def test_what_does_not_fit_is_left_out_with_a_sentence(tiny: object) -> None:
    query = {**TINY, "forget": "random:10%,seed=0", "methods": "GA", "more": ["SCAR", "UNSIR"]}
    at = visit("unlearn", **query)
    said = " ".join(c.value for c in at.caption)
    assert "SCAR has no gradient in the head" in said
    assert "UNSIR can only forget whole classes" in said
    assert [c.method for c in form_config(query)] == ["ga"]


def test_the_card_of_a_method_is_shown_when_it_is_chosen(tiny: object) -> None:
    at = visit("unlearn", **TINY, methods="", more="Fine-tune")
    assert any("Not meant to lower" in c.value for c in at.caption)


@pytest.mark.slow(reason="measures three runs on all images; the default run measures one on the tiny set")
def test_the_link_on_the_page_is_that_of_the_run(measured: AppTest) -> None:
    item, *others = runs_of(measured)
    link = link_of(measured)
    assert link == run_link.link(item.trajectory, others=[other.trajectory for other in others])
    assert parse_qs(urlsplit(link).query)["methods"] == ["IMU", "GA", "NPO"]
    assert parse_qs(urlsplit(link).query)["preset"] == ["gentle"]
    assert measured.code[-1].value.strip() == exports.to_snippet(item.trajectory).strip()
    assert [b.label for b in measured.get("download_button")] == ["JSON", "CSV", "PNG of the charts", "Model (safetensors)"]


@pytest.mark.parametrize("number", range(3))
def test_the_snippet_repeats_the_run_bit_for_bit(ran: AppTest, number: int) -> None:
    item = runs_of(ran)[number]
    space: dict[str, Any] = {}
    exec(exports.to_snippet(item.trajectory), space)
    assert space["run"].points[-1].accuracies == item.run.points[-1].accuracies
    assert same_bits(space["run"].model().state_dict(), item.run.model().state_dict())


def test_the_snippet_of_a_second_request_repeats_both(tiny: object) -> None:
    at = run_methods(["ga"], **TINY, forget="class:Bag", measure="false", after=json.dumps([["class:Sandal", {"method": "ga"}]]))
    item = runs_of(at)[0]
    space: dict[str, Any] = {}
    sys.modules["imu_core.unlearning.sequence"]._REPEATED.clear()
    exec(exports.to_snippet(item.trajectory), space)
    assert len(space["problem"].history) == 1
    assert same_bits(space["run"].model().state_dict(), item.run.model().state_dict())


@pytest.mark.slow(reason="measures three runs on all images; the default run measures one on the tiny set")
def test_a_run_goes_out_as_json_and_comes_back(measured: AppTest) -> None:
    for item in runs_of(measured):
        record = dataclasses.replace(item.trajectory, metrics=item.measured)
        back = Trajectory.from_dict(json.loads(exports.to_json(record)))
        assert back.to_dict() == json.loads(exports.to_json(record))
        assert back.config == item.config
        assert [p.accuracies for p in back.points] == [p.accuracies for p in item.run.points]
        assert back.metrics["membership"].keys() == {"original", "run", "retrained"}


def test_the_json_of_a_diverged_run_is_json_for_everybody(lenet: Problem) -> None:
    points = tuple(Point(k, 0.0, 0.0, loss, {"forget": 0.5, "test": 0.5}) for k, loss in enumerate((None, 1.0, float("nan"))))
    text = exports.to_json(record_of(RunConfig("ga"), lenet, points, "diverged"))
    json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))


def path(*forget: float, test: float = 0.9) -> tuple[Point, ...]:
    return tuple(Point(k, 0.0, 0.0, None, {"forget": value, "test": test}) for k, value in enumerate(forget))


def test_runs_that_no_chart_tells_apart_are_named() -> None:
    one = path(1.0, 0.5)
    assert one_path([("A", one), ("B", path(1.0, 0.502)), ("C", path(1.0, 0.5, test=0.902)), ("D", one[:1])]) == ""
    assert one_path([("A", one)]) == one_path([]) == one_path([("A", ()), ("B", ())]) == ""
    text = one_path([("A", one), ("B", path(1.0, 0.1)), ("C", path(1.0, 0.5009)), ("D", one), ("E", path(1.0, 0.1))])
    assert text.count("take one path: wherever they were evaluated, their accuracies") == 2
    assert text.startswith("A, C and D take one path")
    assert "B and E take one path" in text


def test_ga_and_imu_with_equal_weights_are_said_to_take_one_path() -> None:
    at = finish(press_run(visit("unlearn", model="lenet5", methods=["IMU", "GA", "IMU, uniform weights"], measure="false")))
    assert "GA and IMU (uniform) take one path" in words(at)


def test_the_csv_has_one_line_a_point(ran: AppTest) -> None:
    for item in runs_of(ran):
        rows = list(csv.DictReader(io.StringIO(exports.to_csv(item.trajectory))))
        assert [int(row["step"]) for row in rows] == [p.step for p in item.run.points]
        assert [float(row["forget"]) for row in rows] == [p.accuracies["forget"] for p in item.run.points]
        assert rows[0]["loss"] == ""
    assert "weights_effective_share" in exports.to_csv(runs_of(ran)[0].trajectory).splitlines()[0].split(",")


def test_the_picture_is_a_png_that_shows_every_run_and_the_reference(ran: AppTest, sandal: Problem) -> None:
    shown = [item.shown for item in runs_of(ran)]
    reference = imu_core.retrained(sandal).accuracies
    pixels = {}
    for name, runs, aim in (("all", shown, reference), ("no reference", shown, None), ("one run", shown[:1], reference)):
        with Image.open(io.BytesIO(figures.png(runs, aim))) as picture:
            assert picture.format == "PNG"
            pixels[name] = np.asarray(picture.convert("RGB")).astype(int)
    for item in shown:
        near = np.abs(pixels["all"] - ImageColor.getrgb(item.style.colour)).sum(-1) < 12
        assert near.sum() > 20, f"{item.name} is drawn in its colour"
    for name in ("no reference", "one run"):
        assert not np.array_equal(pixels["all"], pixels[name])


def test_the_model_file_holds_the_unlearned_model(ran: AppTest, tmp_path: Path) -> None:
    item = runs_of(ran)[0]
    content = exports.to_safetensors(item.run.model(), item.trajectory)
    assert same_bits(load(content), item.run.model().state_dict())
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with safe_open(path, "pt") as file:
        about = file.metadata()
    assert json.loads(about["problem"]) == item.problem.describe()
    assert RunConfig.from_dict(json.loads(about["config"])) == item.config
    assert not same_bits(load(content), item.problem.model.state_dict())


# ---------------------------------------------------------------------------------------------------------------- visitors


def test_two_visitors_at_once_get_what_each_gets_alone(lenet: Problem, resnet: Problem) -> None:
    one = start_methods(["ga"], dataset="tiny", model="lenet5", measure="false", run_seed="1")
    other = start_methods(["npo"], dataset="tiny", model="small_resnet", measure="false", run_seed="2")
    for at in (one, other):
        finish(at)
    (ga,), (npo,) = runs_of(one), runs_of(other)
    assert (ga.config.method, npo.config.method) == ("ga", "npo")
    for item, problem in ((ga, lenet), (npo, resnet)):
        assert same_bits(item.run.model().state_dict(), alone(problem, item.config).model().state_dict())
    assert set(one.dataframe[0].value["Run"]) - {"Original"} == {"GA"}
    assert set(other.dataframe[0].value["Run"]) - {"Original"} == {"NPO"}
    assert "NPO" not in words(one).partition("What happened")[0].replace("NPO is", "")
    assert one.session_state["owner"] != other.session_state["owner"]


@pytest.mark.slow(reason="whole runs of a page; the same stands in test_visitor")
def test_a_visitor_neither_sees_nor_stops_the_jobs_of_another(tiny: object) -> None:
    one = start_methods(["ga"], **TINY, **LONG)
    job = runs_of(one)[0].job
    other = visit("unlearn", **TINY)
    assert "GA · " not in " ".join(m.value for m in other.sidebar.markdown)
    assert not runs_of(other)
    assert not has_button(other, "Stop all")
    assert not job.finished
    job.cancel()


# --------------------------------------------------------------------------------------------------------------- influence


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_every_estimator_shows_its_own_numbers(sandal: Problem, estimator: str) -> None:
    at = visit("influence", estimator=estimator)
    assert at.segmented_control(key="estimator").value == estimator
    index, head = sandal.split.forget, sandal.head
    part = (sandal.train.Z[index], sandal.train.labels[index], head.weight, head.bias)
    scored, exact = (head_scores(*part, estimator=name, damping=1e-2, total=10_000) for name in (estimator, "exact"))
    shown = {metric.label: metric.value for metric in at.metric}
    assert shown["Top 5 % hold"] == f"{100 * ranking.held_by_top(scored.scores, 0.05):.0f} %"
    assert shown["Ranks like exact"] == f"{ranking.spearman(scored.scores, exact.scores):.3f}"
    assert shown["Ranks like the loss"] == f"{ranking.spearman(scored.scores, scored.losses):.3f}"
    best = int(index[scored.scores.argmax()])
    assert at.main.checkbox[0].label == str(best)
    assert not at.warning


def test_damping_and_psi_change_the_numbers(sandal: Problem) -> None:
    at = visit("influence")
    before = {metric.label: metric.value for metric in at.metric}
    at.segmented_control(key="psi").set_value("identity")
    other_psi = {metric.label: metric.value for metric in rerun(at).metric}
    assert {name for name in before if before[name] != other_psi[name]} == {"Weights spread over"}
    at.select_slider(key="damping").set_value(1e-6)
    other_damping = {metric.label: metric.value for metric in rerun(at).metric}
    assert other_damping["Top 5 % hold"] != other_psi["Top 5 % hold"]
    assert other_damping["Ranks like exact"] != other_psi["Ranks like exact"]


def shown_ids(at: AppTest) -> list[int]:
    """The samples in the gallery, in order."""
    return [int(box.label) for box in at.main.checkbox]


def test_a_selection_in_the_chart_narrows_the_gallery(lenet: Problem) -> None:
    at = visit("influence", **TINY)
    assert "All 40: click one" in words(at)
    everything = shown_ids(at)
    positions = [3, 17, 30]
    at.session_state["chosen"] = positions
    rerun(at)
    assert "**3 selected**" in words(at)
    ids = [int(lenet.split.forget[p]) for p in positions]
    scored = card.scores(lenet, "diagonal", 1e-2).scores
    assert shown_ids(at) == [int(lenet.split.forget[p]) for p in sorted(positions, key=lambda p: -scored[p])]
    assert sorted(shown_ids(at)) == ids
    press(at, "Clear")
    assert shown_ids(at) == everything


def test_a_selection_does_not_outlive_its_problem(tiny: object) -> None:
    at = visit("influence", **TINY)
    at.session_state["chosen"] = [0, 1]
    rerun(at)
    at.sidebar.selectbox(key="forget").set_value("class:Bag")
    assert "selected**" not in words(rerun(at))
    assert "All 40: click one" in words(at)


def test_the_gallery_turns_pages_and_turns_round(lenet: Problem) -> None:
    at = visit("influence", **TINY)
    seen = shown_ids(at)
    assert len(seen) == gallery.PAGE_SIZE
    for page in range(2, -(-len(lenet.split.forget) // gallery.PAGE_SIZE) + 1):
        at.pagination(key="gallery_page").set_value(page)
        seen += shown_ids(rerun(at))
    assert sorted(seen) == lenet.split.forget.tolist()
    at.segmented_control(key="gallery_order").set_value("least influential")
    at.pagination(key="gallery_page").set_value(1)
    assert shown_ids(rerun(at)) == seen[::-1][: gallery.PAGE_SIZE]


def test_samples_are_picked_by_hand_and_carried_over(tiny: object) -> None:
    at = visit("influence", **TINY)
    picked = shown_ids(at)[2:5]
    for index in picked:
        at.checkbox(key=f"pick_{index}").check()
        rerun(at)
    at.checkbox(key=f"pick_{picked[1]}").uncheck()
    rerun(at)
    del picked[1]
    at.segmented_control(key="gallery_order").set_value("picked by hand")
    rerun(at)
    assert "**2 picked** by hand" in words(at)
    assert sorted(shown_ids(at)) == sorted(picked)
    press(at, "Unlearn these 2")
    assert at.title[0].value == "Watch it forget"
    assert at.sidebar.selectbox(key="forget").value == ids_request(picked)
    go_to(at, "unlearn").pills(key="methods").set_value(["ga"])  # AppTest itself would go back to where the link led
    finish(press_run(at))
    assert sorted(runs_of(at)[0].problem.split.forget.tolist()) == sorted(picked)


def test_nothing_picked_yet_is_said(tiny: object) -> None:
    at = visit("influence", **TINY)
    at.segmented_control(key="gallery_order").set_value("picked by hand")
    assert "Nothing picked yet" in words(rerun(at))
    assert not has_button(at, "Unlearn these")


def test_what_is_selected_in_the_chart_is_unlearned(lenet: Problem) -> None:
    at = visit("influence", **TINY)
    at.session_state["chosen"] = [0, 1, 5]
    press(rerun(at), "Unlearn these 3")
    ids = [int(lenet.split.forget[p]) for p in (0, 1, 5)]
    assert at.sidebar.selectbox(key="forget").value == ids_request(ids)
    assert at.title[0].value == "Watch it forget"


def test_the_card_of_a_sample_shows_its_rank_by_every_estimator(lenet: Problem) -> None:
    at = visit("influence", **TINY)
    index = shown_ids(at)[1]
    at.button(key=f"open_{index}").click()
    rerun(at)
    shown = {metric.label: metric.value for metric in at.metric}
    assert shown["Rank by score"] == "2 of 40"
    position = lenet.split.forget.tolist().index(index)
    assert shown["Loss under the original"] == f"{float(lenet.train.losses[index]):.3f} nats"
    table = at.dataframe[0].value.set_index("estimator")
    assert list(table.index) == list(ESTIMATORS)
    for name in ESTIMATORS:
        values = card.scores(lenet, name, 1e-2).scores
        assert table.loc[name, "rank"] == int((values > values[position]).sum()) + 1
    assert why_words(card.scores(lenet, "diagonal", 1e-2), position) in [element.value for element in at.markdown]


def test_a_click_on_a_picture_or_on_a_point_opens_its_card(lenet: Problem) -> None:
    index = int(lenet.split.forget[3])
    at = visit("unlearn", **TINY)
    at.session_state.opened_sample = index  # what the stage's callback notes
    rerun(at)
    assert {"Rank by score"} <= {metric.label for metric in at.metric}
    assert "opened_sample" not in at.session_state
    at.session_state.opened_sample = int(lenet.split.retain[0])  # no sample of the forget set: nothing opens
    rerun(at)
    assert not at.exception
    assert "Rank by score" not in {metric.label for metric in at.metric}
    at = visit("influence", **TINY)
    at.session_state.clicked = 3  # its place in the forget set, as the chart's callback notes it
    rerun(at)
    assert "Rank by score" in {metric.label for metric in at.metric}


def test_the_csv_of_scores_holds_every_forget_sample(lenet: Problem) -> None:
    scored = card.scores(lenet, "diagonal", 1e-2)
    weights = sample_weights(scored)
    rows = list(csv.DictReader(io.StringIO(exports.scores_csv(lenet, scored, weights))))
    assert sorted(int(row["id"]) for row in rows) == lenet.split.forget.tolist()
    values = [float(row["score"]) for row in rows]
    assert values == sorted(values, reverse=True)
    where = {index: position for position, index in enumerate(lenet.split.forget.tolist())}
    for row in rows:
        position = where[int(row["id"])]
        assert row["class"] == "Sandal"
        assert float(row["score"]) == pytest.approx(float(scored.scores[position]), rel=1e-6)
        assert float(row["weight"]) == pytest.approx(float(weights[position]), rel=1e-6)
        assert float(row["loss"]) == pytest.approx(float(scored.losses[position]), rel=1e-6)
        assert float(row["gradient_norm"]) == pytest.approx(float(scored.gradient_norms[position]), rel=1e-6)
    assert visit("influence", **TINY).get("download_button")[0].label == "CSV of all scores"


def test_an_estimator_that_cannot_do_it_gets_a_sentence(tiny: object, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise imu_core.errors.ConvergenceError("It did not converge.")

    card._scores.clear()
    monkeypatch.setattr(imu_core.influence.scoring, "head_scores", refuse)
    at = visit("influence", **TINY)
    assert "It did not converge. Another estimator" in sentence(at)
    card._scores.clear()


@pytest.mark.parametrize(
    ("event", "positions"),
    [
        (None, []),
        ({}, []),
        ({"selection": None}, []),
        ({"selection": {"point_indices": [], "points": []}}, []),
        ({"selection": {"point_indices": [5, 1, 5], "points": []}}, [1, 5]),
        ({"selection": {"points": [{"point_index": 3, "x": 0.1}, {"x": 1.0}, {"point_index": 0}]}}, [0, 3]),
    ],
)
def test_a_chart_selection_names_positions(event: Any, positions: list[int]) -> None:
    assert charts.picked(event) == positions


# ---------------------------------------------------------------------------------------------------------------- glossary


def test_a_term_in_the_link_comes_first() -> None:
    at = visit("glossary", term="damping")
    assert at.subheader[0].anchor == "damping" or "amping" in at.subheader[0].value


def test_the_search_narrows_the_glossary() -> None:
    everything = len(visit("glossary", term_group="All").subheader)
    found = visit("glossary", term_search="damping")
    assert 0 < len(found.subheader) < everything
    assert not visit("glossary", term_search="zebracrossing").subheader


@pytest.mark.parametrize("term", ["zebra", "<script>alert(1)</script>", "[press](http://a.example)", "", "damping" * 50])
def test_an_unknown_term_is_answered(term: str) -> None:
    at = visit("glossary", term=term)
    assert bool(term) == bool(at.info)
    assert not term or ("](http" not in at.info[0].value and "<script" not in at.info[0].value)


# ------------------------------------------------------------------------------------------------------- figures, in words


def shown(lenet: Problem, methods: tuple[str, ...] = ("imu", "ga")) -> list[figures.Shown]:
    runs = [alone(lenet, RunConfig(name, epochs=2)) for name in methods]
    return [figures.Shown(run.method.title, run.trajectory, figures.style_of(run.config.method)) for run in runs]


def drawn(figure: go.Figure) -> dict[str, Any]:
    """The figure as the browser gets it; building it again validates every property."""
    content = json.loads(figure.to_json())
    go.Figure(content)
    return content


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("draw", [paths.plane, paths.by_step])
def test_the_charts_of_runs_are_valid_in_both_themes(lenet: Problem, draw: Callable[..., go.Figure], theme: str) -> None:
    reference = {"forget": 0.0, "test": 0.8, "test_other": 0.9, "retain": 1.0}
    runs = shown(lenet)
    names = {trace.get("name") for trace in drawn(draw(runs, None, reference, theme))["data"]}
    assert {"IMU", "GA"} <= names
    assert figures.INK[theme] in json.dumps(drawn(draw(runs, None, reference, theme)))
    assert drawn(draw(runs, 0, reference, theme)) != drawn(draw(runs, None, reference, theme))
    drawn(draw(runs, None, None, theme))


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("draw", [paths.plane, paths.by_step])
def test_the_charts_of_nothing_are_valid(lenet: Problem, draw: Callable[..., go.Figure], theme: str) -> None:
    empty = figures.Shown("IMU", record_of(RunConfig(), lenet), figures.style_of("imu"))
    for runs in ([], [empty]):
        for reference in (None, {"forget": 0.0, "test": 0.8}):
            for cursor in (None, 0, 5):
                drawn(draw(runs, cursor, reference, theme))


def test_the_paths_end_where_the_runs_end(lenet: Problem) -> None:
    runs = shown(lenet)
    for item in runs:
        traces = [trace for trace in go.Figure(paths.plane(runs).to_dict()).data if trace.name == item.name]
        last = item.trajectory.points[-1].accuracies
        ends = pytest.approx((100 * last["forget"], 100 * last["test_other"]), abs=10**-paths.DIGITS)
        assert (traces[0].x[-1], traces[0].y[-1]) == ends
        assert (traces[1].x[-1], traces[1].y[-1]) == ends
        assert len(traces[0].x) == len(item.trajectory.points)
    early = next(trace for trace in go.Figure(paths.plane(runs, cursor=0).to_dict()).data if trace.name == "IMU")
    assert len(early.x) == 1


@pytest.mark.parametrize("size", [0, 1, 40])
def test_the_charts_of_scores_are_valid_for_any_number_of_samples(size: int) -> None:
    scores, ids = np.linspace(-1e-4, 1e-3, size), np.arange(size)
    assert len(figures.histogram(scores, ids).data[0].x) == size
    drawn(figures.histogram(scores, ids))
    for logarithmic in (True, False):
        drawn(figures.scatter(np.abs(scores), scores, ids, "Loss, nats", logarithmic))
    drawn(figures.ranks(ranking.ranks(scores), ranking.ranks(-scores), ids, "diagonal"))
    drawn(figures.concentration(ranking.concentration(scores), [(0.05, 0.5)] if size else []))


@pytest.mark.parametrize(
    ("values", "seen"),
    [
        ([0.05, 2.5], ["0.05", "0.1", "0.2", "0.5", "1", "2"]),
        ([0.0, 3.0, 3.0], ["1", "2"]),
        ([0.0099, 1.0], ["10<sup>−2</sup>", "10<sup>−1</sup>", "10<sup>0</sup>"]),
        ([1e-20, 1.0], [f"10<sup>−{power}</sup>" for power in (18, 15, 12, 9, 6, 3)] + ["10<sup>0</sup>"]),
    ],
)
def test_a_logarithmic_axis_is_numbered_so_that_it_can_be_read(values: list[float], seen: list[str]) -> None:
    ticks = figures.log_ticks(np.array(values))
    found = zip(ticks["tickvals"], ticks["ticktext"], strict=True)
    assert [text for at, text in found if min(values) <= at <= max(values)] == seen


@pytest.mark.parametrize("values", [[0.0, -1.0], [], [float("nan")], [float("inf")]])
def test_an_empty_logarithmic_axis_is_plotlys(values: list[float]) -> None:
    assert figures.log_ticks(np.array(values)) == {"dtick": 1}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_bars_of_probabilities_mark_the_true_class(theme: str) -> None:
    flat = np.full(10, 0.1)
    content = drawn(figures.probabilities(CLASSES, {"Original": flat, "Retrained": flat}, 5, theme))
    assert [trace["name"] for trace in content["data"]] == ["Original", "Retrained"]
    assert content["layout"]["yaxis"]["ticktext"][5] == "<b>Sandal</b>"
    assert sum("<b>" in text for text in content["layout"]["yaxis"]["ticktext"]) == 1


def test_a_dark_window_gets_dark_ink() -> None:
    for theme in ("light", "dark"):
        at = AppTest.from_file(APP, default_timeout=PATIENCE)
        at.context["theme"] = theme
        at.switch_page("pages/influence.py")
        next(b for b in healthy(at.run()).button if b.label == "Open").click()
        specs = "".join(chart.proto.spec for chart in rerun(at).get("plotly_chart"))
        inks = [figures.INK[name] in specs for name in ("light", "dark")]
        assert inks == [theme == "light", theme == "dark"]


@pytest.mark.parametrize(("points", "text"), [(-0.24, "−0.2"), (1.36, "+1.4"), (0.04, "±0.0"), (-0.04, "±0.0"), (0.0, "±0.0")])
def test_points_carry_a_real_sign(points: float, text: str) -> None:
    assert signed(points) == text


def test_nothing_of_this_was_written_to_the_cache_of_whoever_runs_it() -> None:
    assert os.environ["IMU_HOME"]
