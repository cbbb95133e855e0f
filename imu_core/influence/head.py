"""Influence on a linear softmax head, in closed form: no per-sample loop, no autograd, no N x C x d array.

With a = [z; 1], p = softmax(W a), r = p − y and g = r ⊗ a, every estimator is one linear solve for a matrix X of the
head's shape followed by s_i = (1/N) r_iᵀ X a_i. For this head the Hessian, the Gauss-Newton matrix and the true Fisher
are the same, so `exact` approximates nothing. Everything is summed in float64; `exact` alone searches in float32 first, and
what it finds is corrected and checked in float64.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from imu_core.errors import ConfigError, ConvergenceError, DataError
from imu_core.influence.solvers import check_scores, conjugate_gradients
from imu_core.records.run import Influence
from imu_core.settings import INFLUENCE

DUAL_LIMIT = 10_000
_DUAL_RTOL = 1e-4  # what Woodbury's difference of nearly equal numbers must keep
_PART, _MOST_KEPT = 2**20, 2**25  # numbers in the rows worked on at once, and in a set whose parts are kept: 256 MB
_MOST_WIDTH = 8192  # of features or classes, for a preconditioner that needs eigendecompositions
_EIGEN = 10  # how many times m³ operations the eigendecomposition of an m x m matrix costs

Pair = tuple[Any, Any]


class _Part(NamedTuple):
    """Some rows of a set at one head: A (r, d+1) inputs with a one behind, P (C, r) probabilities, R = P − Y (C, r).

    Class by class, because a product of a flat matrix with a tall one is twice as fast as the other way round.
    """

    A: Tensor
    P: Tensor
    R: Tensor


class _Set:
    """One sample set at one head, worked through in parts, so that no copy of large features in float64 ever exists.

    A small set keeps its parts; a large one keeps P (n, C) alone and makes A and R of each part whenever it is needed.
    `losses` (n,) in nats, `norms` (n,) of the per-sample gradients.
    """

    def __init__(self, Z: Tensor, labels: Tensor, W: Tensor, b: Tensor | None) -> None:
        self._Z, self._y, self._has_bias = Z, labels, b is not None
        self.classes = len(W)
        self._rows, self.width = max(1, _PART // (Z.shape[1] + len(W))), Z.shape[1] + (b is not None)
        self._P = torch.empty(len(Z), len(W), dtype=torch.float64)
        self._kept: dict[torch.dtype, list[_Part]] = {}
        self._keeps = len(Z) * (self.width + 2 * len(W)) <= _MOST_KEPT
        self.losses, self.norms = (torch.empty(len(Z), dtype=torch.float64) for _ in range(2))
        theta = W if b is None else torch.cat([W, b[:, None]], 1)
        for rows in self._slices():
            A = self._inputs(rows, torch.float64)
            logits = A @ theta.T
            if not bool(torch.isfinite(logits).all()):
                raise DataError(
                    "features, weight or bias hold values that are not finite numbers; influence is not defined for them."
                )
            longest = float(A.norm(dim=1).max()) * len(Z)
            if not math.isfinite(longest * longest):
                raise DataError("The features are so large that their squares are no numbers. Scale them down.")
            self._P[rows] = logits.softmax(1)
            self.losses[rows] = F.cross_entropy(logits, labels[rows], reduction="none")
            part = self._part(rows, A)
            self.norms[rows] = part.R.norm(dim=0) * A.norm(dim=1)
            if self._keeps:
                self._kept.setdefault(torch.float64, []).append(part)

    def __len__(self) -> int:
        return len(self._Z)

    def _slices(self) -> list[slice]:
        return [slice(start, start + self._rows) for start in range(0, len(self), self._rows)]

    def _inputs(self, rows: slice, dtype: torch.dtype) -> Tensor:
        Z = self._Z[rows]
        if not self._has_bias:
            return Z.to(dtype)
        A = Z.new_empty(len(Z), self.width, dtype=dtype)
        A[:, :-1], A[:, -1] = Z, 1
        return A

    def _part(self, rows: slice, A: Tensor) -> _Part:
        P = self._P[rows].T.to(A.dtype).contiguous()
        R = P.clone()
        R[self._y[rows], torch.arange(len(A))] -= 1
        return _Part(A, P, R)

    def parts(self, dtype: torch.dtype = torch.float64) -> Iterable[_Part]:
        """The set, part by part, in `dtype`."""
        if dtype in self._kept:
            return self._kept[dtype]
        made = (self._part(rows, self._inputs(rows, dtype)) for rows in self._slices())
        return self._kept.setdefault(dtype, list(made)) if self._keeps else made

    def mean(self, of: Callable[[_Part], Tensor], dtype: torch.dtype = torch.float64) -> Tensor:
        """(1/n) Σ of what `of` sums over the rows of a part."""
        total: Tensor | None = None
        for part in self.parts(dtype):
            total = of(part) if total is None else total.add_(of(part))
        assert total is not None
        return total / len(self)

    def mean_gradient(self) -> Tensor:
        """(C, d+1): (1/n) Rᵀ A."""
        return self.mean(lambda part: part.R @ part.A)

    def along(self, X: Tensor) -> Tensor:
        """Inner product of every per-sample gradient with X (C, d+1): r_iᵀ X a_i, (n,)."""
        return torch.cat([(part.R * (X @ part.A.T)).sum(0) for part in self.parts()])

    def hessian_product(self, V: Tensor) -> Tensor:
        """H V for V (C, d+1), H = (1/n) Σ (diag p − p pᵀ) ⊗ a aᵀ, in V's precision; costs 4 n (d+1) C operations."""
        total = torch.zeros_like(V)
        for A, P, _ in self.parts(V.dtype):
            U = P * (V @ A.T)
            total += (U - P * U.sum(0)) @ A
        return total / len(self)


def head_scores(
    features: Any,
    labels: Any,
    weight: Any,
    bias: Any = None,
    *,
    query: Pair | None = None,
    curvature: Pair | None = None,
    estimator: str = INFLUENCE["estimator"].default,
    damping: float = INFLUENCE["damping"].default,
    total: int | None = None,
    rtol: float = INFLUENCE["rtol"].default,
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
        ConvergenceError when `exact` does not reach `rtol`, or scores are of no sensible size (no damping, a head that is sure).

    Cost: O(n d C), times the iterations for `exact`; (d+1)³ + C³ more for kfac and ekfac; n³ for dual.
    Source: IMU, arXiv 2508.01620, Eq. 4 and 16; closed forms derived and checked against dense solves in the tests.
    """
    start = time.perf_counter()
    estimator, damping = INFLUENCE["estimator"].check(estimator), INFLUENCE["damping"].check(damping)
    total, rtol = INFLUENCE["total"].check(total), INFLUENCE["rtol"].check(rtol)
    own = _sample_set(features, labels, weight, bias)
    query_set = own if query is None else _sample_set(*query, weight, bias)
    curved = own if curvature is None else _sample_set(*curvature, weight, bias)
    N = len(own) if total is None else int(total)
    try:
        inner, residual, iterations = ESTIMATORS[estimator](own, query_set, curved, damping, rtol)
    except torch.linalg.LinAlgError as error:
        raise ConvergenceError(
            f"The curvature for {estimator!r} cannot be taken apart: features or logits are too large for its numbers. Scale the "
            "features down, or use another estimator."
        ) from error
    if not damping and not inner.any() and own.along(query_set.mean_gradient()).any():
        raise ConvergenceError(
            f"Every score by {estimator!r} is 0, though the gradients are not: the network is so sure of its answers that no "
            "curvature is left to divide by. Raise the damping, which is 0."
        )
    if estimator != "gradient" or not bool(torch.isfinite(inner).all()):
        gradient = max(float(own.norms.max()), float(query_set.norms.max()))
        check_scores(inner / len(own), torch.cat([own.losses, query_set.losses]), gradient, estimator, damping)
    return Influence(
        inner / N,
        own.losses,
        own.norms,
        estimator,
        float(damping),
        N,
        residual,
        iterations,
        time.perf_counter() - start,
    )


def _sample_set(features: Any, labels: Any, weight: Any, bias: Any) -> _Set:
    Z, W = (torch.as_tensor(t).detach() for t in (features, weight))
    Z = Z if Z.dtype in (torch.float32, torch.float64) else Z.to(torch.float64)
    y = torch.as_tensor(labels).detach()
    if Z.ndim != 2 or W.ndim != 2 or Z.shape[1] != W.shape[1] or y.shape != Z.shape[:1] or not len(Z):
        raise DataError(
            f"Shapes do not fit: features {tuple(Z.shape)}, labels {tuple(y.shape)}, weight {tuple(W.shape)}; "
            "expected (n, d), (n,) and (C, d) with n at least 1."
        )
    b = None if bias is None else torch.as_tensor(bias).detach().to(torch.float64)
    if b is not None and b.shape != W.shape[:1]:
        raise DataError(f"bias has shape {tuple(b.shape)}; expected ({len(W)},), one number a class.")
    if y.is_floating_point() or int(y.min()) < 0 or int(y.max()) >= len(W):
        raise DataError(f"labels must be whole numbers from 0 to {len(W) - 1}, one for each row of weight.")
    return _Set(Z, y.to(torch.int64), W.to(torch.float64), b)


Solved = tuple[Tensor, float, int]


def _diagonal(own: _Set, query_set: _Set, curved: _Set, damping: float, rtol: float) -> Solved:
    D = curved.mean(lambda part: part.R.square() @ part.A.square())
    return own.along(_divide(query_set.mean_gradient(), D + damping)), 0.0, 0


def _diagonal_ggn(own: _Set, query_set: _Set, curved: _Set, damping: float, rtol: float) -> Solved:
    D = curved.mean(lambda part: (part.P * (1 - part.P)) @ part.A.square())
    return own.along(_divide(query_set.mean_gradient(), D + damping)), 0.0, 0


def _gradient(own: _Set, query_set: _Set, curved: _Set, damping: float, rtol: float) -> Solved:
    return own.along(query_set.mean_gradient()), 0.0, 0


def _exact(own: _Set, query_set: _Set, curved: _Set, damping: float, rtol: float) -> Solved:
    m, C = curved.width, curved.classes
    pays = damping > 0 and max(m, C) <= _MOST_WIDTH
    X, residual, iterations = conjugate_gradients(
        lambda V: curved.hessian_product(V) + damping * V,
        query_set.mean_gradient(),
        rtol=rtol,
        precondition=(lambda: _Kronecker(curved, corrected=False, precision=torch.float32).inverse(damping)) if pays else None,
        patience=_patience(len(curved), m, C),
        rough=torch.float32 if damping else None,
    )
    return own.along(X), residual, iterations


def _patience(n: int, m: int, C: int) -> int:
    """Products with H that cost as much as K-FAC's factors: so long the plain iteration may go on, at twice the best cost."""
    return 2 + (2 * n * (m * m + C * C) + _EIGEN * (m**3 + C**3)) // (4 * n * m * C)


def _kfac(own: _Set, query_set: _Set, curved: _Set, damping: float, rtol: float) -> Solved:
    return own.along(_Kronecker(curved, corrected=False).inverse(damping)(query_set.mean_gradient())), 0.0, 0


def _ekfac(own: _Set, query_set: _Set, curved: _Set, damping: float, rtol: float) -> Solved:
    return own.along(_Kronecker(curved, corrected=True).inverse(damping)(query_set.mean_gradient())), 0.0, 0


class _Kronecker:
    """H ≈ S ⊗ A in the eigenbases of S = mean(diag p − p pᵀ) and A = mean(a aᵀ) (Martens and Grosse 2015).

    `corrected` replaces the products of eigenvalues by the exact second moments in those bases (EK-FAC, George et al. 2018).
    `precision` float32 will do for a preconditioner, and takes half the time.
    """

    def __init__(self, samples: _Set, corrected: bool, precision: torch.dtype = torch.float64) -> None:
        p = samples.mean(lambda part: part.P.sum(1), precision)
        sigma, self.U = torch.linalg.eigh(torch.diag(p) - samples.mean(lambda part: part.P @ part.P.T, precision))
        alpha, self.V = torch.linalg.eigh(samples.mean(lambda part: part.A.T @ part.A, precision))
        self.eigenvalues = sigma.clamp(min=0).double()[:, None] * alpha.clamp(min=0).double()
        if corrected:
            self.eigenvalues = samples.mean(self._moments)

    def _moments(self, part: _Part) -> Tensor:
        spread = self.U.square().T @ part.P - (self.U.T @ part.P).square()  # u_iᵀ S_k u_i, (C, r)
        return spread.clamp(min=0) @ (part.A @ self.V).square()

    def inverse(self, damping: float) -> Callable[[Tensor], Tensor]:
        """G (C, d+1) to (H + λI)⁻¹ G; directions without curvature and damping are dropped (pseudo-inverse)."""

        scale = _divide(torch.ones_like(self.eigenvalues), self.eigenvalues + damping)

        def apply(G: Tensor) -> Tensor:
            U, V = self.U.to(G.dtype), self.V.to(G.dtype)
            return U @ ((U.T @ G @ V) * scale.to(G.dtype)) @ V.T

        return apply


def _dual(own: _Set, query_set: _Set, curved: _Set, damping: float, rtol: float) -> Solved:
    """Empirical Fisher F = (1/m) Σ g gᵀ of the curvature set through its Gram matrix K = (R Rᵀ) ∘ (A Aᵀ)."""
    m = len(curved)
    if m > DUAL_LIMIT:
        raise ConfigError(
            f"The dual estimator builds a {m:,} x {m:,} matrix; it takes at most {DUAL_LIMIT:,} samples. Use 'exact' instead."
        )
    K = torch.cat([_gram(part, curved) for part in curved.parts()])
    if query_set is curved:  # push-through: (λI + F)⁻¹ g_F = (1/m) Gᵀ (λI + K/m)⁻¹ 1, stable down to λ = 0
        y = _solve(K, m * damping, K.new_ones(m))
        return own.along(_combined(curved, y)), 0.0, 0
    if damping == 0.0:
        raise ConfigError("The dual estimator with a separate query set needs a damping above 0.")
    g = query_set.mean_gradient()
    y = _solve(K, m * damping, curved.along(g))  # Woodbury
    X = (g - _combined(curved, y)) / damping
    left = g - damping * X - _combined(curved, curved.along(X)) / m
    residual = float(left.norm() / g.norm()) if bool(g.any()) else 0.0
    if not residual <= _DUAL_RTOL:
        raise ConvergenceError(
            f"With a damping of {damping:g} the dual estimator loses its digits: its residual is {residual:.1e}. Raise it."
        )
    return own.along(X), residual, 0


def _gram(part: _Part, of: _Set) -> Tensor:
    """Inner products of a part's gradients with all those of `of`, (r, m)."""
    return torch.cat([(part.R.T @ other.R) * (part.A @ other.A.T) for other in of.parts()], 1)


def _combined(samples: _Set, y: Tensor) -> Tensor:
    """Σ y_i r_i ⊗ a_i, (C, d+1)."""
    starts = torch.tensor([len(part.A) for part in samples.parts()]).cumsum(0)[:-1]
    pieces = zip(samples.parts(), y.tensor_split(starts), strict=True)
    return sum(((part.R * piece) @ part.A for part, piece in pieces), torch.zeros(()))


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
