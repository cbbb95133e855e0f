"""One search for every method: the same number of values on a logarithmic grid, chosen by a rule that sees no test set.

The rule: among the values whose run reaches the target depth, the one that has moved the parameters least, ‖θ − θ₀‖₂; where
none does, the one that ends lowest. It needs the request (what is to be forgotten), the model before and the model after,
which every method has. The oracle, shown beside it and never used, takes the value that keeps most accuracy on the test set.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

from imu_core.depth import at_depth, utility_key
from imu_core.methods import METHODS, find, preset
from imu_core.records.run import RunConfig, Trajectory

BUDGET = 5  # values a method may try
_SPACING = 10**0.5
_CENTRE = 0.01  # of learning rates: the length of a step in parameter space, the same for all methods that take steps
_EVERY = {"head": 4, "wide": 1000}  # steps between judgements of all sets; the forget set is looked at after every step
_MOST_EPOCHS = {"forget": {"head": 200, "wide": 10}, "retain": {"head": 10, "wide": 1}}


@dataclass(frozen=True)
class Tried:
    """One value of a search and what its run reached; `moved` is ‖θ − θ₀‖₂, `utility` is hidden from the rule."""

    value: float
    reached: bool
    forget: float
    moved: float
    utility: float


def start(method: str, scope: str, target: float, seed: int = 0) -> RunConfig:
    """The settings whose strength a search varies: the gentle preset until `target`; with steps of equal length, momentum 0.9.

    A method that edits the parameters at once keeps the preset's optimizer settings.
    """
    config = preset("gentle", method, scope, seed)
    if find(method).edit:
        return dataclasses.replace(config, stop_at=target, eval_every=_EVERY["head" if scope == "head" else "wide"])
    on = "retain" if find(method).trains_on_retain(config) else "forget"
    return dataclasses.replace(
        config,
        stop_at=target,
        optimizer="normalised",
        momentum=0.9,
        weight_decay=0.0,
        batch_size=256,
        bn="eval",
        augment=False,
        epochs=_MOST_EPOCHS[on]["head" if scope == "head" else "wide"],
        eval_every=_EVERY["head" if scope == "head" else "wide"],
        learning_rate=_CENTRE,
    )


def with_strength(config: RunConfig, value: float) -> RunConfig:
    """`config` with its strength set to `value`: the learning rate, or the method's own setting of how strongly it acts."""
    strength = METHODS[config.method].strength
    if strength == "learning_rate":
        return dataclasses.replace(config, learning_rate=value)
    return dataclasses.replace(config, options={**config.options, strength: value})


def strength_of(config: RunConfig) -> float:
    """The strength of `config`: the value of the setting that `with_strength` changes."""
    method = METHODS[config.method]
    own = {p.name: p.default for p in method.parameters} | config.options
    return config.learning_rate if method.strength == "learning_rate" else float(own[method.strength])


def grid(config: RunConfig, budget: int = BUDGET) -> list[float]:
    """`budget` values around that of `config`, each √10 times the one before, within the setting's range."""
    centre, parameters = strength_of(config), {p.name: p for p in METHODS[config.method].parameters}
    values = [centre * _SPACING ** (k - (budget - 1) / 2) for k in range(budget)]
    limits = parameters.get(METHODS[config.method].strength)
    if limits is not None:
        values = [min(limits.high, max(limits.low, v)) for v in values]
    return [float(f"{v:.4g}") for v in dict.fromkeys(values)]


def tried(trajectory: Trajectory, target: float) -> Tried:
    """What one run of a search reached; a run that failed or diverged (to chance or to nan) did not reach the target."""
    value = strength_of(trajectory.config)
    if not trajectory.points or trajectory.outcome.state in ("failed", "diverged"):
        return Tried(value, False, 1.0, math.inf, 0.0)
    depth = at_depth(trajectory, target)
    accuracies = depth.accuracies
    moved = trajectory.costs.get("moved") or 0.0
    return Tried(value, depth.reached, accuracies["forget"], moved, accuracies[utility_key(accuracies)])


def choose(rows: Sequence[Tried]) -> Tried:
    """The row that the rule takes; of equal rows the one with the smaller value."""
    reached = [row for row in rows if row.reached]
    if reached:
        return min(reached, key=lambda row: (row.moved, row.value))
    return min(rows, key=lambda row: (row.forget, row.moved, row.value))


def oracle(rows: Sequence[Tried]) -> Tried:
    """The row that keeps most test accuracy among those that reach the depth (else among all); no rule could know it."""
    reached = [row for row in rows if row.reached] or list(rows)
    return max(reached, key=lambda row: (row.utility, -row.value))
