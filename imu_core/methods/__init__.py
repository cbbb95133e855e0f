"""The unlearning methods, by name. A new one is a file in `families` that declares METHODS; other code calls `register`."""

from __future__ import annotations

from imu_core.methods.base import SEES, Batch, Edit, Method, Objective, Parameter
from imu_core.methods.card import Card, Look
from imu_core.methods.plugins import load_plugins, register
from imu_core.methods.presets import PRESETS, preset
from imu_core.methods.registry import METHODS, find
from imu_core.methods.view import View, needs

__all__ = [
    "METHODS",
    "PRESETS",
    "SEES",
    "Batch",
    "Card",
    "Edit",
    "Look",
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
