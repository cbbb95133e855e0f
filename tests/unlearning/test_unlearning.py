"""The one loop: equal to independent hand-written loops, bit for bit repeatable, stoppable, and blind to what it must not see."""

from __future__ import annotations

import copy
import dataclasses
import gc
import hashlib
import importlib
import itertools
import json
import math
import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from conftest import same_bits
from torch import Tensor
from torch.nn import functional as F

import imu_core
from imu_core import methods, runtime
from imu_core.errors import ConfigError, ImuError
from imu_core.influence import head_scores
from imu_core.methods import METHODS, Method, Objective, View, needs, workspace
from imu_core.methods.base import SEES, Batch
from imu_core.methods.families.ascent import WeightedAscent
from imu_core.methods.families.relabel import _DRAW, wrong_labels
from imu_core.methods.presets import PRESETS
from imu_core.methods.workspace import Workspace
from imu_core.models.head import find_head
from imu_core.models.inference import to_input
from imu_core.models.networks import build
from imu_core.problems.features import compute
from imu_core.problems.sets import hits
from imu_core.records.run import Features, Point, Problem, RunConfig, Trajectory
from imu_core.unlearning import evaluator
from imu_core.unlearning.batches import _SHUFFLE
from imu_core.unlearning.evaluator import Evaluation
from imu_core.unlearning.run import Run, unlearn
from imu_core.unlearning.sequence import remember
from imu_core.weights import sample_weights

Cheap = Callable[..., RunConfig]
SCOPES = ("head", "last:1", "all")


def finished(problem: Problem, config: RunConfig) -> Run:
    run = unlearn(problem, config)
    for _ in run:
        pass
    return run


def state(run: Run) -> dict[str, Tensor]:
    return run.model().state_dict()


def parameters(run: Run) -> dict[str, Tensor]:
    return {name: p.detach() for name, p in run.model().named_parameters()}


def changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    return {name for name in before if before[name].numpy().tobytes() != after[name].numpy().tobytes()}


def head_of(run: Run) -> tuple[Tensor, Tensor]:
    head = find_head(run.model())
    return head.weight.detach(), head.bias.detach()


def order(n: int, seed: int, epoch: int) -> Tensor:
    return torch.randperm(n, generator=runtime.generator(seed, _SHUFFLE, epoch))


# Independent loops.


def ascent_in_numpy(problem: Problem, config: RunConfig, weights: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Weighted gradient ascent on the head in float64, written out: softmax, residual, outer product, momentum, decay."""
    index = problem.split.forget
    Z, y = problem.train.Z[index].double().numpy(), problem.train.labels[index].numpy()
    W, b = (p.detach().double().numpy().copy() for p in (problem.head.weight, problem.head.bias))
    weights = np.ones(len(y)) if weights is None else weights
    VW, Vb = np.zeros_like(W), np.zeros_like(b)
    for epoch in range(config.epochs):
        for rows in order(len(y), config.seed, epoch).split(config.batch_size):
            z, w = Z[rows], weights[rows.numpy()]
            logits = z @ W.T + b
            R = np.exp(logits - logits.max(1, keepdims=True))
            R /= R.sum(1, keepdims=True)
            R[np.arange(len(rows)), y[rows]] -= 1
            R *= -(w / w.sum())[:, None]  # minus: up the hill
            GW = R.T @ z + config.l1 * np.sign(W)
            Gb = R.sum(0) + config.l1 * np.sign(b)
            if config.optimizer == "normalised":
                length = math.sqrt((GW**2).sum() + (Gb**2).sum())
                GW, Gb = GW / length, Gb / length
            GW, Gb = GW + config.weight_decay * W, Gb + config.weight_decay * b
            VW, Vb = config.momentum * VW + GW, config.momentum * Vb + Gb
            W, b = W - config.learning_rate * VW, b - config.learning_rate * Vb
    return W, b


@pytest.mark.parametrize(
    "settings",
    [
        {"epochs": 1},
        {"epochs": 3, "momentum": 0.9, "weight_decay": 5e-4},
        {"epochs": 2, "optimizer": "normalised"},
        {"epochs": 2, "l1": 1e-3},
        {"epochs": 2, "batch_size": 1000},
    ],
    ids=str,
)
def test_gradient_ascent_equals_a_loop_in_numpy(settings: dict, lenet: Problem, cheap: Cheap) -> None:
    config = cheap(method="ga", seed=3, **settings)
    W, b = head_of(finished(lenet, config))
    expected_W, expected_b = ascent_in_numpy(lenet, config)
    assert np.allclose(W.numpy(), expected_W, atol=1e-5)
    assert np.allclose(b.numpy(), expected_b, atol=1e-5)
    assert not np.allclose(W.numpy(), lenet.head.weight.numpy(), atol=1e-4)


def test_imu_equals_weighted_ascent_in_numpy(lenet: Problem, cheap: Cheap) -> None:
    config = cheap(method="imu", estimator="diagonal_ggn", damping=0.1, top=0.6, clip_quantile=0.9)
    index = lenet.split.forget
    influence = head_scores(
        lenet.train.Z[index], lenet.train.labels[index], lenet.head.weight, lenet.head.bias, estimator="diagonal_ggn", damping=0.1
    )
    influence = dataclasses.replace(influence, scores=influence.scores * 40 / 400, total=400)  # N is the training set
    weights = sample_weights(influence, top=0.6, clip_quantile=0.9).numpy()
    W, b = head_of(finished(lenet, config))
    expected_W, expected_b = ascent_in_numpy(lenet, config, weights)
    assert np.allclose(W.numpy(), expected_W, atol=1e-5)
    assert np.allclose(b.numpy(), expected_b, atol=1e-5)


@pytest.mark.parametrize("psi", ["tanh", "softmax"])
def test_the_scores_are_scaled_by_the_training_set(psi: str, lenet: Problem, cheap: Cheap) -> None:
    """N s does not depend on N, so what a weight is must not depend on how many samples are kept."""
    run = finished(lenet, cheap(psi=psi, epochs=0))
    index = lenet.split.forget
    influence = head_scores(lenet.train.Z[index], lenet.train.labels[index], lenet.head.weight, lenet.head.bias)
    assert run.points[0].weights["largest"] == pytest.approx(float(sample_weights(influence, psi=psi).max()))


def ascent_through_the_model(problem: Problem, config: RunConfig, scope: set[str]) -> dict[str, Tensor]:
    """Gradient ascent through the whole network on images, in eval mode, in plain torch."""
    model = own_copy(problem)
    opened = [(name, p) for name, p in model.named_parameters() if not scope or any(name.startswith(s) for s in scope)]
    index = problem.split.forget
    for epoch in range(config.epochs):
        for rows in order(len(index), config.seed, epoch).split(config.batch_size):
            logits = model(to_input(problem.dataset.train.images[index[rows]]))
            loss = -F.cross_entropy(logits, problem.dataset.train.labels[index[rows]])
            for (_, p), g in zip(opened, torch.autograd.grad(loss, [p for _, p in opened]), strict=True):
                p.data -= config.learning_rate * g
    return {name: p.detach() for name, p in model.named_parameters()}


def own_copy(problem: Problem) -> torch.nn.Module:
    return copy.deepcopy(problem.model).eval().requires_grad_(True)


@pytest.mark.parametrize(("scope", "prefixes"), [("head", {"head."}), ("last:1", {"head.", "blocks.2."}), ("all", set())])
def test_every_scope_equals_a_plain_loop_through_the_whole_model(
    scope: str, prefixes: set[str], resnet: Problem, cheap: Cheap
) -> None:
    config = cheap(method="ga", scope=scope, epochs=1, learning_rate=0.02)
    expected = ascent_through_the_model(resnet, config, prefixes)
    found = parameters(finished(resnet, config))
    assert max(float((found[name] - expected[name]).abs().max()) for name in expected) < 1e-5


@pytest.mark.parametrize("method", ["imu", "ga", "npo", "simnpo", "rl", "delete", "finetune"])
def test_head_over_features_equals_head_over_images(method: str, lenet: Problem, cheap: Cheap) -> None:
    """LeNet-5 has no batch norm, so bn="train" changes nothing but the path: images through the whole model."""
    config = cheap(method=method, epochs=1)
    quick, slow = finished(lenet, config), finished(lenet, dataclasses.replace(config, bn="train"))
    assert quick.points[0].head is not None
    assert slow.points[0].head is None
    for one, other in zip(head_of(quick), head_of(slow), strict=True):
        assert torch.allclose(one, other, atol=1e-5)


# Preference optimisation.


def test_npo_equals_its_formula(lenet: Problem, cheap: Cheap) -> None:
    """Full batches: loss and gradient of the later steps from −(2/β) log σ(β(ℓ − ℓ₀)) = (2/β) log(1 + (π/π₀)^β), float64."""
    beta, rate = 0.7, 2.0
    points = list(unlearn(lenet, cheap(method="npo", beta=beta, learning_rate=rate, epochs=6, batch_size=1000)))
    index = lenet.split.forget
    Z, y = lenet.train.Z[index].double(), lenet.train.labels[index]

    def loss(W: Tensor, b: Tensor) -> Tensor:
        now, before = ((Z @ w.T + c).softmax(1)[torch.arange(len(y)), y] for w, c in ((W, b), original))
        return (2 / beta) * torch.log(1 + (now / before) ** beta).mean()

    original = tuple(p.double() for p in points[0].head)
    assert points[1].loss == pytest.approx(2 / beta * math.log(2))  # nothing has moved yet
    for before, after in itertools.pairwise(points[1:]):
        W, b = (p.double().requires_grad_(True) for p in before.head)
        expected = loss(W, b)
        assert after.loss == pytest.approx(float(expected.detach()), rel=1e-5)
        for p, q, g in zip(before.head, after.head, torch.autograd.grad(expected, [W, b]), strict=True):
            assert torch.allclose((p - q) / rate, g.float(), atol=1e-5)
    assert points[-1].loss < 0.9 * points[1].loss


def check_first_step(problem: Problem, config: RunConfig, loss: Callable[[Tensor], Tensor]) -> None:
    """Loss and gradient of the first full-batch step on the head, against `loss` of the logits in float64."""
    first, second = list(unlearn(problem, config))[:2]
    Z = problem.train.Z[problem.split.forget].double()
    W, b = (p.double().requires_grad_(True) for p in first.head)
    expected = loss(Z @ W.T + b)
    assert second.loss == pytest.approx(float(expected.detach()), rel=1e-5)
    for p, q, g in zip(first.head, second.head, torch.autograd.grad(expected, [W, b]), strict=True):
        assert torch.allclose((p - q) / config.learning_rate, g.float(), atol=1e-5)


@pytest.mark.parametrize("beta", [0.3, 1.0, 4.0])
def test_simnpo_equals_its_formula(beta: float, lenet: Problem, cheap: Cheap) -> None:
    y = lenet.train.labels[lenet.split.forget]
    config = cheap(method="simnpo", beta=beta, learning_rate=2.0, epochs=1, batch_size=1000)
    own = torch.arange(len(y)), y
    check_first_step(lenet, config, lambda logits: (2 / beta) * torch.log(1 + logits.softmax(1)[own] ** beta).mean())


def test_delete_equals_its_formula(lenet: Problem, cheap: Cheap) -> None:
    index = lenet.split.forget
    y, before = lenet.train.labels[index], lenet.train.logits[index].double().softmax(1)
    target = before.clone()
    target[torch.arange(len(y)), y] = 0
    target /= target.sum(1, keepdim=True)
    others = [[c for c in range(10) if c != int(label)] for label in y]

    def loss(logits: Tensor) -> Tensor:
        p = logits.softmax(1)
        rows = [sum(t[c] * torch.log(t[c] / row[c]) for c in rest) for t, row, rest in zip(target, p, others, strict=True)]
        return sum(rows) / len(rows)

    check_first_step(lenet, cheap(method="delete", learning_rate=0.5, epochs=1, batch_size=1000), loss)


def test_delete_has_forgotten_when_it_says_what_the_others_said(lenet: Problem, cheap: Cheap) -> None:
    run = finished(lenet, cheap(method="delete", learning_rate=0.01, epochs=400, batch_size=1000))
    assert run.points[-1].loss < 0.1 * run.points[1].loss
    assert run.points[-1].accuracies["forget"] < 0.1


def test_random_labels_are_wrong_and_uniform() -> None:
    labels = torch.arange(10).repeat(3000)
    drawn = wrong_labels(labels, 10, torch.Generator().manual_seed(0))
    counts = torch.zeros(10, 10)
    counts.index_put_((labels, drawn), torch.ones(len(labels)), accumulate=True)
    assert (counts.diagonal() == 0).all()
    off = counts[~torch.eye(10, dtype=torch.bool)]
    assert float(((off - 3000 / 9) ** 2 / (3000 / 9)).sum()) < 160  # chi-square with 80 degrees of freedom, beyond 1 in a million
    assert torch.equal(drawn, wrong_labels(labels, 10, torch.Generator().manual_seed(0)))
    assert set(wrong_labels(torch.tensor([0, 1] * 50), 2, torch.Generator()).tolist()) == {0, 1}


def test_rl_is_training_on_its_random_labels(lenet: Problem, cheap: Cheap) -> None:
    config = cheap(method="rl", learning_rate=0.5, epochs=1, batch_size=1000, seed=4)
    order = torch.randperm(40, generator=runtime.generator(4, _SHUFFLE, 0))
    y = torch.empty(40, dtype=torch.int64)
    y[order] = wrong_labels(lenet.train.labels[lenet.split.forget][order], 10, runtime.generator(4, _DRAW, 0))
    check_first_step(lenet, config, lambda logits: -logits.log_softmax(1)[torch.arange(40), y].mean())


def test_npo_begins_as_gradient_ascent(lenet: Problem, cheap: Cheap) -> None:
    one_step = {"epochs": 1, "batch_size": 1000}
    for one, other in zip(*(head_of(finished(lenet, cheap(method=m, **one_step))) for m in ("npo", "ga")), strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_augmented_npo_compares_with_the_original_on_the_same_flipped_image(lenet: Problem, cheap: Cheap) -> None:
    """At the first step nothing has moved, so every log-ratio is 0 whatever the flips; on hard samples a flip costs much."""
    hard = imu_core.problem("tiny", model="lenet5", forget="hardest:40")
    points = list(unlearn(hard, cheap(method="npo", augment=True, epochs=1, eval_every=1)))
    assert points[1].loss == pytest.approx(2 * math.log(2), rel=1e-5)


# Bits.


def test_uniform_weights_make_imu_gradient_ascent_bit_for_bit(lenet: Problem, cheap: Cheap) -> None:
    for settings in ({}, {"optimizer": "normalised", "momentum": 0.9}, {"weight_norm": "mean1", "l1": 1e-4}, {"update_every": 1}):
        imu = finished(lenet, cheap(method="imu", control="uniform", **settings))
        assert same_bits(state(imu), state(finished(lenet, cheap(method="ga", **settings)))), settings


def test_influence_weights_are_not_gradient_ascent(lenet: Problem, cheap: Cheap) -> None:
    assert not same_bits(state(finished(lenet, cheap(method="imu"))), state(finished(lenet, cheap(method="ga"))))


@pytest.mark.parametrize("optimizer", ["sgd", "normalised"])
@pytest.mark.parametrize("scope", ["head", "all"])
def test_learning_rate_zero_leaves_every_bit(scope: str, optimizer: str, resnet: Problem, cheap: Cheap) -> None:
    config = cheap(scope=scope, optimizer=optimizer, learning_rate=0.0, momentum=0.9, weight_decay=5e-4, epochs=1)
    run = finished(resnet, config)
    assert run.outcome.state == "done"
    assert same_bits(state(run), resnet.model.state_dict())


@pytest.mark.parametrize("scope", ["head", "all"])
def test_the_same_seed_gives_the_same_bits(scope: str, lenet: Problem, cheap: Cheap) -> None:
    runs = []
    for seed in (5, 5, 6):
        torch.manual_seed(len(runs))  # the global generator must not matter
        runs.append(state(finished(lenet, cheap(scope=scope, seed=seed, augment=scope == "all", epochs=1))))
    assert same_bits(runs[0], runs[1])
    assert not same_bits(runs[0], runs[2])


def test_a_run_leaves_the_global_generator_alone(lenet: Problem, cheap: Cheap) -> None:
    before = torch.random.get_rng_state()
    finished(lenet, cheap(control="random", augment=True, epochs=1))
    assert torch.equal(before, torch.random.get_rng_state())


# Scopes and batch norm.


@pytest.mark.parametrize(
    ("scope", "opened"), [("head", {"head"}), ("last:1", {"head", "blocks.2"}), ("last:2", {"head", "blocks.2", "blocks.1"})]
)
def test_a_scope_changes_its_blocks_and_nothing_else(scope: str, opened: set[str], resnet: Problem, cheap: Cheap) -> None:
    run = finished(resnet, cheap(method="ga", scope=scope, epochs=1))
    inside = {n for n, _ in resnet.model.named_parameters() if any(n.startswith(f"{block}.") for block in opened)}
    assert changed(resnet.model.state_dict(), state(run)) == inside


def test_scope_all_changes_every_parameter_and_no_buffer(resnet: Problem, cheap: Cheap) -> None:
    run = finished(resnet, cheap(method="ga", scope="all", epochs=1))
    assert changed(resnet.model.state_dict(), state(run)) == {n for n, _ in resnet.model.named_parameters()}


def test_training_mode_lets_running_statistics_drift_and_nothing_else_below_the_head(resnet: Problem, cheap: Cheap) -> None:
    run = finished(resnet, cheap(scope="head", bn="train", epochs=1))
    statistics = {n for n, _ in resnet.model.named_buffers() if "running" in n or "num_batches" in n}
    assert changed(resnet.model.state_dict(), state(run)) == statistics | {"head.weight", "head.bias"}


def test_judging_does_not_make_statistics_drift(resnet: Problem, cheap: Cheap) -> None:
    """Three steps with one look or with many: the same buffers."""
    rare, often = (finished(resnet, cheap(bn="train", epochs=1, eval_every=every)) for every in (1, 1000))
    assert same_bits(state(rare), state(often))


def test_flips_are_made_only_when_asked_for(lenet: Problem, cheap: Cheap) -> None:
    plain, again, flipped = (finished(lenet, cheap(bn="train", augment=a, epochs=1)) for a in (False, False, True))
    assert same_bits(state(plain), state(again))
    assert not same_bits(state(plain), state(flipped))


# Points.


def test_points_begin_before_the_first_step_and_end_in_full(lenet: Problem, cheap: Cheap) -> None:
    run = unlearn(lenet, cheap())
    assert run.outcome.state == "queued"
    points = list(run)
    assert [p.step for p in points] == list(range(7))
    assert [p.epoch for p in points] == pytest.approx([step / 3 for step in range(7)])
    assert points[0].loss is None
    assert all(p.full for p in points)
    assert (run.steps, run.sizes) == (6, {"forget": 40, "retain": 360, "test": 200})
    assert [p.seconds for p in points] == sorted(p.seconds for p in points)
    assert points[-1].seconds == pytest.approx(sum(run.phases.values()))


def test_any_point_at_head_scope_can_be_replayed(lenet: Problem, cheap: Cheap) -> None:
    for point in unlearn(lenet, cheap(learning_rate=0.3)):
        W, b = point.head
        train, test = (part.Z @ W.T + b for part in (lenet.train, lenet.test))
        hit = train.argmax(1) == lenet.train.labels
        test_hit = (test.argmax(1) == lenet.test.labels).double()
        is_sandal = lenet.test.labels == 5
        expected = {
            "forget": hit[lenet.split.forget].double().mean(),
            "retain": hit[lenet.split.retain].double().mean(),
            "test": test_hit.mean(),
            "test_other": test_hit[~is_sandal].mean(),
            "test_forgotten": test_hit[is_sandal].mean(),
        }
        assert point.accuracies == pytest.approx({name: float(value) for name, value in expected.items()})
        forget = train[lenet.split.forget]
        assert torch.equal(point.forget_predictions, forget.argmax(1))
        losses = F.cross_entropy(forget, lenet.train.labels[lenet.split.forget], reduction="none")
        assert torch.allclose(point.forget_losses, losses, atol=1e-5)


def test_points_at_wide_scopes_judge_the_model_as_it_is(resnet: Problem, cheap: Cheap) -> None:
    run = finished(resnet, cheap(scope="last:1", epochs=1))
    with torch.no_grad():
        logits = run.model()(to_input(resnet.dataset.test.images))
    last = run.points[-1]
    assert last.full
    assert last.head is None
    assert last.accuracies["test"] == pytest.approx(float((logits.argmax(1) == resnet.test.labels).double().mean()))


def test_wide_scopes_are_judged_by_subsets_in_between(lenet: Problem, cheap: Cheap, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imu_core.unlearning.evaluator.SUBSET", 20)
    run = finished(lenet, cheap(scope="all", learning_rate=0.0, epochs=1, eval_every=1))
    assert [p.full for p in run.points] == [False, False, False, True]
    assert len(run.points[0].forget_losses) == 20
    assert len(run.points[-1].forget_losses) == 40
    assert run.points[0].accuracies == run.points[2].accuracies  # the same samples every time
    for name in ("forget", "retain", "test"):
        in_twentieths = run.points[0].accuracies[name] * 20
        assert in_twentieths == pytest.approx(round(in_twentieths))


def test_runs_on_one_problem_are_judged_by_the_same_samples(
    lenet: Problem, cheap: Cheap, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imu_core.unlearning.evaluator.SUBSET", 20)

    def judged(problem: Problem, **settings: object) -> list[float]:
        return next(iter(unlearn(problem, cheap(scope="all", **settings)))).forget_losses.tolist()

    assert judged(lenet, method="ga", seed=1) == judged(lenet, method="npo", seed=2)
    assert judged(dataclasses.replace(lenet, seed=1)) != judged(lenet)


def test_a_test_set_without_the_forgotten_class_makes_no_invalid_record(lenet: Problem, cheap: Cheap) -> None:
    """There is nothing to average; whatever stands in its place must survive JSON, in which NaN does not exist."""
    kept = (lenet.test.labels != 5).nonzero()[:, 0]
    test = Features(lenet.test.Z[kept], lenet.test.labels[kept], lenet.test.logits[kept])
    run = finished(dataclasses.replace(lenet, test=test), cheap(epochs=1))
    assert run.points[-1].accuracies["test_other"] == run.points[-1].accuracies["test"]
    json.dumps(run.trajectory.to_dict(), allow_nan=False)


def test_large_heads_are_judged_at_fewer_steps(lenet: Problem, cheap: Cheap, monkeypatch: pytest.MonkeyPatch) -> None:
    config = cheap(epochs=30, learning_rate=1e-4)
    assert len(list(imu_core.unlearn(lenet, config))) == 91  # three batches an epoch, and the beginning
    monkeypatch.setattr("imu_core.unlearning.run._MOST_JUDGED", 1)
    found = list(imu_core.unlearn(lenet, config))
    assert [point.step for point in found] == [*range(11), *range(16, 90, 8), 90]
    assert found[-1].full


@pytest.mark.parametrize("method", ["ga", "imu", "npo", "scrub"])
@pytest.mark.parametrize("with_target", [False, True])
def test_heads_judged_together_are_judged_as_one_by_one(
    method: str, with_target: bool, lenet: Problem, cheap: Cheap, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps are taken ahead and judged in one product: every point, and the end, is that of a run which looks at each step."""
    config = cheap(method=method, epochs=7, learning_rate=0.05)
    together = finished(lenet, config)
    if with_target:  # one that is met in the middle of those that are judged together
        config = dataclasses.replace(config, stop_at=together.points[12].accuracies["forget"])
        together = finished(lenet, config)
    monkeypatch.setattr(evaluator, "_HEADS", 1)
    alone = finished(lenet, config)
    assert (len(together.points), together.outcome) == (len(alone.points), alone.outcome)
    assert together.outcome.reached == with_target
    for one, other in zip(together.points, alone.points, strict=True):
        assert (one.step, one.epoch, one.loss, one.accuracies, one.weights) == (
            other.step,
            other.epoch,
            other.loss,
            other.accuracies,
            other.weights,
        )
        assert torch.equal(one.forget_predictions, other.forget_predictions)
        torch.testing.assert_close(one.forget_losses, other.forget_losses)
    assert same_bits(state(together), state(alone))
    assert [point.seconds for point in together.points] == sorted(point.seconds for point in together.points)


def test_the_model_is_that_of_the_point_shown(lenet: Problem, cheap: Cheap) -> None:
    """Whoever looks at the model between two points finds the one that was judged, however far ahead the loop has gone."""
    run = unlearn(lenet, cheap(epochs=6))
    for point in run:
        assert torch.equal(head_of(run)[0], point.head[0])
        if point.step == 5:
            break
    assert "step 5" in run.outcome.reason
    assert torch.equal(head_of(run)[0], run.points[-1].head[0])


def test_steps_before_a_failure_stay_on_record(lenet: Problem, cheap: Cheap, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: WeightedAscent, batch: Batch) -> Tensor | None:
        if batch.step == 5:
            raise ConfigError("Five is too much.")
        return before(self, batch)

    before = WeightedAscent.__call__
    monkeypatch.setattr(WeightedAscent, "__call__", fail)
    run = finished(lenet, cheap(method="ga", epochs=6))
    assert (run.outcome.state, run.outcome.reason) == ("failed", "Five is too much.")
    assert [point.step for point in run.points] == [0, 1, 2, 3, 4, 5]


def test_hits_of_several_heads_are_those_of_argmax() -> None:
    """Ties go to the first of the largest, as argmax has it; nan is the largest of all."""
    logits = torch.tensor([[[1.0, 2.0, 2.0, math.nan], [1.0, 3.0, 2.0, 0.0], [0.0, 1.0, 2.0, 5.0]]]).repeat(2, 1, 1)
    for labels in itertools.product(range(3), repeat=4):
        truth = torch.tensor(labels)
        expected = logits.argmax(1) == truth
        assert torch.equal(evaluator._hits_of(logits.clone(), truth), expected)


def test_evaluations_are_thinned_as_asked(lenet: Problem, cheap: Cheap) -> None:
    assert [p.step for p in unlearn(lenet, cheap(eval_every=4))] == [0, 4, 6]
    long = finished(lenet, cheap(epochs=450, batch_size=16, learning_rate=1e-4))
    assert len(long.points) <= 1002
    assert long.points[-1].step == 1350


def test_no_epochs_is_one_full_look(resnet: Problem, cheap: Cheap) -> None:
    run = finished(resnet, cheap(scope="all", epochs=0))
    assert [(p.step, p.full) for p in run.points] == [(0, True)]
    assert run.outcome.state == "done"
    assert same_bits(state(run), resnet.model.state_dict())


def test_a_finished_run_replays_its_points(lenet: Problem, cheap: Cheap) -> None:
    run = unlearn(lenet, cheap())
    first, model = list(run), state(run)
    again = list(run)
    assert all(one is other for one, other in zip(first, again, strict=True))
    assert same_bits(state(run), model)


def test_a_model_before_the_run_is_a_sentence(lenet: Problem) -> None:
    with pytest.raises(ConfigError, match="not started"):
        unlearn(lenet).model()


def test_the_model_of_a_run_belongs_to_the_caller(lenet: Problem, cheap: Cheap) -> None:
    run = finished(lenet, cheap())
    before = state(run)
    with torch.no_grad():
        find_head(run.model()).weight.zero_()
    assert same_bits(state(run), before)
    assert not any(p.requires_grad for p in run.model().parameters())


@pytest.mark.parametrize("settings", [{}, {"scope": "last:1"}, {"bn": "train"}, {"method": "ga", "stop_at": 0.5}], ids=str)
def test_the_logits_of_a_run_are_those_of_its_final_model(settings: dict, resnet: Problem, cheap: Cheap) -> None:
    run = finished(resnet, cheap(epochs=1, batch_size=40, **settings))
    assert run.logits is not None
    for found, part in zip(run.logits, (resnet.dataset.train, resnet.dataset.test), strict=True):
        with torch.no_grad():
            expected = run.model()(to_input(part.images))
        assert torch.allclose(found, expected, atol=1e-4)


def test_a_run_that_was_left_early_has_no_final_logits(lenet: Problem, cheap: Cheap) -> None:
    run = unlearn(lenet, cheap())
    assert run.logits is None
    for _ in run:
        run.cancel()
    assert run.logits is None


# Weights over time.


def weight_shares(problem: Problem, config: RunConfig) -> list[float]:
    return [p.weights["effective_share"] for p in unlearn(problem, config)]


def test_scores_once_keep_their_weights(lenet: Problem, cheap: Cheap) -> None:
    assert len(set(weight_shares(lenet, cheap(epochs=3, learning_rate=0.3)))) == 1


def test_scores_every_epoch_change_with_the_epochs(lenet: Problem, cheap: Cheap) -> None:
    found = weight_shares(lenet, cheap(epochs=4, update_every=1))
    assert [found[i] != found[i + 1] for i in range(12)] == [i % 3 == 0 and i > 0 for i in range(12)]


def test_scores_every_second_epoch_change_every_second_epoch(lenet: Problem, cheap: Cheap) -> None:
    found = weight_shares(lenet, cheap(epochs=5, update_every=2))
    assert [i for i in range(15) if found[i] != found[i + 1]] == [6, 12]


def test_scores_every_iteration_change_every_time(lenet: Problem, cheap: Cheap) -> None:
    found = weight_shares(lenet, cheap(epochs=2, learning_rate=0.3, update_every="iteration"))
    assert [i for i in range(6) if found[i] != found[i + 1]] == [1, 2, 3, 4, 5]


def test_recomputed_scores_are_those_of_the_current_head(lenet: Problem, cheap: Cheap) -> None:
    points = list(unlearn(lenet, cheap(epochs=2, batch_size=1000, learning_rate=0.5, update_every=1)))
    index = lenet.split.forget
    influence = head_scores(lenet.train.Z[index], lenet.train.labels[index], *points[1].head, total=400)
    assert points[2].weights["largest"] == pytest.approx(float(sample_weights(influence).max()))


def test_recomputed_scores_at_wide_scope_use_the_current_features(resnet: Problem, cheap: Cheap) -> None:
    run = unlearn(resnet, cheap(scope="all", epochs=2, batch_size=1000, learning_rate=0.02, update_every=1, eval_every=1))
    points = iter(run)
    next(points)
    next(points)
    model = run.model()
    Z, _ = compute(model, resnet.dataset.train.images[resnet.split.forget])
    head = find_head(model)
    influence = head_scores(Z, resnet.train.labels[resnet.split.forget], head.weight, head.bias, total=400)
    assert next(points).weights["largest"] == pytest.approx(float(sample_weights(influence).max()))


def test_weight_norms_scale_the_step(lenet: Problem, cheap: Cheap) -> None:
    """A batch that holds everything: all the same. Two small steps of half the set each: `dataset` goes half as far."""

    def moved(norm: str, batch_size: int) -> Tensor:
        config = cheap(method="ga", weight_norm=norm, epochs=1, batch_size=batch_size, learning_rate=1e-3)
        return head_of(finished(lenet, config))[0] - lenet.head.weight

    for norm in ("dataset", "mean1"):
        assert torch.allclose(moved(norm, 40), moved("batch", 40), atol=1e-7)
    length = float(moved("batch", 20).norm())
    assert float(moved("mean1", 20).norm()) == pytest.approx(length, rel=1e-3)
    assert float(moved("dataset", 20).norm()) == pytest.approx(length / 2, rel=1e-2)


@pytest.mark.parametrize("scope", ["head", "all"])
def test_a_target_is_asked_of_as_many_samples_as_it_takes(
    scope: str, lenet: Problem, cheap: Cheap, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer is that of the whole forget set; far from the target, at wide scopes, a part of it says so."""
    monkeypatch.setattr(evaluator, "SUBSET", 4)
    hard = imu_core.problem("tiny", model="lenet5", forget="hardest:40")
    judge = Evaluation(Workspace(hard, cheap(scope=scope), lambda: None), lambda: False)
    looked: list[int] = []
    inside = judge._logits
    monkeypatch.setattr(judge, "_logits", lambda index, inputs: looked.append(len(index)) or inside(index, inputs))
    forget = hard.split.forget
    whole = float((hard.train.logits[forget].argmax(1) == hard.train.labels[forget]).double().mean())
    assert 0.1 < whole < 0.9
    for target in (0.0, whole - 0.5 / 40, whole, whole + 0.5 / 40, 1.0):
        looked.clear()
        assert judge.has_reached(target) == (whole <= target)
        far = scope == "all" and target in (0.0, 1.0)
        assert sum(looked) < 40 if far else sum(looked) == 40


@pytest.mark.parametrize("smallest", [1e-30, 1e-44, 1e-300, 5e-324])
def test_a_batch_of_almost_no_weight_takes_a_step_like_any_other(lenet: Problem, cheap: Cheap, smallest: float) -> None:
    """Softmax gives a batch weights of 1e-300 in all; divided in float32 they made the whole network not a number."""
    labels = torch.tensor([0, 1, 2])
    logits = torch.tensor([[2.0, 1.0, 0.0]] * 3, requires_grad=True)
    batch = Batch(torch.tensor([0, 1, 2]), torch.empty(0), labels, logits, 0, 0)
    weights = torch.tensor([smallest, 0.0, 4 * smallest, 1.0], dtype=torch.float64)
    WeightedAscent(None, cheap(method="imu", psi="softmax"), weights)(batch).backward()
    wanted = (logits.detach().double().softmax(1) - F.one_hot(labels, 3)) * torch.tensor([-0.2, 0.0, -0.8])[:, None]
    assert torch.allclose(logits.grad.double(), wanted, atol=1e-6)


def test_a_batch_without_weight_is_skipped(lenet: Problem, cheap: Cheap) -> None:
    run = finished(lenet, cheap(top=1e-9, epochs=1, batch_size=1))  # a single sample has all the weight
    losses = [p.loss for p in run.points[1:]]
    assert sum(loss is not None for loss in losses) == 1
    moved = [not torch.equal(a.head[0], b.head[0]) for a, b in itertools.pairwise(run.points)]
    assert moved == [loss is not None for loss in losses]


def test_no_helpful_sample_ends_as_failed_with_a_sentence(lenet: Problem, cheap: Cheap, monkeypatch: pytest.MonkeyPatch) -> None:
    real = methods.view.head_scores

    def harmful(*args: object, **settings: object) -> imu_core.Influence:
        found = real(*args, **settings)
        return dataclasses.replace(found, scores=-found.scores.abs())

    monkeypatch.setattr(methods.view, "head_scores", harmful)
    run = finished(lenet, cheap())
    assert run.outcome.state == "failed"
    assert "uniform" in run.outcome.reason


# Endings.


def test_stop_at_ends_at_the_first_step_at_or_below_the_target(lenet: Problem, cheap: Cheap) -> None:
    free = finished(lenet, cheap(epochs=100, learning_rate=0.1))
    run = finished(lenet, cheap(epochs=100, learning_rate=0.1, stop_at=0.5))
    first = next(p.step for p in free.points if p.accuracies["forget"] <= 0.5)
    assert run.points[-1].step == first > 1
    assert run.outcome.state == "done"
    assert "target" in run.outcome.reason
    assert run.points[-2].accuracies["forget"] > 0.5 >= run.points[-1].accuracies["forget"]


def test_a_target_that_holds_from_the_start_needs_no_step(lenet: Problem, cheap: Cheap) -> None:
    """The hardest samples are misclassified already."""
    hard = imu_core.problem("tiny", model="lenet5", forget="hardest:5")
    run = finished(hard, cheap(stop_at=0.0))
    assert run.points[0].accuracies["forget"] == 0.0
    assert len(run.points) == 1
    assert run.outcome.state == "done"


def test_a_target_that_is_not_reached_is_said(lenet: Problem, cheap: Cheap) -> None:
    run = finished(lenet, cheap(learning_rate=1e-6, stop_at=0.1))
    assert run.outcome.state == "done"
    assert "without reaching" in run.outcome.reason


def test_wide_scopes_end_at_the_target_with_a_full_point(resnet: Problem, cheap: Cheap, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imu_core.unlearning.evaluator.SUBSET", 30)
    run = finished(resnet, cheap(method="ga", scope="last:1", epochs=20, learning_rate=0.05, stop_at=0.3, eval_every=1))
    assert run.outcome.state == "done"
    assert "target" in run.outcome.reason
    assert run.points[-1].full
    assert len(run.points[-1].forget_losses) == 40
    assert [p.step for p in run.points] == list(range(len(run.points)))


@pytest.mark.parametrize("scope", ["head", "all"])
def test_a_huge_learning_rate_ends_as_diverged_with_a_reason(scope: str, lenet: Problem, cheap: Cheap) -> None:
    run = finished(lenet, cheap(method="ga", scope=scope, epochs=200, learning_rate=10.0, momentum=0.99))
    assert run.outcome.state == "diverged"
    assert "learning rate" in run.outcome.reason
    assert run.points[-1].step < 600
    assert run.points[-1].full


def test_not_a_number_ends_as_diverged_and_the_record_is_still_json(lenet: Problem, cheap: Cheap) -> None:
    """Without evaluations in between, only the loss itself can show that it has left the numbers."""
    run = finished(lenet, cheap(method="ga", scope="all", epochs=200, learning_rate=10.0, momentum=0.999, eval_every=100_000))
    assert run.outcome.state == "diverged"
    assert "number" in run.outcome.reason
    record = json.dumps(run.trajectory.to_dict(), allow_nan=False)  # NaN is not JSON; a browser cannot read it
    assert Trajectory.from_dict(json.loads(record)).outcome == run.outcome


def test_chance_is_no_sign_of_divergence_for_training_from_scratch(lenet: Problem, cheap: Cheap) -> None:
    run = finished(lenet, cheap(method="retrain", scope="all", learning_rate=1e-5, epochs=1, batch_size=64, eval_every=1))
    assert run.outcome.state == "done"
    assert run.points[-1].accuracies["test"] < 0.3


def test_cancel_from_within_ends_after_the_current_step(lenet: Problem, cheap: Cheap) -> None:
    whole = finished(lenet, cheap(epochs=5))
    run = unlearn(lenet, cheap(epochs=5))
    for point in run:
        if point.step == 4:
            run.cancel()
    assert (run.outcome.state, run.points[-1].step) == ("cancelled", 4)
    assert "step 4" in run.outcome.reason
    for one, other in zip(run.points, whole.points, strict=False):
        assert (one.step, one.loss, one.accuracies) == (other.step, other.loss, other.accuracies)
    assert torch.equal(head_of(run)[0], whole.points[4].head[0])


@pytest.mark.parametrize("scope", ["head", "all"])
def test_cancel_from_another_thread_leaves_a_valid_prefix(scope: str, lenet: Problem, cheap: Cheap) -> None:
    run = unlearn(lenet, cheap(scope=scope, epochs=500, batch_size=1, learning_rate=1e-6, eval_every=1))
    started = threading.Event()

    def work() -> None:
        for _ in run:
            started.set()

    worker = threading.Thread(target=work)
    worker.start()
    assert started.wait(30)
    run.cancel()
    worker.join(30)
    assert not worker.is_alive()
    assert run.outcome.state == "cancelled"
    assert 0 < len(run.points) < 20_000
    assert [p.step for p in run.points] == list(range(len(run.points)))
    assert Trajectory.from_dict(run.trajectory.to_dict()).outcome.state == "cancelled"


@pytest.mark.parametrize("scope", ["head", "all"])
def test_cancel_before_the_start_takes_no_step(scope: str, lenet: Problem, cheap: Cheap) -> None:
    run = unlearn(lenet, cheap(scope=scope))
    run.cancel()
    assert [p.step for p in run] in ([], [0])
    assert run.outcome.state == "cancelled"
    assert same_bits(state(run), lenet.model.state_dict())


def test_leaving_the_loop_early_is_a_stop(lenet: Problem, cheap: Cheap) -> None:
    """`for point in run: if …: break`, as notebooks do: the run must not say that it is running for ever."""
    run = unlearn(lenet, cheap())
    for point in run:
        if point.step == 2:
            break
    gc.collect()
    assert run.outcome.state == "cancelled"
    assert imu_core.after(run, "class:Bag").split.request == "class:Bag"


# What a method may see.


@pytest.fixture
def toy() -> Iterator[Callable[..., None]]:
    """Register a method for one test."""

    def register(start: Callable[[View, RunConfig], Objective], *seen: str, **settings: object) -> None:
        METHODS["toy"] = Method("Toy", "toy", start, needs(*seen), "this test", **settings)

    yield register
    METHODS.pop("toy", None)


class Still(Objective):
    """An objective whose gradient is zero."""

    def __call__(self, batch: methods.Batch) -> Tensor:
        return batch.losses().sum() * 0


ASK: dict[str, Callable[[View], object]] = {
    "forget": lambda view: view.forget,
    "retain": lambda view: view.retain,
    "statistics": lambda view: view.statistics,
    "importances of statistics": lambda view: view.importances,
    "initial_weights": lambda view: view.initial_weights,
    "influence": lambda view: view.influence(),
    "batches of forget": lambda view: list(view.batches("forget")),
    "batches of retain": lambda view: list(view.batches("retain")),
    "pixels of forget": lambda view: view.pixels("forget"),
    "pixels of retain": lambda view: view.pixels("retain"),
    "training_log": lambda view: view.training_log,
}


@pytest.mark.parametrize("asked", ASK)
def test_a_method_that_asks_for_more_than_it_declared_fails(asked: str, toy: Callable, lenet: Problem, cheap: Cheap) -> None:
    def start(view: View, config: RunConfig) -> Objective:
        ASK[asked](view)
        return Still()

    needed = {"influence": "forget"}.get(asked, asked.rpartition(" ")[2])
    toy(start, *[name for name in SEES if name != needed])
    run = finished(lenet, cheap(method="toy"))
    assert run.outcome.state == "failed"
    assert run.outcome.reason.startswith(f"Toy asked for '{needed}'"), "it is told as an error of the engine, not of its own"
    assert run.points == []
    toy(start, needed)
    assert finished(lenet, cheap(method="toy")).outcome.state == "done"


def test_asking_later_fails_as_well(toy: Callable, lenet: Problem, cheap: Cheap) -> None:
    class Curious(Objective):
        def __init__(self, view: View) -> None:
            self.view = view

        def __call__(self, batch: methods.Batch) -> Tensor:
            return self.view.retain.losses.mean() + batch.losses().mean()

    toy(lambda view, config: Curious(view), "forget")
    run = finished(lenet, cheap(method="toy"))
    assert run.outcome.state == "failed"
    assert [p.step for p in run.points] == [0]


def test_a_view_has_no_way_to_the_reference(toy: Callable, lenet: Problem, cheap: Cheap) -> None:
    seen: list[set[str]] = []

    def start(view: View, config: RunConfig) -> Objective:
        seen.append({name for name in dir(view) if not name.startswith("_")})
        return Still()

    toy(start, *SEES)
    finished(lenet, cheap(method="toy"))
    allowed = {
        "original",
        "whole_original",
        "total",
        "forget",
        "retain",
        "batches",
        "pixels",
        *SEES,
        "recipe",
        "options",
        "classes",
    }
    tools = {"module", "parameters", "names", "head", "fresh", "random_inputs", "judging", "raise_if_stopped"}
    assert seen[0] <= allowed | tools | {"original_losses", "influence", "importances"}


def test_a_set_is_seen_as_it_is(toy: Callable, lenet: Problem, cheap: Cheap) -> None:
    views: list[View] = []
    toy(lambda view, config: views.append(view) or Still(), "forget", "retain")
    finished(lenet, cheap(method="toy"))
    (view,) = views
    assert torch.equal(view.forget.index, lenet.split.forget)
    assert bool((view.forget.labels == 5).all())
    assert torch.equal(view.retain.losses, lenet.train.losses[lenet.split.retain])
    assert view.total == view.influence().total == 400


def test_what_the_published_methods_see_is_what_they_declare(lenet: Problem, cheap: Cheap) -> None:
    for name in ("imu", "ga", "npo", "simnpo", "rl", "boundary_shrink", "boundary_expand", "delete"):
        assert METHODS[name].needs(cheap(method=name)) == {"forget"}
    assert finished(lenet, cheap(epochs=0)).trajectory.saw == ("forget",)


def test_retain_batches_hold_no_forgotten_sample(toy: Callable, lenet: Problem, cheap: Cheap) -> None:
    seen: set[int] = set()

    class Spy(Still):
        def __call__(self, batch: methods.Batch) -> Tensor:
            seen.update(batch.labels.tolist())
            return super().__call__(batch)

    toy(lambda view, config: Spy(), "retain", stream="retain")
    assert finished(lenet, cheap(method="toy", epochs=1)).outcome.state == "done"
    assert seen == set(range(10)) - {5}


def test_a_method_without_gradient_in_the_head_refuses_it(toy: Callable, lenet: Problem, cheap: Cheap) -> None:
    toy(lambda view, config: Still(), "forget", head=False)
    with pytest.raises(ConfigError, match="last:1"):
        unlearn(lenet, cheap(method="toy"))
    assert finished(lenet, cheap(method="toy", scope="last:1", epochs=1)).outcome.state == "done"


def test_an_unknown_method_is_refused_at_once(lenet: Problem) -> None:
    with pytest.raises(ConfigError, match="imu, ga, npo"):
        unlearn(lenet, RunConfig(method="magic"))


# Every method in the registry.

# Settings with which a method does something to the tiny set, where its defaults would not.
EAGER: dict[str, dict[str, object]] = {
    "ssd": {"alpha": 0.1},
    "lfssd": {"alpha": 0.1},
    "iu_optml": {"samples": 30, "alpha": 0.01},
    "iu_woodfisher": {"samples": 30, "alpha": 0.001},
    "iau": {"eta": 0.001},
    "usgd": {"strength": 1e-5},
    "newton": {"scale": 0.01},
    "amnesiac_delta": {"strength": 0.001},
    "fisher": {"samples": 64},
}


WIDE = pytest.mark.slow(reason="every method keeps the contract on the head in the default run, and some do below it")
CASES = [
    pytest.param(name, scope, marks=() if scope == "head" or name in ("imu", "npo", "ssd", "scar") else WIDE)
    for name in METHODS
    for scope in SCOPES
]


@pytest.mark.sample(24, reason="a run each; every method takes part, the full run has every scope")
@pytest.mark.parametrize(("name", "scope"), CASES)
def test_every_method_keeps_the_contract(name: str, scope: str, lenet: Problem, cheap: Cheap) -> None:
    method = METHODS[name]
    config = cheap(method=name, scope=scope, epochs=1, learning_rate=0.01, batch_size=16, options=EAGER.get(name, {}))
    if method.trains_on_retain(config):
        config = dataclasses.replace(config, batch_size=64)
    shared = fingerprint(lenet)
    assert method.needs(config) <= set(SEES)
    assert method.title
    assert method.source
    if not (method.head if scope == "head" else method.wide):
        with pytest.raises(ConfigError):
            unlearn(lenet, config)
        return
    runs = [finished(lenet, config) for _ in range(2)]
    assert runs[0].outcome.state == "done", runs[0].outcome
    assert same_bits(state(runs[0]), state(runs[1]))
    assert changed(lenet.model.state_dict(), state(runs[0]))
    points = runs[0].points
    assert points[-1].full
    assert points[-1].step == runs[0].steps
    for point in points:
        assert {"forget", "retain", "test", "test_other", "test_forgotten"} <= point.accuracies.keys()
        assert all(0 <= value <= 1 for value in point.accuracies.values())
    record = json.loads(json.dumps(runs[0].trajectory.to_dict(), allow_nan=False))
    assert Trajectory.from_dict(record).to_dict() == record
    assert fingerprint(lenet) == shared
    stopped = unlearn(lenet, config)
    for _ in stopped:
        stopped.cancel()
    assert stopped.outcome.state == "cancelled"


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if not method.edit])
def test_every_method_leaves_parameters_at_learning_rate_zero(name: str, lenet: Problem, cheap: Cheap) -> None:
    scope = "head" if METHODS[name].head else "all"
    run = finished(lenet, cheap(method=name, scope=scope, learning_rate=0.0, epochs=1, batch_size=400))
    if METHODS[name].from_scratch:
        initial = imu_core.problem("tiny", model="lenet5")  # what it starts from is its business; it must be a start
        assert not same_bits(state(run), initial.model.state_dict())
    else:
        assert same_bits(state(run), lenet.model.state_dict())


def test_retrain_begins_at_the_initial_weights(lenet: Problem, cheap: Cheap) -> None:
    run = finished(lenet, cheap(method="retrain", scope="all", learning_rate=0.0, epochs=1, batch_size=400))
    assert same_bits(state(run), build("lenet5", lenet.dataset, 0).state_dict())


# Nothing shared is changed.


def fingerprint(problem: Problem) -> str:
    """One hash over every tensor that all runs and all visitors share."""
    digest = hashlib.sha256()
    shared = [tensor for part in (problem.train, problem.test) for tensor in (part.Z, part.logits, part.labels, part.losses)]
    shared += [tensor for part in (problem.dataset.train, problem.dataset.test) for tensor in (part.images, part.labels)]
    shared += [problem.split.forget, problem.split.retain, *problem.model.state_dict().values()]
    for tensor in shared:
        digest.update(tensor.numpy().tobytes())
    flags = [(p.requires_grad, p.grad is None) for p in problem.model.parameters()]
    return f"{digest.hexdigest()} {flags} {problem.model.training}"


@pytest.mark.slow(reason="two runs at once; the page shows the same of two visitors in the default run")
def test_two_runs_at_once_give_what_each_gives_alone_and_change_nothing_shared(
    lenet: Problem, resnet: Problem, cheap: Cheap
) -> None:
    jobs = [
        (lenet, cheap(method="imu", scope="head", epochs=20, control="random", update_every=1)),
        (lenet, cheap(method="npo", scope="all", epochs=2, augment=True)),
        (resnet, cheap(method="ga", scope="last:1", bn="train", epochs=1)),
    ]
    before = [fingerprint(problem) for problem in (lenet, resnet)]
    alone = [finished(*job) for job in jobs]
    together = [unlearn(*job) for job in jobs]
    barrier = threading.Barrier(len(jobs))

    def work(run: Run) -> None:
        barrier.wait(30)
        list(run)

    threads = [threading.Thread(target=work, args=(run,)) for run in together]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for one, other in zip(alone, together, strict=True):
        assert other.outcome == one.outcome
        assert same_bits(state(one), state(other))
        assert [(p.step, p.loss, p.accuracies) for p in one.points] == [(p.step, p.loss, p.accuracies) for p in other.points]
    assert [fingerprint(problem) for problem in (lenet, resnet)] == before


# A second request.


def test_a_second_request_starts_from_what_the_first_left_behind(lenet: Problem, cheap: Cheap) -> None:
    run = finished(lenet, cheap(method="ga"))
    second = imu_core.after(run, "class:Bag")
    assert same_bits(second.model.state_dict(), state(run))
    W, b = head_of(run)
    assert torch.allclose(second.train.logits, lenet.train.Z @ W.T + b, atol=1e-6)
    sets = [set(t.tolist()) for t in (second.split.forget, second.split.retain, second.split.earlier)]
    assert sets[2] == set(lenet.split.forget.tolist())
    assert len(sets[0] | sets[1] | sets[2]) == sum(map(len, sets)) == 400
    assert second.history == (("class:Sandal", run.config.changed()),)
    next_run = unlearn(second, cheap(learning_rate=0.0))
    first = next(iter(next_run))
    assert torch.equal(first.head[0], W)
    assert first.accuracies["earlier"] == pytest.approx(run.points[-1].accuracies["forget"])
    assert lenet.split.earlier.numel() == 0


def test_a_second_request_after_a_wide_run_sees_the_new_features(resnet: Problem, cheap: Cheap) -> None:
    run = finished(resnet, cheap(method="ga", scope="last:1", epochs=1))
    second = imu_core.after(run, "ids:0-9")
    with torch.no_grad():
        logits = run.model()(to_input(resnet.dataset.test.images))
    assert torch.allclose(second.test.logits, logits, atol=1e-4)
    assert not torch.allclose(second.test.Z, resnet.test.Z, atol=1e-3)
    assert finished(second, cheap(epochs=1)).outcome.state == "done"


@pytest.mark.parametrize("iterated", [False, True])
def test_a_second_request_waits_for_the_first(iterated: bool, lenet: Problem, cheap: Cheap) -> None:
    run = unlearn(lenet, cheap())
    points = iter(run)
    if iterated:
        next(points)
    with pytest.raises(ConfigError, match="not finished"):
        imu_core.after(run, "class:Bag")


def test_a_second_request_does_not_start_from_what_is_no_number(lenet: Problem, cheap: Cheap) -> None:
    run = finished(lenet, cheap(epochs=1))
    with torch.no_grad():
        run._workspace.head.weight[0, 0] = torch.nan
    with pytest.raises(ConfigError, match="no numbers"):
        imu_core.after(run, "class:Bag")


@pytest.mark.parametrize("text", ["last:٢", "last:02", "last:0", "last:99999", "last: 2"])
def test_a_scope_is_written_with_plain_digits(text: str) -> None:
    with pytest.raises(ConfigError, match="scope is"):
        RunConfig(scope=text)


@pytest.mark.slow(reason="whole trainings or runs, several times over")
def test_a_run_stops_at_its_target_however_seldom_it_is_judged(resnet: Problem, cheap: Cheap) -> None:
    settings = {"method": "ga", "scope": "last:1", "epochs": 20, "learning_rate": 0.02, "stop_at": 0.3}
    often, seldom = (finished(resnet, cheap(**settings, eval_every=every)) for every in (1, 1000))
    assert often.points[-1].step == seldom.points[-1].step
    assert seldom.points[-1].accuracies == often.points[-1].accuracies
    assert len(seldom.points) == 2 < len(often.points)


def test_a_history_repeats_the_runs_before(lenet: Problem, cheap: Cheap) -> None:
    run = finished(lenet, cheap(method="ga", seed=11))
    direct = imu_core.after(run, "class:Bag")
    repeated = imu_core.problem_after(direct.history, "tiny", model="lenet5", forget="class:Bag")
    assert same_bits(repeated.model.state_dict(), direct.model.state_dict())
    assert torch.equal(repeated.split.earlier, direct.split.earlier)
    assert repeated.describe() == direct.describe()


def test_a_history_may_be_written_by_hand(lenet: Problem) -> None:
    """Another case of the class name and settings that are the defaults: the same history."""
    history = [("CLASS:sandal", {"method": "ga", "epochs": 5, "seed": 12})]
    found = imu_core.problem_after(history, "tiny", model="lenet5", forget="class:Bag")
    assert found.history[0][0] == "class:Sandal"
    assert len(found.split.earlier) == 40


@pytest.mark.parametrize("history", [[("class:Sandal",)], [("class:Sandal", 5)], ["x"], [("class:Sandal", {"unknown": 1})], 7])
def test_a_history_that_cannot_be_read_is_a_sentence(history: object, lenet: Problem) -> None:
    with pytest.raises(ImuError):
        imu_core.problem_after(history, "tiny", model="lenet5", forget="class:Bag")


def test_a_remembered_run_is_not_repeated(lenet: Problem, cheap: Cheap, monkeypatch: pytest.MonkeyPatch) -> None:
    run = finished(lenet, cheap(method="ga", seed=13))
    remember(run)
    room = importlib.import_module("imu_core.unlearning.sequence")
    monkeypatch.setattr(room, "Run", lambda *_: pytest.fail("repeated"))
    history = [("class:Sandal", run.config.changed())]
    assert len(imu_core.problem_after(history, "tiny", model="lenet5", forget="class:Bag").split.earlier) == 40


# Configurations and records.


@pytest.mark.parametrize(
    "wrong",
    [
        {"bn": "off"},
        {"optimizer": "adam"},
        {"schedule": "cosine"},
        {"weight_norm": "sum"},
        {"epochs": -1},
        {"epochs": 501},
        {"epochs": 1.5},
        {"epochs": True},
        {"learning_rate": -0.1},
        {"learning_rate": 10.5},
        {"learning_rate": math.nan},
        {"learning_rate": "fast"},
        {"learning_rate": 10**400},
        {"batch_size": 0},
        {"momentum": 1.0},
        {"weight_decay": 2.0},
        {"seed": -1},
        {"seed": 2**31},
        {"damping": -1.0},
        {"l1": 11.0},
        {"beta": 0.0},
        {"stop_at": 1.5},
        {"stop_at": "half"},
        {"clip_quantile": -0.5},
        {"top": 0.0},
        {"top": 1.1},
        {"eval_every": 0},
        {"eval_every": 2.5},
        {"update_every": -1},
        {"update_every": "epoch"},
        {"scope": "body"},
        {"scope": "last:0"},
        {"scope": "last:"},
        {"scope": "last:-1"},
        {"scope": "3"},
        {"scope": ""},
        {"scope": None},
        {"scope": "last:" + "9" * 5000},
        {"augment": "yes"},
        {"psi": "cube"},
        {"estimator": "magic"},
        {"control": "none"},
    ],
    ids=lambda wrong: str(wrong)[:40],
)
def test_settings_outside_their_range_are_named_with_what_is_allowed(wrong: dict) -> None:
    ((name, _),) = wrong.items()
    with pytest.raises(ConfigError, match=name):
        RunConfig(**wrong)


@pytest.mark.parametrize("limit", [{"epochs": 0}, {"epochs": 500}, {"learning_rate": 10.0}, {"stop_at": 0.0}, {"top": 1e-9}])
def test_the_limits_themselves_are_allowed(limit: dict) -> None:
    ((name, value),) = limit.items()
    assert getattr(RunConfig(**limit), name) == value


def test_a_config_comes_back_from_what_was_changed() -> None:
    config = RunConfig(method="npo", scope="last:2", beta=0.5, update_every="iteration", stop_at=0.1, seed=9)
    expected = {"method": "npo", "scope": "last:2", "beta": 0.5, "update_every": "iteration", "stop_at": 0.1, "seed": 9}
    assert config.changed() == expected
    assert RunConfig.from_dict(json.loads(json.dumps(config.changed()))) == config
    assert RunConfig().changed() == {"method": "imu", "scope": "head"}


def test_an_unknown_setting_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="learning_rate"):
        RunConfig.from_dict({"learnign_rate": 0.1})


def test_a_trajectory_survives_json(lenet: Problem, cheap: Cheap) -> None:
    run = finished(lenet, cheap(method="imu", clip_quantile=0.9, stop_at=0.3, learning_rate=0.2))
    trajectory = dataclasses.replace(run.trajectory, metrics={"membership": {"run": 0.5}})
    back = Trajectory.from_dict(json.loads(json.dumps(trajectory.to_dict())))
    assert back.config == run.config
    assert back.outcome == run.outcome
    assert back.to_dict() == trajectory.to_dict()
    assert [p.accuracies for p in back.points] == [p.accuracies for p in run.points]
    assert back.environment["data_hash"] == lenet.dataset.hash
    assert back.problem == lenet.describe()


@pytest.mark.parametrize("part", ["config", "points", "outcome", "sizes", "saw", "environment"])
@pytest.mark.parametrize("damage", ["missing", "wrong"])
def test_a_damaged_record_is_a_sentence(part: str, damage: str, lenet: Problem, cheap: Cheap) -> None:
    record = finished(lenet, cheap(epochs=0)).trajectory.to_dict()
    if damage == "missing":
        del record[part]
    else:
        record[part] = 5
    if (part, damage) in {("sizes", "wrong"), ("environment", "wrong")}:
        record = [record]
    with pytest.raises(ConfigError):
        Trajectory.from_dict(record)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_begins_a_run_of_every_method_and_differs_from_the_others(name: str, lenet: Problem) -> None:
    """A config that is in range, whose options the method has, and that the method takes at every scope it knows."""
    for method, scope in itertools.product(METHODS, ("head", "last:2", "all")):
        config = methods.preset(name, method=method, scope=scope, seed=4)
        if METHODS[method].head if scope == "head" else METHODS[method].wide:
            assert unlearn(lenet, config).config == config
            assert config.seed == 4
        if method not in ("finetune", "retrain"):  # references: their training is the same whatever the preset
            others = [methods.preset(other, method=method, scope=scope, seed=4) for other in PRESETS if other != name]
            assert config not in others, f"{method} at {scope} is the same in two presets"


@pytest.mark.parametrize(
    "wrong", [("loud", "imu", "head"), ("gentle", "imu", "body"), ("gentle", "imu", "last"), ("gentle", "magic", "head")]
)
def test_a_preset_that_cannot_be_made_is_a_sentence(wrong: tuple[str, str, str], lenet: Problem) -> None:
    with pytest.raises(ConfigError):
        unlearn(lenet, methods.preset(*wrong))


@pytest.mark.parametrize(("epochs", "batch_size"), [(0, 40), (1, 40), (1, 20), (1, 14), (1, 10), (2, 20), (1, 8), (3, 10)])
def test_one_cycle_works_however_few_steps_there_are(epochs: int, batch_size: int, lenet: Problem, cheap: Cheap) -> None:
    run = finished(lenet, cheap(schedule="one_cycle", epochs=epochs, batch_size=batch_size))
    assert run.outcome.state == "done"


def test_one_cycle_rises_and_falls(lenet: Problem, cheap: Cheap) -> None:
    """With steps of unit length, the distance between two points is the learning rate."""
    config = cheap(method="ga", optimizer="normalised", schedule="one_cycle", epochs=10, learning_rate=0.05)
    points = list(unlearn(lenet, config))

    def distance(one: Point, other: Point) -> float:
        return math.sqrt(sum(float((a - b).square().sum()) for a, b in zip(one.head, other.head, strict=True)))

    lengths = [distance(a, b) for a, b in itertools.pairwise(points)]
    assert max(lengths) == pytest.approx(0.05, rel=0.05)
    assert lengths[0] == pytest.approx(0.05 / 25, rel=0.01)
    assert lengths[-1] < 0.05 / 100


@pytest.mark.parametrize("scope", ["last:1", "all"])
def test_features_are_computed_anew_only_once_something_has_moved(
    lenet: Problem, monkeypatch: pytest.MonkeyPatch, scope: str
) -> None:
    asked = []
    monkeypatch.setattr(workspace, "compute", lambda *given: asked.append(1) or compute(*given))
    copied, index = Workspace(lenet, RunConfig(scope=scope)), lenet.split.forget
    assert torch.equal(copied.features_of(index), lenet.train.Z[index])
    assert not asked
    with torch.no_grad():
        copied.parameters[0].add_(0.1)
    moved = copied.features_of(index)
    assert asked == [1]
    assert not torch.allclose(moved, lenet.train.Z[index])


def test_the_record_of_a_finished_run_is_made_once_and_that_of_a_running_one_afresh(lenet: Problem) -> None:
    run = unlearn(lenet, RunConfig(method="ga", epochs=2))
    steps = iter(run)
    next(steps)
    first = run.trajectory
    next(steps)
    assert len(run.trajectory.points) == len(first.points) + 1
    for _ in steps:
        pass
    assert run.trajectory is run.trajectory
    assert run.trajectory.points == tuple(run.points)
    assert run.trajectory.outcome.state == "done"


@pytest.mark.parametrize("values", [2, 50, 10_000])
def test_what_is_hit_is_what_argmax_says_also_where_logits_are_equal(values: int) -> None:
    generator = torch.Generator().manual_seed(values)
    logits = torch.randint(0, values, (500, 7), generator=generator).float()
    labels = torch.randint(0, 7, (500,), generator=generator)
    assert torch.equal(hits(logits, labels), logits.argmax(1) == labels)
    logits[3] = torch.nan
    assert torch.equal(hits(logits, labels), logits.argmax(1) == labels)
    assert torch.equal(hits(torch.zeros(4, 3), torch.tensor([0, 1, 0, 2])), torch.tensor([True, False, True, False]))
