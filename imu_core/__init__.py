"""imu_core: machine unlearning on equal terms. Five lines:

import imu_core
problem = imu_core.problem("fashion", model="small_resnet", forget="class:Sandal")
run = imu_core.unlearn(problem, imu_core.preset("gentle", method="imu"))
for point in run: print(point.step, point.accuracies)
imu_core.retrained(problem)         # what a model that never saw the forget set does
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from imu_core import influence, metrics, runtime, weights
    from imu_core.errors import ImuError
    from imu_core.methods import METHODS, preset
    from imu_core.problems.problem import problem
    from imu_core.problems.reference import retrained
    from imu_core.records.run import Influence, RunConfig, Trajectory
    from imu_core.unlearning import Run, unlearn
    from imu_core.unlearning.sequence import after, problem_after

__all__ = [
    "METHODS",
    "ImuError",
    "Influence",
    "Run",
    "RunConfig",
    "Trajectory",
    "after",
    "influence",
    "metrics",
    "preset",
    "problem",
    "problem_after",
    "retrained",
    "runtime",
    "unlearn",
    "weights",
]

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch loads: threads that wait must not spin on two cores

# Where each name lives, to be loaded when it is first asked for: torch takes seconds, and the command line's help needs none.
_HOMES = {
    "errors": ("ImuError",),
    "methods": ("METHODS", "preset"),
    "problems.problem": ("problem",),
    "problems.reference": ("retrained",),
    "records.run": ("Influence", "RunConfig", "Trajectory"),
    "unlearning": ("Run", "unlearn"),
    "unlearning.sequence": ("after", "problem_after"),
}
_MOVED = {"explain": "evaluation.saliency"}  # modules that others know by an earlier name
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """The public object or module of imu_core called `name`, loaded at its first use; AttributeError where there is none."""
    if name in _HOME_OF:
        value = getattr(importlib.import_module(f"imu_core.{_HOME_OF[name]}"), name)
    else:
        try:
            value = importlib.import_module(f"imu_core.{_MOVED.get(name, name)}")
        except ModuleNotFoundError as error:
            if error.name != f"imu_core.{name}":
                raise
            raise AttributeError(f"imu_core has no {name!r}") from None
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
