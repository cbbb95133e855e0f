"""Scores to weights: what the unlearning loop multiplies each forget sample's loss with, and the controls it is judged by."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from imu_core import runtime
from imu_core.errors import DataError
from imu_core.numeric import as_number
from imu_core.records.run import Influence
from imu_core.settings import CONTROLS, RUN

__all__ = ["CONTROLS", "PSI", "effective_share", "sample_weights", "spread"]

_DRAW = 11  # stream of the generator

PSI: dict[str, Callable[[Tensor], Tensor]] = {
    "sqrt": torch.sqrt,
    "identity": lambda v: v,
    "tanh": torch.tanh,
    "softmax": lambda v: torch.exp(v - v.max()),
}


def sample_weights(
    influence: Influence,
    *,
    control: str | None = RUN["control"].default,
    psi: str = RUN["psi"].default,
    top: float = RUN["top"].default,
    clip_quantile: float | None = RUN["clip_quantile"].default,
    seed: int = 0,
) -> Tensor:
    """One non-negative weight a forget sample, summing to 1: ŵ_i = ψ(N s_i) / Σ ψ(N s_j) over the samples with s > 0.

    In this order: keep positive scores; keep the `top` fraction of those (at least one); apply ψ to N·s (at the scale of s
    itself tanh would be the identity and softmax uniform); clip at the `clip_quantile` of what is left; normalise.

    `control` replaces the influence and leaves the rest as it is, so that a comparison changes one thing:
    uniform: literal ones over the whole forget set; permuted: IMU's own weights, shuffled among all samples; random: draws
    from (0, 1] in place of N·s; loss: the cross-entropy in place of N·s; gradient_norm: ‖g_i‖ in place of N·s.

    Returns: (n,) float64. Raises ConfigError for settings, DataError for shapes that do not fit and when no sample has a positive
    score.
    Source: IMU, arXiv 2508.01620, section 3 and Tables 3, 5 and 7; clipping at 0.93 is from the authors' code alone.
    """
    control, psi, top = RUN["control"].check(control), RUN["psi"].check(psi), RUN["top"].check(top)
    clip_quantile, generator = RUN["clip_quantile"].check(clip_quantile), runtime.generator(as_number(seed), _DRAW)
    n = _count(influence)
    if control == "uniform":
        return torch.full((n,), 1.0 / n, dtype=torch.float64)
    values = {
        "random": lambda: 1.0 - torch.rand(n, generator=generator, dtype=torch.float64),
        "loss": lambda: influence.losses,
        "gradient_norm": lambda: influence.gradient_norms,
    }.get(control or "", lambda: influence.total * influence.scores)()
    weights = _weigh(values.to(torch.float64), PSI[psi], top, clip_quantile)
    return weights[torch.randperm(n, generator=generator)] if control == "permuted" else weights


def _count(influence: Influence) -> int:
    shapes = [tuple(values.shape) for values in (influence.scores, influence.losses, influence.gradient_norms)]
    if len(set(shapes)) > 1 or len(shapes[0]) != 1 or not shapes[0][0]:
        raise DataError("Scores {}, losses {} and gradient norms {}; expected (n,) three times, n at least 1.".format(*shapes))
    return shapes[0][0]


def _weigh(values: Tensor, psi: Callable[[Tensor], Tensor], top: float, clip_quantile: float | None) -> Tensor:
    if not bool(torch.isfinite(values).all()):
        raise DataError(
            "Some scores are no numbers (nan or infinity), so they weight nothing. Raise the damping, or scale the features."
        )
    index = (values > 0).nonzero()[:, 0]
    if not len(index):
        raise DataError(
            "No forget sample has a positive score, so there is nothing to weight. Use control='uniform', or another estimator."
        )
    order = values[index].argsort(descending=True, stable=True)
    index = index[order[: max(1, math.ceil(round(top * len(index), 9)))]]
    chosen = psi(values[index])
    if clip_quantile is not None:
        chosen = chosen.clamp(max=float(torch.quantile(chosen, clip_quantile)))
    weights = torch.zeros_like(values)
    weights[index] = chosen
    return weights / weights.sum()


def effective_share(weights: Tensor) -> float:
    """(Σw)² / (n Σw²): 1 for equal weights, 1/n when a single sample carries everything."""
    return float(weights.sum().square() / (len(weights) * weights.square().sum()))


def spread(weights: Tensor) -> dict[str, float]:
    """How weights (n,) are spread: their effective share, the largest, and the share of samples whose weight is above 0."""
    return {
        "effective_share": effective_share(weights),
        "largest": float(weights.max()),
        "positive_share": float((weights > 0).double().mean()),
    }
