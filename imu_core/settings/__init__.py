"""Every setting of a run, an influence estimate and a training, once: its type, range, label, help and default.

`RunConfig`, `Recipe`, the methods' own parameters, the widgets of the pages, the options of the commands, links, sweep files and
imports all read these tables, so that one range and one sentence hold wherever a value comes from.
"""

from __future__ import annotations

from imu_core.settings.influence import CONTROLS, ESTIMATORS, INFLUENCE, PSIS
from imu_core.settings.run import RUN
from imu_core.settings.setting import Setting, between
from imu_core.settings.training import TRAINING

__all__ = ["CONTROLS", "ESTIMATORS", "INFLUENCE", "PSIS", "RUN", "TRAINING", "Setting", "between"]
