"""Tables 1 and 10: IMU on the head beside its rivals on all layers, as the paper has them, and the same rivals on the head."""

from __future__ import annotations

from imu_core.paper.experiment import (
    CLASSES,
    CONTROLS,
    IMU,
    RANDOM,
    SUBCLASSES,
    WIDE_GA,
    WIDE_IMU,
    WIDE_PERMUTED,
    Claim,
    Experiment,
    Line,
    at,
)

_NPO = Line("npo", "NPO", "npo", role="same scope")
_RL = Line("rl", "RL", "rl", role="same scope")
_IU = Line("iu", "IU (reads the retain set)", "iu_optml", role="same scope")
_SSD = Line("ssd", "SSD (stored statistics)", "ssd", role="same scope")
_SCAR = Line("scar@all", "SCAR, all layers (stored statistics)", "scar", "all", paper="SCAR")
_WIDE_NPO = at(_NPO, "all", role="paper", paper="NPO")

_ON_HEAD = (IMU, *CONTROLS, _NPO, _RL, _IU, _SSD)
_ON_ALL = (
    WIDE_GA,
    WIDE_IMU,
    WIDE_PERMUTED,
    _WIDE_NPO,
    at(_RL, "all", role="paper", paper="RL"),
    at(_IU, "all", role="paper", paper="IU"),
    at(_SSD, "all", role="paper", paper="SSD"),
    _SCAR,
)
_CLAIMS = (
    Claim("test", ("IMU", "GA"), ("imu", "ga@all"), ("imu", "ga")),
    Claim("test", ("IMU", "NPO"), ("imu", "npo@all"), ("imu", "npo")),
)
_SCOPES = "The paper lets IMU move the head and its rivals all layers; the rows on the same layers are ours."

TABLE1 = Experiment("table1", CLASSES, (*_ON_HEAD, *_ON_ALL), _CLAIMS, _SCOPES)
TABLE10 = Experiment(
    "table10",
    RANDOM,
    (*_ON_HEAD, *_ON_ALL),
    _CLAIMS,
    f"{_SCOPES} Runs stop where the forget set is recognised as often as the test images; the paper's stop far above that.",
)
SUBCLASS = Experiment(
    "table1-subclasses",
    SUBCLASSES,
    _ON_HEAD,
    (Claim("test", ("IMU", "GA"), ("imu", "ga@all"), ("imu", "ga")),),
    "The paper's retrained models never recognise the subclass, so their labels are subclasses. Here the model names the 20 "
    "superclasses: one that never saw beavers still calls some of them aquatic mammals, so runs stop at what retrained models "
    "have, not at 0, and levels cannot be compared. Everything is on the head, in steps of at most a twentieth of the usual "
    "length, since a subclass fills only two batches.",
    same_task=False,
)
