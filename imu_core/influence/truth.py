"""What leaving samples out really does to a head: it is trained to its optimum again, without one sample, and on half sets.

With an L2 term the loss of a linear softmax head has exactly one minimum, so "trained without" has one right answer:

    θ* = argmin (1/N) Σ_i ℓ_i(θ) + (λ/2) ‖θ‖²,    θ = (W, b)

Leaving sample i out drops ℓ_i and keeps 1/N, as influence assumes. Hundreds of these problems are solved side by side by
Newton's method with one Hessian for all of them; the gradient that decides is the true one, in float64.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from imu_core.errors import ConfigError, ConvergenceError, DataError
from imu_core.influence import ranking
from imu_core.influence.head import ESTIMATORS, head_scores
from imu_core.influence.scoring import MANY
from imu_core.metrics.intervals import spearman_interval
from imu_core.progress import Task
from imu_core.settings import INFLUENCE

MOST_PARAMETERS = 6_000  # of a head whose Hessian is taken apart as a whole
_AT_ONCE = 2**22  # logits in memory at once, over all refits worked on
_GRADIENT = 1e-8  # norm at which an optimum is reached
_STEPS = 60
_SLOW = 0.5  # of its gradient that a step must leave at most


@dataclass(frozen=True, eq=False)
class Head:
    """A head at its optimum: `theta` (C, d+1) with the biases in the last column, and the norm of its gradient there."""

    theta: Tensor
    gradient: float

    @property
    def weight(self) -> Tensor:
        """W (C, d)."""
        return self.theta[:, :-1]

    @property
    def bias(self) -> Tensor:
        """b (C,)."""
        return self.theta[:, -1]


@dataclass(frozen=True, eq=False)
class Truth:
    """What really happened to the mean loss of the query set, in nats.

    `left_out` (k,) positions of the samples that were left out, one at a time, and `changes` (k,) by how much the loss rose.
    `halves` (m, N) bool, the samples of each random half, and `half_losses` (m,) of the heads trained on them. `head` is the
    head trained on everything, `l2` the term λ.
    """

    l2: float
    head: Head
    loss: float
    left_out: Tensor
    changes: Tensor
    halves: Tensor
    half_losses: Tensor
    seconds: float


@dataclass(frozen=True)
class Match:
    """How scores agree with the truth.

    `slope` of the line that fits the real changes best to the predicted ones (1: predictions are of the right size), `pearson`,
    `spearman` with its 95 % interval over the samples left out; `lds` is Spearman's correlation of summed scores with the losses
    of the half sets, with its interval; nan where that was not asked.
    """

    slope: float
    pearson: float
    spearman: float
    low: float
    high: float
    lds: float
    lds_low: float
    lds_high: float


class HeadProblem:
    """The loss of a head on a set, for many weightings of its samples at once."""

    def __init__(self, features: Any, labels: Any, classes: int, l2: float) -> None:
        Z = torch.as_tensor(features).detach().to(torch.float64)
        self.y, self.l2, self.classes = torch.as_tensor(labels).detach().to(torch.int64), l2, classes
        if Z.ndim != 2 or self.y.shape != Z.shape[:1] or not len(Z):
            raise DataError(f"Shapes do not fit: features {tuple(Z.shape)}, labels {tuple(self.y.shape)}; (n, d) and (n,) do.")
        self.A = torch.cat([Z, torch.ones(len(Z), 1, dtype=torch.float64)], 1)
        count = classes * self.A.shape[1]
        if count > MOST_PARAMETERS:
            raise ConfigError(
                f"This head has {count:,} parameters. Leaving samples out takes its whole Hessian; {MOST_PARAMETERS:,} fit."
            )

    def residuals(self, thetas: Tensor) -> Tensor:
        """P − Y of every sample at every head: (B, C, n) for `thetas` (B, C, d+1)."""
        logits = (thetas.reshape(-1, self.A.shape[1]) @ self.A.T).view(len(thetas), self.classes, -1)
        R = logits.softmax(1)
        R[:, self.y, torch.arange(len(self.y))] -= 1
        return R

    def gradients(self, thetas: Tensor, weights: Tensor) -> Tensor:
        """Gradients (B, C, d+1) at `thetas`, the loss of sample i counted with `weights` (B, n)."""
        rows = max(1, _AT_ONCE // (self.classes * len(self.y)))
        parts = []
        for some, weighted in zip(thetas.split(rows), weights.split(rows), strict=True):
            R = self.residuals(some).mul_(weighted[:, None])
            parts.append((R.view(-1, len(self.y)) @ self.A).view_as(some))
        return torch.cat(parts).add_(thetas, alpha=self.l2)

    def factor(self, theta: Tensor, weights: Tensor) -> Tensor:
        """Cholesky factor of Σ w_i (diag p − p pᵀ) ⊗ a aᵀ + λI, (C(d+1), C(d+1)); float32 sums, since it only leads the way."""
        A, P = self.A.float(), (self.A @ theta.T).softmax(1).float()
        m, weighted = A.shape[1], A * weights.float()[:, None]
        H = torch.empty(self.classes, m, self.classes, m)
        for c in range(self.classes):
            for other in range(c, self.classes):
                p = P[:, c] * ((1 if other == c else 0) - P[:, other])
                block = weighted.T @ (A * p[:, None])
                H[c, :, other, :], H[other, :, c, :] = block, block.T
        size = self.classes * m
        H = H.view(size, size).double()
        H.diagonal().add_(self.l2)
        factor, failed = torch.linalg.cholesky_ex(H)
        if int(failed) or not bool(torch.isfinite(factor).all()):
            raise ConvergenceError(f"Under an L2 term of {self.l2:g} the curvature is too flat to be taken apart. Raise it.")
        return factor

    def full_weights(self) -> Tensor:
        """1/N for every sample, (N,)."""
        return torch.full((len(self.y),), 1 / len(self.y), dtype=torch.float64)

    def objective(self, theta: Tensor) -> float:
        """Mean loss and L2 term at `theta`."""
        logits = self.A @ theta.T
        return float(torch.nn.functional.cross_entropy(logits, self.y) + 0.5 * self.l2 * theta.square().sum())

    def probabilities(self, thetas: Tensor, features: Tensor) -> Tensor:
        """Class probabilities of one sample (d,) at each of `thetas` (B, C, d+1): (B, C)."""
        return (thetas @ torch.cat([features.double(), torch.ones(1, dtype=torch.float64)])).softmax(1)

    def optimum(self, theta: Tensor) -> Iterator[tuple[float, Tensor]]:
        """Newton's method from `theta`: yields (norm of the gradient, where it is) before every step and at the optimum."""
        weights, value, size = self.full_weights(), self.objective(theta), 0.0
        for _ in range(_STEPS):
            gradient = self.gradients(theta[None], weights[None])
            size = float(gradient.norm())
            yield size, theta
            if size <= _GRADIENT:
                return
            step, length = _solved(self.factor(theta, weights), gradient)[0], 1.0
            while True:  # a whole step may lead too far where the head is sure of its answers
                there = theta - length * step
                reached = self.objective(there)
                if reached <= value + 1e-12 * abs(value) or length < 1e-4:
                    break
                length /= 2
            theta, value = there, reached
        raise ConvergenceError(
            f"Under an L2 term of {self.l2:g} the head does not reach its optimum; its gradient is {size:.0e}."
        )

    def refits(self, theta: Tensor, weights: Tensor, first: Tensor | None = None) -> Iterator[tuple[int, Tensor]]:
        """The optimum under each of `weights` (B, n), from `theta`: yields (how many are there, thetas (B, C, d+1)) as it goes.

        `first` are the gradients at `theta`, where they are known. One factor serves all; whoever gets on slowly with it gets
        one of its own.
        """
        thetas, shared = theta.repeat(len(weights), 1, 1), self.factor(theta, self.full_weights())
        left, before = torch.arange(len(weights)), torch.full((len(weights),), torch.inf, dtype=torch.float64)
        for step in range(_STEPS):
            gradients = first if first is not None and not step else self.gradients(thetas[left], weights[left])
            sizes = gradients.flatten(1).norm(dim=1)
            slow = (sizes > _GRADIENT) & (sizes > _SLOW * before[left])
            quick = (sizes > _GRADIENT) & ~slow
            before[left] = sizes
            for place in slow.nonzero().flatten().tolist():
                one = left[place]
                thetas[one] -= _solved(self.factor(thetas[one], weights[one]), gradients[place][None])[0]
                yield len(weights) - len(left), thetas
            thetas[left[quick]] -= _solved(shared, gradients[quick])
            left = left[quick | slow]
            yield len(weights) - len(left), thetas
            if not len(left):
                return
        raise ConvergenceError(f"{len(left)} refits did not reach their optimum under an L2 term of {self.l2:g}. Raise it.")


def _loss(features: Tensor, labels: Tensor, thetas: Tensor) -> Tensor:
    """Mean cross-entropy of (features, labels) at each of `thetas` (B, C, d+1), nats, (B,)."""
    A = torch.cat([features.double(), torch.ones(len(features), 1, dtype=torch.float64)], 1)
    logits = torch.einsum("nm,bcm->bnc", A, thetas)
    return (logits.logsumexp(2) - logits[:, torch.arange(len(A)), labels]).mean(1)


def _solved(factor: Tensor, gradients: Tensor) -> Tensor:
    """H⁻¹ G for each of `gradients` (B, C, d+1)."""
    return torch.cholesky_solve(gradients.flatten(1).T, factor).T.reshape(gradients.shape)


class LeavingOut(Task):
    """Retrains a head without each of some samples and on random halves; iterate it for (fraction done, words).

    Args:
        features, labels: (N, d) and (N,), all that the head is trained on; weight, bias: where the search begins.
        query: (features, labels), the set whose mean loss is watched; by default all samples.
        left_out: positions of the samples to leave out, one at a time.
        halves: how many random halves, drawn from `seed`.
        l2: λ > 0.

    Afterwards `found` is the Truth. Raises, or ends with, DataError for shapes that do not fit, ConfigError for a head that is
    too large or an `l2` that is none, ConvergenceError where an optimum is not reached.
    Source: influence held against retraining, Koh and Liang 2017; the linear datamodelling score, Park et al. 2023 (TRAK).
    """

    def __init__(
        self,
        features: Any,
        labels: Any,
        weight: Any,
        bias: Any = None,
        *,
        query: tuple[Any, Any] | None = None,
        left_out: Any = (),
        halves: int = 0,
        l2: float = INFLUENCE["damping"].default,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not l2 > 0:
            raise ConfigError(f"l2 is {l2:g}; it must be above 0, or the head has no single optimum.")
        W = torch.as_tensor(weight).detach().double()
        b = torch.zeros(len(W), dtype=torch.float64) if bias is None else torch.as_tensor(bias).detach().double()
        self._start = torch.cat([W, b[:, None]], 1)
        self._set = HeadProblem(features, labels, len(W), float(l2))
        self._query = (self._set.A[:, :-1], self._set.y) if query is None else tuple(map(torch.as_tensor, query))
        self._left_out = torch.as_tensor(left_out, dtype=torch.int64)
        if len(self._left_out) and not 0 <= int(self._left_out.min()) <= int(self._left_out.max()) < len(self._set.y):
            raise DataError(f"left_out holds positions outside of 0 to {len(self._set.y) - 1}, the samples there are.")
        self._halves, self._seed = halves, seed
        self.found: Truth | None = None

    def working(self) -> Iterator[tuple[float, str]]:
        """Find the optimum, then all refits; `found` is there at the end."""
        began, everything, N = time.perf_counter(), self._set, len(self._set.y)
        size, theta = 1.0, self._start
        for size, theta in everything.optimum(self._start):  # noqa: B007
            yield 0.0, f"training the head to its optimum: gradient {size:.0e}"
            self._raise_if_cancelled()
        loss = float(_loss(*self._query, theta[None])[0])

        count, weights = len(self._left_out), everything.full_weights()
        without = weights.repeat(count, 1)
        without[torch.arange(count), self._left_out] = 0
        R = everything.residuals(theta[None])[0][:, self._left_out]
        own = torch.einsum("ck,km->kcm", R, everything.A[self._left_out]) / N
        first, thetas = everything.gradients(theta[None], weights[None]) - own, theta.repeat(count, 1, 1)
        for done, thetas in everything.refits(theta, without, first) if count else ():  # noqa: B007
            yield 0.2 + 0.3 * done / count, f"leaving out one sample: {done} of {count}"
            self._raise_if_cancelled()
        changes = _loss(*self._query, thetas) - loss

        generator = torch.Generator().manual_seed(self._seed)
        masks = torch.zeros(self._halves, N, dtype=torch.bool)
        for mask in masks:
            mask[torch.randperm(N, generator=generator)[: N // 2]] = True
        on_half, fits = masks.double() / max(1, N // 2), theta.repeat(self._halves, 1, 1)
        for done, fits in everything.refits(theta, on_half) if self._halves else ():  # noqa: B007
            yield 0.5 + 0.5 * done / self._halves, f"training on a random half: {done} of {self._halves}"
            self._raise_if_cancelled()
        losses = _loss(*self._query, fits)
        seconds = time.perf_counter() - began
        self.found = Truth(everything.l2, Head(theta, size), loss, self._left_out, changes, masks, losses, seconds)


def match(truth: Truth, scores: Any, everywhere: Any = None) -> Match:
    """How `scores` (k,) of the samples left out agree with what leaving them out did; LDS needs those of all samples, (N,)."""
    predicted, real = np.asarray(scores, dtype=np.float64), truth.changes.numpy()
    varies = len(real) > 1 and np.ptp(predicted) > 0 and np.ptp(real) > 0
    slope, pearson, rho, lds = np.nan, np.nan, np.nan, np.nan
    if varies:
        slope, pearson = float(np.polyfit(predicted, real, 1)[0]), float(np.corrcoef(predicted, real)[0, 1])
        rho = ranking.spearman(predicted, real)
    if everywhere is not None and len(truth.halves):
        sums = -(truth.halves.double() @ torch.as_tensor(everywhere).double())  # helpful samples make the loss smaller
        lds = ranking.spearman(sums, truth.half_losses)
    return Match(slope, pearson, rho, *spearman_interval(rho, len(real)), lds, *spearman_interval(lds, len(truth.half_losses)))


def predictions(
    truth: Truth, features: Any, labels: Any, query: tuple[Any, Any], estimators: tuple[str, ...] = tuple(ESTIMATORS)
) -> Iterator[tuple[str, Tensor]]:
    """(estimator, its scores of all samples, (N,)), at the optimum, with the curvature of all samples and λ as damping.

    An estimator that refuses so many samples, or takes seconds for them, is left out.
    """
    for name in estimators:
        if name == "dual" and len(labels) > MANY:
            continue
        head = (truth.head.weight, truth.head.bias)
        try:
            yield name, head_scores(features, labels, *head, query=query, estimator=name, damping=truth.l2).scores
        except (ConfigError, ConvergenceError):
            continue


def matches(
    truth: Truth, features: Any, labels: Any, query: tuple[Any, Any], estimators: tuple[str, ...] = tuple(ESTIMATORS)
) -> dict[str, Match]:
    """A Match for each of `estimators`, from its `predictions`."""
    made = predictions(truth, features, labels, query, estimators)
    return {name: match(truth, scores[truth.left_out], scores) for name, scores in made}
