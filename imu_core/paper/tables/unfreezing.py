"""Table 6: which layers may move. The last block first, since a network is opened from its end; GA and a control at each."""

from __future__ import annotations

import dataclasses

from imu_core.paper.experiment import CLASSES, CONTROLS, GA, IMU, PERMUTED, Claim, Experiment, Line, at

_SCOPES = {"last:1": "fc&block1", "last:2": "fc&block1-2", "last:3": "fc&block1-3", "all": "all layers"}
_HEAD = dataclasses.replace(IMU, title="IMU, head", paper="only fc")


def _three(scope: str, paper: str) -> tuple[Line, ...]:
    ga = dataclasses.replace(GA, title="GA")
    return at(IMU, scope, paper=paper), at(ga, scope), at(PERMUTED, scope)


_WIDE = {scope: _three(scope, paper) for scope, paper in _SCOPES.items()}
TABLE6 = Experiment(
    "table6",
    CLASSES,
    (_HEAD, *CONTROLS, *(line for group in _WIDE.values() for line in group)),
    (
        Claim("test", ("only fc", "fc&block1"), ("imu", "imu@last:1"), equal=("ga", "ga@last:1")),
        Claim("test", ("only fc", "all layers"), ("imu", "imu@all"), equal=("ga", "ga@all")),
    ),
    "The paper does not say from which end it counts blocks. Here the head goes with the last one, two or three; scores always "
    "come from the head.",
)
