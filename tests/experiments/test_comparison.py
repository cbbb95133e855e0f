"""Equal terms: depth by interpolation, one search for all, and the comparison that runs through the sweep."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some
from test_unlearning import finished
from typer.testing import CliRunner

from imu_core.cli import app
from imu_core.cli import table as table_of
from imu_core.depth import at_depth, utility_key
from imu_core.errors import ConfigError
from imu_core.experiments import comparison
from imu_core.experiments.comparison import BASELINE, Comparison, Entry, Plan, entries, row, supports
from imu_core.experiments.search import BUDGET, Tried, choose, grid, oracle, start, strength_of, tried, with_strength
from imu_core.methods import METHODS
from imu_core.records.outcome import Outcome
from imu_core.records.run import Point, Problem, RunConfig, Trajectory
from imu_core.report import marked
from imu_core.settings import CONTROLS

Cheap = Callable[..., RunConfig]


def trajectory(
    forget: list[float], utility: list[float] | None = None, full: list[bool] | None = None, **costs: float
) -> Trajectory:
    """A made-up run: forget accuracy and accuracy on the other classes at each step."""
    utility = utility or [0.9] * len(forget)
    points = tuple(
        Point(i, float(i), 0.1 * i, None, {"forget": f, "test_other": u, "test": u}, full=(full or [True] * len(forget))[i])
        for i, (f, u) in enumerate(zip(forget, utility, strict=True))
    )
    return Trajectory(RunConfig("ga"), {}, points, {"steps": 1.0}, Outcome("done"), {}, ("forget",), {}, {}, costs)


# Depth.


def test_depth_is_interpolated_between_the_points_around_it() -> None:
    found = at_depth(trajectory([1.0, 0.5, 0.1], [0.9, 0.8, 0.6]), 0.2)
    assert found.reached
    assert found.interpolated
    assert found.accuracies["forget"] == pytest.approx(0.2)
    assert found.accuracies["test_other"] == pytest.approx(0.8 - 0.75 * 0.2)
    assert found.step == pytest.approx(1.75)
    assert found.overshoot == pytest.approx(0.1)
    assert "interpolated" in found.words()


def test_depth_takes_the_first_time_and_an_exact_point_as_it_is() -> None:
    found = at_depth(trajectory([1.0, 0.2, 0.6, 0.0], [0.9, 0.8, 0.7, 0.6]), 0.2)
    assert (found.step, found.interpolated, found.accuracies["test_other"]) == (1, False, 0.8)
    assert found.words() == "at step 1"


def test_depth_that_is_never_reached_is_said() -> None:
    found = at_depth(trajectory([1.0, 0.7], [0.9, 0.85]), 0.2)
    assert not found.reached
    assert found.accuracies["test_other"] == 0.85
    assert "never" in found.words()


def test_a_run_that_stopped_at_the_target_on_a_subset_counts() -> None:
    """Wide scopes look for the target on 500 samples; on all of them the last point may lie a little above."""
    run = trajectory([1.0, 0.5, 0.021], full=[False, False, True])
    stopped = dataclasses.replace(run, config=RunConfig("ga", stop_at=0.02), outcome=Outcome("done", "any words", reached=True))
    assert not at_depth(run, 0.02).reached
    assert at_depth(stopped, 0.02).reached
    assert at_depth(stopped, 0.02).accuracies["forget"] == 0.021
    assert not at_depth(stopped, 0.01).reached


def test_points_judged_on_different_samples_are_not_mixed() -> None:
    found = at_depth(trajectory([1.0, 0.5, 0.1], [0.9, 0.8, 0.6], [False, False, True]), 0.2)
    assert not found.interpolated
    assert found.accuracies["test_other"] == 0.6


@given(some.lists(some.floats(0, 1), min_size=1, max_size=12), some.floats(0, 1))
def test_depth_lies_between_its_neighbours(forget: list[float], target: float) -> None:
    found = at_depth(trajectory(forget, [1 - i / 20 for i in range(len(forget))]), target)
    assert found.reached == (min(forget) <= target)
    assert 0 <= found.step <= len(forget) - 1
    if found.interpolated:
        assert found.accuracies["forget"] == pytest.approx(target, abs=1e-9)
        low, high = 1 - math.ceil(found.step) / 20, 1 - math.floor(found.step) / 20
        assert low - 1e-9 <= found.accuracies["test_other"] <= high + 1e-9


def test_a_target_run_ends_where_depth_says(lenet: Problem, cheap: Cheap) -> None:
    """The run that stops at the target and the one that goes on agree about the step."""
    long = finished(lenet, cheap(method="ga", epochs=30, optimizer="normalised", learning_rate=0.05)).trajectory
    short = finished(lenet, cheap(method="ga", epochs=30, optimizer="normalised", learning_rate=0.05, stop_at=0.4)).trajectory
    assert at_depth(long, 0.4).reached
    assert math.ceil(at_depth(long, 0.4).step) == short.points[-1].step


def test_the_accuracy_to_keep_depends_on_the_request() -> None:
    assert utility_key({"forget": 1, "test": 1, "test_other": 1}) == "test_other"
    assert utility_key({"forget": 1, "test": 1}) == "test"


# Search.


@pytest.mark.parametrize("scope", ["head", "last:1", "all"])
@pytest.mark.parametrize("name", [n for n in METHODS if n != "retrain"])
def test_every_method_has_the_same_budget_on_a_logarithmic_grid(name: str, scope: str) -> None:
    method = METHODS[name]
    if not (method.head if scope == "head" else method.wide):
        return
    config = start(name, scope, 0.02)
    values = grid(config)
    assert len(values) == BUDGET
    ratios = [b / a for a, b in itertools.pairwise(values)]
    assert all(r == pytest.approx(math.sqrt(10), rel=1e-2) for r in ratios)
    for value in values:
        changed = with_strength(config, value)
        assert strength_of(changed) == value
        method.options(changed)
    assert config.stop_at == 0.02
    if not method.edit:
        assert (config.optimizer, config.momentum, config.bn, config.batch_size) == ("normalised", 0.9, "eval", 256)
        assert values == [0.001, 0.003162, 0.01, 0.03162, 0.1]


def test_the_rule_takes_the_least_movement_among_those_that_get_there() -> None:
    rows = [Tried(0.1, True, 0.02, 3.0, 0.5), Tried(0.2, True, 0.02, 2.0, 0.4), Tried(0.05, False, 0.5, 1.0, 0.9)]
    assert choose(rows).value == 0.2
    assert oracle(rows).value == 0.1
    nobody = [Tried(0.1, False, 0.3, 5.0, 0.5), Tried(0.2, False, 0.2, 9.0, 0.1)]
    assert choose(nobody).value == 0.2
    assert oracle(nobody).value == 0.1


def test_the_rule_never_sees_the_test_set() -> None:
    rows = [Tried(0.1, True, 0.02, 3.0, 0.5), Tried(0.2, True, 0.02, 2.0, 0.4)]
    for utility in (0.0, 1.0):
        assert choose([dataclasses.replace(r, utility=utility * r.value) for r in rows]).value == 0.2


def test_a_run_that_broke_counts_for_nothing() -> None:
    broken = dataclasses.replace(trajectory([1.0, 0.0], moved=0.1), outcome=Outcome("diverged", "chance"))
    assert not tried(broken, 0.02).reached
    fine = tried(trajectory([1.0, 0.0], [0.9, 0.7], moved=0.1), 0.02)
    assert (fine.reached, fine.moved) == (True, 0.1)


def test_a_run_says_how_far_it_moved_and_how_much_memory_it_took(lenet: Problem, cheap: Cheap) -> None:
    run = finished(lenet, cheap(method="ga", learning_rate=0.05))
    before = dict(lenet.model.named_parameters())
    moved = math.sqrt(sum(float((p - before[n]).double().square().sum()) for n, p in run.model().named_parameters()))
    trajectory = run.trajectory
    assert trajectory.costs["moved"] == pytest.approx(moved, rel=1e-6)
    assert trajectory.costs["peak_bytes"] >= 0
    older = trajectory.to_dict()
    assert Trajectory.from_dict(older).costs == trajectory.costs
    del older["costs"]
    assert Trajectory.from_dict(older).costs == {}


# Comparison.


def test_entries_are_every_method_and_the_controls_of_imu() -> None:
    found = entries()
    assert {e.method for e in found} == set(METHODS) - {"retrain"}
    assert [e.control for e in found if e.method == "imu"] == [None, *CONTROLS]
    assert len({e.key for e in found}) == len({e.title for e in found}) == len(found)
    assert not supports(Entry("scar"), "head", True)
    assert not supports(Entry("newton"), "all", True)
    assert not supports(Entry("trw"), "head", False)
    with pytest.raises(ConfigError):
        entries(["magic"])


def test_a_row_pairs_with_the_baseline_on_the_same_requests() -> None:
    base = [trajectory([1.0, 0.0], [0.9, 0.90 - d]) for d in (0.01, 0.02, 0.03)]
    better = [trajectory([1.0, 0.0], [0.9, 0.90 - d + 0.1]) for d in (0.01, 0.02, 0.03)]
    searched = [Tried(0.1, True, 0.0, 1.0, 0.9)]
    found = row(Entry("npo"), "head", better, searched, base, 0.0)
    assert found["against"]["mean"] == pytest.approx(0.1)
    assert found["against"]["words"] == "a difference is seen"
    assert found["reached"] == found["runs"] == 3
    assert "no difference" in row(Entry("npo"), "head", base, searched, base, 0.0)["against"]["words"]
    assert "against" not in row(Entry(BASELINE), "head", base, searched, base, 0.0)


def test_a_run_that_failed_at_once_leaves_a_row_that_says_so() -> None:
    failed = dataclasses.replace(trajectory([1.0]), points=(), outcome=Outcome("failed", "no reason"))
    found = row(Entry("npo"), "head", [failed, failed], [tried(failed, 0.0)], [trajectory([1.0, 0.0])] * 2, 0.0)
    assert (found["failed"], found["reached"], found["runs"]) == (2, 0, 2)
    assert math.isnan(found["change"])
    assert "nothing can be said" in found["against"]["words"]


def test_seeds_of_one_request_are_no_new_evidence() -> None:
    """Three copies of every run must not narrow the interval."""
    searched = [Tried(0.1, True, 0.0, 1.0, 0.9)]
    once = [dataclasses.replace(trajectory([1.0, 0.0], [0.9, 0.9 - d]), problem={"forget": str(d)}) for d in (0.01, 0.02, 0.04)]
    one, three = (row(Entry("npo"), "head", runs, searched, None, 0.0) for runs in (once, [t for t in once for _ in range(3)]))
    assert three["half"] == pytest.approx(one["half"])
    assert three["change"] == pytest.approx(one["change"])
    assert (one["runs"], three["runs"]) == (3, 9)


@pytest.fixture
def small(tiny: object) -> Plan:
    return Plan("tiny", "lenet5", ("class:Sandal", "class:Bag"), (("head", 2),), tuple(entries(["ga", "iau"])), 0.2, 3)


def test_a_comparison_searches_then_compares_and_goes_on_where_it_was(
    small: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_here(monkeypatch)
    url = f"sqlite:///{tmp_path}/runs.sqlite"
    work = Comparison(small, url, workers=1)
    assert work.rows() == []
    words = [said for _, said in work]
    assert work.outcome.state == "done", work.outcome
    assert any(w.startswith("search") for w in words)
    rows = {r["key"]: r for r in work.rows()}
    assert set(rows) == {"ga", "iau"}
    for found in rows.values():
        assert found["runs"] == 4
        assert 0 <= found["reached"] <= 4
        assert math.isfinite(found["change"])
        assert found["oracle"] in [t.value for t in work.searches()[Entry(found["key"]), "head"]]
    assert rows["iau"]["against"]["words"]
    again = Comparison(small, url, workers=1)
    assert [said for _, said in again if "done after" in said] == []
    assert again.rows() == work.rows()


def run_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny set is known in this process only: let joblib run the cells here."""
    import joblib

    from imu_core.experiments import sweep

    class Here:
        def __call__(self, tasks: object) -> object:
            return (function(*args, **kwargs) for function, args, kwargs in tasks)

    monkeypatch.setattr(sweep.Sweep, "_parallel", lambda self, todo: nothing(Here()))
    assert joblib


class nothing:
    def __init__(self, value: object) -> None:
        self.value = value

    def __enter__(self) -> object:
        return self.value

    def __exit__(self, *_: object) -> None:
        return None


def test_stop_ends_a_comparison_and_says_so(small: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_here(monkeypatch)
    work = Comparison(small, f"sqlite:///{tmp_path}/runs.sqlite", workers=1)
    for number, _ in enumerate(work):
        if number == 2:
            work.cancel()
    assert work.outcome.state == "cancelled"
    assert work.rows() == []


def test_the_cost_is_said_before_anything_runs(tiny: object, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ["table", "--problem", "tiny", "--model", "lenet5", "--methods", "ga,ssd", "--scope", "head", "--dry-run"]
    ran = CliRunner().invoke(app, asked)
    assert ran.exit_code == 0, ran.output
    assert "2 entries and scopes: 10 runs to search" in ran.output
    assert "60 to compare" in ran.output
    assert "minutes" in ran.output


def test_the_table_goes_between_its_marks_and_nowhere_else(small: Plan, tmp_path: Path) -> None:
    file = tmp_path / "results.md"
    file.write_text("before\n<!-- table: begin -->\nold\n<!-- table: end -->\nafter\n")
    searched = [Tried(0.1, True, 0.0, 1.0, 0.9)]
    rows = [row(Entry("ga"), "head", [trajectory([1.0, 0.0])] * 3, searched, None, 0.2)]
    text = table_of.markdown(rows, {"change": 0.01, "half": 0.002, "n": 2}, small)
    marked.put(file, table_of.SECTION, text)
    assert file.read_text() == f"before\n<!-- table: begin -->\n{text}\n<!-- table: end -->\nafter\n"
    assert "| GA | forget | 3/3 |" in text
    assert "+1.00 ± 0.20" in text
    assert json.loads(json.dumps(rows))
    ran = CliRunner().invoke(app, ["table", "--problem", "tiny", "--model", "lenet5", "--markdown", str(tmp_path / "none.md")])
    assert ran.exit_code == 2
    assert "no place for the table" in ran.output


def test_comparisons_are_kept_apart_from_what_visitors_run() -> None:
    from imu_core.store.runs import default_url

    assert comparison.default_url() != default_url()
