"""Influence through all layers of a network: Gauss-Newton products, conjugate gradients, and one directional derivative.

With J_i the Jacobian of sample i's logits in the parameters in scope and S_i = diag(p_i) − p_i p_iᵀ, the curvature is
H = (1/m) Σ J_iᵀ S_i J_i: never built, only multiplied with, a chunk of images at a time. Its head block is the head's Hessian, so
scope "head" is `head_scores(estimator="exact")` by another way. The Hessian proper of a deep network has negative directions,
in which (H + λI)⁻¹ means nothing; this matrix has none.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, jvp
from torch.nn import functional as F

from imu_core import runtime
from imu_core.errors import ConfigError, DataError
from imu_core.influence.solvers import Solved, check_scores, solving
from imu_core.models.head import find_head, trainable
from imu_core.models.inference import chunk_of, to_input
from imu_core.numeric import as_number, is_whole
from imu_core.progress import Task
from imu_core.records.run import Influence
from imu_core.settings import INFLUENCE

FULL_ESTIMATORS = ("exact", "diagonal", "gradient")
RTOL = {torch.float32: 1e-3, torch.float64: 1e-8}
MOST_ITERATIONS = 500
_BEFORE, _AFTER = 0.06, 0.94  # where on the progress bar the solve begins and ends

Pair = tuple[Tensor, Any]


@dataclass(eq=False)
class _Gradients:
    """Norms (n,) of the samples' gradients, the query's mean gradient and the mean squares, (P,) float64 each."""

    norms: Tensor
    mean: Tensor
    squares: Tensor | None


class FullInfluence(Task):
    """Influence of samples through the parameters in `scope`. Iterate it for (fraction done, words); then read `influences`.

        s_i = (1/N) g_Fᵀ (H + λI)⁻¹ g_i,   positive = helpful, as in `head_scores`
    g_F is the mean gradient of `query`, H the Gauss-Newton matrix of `curvature`; both default to the given samples. With
    x = (H + λI)⁻¹ g_F the scores are s_i = (1/N) (p_i − y_i)ᵀ J_i x: one forward-mode derivative for all samples.

    `cancel()` stops it at the next chunk of images; `outcome` says how it ended. `influences` (estimator → scores) holds what was
    finished, in the order of `estimators`, and `peaks` by how many bytes the process grew at most meanwhile. Each one's seconds
    include the gradients, which all share. The other arguments are those of `full_scores`; the model stays as it is.
    """

    def __init__(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Any,
        *,
        scope: str = "all",
        query: Pair | None = None,
        curvature: Pair | None = None,
        estimators: Sequence[str] = ("exact",),
        damping: float = INFLUENCE["damping"].default,
        total: int | None = None,
        double: bool = False,
        rtol: float | None = None,
        chunk: int | None = None,
        max_iterations: int = MOST_ITERATIONS,
    ) -> None:
        super().__init__()
        damping, total, rtol, chunk, max_iterations = map(as_number, (damping, total, rtol, chunk, max_iterations))
        self.dtype = torch.float64 if double else torch.float32
        self.rtol = RTOL[self.dtype] if rtol is None else rtol
        self.estimators, self.damping, self.scope = tuple(estimators), damping, scope
        self._check(total, chunk, max_iterations)
        self._network = _Network(model, scope, self.dtype)
        classes = find_head(model).out_features
        self._own = _checked(images, labels, classes, "images")
        self._query = self._own if query is None else _checked(*query, classes, "query")
        self._curved = self._own if curvature is None else _checked(*curvature, classes, "curvature")
        self._total = len(self._own[1]) if total is None else int(total)
        self._chunk, self._most = chunk or chunk_of(self._own[0]), max_iterations
        self.influences: dict[str, Influence] = {}
        self.peaks: dict[str, int] = {}

    @property
    def influence(self) -> Influence | None:
        """What the last estimator gave; None until it is done."""
        return self.influences.get(self.estimators[-1])

    def working(self) -> Iterator[tuple[float, str]]:
        """Compute the scores, yielding (fraction done, words). Raises ConvergenceError, DataError, and Cancelled once stopped."""
        memory, start = runtime.Memory(), time.perf_counter()
        gradients = yield from self._gradients()
        shared = (memory.peak(), time.perf_counter() - start)
        for estimator in self.estimators:
            memory, start = runtime.Memory(), time.perf_counter()
            x, residual, iterations = yield from self._solved(estimator, gradients)
            scores, losses = yield from self._along(x, _AFTER if estimator == self.estimators[-1] else _BEFORE)
            if not bool(torch.isfinite(scores).all()):
                raise DataError("The network's numbers are not finite on these images; influence is not defined for them.")
            if estimator != "gradient":
                gradient = max(float(gradients.norms.max()), float(gradients.mean.norm()))
                check_scores(scores * self._total / len(scores), losses, gradient, estimator, self.damping)
            seconds = shared[1] + time.perf_counter() - start
            about = (estimator, float(self.damping), self._total, residual, iterations, seconds, self.scope)
            self.influences[estimator] = Influence(scores, losses, gradients.norms, *about)
            self.peaks[estimator] = max(shared[0], memory.peak())

    def _check(self, total: int | None, chunk: int | None, max_iterations: int) -> None:
        for estimator in self.estimators or ("",):
            if estimator not in FULL_ESTIMATORS:
                allowed = ", ".join(FULL_ESTIMATORS)
                raise ConfigError(f"estimator is {estimator!r}; through more layers than the head allowed are {allowed}.")
        INFLUENCE["damping"].check(self.damping)
        INFLUENCE["rtol"].check(self.rtol)
        for name, count in (("total", total), ("chunk", chunk), ("max_iterations", max_iterations)):
            if count is not None and not (is_whole(count) and count >= 1):
                raise ConfigError(f"{name} is {count!r}; it must be a whole number from 1.")

    def _chunks(self, pair: tuple[Tensor, Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """Inputs and labels of a chunk at a time; here a Stop takes hold."""
        for images, labels in zip(*(part.split(self._chunk) for part in pair), strict=True):
            self._raise_if_cancelled()
            yield to_input(images) if images.dtype == torch.uint8 else images, labels

    def _gradients(self) -> Generator[tuple[float, str], None, _Gradients]:
        """What the estimators share: norms, the query's mean gradient and, for `diagonal`, the curvature set's mean squares."""
        own, diagonal = self._own, "diagonal" in self.estimators
        gradients = yield from self._per_sample(own, diagonal and self._curved is own)
        if self._query is not own:
            count = len(self._query[1])
            gradients.mean.zero_()
            for x, y in self._chunks(self._query):
                gradients.mean.add_(self._network.pull(x, lambda z, y=y: _residual(z, y)), alpha=1 / count)
                yield _BEFORE, "mean gradient of the query"
        if diagonal and self._curved is not own:
            gradients.squares = (yield from self._per_sample(self._curved, True)).squares
        return gradients

    def _per_sample(self, pair: tuple[Tensor, Tensor], squared: bool) -> Generator[tuple[float, str], None, _Gradients]:
        """One sample after another, so that only one gradient is ever there."""
        norms, mean, count = [], torch.zeros(self._network.size, dtype=torch.float64), len(pair[1])
        squares = torch.zeros_like(mean) if squared else None
        for x, y in self._chunks(pair):
            for image, label in zip(x.split(1), y.split(1), strict=True):
                g = self._network.pull(image, lambda z, label=label: _residual(z, label))
                norms.append(float(g.norm()))
                mean.add_(g, alpha=1 / count)
                if squares is not None:
                    squares.addcmul_(g, g, value=1 / count)
            share = len(norms) / count if pair is self._own else 1.0
            yield _BEFORE * share, f"gradients, {len(norms):,} of {count:,} samples"
        return _Gradients(torch.tensor(norms, dtype=torch.float64), mean, squares)

    def _solved(self, estimator: str, gradients: _Gradients) -> Generator[tuple[float, str], None, Solved]:
        """(x, residual, iterations) with (H + λI) x = g_F for the H of the estimator."""
        if estimator == "gradient":
            return gradients.mean, 0.0, 0
        if estimator == "diagonal":
            assert gradients.squares is not None
            flat = gradients.squares + self.damping
            return torch.where(flat > 0, gradients.mean / flat.clamp(min=torch.finfo(flat.dtype).tiny), 0.0), 0.0, 0
        solve, done = solving(gradients.mean, rtol=self.rtol, max_iterations=self._most), 0.0
        start = time.perf_counter()
        try:
            request = next(solve)
            while True:
                done = max(done, self._share(request.residual))
                left = f", about {(time.perf_counter() - start) * (1 - done) / done:.0f} s left" if done else ""
                words = f"iteration {request.iterations}, residual {request.residual:.0e} on the way to {self.rtol:.0e}{left}"
                request = solve.send((yield from self._product(request.vector, done, words)))
        except StopIteration as ended:
            return ended.value

    def _share(self, residual: float) -> float:
        """How much of the solve is done, 0 to 1, by the digits that the residual has gained."""
        return math.log(min(1.0, max(residual, self.rtol))) / math.log(self.rtol) if 0 < self.rtol < 1 else 0.0

    def _product(self, v: Tensor, done: float, words: str) -> Generator[tuple[float, str], None, Tensor]:
        """(H + λI) v; sums run over chunks in float64, so that many small ones lose nothing."""
        out, count = self.damping * v, len(self._curved[1])
        for x, _ in self._chunks(self._curved):
            tangent = self._network.push(x, v)[1].double()
            out += self._network.pull(x, lambda logits, t=tangent: _curved(logits, t) / count)
            yield _BEFORE + (_AFTER - _BEFORE) * done, words
        return out

    def _along(self, x: Tensor, at: float) -> Generator[tuple[float, str], None, tuple[Tensor, Tensor]]:
        """Scores and losses (n,): every sample's derivative along x, forward."""
        scores, losses, count = [], [], len(self._own[1])
        for images, y in self._chunks(self._own):
            logits, tangent = (part.double() for part in self._network.push(images, x))
            scores.append((_residual(logits, y) * tangent).sum(1) / self._total)
            losses.append(F.cross_entropy(logits, y, reduction="none"))
            yield at, f"scores, {sum(map(len, scores)):,} of {count:,} samples"
        return torch.cat(scores), torch.cat(losses)


def full_scores(model: nn.Module, images: Tensor, labels: Any, *, estimator: str = "exact", **settings: Any) -> Influence:
    """Signed influence of each sample on the loss of a set, with the curvature of all parameters in `scope`: `FullInfluence`.

    The network runs in eval mode (batch norm with its running statistics). By default products are float32, which in a deep
    network lead no further than a residual of some 1e-4; sums and vectors are float64, and the solve starts again from what it
    has until the true residual is within `rtol`: 1e-3, which moves few ranks, and those little. In `double` everything is float64
    and `rtol` 1e-8. The residual is that of the network in its own precision: in float64 a max-pool takes the other of two nearly
    equal pixels here and there, which is another function with another Jacobian.

    Args:
        images: (n, channels, h, w), uint8, or floats as the model takes them; labels: (n,) whole numbers below C.
        scope: head | last:K (head and the last K blocks) | all.
        query, curvature: (images, labels) pairs; the labels of `curvature` count for `diagonal` alone.
        estimator: exact (the Gauss-Newton matrix by conjugate gradients) | diagonal (empirical Fisher, mean g²) | gradient
            (H + λI replaced by I).
        damping: λ ≥ 0, absolute, in the units of H.
        total: N, the size of the training set the samples come from; n when not given.
        double: work in float64: twice the time and memory.
        rtol, max_iterations: of the solve. chunk: images at a time; it bounds the memory and moves only the last bits.

    Returns:
        Influence, with scores (n,) float64, losses in nats, gradient norms over the parameters in scope, residual and iterations.

    Raises:
        DataError and ConfigError for what does not fit, ConvergenceError when the true residual stays above `rtol`.

    Cost: an iteration is about five forward passes over `curvature`; no per-sample gradient is kept.
    Source: IMU, arXiv 2508.01620, Eq. 8 (full model) and 9 (head), Figure 2; Schraudolph 2002 for the product.
    """
    work = FullInfluence(model, images, labels, estimators=(estimator,), **settings)
    runtime.limit_threads()
    for _ in work.working():
        pass
    assert work.influence is not None
    return work.influence


class _Network:
    """A private copy of a model in eval mode, as a function of its parameters in scope, laid out in one float64 vector."""

    def __init__(self, model: nn.Module, scope: str, dtype: torch.dtype) -> None:
        opened = {id(parameter) for parameter in trainable(model, scope)}
        names = [name for name, parameter in model.named_parameters() if id(parameter) in opened]
        self._dtype, self._model = dtype, copy.deepcopy(model).eval().to(device="cpu", dtype=dtype)
        self._model.requires_grad_(False)
        self._parameters = {name: self._model.get_parameter(name) for name in names}
        self.size = sum(parameter.numel() for parameter in self._parameters.values())

    def _logits(self, parameters: dict[str, Tensor], x: Tensor) -> Tensor:
        return functional_call(self._model, parameters, (x.to(self._dtype),))

    @torch.no_grad()
    def push(self, x: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """(logits, J v), both (n, C), of inputs `x` in the direction `v` (size,)."""
        sizes = [parameter.numel() for parameter in self._parameters.values()]
        parts = zip(self._parameters.items(), v.split(sizes), strict=True)
        tangents = {name: part.view(p.shape).to(p.dtype) for (name, p), part in parts}
        return jvp(lambda parameters: self._logits(parameters, x), (self._parameters,), (tangents,))

    @torch.enable_grad()
    def pull(self, x: Tensor, cotangent: Callable[[Tensor], Tensor]) -> Tensor:
        """Jᵀ u (size,) float64, summed over the samples; `cotangent` makes u (n, C) from the logits."""
        leaves = {name: parameter.detach().requires_grad_() for name, parameter in self._parameters.items()}
        logits = self._logits(leaves, x)
        gradients = torch.autograd.grad(logits, list(leaves.values()), cotangent(logits.detach()), materialize_grads=True)
        return torch.cat([part.reshape(-1).double() for part in gradients])


def _residual(logits: Tensor, labels: Tensor) -> Tensor:
    """p − y (n, C), the gradient of every sample's cross-entropy in its logits; float64 within, as in `_curved`."""
    return (logits.double().softmax(1) - F.one_hot(labels, logits.shape[1])).to(logits.dtype)


def _curved(logits: Tensor, T: Tensor) -> Tensor:
    """S_i t_i for every row: (diag p − p pᵀ) t, (n, C), as the logits are.

    In float64: where a sample is sure, p t and p pᵀ t are nearly the same, and float32 would leave little of their difference.
    """
    P = logits.double().softmax(1)
    U = P * T
    return (U - P * U.sum(1, keepdim=True)).to(logits.dtype)


def _checked(images: Any, labels: Any, classes: int, name: str) -> tuple[Tensor, Tensor]:
    x, y = torch.as_tensor(images).detach(), torch.as_tensor(labels).detach()
    if x.ndim != 4 or y.shape != x.shape[:1] or not len(y):
        raise DataError(
            f"Shapes do not fit: {name} {tuple(x.shape)}, labels {tuple(y.shape)}; "
            "expected (n, channels, h, w) and (n,) with n at least 1."
        )
    if y.is_floating_point() or int(y.min()) < 0 or int(y.max()) >= classes:
        raise DataError(f"labels must be whole numbers from 0 to {classes - 1}, one for each class of the model.")
    return x, y.to(torch.int64)
