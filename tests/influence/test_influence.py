"""Influence of the head against dense float64 oracles: autograd, explicit loops, direct solves, and real refitting."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor
from torch.func import grad, hessian, vmap
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from imu_core.errors import ConfigError, ConvergenceError, DataError, ImuError
from imu_core.influence import ESTIMATORS, head_scores
from imu_core.influence import head as room
from imu_core.influence.solvers import Product, conjugate_gradients

D, C = 5, 4


@dataclass(frozen=True)
class Head:
    """A random head and three sample sets at it; correlated features, so that Kronecker factors are really approximate."""

    W: Tensor
    b: Tensor | None
    own: tuple[Tensor, Tensor]
    query: tuple[Tensor, Tensor]
    curvature: tuple[Tensor, Tensor]

    @property
    def theta(self) -> Tensor:
        return (self.W if self.b is None else torch.cat([self.W, self.b[:, None]], 1)).flatten()

    def scores(self, separate: bool = False, **settings: object) -> Tensor:
        sets = {"query": self.query, "curvature": self.curvature} if separate else {}
        return head_scores(*self.own, self.W, self.b, **sets, **settings).scores

    def sets(self, separate: bool) -> tuple[tuple[Tensor, Tensor], ...]:
        return (self.own, self.query, self.curvature) if separate else (self.own,) * 3


def make_head(bias: bool = True, n: int = 50, seed: int = 0) -> Head:
    g = torch.Generator().manual_seed(seed)
    mix = torch.randn(D, D, generator=g, dtype=torch.float64)

    def samples(size: int) -> tuple[Tensor, Tensor]:
        labels = torch.randint(C, (size,), generator=g)
        centres = torch.eye(C, D, dtype=torch.float64)[labels]
        return (torch.randn(size, D, generator=g, dtype=torch.float64) + centres) @ mix, labels

    W = torch.randn(C, D, generator=g, dtype=torch.float64)
    b = torch.randn(C, generator=g, dtype=torch.float64) if bias else None
    return Head(W, b, samples(n), samples(30), samples(70))


@pytest.fixture(scope="module", params=[True, False], ids=["bias", "no bias"])
def head(request: pytest.FixtureRequest) -> Head:
    return make_head(bias=request.param)


# The oracles: slow and obvious.


def inputs(Z: Tensor, bias: bool) -> Tensor:
    return torch.cat([Z, torch.ones(len(Z), 1, dtype=Z.dtype)], 1) if bias else Z


def loss(theta: Tensor, Z: Tensor, y: Tensor, bias: bool) -> Tensor:
    return F.cross_entropy(inputs(Z, bias) @ theta.view(C, -1).T, y)


def gradients(head: Head, samples: tuple[Tensor, Tensor]) -> Tensor:
    """(n, C(d+1)) by autograd, one sample at a time."""
    one = grad(lambda theta, z, y: loss(theta, z[None], y[None], head.b is not None))
    return vmap(one, (None, 0, 0))(head.theta, *samples)


def full_hessian(head: Head, samples: tuple[Tensor, Tensor]) -> Tensor:
    return hessian(lambda theta: loss(theta, *samples, head.b is not None))(head.theta)


def per_sample(head: Head, samples: tuple[Tensor, Tensor]) -> list[tuple[Tensor, Tensor]]:
    """(S_i, a_i) of every sample: the softmax covariance and the input of the head."""
    A = inputs(samples[0], head.b is not None)
    P = (A @ head.theta.view(C, -1).T).softmax(1)
    return [(torch.diag(p) - torch.outer(p, p), a) for p, a in zip(P, A, strict=True)]


def dense_curvature(head: Head, samples: tuple[Tensor, Tensor], estimator: str) -> Tensor:
    """The (C(d+1))² matrix that the estimator stands for, built entry by entry."""
    G, parts, n = gradients(head, samples), per_sample(head, samples), len(samples[1])
    if estimator == "exact":
        return full_hessian(head, samples)
    if estimator == "dual":
        return sum(torch.outer(g, g) for g in G) / n
    if estimator == "diagonal":
        return torch.diag(sum(g * g for g in G) / n)
    if estimator == "diagonal_ggn":
        return torch.diag(torch.diag(full_hessian(head, samples)))
    S = sum(s for s, _ in parts) / n
    A = sum(torch.outer(a, a) for _, a in parts) / n
    if estimator == "kfac":
        return torch.kron(S, A)
    basis = torch.kron(torch.linalg.eigh(S).eigenvectors, torch.linalg.eigh(A).eigenvectors)
    H = sum(torch.kron(s, torch.outer(a, a)) for s, a in parts) / n
    return basis @ torch.diag(torch.diag(basis.T @ H @ basis)) @ basis.T


def dense_scores(head: Head, estimator: str, damping: float, separate: bool = False) -> Tensor:
    own, query, curvature = head.sets(separate)
    g = gradients(head, query).mean(0)
    if estimator != "gradient":
        M = dense_curvature(head, curvature, estimator)
        M = M + damping * torch.eye(len(M), dtype=M.dtype)
        g = torch.linalg.solve(M, g) if damping else torch.linalg.pinv(M, rtol=1e-12) @ g
    return gradients(head, own) @ g / len(own[1])


def relative(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


# Every estimator against its dense construction.


@pytest.mark.parametrize("separate", [False, True], ids=["one set", "separate sets"])
@pytest.mark.parametrize("damping", [1.0, 1e-2, 1e-4, 1e-6])
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_scores_equal_the_dense_solve(head: Head, estimator: str, damping: float, separate: bool) -> None:
    expected = dense_scores(head, estimator, damping, separate)
    assert relative(head.scores(separate, estimator=estimator, damping=damping), expected) < 1e-5


@pytest.mark.parametrize("estimator", ["exact", "diagonal", "diagonal_ggn", "kfac", "ekfac", "dual"])
def test_without_damping_scores_equal_the_pseudo_inverse(head: Head, estimator: str) -> None:
    assert relative(head.scores(estimator=estimator, damping=0.0), dense_scores(head, estimator, 0.0)) < 1e-5


def test_the_oracle_hessian_is_the_sum_of_kronecker_products(head: Head) -> None:
    built = sum(torch.kron(S, torch.outer(a, a)) for S, a in per_sample(head, head.own)) / len(head.own[1])
    assert relative(built, full_hessian(head, head.own)) < 1e-12


def test_gradient_norms_and_losses_equal_autograd(head: Head) -> None:
    found = head_scores(*head.own, head.W, head.b)
    assert torch.allclose(found.gradient_norms, gradients(head, head.own).norm(dim=1), rtol=1e-10)
    logits = head.own[0] @ head.W.T + (0 if head.b is None else head.b)
    assert torch.allclose(found.losses, F.cross_entropy(logits, head.own[1], reduction="none"), rtol=1e-10)


def test_float32_input_is_worked_on_in_float64(head: Head) -> None:
    Z, W, b = head.own[0].float(), head.W.float(), None if head.b is None else head.b.float()
    found = head_scores(Z, head.own[1], W, b, estimator="exact").scores
    wide = head_scores(Z.double(), head.own[1], W.double(), None if b is None else b.double(), estimator="exact").scores
    assert found.dtype == torch.float64
    assert torch.equal(found, wide)


def test_numpy_and_lists_are_taken_as_well(head: Head) -> None:
    found = head_scores(head.own[0].numpy(), head.own[1].tolist(), head.W.numpy(), None if head.b is None else head.b.numpy())
    assert torch.equal(found.scores, head.scores())


# Properties.


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_permuting_samples_permutes_scores(head: Head, estimator: str) -> None:
    order = torch.randperm(len(head.own[1]), generator=torch.Generator().manual_seed(1))
    found = head_scores(head.own[0][order], head.own[1][order], head.W, head.b, estimator=estimator).scores
    assert relative(found, head.scores(estimator=estimator)[order]) < 1e-7


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_scoring_in_parts_changes_nothing_when_query_and_curvature_stay(head: Head, estimator: str) -> None:
    sets = {"query": head.own, "curvature": head.own, "estimator": estimator, "total": 50}
    parts = [head_scores(Z, y, head.W, head.b, **sets).scores for Z, y in zip(*(t.split(17) for t in head.own), strict=True)]
    assert relative(torch.cat(parts), head.scores(estimator=estimator)) < 1e-7


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_total_divides_the_scores(head: Head, estimator: str) -> None:
    plain, scaled = head.scores(estimator=estimator), head.scores(estimator=estimator, total=5000)
    assert torch.allclose(scaled * 100, plain, rtol=1e-12)  # n is 50


def test_total_is_n_when_not_given(head: Head) -> None:
    assert head_scores(*head.own, head.W, head.b).total == 50
    assert head_scores(*head.own, head.W, head.b, total=123).total == 123


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_sample_is_helpful_to_itself(head: Head, estimator: str) -> None:
    """g' M⁻¹ g > 0: positive means helpful, in every estimator."""
    Z, y = head.own
    for i in range(5):
        one = (Z[i : i + 1], y[i : i + 1])
        assert head_scores(*one, head.W, head.b, query=one, curvature=head.own, estimator=estimator).scores > 0


def test_the_opposite_label_is_harmful() -> None:
    """Two classes, one input: the sample with the right label helps a query, the one with the wrong label harms it."""
    Z, W = torch.ones(2, 1, dtype=torch.float64), torch.zeros(2, 1, dtype=torch.float64)
    query = (Z[:1], torch.tensor([0]))
    for estimator in ESTIMATORS:
        helpful, harmful = head_scores(Z, torch.tensor([0, 1]), W, query=query, estimator=estimator).scores
        assert helpful > 0 > harmful, estimator


def test_undamped_dual_gives_every_sample_the_same_score_while_the_gram_matrix_has_full_rank() -> None:
    head = make_head(n=12)  # 12 samples, 24 parameters
    assert torch.linalg.matrix_rank(gradients(head, head.own)) == 12
    assert torch.allclose(head.scores(estimator="dual", damping=0.0) * 12, torch.ones(12, dtype=torch.float64), atol=1e-6)
    assert head.scores(estimator="dual", damping=1.0).std() > 1e-4


def test_large_damping_leaves_gradient_similarity(head: Head) -> None:
    for estimator in set(ESTIMATORS) - {"gradient"}:
        assert relative(head.scores(estimator=estimator, damping=1e6) * 1e6, head.scores(estimator="gradient")) < 1e-3, estimator


def test_exact_is_nearer_the_truth_than_the_approximations(head: Head) -> None:
    truth = dense_scores(head, "exact", 1e-2)
    error = {name: relative(head.scores(estimator=name, damping=1e-2), truth) for name in ESTIMATORS}
    assert error["exact"] < 1e-6
    assert all(error[name] > 1e-3 for name in ESTIMATORS if name != "exact")


def test_kronecker_factors_are_close_where_inputs_and_outputs_are_independent() -> None:
    """A head near zero predicts the same for everybody, so E[S ⊗ aa'] = E[S] ⊗ E[aa'] and both factorisations are good."""
    head = make_head(n=400)
    head = Head(head.W * 1e-3, None if head.b is None else head.b * 1e-3, head.own, head.query, head.curvature)
    for estimator in ("kfac", "ekfac"):
        found, truth = (head.scores(estimator=name, damping=1e-2) for name in (estimator, "exact"))
        assert relative(found, truth) < 1e-2, estimator


def test_eigenvalue_correction_brings_the_curvature_nearer(head: Head) -> None:
    H = full_hessian(head, head.curvature)
    far, near = (relative(dense_curvature(head, head.curvature, name), H) for name in ("kfac", "ekfac"))
    assert near < far


# Large sets are worked through in parts.


@pytest.mark.parametrize("separate", [False, True], ids=["one set", "separate sets"])
@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("kept", [0, 10**9], ids=["made again", "kept"])
def test_parts_change_nothing(head: Head, estimator: str, separate: bool, kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = head_scores(*head.own, head.W, head.b)
    expected = head.scores(separate, estimator=estimator)
    monkeypatch.setattr(room, "_PART", 7 * (D + C))  # seven rows at once, and the last part is shorter
    monkeypatch.setattr(room, "_MOST_KEPT", kept)
    assert relative(head.scores(separate, estimator=estimator), expected) < 1e-7
    parted = head_scores(*head.own, head.W, head.b)
    assert torch.allclose(parted.losses, whole.losses, rtol=1e-12)
    assert torch.allclose(parted.gradient_norms, whole.gradient_norms, rtol=1e-12)


def test_a_large_set_makes_no_copy_of_its_features(monkeypatch: pytest.MonkeyPatch) -> None:
    """No tensor as large as the features is made: the largest are the probabilities, n x C."""
    n, d = 400, 50
    g = torch.Generator().manual_seed(0)
    Z, y, W = torch.randn(n, d, generator=g), torch.randint(C, (n,), generator=g), torch.randn(C, d, generator=g)
    monkeypatch.setattr(room, "_PART", 20 * (d + C))
    monkeypatch.setattr(room, "_MOST_KEPT", 0)
    largest = Largest()
    with largest:
        for estimator in set(ESTIMATORS) - {"dual", "gradient"}:
            head_scores(Z, y, W, torch.zeros(C), estimator=estimator)
    assert n * C <= largest.numbers < n * d / 4


class Largest(TorchDispatchMode):
    """The size of the largest tensor that any operation makes."""

    numbers = 0

    def __torch_dispatch__(self, func: object, types: object, args: tuple = (), kwargs: dict | None = None) -> object:
        made = func(*args, **(kwargs or {}))
        given = {a.untyped_storage().data_ptr() for a in args if isinstance(a, Tensor)}
        if isinstance(made, Tensor) and made.untyped_storage().data_ptr() not in given:  # views are free
            self.numbers = max(self.numbers, made.numel())
        return made


# The solver.


def test_the_preconditioner_is_made_only_when_patience_ends() -> None:
    M = torch.diag(torch.logspace(0, 4, 60, dtype=torch.float64))
    b, asked = torch.ones(60, dtype=torch.float64), []

    def exact_inverse() -> Product:
        asked.append(True)
        return lambda v: v / M.diagonal().to(v.dtype)

    _, _, easy = conjugate_gradients(lambda v: v, b, precondition=exact_inverse, patience=5)
    assert (easy, asked) == (1, [])
    x, residual, iterations = conjugate_gradients(lambda v: M @ v, b, precondition=exact_inverse, patience=5)
    assert asked == [True]
    assert iterations <= 8
    assert residual <= 1e-8
    assert torch.allclose(x, b / M.diagonal(), rtol=1e-6)


@pytest.mark.parametrize(("worst", "is_made"), [(0.3, False), (4, True)])
def test_the_preconditioner_is_made_as_soon_as_too_many_iterations_are_foretold(worst: float, is_made: bool) -> None:
    """At a condition number of 2 patience would last; at 10,000 it would be spent in vain, and the first iterations tell."""
    scale, asked = torch.logspace(0, worst, 400, dtype=torch.float64), []

    def inverse() -> Product:
        asked.append(True)
        return lambda v: v / scale.to(v.dtype)

    _, residual, iterations = conjugate_gradients(lambda v: scale * v, torch.ones_like(scale), precondition=inverse, patience=40)
    assert bool(asked) is is_made
    assert residual <= 1e-8
    assert iterations <= 20


@pytest.mark.parametrize("worst", [2, 12])
def test_the_faster_precision_never_costs_accuracy(worst: int) -> None:
    """With a condition number of 10¹² float32 leads nowhere, and float64 takes over."""
    scale = torch.logspace(0, worst, 8, dtype=torch.float64)
    seen = set()

    def product(v: Tensor) -> Tensor:
        seen.add(v.dtype)
        return scale.to(v.dtype) * v

    x, residual, _ = conjugate_gradients(product, torch.ones(8, dtype=torch.float64), rtol=1e-10, rough=torch.float32)
    assert residual <= 1e-10
    assert torch.float32 in seen
    assert float((scale * x - 1).norm()) <= 1e-9


def test_exact_reports_a_true_residual(head: Head) -> None:
    found = head_scores(*head.own, head.W, head.b, estimator="exact", damping=1e-3, rtol=1e-10)
    assert 0 < found.residual <= 1e-10
    assert found.iterations > 0


def test_ill_conditioned_solve_with_little_damping_is_right() -> None:
    """Feature scales from 1 to 10,000: the condition number is what makes conjugate gradients fail quietly."""
    head = make_head()
    scale = torch.logspace(0, 4, D, dtype=torch.float64)
    stretched = Head(head.W / scale, head.b, (head.own[0] * scale, head.own[1]), head.query, head.curvature)
    assert relative(stretched.scores(estimator="exact", damping=1e-6), dense_scores(stretched, "exact", 1e-6)) < 1e-5


def test_a_right_side_outside_the_range_raises_instead_of_returning_a_wrong_answer() -> None:
    """Three curvature samples span little; without damping the query gradient has no solution."""
    head = make_head()
    few = (head.own[0][:3], head.own[1][:3])
    with pytest.raises(ConvergenceError, match="relative residual"):
        head_scores(*head.own, head.W, head.b, query=head.query, curvature=few, estimator="exact", damping=0.0)


def test_an_impossible_tolerance_raises(head: Head) -> None:
    with pytest.raises(ConvergenceError, match="damping"):
        head.scores(estimator="exact", rtol=1e-30)


def test_conjugate_gradients_solve_a_random_system() -> None:
    g = torch.Generator().manual_seed(0)
    B = torch.randn(30, 30, generator=g, dtype=torch.float64)
    M, b = B @ B.T + torch.eye(30, dtype=torch.float64), torch.randn(30, generator=g, dtype=torch.float64)
    x, residual, _ = conjugate_gradients(lambda v: M @ v, b, rtol=1e-12)
    assert torch.allclose(x, torch.linalg.solve(M, b), rtol=1e-8)
    assert residual == pytest.approx(float((b - M @ x).norm() / b.norm()))


def test_conjugate_gradients_report_running_out_of_iterations() -> None:
    M = torch.diag(torch.logspace(0, 12, 50, dtype=torch.float64))
    with pytest.raises(ConvergenceError, match="after 5 iterations"):
        conjugate_gradients(lambda v: M @ v, torch.ones(50, dtype=torch.float64), max_iterations=5)


def test_conjugate_gradients_refuse_a_product_that_is_not_a_number() -> None:
    with pytest.raises(ConvergenceError):
        conjugate_gradients(lambda v: v * float("nan"), torch.ones(3, dtype=torch.float64))


@pytest.mark.parametrize("estimator", ["diagonal_ggn", "kfac", "ekfac"])
def test_a_head_so_sure_that_no_curvature_is_left_gets_a_sentence_not_zeros(estimator: str) -> None:
    g = torch.Generator().manual_seed(0)
    Z, W, y = 1e4 * torch.randn(60, 8, generator=g), torch.randn(4, 8, generator=g), torch.arange(60) % 4
    with pytest.raises(ConvergenceError, match="Raise the damping, which is 0"):
        head_scores(Z, y, W, torch.zeros(4), estimator=estimator, damping=0.0)


def test_a_zero_query_gradient_needs_no_solve(head: Head) -> None:
    x, residual, iterations = conjugate_gradients(lambda v: v, torch.zeros(2, 3))
    assert (float(x.abs().sum()), residual, iterations) == (0.0, 0.0, 0)


# Reality: leave samples out, fit again, and look at the loss.


def fit(Z: Tensor, y: Tensor, kept: Tensor, lam: float) -> Tensor:
    """Minimiser of (1/N) Σ_kept CE + lam/2 ‖θ‖², N all samples, by L-BFGS to convergence in float64."""
    theta = torch.zeros(C * (D + 1), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([theta], max_iter=300, tolerance_grad=1e-9, tolerance_change=0, line_search_fn="strong_wolfe")

    def objective() -> Tensor:
        optimizer.zero_grad()
        share = int(kept.sum()) / len(y)
        value = share * loss(theta, Z[kept], y[kept], True) + lam / 2 * theta.square().sum()
        value.backward()
        return value

    optimizer.step(objective)
    assert theta.grad is not None
    assert float(theta.grad.norm()) < 1e-6
    return theta.detach()


def test_refitting_without_samples_moves_the_loss_as_the_scores_say() -> None:
    lam, made = 1e-2, make_head(n=150, seed=3)
    Z, y = made.own
    theta = fit(Z, y, torch.ones(len(y), dtype=torch.bool), lam)
    W, b = theta.view(C, -1)[:, :-1], theta.view(C, -1)[:, -1]
    scores = head_scores(Z, y, W, b, query=made.query, estimator="exact", damping=lam).scores
    before, generator = loss(theta, *made.query, True), torch.Generator().manual_seed(0)
    predicted, actual = [], []
    for _ in range(20):
        left_out = torch.randperm(len(y), generator=generator)[:8]
        kept = torch.ones(len(y), dtype=torch.bool)
        kept[left_out] = False
        predicted.append(float(scores[left_out].sum()))
        actual.append(float(loss(fit(Z, y, kept, lam), *made.query, True) - before))
    assert spearmanr(predicted, actual).statistic > 0.9
    assert 0.7 < np.polyfit(predicted, actual, 1)[0] < 1.4  # the size is right, not only the order


# What is refused.


def bad(**changes: object) -> dict[str, object]:
    h = make_head()
    return {"features": h.own[0], "labels": h.own[1], "weight": h.W, "bias": h.b, **changes}


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"features": torch.zeros(50, D + 1)}, DataError, "Shapes"),
        ({"features": torch.zeros(D)}, DataError, "Shapes"),
        ({"features": torch.zeros(0, D), "labels": torch.zeros(0, dtype=torch.int64)}, DataError, "n at least 1"),
        ({"labels": torch.zeros(49, dtype=torch.int64)}, DataError, "Shapes"),
        ({"labels": torch.full((50,), C)}, DataError, f"0 to {C - 1}"),
        ({"labels": torch.full((50,), -1)}, DataError, f"0 to {C - 1}"),
        ({"labels": torch.zeros(50)}, DataError, "whole numbers"),
        ({"bias": torch.zeros(C + 1)}, DataError, "bias"),
        ({"features": torch.full((50, D), torch.nan)}, DataError, "finite"),
        ({"weight": torch.full((C, D), torch.inf)}, DataError, "finite"),
        ({"estimator": "magic"}, ConfigError, "ekfac"),
        ({"damping": -1e-9}, ConfigError, "damping"),
        ({"damping": float("nan")}, ConfigError, "damping"),
        ({"damping": "small"}, ConfigError, "damping"),
        ({"damping": True}, ConfigError, "damping"),
        ({"total": 0}, ConfigError, "total"),
        ({"query": (torch.zeros(3, D + 2), torch.zeros(3, dtype=torch.int64))}, DataError, "Shapes"),
        ({"curvature": (torch.zeros(3, D), torch.full((3,), 9))}, DataError, "labels"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_sentence(changes: dict, kind: type[ImuError], words: str) -> None:
    with pytest.raises(kind, match=words):
        head_scores(**bad(**changes))


def test_dual_refuses_more_than_ten_thousand_samples() -> None:
    with pytest.raises(ConfigError, match="10,000"):
        head_scores(torch.zeros(10_001, 1), torch.zeros(10_001, dtype=torch.int64), torch.zeros(2, 1), estimator="dual")


def test_dual_with_a_separate_query_needs_damping() -> None:
    head = make_head()
    with pytest.raises(ConfigError, match="damping above 0"):
        head.scores(separate=True, estimator="dual", damping=0.0)
