"""Conjugate gradients with a check of the true residual: a wrong answer is raised, never returned."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from imu_core.errors import ConvergenceError

_ROUNDS = 12
_ROUGH_RTOL, _ROUGH_GAIN = 1e-4, 0.1  # what a round in the faster precision aims at, and what it must bring to be followed by one

Product = Callable[[Tensor], Tensor]


def conjugate_gradients(
    product: Product,
    b: Tensor,
    *,
    rtol: float = 1e-8,
    max_iterations: int = 5000,
    precondition: Callable[[], Product] | None = None,
    patience: int = 0,
    rough: torch.dtype | None = None,
) -> tuple[Tensor, float, int]:
    """Solve product(x) = b for a symmetric positive (semi-)definite `product`: (x, relative residual, iterations).

    It goes in rounds: each solves for what is left, r = b − product(x), and then r is computed afresh in b's precision and
    not taken from the recursion, which drifts. With `rough`, a faster precision that `product` takes as well, rounds search in
    that one as long as it gets them on (iterative refinement, Wilkinson 1963). `precondition` makes the preconditioner; it is
    called only when `patience` iterations did not do. The residual returned, ‖r‖ / ‖b‖, is the true one; ConvergenceError
    when it stays above `rtol`. Hestenes and Stiefel 1952; any shape of b (the inner product runs over all its entries).
    """
    norm = float(b.norm())
    x, r, size = torch.zeros_like(b), b, norm
    if norm == 0.0:
        return x, 0.0, 0
    smooth, iterations, precision = None, 0, rough or b.dtype
    for _ in range(_ROUNDS):
        if size <= rtol * norm or iterations >= max_iterations:
            break
        waiting = precondition is not None and iterations < patience
        if precondition is not None and smooth is None and not waiting:
            smooth = precondition()
        aim = 0.5 * rtol * norm / size if precision == b.dtype else max(0.5 * rtol * norm / size, _ROUGH_RTOL)
        limit = min(max_iterations, patience if waiting else max_iterations) - iterations
        step, used = _descend(product, (r / size).to(precision), aim, limit, smooth)
        tried = x + size * step.to(b.dtype)
        left = b - product(tried)
        iterations, gain = iterations + used, float(left.norm()) / size
        if gain < 1.0:
            x, r, size = tried, left, float(left.norm())
        if not gain <= _ROUGH_GAIN and not (waiting and used == limit):
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


def _descend(product: Product, r: Tensor, goal: float, limit: int, smooth: Product | None) -> tuple[Tensor, int]:
    """(x, iterations) with product(x) near r, from x = 0, until the recursion's residual is at most `goal`; at most `limit`."""
    x = torch.zeros_like(r)
    p = z = smooth(r) if smooth else r
    rz = float((r * z).sum())
    for count in range(limit):
        if float(r.norm()) <= goal:
            return x, count
        q = product(p)
        curvature = float((p * q).sum())
        if not curvature > 0.0:  # a direction without curvature, or not a number: the true residual decides
            return x, count + 1
        step = rz / curvature
        x, r = x + step * p, r - step * q
        z = smooth(r) if smooth else r
        rz, before = float((r * z).sum()), rz
        p = z + (rz / before) * p
    return x, limit
