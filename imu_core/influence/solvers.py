"""Conjugate gradients with a check of the true residual: a wrong answer is raised, never returned."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from imu_core.errors import ConvergenceError

_ROUNDS = 12
_TRIAL = 6  # iterations before it is foretold how many there will be
_ROUGH_RTOL, _ROUGH_GAIN = 1e-4, 0.1  # what a round in the faster precision aims at, and what it must bring to be followed by one

_ABSURD = 1e3  # times the largest loss of any sample that the mean loss cannot move by when one sample goes
_NOTHING = 1e-10  # times the largest squared gradient: a damping below is none
_FAR = 1e6  # times the weights that no useful step is long

Product = Callable[[Tensor], Tensor]
Solved = tuple[Tensor, float, int]


class Asked(NamedTuple):
    """A vector whose product the solver needs next, with how far it is: iterations so far and their relative residual."""

    vector: Tensor
    iterations: int
    residual: float


def check_scores(scores: Tensor, losses: Tensor, gradient: float, estimator: str, damping: float) -> None:
    """Raise ConvergenceError where `scores`, each in nats of the mean loss, are not finite or far beyond any of the `losses`.

    Such scores mean that the curvature has vanished: the network is so sure of its answers that only rounding errors are left
    of it. Where the damping is not negligible beside the square of `gradient`, the largest norm of a gradient, scores are what
    the formula says, however large; then they need only be finite.
    """
    largest, most = float(scores.abs().max()), float(losses.max())
    damped = damping >= _NOTHING * gradient * gradient
    if math.isfinite(largest) and ((damped and damping > 0) or largest <= _ABSURD * (1.0 + most)):
        return
    raise ConvergenceError(
        f"The scores by {estimator!r} are of no sensible size: without one sample the mean loss would change by {largest:.1e} "
        f"nats, where the largest loss of a sample is {most:.1e}. The network is so sure of its answers that its "
        f"curvature vanishes, or the features are too large. Raise the damping, which is {damping:g}, or scale the features down."
    )


def check_step(step: Tensor, parameters: Sequence[Tensor], damping: float) -> None:
    """Raise ConvergenceError where a solved `step` is not finite, or is a million times as long as the `parameters`."""
    length, own = float(step.double().norm()), math.sqrt(sum(float(p.detach().double().square().sum()) for p in parameters))
    if math.isfinite(length) and length <= _FAR * (1.0 + own):
        return
    raise ConvergenceError(
        f"The step is {length:.1e} long and the weights {own:.1e}: that is no sensible step. The network is so sure of its "
        f"answers that its curvature vanishes. Raise the damping, which is {damping:g}."
    )


def conjugate_gradients(product: Product, b: Tensor, **settings: object) -> Solved:
    """Solve product(x) = b for a symmetric positive (semi-)definite `product`: (x, relative residual, iterations).

    The settings are those of `solving`, which is this for products that take long.
    """
    solve = solving(b, **settings)
    try:
        request = next(solve)
        while True:
            request = solve.send(product(request.vector))
    except StopIteration as done:
        return done.value


def solving(
    b: Tensor,
    *,
    rtol: float = 1e-8,
    max_iterations: int = 5000,
    precondition: Callable[[], Product] | None = None,
    patience: int = 0,
    rough: torch.dtype | None = None,
) -> Generator[Asked, Tensor, Solved]:
    """`conjugate_gradients` that yields each vector it needs the product of, and is sent that product.

    So whoever computes the products can show how far it is and stop in the middle of one. It goes in rounds: each solves for
    what is left, r = b − product(x), and then r is computed afresh in b's precision and not taken from the recursion, which
    drifts. With `rough`, a faster precision in which products are available too, rounds search in that one as long as they get
    nearer (iterative refinement, Wilkinson 1963). `precondition` makes the preconditioner; it is called only when more than
    `patience` iterations would be needed at the speed seen so far. The residual returned, ‖r‖ / ‖b‖, is the true one;
    ConvergenceError when it stays above `rtol`.
    Hestenes and Stiefel 1952; any shape of b (the inner product runs over all its entries).
    """
    norm = float(b.norm())
    x, r, size = torch.zeros_like(b), b, norm
    if norm == 0.0:
        return x, 0.0, 0
    smooth, iterations, precision = None, 0, rough or b.dtype

    def too_slow(iterations: int, residual: float) -> bool:
        return iterations >= patience or _foretold(iterations, residual, rtol) > patience

    for _ in range(_ROUNDS):
        if size <= rtol * norm or iterations >= max_iterations:
            break
        waiting = precondition is not None and not too_slow(iterations, size / norm)
        if precondition is not None and smooth is None and not waiting:
            smooth = precondition()
        aim = 0.5 * rtol * norm / size if precision == b.dtype else max(0.5 * rtol * norm / size, _ROUGH_RTOL)
        ends = too_slow if waiting else (lambda iterations, residual: iterations >= max_iterations)
        step, used = yield from _descend((r / size).to(precision), aim, ends, smooth, (iterations, size / norm))
        iterations, tried = iterations + used, x + size * step.to(b.dtype)
        left = b - (yield Asked(tried, iterations, size / norm))
        gain = float(left.norm()) / size
        if gain < 1.0:
            x, r, size = tried, left, float(left.norm())
        if not gain <= _ROUGH_GAIN and not (waiting and too_slow(iterations, size / norm)):
            if precision == b.dtype and not gain < 1.0:
                if smooth is None:
                    break
                smooth = precondition = None  # a preconditioner of a singular matrix may lead astray
            precision = b.dtype
    residual = size / norm
    if not residual <= rtol:
        raise ConvergenceError(
            f"The solve stopped at a relative residual of {residual:.1e} after {iterations} iterations; {rtol:.0e} was asked "
            "for. Raise the damping, or ask for a larger rtol."
        )
    return x, residual, iterations


def _foretold(iterations: int, residual: float, rtol: float) -> float:
    """How many iterations it takes to `rtol` at the speed of the first ones; 0 as long as there are too few to tell."""
    if iterations < _TRIAL or residual <= rtol:
        return 0.0
    return iterations * math.log(rtol) / math.log(residual) if residual < 1.0 else math.inf


def _descend(
    r: Tensor, goal: float, ends: Callable[[int, float], bool], smooth: Product | None, before: tuple[int, float]
) -> Generator[Asked, Tensor, tuple[Tensor, int]]:
    """(x, iterations) with product(x) near r, from x = 0, until the recursion's residual is at most `goal`, or `ends`.

    `before` is what is told beside each vector: the iterations of earlier rounds, and the residual that they ended with.
    """
    x, size, count = torch.zeros_like(r), float(r.norm()), 0
    p = z = smooth(r) if smooth else r
    rz = float((r * z).sum())
    while size > goal and not ends(before[0] + count, before[1] * size):
        q = yield Asked(p, before[0] + count, before[1] * size)
        curvature = float((p * q).sum())
        count += 1
        if not curvature > 0.0:  # a direction without curvature, or not a number: the true residual decides
            break
        step = rz / curvature
        x, r = x + step * p, r - step * q
        size, z = float(r.norm()), smooth(r) if smooth else r
        rz, earlier = float((r * z).sum()), rz
        p = z + (rz / earlier) * p
    return x, count
