"""The unlearning methods, by name. To add one: write a function of (view, config) and register it (`plugins`)."""

from __future__ import annotations

from imu_core.methods.base import SEES, Batch, Edit, Method, Objective, Parameter
from imu_core.methods.plugins import load_plugins, register
from imu_core.methods.presets import PRESETS, preset
from imu_core.methods.registry import METHODS, find
from imu_core.methods.view import View, needs

__all__ = [
    "METHODS",
    "PRESETS",
    "SEES",
    "Batch",
    "Edit",
    "Method",
    "Objective",
    "Parameter",
    "View",
    "find",
    "load_plugins",
    "needs",
    "preset",
    "register",
]

load_plugins()
