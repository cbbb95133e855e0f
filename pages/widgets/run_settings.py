"""The settings of a run beyond methods, preset and scope: the common ones, and what the chosen methods have of their own."""

from __future__ import annotations

from typing import Any

import streamlit as st

from imu_core.methods import METHODS, preset
from imu_core.records.shapes import Settings, Value
from imu_core.settings import RUN
from pages.widgets import bound

START = preset("gentle", "imu")  # what the form of one's own settings begins with

GROUPS = {
    "Steps": (
        "learning_rate",
        "optimizer",
        "momentum",
        "weight_decay",
        "epochs",
        "batch_size",
        "bn",
        "schedule",
        "augment",
        "eval_every",
    ),
    "Weights of IMU": ("estimator", "damping", "psi", "top", "clip_quantile", "control", "update_every", "weight_norm", "l1"),
    "NPO": ("beta",),
}


def own_settings(methods: list[str], scope: str) -> dict[str, Settings]:
    """Draw the form: common settings, then a group for each of `methods` that has settings of its own.

    Returns keyword arguments for RunConfig by method. Every field starts from the gentle preset.
    """
    common: dict[str, Value] = {}
    options: dict[str, dict[str, Value]] = {name: {} for name in methods}
    with st.container(border=True):
        for group in _groups(methods):
            with _group(group):
                for name in GROUPS[group]:
                    common[name] = bound.setting(RUN[name], key=f"own_{name}", start=getattr(START, name))
        for method in methods:
            if METHODS[method].parameters:
                with _group(METHODS[method].title):
                    start = own_start(method, scope)
                    for p in METHODS[method].parameters:
                        value = bound.setting(p, key=f"own_{method}_{p.name}", start=start[p.name], help=p.help)
                        options[method] |= {p.name: value} if value != p.default else {}
    return {name: {**common, "options": options[name]} for name in methods}


def _groups(methods: list[str]) -> list[str]:
    """The groups that change what one of `methods` does: those that it declares in `uses`, and the steps of any."""
    used = {name for method in methods for name in METHODS[method].uses}
    return [group for group, names in GROUPS.items() if group == "Steps" or used & set(names)]


def drawn(methods: list[str]) -> list[str]:
    """The names of the common settings that the form shows for `methods`."""
    return [name for group in _groups(methods) for name in GROUPS[group]]


def _group(title: str) -> Any:
    st.markdown(f"**{title}**")
    return st.grid(columns="auto", min_column_width=150, gap="small", key=f"grid_{title}", vertical_alignment="bottom")


def own_start(method: str, scope: str) -> dict[str, Value]:
    """The values that the form of `method`'s own settings begins with: those of its gentle preset."""
    options = preset("gentle", method, scope).options
    return {p.name: options.get(p.name, p.default) for p in METHODS[method].parameters}
