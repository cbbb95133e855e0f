"""Every table that is made, in the order of what they tell."""

from __future__ import annotations

from collections.abc import Sequence

from imu_core.paper.experiment import Experiment
from imu_core.paper.tables.frequency import TABLE4, TABLE9
from imu_core.paper.tables.main_tables import SUBCLASS, TABLE1, TABLE10
from imu_core.paper.tables.unfreezing import TABLE6
from imu_core.paper.tables.weighting import TABLE3, TABLE5, TABLE7, TABLE8

EXPERIMENTS = {e.id: e for e in (TABLE1, SUBCLASS, TABLE3, TABLE4, TABLE5, TABLE6, TABLE7, TABLE8, TABLE9, TABLE10)}
VALUES = {"head": 5, "wide": 3}  # of the strength that a search tries


def experiments(kinds: Sequence[str]) -> list[Experiment]:
    """The tables whose kind of request is one of `kinds`."""
    return [e for e in EXPERIMENTS.values() if e.kind in kinds]
