"""Influence through all layers of a network: Gauss-Newton products, conjugate gradients, and one directional derivative.

With J_i the Jacobian of sample i's logits in the parameters in scope and S_i = diag(p_i) − p_i p_iᵀ, the curvature is
H = (1/m) Σ J_iᵀ S_i J_i: never built, only multiplied with, a chunk of images at a time. Its head block is the head's Hessian, so
scope "head" is `head_scores(estimator="exact")` by another way. The Hessian proper of a deep network has negative directions,
in which (H + λI)⁻¹ means nothing; this matrix has none.
"""

from __future__ import annotations

import copy
import math
import threading
import time
from collections.abc import Generator, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, jvp
from torch.nn import functional as F

from imu_core import runtime
from imu_core.errors import Cancelled, ConfigError, DataError, ImuError
from imu_core.influence.solvers import solving
from imu_core.models.head import find_head, trainable
from imu_core.records import Influence, Outcome
from imu_core.training import chunk_of, to_input

FULL_ESTIMATORS = ("exact", "diagonal", "gradient")
RTOL = {torch.float32: 1e-4, torch.float64: 1e-8}  # float32 products carry noise of about 1e-6 times the condition number
MOST_ITERATIONS = 500
_BEFORE, _AFTER = 0.06, 0.94  # where on the progress bar the solve begins and ends

Pair = tuple[Tensor, Any]
Working = Generator[tuple[float, str], None, Tensor]


class FullInfluence:
    """Influence of samples through the parameters in `scope`. Iterate it for (fraction done, words); then read `influence`.

        s_i = (1/N) g_Fᵀ (H + λI)⁻¹ g_i,   positive = helpful, as in `head_scores`
    g_F is the mean gradient of `query`, H the Gauss-Newton matrix of `curvature`; both default to the given samples. With
    x = (H + λI)⁻¹ g_F the scores are s_i = (1/N) (p_i − y_i)ᵀ J_i x: one forward-mode derivative for all samples.

    `cancel()` stops it at the next chunk of images; `outcome` says how it ended, and `influence` is None unless it is done.
    `full_scores` has the arguments; both copy the model and leave it as it is.
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
        estimator: str = "exact",
        damping: float = 1e-2,
        total: int | None = None,
        double: bool = False,
        rtol: float | None = None,
        chunk: int | None = None,
        max_iterations: int = MOST_ITERATIONS,
    ) -> None:
        self.dtype = torch.float64 if double else torch.float32
        self.rtol = RTOL[self.dtype] if rtol is None else rtol
        self.estimator, self.damping, self.scope = estimator, damping, scope
        self._check(total, chunk, max_iterations)
        self._network = _Network(model, scope, self.dtype)
        classes = find_head(model).out_features
        self._own = _checked(images, labels, classes, "images")
        self._query = self._own if query is None else _checked(*query, classes, "query")
        self._curved = self._own if curvature is None else _checked(*curvature, classes, "curvature")
        self._total = len(self._own[1]) if total is None else int(total)
        self._chunk, self._most = chunk or chunk_of(self._own[0]), max_iterations
        self._residual, self._iterations = 0.0, 0
        self.influence: Influence | None = None
        self.outcome = Outcome("queued")
        self._cancel = threading.Event()

    def cancel(self) -> None:
        """Ask it to stop; safe from any thread."""
        self._cancel.set()

    def __iter__(self) -> Iterator[tuple[float, str]]:
        runtime.limit_threads()
        self.outcome = Outcome("running")
        try:
            yield from self.working()
            self.outcome = Outcome("done")
            yield 1.0, "done"
        except Cancelled as error:
            self.outcome = Outcome("cancelled", str(error))
        except ImuError as error:
            self.outcome = Outcome("failed", str(error))

    def working(self) -> Iterator[tuple[float, str]]:
        """The same without the last line and with its errors raised: ConvergenceError, DataError, Cancelled."""
        start = time.perf_counter()
        norms, squares = yield from self._per_sample()
        x = yield from self._solved((yield from self._mean_gradient()), squares)
        scores, losses = yield from self._along(x)
        if not bool(torch.isfinite(scores).all()):
            raise DataError("The network's numbers are not finite on these images; influence is not defined for them.")
        about = (self.estimator, float(self.damping), self._total, self._residual, self._iterations)
        self.influence = Influence(scores, losses, norms, *about, time.perf_counter() - start, self.scope)

    def _check(self, total: int | None, chunk: int | None, max_iterations: int) -> None:
        if self.estimator not in FULL_ESTIMATORS:
            allowed = ", ".join(FULL_ESTIMATORS)
            raise ConfigError(f"estimator is {self.estimator!r}; through more layers than the head allowed are {allowed}.")
        for name, value in (("damping", self.damping), ("rtol", self.rtol)):
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0.0 <= value < math.inf:
                raise ConfigError(f"{name} is {value!r}; it must be a finite number from 0.")
        for name, count in (("total", total), ("chunk", chunk), ("max_iterations", max_iterations)):
            if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < 1):
                raise ConfigError(f"{name} is {count!r}; it must be a whole number from 1.")

    def _chunks(self, pair: tuple[Tensor, Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """Inputs and labels of a chunk at a time; here a Stop takes hold."""
        for images, labels in zip(*(part.split(self._chunk) for part in pair), strict=True):
            if self._cancel.is_set():
                raise Cancelled("Stopped by you.")
            yield (to_input(images) if images.dtype == torch.uint8 else images).to(self.dtype), labels

    def _per_sample(self) -> Generator[tuple[float, str], None, tuple[Tensor, Tensor | None]]:
        """Every sample's gradient norm (n,), and for `diagonal` the mean squared gradients of the curvature set."""
        diagonal = self.estimator == "diagonal"
        shared = diagonal and self._curved is self._own
        norms, squares = yield from self._gradients(self._own, shared, "gradient norms")
        if diagonal and not shared:
            _, squares = yield from self._gradients(self._curved, True, "squared gradients")
        return norms, squares

    def _gradients(
        self, pair: tuple[Tensor, Tensor], squared: bool, words: str
    ) -> Generator[tuple[float, str], None, tuple[Tensor, Tensor | None]]:
        """Norms (n,) of the gradients, one sample after another so that only one is ever there, and their mean squares."""
        norms, count = [], len(pair[1])
        squares = torch.zeros(self._network.size, dtype=torch.float64) if squared else None
        for x, y in self._chunks(pair):
            for image, label in zip(x.split(1), y.split(1), strict=True):
                g = self._network.pull(image, lambda logits, label=label: logits.softmax(1) - _one_hot(label, logits))
                norms.append(float(g.norm()))
                if squares is not None:
                    squares.addcmul_(g, g, value=1 / count)
            yield 0.8 * _BEFORE * len(norms) / count, f"{words}, {len(norms):,} of {count:,} samples"
        return torch.tensor(norms, dtype=torch.float64), squares

    def _mean_gradient(self) -> Working:
        g, count = torch.zeros(self._network.size, dtype=torch.float64), len(self._query[1])
        for x, y in self._chunks(self._query):
            g += self._network.pull(x, lambda logits, y=y: (logits.softmax(1) - _one_hot(y, logits)) / count)
            yield 0.9 * _BEFORE, "mean gradient"
        return g

    def _solved(self, g: Tensor, squares: Tensor | None) -> Working:
        """x with (H + λI) x = g for the H of the estimator."""
        if self.estimator == "gradient":
            return g
        if squares is not None:
            flat = squares + self.damping
            return torch.where(flat > 0, g / flat.clamp(min=torch.finfo(flat.dtype).tiny), 0.0)
        solve, start, done = solving(g, rtol=self.rtol, max_iterations=self._most), time.perf_counter(), 0.0
        try:
            asked = next(solve)
            while True:
                done = max(done, self._share(asked.residual))
                left = f", about {(time.perf_counter() - start) * (1 - done) / done:.0f} s left" if done else ""
                words = f"iteration {asked.iterations}, residual {asked.residual:.0e} on the way to {self.rtol:.0e}{left}"
                asked = solve.send((yield from self._product(asked.vector, done, words)))
        except StopIteration as ended:
            x, self._residual, self._iterations = ended.value
            return x

    def _share(self, residual: float) -> float:
        """How much of the solve is done, 0 to 1, by the digits that the residual has gained."""
        return math.log(min(1.0, max(residual, self.rtol))) / math.log(self.rtol) if 0 < self.rtol < 1 else 0.0

    def _product(self, v: Tensor, done: float, words: str) -> Working:
        """(H + λI) v; sums run over chunks in float64, so that many small ones lose nothing."""
        out, count = self.damping * v, len(self._curved[1])
        for x, _ in self._chunks(self._curved):
            tangent = self._network.push(x, v)[1]
            out += self._network.pull(x, lambda logits, t=tangent: _curved(logits.softmax(1), t) / count)
            yield _BEFORE + (_AFTER - _BEFORE) * done, words
        return out

    def _along(self, x: Tensor) -> Generator[tuple[float, str], None, tuple[Tensor, Tensor]]:
        """Scores and losses (n,): every sample's derivative along x, forward."""
        scores, losses, count = [], [], len(self._own[1])
        for images, y in self._chunks(self._own):
            logits, tangent = (part.double() for part in self._network.push(images, x))
            scores.append(((logits.softmax(1) - _one_hot(y, logits)) * tangent).sum(1) / self._total)
            losses.append(F.cross_entropy(logits, y, reduction="none"))
            yield _AFTER + (1 - _AFTER) * sum(map(len, scores)) / count, "scores"
        return torch.cat(scores), torch.cat(losses)


def full_scores(model: nn.Module, images: Tensor, labels: Any, **settings: Any) -> Influence:
    """Signed influence of each sample on the loss of a set, with the curvature of all parameters in `scope`: `FullInfluence`.

    The network runs in eval mode (batch norm with its running statistics). In float32, the default, sums and vectors are float64
    and products are not: the true residual reaches about 1e-5, and `rtol` is 1e-4; in `double` it is 1e-8.

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
    work = FullInfluence(model, images, labels, **settings)
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
        self._model = copy.deepcopy(model).eval().to(device="cpu", dtype=dtype)
        self._model.requires_grad_(False)
        self._parameters = {name: self._model.get_parameter(name) for name in names}
        self.size = sum(parameter.numel() for parameter in self._parameters.values())

    def _logits(self, parameters: dict[str, Tensor], x: Tensor) -> Tensor:
        return functional_call(self._model, parameters, (x,))

    @torch.no_grad()
    def push(self, x: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """(logits, J v), both (n, C), of inputs `x` in the direction `v` (size,)."""
        sizes = [parameter.numel() for parameter in self._parameters.values()]
        parts = zip(self._parameters.items(), v.split(sizes), strict=True)
        tangents = {name: part.view(p.shape).to(p.dtype) for (name, p), part in parts}
        return jvp(lambda parameters: self._logits(parameters, x), (self._parameters,), (tangents,))

    @torch.enable_grad()
    def pull(self, x: Tensor, cotangent: Any) -> Tensor:
        """Jᵀ u (size,) float64, summed over the samples; `cotangent` makes u (n, C) from the logits."""
        leaves = {name: parameter.detach().requires_grad_() for name, parameter in self._parameters.items()}
        logits = self._logits(leaves, x)
        found = torch.autograd.grad(logits, list(leaves.values()), cotangent(logits.detach()), materialize_grads=True)
        return torch.cat([part.reshape(-1).double() for part in found])


def _one_hot(labels: Tensor, logits: Tensor) -> Tensor:
    return F.one_hot(labels, logits.shape[1]).to(logits.dtype)


def _curved(P: Tensor, T: Tensor) -> Tensor:
    """S_i t_i for every row: (diag p − p pᵀ) t, (n, C)."""
    U = P * T
    return U - P * U.sum(1, keepdim=True)


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
