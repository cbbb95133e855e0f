"""The settings of a run beyond methods, preset and scope: the common ones, and what the chosen methods have of their own."""

from __future__ import annotations

from typing import Any

import streamlit as st

from imu_core.glossary import help_text
from imu_core.influence import ESTIMATORS
from imu_core.methods import METHODS, Parameter, preset
from imu_core.records import RANGES
from imu_core.weights import CONTROLS, PSI
from pages.widgets import bound

START = preset("gentle", "imu")  # what the form of one's own settings begins with

# field → (label, widget, arguments); percentages are fractions in the config
FIELDS: dict[str, tuple[str, str, Any]] = {
    "learning_rate": ("Learning rate", "number", (*RANGES["learning_rate"], "%.5f", 0.001)),
    "optimizer": ("Steps", "choice", ("normalised", "sgd")),
    "momentum": ("Momentum", "number", (*RANGES["momentum"], "%.3f", 0.05)),
    "weight_decay": ("Weight decay", "number", (*RANGES["weight_decay"], "%.5f", 0.0005)),
    "epochs": ("Epochs", "whole", RANGES["epochs"]),
    "batch_size": ("Batch size", "whole", RANGES["batch_size"]),
    "bn": ("Batch norm", "choice", ("eval", "train")),
    "schedule": ("Schedule", "choice", ("constant", "one_cycle")),
    "augment": ("Random flips", "switch", None),
    "eval_every": ("Evaluate every … steps", "optional_whole", (1, 100_000)),
    "estimator": ("Estimator", "choice", tuple(ESTIMATORS)),
    "damping": ("Damping λ", "number", (*RANGES["damping"], "%.6f", 0.01)),
    "psi": ("ψ", "choice", tuple(PSI)),
    "top": ("Top share kept", "number", (0.01, 1.0, "%.2f", 0.05)),
    "clip_quantile": ("Clip at quantile", "optional", (0.0, 1.0, "%.2f", 0.01)),
    "control": ("Control", "choice", ("none", *CONTROLS)),
    "update_every": ("Scores again (ν)", "choice", ("0", "1", "2", "5", "iteration")),
    "weight_norm": ("Weights normalised by", "choice", ("batch", "dataset", "mean1")),
    "l1": ("L1 on the head", "number", (*RANGES["l1"], "%.5f", 0.0005)),
    "beta": ("β of NPO", "number", (*RANGES["beta"], "%.3f", 0.1)),
}
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
USED_BY = {"Weights of IMU": ("imu", "ga"), "NPO": ("npo", "simnpo")}


def own_settings(methods: list[str], scope: str) -> dict[str, dict[str, Any]]:
    """Draw the form: common settings, then a group for each of `methods` that has settings of its own.

    Returns keyword arguments for RunConfig by method. Every field starts from the gentle preset.
    """
    common: dict[str, Any] = {}
    options: dict[str, dict[str, Any]] = {name: {} for name in methods}
    with st.container(border=True):
        for group in _groups(methods):
            with _group(group):
                for name in GROUPS[group]:
                    common[name] = _read(name, _widget(name))
        for method in methods:
            if METHODS[method].parameters:
                with _group(METHODS[method].title):
                    chosen = {p: _own_widget(method, p, scope) for p in METHODS[method].parameters}
                    options[method] = {p.name: value for p, value in chosen.items() if value != p.default}
    return {name: {**common, "options": options[name]} for name in methods}


def _groups(methods: list[str]) -> list[str]:
    return [group for group in GROUPS if group not in USED_BY or set(methods) & set(USED_BY[group])]


def drawn(methods: list[str]) -> list[str]:
    """The names of the common settings that the form shows for `methods`."""
    return [name for group in _groups(methods) for name in GROUPS[group]]


def _group(title: str) -> Any:
    st.markdown(f"**{title}**")
    return st.grid(columns="auto", min_column_width=150, gap="small", key=f"grid_{title}", vertical_alignment="bottom")


def own_start(method: str, scope: str) -> dict[str, Any]:
    """The values that the form of `method`'s own settings begins with: those of its gentle preset."""
    options = preset("gentle", method, scope).options
    return {p.name: options.get(p.name, p.default) for p in METHODS[method].parameters}


def _own_widget(method: str, p: Parameter, scope: str) -> Any:
    start, common = own_start(method, scope)[p.name], {"key": f"own_{method}_{p.name}", "help": p.help}
    if isinstance(p.default, bool):
        return bound.toggle(p.label, start, **common)
    if p.choices:
        return bound.selectbox(p.label, p.choices, index=p.choices.index(start), **common)
    if p.whole:
        return bound.number_input(p.label, int(p.low), int(p.high), int(start), 1, **common)
    step = float(start) / 10 if p.logarithmic else (p.high - p.low) / 100 if p.high <= 1 else 0.1
    return bound.number_input(p.label, float(p.low), float(p.high), float(start), step, "%.4g", **common)


def _widget(name: str) -> Any:
    label, kind, about = FIELDS[name]
    default, common = getattr(START, name), {"key": f"own_{name}", "help": help_text(name)}
    if kind == "choice":
        shown = "none" if default is None else str(default)
        return bound.selectbox(label, about, index=about.index(shown), **common)
    if kind == "switch":
        return bound.toggle(label, default, **common)
    if kind == "whole":
        return bound.number_input(label, about[0], about[1], int(default), **common)
    if kind == "optional_whole":
        return bound.number_input(label, about[0], about[1], default, 1, placeholder="auto", **common)
    low, high, form, step = about
    start = None if default is None else float(default)
    return bound.number_input(label, low, high, start, step, form, placeholder="off" if kind == "optional" else None, **common)


def _read(name: str, value: Any) -> Any:
    if name == "control":
        return None if value == "none" else value
    return int(value) if name == "update_every" and value != "iteration" else value
