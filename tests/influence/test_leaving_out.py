"""Leaving samples out, held against a slow and obvious refit: gradient descent's answer from SciPy, one problem at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch.nn import functional as F

from imu_core.errors import ConfigError, DataError
from imu_core.influence import head_scores
from imu_core.influence.truth import MOST_PARAMETERS, LeavingOut, Truth, match, matches

L2 = 1e-2


def drawn(
    n: int = 120, d: int = 5, classes: int = 3, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Features and labels that a head can learn in part, and a head to begin with."""
    g = torch.Generator().manual_seed(seed)
    Z = torch.randn(n, d, generator=g)
    y = (Z[:, :classes] + torch.randn(n, classes, generator=g)).argmax(1)
    return Z, y, 0.3 * torch.randn(classes, d, generator=g), torch.zeros(classes)


def slowly(Z: torch.Tensor, y: torch.Tensor, classes: int, weights: torch.Tensor, l2: float) -> torch.Tensor:
    """θ at the minimum of Σ w_i ℓ_i + (λ/2)‖θ‖², by L-BFGS on autograd's gradient."""
    A = torch.cat([Z.double(), torch.ones(len(Z), 1, dtype=torch.float64)], 1)

    def value(flat: np.ndarray) -> tuple[float, np.ndarray]:
        theta = torch.tensor(flat.reshape(classes, -1), requires_grad=True)
        loss = (F.cross_entropy(A @ theta.T, y, reduction="none") * weights).sum() + 0.5 * l2 * theta.square().sum()
        loss.backward()
        return float(loss.detach()), theta.grad.numpy().ravel()

    options = {"maxiter": 5000, "ftol": 1e-16, "gtol": 1e-10}
    found = minimize(value, np.zeros(classes * A.shape[1]), jac=True, method="L-BFGS-B", options=options)
    return torch.tensor(found.x.reshape(classes, -1))


def mean_loss(theta: torch.Tensor, Z: torch.Tensor, y: torch.Tensor) -> float:
    return float(F.cross_entropy(Z.double() @ theta[:, :-1].T + theta[:, -1], y))


def truth_of(work: LeavingOut) -> Truth:
    for _ in work:
        pass
    assert work.outcome.state == "done", work.outcome.reason
    return work.found


@pytest.mark.parametrize("l2", [1e-1, 1e-2, 1e-4])
def test_changes_and_half_losses_are_those_of_slow_refits(l2: float) -> None:
    Z, y, W, b = drawn()
    query = (Z[:30], y[:30])
    truth = truth_of(LeavingOut(Z, y, W, b, query=query, left_out=[3, 17, 99], halves=4, l2=l2, seed=5))
    n, classes = len(y), len(W)
    whole = torch.full((n,), 1 / n, dtype=torch.float64)
    best = slowly(Z, y, classes, whole, l2)
    assert truth.head.gradient <= 1e-8
    assert truth.loss == pytest.approx(mean_loss(best, *query), abs=1e-6)
    for place, change in zip(truth.left_out.tolist(), truth.changes.tolist(), strict=True):
        without = whole.clone()
        without[place] = 0
        expected = mean_loss(slowly(Z, y, classes, without, l2), *query) - mean_loss(best, *query)
        assert change == pytest.approx(expected, rel=2e-3, abs=2e-6)
    for half, loss in zip(truth.halves, truth.half_losses.tolist(), strict=True):
        assert int(half.sum()) == n // 2
        assert loss == pytest.approx(mean_loss(slowly(Z, y, classes, half.double() / (n // 2), l2), *query), abs=1e-5)


def test_exact_influence_foretells_what_happens_and_the_gradient_alone_does_not() -> None:
    Z, y, W, b = drawn(400, 6, 3, seed=1)
    query = drawn(100, 6, 3, seed=9)[:2]  # on the training set itself the mean gradient all but vanishes at the optimum
    truth = truth_of(LeavingOut(Z, y, W, b, query=query, left_out=range(60), halves=60, l2=L2))
    found = matches(truth, Z, y, query, ("exact", "diagonal", "gradient"))
    assert found["exact"].pearson > 0.999
    assert found["exact"].slope == pytest.approx(1.0, abs=0.05)
    assert found["exact"].low > 0.99
    assert found["exact"].lds > 0.95
    assert found["gradient"].pearson < found["exact"].pearson
    assert abs(found["gradient"].slope - 1) > 0.3


def test_predictions_of_the_wrong_sign_are_found_out() -> None:
    Z, y, W, b = drawn(seed=2)
    query = drawn(100, seed=9)[:2]
    truth = truth_of(LeavingOut(Z, y, W, b, query=query, left_out=range(40), halves=30, l2=L2))
    head = (truth.head.weight, truth.head.bias)
    scores = head_scores(Z, y, *head, query=query, estimator="exact", damping=L2).scores
    right, wrong = match(truth, scores[:40], scores), match(truth, -scores[:40], -scores)
    assert (wrong.slope, wrong.pearson, wrong.spearman, wrong.lds) == pytest.approx(
        (-right.slope, -right.pearson, -right.spearman, -right.lds)
    )
    assert right.lds > 0.8


def test_equal_scores_have_no_order() -> None:
    Z, y, W, b = drawn(seed=3)
    truth = truth_of(LeavingOut(Z, y, W, b, left_out=range(10), l2=L2))
    found = match(truth, np.ones(10))
    assert all(np.isnan(value) for value in (found.slope, found.pearson, found.spearman, found.low, found.lds))


def test_the_same_seed_gives_the_same_halves_and_another_seed_others() -> None:
    Z, y, W, b = drawn()
    one, same, other = (truth_of(LeavingOut(Z, y, W, b, halves=3, l2=L2, seed=seed)).halves for seed in (0, 0, 1))
    assert one.equal(same)
    assert not one.equal(other)


def test_it_can_be_stopped() -> None:
    Z, y, W, b = drawn()
    work = LeavingOut(Z, y, W, b, left_out=range(20), halves=20, l2=L2)
    for _ in work:
        work.cancel()
    assert work.outcome.state == "cancelled"
    assert work.found is None


@pytest.mark.parametrize("l2", [0.0, -1.0, float("nan")])
def test_no_l2_term_is_refused(l2: float) -> None:
    Z, y, W, b = drawn()
    with pytest.raises(ConfigError, match="above 0"):
        LeavingOut(Z, y, W, b, l2=l2)


def test_a_head_that_is_too_large_is_refused_and_shapes_must_fit() -> None:
    with pytest.raises(ConfigError, match=f"{MOST_PARAMETERS:,}"):
        LeavingOut(torch.randn(5, 700), torch.zeros(5, dtype=torch.int64), torch.randn(10, 700))
    with pytest.raises(DataError, match="Shapes do not fit"):
        LeavingOut(torch.randn(5, 7), torch.zeros(4, dtype=torch.int64), torch.randn(3, 7))


@pytest.mark.parametrize("l2", [1e-12, 1e-300])
def test_hardly_any_l2_term_ends_with_a_sentence_or_an_optimum(l2: float) -> None:
    Z, y = torch.randn(12, 40, generator=torch.Generator().manual_seed(0)), torch.arange(12) % 3  # can be learned without error
    work = LeavingOut(Z, y, torch.zeros(3, 40), left_out=[0], l2=l2)
    for _ in work:
        pass
    assert work.outcome.state in ("failed", "done")
    assert (work.found is None) == (work.outcome.state == "failed") == ("L2 term" in work.outcome.reason)
