"""Conjugate gradients with a check of the true residual: a wrong answer is raised, never returned."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import NamedTuple

from torch import Tensor

from imu_core.errors import ConvergenceError

_RESTARTS = 5

Solved = tuple[Tensor, float, int]


class Asked(NamedTuple):
    """A vector whose product the solver needs next, with how far it is: iterations so far and their relative residual.

    A `check` is the answer itself, for its true residual (`residual` is then what was asked for). It is worth computing more
    exactly than the products between: the restart after it takes their rounding back.
    """

    vector: Tensor
    iterations: int
    residual: float
    check: bool = False


def conjugate_gradients(
    product: Callable[[Tensor], Tensor],
    b: Tensor,
    *,
    rtol: float = 1e-8,
    max_iterations: int = 5000,
    precondition: Callable[[Tensor], Tensor] = lambda v: v,
) -> Solved:
    """Solve product(x) = b for a symmetric positive (semi-)definite `product`: (x, relative residual, iterations).

    The residual is ‖b − product(x)‖ / ‖b‖, computed afresh at the end and not taken from the recursion, which drifts:
    where the two disagree the iteration restarts from x. Raises ConvergenceError when the true residual stays above
    `rtol`. Hestenes and Stiefel 1952; any shape of b (the inner product runs over all its entries).
    """
    solve = solving(b, rtol=rtol, max_iterations=max_iterations, precondition=precondition)
    try:
        asked = next(solve)
        while True:
            asked = solve.send(product(asked.vector))
    except StopIteration as done:
        return done.value


def solving(
    b: Tensor,
    *,
    rtol: float = 1e-8,
    max_iterations: int = 5000,
    precondition: Callable[[Tensor], Tensor] = lambda v: v,
) -> Generator[Asked, Tensor, Solved]:
    """`conjugate_gradients` for products that take long: it yields each vector it needs the product of and is sent that product.

    So whoever computes the products can show how far it is and stop in the middle of one.
    """
    norm = float(b.norm())
    x = b.new_zeros(b.shape)
    if norm == 0.0:
        return x, 0.0, 0
    iterations, residual, r = 0, 1.0, b
    for _ in range(_RESTARTS):
        x, iterations = yield from _descend(r, x, iterations, norm, rtol, max_iterations, precondition)
        r = b - (yield Asked(x, iterations, rtol, True))
        residual = float(r.norm()) / norm
        if residual <= rtol or iterations >= max_iterations:
            break
    if not residual <= rtol:
        raise ConvergenceError(
            f"The solve stopped at a relative residual of {residual:.1e} after {iterations} iterations; {rtol:.0e} was asked "
            "for. Raise the damping, or ask for a larger rtol."
        )
    return x, residual, iterations


def _descend(
    r: Tensor,
    x: Tensor,
    count: int,
    norm: float,
    rtol: float,
    limit: int,
    precondition: Callable[[Tensor], Tensor],
) -> Generator[Asked, Tensor, tuple[Tensor, int]]:
    """From the residual r of x: (x, iterations), once the recursion's residual is within rtol."""
    z = precondition(r)
    p, rz = z, float((r * z).sum())
    while count < limit:
        size = float(r.norm())
        if size <= rtol * norm:
            return x, count
        q = yield Asked(p, count, size / norm)
        count += 1
        curvature = float((p * q).sum())
        if not curvature > 0.0:  # a direction without curvature, or not a number: the true residual decides
            return x, count
        step = rz / curvature
        x, r = x + step * p, r - step * q
        z = precondition(r)
        rz, before = float((r * z).sum()), rz
        p = z + (rz / before) * p
    return x, limit
