"""The page Compare as Streamlit runs it, without a browser."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest
from test_pages import (  # noqa: F401
    APP,
    PATIENCE,
    has_button,
    healthy,
    nothing_left_running,
    press,
    rerun,
    wait_until,
    words,
)
from test_similarity import a_record, a_row

import imu_core
from imu_core import runtime
from imu_core.depth import at_depth
from imu_core.evaluation.measurement import divergences, run_logits
from imu_core.experiments import leaderboard
from imu_core.jobs import Job
from imu_core.methods import preset
from imu_core.metrics import gaps
from imu_core.models import checkpoints, hashes
from imu_core.problems.problem import NOTHING
from imu_core.problems.reference import retrained
from imu_core.records.data import Dataset
from imu_core.records.run import Problem, RunConfig
from imu_core.store.runs import Store, save_run
from pages.sections.compare import pair as compare_pair
from pages.sections.compare.depth import DEPTHS
from pages.session import keeper, session_runs
from pages.widgets.text import plain

# A case is a whole run of a page; the default run takes three of each kind.
pytestmark = pytest.mark.sample(3, reason="a case is a whole run of a page")
TINY = {"dataset": "tiny", "model": "small_resnet", "forget": "class:Sandal"}
GENTLE = {name: preset("gentle", name) for name in ("imu", "ga", "npo", "delete")}
TABLE, PAIR, RECORD = {"compare": "Your runs"}, {"compare": "A against B"}, {"compare": "All methods"}


@pytest.fixture(scope="module", autouse=True)
def reference(tiny: Dataset) -> Iterator[Path]:
    """A retrained model for the sandals of the tiny set: the one that ships for those of the whole set."""
    shipped = next((runtime.ASSETS / "models" / "fashion" / "small_resnet").glob("retrained-class-Sandal-*.safetensors"))
    sandals = (tiny.train.labels == tiny.class_names.index("Sandal")).nonzero()[:, 0]
    known = checkpoints.find(tiny, "small_resnet", NOTHING)
    card = {**known.card, "request": "class:Sandal", "removed_hash": hashes.removed_hash(sandals)}
    path = runtime.home() / "models" / "tiny" / "small_resnet" / "retrained-here.safetensors"
    checkpoints.save(path, checkpoints.read_tensors(shipped), card)
    yield path
    path.unlink()
    path.with_suffix(".json").unlink(missing_ok=True)


@pytest.fixture(autouse=True)
def no_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the record would be; nothing is there unless a test writes it."""
    monkeypatch.setattr(leaderboard, "RECORD", tmp_path / "methods.json")
    return tmp_path / "methods.json"


@pytest.fixture(autouse=True)
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """An empty database that the app uses."""
    monkeypatch.setenv("IMU_DATABASE_URL", f"sqlite:///{tmp_path / 'runs.sqlite'}")
    return keeper.keeper().store()


def kept(problem: Problem, config: RunConfig, name: str, steps: int | None = None) -> session_runs.Kept:
    """A run of the visitor that has ended; cancelled after `steps` points where that is given."""

    def make() -> Any:
        run = imu_core.unlearn(problem, config)
        if steps is None:
            return run
        points = iter(run)
        for _ in range(steps):
            next(points)
        run.cancel()
        list(points)
        return run

    job = Job(name, make)
    job.run()
    return session_runs.Kept(name, job, problem, config)


def opened(items: list[session_runs.Kept] | None = None, /, **query: Any) -> AppTest:
    """A visitor who has made `items` before and follows a link to Compare."""
    at = AppTest.from_file(APP, default_timeout=PATIENCE)
    at.query_params.update({**TINY, **query})
    if items:
        at.session_state["runs"] = items
    at.switch_page("pages/compare.py")
    return healthy(at.run())


def table(at: AppTest) -> Any:
    return at.dataframe[0].value.set_index("Run")


@pytest.fixture
def pair(resnet: Problem) -> list[session_runs.Kept]:
    return [kept(resnet, GENTLE["ga"], "GA"), kept(resnet, GENTLE["delete"], "DELETE")]


# ------------------------------------------------------------------------------------------------------------ the table


def test_it_opens_on_the_finished_examples() -> None:
    at = opened()
    assert list(table(at).index) == ["Retrained", "Original", "IMU", "GA", "NPO"]
    assert "the finished examples" in words(at)
    assert "python -m imu_core table" in words(at)
    assert "All methods" not in at.button_group(key="compare").options


def test_the_numbers_are_those_of_the_runs(resnet: Problem, pair: list[session_runs.Kept]) -> None:
    at, known = opened(pair), retrained(resnet)
    found = table(at)
    assert list(found.index) == ["Retrained", "Original", "GA", "DELETE"]
    before = found.loc["Original"]
    assert before["Change, points"] == 0.0
    assert found.loc["Retrained", "KL, nats"] == 0.0
    for item in pair:
        row, last = found.loc[item.name], item.trajectory.points[-1].accuracies
        assert row["Forget, %"] == pytest.approx(100 * last["forget"])
        change = 100 * (last["test_other"] - item.trajectory.points[0].accuracies["test_other"])
        assert row["Change, points"] == pytest.approx(change, abs=1e-3)
        pairs = [(r.train.logits, r.test.logits) for r in (known,)] + [run_logits(item.run)]
        assert row["KL, nats"] == pytest.approx(divergences(resnet, *pairs)["test"]["kl"], abs=1e-4)
        assert row["Tug of war"] == pytest.approx(gaps.tug_of_war(last, known.accuracies), abs=1e-4)
        assert row["Saw"] == "forget"
        assert row["Forget by step"][0] == pytest.approx(100 * item.trajectory.points[0].accuracies["forget"])
    assert "Judged never seen" not in found


def test_every_depth_is_a_place_of_its_own(resnet: Problem, pair: list[session_runs.Kept]) -> None:
    deepest = max(min(p.accuracies["forget"] for p in item.trajectory.points) for item in pair)
    column = "Change at equal depth"
    wanted = {DEPTHS[0]: deepest, DEPTHS[1]: 0.0, DEPTHS[3]: 0.3}
    for option, depth in wanted.items():
        page = opened(pair, depth=option, depth_value="30")
        assert f"Equal depth: {100 * depth:.1f} % forget accuracy" in words(page)
        found = table(page)
        for item in pair:
            at, cell = at_depth(item.trajectory, depth), found.loc[item.name]
            if not at.reached:
                assert math.isnan(cell[column])
                assert cell["Equal depth at"] == "not reached"
                continue
            start = item.trajectory.points[0].accuracies["test_other"]
            assert cell[column] == pytest.approx(100 * (at.accuracies["test_other"] - start), abs=1e-3)
            assert ("interpolated" in cell["Equal depth at"]) == at.interpolated
    assert all(at_depth(item.trajectory, deepest).reached for item in pair)


def test_the_filters_leave_what_was_picked(pair: list[session_runs.Kept]) -> None:
    at = opened(pair)
    at.multiselect(key="compare_methods").set_value(["delete"])
    rerun(at)
    assert list(table(at).index) == ["Retrained", "Original", "DELETE"]
    assert not [box for box in at.multiselect if box.key == "compare_scopes"], "one scope is no choice"


def test_without_a_retrained_model_nothing_is_coloured() -> None:
    at = opened(model="lenet5")
    assert list(table(at).index)[:2] == ["Original", "IMU"]
    assert "No retrained model is stored" in words(at)
    assert "Colour" not in words(at)
    assert DEPTHS[2] not in at.button_group(key="depth").options
    assert "KL, nats" not in table(at)


def test_random_samples_are_compared_with_the_retrained_aim() -> None:
    at = opened(forget="random:40,seed=1")
    assert "forgot" not in words(at).replace("forgotten", "")
    assert next(iter(table(at).index)) == "Original"


def test_the_attack_joins_the_table(pair: list[session_runs.Kept]) -> None:
    at = press(opened(pair), "Attack these runs too")
    assert has_button(at, "Stop measuring") or all(item.measuring.finished for item in pair)
    wait_until(lambda: all(item.measuring.finished for item in pair), "the attacks end")
    found = table(rerun(at))
    for item in pair:
        assert found.loc[item.name, "Judged never seen"] == pytest.approx(item.measured["membership"]["run"])
        assert found.loc[item.name, "Average gap"] == pytest.approx(item.measured["gaps"]["run"]["average_gap"], abs=1e-4)
    assert found.loc["Retrained", "Judged never seen"] == pytest.approx(pair[0].measured["membership"]["retrained"])
    assert not has_button(at, "Attack these runs")


def test_seeds_of_one_setting_become_one_mark(resnet: Problem) -> None:
    import dataclasses

    runs = [kept(resnet, dataclasses.replace(GENTLE["ga"], seed=seed), f"GA {seed}") for seed in range(3)]
    at = opened(runs)
    assert len(table(at)) == 5
    chart = json.loads(at.main.get("plotly_chart")[0].proto.spec)
    marks = [trace["name"] for trace in chart["data"] if trace["mode"] == "markers"]
    assert marks == ["GA 0", "Retrained", "Original"]
    assert "GA 0 is alone here" in words(at)


def test_runs_that_ended_badly(resnet: Problem) -> None:
    stopped = kept(resnet, GENTLE["ga"], "Stopped", steps=3)
    failed = session_runs.Kept(
        "Failed", Job("Failed", lambda: imu_core.unlearn(resnet, RunConfig(method="scar"))), resnet, GENTLE["ga"]
    )
    failed.job.run()
    assert (stopped.job.state, failed.job.state) == ("cancelled", "failed")
    at = opened([stopped, failed])
    assert list(table(at).index) == ["Retrained", "Original", "Stopped"]
    only = opened([failed])
    assert "None of your runs on this problem has ended" in words(only)


def test_a_run_that_is_going_on_joins_later(resnet: Problem, pair: list[session_runs.Kept]) -> None:
    waiting = session_runs.Kept("Later", Job("Later", lambda: imu_core.unlearn(resnet, GENTLE["npo"])), resnet, GENTLE["npo"])
    at = opened([*pair, waiting])
    assert "1 of your runs have not ended" in words(at)
    assert "Later" not in table(at).index
    waiting.job.run()
    assert "Later" in table(rerun(at)).index


# ------------------------------------------------------------------------------------------------------- what a link names


def stored(database: Store, problem: Problem, name: str, **other: Any) -> str:
    """The id of a run of `problem` in the database."""
    return save_run(database, kept(problem, GENTLE["ga"], name).run, {}, name, **other)


def test_stored_runs_are_named_in_the_link(database: Store, resnet: Problem) -> None:
    one, two = stored(database, resnet, "Mine"), stored(database, resnet, "Mine")
    at = opened(runs=f"{one},{two},{one}")
    assert list(table(at).index) == ["Retrained", "Original", "Mine", "Mine (2)"]
    assert not at.warning
    assert table(at).loc["Mine", "KL, nats"] > 0, "a stored head is asked at once"
    both = opened(runs=f"{one},{two}", **PAIR)
    assert "give the same answer to 100.0 %" in words(both)


@pytest.mark.parametrize("asked", ["nothing", "x" * 5000, ",,,", "'; drop table runs; --", "<b>,[x](http://example.com)"])
def test_ids_that_nobody_knows_get_a_sentence(database: Store, asked: str) -> None:
    at = opened(runs=asked, **TABLE)
    assert len(at.warning) == (1 if asked.strip(",") else 0)
    assert "IMU" in table(at).index
    if at.warning:
        assert "There is no run" in at.warning[0].value
        assert not re.search(r"(?<!\\)\]\(http", at.warning[0].value)
        assert not press(at, "Drop the runs").warning


def test_a_deleted_run_is_said_to_be_deleted(database: Store, resnet: Problem) -> None:
    gone = stored(database, resnet, "Gone")
    database.delete(gone)
    assert "Gone was deleted" in opened(runs=gone).warning[0].value


def test_a_run_of_another_problem_leads_there(database: Store, resnet: Problem) -> None:
    run_id = stored(database, resnet, "Elsewhere")
    at = opened(runs=run_id, forget="class:Bag")
    assert "belongs to another problem" in at.info[0].value
    assert "Elsewhere" not in table(at).index
    at = press(at, "Open that problem")
    assert at.session_state.forget == "class:Sandal"
    assert "Elsewhere" in table(at).index


def test_a_run_without_parameters_cannot_be_asked(database: Store, resnet: Problem) -> None:
    run = kept(resnet, GENTLE["ga"], "Bare").run
    run_id = database.add(run.trajectory, name="Bare")
    at = opened(runs=run_id)
    assert "KL, nats" not in table(at)
    assert table(at).loc["Bare", "Tug of war"] > 0
    at = opened(runs=run_id, **PAIR)
    assert "The parameters of Bare were not kept" in at.warning[0].value


def test_a_store_that_cannot_be_opened_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken.sqlite").write_text("this is no database " * 100)
    monkeypatch.setenv("IMU_DATABASE_URL", f"sqlite:///{tmp_path / 'broken.sqlite'}")
    at = opened(runs="0123456789", **TABLE)
    assert len(at.warning) == 1
    assert "IMU" in table(at).index


# ------------------------------------------------------------------------------------------------------------ A against B


def settled(at: AppTest) -> AppTest:
    """Wait for the layers, then let the page see the end."""
    jobs = at.session_state["compare_jobs"].values()
    wait_until(lambda: all(job.finished for job in jobs), "the layers are compared")
    return rerun(at)


def test_two_runs_are_looked_at_closely(pair: list[session_runs.Kept]) -> None:
    at = settled(opened(pair, **PAIR))
    said = words(at)
    assert "**GA** and **DELETE** give the same answer to" in said
    assert "of 200 test images and to" in said
    assert "images get two different answers" in said
    assert "GA and DELETE changed the head alone: every layer below it is the original's, and its CKA exactly 1." in said
    assert "two principal components of the original's outputs" in said
    assert "longest arrows, to be forgotten" in said
    assert len(at.main.get("plotly_chart")) == 4


def test_a_and_b_come_from_the_link_and_a_wrong_one_is_answered(pair: list[session_runs.Kept]) -> None:
    at = opened(pair, run_a="DELETE", run_b="GA", **PAIR)
    assert [box.value for box in at.main.selectbox] == ["DELETE", "GA"]
    at = opened(pair, run_a="nobody", **PAIR)
    assert [box.value for box in at.main.selectbox] == ["GA", "DELETE"]
    at.main.selectbox[1].set_value("GA")
    assert "A and B are the same run" in words(rerun(at))


def test_a_run_that_is_gone_is_no_longer_chosen(pair: list[session_runs.Kept]) -> None:
    at = opened(pair, run_a="DELETE", **PAIR)
    at.session_state["runs"] = pair[:1]
    rerun(at)
    assert [box.value for box in at.main.selectbox] == ["GA", "GA"]


def test_every_control_changes_what_it_should(pair: list[session_runs.Kept]) -> None:
    at = settled(opened(pair, **PAIR))
    before = words(at)
    at.button_group(key="compare_set").set_value("test set")
    assert "of 200 images get two different answers" in words(rerun(at))
    at.button_group(key="space").set_value("features")
    said = words(rerun(at))
    assert "the original's features" in said
    assert "turned onto the original" in said
    assert "Nothing moved under GA: its features are the original's." in said
    at.button_group(key="space").set_value("outputs")
    at.button_group(key="moved").set_value("b")
    assert "**DELETE**: longest arrows" in words(rerun(at))
    assert "**DELETE**: longest arrows" not in before


@pytest.mark.slow(reason="whole runs of a page; the same is tested where it is computed")
def test_a_run_below_the_head_differs_in_the_layers(resnet: Problem, pair: list[session_runs.Kept]) -> None:
    wide = kept(resnet, RunConfig(method="ga", scope="all", epochs=1, batch_size=16, learning_rate=0.05), "Wide")
    at = settled(opened([pair[0], wide], **PAIR))
    assert "GA changed the head alone" in words(at)
    work = next(iter(at.session_state["compare_jobs"].values())).work
    assert work.values["a"]["original"][:4] == [1.0] * 4
    assert max(work.values["b"]["original"][:4]) < 1.0
    at.button_group(key="space").set_value("features")
    at.button_group(key="moved").set_value("b")
    assert "**Wide**: longest arrows" in words(rerun(at))


def test_the_layers_can_be_stopped_and_asked_for_again(pair: list[session_runs.Kept], monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless:
        def __init__(self, *_: Any) -> None:
            self.stopped, self.outcome = False, None

        def cancel(self) -> None:
            self.stopped = True

        def __iter__(self) -> Iterator[tuple[float, str]]:
            while not self.stopped:
                yield 0.5, "still at it"

    monkeypatch.setattr(compare_pair, "LayerSimilarity", Endless)
    at = opened(pair, **PAIR)
    assert has_button(at, "Stop")
    job = next(iter(at.session_state["compare_jobs"].values()))
    job.cancel()
    wait_until(lambda: job.finished, "the comparison stops")
    monkeypatch.undo()
    rerun(at)
    assert "cancelled" in words(at)
    assert "CKA exactly 1" in words(settled(press(at, "Compare the layers")))


# ------------------------------------------------------------------------------------------------------------- the record


@pytest.fixture
def record(no_record: Path) -> dict[str, Any]:
    """A small record by hand, for the problem of these tests."""
    rows = [a_row("ga", -0.03), a_row("delete", -0.004), a_row("imu", -0.02), a_row("imu-permuted", -0.021)]
    rows += [a_row("salun", -0.001, saw=["forget", "retain"]), a_row("finetune", 0.0, reached=0, saw=["retain"])]
    found = a_record(*rows, a_row("ga", -0.1, scope="all"), a_row("npo", -0.05, scope="all"))
    found["plan"] |= {"dataset": "tiny", "model": "small_resnet"}
    no_record.write_text(json.dumps(found))
    return found


def test_the_record_opens_the_page_until_there_are_own_runs(record: dict[str, Any], pair: list[session_runs.Kept]) -> None:
    at = opened()
    assert at.button_group(key="compare").value == "All methods"
    assert "**DELETE sees nothing but the forget set and keeps more than every ascent:**" in words(at)
    assert "show no worth of the weights" in words(at)
    assert at.code[0].value == record["command"]
    assert opened(pair).button_group(key="compare").value == "Your runs"
    assert opened(model="lenet5").button_group(key="compare").value == "Your runs", "another model's record"
    other = opened(model="lenet5", **RECORD)
    assert "another data set or model" in words(other)


def test_the_record_in_numbers(record: dict[str, Any]) -> None:
    at = opened()
    found = at.dataframe[0].value.set_index("Method")
    assert list(found.index) == ["Retrained", "SALUN", "DELETE", "IMU", "IMU-PERMUTED", "GA", "FINETUNE"]
    assert found.loc["DELETE", "Change, points"] == pytest.approx(-0.4)
    assert found.loc["FINETUNE", "Got there"] == "0 of 4"
    assert [b.label for b in at.get("download_button")] == ["CSV", "LaTeX", "JSON"]
    at.button_group(key="compare_scope").set_value("all")
    rerun(at)
    assert list(at.dataframe[0].value["Method"]) == ["Retrained", "NPO", "GA"]


def test_a_damaged_record_gets_a_sentence(no_record: Path) -> None:
    no_record.write_text("{")
    at = opened()
    assert "no record of methods" in at.warning[0].value
    assert "IMU" in table(at).index


@pytest.mark.parametrize(
    "query",
    [{"compare": "nonsense"}, {"depth": "7"}, {"depth": "a value", "depth_value": "900"}, {"compare_methods": "zebra"},
     {"compare_set": "x"}, {"compare_scope": "last:9"}, {"compare": ""}],
    ids=lambda query: "-".join(query),
)  # fmt: skip
def test_bad_parameters_do_no_harm(query: dict[str, str], record: dict[str, Any]) -> None:
    at = opened(**query)
    assert at.title[0].value == "Which one forgets better?"
    assert at.dataframe or at.code


def test_visitors_do_not_share_what_a_link_named(database: Store, resnet: Problem) -> None:
    assert "Mine" in table(opened(runs=stored(database, resnet, "Mine"))).index
    assert "Mine" not in table(opened()).index


def test_names_are_shown_and_never_rendered(resnet: Problem) -> None:
    items = [kept(resnet, GENTLE["ga"], "**[x](http://example.com)**"), kept(resnet, GENTLE["npo"], "$y$ <b>")]
    for query in (TABLE, PAIR):
        said = words(opened(items, **query))
        assert not re.search(r"(?<!\\)\]\(http://example", said)
        assert plain(items[0].name) in said or plain(items[1].name) in said


@pytest.mark.slow(reason="whole runs of a page; the same is tested where it is computed")
def test_people_are_compared_too(person: Problem) -> None:
    at = settled(opened(dataset="few", model="reid_resnet18", forget="identity:0005", **PAIR))
    assert "**IMU** and **GA** give the same answer to" in words(at)
    assert "IMU and GA changed the head alone" in words(at)
