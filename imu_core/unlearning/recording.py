"""What a run leaves on record, and how far it moved the model."""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch

from imu_core.data.notes import counted
from imu_core.methods.workspace import Workspace
from imu_core.records.run import Problem, Trajectory

if TYPE_CHECKING:
    from imu_core.unlearning.run import Run


def record_of(run: Run, costs: Mapping[str, float]) -> Trajectory:
    """The record of `run` so far; `costs` is what it has cost besides its seconds."""
    return Trajectory(
        run.config,
        run.problem.describe(),
        tuple(run.points),
        {name: round(seconds, 6) for name, seconds in run.phases.items()},
        run.outcome,
        dict(run.sizes),
        tuple(sorted(run.granted)),
        costs=dict(costs),
        images=counted(run.problem),
        environment={"python": platform.python_version(), "torch": torch.__version__, "data_hash": run.problem.dataset.hash},
    )


@torch.no_grad()
def distance_moved(problem: Problem, workspace: Workspace) -> float:
    """The Euclidean distance between the parameters that may change and what they were in the original model."""
    original = dict(problem.model.named_parameters())
    pairs = zip(workspace.names, workspace.parameters, strict=True)
    return math.sqrt(sum(float((p - original[name]).double().square().sum()) for name, p in pairs))
