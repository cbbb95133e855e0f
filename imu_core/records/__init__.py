"""The records that go between rooms: data sets, problems, settings of a run, its points and its trajectory."""

from imu_core.records.data import Copies, Dataset, ImageSet, LeftOut, People, Sightings, Source, Subclasses, Why
from imu_core.records.outcome import Cause, Outcome, State
from imu_core.records.run import (
    Features,
    Influence,
    Point,
    Problem,
    RunConfig,
    Split,
    Trajectory,
    finite,
    scope_blocks,
)

__all__ = [
    "Cause",
    "Copies",
    "Dataset",
    "Features",
    "ImageSet",
    "Influence",
    "LeftOut",
    "Outcome",
    "People",
    "Point",
    "Problem",
    "RunConfig",
    "Sightings",
    "Source",
    "Split",
    "State",
    "Subclasses",
    "Trajectory",
    "Why",
    "finite",
    "scope_blocks",
]
