"""The playground: what it opens with, what its controls do, and what it makes of the points that a browser sends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest
from test_pages import link_of, scenes_of, stage_of

import imu_core
from imu_core import data
from imu_core.data.vectors import drawn
from imu_core.data.vectors.points import KINDS, PREFIX
from imu_core.problems.reference import retrained
from pages.sections.playground import points, runs
from pages.sidebar import problem_choice

ROOT = Path(__file__).resolve().parents[2]


def playground(**query: str) -> AppTest:
    """The page as a visitor finds it with this link, at rest."""
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120)
    at.query_params.update(query)
    return at.switch_page("pages/playground.py").run()


def st_state(at: AppTest) -> dict[str, Any]:
    """The problem that the sidebar names."""
    return {key: at.session_state[key] for key in ("dataset", "model", "forget")}


def words(at: AppTest) -> str:
    return " ".join(element.value for group in (at.caption, at.warning, at.markdown) for element in group)


def test_it_opens_with_points_and_two_methods() -> None:
    at = playground()
    assert not at.exception
    assert at.session_state.dataset == "points:moons"
    assert at.session_state.model == "mlp"
    assert at.multiselect(key="methods").value == ["imu", "ga"]
    assert KINDS["moons"].shows in words(at)


@pytest.mark.sample(2, reason="whole runs of a page; every kind is loaded elsewhere")
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_points_is_a_choice(kind: str) -> None:
    at = playground()
    at.selectbox(key="playground_kind").set_value(PREFIX + kind).run()
    assert not at.exception
    assert not at.warning
    assert at.session_state.dataset == PREFIX + kind
    assert at.session_state.forget == data.source(PREFIX + kind).requests[0]
    assert KINDS[kind].shows in words(at)


def test_points_that_were_chosen_stay_the_problem_of_every_page() -> None:
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120).run()
    at.session_state.forget = "class:Bag"
    at.switch_page("pages/playground.py").run()
    at.selectbox(key="playground_kind").set_value("points:outlier").run()
    assert at.session_state.dataset == "points:outlier"
    points_chosen = dict(st_state(at))
    at.switch_page("pages/glossary.py").run()
    assert points_chosen == dict(st_state(at))  # chosen here, so they stay


@pytest.mark.slow(reason="people are drawn and their features computed")
def test_points_that_were_not_chosen_go_as_the_visitor_leaves_and_come_back(few: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(problem_choice.USUAL, "reidentify", "few")
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120)
    at.query_params.update(dataset="fashion", model="lenet5", forget="class:Bag")
    at.switch_page("pages/glossary.py").run()
    seen = {}
    for page in ("playground", "reidentify", "playground", "glossary"):
        at.switch_page(f"pages/{page}.py").run()
        seen.setdefault(page, []).append(at.session_state.dataset)
    assert seen == {"playground": ["points:moons"] * 2, "reidentify": ["few"], "glossary": ["fashion"]}
    assert (at.session_state.model, at.session_state.forget) == ("lenet5", "class:Bag")


def test_a_link_opens_the_same_choices() -> None:
    at = playground(dataset="points:ascent", model="logistic", methods="NPO", rate="0.01", passes="40", scope="head")
    assert not at.exception
    assert at.session_state.dataset == "points:ascent"
    assert at.multiselect(key="methods").value == ["npo"]
    assert at.select_slider(key="rate").value == 0.01
    assert at.slider(key="passes").value == 40


def test_a_link_rests_at_its_step_and_without_one_it_plays_again_after_every_change() -> None:
    at = playground(dataset="points:moons", model="mlp", forget="ids:70-99", step="12")
    sent = stage_of(at)
    assert (sent["order"][1:], sent["at"]) == (["rest", 12], 12)
    assert "step=12" in link_of(at)
    at.slider(key="passes").set_value(40).run()
    assert stage_of(at)["order"][1:] == ["play", 0]
    assert stage_of(at.run())["order"] == stage_of(at)["order"], "once"


def test_it_stops_where_retraining_ends_also_for_whole_classes() -> None:
    at = playground(dataset="points:blobs", model="mlp", forget="class:A", stops="true", methods="GA")
    assert not at.exception
    (line,) = scenes_of(at)[0]["lines"]
    aim = 100 * retrained(imu_core.problem("points:blobs")).accuracies["forget"]
    assert line["forget"][-1] <= aim + 0.05 < line["forget"][-2]


def test_without_a_method_it_says_what_to_do() -> None:
    at = playground()
    at.multiselect(key="methods").set_value([]).run()
    assert not at.exception
    assert "Pick at least one method." in words(at)


def test_a_method_that_cannot_run_here_is_named_beside_those_that_can() -> None:
    at = playground(dataset="points:blobs")
    at.multiselect(key="methods").set_value(["ga", "boundary_shrink"]).run()
    assert not at.exception
    assert "The attack moved no forget sample" in words(at)


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The session of one visitor on the playground, as a dictionary."""

    class Session(dict[str, Any]):
        __getattr__, __setattr__ = dict.__getitem__, dict.__setitem__

    held = Session(dataset="points:moons", model="logistic", elsewhere={})
    monkeypatch.setattr(points.st, "session_state", held)
    monkeypatch.setattr(points.problem_choice.st, "session_state", held)
    return held


SENT = [[round(x / 10, 1), round(y / 10, 1), int(x > 0), int(x == 4)] for x in (-4, -3, 3, 4) for y in (-2, 0, 2)]


def test_edited_points_become_the_problem_of_every_page(session: dict[str, Any]) -> None:
    points.edit(SENT)
    assert session["dataset"] == drawn.keep([row[:3] for row in SENT])
    assert session["forget"] == "ids:9-11"
    assert session["model"] == "logistic"
    assert "elsewhere" not in session
    problem = imu_core.problem(session["dataset"], model="logistic", forget=session["forget"])
    assert problem.split.forget.tolist() == [9, 10, 11]


@pytest.mark.parametrize(
    ("sent", "sentence"),
    [
        ([[*row[:3], 0] for row in SENT], "No point is marked"),
        (SENT[:4], "Draw at least 8"),
        ([[2, 0, 0, 1], *SENT], "from -1 to 1"),
        ([["x", 0, 0, 1], *SENT], "from -1 to 1"),
        (None, "no points"),
        (7, "no points"),
        ([1, 2], "no points"),
        ([[1]], "no points"),
        ({}, "Draw at least 8"),
    ],
)
def test_points_that_cannot_be_used_leave_everything_as_it_was(sent: Any, sentence: str, session: dict[str, Any]) -> None:
    before = {key: session[key] for key in ("dataset", "model", "elsewhere")}
    points.edit(sent)
    assert {key: session[key] for key in before} == before
    assert sentence in session["playground_told"]


def test_points_of_another_machine_get_a_sentence_and_a_way_out() -> None:
    at = playground(dataset="points:drawn-0123456789abcdef", forget="ids:0")
    assert not at.exception
    assert "not on this machine" in words(at)


@pytest.fixture(scope="module")
def moons() -> Any:
    return imu_core.problem("points:moons")


@pytest.fixture(autouse=True)
def afresh() -> None:
    runs._PLAYED.clear()


def plays(problem: Any, monkeypatch: pytest.MonkeyPatch, *methods: str, **settings: Any) -> runs.Played:
    monkeypatch.setattr(runs.progress, "run_here", lambda steps, key: [*steps])
    chosen = {"scope": "all", "learning_rate": 0.003, "epochs": 40, "stop": None, **settings}
    return runs.play(problem, [runs.config(problem, name, **chosen) for name in methods])


def test_each_run_has_a_line_and_a_film_and_few_frames(moons: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    played = plays(moons, monkeypatch, "imu", "ga", epochs=400)
    lines, ground = played.scene["lines"], played.scene["ground"]
    assert [line["name"] for line in lines] == ["IMU", "GA"]
    assert len(ground["films"]) == 2
    assert all(len(line["steps"]) <= runs.FRAMES + 2 for line in lines)
    assert played.last == max(line["steps"][-1] for line in lines)
    assert ground["retrained"]
    assert played.scene["sentences"]


def test_it_ends_where_retraining_does_when_told_so(moons: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    aim = retrained(moons).accuracies["forget"]
    (line,) = plays(moons, monkeypatch, "ga", stop=aim).scene["lines"]
    assert line["forget"][-1] <= 100 * aim + 0.05
    assert line["forget"][-2] > 100 * aim - 0.05


def test_the_distance_is_drawn_where_there_is_one_right_answer(moons: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (line,) = plays(moons, monkeypatch, "ga").scene["lines"]
    assert line["apart"] == []  # two perceptrons that say the same may lie anywhere
    (line,) = plays(imu_core.problem("points:ascent"), monkeypatch, "ga", epochs=100).scene["lines"]
    assert len(line["apart"]) == len(line["steps"])


def test_what_was_played_is_not_computed_again(moons: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    first: Callable[[], runs.Played] = lambda: plays(moons, monkeypatch, "ga")  # noqa: E731
    assert first() is first()
    assert plays(moons, monkeypatch, "ga", epochs=41) is not first()


@pytest.mark.parametrize("scope", ["head", "all"])
def test_only_methods_that_fit_are_offered(scope: str, moons: Any) -> None:
    some, every = runs.fitting(moons, scope), runs.fitting(imu_core.problem("points:blobs"), scope)
    assert {"imu", "ga", "npo", "retrain"} <= set(some) < set(every)
    assert ("newton" in every) == (scope == "head")
