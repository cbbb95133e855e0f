"""The records that go between rooms: data sets, problems, settings of a run, its points and its trajectory."""

from imu_core.records.data import Copies, Dataset, ImageSet, LeftOut, People, Sightings, Source, Subclasses, Why
from imu_core.records.run import (
    REACHED,
    Features,
    Influence,
    Outcome,
    Point,
    Problem,
    RunConfig,
    Split,
    Trajectory,
    finite,
    scope_blocks,
)

__all__ = [
    "REACHED",
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
    "Subclasses",
    "Trajectory",
    "Why",
    "finite",
    "scope_blocks",
]
