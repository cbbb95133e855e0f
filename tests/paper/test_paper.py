"""The paper's tables again: what is transcribed, which runs answer it, what is said of the two, and that nothing runs twice."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from streamlit.testing.v1 import AppTest
from test_cli import cli, own_home  # noqa: F401
from test_pages import APP, PATIENCE, healthy, words
from typer.testing import Result

import imu_core
from imu_core.errors import CheckpointError, ConfigError, ConvergenceError, DataError
from imu_core.evaluation import agreement
from imu_core.figures import paper as charts
from imu_core.methods import METHODS
from imu_core.metrics.intervals import Paired
from imu_core.paper import findings, grounds, plan, readable, record, rows, verdicts, work
from imu_core.paper.experiment import CLASSES, RANDOM, SUBCLASSES, Claim, Line, plain
from imu_core.paper.published import COLUMNS, FIGURES, TABLES, Table, Value
from imu_core.paper.tables import distribution, layers
from imu_core.records.data import Dataset
from imu_core.records.run import Influence, Problem
from imu_core.store.runs import Store
from imu_core.store.stored import Summary

EVERYTHING = list(plan.EXPERIMENTS.values())
SIZES = {  # rows and columns of every table as the paper prints it
    "table1": (8, 6), "table1-subclasses": (9, 6), "table1-one-superclass": (9, 6), "table3": (6, 5), "table4": (3, 5),
    "table5": (4, 4), "table6": (5, 5), "table7": (4, 5), "table8": (2, 5), "table9": (3, 5), "table10": (9, 6),
    "table10-cifar100": (9, 6),
}  # fmt: skip


# ------------------------------------------------------------------------------------------------- what the paper prints


def test_every_table_is_whole() -> None:
    assert TABLES.keys() == SIZES.keys()
    for name, (count, width) in SIZES.items():
        found = TABLES[name].rows
        assert (len(found), max(map(len, found.values()))) == (count, width), name
        bare = {key: set(row) for key, row in found.items() if len(row) < width}
        assert bare.keys() <= {"original", "retrained"}, f"{name}: only these two have no run time"
    assert {"figure1", "figure2", "figure6"} == FIGURES.keys()


def test_printed_numbers_are_of_their_kind() -> None:
    for table in TABLES.values():
        for row in table.rows.values():
            for column, value in row.items():
                top = {"membership": 1.0, "w_dist": 9.0, "seconds": math.inf}.get(column, 100.0)
                assert 0.0 <= value.mean <= top
                assert (value.spread is None) == (table.runs is None), "a table has ± everywhere or nowhere"


def test_what_the_paper_prints_twice_is_the_same_here() -> None:
    influence, forget_only = TABLES["table7"].rows["influence value"], TABLES["table8"].rows["H over the forget set"]
    assert influence == forget_only
    plain = {c: v.mean for c, v in TABLES["table7"].rows["none (GA)"].items()}
    assert plain == {c: v.mean for c, v in TABLES["table1"].rows["GA"].items() if c != "membership"}
    assert TABLES["table3"].rows["1.00"]["forget"].mean == TABLES["table4"].rows["0"]["forget"].mean == 0.02


def test_retrained_models_of_the_paper_never_saw_what_they_forgot() -> None:
    for name in ("table1", "table1-subclasses", "table1-one-superclass"):
        row = TABLES[name].rows["retrained"]
        assert (row["forget"].mean, row["membership"].mean, row["w_dist"].mean) == (0.0, 1.0, 0.0)


# ------------------------------------------------------------------------------------------------------ what is run for it


@pytest.mark.parametrize("experiment", EVERYTHING, ids=lambda e: e.id)
def test_lines_answer_the_rows_of_their_table(experiment: Any) -> None:
    printed = TABLES[experiment.id].rows
    answered = {line.paper for line in experiment.lines if line.paper}
    assert answered <= printed.keys() | {"SSD"}, "SSD is in the paper's CIFAR-100 tables alone"
    if experiment.kind != SUBCLASSES:
        assert printed.keys() - {"original", "retrained"} <= answered
    assert len({line.key for line in experiment.lines}) == len(experiment.lines)
    assert len({line.title for line in experiment.lines}) == len(experiment.lines), "titles are the chart's axis"


@pytest.mark.parametrize("experiment", EVERYTHING, ids=lambda e: e.id)
def test_same_scope_controls_stand_in_every_table(experiment: Any) -> None:
    """At every scope where IMU runs there is gradient ascent, which is IMU with uniform weights, and IMU's weights permuted."""
    for scope in {line.scope for line in experiment.lines if line.method == "imu"}:
        mine = [line for line in experiment.lines if line.scope == scope]
        assert any(line.method == "ga" for line in mine)
        assert any(("control", "permuted") in line.settings for line in mine)


@pytest.mark.parametrize("experiment", EVERYTHING, ids=lambda e: e.id)
def test_claims_are_about_lines_and_rows_that_exist(experiment: Any) -> None:
    keys, printed = {line.key: line for line in experiment.lines}, TABLES[experiment.id].rows
    assert experiment.claims
    for claim in experiment.claims:
        assert all(claim.column in printed[name] for name in claim.paper)
        assert {*claim.fair, *claim.equal} <= keys.keys()
        assert {*claim.ours} <= keys.keys() or experiment.kind == SUBCLASSES
        assert experiment.kind == SUBCLASSES or [keys[key].paper for key in claim.ours] == list(claim.paper)
        assert len({keys[key].scope for key in claim.fair}) <= 1, "fair means the same layers"
        assert not claim.equal or [keys[key].scope for key in claim.equal] == [keys[key].scope for key in claim.ours]
        assert {keys[key].method for key in claim.equal} <= {"ga"}


@pytest.mark.parametrize("experiment", EVERYTHING, ids=lambda e: e.id)
def test_every_line_can_be_run_at_its_scope(experiment: Any) -> None:
    for line in experiment.lines:
        METHODS[line.method].check_scope(line.scope)
        config = line.config(0.01, 0.003, seed=2)
        assert (config.method, config.scope, config.seed, config.stop_at) == (line.method, line.scope, 2, 0.01)


def test_rows_of_an_ablation_change_one_thing() -> None:
    base, _ = next(line for line in plan.EXPERIMENTS["table5"].lines if line.key == "psi-sqrt").config(0.01, 0.003), None
    assert (base.psi, base.top, base.update_every, base.control, base.options) == ("sqrt", 1.0, 0, None, {})
    for name, setting in (("table3", "top"), ("table5", "psi")):
        for line in (line for line in plan.EXPERIMENTS[name].lines if line.paper):
            other = dataclasses.asdict(line.config(0.01, 0.003))
            assert {k for k, v in other.items() if v != getattr(base, k)} <= {setting}
    full = next(line for line in plan.EXPERIMENTS["table8"].lines if line.key == "imu-train").config(0.01, 0.003)
    assert full.options == {"hessian": "train"}
    assert METHODS["imu"].needs(full) == {"forget", "retain"}
    assert METHODS["imu"].needs(base) == {"forget"}


@pytest.mark.parametrize(("kind", "finer"), [("classes", 1), ("random", 10), ("subclasses", 20)])
def test_the_less_is_forgotten_the_finer_the_steps_that_are_searched(kind: str, finer: int) -> None:
    usual, own = plain("ga", "head", 0.9), plain("ga", "head", 0.9, kind=kind)
    assert own.learning_rate == pytest.approx(usual.learning_rate / finer)
    assert dataclasses.replace(own, learning_rate=usual.learning_rate) == usual
    ground = grounds.Ground(kind, "cifar10", "airbench", ("class:cat",), 0.9)
    assert ground.cell(Line("ga", "GA", "ga"), "class:cat").config.learning_rate == own.learning_rate


def test_the_hessian_over_all_training_samples(lenet: Problem) -> None:
    """Against a direct call: the curvature is that of every training sample, the query stays the forget set."""
    forget, train, head = lenet.split.forget, lenet.train, lenet.head
    own = train.Z[forget], train.labels[forget]
    wanted = imu_core.influence.head_scores(*own, head.weight, head.bias, curvature=(train.Z, train.labels), total=400)
    config = Line("x", "x", "imu", settings=(("hessian", "train"),)).config(0.0, 0.003)
    run = imu_core.unlearn(lenet, dataclasses.replace(config, epochs=0))
    (point,) = list(run)
    weights = imu_core.weights.sample_weights(wanted)
    assert point.weights["largest"] == pytest.approx(float(weights.max()))
    plain = imu_core.unlearn(lenet, dataclasses.replace(config, epochs=0, options={}))
    assert next(iter(plain)).weights["largest"] != pytest.approx(float(weights.max()))


# ------------------------------------------------------------------------------------------------------- what is said of it

A_TABLE = Table(
    0, "made up", "nowhere", 10,
    {
        "IMU": {"test": Value(93.0, 1.0)}, "GA": {"test": Value(73.0, 1.0)}, "near": {"test": Value(92.9, 1.0)},
        "original": {"test": Value(94.0, 0.0)},
    },
)  # fmt: skip


def a_row(key: str, values: list[float], reached: int | None = None, **more: Any) -> dict[str, Any]:
    """A row of ours whose test accuracies, in percent, are `values`, one a forget set."""
    each = {f"class:{n}": {"test": value / 100} for n, value in enumerate(values)}
    count = len(values)
    return {
        "key": key, "title": key, "role": "paper", "paper": key, "method": "imu", "scope": "head", "runs": count,
        "reached": count if reached is None else reached, "each": each, "values": rows.spread(each), **more,
    }  # fmt: skip


def verdict(imu: list[float], ga: list[float], fair: list[float] | None = None, paper: tuple[str, str] = ("IMU", "GA")) -> Any:
    known = {"IMU": a_row("IMU", imu), "GA": a_row("GA", ga)} | ({"GA head": a_row("GA head", fair)} if fair else {})
    claim = Claim("test", paper, ("IMU", "GA"), ("IMU", "GA head") if fair else ())
    return verdicts.judge(claim, A_TABLE, known)


GOOD = [92.0, 93.0, 94.0, 93.5]


def less(by: float, wobble: float = 0.1) -> list[float]:
    """GOOD minus about `by`."""
    return [value - by + wobble * (-1) ** n for n, value in enumerate(GOOD)]


@pytest.mark.parametrize(
    ("ga", "paper", "wanted"),
    [
        (less(20.0, 0.5), ("IMU", "GA"), verdicts.AGREES),
        (less(5.0), ("IMU", "GA"), verdicts.SAME_WAY),
        (less(0.0, 3.0), ("IMU", "GA"), verdicts.NOT_SEEN),
        (less(0.0, 30.0), ("IMU", "GA"), verdicts.UNSURE),
        (less(-5.0), ("IMU", "GA"), verdicts.OPPOSITE),
        (less(0.0, 3.0), ("IMU", "near"), verdicts.AGREES),
        (less(0.1, 0.02), ("IMU", "near"), verdicts.AGREES),
        (less(5.0), ("IMU", "near"), verdicts.NEW),
    ],
)
def test_the_verdict_follows_from_the_numbers(ga: list[float], paper: tuple[str, str], wanted: str) -> None:
    found = verdict(GOOD, ga, paper=paper)
    assert found["verdict"] == wanted
    test = verdicts.difference({"a": a_row("a", GOOD), "b": a_row("b", ga)}, ("a", "b"), "test")
    oracle = stats.ttest_rel(GOOD, ga)
    assert test.p == pytest.approx(oracle.pvalue)
    assert ("no difference seen" in found["words"]) == (oracle.pvalue > 0.05)


def test_before_the_papers_layers_were_run_the_same_layers_are_told() -> None:
    known = {"IMU": a_row("IMU", GOOD), "GA head": a_row("GA head", less(5.0))}
    found = verdicts.judge(Claim("test", ("IMU", "GA"), ("IMU", "GA"), ("IMU", "GA head")), A_TABLE, known)
    assert found["verdict"] == verdicts.OPEN
    assert "On the same layers here, IMU against GA head: +5.00" in found["words"]


def test_a_single_forget_set_says_nothing() -> None:
    assert verdict([93.0], [70.0])["verdict"] == verdicts.OPEN
    assert verdict([], []) is None


def test_the_reason_is_looked_for_on_the_same_layers() -> None:
    assert "the layers that make the difference" in verdict(GOOD, less(20.0), less(0.0, 3.0))["words"]
    assert "the method makes the whole difference" in verdict(GOOD, less(20.0), less(21.0))["words"]
    assert "25 % of the difference is the method's" in verdict(GOOD, less(20.0), less(5.0))["words"]
    assert "more than the whole" in verdict(GOOD, less(20.0), less(-5.0))["words"]
    assert "so here" not in verdict(GOOD, less(0.0, 3.0), less(0.0, 3.0))["words"]


def test_a_printed_difference_counts_only_beyond_its_own_spread() -> None:
    wide = dataclasses.replace(A_TABLE, rows={"a": {"test": Value(93.0, 20.0)}, "b": {"test": Value(80.0, 20.0)}})
    claim = Claim("test", ("a", "b"), ("a", "b"))
    assert verdicts.printed(wide, claim) == (13.0, False)
    assert verdicts.printed(A_TABLE, Claim("test", ("IMU", "GA"), ("a", "b"))) == (20.0, True)
    bare = dataclasses.replace(A_TABLE, runs=None, rows={"a": {"test": Value(93.0)}, "b": {"test": Value(92.6)}})
    assert verdicts.printed(bare, claim)[1] is None
    known = {"a": a_row("a", GOOD), "b": a_row("b", less(0.0, 3.0))}
    assert verdicts.judge(claim, bare, known)["verdict"] == verdicts.AGREES, "0.4 points without ± are none"


def test_rows_that_did_not_get_there_are_named_and_not_compared() -> None:
    known = {"IMU": a_row("IMU", GOOD), "GA": a_row("GA", less(20.0), reached=1)}
    found = verdicts.judge(Claim("test", ("IMU", "GA"), ("IMU", "GA")), A_TABLE, known)
    assert "Not at one depth, though: GA got there in 1 of 4 runs." in found["words"]
    assert (found["verdict"], found["lead"]) == (verdicts.OPEN, "Not comparable.")


def ended(row: dict[str, Any], *shares: float) -> dict[str, Any]:
    """`row` with the forget accuracies at which its runs ended."""
    each = {request: {**values, "forget": share} for (request, values), share in zip(row["each"].items(), shares, strict=True)}
    return {**row, "each": each, "values": rows.spread(each)}


def test_rows_further_than_half_a_point_from_the_depth_are_not_compared() -> None:
    near, far = (ended(a_row("imu", GOOD), 0.932, 0.931, 0.93, x) for x in (0.9281, 0.9279))
    assert verdicts.strays_of([near], 0.933) == {}
    assert verdicts.strays_of([far], 0.933) == {"imu": "ended at 92.8 to 93.2 %"}
    assert verdicts.strays_of([far]) == verdicts.strays_of([far], 0.933, 0.01) == {}
    ga = ended(a_row("ga", less(20.0)), 0.93, 0.93, 0.93, 0.93)
    for imu, compared in ((near, True), (far, False)):
        said = " ".join(
            item["words"] for item in findings.sentences(plan.EXPERIMENTS["table10"], TABLES["table10"], [imu, ga], 0.933)
        )
        assert ("Equal weights (GA), on the same layers, 1 comparison" in said) == compared
        assert ("Not at the depth of the others, so not compared: imu ended at 92.8 to 93.2 %." in said) != compared
    broken = {**a_row("imu", GOOD, reached=2), "diverged": 1}
    assert verdicts.strays_of([broken]) == {"imu": "got there in 2 of 4 runs, 1 broke"}


def test_scores_that_come_anew_are_held_against_imus_own_permuted_weights() -> None:
    known = [a_row("nu-1", GOOD), a_row("imu-permuted", less(0.4)), a_row("ga", less(0.0, 2.0))]
    said = [item["words"] for item in findings.sentences(plan.EXPERIMENTS["table9"], TABLES["table9"], known)]
    assert any(
        "dealt out at random, on the same layers, 1 comparison: a difference" in text and "nu-1 +0.40" in text for text in said
    )
    assert any("Equal weights (GA), on the same layers, 1 comparison: no difference seen" in text for text in said)


def test_what_cannot_be_told_from_ga_is_named() -> None:
    known = [a_row("ga", GOOD), a_row("psi-tanh", GOOD), a_row("psi-sqrt", less(0.0))]
    said = [item["words"] for item in findings.sentences(plan.EXPERIMENTS["table5"], TABLES["table5"], known)]
    assert "The same as ga to the last digit, in every forget set: psi-tanh. So their weights are equal." in said


def test_how_long_runs_last_is_told_where_that_was_asked_for() -> None:
    known = [{**a_row("nu-1", GOOD), "epochs": 7.53}, {**a_row("ga", GOOD), "epochs": 11.0}]
    said = [item["words"] for item in findings.sentences(plan.EXPERIMENTS["table9"], TABLES["table9"], known)]
    assert "Runs last 7.5 to 11.0 epochs on average, by row; the paper's 5." in said
    said = [item["words"] for item in findings.sentences(plan.EXPERIMENTS["table10"], TABLES["table10"], known)]
    assert not any("Runs last" in text for text in said)


def test_a_step_between_layers_is_shown_under_equal_weights_too() -> None:
    claim = Claim("test", ("IMU", "GA"), ("imu", "imu@all"), equal=("ga", "ga@all"))
    known = {key: a_row(key, values) for key, values in (("imu", GOOD), ("imu@all", less(9)), ("ga", GOOD), ("ga@all", less(5)))}
    words_ = verdicts.judge(claim, A_TABLE, known)["words"]
    assert "Under equal weights (ga against ga@all): +5.00" in words_
    assert "On the same layers" not in words_


def test_levels_are_not_compared_where_the_labels_differ() -> None:
    known = [a_row("original", GOOD, paper="original"), a_row("imu", GOOD, paper="IMU")]
    for name, wanted in (("table10", True), ("table1-subclasses", False)):
        said = " ".join(item["words"] for item in findings.sentences(plan.EXPERIMENTS[name], TABLES[name], known))
        assert ("Furthest apart" in said) == wanted
        assert ("The networks differ" in said) == wanted


def test_controls_and_levels_are_told() -> None:
    experiment = plan.EXPERIMENTS["table1"]
    imu, lost = a_row("imu", GOOD, paper="IMU"), a_row("imu-permuted", less(0.0, 3.0), paper="")
    start = a_row("original", [90.0, 90.2], paper="original")
    del start["runs"], start["reached"]
    said = [item["words"] for item in findings.sentences(experiment, TABLES["table1"], [start, imu, lost])]
    assert any("1 comparison: no difference seen" in text for text in said)
    assert any("1 of 1 printed accuracies lie inside our 95 % intervals over more than 3 forget sets" in text for text in said)
    assert any("The networks differ: the original model here has 90.1 %" in text for text in said)
    worse = a_row("imu-permuted", less(2.0), paper="")
    said = [item["words"] for item in findings.sentences(experiment, TABLES["table1"], [imu, worse])]
    assert any("a difference in test accuracy, IMU minus control, for 1: imu +2.00" in text for text in said)


@pytest.mark.parametrize(
    ("forgets", "wanted"),
    [
        ([0.930, 0.934, 0.938], "as deep as retraining: retrained models of 3 forget sets have 93.4 ± 1.0 %"),
        ([0.45, 0.46, 0.47], "less deep than retraining: retrained models of 3 forget sets have 46.0 ± 2.5 %"),
        ([0.96], "deeper than retraining: the retrained model of one forget set has 96.0 %"),
    ],
)
def test_the_depth_is_held_against_the_retrained_models(forgets: list[float], wanted: str) -> None:
    row = {
        "key": "retrained",
        "title": "Retrained",
        "paper": "",
        "values": rows.spread({str(n): {"forget": f} for n, f in enumerate(forgets)}),
    }
    random, classes = plan.EXPERIMENTS["table10"], plan.EXPERIMENTS["table1"]
    said = [item["words"] for item in findings.sentences(random, TABLES["table10"], [row], 0.933)]
    assert f"Runs stop at 93.3 % forget accuracy, {wanted}." in said
    for experiment, target in ((random, None), (classes, 0.933)):
        said = [item["words"] for item in findings.sentences(experiment, TABLES["table10"], [row], target)]
        assert not any("Runs stop" in text for text in said)


def test_an_interval_of_the_paper() -> None:
    values = np.random.default_rng(0).normal(50, 3, 10)
    half = verdicts.interval(Value(values.mean(), values.std(ddof=1)), 10)
    low, high = stats.t.interval(0.95, 9, values.mean(), stats.sem(values))
    assert (values.mean() - half, values.mean() + half) == pytest.approx((low, high))
    assert verdicts.interval(Value(50.0), 10) is None


# ----------------------------------------------------------------------------------------------------------- stored to rows


def a_run(request: str, seed: int, forget: float, test: float, attack: float | None = None, state: str = "done") -> Summary:
    metrics = {"accuracies": {"run": {"forget": forget, "retain": 0.9, "test": 0.5, "test_other": test}}}
    metrics |= {} if attack is None else {"membership": {"run": attack}}
    return Summary(
        "i", "k", 0.0, "", (), None, "imu", "tiny", "lenet5", request, 0, seed, "head", {}, state, 2.0, {"forget": forget},
        metrics if state != "failed" else {}, None, None, False,
    )  # fmt: skip


def test_seeds_are_averaged_before_the_interval() -> None:
    ground = grounds.Ground(CLASSES, "tiny", "lenet5", ("a", "b"), 0.01)
    runs = {
        "a": [a_run("a", 0, 0.0, 0.8, 1.0), a_run("a", 1, 0.0, 0.9)],
        "b": [a_run("b", 0, 0.3, 0.7, 0.5), a_run("b", 1, 0.0, 0.0, state="failed")],
    }
    made = rows.row(plan.EXPERIMENTS["table1"].lines[0], ground, runs, 0.003)
    mean, half = np.mean([0.85, 0.7]), stats.t.ppf(0.975, 1) * np.std([0.85, 0.7], ddof=1) / math.sqrt(2)
    assert made["values"]["test"] == {"mean": pytest.approx(mean), "half": pytest.approx(half), "n": 2}
    assert made["values"]["membership"]["mean"] == pytest.approx(0.75), "the attacked seed alone"
    assert (made["runs"], made["reached"], made["failed"]) == (3, 2, 1)


def test_a_number_that_no_run_has_is_left_out() -> None:
    """A distance that is no number is stored as nothing."""
    run = a_run("a", 0, 0.0, 0.8)
    run.metrics["divergence"] = {"run": {"test": {"w1_classes": None, "w1": 0.1}}}
    ground = grounds.Ground(CLASSES, "tiny", "lenet5", ("a",), 0.01)
    values = rows.row(plan.EXPERIMENTS["table1"].lines[0], ground, {"a": [run]}, 0.003)["values"]
    assert "w_dist" not in values
    assert values["w1"]["mean"] == pytest.approx(0.1)


# --------------------------------------------------------------------------------------------------------- the whole, small


@pytest.fixture
def few_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables 5 and 6 with four lines, and 9 with two, so that a whole reproduction takes seconds."""
    kept = {
        "table5": ("psi-sqrt", "psi-tanh", "ga", "psi-sqrt-permuted"),
        "table6": ("imu", "ga@last:1"),
        "table9": ("nu-0", "ga"),
    }
    for name, experiment in list(plan.EXPERIMENTS.items()):
        lines = tuple(line for line in experiment.lines if line.key in kept.get(name, ()))
        monkeypatch.setitem(plan.EXPERIMENTS, name, dataclasses.replace(experiment, lines=lines))
        if not lines and name != "table1-subclasses":
            monkeypatch.delitem(plan.EXPERIMENTS, name)
    monkeypatch.setattr(grounds, "DRAWS", 2)
    monkeypatch.setattr(layers, "WANTED", 0)
    monkeypatch.setattr(distribution, "DRAWN", 20)
    classes = grounds._classes
    monkeypatch.setattr(grounds, "_classes", lambda dataset, model: classes(dataset, model)[:2])


def a_reproduction(url: str, **more: Any) -> work.Reproduction:
    return work.Reproduction("tiny", "lenet5", url, 1, **more)


def finish(made: work.Reproduction) -> list[str]:
    return [text for _, text in made]


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'tables.sqlite'}"


@pytest.mark.slow(reason="the tables are made twice")
def test_the_work_is_done_once_and_stated_before(tiny: Dataset, few_tables: None, url: str) -> None:
    made = a_reproduction(url)
    planned = made.plan()
    assert sum(todo for _, _, todo, _ in planned) == sum(total for _, total, _, _ in planned) > 0
    assert all(seconds > 0 for _, _, todo, seconds in planned if todo)
    assert planned[0][0].name == "classes, head: search"
    few = a_reproduction(url, sets=1, wide=False)
    assert {len(ground.requests) for ground in few.grounds.values()} == {1}
    assert {line.scope for stage in few.stages for line in stage.lines} == {"head"}
    fractions = [fraction for fraction, _ in made]
    assert fractions == sorted(fractions)
    assert (made.outcome.state, made.outcome.reason) == ("done", "Every run of every table is stored.")
    count = Store(url).count()
    again = a_reproduction(url)
    assert sum(todo for _, _, todo, _ in again.plan()) == 0
    assert all("are stored already" in text for text in finish(again))
    assert Store(url).count() == count
    found = again.record(again.figures())
    _check_record(found)
    _check_times(found, again, Store(url))


def _check_times(found: dict[str, Any], made: work.Reproduction, store: Store) -> None:
    """They are the method's own: what preparing and stepping took, without the judging."""
    row = next(row for row in found["tables"]["table5"]["rows"] if row["key"] == "psi-sqrt")
    line = next(line for line in plan.EXPERIMENTS["table5"].lines if line.key == "psi-sqrt")
    ground = made.grounds["classes"]
    cells = [ground.cell(line, ground.requests[0], made.strength(line, ground), seed) for seed in range(grounds.SEEDS)]
    runs = store.latest([cell.key for cell in cells])
    phases = [record.phases for record in store.trajectories([run.id for run in runs.values()]).values()]
    own = [seconds["prepare"] + seconds["steps"] for seconds in phases]
    assert row["each"][ground.requests[0]]["seconds"] == pytest.approx(sum(own) / len(own))
    assert all(seconds["evaluation"] > 0 for seconds in phases)


def _check_record(found: dict[str, Any]) -> None:
    table = found["tables"]["table5"]
    keys = [row["key"] for row in table["rows"]]
    assert keys == ["original", "psi-sqrt", "psi-tanh", "ga", "psi-sqrt-permuted"]
    imu, ga = (next(row for row in table["rows"] if row["key"] == key) for key in ("psi-sqrt", "ga"))
    assert imu["values"]["test"]["n"] == 2
    assert imu["runs"] == 2 * grounds.SEEDS
    assert imu["values"]["forget"]["mean"] <= table["target"]
    assert ga["saw"] == ["forget"]
    assert any("No retrained model for 2 of 2" in text for text in table["missing"])
    assert "CIFAR-100 has subclasses" in found["tables"]["table1-subclasses"]["missing"][0]
    assert [row["key"] for row in found["tables"]["table6"]["rows"]] == ["original", "imu", "ga@last:1"]
    assert found["tables"]["table9"]["requests"] == ["random:10%,seed=0", "random:10%,seed=1"]
    assert found["figures"].keys() == {"figure1", "figure6"}


def test_every_line_is_run_on_a_few_requests_before_any_goes_on() -> None:
    names = [stage.name for stage in work.stages(["classes", "random"])]
    wide = [name for name in names if "wider" in name]
    assert names.index("classes, head, without attack: more seeds") < names.index("random, head") < names.index(wide[0])
    assert wide[:4] == [
        f"classes, wider scopes, {part}" for part in ("core: search", "core, the first", "rest: search", "rest, the first")
    ]
    assert wide[-2:] == ["classes, wider scopes, core, the others", "classes, wider scopes, rest, the others"]
    stages = {stage.name: stage for stage in work.stages(["classes"])}
    requests = list(range(10))
    for part in ("core", "rest"):
        first, others = (stages[f"classes, wider scopes, {part}, the {which}"] for which in ("first", "others"))
        assert requests[slice(*first.part)] + requests[slice(*others.part)] == requests
        assert first.lines == others.lines
    assert [stage.name for stage in stages.values() if stage.compared] == ["classes, wider scopes, core, the first"]


@pytest.mark.slow(reason="makes the tables again; the default run makes them once")
def test_the_clock_stops_it_and_it_goes_on(tiny: Dataset, few_tables: None, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count()  # a minute has passed whenever somebody looks
    monkeypatch.setattr(work, "time", SimpleNamespace(monotonic=lambda: 60.0 * next(clock)))
    made = a_reproduction(url, minutes=5, wide=False)
    said = finish(made)
    assert made.outcome.state == "done"
    assert "minutes are over" in made.outcome.reason
    first = Store(url).count()
    assert 0 < first < 20, said
    assert any("not run yet" in text for text in made.record()["tables"]["table5"]["missing"])
    again = a_reproduction(url, minutes=None, wide=False)
    finish(again)
    assert again.outcome.reason == "Every run of every table is stored."
    assert Store(url).count() > first


@pytest.mark.slow(reason="compares scores through all layers; the default run makes the tables once")
def test_a_comparison_that_fails_leaves_nothing_else_undone(
    tiny: Dataset, few_tables: None, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(ground: grounds.Ground, request: str) -> Iterator[tuple[float, str]]:
        yield 0.5, "halfway"
        raise ConvergenceError("The solve stopped.")

    monkeypatch.setattr(layers, "WANTED", 2)
    monkeypatch.setattr(layers, "compare", fails)
    made = a_reproduction(url)
    said = [text for text in finish(made) if "The solve stopped." in text]
    assert [text.split(":")[0] for text in said] == ["Figure 2, class"] * 2
    assert made.outcome.reason == "Every run of every table is stored."


def test_it_can_be_stopped(tiny: Dataset, few_tables: None, url: str) -> None:
    made = a_reproduction(url, wide=False)
    for _ in made:
        made.cancel()
    assert made.outcome.state == "cancelled"


def test_what_cannot_be_asked_for_is_said(tiny: Dataset, url: str) -> None:
    with pytest.raises(ConfigError, match="minutes is 0"):
        a_reproduction(url, minutes=0)
    with pytest.raises(CheckpointError, match="No vgg19 is trained on tiny"):
        work.Reproduction("tiny", "vgg19", url)


@pytest.mark.slow(reason="whole searches; the default run makes the tables once")
def test_draws_stop_at_one_depth_whether_a_retrained_model_is_stored_or_not() -> None:
    ground = grounds.grounds("fashion", "small_resnet")[0]["random"]
    problems = [imu_core.problem("fashion", model="small_resnet", forget=request) for request in ground.requests[:2]]
    assert all(imu_core.retrained(problem) for problem in problems), "models are shipped for both, and they disagree"
    assert len({imu_core.retrained(problem).accuracies["forget"] for problem in problems}) == 2
    test = problems[0].test
    assert ground.target == round(float((test.logits.argmax(1) == test.labels).double().mean()), 4)


@pytest.mark.slow(reason="whole searches; the default run makes the tables once")
def test_subclasses_stop_where_retrained_models_are() -> None:
    known = ["random:10%,seed=0", "random:10%,seed=1"]
    wanted = [imu_core.retrained(imu_core.problem("fashion", forget=request)).accuracies["forget"] for request in known]
    found = grounds._of_retrained("fashion", "small_resnet", [*known, "random:10%,seed=9"])
    assert found == pytest.approx(sum(wanted) / 2, abs=5e-5)
    none = grounds._of_retrained("fashion", "small_resnet", ["random:10%,seed=9"])
    assert none == grounds._unseen("fashion", "small_resnet", known[0]) != found


def test_subclasses_wait_for_a_model(tiny: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grounds, "_is_trained", lambda dataset, model: False)
    ground, why = grounds._subclasses("cifar10", "airbench")
    assert ground is None
    assert "not run: no airbench is trained on cifar20" in why
    assert "train --problem cifar20 --model airbench" in why


# ------------------------------------------------------------------------------------------------------ figures 1, 2 and 6


def test_how_scores_are_spread(lenet: Problem) -> None:
    found = distribution.spread_of(lenet)
    forget, head = lenet.split.forget, lenet.head
    wanted = imu_core.influence.head_scores(lenet.train.Z[forget], lenet.train.labels[forget], head.weight, head.bias, total=400)
    values = dict(zip(forget.tolist(), (400 * wanted.scores).tolist(), strict=True))
    assert all(values[sample] == pytest.approx(value, abs=1e-6) for sample, value in found["points"])
    order = sorted(values, key=lambda sample: -values[sample])
    assert found["extremes"]["largest"] == order[: distribution.EXTREMES]
    assert set(found["extremes"]["smallest"]) == set(order[-distribution.EXTREMES :])


def test_the_shape_of_scores() -> None:
    even = distribution.shape(torch.full((100,), 0.3))
    assert (even["top"], even["positive"], even["even"]) == pytest.approx((0.05, 1.0, 1.0))
    one = distribution.shape(torch.tensor([1.0] + [-1.0] * 99))
    assert (one["top"], one["positive"], one["even"]) == pytest.approx((1.0, 0.01, 0.01))
    assert distribution.shape(-torch.ones(10)) == {"top": 0.0, "positive": 0.0, "raw": 0.0, "even": 0.0, "span": 1.0}
    values = torch.linspace(1.0, 101.0, 101, dtype=torch.float64)
    found = distribution.shape(values)
    assert found["span"] == pytest.approx(100.0 / 2.0)
    assert found["raw"] == pytest.approx(float(values.sum() ** 2 / (101 * (values**2).sum())))
    assert found["even"] == pytest.approx(float(values.sqrt().sum() ** 2 / (101 * values.sum())))


def test_scores_over_epochs(lenet: Problem) -> None:
    found = distribution.over_epochs(lenet)
    assert len(found["lines"]) == distribution.LINES
    assert {len(values) for values in found["lines"].values()} == {distribution.EPOCHS + 1}
    before = dict(distribution.spread_of(lenet)["points"])
    assert all(values[0] == pytest.approx(before[int(s)], abs=1e-5) for s, values in found["lines"].items())
    for told in found["numbers"].values():
        assert told["alike"][0] == pytest.approx(1.0)
        assert len(told["mean"]) == distribution.EPOCHS + 1
        assert told["forget"][-1] <= told["forget"][0]


def test_the_head_against_all_layers(lenet: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kept comparisons are found again, for one forget set or more; none is made without being asked for."""
    ground = grounds.Ground(CLASSES, "tiny", "lenet5", ("class:Sandal", "class:Bag"), 0.01)
    assert layers.missing(ground) == ["class:Sandal", "class:Bag"]
    assert layers.figure2(ground) == {}
    values = torch.arange(1.0, 41.0, dtype=torch.float64)
    scores = {kind: Influence(values, values, values, "exact", 0.01, 400, seconds=2.0) for kind in agreement.KINDS}
    scores[agreement.HEAD] = dataclasses.replace(scores[agreement.HEAD], scores=values.flip(0), seconds=0.5)
    kept = agreement.Found("all", 0.01, 40, scores, {})
    sandal = lenet.split.request
    monkeypatch.setattr(agreement, "stored", lambda problem, **_: kept if problem.split.request == sandal else None)
    assert layers.missing(ground) == ["class:Bag"]
    found = layers.figure2(ground)["classes"]
    assert (found["spearman"]["mean"], found["spearman"]["half"], found["spearman"]["n"]) == (pytest.approx(-1.0), None, 1)
    assert found["diagonal"]["mean"] == pytest.approx(1.0)
    assert found["points"][0] == [int(lenet.split.forget[0]), 40.0, 1.0]
    assert "All layers take 4 times as long" in readable.told("figure2", {"classes": found})[0]
    assert "curvature" not in readable.told("figure2", {"classes": found})[0]
    part = found | {"sizes": {"curvature": 500, "samples": 5000}}
    assert "The curvature is that of 500 of 5,000 forget samples." in readable.told("figure2", {"classes": part})[0]
    assert list(charts.ranks([1.0], [2.0]).data[0].y) == [2.0]


def told(first: float, last: float, kind: str = "classes", scores: tuple[float, ...] = (1, 2, 3, 3, 3, 3)) -> str:
    mean = lambda value: {"mean": value, "half": 0.01, "n": 10}  # noqa: E731
    values = [first + (last - first) * epoch / 5 for epoch in range(6)]
    numbers = {key: [mean(value) for value in values] for key in ("positive", "even", "alike", "forget")}
    numbers["mean"] = [mean(value) for value in scores]
    return readable.told("figure6", {kind: {"numbers": {"imu": numbers, "ga": numbers}}})[0]


def test_figures_are_told_both_ways() -> None:
    assert told(0.5, 0.9).startswith("Agrees. ")
    assert told(0.9, 0.5).startswith("The opposite here. ")
    assert told(0.99, 0.5, "random").startswith("The opposite here, from a start that could hardly rise. ")
    assert told(0.9, 0.905).startswith("Not seen")
    assert "Settled by then: from epoch 2 to 5 the mean score changes by +0 %" in told(0.5, 0.9)
    assert "Not settled by then: from epoch 2 to 5 the mean score changes by +50 %" in told(0.5, 0.9, scores=(1, 1, 2, 2, 2, 3))
    assert "ettled" not in told(0.5, 0.9, "random")
    before = {"numbers": {"imu": {"even": [], "positive": []}, "top": {}}}
    assert readable.told("figure1", {"classes": before}) == readable.told("figure6", {"classes": before}) == []
    near, far = ({"classes": {"spearman": {"mean": m, "half": 0.01, "n": 5}}} for m in (0.99, 0.6))
    assert readable.told("figure2", near)[0].startswith("Agrees")
    assert readable.told("figure2", far)[0].startswith("Lower here")
    assert ["does not say which samples" in readable.told("figure2", data)[0] for data in (near, far)] == [False, True]


@pytest.mark.parametrize(
    ("top", "smoothing", "start", "why"),
    [(0.4, 0.2, "Agrees", False), (0.1, 0.2, "Not seen here", True), (0.1, 0.0, "Not seen here", False)],
)
def test_an_even_spread_is_told_with_its_likely_reason(top: float, smoothing: float, start: str, why: bool) -> None:
    names = ("positive", "raw", "even", "span", "with_loss")
    numbers = {"top": {"mean": top, "half": 0.01, "n": 10}} | {key: {"mean": 0.5, "half": 0.1, "n": 10} for key in names}
    said = readable.told("figure1", {"classes": {"numbers": numbers, "smoothing": smoothing}})[0]
    assert said.startswith(start)
    assert ("label smoothing 0.2" in said) == why


# -------------------------------------------------------------------------------------------------------- files and charts


def a_record() -> dict[str, Any]:
    """A record of one table with made-up numbers, and of no figure."""
    imu = a_row("imu", GOOD, paper="IMU", control=None, strength=0.003, setting="learning_rate", saw=["forget"])
    imu |= {"config": plan.EXPERIMENTS["table1"].lines[0].config(0.005, 0.003).changed(), "failed": 0}
    table = {
        "kind": CLASSES, "dataset": "fashion", "model": "small_resnet", "target": 0.005, "requests": ["class:Sandal"] * 4,
        "rows": [imu], "missing": ["not run yet: GA, all layers."], "note": "A note.",
        "sentences": [{"verdict": "agrees", "lead": "Agrees.", "words": "The paper has +1.00 points."}],
    }  # fmt: skip
    return {
        "dataset": "fashion",
        "model": "small_resnet",
        "target": 0.005,
        "seeds": 3,
        "tables": {"table1": table},
        "figures": {},
    }


def test_records_are_merged_and_read_back(tmp_path: Path) -> None:
    one, other = a_record(), {**a_record(), "dataset": "cifar10"}
    both = record.merged([one], other)
    assert [r["dataset"] for r in both] == ["cifar10", "fashion"]
    assert len(record.merged(both, {**other, "seeds": 9})) == 2
    path = tmp_path / "paper.json"
    path.write_text(json.dumps(record.as_json(both)))
    assert [r["dataset"] for r in record.load(path)] == ["cifar10", "fashion"]
    assert record.load(tmp_path / "nothing.json") == []


@pytest.mark.parametrize("text", ["{", "[]", '{"format": "other"}', '{"format": "imu_core paper tables", "records": [{}]}'])
def test_a_damaged_file_gets_a_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "paper.json"
    path.write_text(text)
    with pytest.raises(DataError, match="holds no tables of the paper"):
        record.load(path)


def test_markdown_has_ours_and_theirs_and_what_is_missing() -> None:
    text = readable.markdown([a_record()])
    assert "| 93.12 ± 1.36 / 93.38 ± 1.06 |" in text
    assert "| GA (not run) |" in text
    assert "- Agrees. The paper has +1.00 points." in text
    assert "- Missing: not run yet: GA, all layers." in text
    assert "Nothing has been run yet" in readable.markdown([])
    few = a_record()
    few["tables"]["table1"]["rows"][0]["values"]["gap"] = {"mean": 0.01, "half": None, "n": 2}
    assert "| 1.00 (2) |" in readable.markdown([few]), "a mean over fewer sets than the row's says so"
    assert "on the hundred classes of CIFAR-100" in readable.markdown([few])


def test_the_chart_shows_both(tiny: Dataset) -> None:
    pairs = [charts.Pair("IMU", "imu", None, 93.0, 1.0, 93.4, 0.5), charts.Pair("GA", "ga", None, None, None, 72.4)]
    figure = charts.beside(pairs, "Test accuracy, %")
    printed = next(trace for trace in figure.data if trace.name == "the paper")
    assert list(printed.x) == [93.4, 72.4]
    ours = [trace for trace in figure.data if trace.error_x.array is not None and trace.name != "the paper"]
    assert [list(trace.x) for trace in ours] == [[93.0]]
    assert list(figure.layout.yaxis.categoryarray) == ["IMU", "GA"]


# ------------------------------------------------------------------------------------------------------------ command line

TABLES_COMMAND = ("tables", "--problem", "tiny", "--model", "lenet5", "--head-only", "--workers", 1)


@pytest.mark.slow(reason="makes the tables again; the default run makes them once")
def test_the_command_makes_both_files_and_says_its_cost_first(
    cli: Callable[..., Result],  # noqa: F811
    few_tables: None,
    tmp_path: Path,
) -> None:
    files = "--json", tmp_path / "paper.json", "--markdown", tmp_path / "RESULTS.md"
    dry = cli(*TABLES_COMMAND, *files, "--dry-run")
    assert dry.exit_code == 0
    assert "classes, head: search: 10 runs, 10 to do" in dry.stderr
    assert not (tmp_path / "paper.json").exists()
    result = cli(*TABLES_COMMAND, *files)
    assert result.exit_code == 0, result.stderr
    assert result.stderr.index("workers in all") < result.stderr.index("classes, head: search, 1 of 10")
    (made,) = record.load(tmp_path / "paper.json")
    assert made["tables"]["table5"]["rows"]
    assert made["figures"]["figure1"]["classes"]["points"]
    before = (tmp_path / "RESULTS.md").read_text()
    assert "### Table 5" in before
    again = cli(*TABLES_COMMAND, *files, "--stored")
    assert again.exit_code == 0
    assert (tmp_path / "RESULTS.md").read_text() == before, "made from the store alone, to the letter"


def test_a_model_that_is_not_there_is_said(cli: Callable[..., Result], tmp_path: Path) -> None:  # noqa: F811
    result = cli("tables", "--problem", "tiny", "--model", "vgg19", "--json", tmp_path / "paper.json")
    assert result.exit_code == 2
    assert "train --problem tiny --model vgg19" in result.stderr
    assert "--problem fashion --model small_resnet" in result.stderr


# ---------------------------------------------------------------------------------------------------------------- the page


@pytest.fixture
def shipped_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the page looks for the record; nothing is there unless a test writes it."""
    monkeypatch.setattr(record, "PATH", tmp_path / "paper.json")
    return tmp_path / "paper.json"


def opened(**query: str) -> AppTest:
    at = AppTest.from_file(APP, default_timeout=PATIENCE)
    at.query_params.update(query)
    at.switch_page("pages/paper.py")
    return healthy(at.run())


def test_the_page_opens_on_table_1_even_before_anything_was_run(shipped_record: Path) -> None:
    at = opened()
    assert at.title[0].value == "The paper"
    assert at.subheader[0].value == TABLES["table1"].title
    shown = at.dataframe[0].value
    assert {"IMU (not run)", "GA (not run)"} <= set(shown["Row"])
    assert "93.38 ± 1.06" in set(shown["test paper"])
    assert "Nothing of ours yet" in words(at)
    assert "make tables" in at.code[0].value


def test_ours_stands_beside_the_papers(shipped_record: Path) -> None:
    shipped_record.write_text(json.dumps(record.as_json([a_record()])))
    at = opened()
    imu = at.dataframe[0].value.set_index("Row").loc["imu"]
    assert (imu["test"], imu["test paper"]) == ("93.12 ± 1.36", "93.38 ± 1.06")
    assert "**Agrees.** The paper has +1.00 points." in words(at)
    assert r"Missing. Not run yet\: GA, all layers." in words(at)
    assert "--problem fashion" in at.code[0].value


@pytest.mark.parametrize("name", record.ids())
@pytest.mark.sample(3, reason="a case is a whole run of a page")
def test_every_table_and_figure_has_its_link(shipped_record: Path, name: str) -> None:
    at = opened(paper=record.label(name))
    wanted = FIGURES[name].title if name in FIGURES else TABLES[name].title
    assert at.subheader[0].value == wanted


def test_figures_are_drawn(shipped_record: Path, lenet: Problem) -> None:
    mean = {"mean": 0.5, "half": 0.1, "n": 2}
    first = distribution.spread_of(lenet)
    found = {**a_record(), "figures": {
        "figure1": {"classes": {"request": "class:Sandal", "points": first["points"], "extremes": first["extremes"],
                                "numbers": dict.fromkeys(first["numbers"], mean)}},
        "figure6": {"random": {"request": "random:10%,seed=0", "lines": {"3": [0.1] * 6},
                               "numbers": {who: dict.fromkeys(("positive", "even", "alike", "forget"), [mean] * 6)
                                           for who in ("imu", "ga")}}},
    }}  # fmt: skip
    shipped_record.write_text(json.dumps(record.as_json([found])))
    assert "the largest influence" in words(opened(paper="Figure 1"))
    assert "15 samples drawn" in words(opened(paper="Figure 6"))


def test_a_damaged_record_is_no_error_of_the_page(shipped_record: Path) -> None:
    shipped_record.write_text("{")
    at = opened()
    assert "holds no tables" in at.warning[0].value
    assert at.dataframe


def test_pairs_and_columns_are_known() -> None:
    assert set(rows.MEASURED) == {*COLUMNS, *readable.OURS}
    assert isinstance(verdicts.difference({}, ("a", "b"), "test"), (Paired, type(None)))
    assert RANDOM in {e.kind for e in EVERYTHING}
