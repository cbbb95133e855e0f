"""imu_core: machine unlearning on equal terms. Five lines:

import imu_core
problem = imu_core.problem("fashion", model="small_resnet", forget="class:Sandal")
run = imu_core.unlearn(problem, imu_core.preset("gentle", method="imu"))
for point in run: print(point.step, point.accuracies)
imu_core.retrained(problem)         # what a model that never saw the forget set does
"""

from imu_core import runtime  # first: it prepares the machine for torch  # isort: skip
from imu_core import influence, metrics, weights
from imu_core.errors import ImuError
from imu_core.methods import METHODS, preset
from imu_core.problems.reference import retrained
from imu_core.records import Influence, RunConfig, Trajectory
from imu_core.unlearning.run import Run, unlearn
from imu_core.unlearning.sequence import after, problem

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
    "retrained",
    "runtime",
    "unlearn",
    "weights",
]
