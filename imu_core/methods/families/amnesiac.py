"""Amnesiac unlearning: take back what the training steps did whose batches held a forget sample."""

from __future__ import annotations

from imu_core.methods.base import Edit, Parameter
from imu_core.methods.view import View
from imu_core.records import RunConfig

STRENGTH = Parameter(
    "strength", "Share taken back", 1.0, "1 takes back all that the logged steps added.", 1e-4, 10.0, logarithmic=True
)


def amnesiac_delta(view: View, config: RunConfig) -> Edit:
    """θ − strength · Σ Δ over the training steps whose batch held a forget sample (arXiv 2010.10981).

    It takes back everything in those batches. Where forget samples are spread over nearly all batches, as a class is, that is
    nearly the whole training. The log is made by repeating the original's training once, and kept.
    """
    strength = view.options["strength"]
    return Edit([p.detach() - strength * d for p, d in zip(view.parameters, view.training_log, strict=True)])
