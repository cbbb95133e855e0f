"""The unlearning methods, by name. To add one: write a function of (view, config) and a line here."""

from __future__ import annotations

from imu_core.errors import ConfigError
from imu_core.methods.ascent import ga, imu
from imu_core.methods.base import Batch, Method, Objective
from imu_core.methods.npo import npo, simnpo
from imu_core.methods.presets import PRESETS, preset
from imu_core.methods.references import finetune, retrain
from imu_core.methods.relabel import delete, rl
from imu_core.methods.view import View, needs

__all__ = ["METHODS", "PRESETS", "Batch", "Method", "Objective", "View", "find", "needs", "preset"]

_IMU_USES = ("estimator", "damping", "psi", "top", "clip_quantile", "control", "update_every", "weight_norm", "l1")

METHODS: dict[str, Method] = {
    "imu": Method("IMU", "imu", imu, needs("forget"), "arXiv 2508.01620", uses=_IMU_USES),
    "ga": Method("GA", "ga", ga, needs("forget"), "gradient ascent; arXiv 1911.04933", uses=("weight_norm", "l1")),
    "npo": Method("NPO", "npo", npo, needs("forget"), "arXiv 2404.05868", uses=("beta",)),
    "simnpo": Method("SimNPO", "npo", simnpo, needs("forget"), "arXiv 2410.07163", uses=("beta",)),
    "rl": Method("RL", "relabelling", rl, needs("forget"), "random labels; arXiv 1911.04933"),
    "delete": Method("DELETE", "distillation", delete, needs("forget"), "arXiv 2503.23751"),
    "finetune": Method("Fine-tune", "reference", finetune, needs("retain"), "train on, on the retain set", stream="retain"),
    "retrain": Method(
        "Retrain",
        "reference",
        retrain,
        needs("retain", "initial_weights"),
        "train again without the forget set",
        stream="retain",
        from_scratch=True,
    ),
}


def find(name: str) -> Method:
    """The method called `name`, or a ConfigError that lists the names there are."""
    if name not in METHODS:
        raise ConfigError(f"There is no method called {name!r}. Known methods: {', '.join(METHODS)}.")
    return METHODS[name]
