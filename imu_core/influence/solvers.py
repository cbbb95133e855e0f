"""Conjugate gradients with a check of the true residual: a wrong answer is raised, never returned."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from imu_core.errors import ConvergenceError

_RESTARTS = 5


def conjugate_gradients(
    product: Callable[[Tensor], Tensor],
    b: Tensor,
    *,
    rtol: float = 1e-8,
    max_iterations: int = 5000,
    precondition: Callable[[Tensor], Tensor] = lambda v: v,
) -> tuple[Tensor, float, int]:
    """Solve product(x) = b for a symmetric positive (semi-)definite `product`: (x, relative residual, iterations).

    The residual is ‖b − product(x)‖ / ‖b‖, computed afresh at the end and not taken from the recursion, which drifts:
    where the two disagree the iteration restarts from x. Raises ConvergenceError when the true residual stays above
    `rtol`. Hestenes and Stiefel 1952; any shape of b (the inner product runs over all its entries).
    """
    norm = float(b.norm())
    x = b.new_zeros(b.shape)
    if norm == 0.0:
        return x, 0.0, 0
    iterations, residual = 0, 1.0
    for _ in range(_RESTARTS):
        x, used = _descend(product, b - product(x), x, rtol * norm, max_iterations - iterations, precondition)
        iterations += used
        residual = float((b - product(x)).norm()) / norm
        if residual <= rtol or iterations >= max_iterations:
            break
    if not residual <= rtol:
        raise ConvergenceError(
            f"The solve stopped at a relative residual of {residual:.1e} after {iterations} iterations; {rtol:.0e} was asked "
            "for. Raise the damping, or ask for a larger rtol."
        )
    return x, residual, iterations


def _descend(
    product: Callable[[Tensor], Tensor], r: Tensor, x: Tensor, goal: float, limit: int, precondition: Callable[[Tensor], Tensor]
) -> tuple[Tensor, int]:
    z = precondition(r)
    p, rz = z, float((r * z).sum())
    for count in range(limit):
        if float(r.norm()) <= goal:
            return x, count
        q = product(p)
        curvature = float((p * q).sum())
        if not curvature > 0.0:  # a direction without curvature, or not a number: the true residual decides
            return x, count + 1
        step = rz / curvature
        x, r = x + step * p, r - step * q
        z = precondition(r)
        rz, before = float((r * z).sum()), rz
        p = z + (rz / before) * p
    return x, limit
