"""The attack report: pages and commands show the same numbers, each once, in the metric's own unit."""

from __future__ import annotations

import pytest

import imu_core
from imu_core.evaluation.measurement import Measurement
from imu_core.metrics.registry import METRICS, numbers
from imu_core.metrics.thresholds import scores, worst_case
from imu_core.records.run import Problem
from imu_core.report import attacks, summary
from imu_core.unlearning.run import Run


@pytest.fixture(scope="module")
def measured(lenet: Problem) -> tuple[Run, Measurement]:
    run = imu_core.unlearn(lenet, imu_core.preset("gentle", "ga"))
    for _ in run:
        pass
    work = Measurement(run)
    for _ in work:
        pass
    assert work.outcome.state == "done"
    return run, work


def test_each_measured_attack_is_one_line_with_every_model_that_has_it(measured: tuple[Run, Measurement]) -> None:
    run, work = measured
    lines = list(attacks.of_measurement(run.problem, work.result))
    known = {model: numbers(work.result, model) for model in attacks.MODELS}
    expected = [key for key, metric in METRICS.items() if metric.attack and any(key in values for values in known.values())]
    assert [line.key for line in lines] == expected
    assert "membership" in expected
    for line in lines:
        assert line.values == {model: values[line.key] for model, values in known.items() if line.key in values}
        assert line.title == METRICS[line.key].title


def test_a_value_that_is_not_there_is_a_dash_and_words_stay_words() -> None:
    line = attacks.Line("Steps", "relearn_steps", {"run": "12 steps", "original": 0.5}, "40 forget")
    assert line.written("run") == "12 steps"
    assert line.written("retrained") == attacks.UNKNOWN
    assert "0.5" in line.written("original")


def test_a_command_prints_the_lines_of_the_report(measured: tuple[Run, Measurement]) -> None:
    run, work = measured
    printed = list(summary.metric_lines(run, work.result))
    for line in attacks.of_measurement(run.problem, work.result):
        (text,) = (text for text in printed if text.startswith(f"Attack: {line.title}: "))
        assert all(line.written(model) in text for model in line.values)
        assert METRICS[line.key].direction(True) in text
    assert sum(text.startswith("Attack: ") for text in printed) == len(list(attacks.of_measurement(run.problem, work.result)))


def test_threshold_attacks_name_what_they_are_held_against(lenet: Problem) -> None:
    forget, labels = lenet.split.forget, lenet.train.labels[lenet.split.forget]
    one = scores(lenet.train.logits[forget], labels)
    pair = (one, one)
    lines = list(attacks.of_thresholds(lenet, {"run": pair}, {"run": worst_case(*pair)}, "held-out images"))
    assert [line.key for line in lines] == ["auc", "auc", "advantage", "tpr_at_1_fpr"]
    assert all(line.images == f"{len(forget)} forget, {len(forget)} held-out images" for line in lines)
    assert lines[0].values["run"] == pytest.approx(0.5), "nothing tells a set from itself"
    assert lines[2].values["run"] == pytest.approx(0.0)


@pytest.mark.parametrize("result", [{}, {"words": {}}, {"shadows": 0}])
def test_attacks_without_numbers_have_no_lines(result: dict, lenet: Problem) -> None:
    assert not list(attacks.of_relearning(lenet, result))
    assert not list(attacks.of_shadows(result))
