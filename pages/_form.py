"""The settings of a run as widgets: methods, preset, scope, and a form for the rest; each is in the link."""

from __future__ import annotations

import dataclasses
import json
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import streamlit as st

from imu_core.glossary import help_text
from imu_core.influence import ESTIMATORS
from imu_core.methods import METHODS, PRESETS, preset
from imu_core.records import RunConfig, Trajectory
from imu_core.weights import CONTROLS, PSI

OWN = "own"
SCOPES = ("head", "last:1", "last:2", "all")
CONTROL_RUNS = {"imu-permuted": "permuted", "imu-random": "random", "imu-uniform": "uniform"}
START = preset("gentle", "imu")  # what the form of one's own settings begins with

# field → (label, widget, arguments); percentages are fractions in the config
FIELDS: dict[str, tuple[str, str, Any]] = {
    "learning_rate": ("Learning rate", "number", (0.0, 10.0, "%.5f", 0.001)),
    "optimizer": ("Steps", "choice", ("normalised", "sgd")),
    "momentum": ("Momentum", "number", (0.0, 0.999, "%.3f", 0.05)),
    "weight_decay": ("Weight decay", "number", (0.0, 1.0, "%.5f", 0.0005)),
    "epochs": ("Epochs", "whole", (1, 500)),
    "batch_size": ("Batch size", "whole", (1, 10_000)),
    "bn": ("Batch norm", "choice", ("eval", "train")),
    "schedule": ("Schedule", "choice", ("constant", "one_cycle")),
    "augment": ("Random flips", "switch", None),
    "eval_every": ("Evaluate every … steps", "optional_whole", (1, 100_000)),
    "estimator": ("Estimator", "choice", tuple(ESTIMATORS)),
    "damping": ("Damping λ", "number", (0.0, 1000.0, "%.6f", 0.01)),
    "psi": ("ψ", "choice", tuple(PSI)),
    "top": ("Top share kept", "number", (0.01, 1.0, "%.2f", 0.05)),
    "clip_quantile": ("Clip at quantile", "optional", (0.0, 1.0, "%.2f", 0.01)),
    "control": ("Control", "choice", ("none", *CONTROLS)),
    "update_every": ("Scores again (ν)", "choice", ("0", "1", "2", "5", "iteration")),
    "weight_norm": ("Weights normalised by", "choice", ("batch", "dataset", "mean1")),
    "l1": ("L1 on the head", "number", (0.0, 10.0, "%.5f", 0.0005)),
    "beta": ("β of NPO", "number", (0.001, 100.0, "%.3f", 0.1)),
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


def choices() -> dict[str, str]:
    """What can be run, by the word in the link: every registered method, and IMU with its weights taken away."""
    named = {name: method.title for name, method in METHODS.items()}
    return {**named, **{key: f"IMU, {control} weights" for key, control in CONTROL_RUNS.items()}}


def settings(aim: tuple[float, str] | None) -> list[RunConfig]:
    """Draw the form and return one config a chosen method; [] while none is chosen. Raises ConfigError for bad values.

    `aim` is where runs on this problem should stop unless the visitor says otherwise (see `reference.target`).
    """
    named = choices()
    picked = st.pills(
        "Methods",
        list(named),
        selection_mode="multi",
        default=["imu", "ga", "npo"],
        key="methods",
        format_func=named.get,
        bind="query-params",
        help=help_text("method"),
    )
    one, two, three, four = st.columns([5, 4, 3, 2], gap="medium")
    with one:
        kind = st.segmented_control(
            "Settings",
            [*PRESETS, OWN],
            default="gentle",
            key="preset",
            bind="query-params",
            required=True,
            help=help_text("preset"),
        )
    with two:
        scope = st.segmented_control(
            "Scope", SCOPES, default="head", key="scope", bind="query-params", required=True, help=help_text("scope")
        )
    with three:
        target = st.number_input(
            "Stop at forget accuracy, %",
            0.0,
            100.0,
            None,
            0.5,
            "%.1f",
            key="target",
            bind="query-params",
            placeholder="as the settings say",
            help=help_text("stop_at"),
        )
    with four:
        seed = st.number_input("Run seed", 0, 2**31 - 1, 0, key="run_seed", bind="query-params", help=help_text("seed"))
    kind, scope, seed = kind or "gentle", scope or "head", seed or 0  # an empty parameter in a link empties the widget
    stop = None if target is None else as_fraction(target)
    if kind != OWN:
        st.caption(PRESETS[kind])
    if aim and kind == "gentle" and stop is None:
        st.caption(f"These samples are no whole class: runs stop at {100 * aim[0]:.1f} % instead, {aim[1]}.")
        stop = aim[0]
    own = _own_settings() if kind == OWN else {}
    return [_config(name, kind, scope, stop, seed, own) for name in picked]


def _config(name: str, kind: str, scope: str, stop: float | None, seed: int, own: dict[str, Any]) -> RunConfig:
    control = CONTROL_RUNS.get(name)
    method = "imu" if control else name
    config = RunConfig(method=method, scope=scope, seed=seed, **own) if kind == OWN else preset(kind, method, scope, seed)
    if control:
        config = dataclasses.replace(config, control=control)
    stoppable = stop is not None and METHODS[method].stream == "forget"
    return dataclasses.replace(config, stop_at=stop) if stoppable else config


def _own_settings() -> dict[str, Any]:
    """The form itself; every field starts from the gentle preset."""
    values: dict[str, Any] = {}
    with st.container(border=True):
        for group, fields in GROUPS.items():
            st.markdown(f"**{group}**")
            with st.grid(columns="auto", min_column_width=150, gap="small", key=f"grid_{group}", vertical_alignment="bottom"):
                for name in fields:
                    values[name] = _read(name, _widget(name))
    return values


def _widget(name: str) -> Any:
    label, kind, about = FIELDS[name]
    default, common = getattr(START, name), {"key": f"own_{name}", "bind": "query-params", "help": help_text(name)}
    if kind == "choice":
        shown = "none" if default is None else str(default)
        return st.selectbox(label, about, about.index(shown), **common)
    if kind == "switch":
        return st.toggle(label, default, **common)
    if kind == "whole":
        return st.number_input(label, about[0], about[1], int(default), **common)
    if kind == "optional_whole":
        return st.number_input(label, about[0], about[1], default, 1, placeholder="auto", **common)
    low, high, form, step = about
    start = None if default is None else float(default)
    return st.number_input(label, low, high, start, step, form, placeholder="off" if kind == "optional" else None, **common)


def _read(name: str, value: Any) -> Any:
    if name == "control":
        return None if value == "none" else value
    return int(value) if name == "update_every" and value != "iteration" else value


def as_percent(fraction: float) -> float:
    """0.859 → 85.9, by decimal arithmetic: a link must stop exactly where the run did."""
    return float(Decimal(repr(float(fraction))) * 100)


def as_fraction(percent: float) -> float:
    """85.9 → 0.859; undoes `as_percent`."""
    return float(Decimal(repr(float(percent))) / 100)


def link(trajectory: Trajectory, page: str = "unlearn") -> str:
    """The address of `page` with the run's problem and every setting of the run; options go by the words on the page."""
    about, config = trajectory.problem, trajectory.config
    history = [[step["forget"], step["config"]] for step in about["history"]]
    query: dict[str, Any] = {name: about[name] for name in ("dataset", "model", "forget", "seed")}
    query |= {"after": json.dumps(history)} if history else {}
    query |= {"methods": choices()[config.method], "preset": OWN, "scope": config.scope, "run_seed": config.seed}
    query |= {"target": repr(as_percent(config.stop_at))} if config.stop_at is not None else {}
    for name, (_, kind, _) in FIELDS.items():
        value = getattr(config, name)
        if value != getattr(START, name):
            query[f"own_{name}"] = str(value).lower() if kind == "switch" else "none" if value is None else value
    return f"/{page}?" + urlencode(query)
