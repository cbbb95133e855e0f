"""Attacks that train: against scikit-learn and hand-written loops, with their controls, stoppable, and with clean hands."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from conftest import same_bits
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from torch.nn import functional as F

import imu_core
from imu_core import runtime
from imu_core.errors import ConfigError, DataError
from imu_core.evaluation import attacks, probe, relearning
from imu_core.evaluation.attacks import RANDOM_HEAD, UNTRAINED, Attack, same_backbone, with_head
from imu_core.evaluation.probe import Probe
from imu_core.evaluation.relearning import Relearn
from imu_core.evaluation.shadow_models import ShadowAttack
from imu_core.methods import METHODS, Method, Objective, View, needs
from imu_core.metrics import thresholds
from imu_core.metrics.lira import u_lira
from imu_core.models.head import find_head
from imu_core.problems.features import compute
from imu_core.problems.reference import Reference
from imu_core.records.run import Features, Problem, RunConfig
from imu_core.unlearning.run import Run

GENTLE = RunConfig(epochs=2, batch_size=16, learning_rate=0.1)


def finished(problem: Problem, config: RunConfig = GENTLE) -> Run:
    run = imu_core.unlearn(problem, config)
    list(run)
    return run


def carried_out(attack: Attack) -> Attack:
    """`attack`, iterated to its end: fractions only rise and end at 1."""
    fractions = [fraction for fraction, _ in attack]
    assert attack.outcome.state == "done", attack.outcome.reason
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    return attack


@pytest.fixture(scope="module")
def at_random(tiny: object) -> Problem:
    """Forget 40 random samples of the tiny set."""
    return imu_core.problem("tiny", model="lenet5", forget="random:10%,seed=1")


@pytest.fixture(autouse=True)
def clean_hands(lenet: Problem) -> object:
    """No attack may change the shared model or the features, or draw from torch's global generator."""
    shared = [lenet.train.Z, lenet.test.Z, lenet.train.logits, lenet.split.retain]
    before = copy.deepcopy(lenet.model.state_dict()), [tensor.clone() for tensor in shared]
    drawn = torch.get_rng_state()
    yield
    assert torch.equal(drawn, torch.get_rng_state()), "the global generator was used"
    assert same_bits(before[0], lenet.model.state_dict())
    assert all(torch.equal(old, new) for old, new in zip(before[1], shared, strict=True))
    assert not any(p.requires_grad for p in lenet.model.parameters())


def stopped_after(attack: Attack, steps: int) -> Attack:
    for number, _ in enumerate(attack):
        if number == steps:
            attack.cancel()
        assert number <= steps, "it went on after Stop"
    assert attack.outcome.state == "cancelled"
    return attack


# The probe.


def test_a_probe_ends_where_logistic_regression_does(lenet: Problem) -> None:
    probe = carried_out(Probe(lenet, {"original": lenet.model}, steps=300))
    chosen, (Z, y) = probe._learn, (lenet.train.Z.double().numpy(), lenet.train.labels.numpy())
    mean, deviation = Z[chosen].mean(0), np.maximum(Z[chosen].std(0, ddof=1), 1e-6)
    oracle = LogisticRegression(C=1 / (1e-4 * len(chosen)), max_iter=5000, tol=1e-8)
    oracle.fit((Z[chosen] - mean) / deviation, y[chosen])
    right = oracle.predict((lenet.test.Z.double().numpy() - mean) / deviation) == lenet.test.labels.numpy()
    is_sandal = (lenet.test.labels == 5).numpy()
    assert probe.sizes == {"learn": 400, "forgotten": 20, "others": 180}
    assert probe.numbers["original"]["probe_forgotten"] == pytest.approx(right[is_sandal].mean(), abs=0.051)
    assert probe.numbers["original"]["probe_others"] == pytest.approx(right[~is_sandal].mean(), abs=0.02)


def test_a_run_on_the_head_leaves_the_probe_what_it_was(lenet: Problem) -> None:
    run = finished(lenet)
    probe = carried_out(Probe(lenet, {"original": lenet.model, "run": run.model()}, steps=5))
    assert probe.result["run"] == probe.result["original"]
    assert run.points[-1].accuracies["test_forgotten"] < 0.5 < probe.numbers["run"]["probe_forgotten"]
    assert [point["step"] for point in probe.result["run"]] == list(range(6))


def test_features_that_lost_the_class_are_found_out(lenet: Problem) -> None:
    """A backbone that maps every image to the same features knows nothing, and the probe says so."""
    empty = copy.deepcopy(lenet.model)
    with torch.no_grad():
        for parameter in empty.parameters():
            parameter.zero_()
    probe = carried_out(Probe(lenet, {"empty": empty}, steps=5))
    assert probe.numbers["empty"]["probe_others"] < 0.2
    assert probe.numbers[UNTRAINED]["probe_others"] > 0.4  # random features are worth more than one would think


def test_all_models_are_probed_with_the_same_samples_and_another_seed_draws_others(lenet: Problem) -> None:
    one, again, other = (Probe(lenet, {"original": lenet.model}, samples=50, steps=3, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(one._learn, again._learn)
    assert not torch.equal(one._learn, other._learn)
    assert len(one._learn.unique()) == 50
    assert carried_out(one).result == carried_out(again).result
    assert one.result != carried_out(other).result


def test_without_a_class_the_probe_never_learns_the_forget_set(at_random: Problem) -> None:
    probe = carried_out(Probe(at_random, {"original": at_random.model}, steps=3))
    forget = at_random.split.forget
    assert not torch.isin(probe._learn, forget).any()
    assert probe.sizes == {"learn": 360, "forgotten": 40, "others": 200}
    part, index = probe._asked["forgotten"]
    assert part == "train"
    assert torch.equal(index, forget)


def test_a_probe_does_not_start_at_any_class(tiny: object) -> None:
    """With zeros to start from, every first choice is class 0, and forgetting class 0 would seem undone at once."""
    first = imu_core.problem("tiny", model="lenet5", forget="class:T-shirt")
    probe = stopped_after(Probe(first, {"original": first.model}), 1)
    assert probe.result["original"][0]["forgotten"] < 0.9


def test_features_come_from_memory_only_where_the_backbone_is_the_same(lenet: Problem) -> None:
    probe, index = Probe(lenet, {"original": lenet.model}), torch.arange(7, 60)
    other = copy.deepcopy(lenet.model)
    assert probe._features(lenet.model, "train", index) is not None
    assert same_backbone(other, lenet.model)
    with torch.no_grad():
        find_head(other).weight.add_(1.0)
    assert same_backbone(other, lenet.model)
    with torch.no_grad():
        next(other.parameters()).add_(0.1)
    assert not same_backbone(other, lenet.model)
    expected, _ = compute(other, lenet.dataset.test.images[index])
    assert torch.allclose(probe._features(other, "test", index), expected, atol=1e-5)
    assert not torch.allclose(probe._features(lenet.model, "test", index), expected, atol=1e-2)


def test_running_statistics_belong_to_the_backbone(resnet: Problem) -> None:
    drifted = copy.deepcopy(resnet.model)
    next(m for m in drifted.modules() if isinstance(m, nn.BatchNorm2d)).running_mean.add_(0.1)
    assert not same_backbone(drifted, resnet.model)


@pytest.mark.parametrize("steps", [0, 1, 3, 8])
def test_a_stopped_probe_keeps_what_it_has(lenet: Problem, steps: int) -> None:
    probe = stopped_after(Probe(lenet, {"original": lenet.model}, steps=5), steps)
    assert sum(map(len, probe.result.values())) <= steps


@pytest.mark.parametrize("wrong", [{"samples": 3}, {"steps": 0}, {"steps": True}, {"models": {}}, {"models": {UNTRAINED: None}}])
def test_a_probe_refuses_what_it_cannot_do(lenet: Problem, wrong: dict) -> None:
    with pytest.raises(ConfigError):
        Probe(lenet, **{"models": {"original": lenet.model}, **wrong})


def test_a_probe_needs_test_samples_of_what_went(lenet: Problem) -> None:
    keep = lenet.test.labels != 5
    part = Features(lenet.test.Z[keep], lenet.test.labels[keep], lenet.test.logits[keep])
    with pytest.raises(DataError, match="no sample of the forgotten classes"):
        Probe(dataclasses.replace(lenet, test=part), {"original": lenet.model})


# Relearning.


def relearned_by_hand(head: nn.Linear, Z: Tensor, y: Tensor, steps: int) -> list[float]:
    """Forget accuracies before and after each of `steps` full-batch Adam steps on a head, written out in float64."""
    W, b = (p.detach().double().clone() for p in (head.weight, head.bias))
    Z, found = Z.double(), []
    moments = [[torch.zeros_like(p), torch.zeros_like(p)] for p in (W, b)]
    for t in range(1, steps + 2):
        logits = Z @ W.T + b
        found.append(float((logits.argmax(1) == y).double().mean()))
        R = (logits.softmax(1) - F.one_hot(y, len(b))) / len(y)
        for p, g, m in zip((W, b), (R.T @ Z, R.sum(0)), moments, strict=True):
            m[0] = 0.9 * m[0] + 0.1 * g
            m[1] = 0.999 * m[1] + 0.001 * g**2
            p -= 1e-3 * (m[0] / (1 - 0.9**t)) / ((m[1] / (1 - 0.999**t)).sqrt() + 1e-8)
    return found


def test_relearning_equals_adam_by_hand(lenet: Problem) -> None:
    run = finished(lenet, RunConfig(epochs=3, batch_size=16, learning_rate=0.05))
    attack = carried_out(Relearn(lenet, run, epochs=30))
    forget = lenet.split.forget
    Z, y = lenet.train.Z[forget], lenet.train.labels[forget]
    curve = [point["forget"] for point in attack.result["curves"]["run"]]
    assert curve == pytest.approx(relearned_by_hand(find_head(run.model()), Z, y, len(curve) - 1), abs=0.026)
    assert attack.result["most"] == 30
    assert curve[0] == pytest.approx(run.points[-1].accuracies["forget"])
    reached = [step for step, value in enumerate(curve) if value >= attack.result["target"]]
    assert reached == [attack.result["steps"]["run"]] == [len(curve) - 1]
    assert reached[0] > 5


def test_the_target_is_a_share_of_what_the_original_recognises(lenet: Problem) -> None:
    run = finished(lenet)
    forget = lenet.split.forget
    before = float((lenet.train.logits[forget].argmax(1) == lenet.train.labels[forget]).double().mean())
    assert Relearn(lenet, run).result["target"] == pytest.approx(0.95 * before)
    assert Relearn(lenet, run, alpha=0.5).result["target"] == pytest.approx(0.5 * before)


def test_what_was_never_forgotten_takes_no_step(lenet: Problem) -> None:
    attack = carried_out(Relearn(lenet, finished(lenet, RunConfig(epochs=0))))
    assert attack.result["steps"]["run"] == 0
    assert attack.result["words"]["run"] == "0 steps"
    assert attack.result["ain"] is None  # there is no retrained model here


def stored_model(monkeypatch: pytest.MonkeyPatch, problem: Problem, model: nn.Module) -> None:
    """Make `model` the stored retrained model of `problem`."""
    parts = [Features(p.Z, p.labels, find_head(model)(p.Z).detach()) for p in (problem.train, problem.test)]
    for room in (attacks, relearning):
        monkeypatch.setattr(room, "retrained_model", lambda problem: model)
    monkeypatch.setattr(attacks, "retrained", lambda problem: Reference({}, *parts, {}))


def test_ain_is_the_ratio_of_the_two_numbers_of_steps(lenet: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    mild, thorough = (finished(lenet, RunConfig(epochs=3, batch_size=16, learning_rate=rate)) for rate in (0.05, 0.08))
    stored_model(monkeypatch, lenet, thorough.model())
    attack = carried_out(Relearn(lenet, mild, epochs=100))
    steps = attack.result["steps"]
    assert 0 < steps["run"] < steps["retrained"]
    assert attack.result["ain"] == steps["run"] / steps["retrained"]
    same = carried_out(Relearn(lenet, thorough, epochs=100))
    assert same.result["ain"] == 1.0


def test_relearning_that_does_not_arrive_is_censored(lenet: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    run = finished(lenet)
    stored_model(monkeypatch, lenet, run.model())
    monkeypatch.setattr(relearning, "_RATE", 0.0)
    attack = carried_out(Relearn(lenet, run, epochs=4))
    assert attack.result["steps"] == {"run": None, "retrained": None, RANDOM_HEAD: None}
    assert attack.result["words"]["run"] == "more than 4 steps"
    assert attack.result["ain"] is None
    assert [point["step"] for point in attack.result["curves"]["run"]] == list(range(5))


@pytest.mark.parametrize("scope", ["last:1", "all"])
def test_relearning_over_images_starts_where_the_run_ended(lenet: Problem, scope: str) -> None:
    run = finished(lenet)
    attack = carried_out(Relearn(lenet, run, scope=scope, epochs=3))
    assert attack.result["curves"]["run"][0]["forget"] == pytest.approx(run.points[-1].accuracies["forget"], abs=0.026)
    assert Relearn(lenet, run).scope == "head"
    over_features = carried_out(Relearn(lenet, run, epochs=3)).result["curves"]["run"]
    assert attack.result["curves"]["run"] != over_features


def test_relearning_can_use_all_samples(at_random: Problem) -> None:
    run = finished(at_random)
    attack = carried_out(Relearn(at_random, run, data="all", epochs=2))
    assert attack.result["most"] == 2 * math.ceil(400 / 256)
    assert attack.result["curves"]["run"][0]["forget"] == pytest.approx(run.points[-1].accuracies["forget"])


def test_the_order_of_relearning_is_the_same_for_every_model(lenet: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    run = finished(lenet)
    stored_model(monkeypatch, lenet, run.model())
    monkeypatch.setattr(relearning, "_BATCH", 16)
    attack = carried_out(Relearn(lenet, run, epochs=2))
    assert attack.result["curves"]["run"] == attack.result["curves"]["retrained"]
    assert carried_out(Relearn(lenet, run, epochs=2)).result == attack.result
    assert attack.result["most"] == 6


@pytest.mark.parametrize("steps", [0, 1, 4, 13])
def test_stopped_relearning_keeps_what_it_has(lenet: Problem, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relearning, "_RATE", 1e-6)
    attack = stopped_after(Relearn(lenet, finished(lenet)), steps)
    assert sum(map(len, attack.result["curves"].values())) <= steps


def test_relearning_refuses_what_does_not_fit(lenet: Problem, at_random: Problem) -> None:
    run = finished(lenet)
    with pytest.raises(ConfigError, match="another problem"):
        Relearn(at_random, run)
    with pytest.raises(ConfigError, match="not ended"):
        Relearn(lenet, imu_core.unlearn(lenet, GENTLE))
    for wrong in ({"alpha": 1.5}, {"epochs": 0}, {"data": "none"}, {"scope": "feet"}):
        with pytest.raises(ConfigError):
            Relearn(lenet, run, **wrong)


# Shadow heads.


def test_shadows_tell_what_was_trained_from_what_was_not(lenet: Problem) -> None:
    attack = carried_out(ShadowAttack(lenet, RunConfig(epochs=0), shadows=4))
    assert attack.result["shadows"] == 4
    assert attack.result["auc"] > 0.95
    assert {name: attack.result[name] for name in attack.result["before"]} == attack.result["before"]  # nothing was unlearned
    assert "4 pairs" in attack.result["words"]


def test_the_numbers_are_those_of_the_margins(lenet: Problem) -> None:
    attack = carried_out(ShadowAttack(lenet, GENTLE, shadows=3))
    stacks = {name: torch.stack(values) for name, values in attack.margins.items()}
    assert all(values.shape == (3, 40) for values in stacks.values())
    found = u_lira(stacks["unlearned"], stacks["never"])
    assert {name: attack.result[name] for name in found._fields} == found._asdict()
    assert attack.result["before"] == u_lira(stacks["trained"], stacks["never"])._asdict()
    assert stacks["unlearned"].mean() < stacks["trained"].mean()
    assert carried_out(ShadowAttack(lenet, GENTLE, shadows=3)).result == attack.result
    assert carried_out(ShadowAttack(lenet, GENTLE, shadows=3, seed=1)).result != attack.result


@pytest.mark.slow(reason="many heads; the default run checks their numbers")
def test_heads_that_never_saw_the_forget_set_cannot_be_told_apart(at_random: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same attack where "unlearning" gives a head trained on another half of the retain set, without the forget set."""
    retain = at_random.split.retain

    def other_half(self: ShadowAttack, head: nn.Linear, half: Tensor, k: int) -> nn.Linear:
        return self._fit(retain[torch.randperm(len(retain), generator=runtime.generator(99, k))[: len(half)]])

    monkeypatch.setattr(ShadowAttack, "_unlearn", other_half)
    attack = carried_out(ShadowAttack(at_random, GENTLE, shadows=12))
    assert attack.result["auc"] == pytest.approx(0.5, abs=0.08)
    assert attack.result["balanced_accuracy"] == pytest.approx(0.5, abs=0.08)
    assert attack.result["before"]["auc"] > 0.6


def test_a_shadow_head_is_at_its_optimum(lenet: Problem) -> None:
    index = lenet.split.retain[:200]
    head = ShadowAttack(lenet, GENTLE)._fit(index)
    W, b = (p.detach().double().requires_grad_(True) for p in (head.weight, head.bias))
    loss = F.cross_entropy(lenet.train.Z[index].double() @ W.T + b, lenet.train.labels[index]) + 2.5e-4 * W.square().sum()
    loss.backward()
    assert float(loss.detach()) < 0.1
    assert float(W.grad.abs().max()) < 2e-3
    assert float(head.weight[5].abs().max()) > 0  # also the class that is missing here gets its row
    assert not torch.isin(lenet.train.labels[index], torch.tensor([5])).any()


def fake(monkeypatch: pytest.MonkeyPatch, start: Callable[[View, RunConfig], Objective], *wants: str) -> RunConfig:
    monkeypatch.setitem(METHODS, "fake", Method("Fake", "fake", start, needs(*wants), "nowhere"))
    return RunConfig(method="fake", epochs=0)


def test_a_shadow_method_sees_its_half_of_the_retain_set(lenet: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []

    def start(view: View, config: RunConfig) -> Objective:
        seen.append(view.retain.index)
        return Objective()

    carried_out(ShadowAttack(lenet, fake(monkeypatch, start, "forget", "retain"), shadows=3))
    assert [len(index) for index in seen] == [180] * 3
    assert all(torch.isin(index, lenet.split.retain).all() for index in seen)
    assert not torch.equal(seen[0], seen[1])


def test_a_problem_with_another_head_is_that_problem_otherwise(lenet: Problem) -> None:
    head = probe._fresh_head(lenet.train.Z.shape[1], 10, seed=0).requires_grad_(False)
    other = with_head(lenet, head, lenet.split.retain[:50])
    assert torch.allclose(other.train.logits, head(lenet.train.Z))
    assert torch.equal(other.head.weight, head.weight)
    assert same_backbone(other.model, lenet.model)
    assert other.split.forget is lenet.split.forget
    assert len(other.split.retain) == 50


@pytest.mark.parametrize("steps", [0, 1, 2, 4, 7])
def test_stopped_shadows_keep_complete_pairs(lenet: Problem, steps: int) -> None:
    attack = stopped_after(ShadowAttack(lenet, GENTLE, shadows=3), steps)
    assert attack.result["shadows"] == steps // 3
    assert ("auc" in attack.result) == (steps >= 6)


def test_stop_reaches_the_run_inside(lenet: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cancelled from another thread while a shadow is being unlearned: the run inside ends, and nothing is counted."""
    attacking: list[ShadowAttack] = []

    class Stopper(Objective):
        def __call__(self, batch: object) -> Tensor:
            attacking[0].cancel()
            return (batch.logits * 0).sum()

    config = dataclasses.replace(fake(monkeypatch, lambda view, config: Stopper(), "forget"), epochs=400, batch_size=1)
    attacking.append(ShadowAttack(lenet, config, shadows=2))
    list(attacking[0])
    assert attacking[0].outcome.state == "cancelled"
    assert attacking[0]._part._step_done == 1
    assert attacking[0].result == {"shadows": 0}


def test_shadows_that_lose_their_numbers_end_with_a_sentence(lenet: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(Objective):
        def __call__(self, batch: object) -> Tensor:
            return (batch.logits * torch.inf).sum()

    config = dataclasses.replace(fake(monkeypatch, lambda view, config: Broken(), "forget"), epochs=1)
    attack = ShadowAttack(lenet, config, shadows=2)
    list(attack)
    assert attack.outcome.state == "failed"
    assert attack.outcome.reason.startswith("A shadow head could not be unlearned: The loss stopped being a number")


@pytest.mark.parametrize("wrong", [{"scope": "all"}, {"bn": "train"}, {"augment": True}])
def test_shadows_are_for_runs_on_the_head(lenet: Problem, wrong: dict) -> None:
    with pytest.raises(ConfigError, match="shadow heads"):
        ShadowAttack(lenet, RunConfig(**wrong))


@pytest.mark.parametrize("what", ["statistics", "training_log"])
def test_methods_that_read_the_original_training_have_no_shadow(
    lenet: Problem, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match=what.replace("_", " ")):
        ShadowAttack(lenet, fake(monkeypatch, lambda view, config: Objective(), "forget", what))


@pytest.mark.parametrize("shadows", [1, 300, "many"])
def test_the_number_of_shadows_has_bounds(lenet: Problem, shadows: object) -> None:
    with pytest.raises(ConfigError, match="shadows"):
        ShadowAttack(lenet, GENTLE, shadows=shadows)


def test_margins_are_the_logarithm_of_the_odds(lenet: Problem) -> None:
    p = lenet.train.logits[:50].double().softmax(1).gather(1, lenet.train.labels[:50, None])[:, 0]
    sure = p < 1 - 1e-9
    expected = (p / (1 - p)).log()
    assert torch.allclose(thresholds.margins(lenet.train.logits[:50], lenet.train.labels[:50])[sure], expected[sure])
