"""Influence on a linear softmax head, in closed form: no per-sample loop, no autograd, no N x C x d array.

With a = [z; 1], p = softmax(W a), r = p − y and g = r ⊗ a, every estimator is one linear solve for a matrix X of the
head's shape followed by s_i = (1/N) r_iᵀ X a_i. For this head the Hessian, the Gauss-Newton matrix and the true Fisher
are the same, so `exact` approximates nothing. Everything runs in float64.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from imu_core.errors import ConfigError, DataError
from imu_core.influence.solvers import conjugate_gradients
from imu_core.records import Influence

DUAL_LIMIT = 10_000
_PRECONDITION_BELOW, _PRECONDITION_WIDTH = 1e-4, 2049  # where K-FAC preconditioning pays for its eigendecomposition

Pair = tuple[Any, Any]


@dataclass(frozen=True, eq=False)
class _Set:
    """One sample set at one head: A (n, d+1) inputs, P (n, C) probabilities, R = P − Y (n, C), losses (n,), nats."""

    A: Tensor
    P: Tensor
    R: Tensor
    losses: Tensor

    def __len__(self) -> int:
        return len(self.A)

    def mean_gradient(self) -> Tensor:
        """(C, d+1): (1/n) Rᵀ A."""
        return self.R.T @ self.A / len(self)

    def along(self, X: Tensor) -> Tensor:
        """Inner product of every per-sample gradient with X (C, d+1): r_iᵀ X a_i, (n,)."""
        return (self.R * (self.A @ X.T)).sum(1)

    def hessian_product(self, V: Tensor) -> Tensor:
        """H V for V (C, d+1), H = (1/n) Σ (diag p − p pᵀ) ⊗ a aᵀ; costs 4 n (d+1) C operations, memory n C."""
        U = self.P * (self.A @ V.T)
        return (U - self.P * U.sum(1, keepdim=True)).T @ self.A / len(self)


def head_scores(
    features: Any,
    labels: Any,
    weight: Any,
    bias: Any = None,
    *,
    query: Pair | None = None,
    curvature: Pair | None = None,
    estimator: str = "diagonal",
    damping: float = 1e-2,
    total: int | None = None,
    rtol: float = 1e-8,
) -> Influence:
    """Signed influence of each sample on the loss of a set, with the head's curvature.

        s_i = (1/N) g_Fᵀ (H + λI)⁻¹ g_i,   positive = helpful: without sample i the loss of the query set would rise
    g_F is the *mean* gradient of `query`, H the curvature of `curvature`; both default to the given samples. Without
    `bias` the head has none, and H covers the weights alone. The damping is absolute, not relative to the trace.

    Args:
        features: (n, d) penultimate features; labels: (n,) whole numbers below C; weight: (C, d); bias: (C,) or None.
        query, curvature: (features, labels) pairs.
        estimator: diagonal (empirical Fisher, mean g², as in the paper and its code) | diagonal_ggn (true Fisher) | exact
            (conjugate gradients, the true residual checked against `rtol`) | kfac | ekfac | gradient ((H + λI) replaced by
            I) | dual (exact empirical Fisher through its n x n Gram matrix, n ≤ 10,000).
        damping: λ ≥ 0, in the units of H.
        total: N, the size of the training set the samples come from; n when not given.

    Returns:
        Influence, with scores (n,) float64, losses in nats and gradient norms.

    Raises:
        DataError for shapes or labels that do not fit or values that are not finite, ConfigError for settings,
        ConvergenceError when `exact` does not reach `rtol`.

    Cost: O(n d C), times the iterations for `exact`; (d+1)³ + C³ more for kfac and ekfac; n³ for dual.
    Source: IMU, arXiv 2508.01620, Eq. 4 and 16; closed forms derived and checked against dense solves in the tests.
    """
    start = time.perf_counter()
    if estimator not in ESTIMATORS:
        raise ConfigError(f"estimator is {estimator!r}; allowed are {', '.join(ESTIMATORS)}.")
    if isinstance(damping, bool) or not isinstance(damping, (int, float)) or not 0.0 <= damping < math.inf:
        raise ConfigError(f"damping is {damping!r}; it must be a finite number from 0.")
    own = _sample_set(features, labels, weight, bias)
    asked = own if query is None else _sample_set(*query, weight, bias)
    curved = own if curvature is None else _sample_set(*curvature, weight, bias)
    if total is not None and total < 1:
        raise ConfigError(f"total is {total!r}; it is the number of training samples and must be at least 1.")
    N = len(own) if total is None else int(total)
    inner, residual, iterations = ESTIMATORS[estimator](own, asked, curved, float(damping), rtol)
    return Influence(
        inner / N,
        own.losses,
        own.R.norm(dim=1) * own.A.norm(dim=1),
        estimator,
        float(damping),
        N,
        residual,
        iterations,
        time.perf_counter() - start,
    )


def _sample_set(features: Any, labels: Any, weight: Any, bias: Any) -> _Set:
    Z, W = (torch.as_tensor(t).detach().to(torch.float64) for t in (features, weight))
    y = torch.as_tensor(labels).detach()
    if Z.ndim != 2 or W.ndim != 2 or Z.shape[1] != W.shape[1] or y.shape != Z.shape[:1] or not len(Z):
        raise DataError(
            f"Shapes do not fit: features {tuple(Z.shape)}, labels {tuple(y.shape)}, weight {tuple(W.shape)}; "
            "expected (n, d), (n,) and (C, d) with n at least 1."
        )
    b = torch.zeros(len(W), dtype=torch.float64) if bias is None else torch.as_tensor(bias).detach().to(torch.float64)
    if b.shape != W.shape[:1]:
        raise DataError(f"bias has shape {tuple(b.shape)}; expected ({len(W)},), one number a class.")
    if y.is_floating_point() or int(y.min()) < 0 or int(y.max()) >= len(W):
        raise DataError(f"labels must be whole numbers from 0 to {len(W) - 1}, one for each row of weight.")
    logits = Z @ W.T + b
    if not bool(torch.isfinite(logits).all()):
        raise DataError("features, weight or bias hold values that are not finite numbers; influence is not defined for them.")
    A = Z if bias is None else torch.cat([Z, Z.new_ones(len(Z), 1)], 1)
    P = logits.softmax(1)
    y = y.to(torch.int64)
    return _Set(A, P, P - F.one_hot(y, len(W)), F.cross_entropy(logits, y, reduction="none"))


Solved = tuple[Tensor, float, int]


def _diagonal(own: _Set, asked: _Set, curved: _Set, damping: float, rtol: float) -> Solved:
    D = curved.R.square().T @ curved.A.square() / len(curved)
    return own.along(_divide(asked.mean_gradient(), D + damping)), 0.0, 0


def _diagonal_ggn(own: _Set, asked: _Set, curved: _Set, damping: float, rtol: float) -> Solved:
    D = (curved.P * (1 - curved.P)).T @ curved.A.square() / len(curved)
    return own.along(_divide(asked.mean_gradient(), D + damping)), 0.0, 0


def _gradient(own: _Set, asked: _Set, curved: _Set, damping: float, rtol: float) -> Solved:
    return own.along(asked.mean_gradient()), 0.0, 0


def _exact(own: _Set, asked: _Set, curved: _Set, damping: float, rtol: float) -> Solved:
    pays = damping < _PRECONDITION_BELOW and curved.A.shape[1] <= _PRECONDITION_WIDTH
    X, residual, iterations = conjugate_gradients(
        lambda V: curved.hessian_product(V) + damping * V,
        asked.mean_gradient(),
        rtol=rtol,
        precondition=_Kronecker(curved, corrected=False).inverse(damping) if pays else (lambda v: v),
    )
    return own.along(X), residual, iterations


def _kfac(own: _Set, asked: _Set, curved: _Set, damping: float, rtol: float) -> Solved:
    return own.along(_Kronecker(curved, corrected=False).inverse(damping)(asked.mean_gradient())), 0.0, 0


def _ekfac(own: _Set, asked: _Set, curved: _Set, damping: float, rtol: float) -> Solved:
    return own.along(_Kronecker(curved, corrected=True).inverse(damping)(asked.mean_gradient())), 0.0, 0


class _Kronecker:
    """H ≈ S ⊗ A in the eigenbases of S = mean(diag p − p pᵀ) and A = mean(a aᵀ) (Martens and Grosse 2015).

    `corrected` replaces the products of eigenvalues by the exact second moments in those bases (EK-FAC, George et al. 2018).
    """

    def __init__(self, samples: _Set, corrected: bool) -> None:
        n = len(samples)
        sigma, self.U = torch.linalg.eigh(torch.diag(samples.P.mean(0)) - samples.P.T @ samples.P / n)
        alpha, self.V = torch.linalg.eigh(samples.A.T @ samples.A / n)
        self.eigenvalues = sigma.clamp(min=0)[:, None] * alpha.clamp(min=0)
        if corrected:
            spread = samples.P @ self.U.square() - (samples.P @ self.U).square()  # u_iᵀ S_k u_i, (n, C)
            self.eigenvalues = spread.clamp(min=0).T @ (samples.A @ self.V).square() / n

    def inverse(self, damping: float) -> Callable[[Tensor], Tensor]:
        """G (C, d+1) to (H + λI)⁻¹ G; directions without curvature and damping are dropped (pseudo-inverse)."""

        def apply(G: Tensor) -> Tensor:
            return self.U @ _divide(self.U.T @ G @ self.V, self.eigenvalues + damping) @ self.V.T

        return apply


def _dual(own: _Set, asked: _Set, curved: _Set, damping: float, rtol: float) -> Solved:
    """Empirical Fisher F = (1/m) Σ g gᵀ of the curvature set through its Gram matrix K = (R Rᵀ) ∘ (A Aᵀ)."""
    m = len(curved)
    if m > DUAL_LIMIT:
        raise ConfigError(
            f"The dual estimator builds a {m:,} x {m:,} matrix; it takes at most {DUAL_LIMIT:,} samples. Use 'exact' instead."
        )
    K = (curved.R @ curved.R.T) * (curved.A @ curved.A.T)
    if asked is curved:  # push-through: (λI + F)⁻¹ g_F = (1/m) Gᵀ (λI + K/m)⁻¹ 1, stable down to λ = 0
        y = _solve(K, m * damping, K.new_ones(m))
        return own.along((curved.R * y[:, None]).T @ curved.A), 0.0, 0
    if damping == 0.0:
        raise ConfigError("The dual estimator with a separate query set needs a damping above 0.")
    g = asked.mean_gradient()
    y = _solve(K, m * damping, curved.along(g))  # Woodbury
    return own.along((g - (curved.R * y[:, None]).T @ curved.A) / damping), 0.0, 0


def _solve(K: Tensor, shift: float, b: Tensor) -> Tensor:
    K.diagonal().add_(shift)
    factor, failed = torch.linalg.cholesky_ex(K)
    if not int(failed):
        return torch.cholesky_solve(b[:, None], factor)[:, 0]
    return torch.linalg.lstsq(K, b[:, None], driver="gelsd").solution[:, 0]  # singular: the smallest solution


def _divide(numerator: Tensor, denominator: Tensor) -> Tensor:
    """Elementwise quotient, 0 where the denominator vanishes beside its largest entry."""
    floor = torch.finfo(denominator.dtype).eps * denominator.max()
    return torch.where(denominator > floor, numerator / denominator.clamp(min=torch.finfo(denominator.dtype).tiny), 0.0)


ESTIMATORS: dict[str, Callable[[_Set, _Set, _Set, float, float], Solved]] = {
    "diagonal": _diagonal,
    "diagonal_ggn": _diagonal_ggn,
    "exact": _exact,
    "kfac": _kfac,
    "ekfac": _ekfac,
    "gradient": _gradient,
    "dual": _dual,
}
