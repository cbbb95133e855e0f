"""What a measurement adds to the published attack: more attacks, gaps, ZRF, the nearest class, and a table of it all."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import imu_core
from imu_core import progress
from imu_core.caches import SharedCache
from imu_core.evaluation import measurement
from imu_core.evaluation.measurement import Measurement, attacks, divergences, incompetent_logits, threshold_sides
from imu_core.metrics import METRICS, Kind, divergence, gaps, membership, neighbour, of_kind, thresholds
from imu_core.metrics.registry import numbers
from imu_core.metrics.zrf import zrf
from imu_core.problems.reference import Reference
from imu_core.problems.subsets import same_kind, spread
from imu_core.records.run import Features, Problem, RunConfig
from imu_core.unlearning.run import Run

SANDAL = 5


def finished(problem: Problem, **settings: object) -> Run:
    run = imu_core.unlearn(problem, RunConfig(**settings))
    list(run)
    return run


def measured(run: Run) -> Measurement:
    found = Measurement(run)
    fractions = [fraction for fraction, _ in found]
    assert found.outcome.state == "done", found.outcome.reason
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    return found


def never_saw_sandals(part: Features) -> Features:
    """What a retrained model might say: the original's logits, the forgotten class never first."""
    logits = part.logits.clone()
    logits[:, SANDAL] = logits.min() - 5
    return Features(part.Z, part.labels, logits)


@pytest.fixture(scope="module")
def at_random(tiny: object) -> Problem:
    """Forget 40 random samples of the tiny set."""
    return imu_core.problem("tiny", model="lenet5", forget="random:10%,seed=1")


@pytest.fixture
def with_reference(lenet: Problem, monkeypatch: pytest.MonkeyPatch) -> Problem:
    """The tiny problem with a made-up retrained model."""
    parts = never_saw_sandals(lenet.train), never_saw_sandals(lenet.test)
    monkeypatch.setattr(measurement, "retrained", lambda problem: Reference({}, *parts, {}))
    monkeypatch.setattr(measurement, "_MEASURED", SharedCache(100))
    monkeypatch.setattr(progress, "step_back", lambda: None)  # it would only make the tests wait
    return lenet


def test_everything_is_measured_for_every_model(with_reference: Problem) -> None:
    result = measured(finished(with_reference, epochs=3, batch_size=16)).result
    everybody = {"original", "run", "retrained"}
    features = {"confidence", "correctness", "entropy", "modified_entropy", "logistic", "training_privacy"}
    for part in ("accuracies", "membership", "attacks", "zrf"):
        assert set(result[part]) == everybody
    for part in ("divergence", "gaps", "neighbour", "worst_case"):
        assert set(result[part]) == {"original", "run"}
    for name in everybody:
        assert set(result["attacks"][name]) == features
        assert result["attacks"][name]["confidence"] == result["membership"][name]
        assert all(0 <= value <= 1 for value in result["attacks"][name].values())
    keys = set(of_kind(Kind.DISTANCE, Kind.CLASSES))
    assert keys >= {"kl", "js", "w1", "activation_distance", "agreement", "w1_classes"}
    assert all(set(values) == keys for sets in result["divergence"].values() for values in sets.values())
    assert set(result["seconds"]) >= {"outputs", "membership", "attacks", "divergence", "zrf", "neighbour"}


def test_the_original_is_caught_and_the_retrained_is_the_aim(with_reference: Problem) -> None:
    result = measured(finished(with_reference, epochs=1, batch_size=16)).result
    for feature in ("confidence", "correctness", "modified_entropy"):
        original, retrained = (result["attacks"][name][feature] for name in ("original", "retrained"))
        assert original < 0.3
        assert retrained == 1.0
    assert result["neighbour"]["original"]["neighbour_tv"] == 0.0  # only the forgotten column differs, and it is left out
    gap = result["gaps"]["original"]
    assert gap["average_gap"] > 0.4
    assert gap["tug_of_war"] < 0.1


def test_a_run_without_steps_is_the_original(with_reference: Problem) -> None:
    result = measured(finished(with_reference, epochs=0)).result
    assert len(numbers(result)) > 20
    assert numbers(result) == pytest.approx(numbers(result, "original"), rel=1e-3, abs=1e-6)


def test_a_run_like_the_retrained_model_has_no_gap(with_reference: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    reference = measurement.retrained(with_reference)
    monkeypatch.setattr(measurement, "run_logits", lambda run: (reference.train.logits, reference.test.logits))
    found = numbers(measured(finished(with_reference, epochs=0)).result)
    best = {"average_gap": 0, "tug_of_war": 1, "tug_of_war_membership": 1, "agreement": 1, "activation_distance": 0, "kl": 0}
    best |= {"w1_classes": 0, "neighbour_gap": 0, "neighbour_tv": 0, "advantage": 0, "forget": 0, "membership": 1}
    assert {key: found[key] for key in best} == pytest.approx(best, abs=1e-9)


def test_gaps_and_distances_are_those_of_the_metrics(with_reference: Problem) -> None:
    found = measured(finished(with_reference, epochs=2, batch_size=16))
    result, reference = found.result, measurement.retrained(with_reference)
    sides = [result["accuracies"][name] | {"membership": result["membership"][name]} for name in ("run", "retrained")]
    assert result["gaps"]["run"]["tug_of_war"] == gaps.tug_of_war(*sides)
    assert "test_other" in sides[0]
    run = measurement.run_logits(found.run)
    t = [neighbour.shares(z, with_reference.test.labels, (SANDAL,)) for z in (run[1], reference.test.logits)]
    nearest = neighbour.nearest_class(reference.train.logits[with_reference.split.forget], (SANDAL,))
    assert result["neighbour"]["run"] == neighbour.compare(*t, nearest)._asdict()
    noise = incompetent_logits(with_reference, with_reference.split.forget)
    assert result["zrf"]["run"] == pytest.approx(zrf(run[0][with_reference.split.forget], noise)._asdict())


def test_the_nearest_class_is_not_looked_for_among_very_many(with_reference: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measurement, "MOST_MACHINES", 8)
    found = measured(finished(with_reference, epochs=0))
    assert found.result["neighbour"] == {}
    assert "neighbour_gap" not in numbers(found.result)


def test_only_w1_of_class_numbers_leaves_the_forgotten_class_out_of_the_test_set(with_reference: Problem) -> None:
    reference = measurement.retrained(with_reference)
    pair = (with_reference.train.logits, with_reference.test.logits)
    found = divergences(with_reference, (reference.train.logits, reference.test.logits), pair)
    kept = with_reference.test.labels != SANDAL
    assert found["test"]["w1_classes"] == divergence.w1_classes(reference.test.logits[kept], pair[1][kept])
    assert found["test"]["w1_classes"] != divergence.w1_classes(reference.test.logits, pair[1])
    assert found["test"]["agreement"] == divergence.agreement(reference.test.logits, pair[1])


def test_the_table_of_numbers_has_the_names_of_the_registry(with_reference: Problem) -> None:
    result = measured(finished(with_reference, epochs=1, batch_size=16)).result
    run, retrained = numbers(result), numbers(result, "retrained")
    assert set(run) <= set(METRICS)
    assert run["membership"] == result["membership"]["run"]
    assert run["membership_entropy"] == result["attacks"]["run"]["entropy"]
    assert run["kl"] == result["divergence"]["run"]["test"]["kl"]
    assert {"average_gap", "zrf_js", "neighbour_tv", "logistic", "forget", "advantage", "tpr_at_1_fpr"} <= set(run)
    assert "average_gap" not in retrained
    assert retrained["forget"] == 0.0
    assert all(isinstance(value, float) and math.isfinite(value) for value in run.values())
    assert numbers({}) == {}


def test_attacks_on_the_stored_models_are_not_repeated(with_reference: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    run, asked = finished(with_reference, epochs=1, batch_size=16), []
    monkeypatch.setattr(measurement, "attacks", lambda problem, logits: asked.append(1) or attacks(problem, logits))
    first = measured(run).result
    assert len(asked) == 3
    assert measured(run).result["attacks"] == first["attacks"]
    assert len(asked) == 4


def test_stop_between_any_two_parts_keeps_what_came_before(with_reference: Problem) -> None:
    run = finished(with_reference, epochs=1, batch_size=16)
    steps = len(list(Measurement(run)))
    for stop in range(steps - 1):
        found = Measurement(run)
        for number, _ in enumerate(found):
            if number == stop:
                found.cancel()
        assert found.outcome.state == "cancelled"
        assert len(found.result["attacks"]) <= stop


# The parts.


def test_a_threshold_attack_compares_the_same_samples_where_it_can(with_reference: Problem, at_random: Problem) -> None:
    problem, reference = with_reference, measurement.retrained(with_reference)
    forget, model = problem.split.forget, (problem.train.logits, problem.test.logits)
    positives, negatives, words = threshold_sides(problem, model, (reference.train.logits, reference.test.logits))
    assert np.allclose(positives["loss"], problem.train.losses[forget].numpy(), atol=1e-5)
    assert negatives["loss"].min() > positives["loss"].max()
    assert "same samples" in words
    assert thresholds.worst_case(positives, negatives).advantage == 1.0
    _, of_class, words = threshold_sides(problem, model, None)
    assert np.allclose(of_class["loss"], problem.test.losses[problem.test.labels == SANDAL].numpy(), atol=1e-5)
    assert "test samples" in words
    assert len(threshold_sides(at_random, model, None)[1]["margin"]) == 200


def test_the_logistic_attack_compares_with_test_samples_of_the_same_kind(
    lenet: Problem, at_random: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[torch.Tensor] = []
    monkeypatch.setattr(membership, "logistic", lambda *losses: seen.extend(losses) or 0.5)
    assert attacks(lenet, (lenet.train.logits, lenet.test.logits))["logistic"] == 0.5
    of_class = lenet.test.labels == SANDAL
    assert torch.allclose(seen[0], lenet.train.losses[lenet.split.forget].double(), atol=1e-6)
    assert torch.allclose(seen[1], lenet.test.losses[of_class].double(), atol=1e-6)
    assert len(same_kind(at_random)) == 200


def test_attacks_say_nothing_where_there_is_too_little(tiny: object) -> None:
    few = imu_core.problem("tiny", model="lenet5", forget="ids:1-3")
    found = attacks(few, (few.train.logits, few.test.logits))
    assert "logistic" not in found
    assert set(found) >= {"correctness", "entropy", "modified_entropy", "training_privacy"}
    result = measured(finished(few, epochs=1)).result
    assert (result["neighbour"], result["gaps"], result["divergence"]) == ({}, {}, {})


def test_sides_of_the_attack_are_cut_evenly(lenet: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    monkeypatch.setattr(measurement, "LARGEST", 20)
    monkeypatch.setattr(membership, "svc", lambda *sides, feature: sizes.extend(map(len, sides)) or 0.0)
    attacks(lenet, (lenet.train.logits, lenet.test.logits))
    assert sizes == [20, 20, 20, 20, 40, 40] * 3
    index = torch.arange(100, 1100)
    assert spread(index, 5).tolist() == [100, 349, 599, 849, 1099]
    assert spread(index, 1000) is index


def test_features_attacked_are_those_of_the_metric(lenet: Problem) -> None:
    logits = lenet.train.logits, lenet.test.logits
    others = lenet.test.labels != SANDAL
    members = lenet.split.retain[: int(others.sum())]
    sides = (logits[0][members], lenet.train.labels[members], logits[1][others], lenet.test.labels[others])
    forget = logits[0][lenet.split.forget], lenet.train.labels[lenet.split.forget]
    found = attacks(lenet, logits)
    for feature in ("correctness", "entropy", "modified_entropy"):
        assert found[feature] == membership.svc(*sides, *forget, feature=feature)
    true = [F.softmax(z, 1).gather(1, y[:, None])[:, 0] for z, y in (sides[:2], sides[2:])]
    assert found["training_privacy"] == membership.training_privacy(*true)


def test_the_incompetent_network_is_the_same_every_time_and_knows_nothing(lenet: Problem) -> None:
    index = torch.arange(200)
    one = incompetent_logits(lenet, index)
    assert torch.equal(one, incompetent_logits(lenet, index))
    assert float((one.argmax(1) == lenet.train.labels[:200]).float().mean()) < 0.4
