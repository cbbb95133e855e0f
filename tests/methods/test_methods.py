"""The rivals, each against an obvious float64 oracle; what they may see; how edits are walked; methods from elsewhere."""

from __future__ import annotations

import copy
import dataclasses
import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from conftest import same_bits
from test_unlearning import EAGER, finished, parameters, state
from torch import Tensor
from torch.nn import functional as F

import imu_core
from imu_core import methods, runtime
from imu_core.errors import ConfigError
from imu_core.methods import METHODS, Edit, Method, Objective, View, needs, plugins, preset, register
from imu_core.methods.families.boundary import nearest_labels
from imu_core.methods.families.distillation import similarity, soft_distance
from imu_core.methods.families.scar import class_geometry, distances
from imu_core.methods.gradients import flat
from imu_core.methods.workspace import Workspace
from imu_core.models import checkpoints
from imu_core.problems.problem import NOTHING
from imu_core.records.data import ImageSet
from imu_core.records.run import Problem, RunConfig
from imu_core.training.loop import Training
from imu_core.training.recipes import Recipe
from imu_core.unlearning.batches import Stream
from imu_core.unlearning.run import Run

Cheap = Callable[..., RunConfig]


def view_of(problem: Problem, config: RunConfig) -> View:
    """What the method of `config` sees on `problem`."""
    method = METHODS[config.method]
    return View(Workspace(problem, config), method.needs(config), method.title, method.options(config))


def target_of(problem: Problem, config: RunConfig) -> Tensor:
    """Where an edit leads, as one float64 vector."""
    edit = METHODS[config.method].start(view_of(problem, config), config)
    assert isinstance(edit, Edit)
    return flat(edit.target).double()


def head_vector(problem: Problem) -> Tensor:
    return flat([p.detach() for p in problem.head.parameters()]).double()


def head_gradient(problem: Problem, index: Tensor, at: Tensor | None = None) -> Tensor:
    """Gradients of single samples' cross-entropies at the head `at`, (n, p) float64, by autograd one by one."""
    W, b = (p.detach().double() for p in problem.head.parameters())
    if at is not None:
        W, b = at[: W.numel()].view_as(W), at[W.numel() :]
    rows = []
    for i in index.tolist():
        w, c = W.clone().requires_grad_(True), b.clone().requires_grad_(True)
        loss = F.cross_entropy(problem.train.Z[i].double() @ w.T + c, problem.train.labels[i])
        rows.append(flat(list(torch.autograd.grad(loss, (w, c)))))
    return torch.stack(rows)


def near(found: Tensor, expected: Tensor, tolerance: float = 1e-4) -> bool:
    return float((found - expected).norm()) <= tolerance * max(1e-12, float(expected.norm()))


# One step.


@pytest.mark.parametrize("correction", [True, False])
def test_iau_is_its_formula(correction: bool, lenet: Problem, cheap: Cheap) -> None:
    config = cheap(method="iau", options={"eta": 0.5, "correction": correction})
    f, r = lenet.split.forget, lenet.split.retain
    expected = head_gradient(lenet, f).mean(0)
    if correction:
        expected = expected - len(r) / len(f) * head_gradient(lenet, r).mean(0)
    assert near(target_of(lenet, config) - head_vector(lenet), 0.5 * expected, 1e-3)
    assert METHODS["iau"].needs(config) == ({"forget", "retain"} if correction else {"forget"})


def test_iu_woodfisher_solves_its_system(lenet: Problem, cheap: Cheap) -> None:
    config = cheap(method="iu_woodfisher", options={"alpha": 2.0, "samples": 360, "fisher_damping": 0.01})
    G = head_gradient(lenet, lenet.split.retain)
    v = 40 / 400 * (head_gradient(lenet, lenet.split.forget).mean(0) - G.mean(0))
    F_ = G.T @ G / len(G) + 0.01 * torch.eye(G.shape[1], dtype=torch.float64)
    assert near(target_of(lenet, config) - head_vector(lenet), 2.0 * torch.linalg.solve(F_, v), 1e-3)


def test_iu_optml_is_the_published_recursion_and_stays_on_the_plane_of_two_gradients(lenet: Problem, cheap: Cheap) -> None:
    config = cheap(method="iu_optml", options={"alpha": 3.0, "samples": 360})
    G = head_gradient(lenet, lenet.split.retain)
    v = 40 / 400 * (head_gradient(lenet, lenet.split.forget).mean(0) - G.mean(0))
    k, o, n = v.clone(), G[0].clone(), len(G)
    for g in G[1:]:
        t = o @ g
        k, o = k - (k @ g) / (n + t) * o, o - t / (n + t) * o
    step = target_of(lenet, config) - head_vector(lenet)
    assert near(step, 3.0 * k, 1e-3)
    plane = torch.stack([v, G[0]])
    left = step - plane.T @ torch.linalg.lstsq(plane.T, step[:, None]).solution[:, 0]
    assert float(left.norm()) < 1e-3 * float(step.norm()), "its inverse is the identity but for one direction"


def test_newton_solves_with_the_exact_retain_hessian(lenet: Problem, cheap: Cheap) -> None:
    config = cheap(method="newton", options={"newton_damping": 0.05})
    Z, y = (lenet.train.Z[lenet.split.retain].double(), lenet.train.labels[lenet.split.retain])
    shape = lenet.head.weight.shape

    def loss(flat_head: Tensor) -> Tensor:
        return F.cross_entropy(Z @ flat_head[: shape.numel()].view(shape).T + flat_head[shape.numel() :], y)

    H = torch.func.hessian(loss)(head_vector(lenet)) + 0.05 * torch.eye(shape.numel() + shape[0], dtype=torch.float64)
    g = head_gradient(lenet, lenet.split.forget).sum(0) / len(y)
    assert near(target_of(lenet, config) - head_vector(lenet), torch.linalg.solve(H, g), 1e-3)


@pytest.mark.parametrize("at", ["initial", "current"])
def test_usgd_is_its_formula(at: str, lenet: Problem, cheap: Cheap) -> None:
    config = cheap(method="usgd", options={"strength": 0.3, "at": at})
    card = checkpoints.find(lenet.dataset, "lenet5", NOTHING).card["recipe"]
    initial = view_of(lenet, cheap(method="retrain")).initial_weights
    start = flat([initial["weight"], initial["bias"]]).double() if at == "initial" else None
    times = card["learning_rate"] / 2 * card["epochs"] / card["batch_size"]
    expected = 0.3 * times * head_gradient(lenet, lenet.split.forget, start).sum(0)
    assert near(target_of(lenet, config) - head_vector(lenet), expected, 1e-3)


@pytest.mark.parametrize(("name", "kind"), [("ssd", "fisher"), ("lfssd", "absolute")])
@pytest.mark.parametrize("scope", ["head", "all"])
def test_dampening_is_its_rule(name: str, kind: str, scope: str, lenet: Problem, cheap: Cheap) -> None:
    config = cheap(method=name, scope=scope, options={"alpha": 0.5, "dampening": 0.8})
    view = view_of(lenet, config)
    images, labels = lenet.dataset.train.images[lenet.split.forget].float() / 255, lenet.train.labels[lenet.split.forget]
    model = copy.deepcopy(lenet.model).requires_grad_(True)
    logits = model(images)
    loss = F.cross_entropy(logits, labels) if name == "ssd" else logits.square().sum(1).mean()
    named = dict(model.named_parameters())
    found = dict(zip(named, torch.autograd.grad(loss, list(named.values())), strict=True))
    expected = []
    for key in view.names:
        mine = found[key].square() if name == "ssd" else found[key].abs()
        theirs = view.importances[f"{kind}.{key}"]
        factor = torch.where(
            mine > 0.5 * theirs, torch.minimum(0.8 * theirs / mine, torch.ones_like(mine)), torch.ones_like(mine)
        )
        expected.append(named[key].detach() * factor)
    assert near(target_of(lenet, config), flat(expected).double(), 1e-3)


def test_a_large_selection_dampens_nothing(lenet: Problem, cheap: Cheap) -> None:
    run = finished(lenet, cheap(method="ssd", options={"alpha": 10_000.0}))
    assert same_bits(state(run), lenet.model.state_dict())
    assert "Dampened 0 of" in run.outcome.reason


def test_fisher_noise_is_small_where_the_retain_set_cares(lenet: Problem, cheap: Cheap) -> None:
    base = {"alpha": 1e-6, "samples": 64, "zero_row": False}
    moved = [target_of(lenet, cheap(method="fisher", seed=s, options=base)) - head_vector(lenet) for s in range(40)]
    again = target_of(lenet, cheap(method="fisher", seed=0, options=base)) - head_vector(lenet)
    assert torch.equal(moved[0], again)
    variance = torch.stack(moved).square().mean(0)
    limit = 1e-6 * 100 * 10  # α · the clamp of the head · its factor
    assert float(variance.max()) <= 3 * limit
    assert abs(float(torch.stack(moved).mean())) < 0.1 * math.sqrt(limit)
    erased = target_of(lenet, cheap(method="fisher", options={**base, "zero_row": True}))
    row = erased[: lenet.head.weight.numel()].view_as(lenet.head.weight)[5]
    assert float(row.norm()) < 0.5 * float(lenet.head.weight[5].norm())


# Teachers and labels.


def test_soft_distance_is_the_scaled_divergence() -> None:
    t, s = torch.randn(7, 4, dtype=torch.float64), torch.randn(7, 4, dtype=torch.float64)
    p, q = (t / 3).softmax(1), (s / 3).softmax(1)
    assert float(soft_distance(t, s, 3.0)) == pytest.approx(9 * float((p * (p / q).log()).sum(1).mean()))
    assert float(soft_distance(t, t, 2.0)) == pytest.approx(0.0, abs=1e-12)


def test_similarity_prefers_the_nearest_row_and_leaves_the_class_itself_out() -> None:
    W = torch.eye(5, dtype=torch.float64) * 3
    W[1] = W[0] + 0.1
    s = similarity(W, 0, 0.1)
    assert float(s[0]) == 0.0
    assert int(s.argmax()) == 1
    assert float(s.sum()) == pytest.approx(1.0)


def test_trw_without_tilt_and_retain_set_is_delete(lenet: Problem, cheap: Cheap) -> None:
    """The loss of a batch of forget samples, with the same numbers, by both definitions."""
    config = cheap(method="trw", options={"tilt": 0.0, "retain_weight": 0.0})
    view = view_of(lenet, config)
    Z, y = lenet.train.Z[lenet.split.forget], lenet.train.labels[lenet.split.forget]
    batch = methods.Batch(torch.arange(40), Z, y, view.module(Z) * 0.5, 0, 0, torch.ones(40, dtype=torch.bool), Z)
    plain = METHODS["delete"].start(view_of(lenet, cheap(method="delete")), cheap(method="delete"))
    assert float(METHODS["trw"].start(view, config)(batch).detach()) == pytest.approx(float(plain(batch).detach()), rel=1e-5)


def test_bad_teaching_listens_to_the_right_teacher(lenet: Problem, cheap: Cheap) -> None:
    config = cheap(method="bad_teaching")
    view = view_of(lenet, config)
    loss = METHODS["bad_teaching"].start(view, config)
    Z, y = lenet.train.Z[:30], lenet.train.labels[:30]
    original = lenet.head(Z)
    nobody, all_ = torch.zeros(30, dtype=torch.bool), torch.ones(30, dtype=torch.bool)
    retained = loss(methods.Batch(torch.arange(30), Z, y, original, 0, 0, nobody, Z))
    forgotten = loss(methods.Batch(torch.arange(30), Z, y, original, 0, 0, all_, Z))
    assert float(retained) == pytest.approx(0.0, abs=1e-6)
    assert float(forgotten) > 0.1


def test_scrub_goes_away_first_and_stays_near_later(lenet: Problem, cheap: Cheap) -> None:
    config = cheap(method="scrub", options={"forget_epochs": 1, "gamma": 0.0, "alpha": 1.0, "temperature": 2.0})
    loss = METHODS["scrub"].start(view_of(lenet, config), config)
    Z, y = lenet.train.Z[:20], lenet.train.labels[:20]
    other, all_ = lenet.head(Z) * 0.3, torch.ones(20, dtype=torch.bool)
    expected = float(soft_distance(lenet.head(Z), other, 2.0))
    away = loss(methods.Batch(torch.arange(20), Z, y, other, 0, 0, all_, Z))
    assert float(away) == pytest.approx(-expected, rel=1e-5)
    assert loss(methods.Batch(torch.arange(20), Z, y, other, 0, 1, all_, Z)) is None
    assert float(loss(methods.Batch(torch.arange(20), Z, y, other, 0, 1, ~all_, Z))) == pytest.approx(expected, rel=1e-5)


def test_neggrad_plus_weighs_both_sets(lenet: Problem, cheap: Cheap) -> None:
    config = cheap(method="neggrad_plus", options={"alpha": 0.7})
    loss = METHODS["neggrad_plus"].start(view_of(lenet, config), config)
    index = torch.cat([lenet.split.forget[:10], lenet.split.retain[:10]])
    Z, y, is_forget = lenet.train.Z[index], lenet.train.labels[index], torch.arange(20) < 10
    ce = F.cross_entropy(lenet.head(Z), y, reduction="none")
    found = loss(methods.Batch(torch.arange(20), Z, y, lenet.head(Z), 0, 0, is_forget, Z))
    assert float(found) == pytest.approx(0.7 * float(ce[10:].mean()) - 0.3 * float(ce[:10].mean()), rel=1e-5)


@pytest.mark.parametrize("strict", [True, False])
def test_salun_moves_only_what_its_mask_opens(strict: bool, lenet: Problem, cheap: Cheap) -> None:
    config = cheap(method="salun", batch_size=64, weight_decay=0.01, momentum=0.5, options={"density": 0.2, "strict": strict})
    masks = flat(METHODS["salun"].start(view_of(lenet, config), config).masks)
    g = head_gradient(lenet, lenet.split.forget).mean(0).abs()
    assert int(masks.sum()) == round(0.2 * len(g))
    assert float(g[masks].min()) >= float(g[~masks].max())
    run = finished(lenet, config)
    now = flat([parameters(run)[name] for name in view_of(lenet, config).names])
    still = flat([p.detach() for p in lenet.head.parameters()])
    assert bool((now[~masks] == still[~masks]).all()) == strict, "weight decay moves the others unless they are held fast"
    assert not bool((now[masks] == still[masks]).all())


def test_fixed_labels_are_wrong_and_stay(lenet: Problem, cheap: Cheap) -> None:
    config = cheap(method="amnesiac_relabel")
    loss = METHODS["amnesiac_relabel"].start(view_of(lenet, config), config)
    y = lenet.train.labels[lenet.split.forget]
    logits = torch.randn(40, 10)
    batches = [
        methods.Batch(torch.arange(40), logits, y, logits, step, step, torch.ones(40, dtype=torch.bool)) for step in (0, 7)
    ]
    assert float(loss(batches[0])) == float(loss(batches[1]))
    assert bool((loss._labels != y).all())
    kept = methods.Batch(torch.arange(40), logits, y, logits, 0, 0, torch.zeros(40, dtype=torch.bool))
    assert float(loss(kept)) == pytest.approx(float(F.cross_entropy(logits, y)))


def test_rl_as_published_trains_on_both_sets(lenet: Problem, cheap: Cheap) -> None:
    config = cheap(method="rl", options={"with_retain": True, "true_labels": True})
    assert METHODS["rl"].needs(config) == {"forget", "retain"}
    run = finished(lenet, config)
    assert run.outcome.state == "done"
    assert run.steps == config.epochs * (math.ceil(40 / config.batch_size) + math.ceil(360 / config.batch_size))


# Boundaries, features, noise.


def test_the_attack_finds_the_label_beyond_the_nearest_boundary(lenet: Problem, cheap: Cheap) -> None:
    view = view_of(lenet, cheap(method="boundary_shrink"))
    x = lenet.dataset.train.images[lenet.split.forget].float() / 255
    y = lenet.train.labels[lenet.split.forget]
    x.requires_grad_(True)
    F.cross_entropy(lenet.model(x), y).backward()
    moved = (((x.detach() + 0.2 * x.grad.sign()).clamp(0, 1)) * 255).round() / 255
    assert torch.equal(nearest_labels(view, 0.2), lenet.model(moved).argmax(1))
    assert bool((nearest_labels(view, 0.2) != y).any())


def test_an_attack_that_moves_nobody_is_a_sentence(lenet: Problem, cheap: Cheap, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imu_core.methods.families.boundary.nearest_labels", lambda view, epsilon: view.forget.labels)
    run = finished(lenet, cheap(method="boundary_shrink"))
    assert run.outcome.state == "failed"
    assert "larger epsilon" in run.outcome.reason


def test_the_extra_class_is_trained_and_thrown_away(lenet: Problem, cheap: Cheap) -> None:
    config = cheap(method="boundary_expand", scope="all", learning_rate=0.05, epochs=3)
    run = finished(lenet, config)
    assert {n: t.shape for n, t in state(run).items()} == {n: t.shape for n, t in lenet.model.state_dict().items()}
    loss = METHODS["boundary_expand"].start(view_of(lenet, config), config)
    before = [p.detach().clone() for p in loss.extra]
    Z = lenet.train.Z[lenet.split.forget]
    logits = torch.cat([lenet.head(Z), (Z @ before[0] + before[1])[:, None]], 1)
    batch = methods.Batch(torch.arange(40), Z, lenet.train.labels[lenet.split.forget], lenet.head(Z), 0, 0, features=Z)
    assert float(loss(batch).detach()) == pytest.approx(float(F.cross_entropy(logits, torch.full((40,), 10))), rel=1e-5)


def test_scar_distances_are_a_loop(lenet: Problem) -> None:
    torch.manual_seed(0)
    mean, Z = torch.rand(3, 4, dtype=torch.float64) + 0.2, torch.rand(5, 4, dtype=torch.float64)
    S = torch.stack([a @ a.T + torch.eye(4) for a in torch.randn(3, 4, 4, dtype=torch.float64)])
    means, inverses = class_geometry(mean, S, 0.5, 3.0)
    found = distances(Z, means, inverses, 0.5)
    for c in range(3):
        D = torch.diag(0.5 * mean[c] ** -0.5)
        T = D @ S[c] @ D
        for _ in range(2):
            off = T - torch.diag(T.diag())
            T = T + 3 * T.diag().mean() * torch.eye(4) + 3 * off.sum() / 12 * (1 - torch.eye(4))
        R = T / torch.sqrt(T.diag()[:, None] * T.diag()[None, :])
        for i in range(5):
            u = Z[i].sqrt() / Z[i].sqrt().norm() - mean[c].sqrt() / mean[c].sqrt().norm()
            assert float(found[i, c]) == pytest.approx(float(u @ torch.linalg.pinv(R) @ u), rel=1e-8)


def test_scar_refuses_the_head(lenet: Problem, cheap: Cheap) -> None:
    with pytest.raises(ConfigError, match="last:1"):
        imu_core.unlearn(lenet, cheap(method="scar"))


def test_newton_refuses_wider_scopes(lenet: Problem, cheap: Cheap) -> None:
    with pytest.raises(ConfigError, match="head alone"):
        imu_core.unlearn(lenet, cheap(method="newton", scope="all"))


@pytest.mark.parametrize("name", ["unsir", "trw"])
def test_some_methods_forget_whole_classes_only(name: str, tiny: object, cheap: Cheap) -> None:
    problem = imu_core.problem("tiny", model="lenet5", forget="random:5%,seed=0")
    with pytest.raises(ConfigError, match="whole classes"):
        imu_core.unlearn(problem, cheap(method=name))


def test_noise_raises_the_loss_of_its_class(lenet: Problem, cheap: Cheap) -> None:
    from imu_core.methods.families.unsir import _IMAGES, error_maximising_noise

    view = view_of(lenet, cheap(method="unsir", scope="all"))
    before = view.random_inputs(_IMAGES, runtime.generator(0, 61, 5))
    after = error_maximising_noise(view, 5, 0)
    labels = torch.full((_IMAGES,), 5)
    assert float(F.cross_entropy(lenet.model(after), labels)) > float(F.cross_entropy(lenet.model(before), labels)) + 1


def test_l1_sparse_adds_a_falling_penalty(lenet: Problem, cheap: Cheap) -> None:
    config = cheap(method="l1_sparse", epochs=4, options={"sparsity": 0.01})
    loss = METHODS["l1_sparse"].start(view_of(lenet, config), config)
    Z, y = lenet.train.Z[:20], lenet.train.labels[:20]
    norm = float(head_vector(lenet).abs().sum())
    for epoch in range(4):
        found = float(loss(methods.Batch(torch.arange(20), Z, y, lenet.head(Z), 0, epoch)).detach())
        assert found == pytest.approx(float(F.cross_entropy(lenet.head(Z), y)) + 0.01 * (1 - epoch / 4) * norm, rel=1e-4)


# The log of a training, and gradient regularisation.


SHORT = Recipe(epochs=2, batch_size=40, learning_rate=0.05)


def trained(tiny: object, **changes: object) -> Training:
    training = Training(tiny, "lenet5", recipe=dataclasses.replace(SHORT, **changes))
    for _ in training:
        pass
    return training


def test_traced_changes_add_up_to_the_training(tiny: object) -> None:
    everything, nothing = torch.arange(400), torch.empty(0, dtype=torch.int64)
    training = Training(tiny, "lenet5", recipe=SHORT)
    training.trace([everything, nothing, torch.arange(1)])
    list(training)
    whole, none, one = (flat(list(sums.values())) for sums in training.traced)
    learned = flat([p.detach() - training.initial[name] for name, p in training.model.named_parameters()])
    assert near(whole.double(), learned.double(), 1e-4)
    assert not bool(none.any())
    assert 0 < float(one.norm()) < float(whole.norm())
    assert same_bits(training.model.state_dict(), trained(tiny).model.state_dict()), "tracing changes nothing"


@pytest.mark.slow(reason="repeats a training")
def test_amnesiac_takes_back_the_logged_steps(lenet: Problem, cheap: Cheap) -> None:
    config = cheap(method="amnesiac_delta", options={"strength": 0.25})
    log = flat(view_of(lenet, config).training_log).double()
    assert near(target_of(lenet, config), head_vector(lenet) - 0.25 * log, 1e-5)


def test_stop_ends_the_repeated_training(lenet: Problem, cheap: Cheap, tiny: object) -> None:
    problem = imu_core.problem("tiny", model="lenet5", forget="hardest:7")
    run = imu_core.unlearn(problem, cheap(method="amnesiac_delta"))
    run.cancel()
    assert list(run) == []
    assert run.outcome.state == "cancelled"


def test_gradient_regularisation_flattens_the_loss(tiny: object) -> None:
    plain, flattened = trained(tiny), trained(tiny, gradient_penalty=0.1)

    def steepness(training: Training) -> float:
        model = training.model.eval()
        loss = F.cross_entropy(model(tiny.train.images.float() / 255), tiny.train.labels)
        return float(flat(list(torch.autograd.grad(loss, list(model.parameters())))).norm())

    assert steepness(flattened) < steepness(plain)
    assert not same_bits(flattened.model.state_dict(), plain.model.state_dict())
    with pytest.raises(ConfigError, match="gradient_penalty"):
        Recipe(gradient_penalty=-1.0)


# What a method touches.


class Poisoned:
    """The problem with every number of the samples in `index` replaced by not-a-number, wrong labels and noise."""

    def __init__(self, problem: Problem, index: Tensor) -> None:
        train, images = problem.train, problem.dataset.train
        Z, logits, labels, pixels = train.Z.clone(), train.logits.clone(), train.labels.clone(), images.images.clone()
        Z[index], logits[index] = math.nan, math.nan
        labels[index] = (labels[index] + 3) % 10
        pixels[index] = torch.randint(256, pixels[index].shape, dtype=torch.uint8)
        dataset = dataclasses.replace(problem.dataset, train=ImageSet(pixels, labels), key="")
        dataset.__dict__["hash"] = problem.dataset.hash
        self.problem = dataclasses.replace(
            problem, dataset=dataset, train=dataclasses.replace(train, Z=Z, logits=logits, labels=labels)
        )


class Deaf(Run):
    """A run that judges nothing, so that only the method decides what is read."""

    def _point(self, *_: object, **__: object) -> SimpleNamespace:  # type: ignore[override]
        return SimpleNamespace(full=True)

    def _has_ended(self, point: object) -> bool:
        return False


def moved_without_judging(problem: Problem, config: RunConfig) -> dict[str, Tensor]:
    run = Deaf(problem, config)
    for _ in run:
        pass
    assert run.outcome.state == "done", run.outcome.reason
    return state(run)


def audited() -> Iterator[tuple[str, str]]:
    """Every method at every scope it supports, unless it declares both sets."""
    for name, method in METHODS.items():
        for scope in ("head", "last:1", "all"):
            supported = method.head if scope == "head" else method.wide
            if supported and not method.needs(RunConfig(method=name)) >= {"forget", "retain"}:
                yield name, scope


@pytest.mark.sample(12, reason="two runs each; the view refuses what is not declared for every method in the default run")
@pytest.mark.parametrize(("name", "scope"), audited())
def test_what_a_method_did_not_declare_changes_not_one_bit_of_its_result(
    name: str, scope: str, lenet: Problem, cheap: Cheap
) -> None:
    """The audit: poison in place of the sets that were not declared. Whoever touches one gives another result."""
    config = cheap(method=name, scope=scope, epochs=1, batch_size=64, options=EAGER.get(name, {}))
    sets = {"forget": lenet.split.forget, "retain": lenet.split.retain}
    hidden = [index for kind, index in sets.items() if kind not in METHODS[name].needs(config)]
    poisoned = Poisoned(lenet, torch.cat(hidden)).problem
    assert same_bits(moved_without_judging(lenet, config), moved_without_judging(poisoned, config))


def test_the_audit_catches_whoever_peeks(lenet: Problem, cheap: Cheap) -> None:
    class Peeking(Objective):
        def __init__(self, view: View) -> None:
            self.view = view

        def __call__(self, batch: methods.Batch) -> Tensor:
            everything = self.view._workspace.problem.train.Z
            return batch.losses().mean() + 0 * self.view.module(everything).sum()

    METHODS["peek"] = Method("Peek", "toy", lambda view, config: Peeking(view), needs("forget"), "this test")
    try:
        config = cheap(method="peek", epochs=1)
        poisoned = Poisoned(lenet, lenet.split.retain).problem
        assert moved_without_judging(lenet, config)
        with pytest.raises(AssertionError, match="stopped being a number"):
            moved_without_judging(poisoned, config)
    finally:
        del METHODS["peek"]


# How an edit is walked.


def test_an_edit_is_walked_in_a_straight_line(lenet: Problem, cheap: Cheap) -> None:
    config = cheap(method="iau", options={"eta": 0.5})
    run = imu_core.unlearn(lenet, config)
    start, end = head_vector(lenet), target_of(lenet, config)
    for point in run:
        now = flat(list(point.head)).double()
        assert near(now, start + point.epoch * (end - start), 1e-5)
    assert [p.step for p in run.points] == list(range(21))
    assert run.points[-1].epoch == 1.0
    assert same_bits({"v": flat(list(run.points[-1].head))}, {"v": end.float()}), "the end is the edit itself"


def test_an_edit_meets_its_target_closely_however_far_it_reaches(lenet: Problem, cheap: Cheap) -> None:
    shares = []
    for eta in (300.0, 3000.0):
        run = finished(lenet, cheap(method="iau", options={"eta": eta, "correction": False}, stop_at=0.3))
        assert run.outcome.state == "done"
        assert run.points[-1].accuracies["forget"] <= 0.3
        assert run.points[-2].accuracies["forget"] > 0.3
        shares.append(run.points[-1].epoch * eta)
        assert [p.epoch for p in run.points] == sorted(p.epoch for p in run.points)
        assert run.points[-1].step <= run.steps
    assert shares[0] == pytest.approx(shares[1], rel=0.2), "ten times the edit, a tenth of the way"


def test_a_stopped_edit_keeps_what_was_judged(lenet: Problem, cheap: Cheap) -> None:
    run = imu_core.unlearn(lenet, cheap(method="iau", options={"eta": 0.5}))
    for point in run:
        if point.step == 3:
            run.cancel()
    assert run.outcome.state == "cancelled"
    assert [p.step for p in run.points] == [0, 1, 2, 3]


# Streams.


@pytest.mark.parametrize("kind", methods.base.STREAMS)
def test_streams_hold_what_they_say(kind: str, lenet: Problem, cheap: Cheap) -> None:
    split, config = lenet.split, cheap(batch_size=32, seed=4)
    stream = Stream(kind, split, config)
    parts = list(stream.epoch(1))
    assert len(parts) == stream.batches
    seen = torch.cat([p.index for p in parts])
    is_forget = torch.cat([p.is_forget for p in parts])
    assert bool(torch.isin(seen[is_forget], split.forget).all())
    assert bool(torch.isin(seen[~is_forget], split.retain).all())
    for part in parts:
        own = torch.where(part.is_forget, split.forget[part.position.clamp(max=39)], split.retain[part.position])
        assert torch.equal(own, part.index)
    counts = {"forget": (40, 0), "retain": (0, 360), "together": (40, 360), "in_turn": (40, 360)}
    if kind in counts:
        assert (int(is_forget.sum()), int((~is_forget).sum())) == counts[kind]
        assert len(seen.unique()) == len(seen)
    else:
        assert int((~is_forget).sum()) == 360
        assert all(bool(p.is_forget.any()) and bool((~p.is_forget).any()) for p in parts)
    again = torch.cat([p.index for p in Stream(kind, split, config).epoch(1)])
    other = torch.cat([p.index for p in stream.epoch(2)])
    assert torch.equal(seen, again)
    assert not torch.equal(seen, other)


def test_in_turn_means_forget_first(lenet: Problem, cheap: Cheap) -> None:
    flags = [bool(p.is_forget.all()) for p in Stream("in_turn", lenet.split, cheap(batch_size=16)).epoch(0)]
    assert flags == sorted(flags, reverse=True)


def test_a_share_of_the_retain_set_is_fixed_by_the_seed(lenet: Problem, cheap: Cheap) -> None:
    def drawn(seed: int, epoch: int) -> set[int]:
        stream = Stream("retain", lenet.split, cheap(seed=seed, batch_size=50), 0.25)
        return {i for p in stream.epoch(epoch) for i in p.index.tolist()}

    assert len(drawn(0, 0)) == 90
    assert drawn(0, 0) == drawn(0, 1)
    assert drawn(0, 0) != drawn(1, 0)


# Settings of their own.


def test_parameters_of_every_method_are_complete() -> None:
    for name, method in METHODS.items():
        for p in method.parameters:
            assert p.label, name
            assert p.help.endswith((".", "?")), (name, p.name)
            assert p.check(p.default) == p.default
            if not p.choices and not isinstance(p.default, bool):
                for wrong in (p.low - 1, p.high * 2 + 1, math.nan, "1", None, True):
                    with pytest.raises(ConfigError, match=p.name):
                        p.check(wrong)
        own = {p.name for p in method.parameters} | {"learning_rate"}
        assert method.strength in own, name
        assert method.forgets or "Not meant to" in method.note, "a method that does not forget says why on its card"


@pytest.mark.parametrize("options", [{"nothing": 1}, {"alpha": -1}, {"alpha": "x"}, {"alpha": True}])
def test_options_that_cannot_be_used_are_named(options: dict, lenet: Problem, cheap: Cheap) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        imu_core.unlearn(lenet, cheap(method="ssd", options=options))


@pytest.mark.parametrize(
    "options", [[], "x", {"a": [1]}, {1: 2}, {"a": math.inf}, {f"o{i}": 1 for i in range(41)}, {"a": "x" * 101}]
)
def test_options_are_few_and_plain(options: object) -> None:
    with pytest.raises(ConfigError):
        RunConfig(options=options)


def test_a_config_with_options_comes_back(lenet: Problem) -> None:
    config = RunConfig(method="ssd", options={"dampening": 0.5, "alpha": 3.0})
    assert RunConfig.from_dict(config.changed()) == config
    assert config.changed() == {"method": "ssd", "scope": "head", "options": {"alpha": 3.0, "dampening": 0.5}}
    assert hash(config) == hash(dataclasses.replace(config))
    with pytest.raises(ConfigError, match="no settings of its own"):
        imu_core.unlearn(lenet, RunConfig(method="ga", options={"alpha": 1}))


@pytest.mark.parametrize("scope", ["head", "last:1", "all"])
@pytest.mark.parametrize("name", METHODS)
def test_presets_hold_options_that_the_method_has(name: str, scope: str) -> None:
    for words in methods.PRESETS:
        METHODS[name].options(preset(words, name, scope))


# Methods from elsewhere.

PLUGIN = """
from imu_core.methods import Method, Objective, Parameter, needs, register


class Bounded(Objective):
    def __init__(self, most):
        self.most = most

    def __call__(self, batch):
        return -batch.losses().clamp(max=self.most).mean()


MOST = Parameter("most", "Largest loss", 3.0, "A sample is left alone above this loss, nats.", 0.1, 100.0)
register(
    "{name}",
    Method("Bounded GA", "ga", lambda view, config: Bounded(view.options["most"]), needs("forget"), "here", parameters=(MOST,)),
)
"""


@pytest.fixture
def guests() -> Iterator[None]:
    """Whatever a test registers is gone afterwards."""
    before, loaded = dict(METHODS), set(plugins._LOADED)
    yield
    for name in set(METHODS) - set(before):
        del METHODS[name]
    plugins._LOADED.clear()
    plugins._LOADED.update(loaded)


@pytest.mark.usefixtures("guests")
def test_a_file_brings_a_method(tmp_path: Path, lenet: Problem, cheap: Cheap) -> None:
    file = tmp_path / "mine.py"
    file.write_text(PLUGIN.format(name="bounded"))
    assert methods.load_plugins([file]) == ["bounded"]
    assert methods.load_plugins([file]) == [], "a file loads once"
    config = cheap(method="bounded", options={"most": 1.5})
    assert finished(lenet, config).outcome.state == "done"
    with pytest.raises(ConfigError, match="most"):
        imu_core.unlearn(lenet, cheap(method="bounded", options={"most": 0}))


@pytest.mark.usefixtures("guests")
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = (", "SyntaxError"),
        ("x = 1", "registers no method"),
        (PLUGIN.format(name="ga"), "already"),
        ("1 / 0", "ZeroDivision"),
    ],
)
def test_a_file_that_brings_none_is_a_sentence(text: str, words: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(text)
    with pytest.raises(ConfigError, match=words):
        methods.load_plugins([file])
    with pytest.raises(ConfigError, match="is no file"):
        methods.load_plugins([tmp_path / "nothing.py"])


@pytest.mark.usefixtures("guests")
@pytest.mark.parametrize(("name", "method"), [("Big", None), ("ok", "text"), ("ga", None), ("a" * 40, None), (3, None)])
def test_only_well_formed_methods_are_registered(name: object, method: object) -> None:
    made = Method("X", "x", lambda view, config: Objective(), needs("forget"), "here") if method is None else method
    with pytest.raises(ConfigError):
        register(name, made)


@pytest.mark.slow(reason="a package is installed")
def test_an_installed_package_brings_a_method(tmp_path: Path) -> None:
    """In a fresh interpreter, with a package as pip would lay it out: its entry point is found and its method runs."""
    (tmp_path / "guest.py").write_text(
        PLUGIN.format(name="unused").replace("register(\n", "_, TOY = (\n").replace(", register", "")
    )
    info = tmp_path / "guest-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: guest\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[imu_core.methods]\nguest_method = guest:TOY\nbroken = nowhere:X\n")
    code = "import imu_core; from imu_core.methods import METHODS; print(METHODS['guest_method'].title, 'broken' in METHODS)"
    root = Path(imu_core.__file__).parent.parent
    ran = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**runtime.os.environ, "PYTHONPATH": f"{tmp_path}:{root}"},
    )
    assert ran.stdout.split("\n")[0] == "Bounded GA False", ran.stderr
    assert "broken" in ran.stderr, "a damaged package is a warning and stops nobody"
