"""The unlearning methods, by name. To add one: a file in `families` with its METHODS; from elsewhere: `register` (`plugins`)."""

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
