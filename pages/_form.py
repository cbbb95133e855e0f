"""The settings of a run as widgets: methods, preset, scope, and a form for the rest; each is in the link."""

from __future__ import annotations

import dataclasses
import json
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import streamlit as st

from imu_core.errors import ConfigError
from imu_core.glossary import help_text
from imu_core.methods import METHODS, PRESETS, preset
from imu_core.records import RunConfig, Trajectory
from pages import _settings

OWN = "own"
SCOPES = ("head", "last:1", "last:2", "all")
CONTROL_RUNS = {"imu-permuted": "permuted", "imu-random": "random", "imu-uniform": "uniform"}


def sees_little(name: str) -> bool:
    """Whether the method needs nothing but the forget set, with its default settings."""
    return METHODS[name].needs(RunConfig(method=name)) <= {"forget"}


def choices() -> dict[str, str]:
    """What can be run, by the word in the link: every registered method, and IMU with its weights taken away."""
    named = {name: method.title for name, method in METHODS.items()}
    return {**named, **{key: f"IMU, {control} weights" for key, control in CONTROL_RUNS.items()}}


def _picked() -> list[str]:
    """The methods that are chosen: those that see the forget set alone, and behind them those that see more."""
    named = choices()
    little = [key for key in named if key in CONTROL_RUNS or sees_little(key)]
    more = [key for key in named if key not in little]
    first = st.pills(
        "Methods that see the forget set only",
        little,
        selection_mode="multi",
        default=["imu", "ga", "npo"],
        key="methods",
        format_func=named.get,
        bind="query-params",
        help=help_text("method"),
    )
    second = st.multiselect(
        "Methods that see more: the retain set, or what was stored at training",
        more,
        key="more",
        format_func=named.get,
        bind="query-params",
        placeholder="none",
        help=help_text("sees"),
    )
    return [*first, *second]


def settings(aim: tuple[float, str] | None, whole_classes: bool = True) -> list[RunConfig]:
    """Draw the form and return one config a chosen method; [] while none is chosen. Raises ConfigError for bad values.

    `aim` is where runs on this problem should stop unless the visitor says otherwise (see `reference.target`).
    """
    picked = _picked()
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
            placeholder="by preset",
            help=help_text("stop_at"),
        )
    with four:
        seed = st.number_input("Run seed", 0, 2**31 - 1, 0, key="run_seed", bind="query-params", help=help_text("seed"))
    kind, scope, seed = kind or "gentle", scope or "head", seed or 0  # an empty parameter in a link empties the widget
    stop = None if target is None else as_fraction(target)
    if kind != OWN:
        st.caption(PRESETS[kind])
    if aim and kind == "gentle" and stop is None:
        st.caption(f"The forget set is no whole class: runs stop at {100 * aim[0]:.1f} % instead, {aim[1]}.")
        stop = aim[0]
    picked = _fitting(picked, scope, whole_classes)
    own = _settings.own_settings(_methods_of(picked), scope) if kind == OWN else {}
    return [_config(name, kind, scope, stop, seed, own) for name in picked]


def _methods_of(picked: list[str]) -> list[str]:
    """Their methods, each once: IMU with other weights is IMU."""
    return list(dict.fromkeys("imu" if name in CONTROL_RUNS else name for name in picked))


def _fitting(picked: list[str], scope: str, whole_classes: bool) -> list[str]:
    """Those that make sense for the scope and the request; of the others a caption says why they are left out."""
    kept = []
    for name in picked:
        method = METHODS["imu" if name in CONTROL_RUNS else name]
        try:
            method.check_scope(scope)
        except ConfigError as error:
            st.caption(str(error))
            continue
        if method.classes and not whole_classes:
            st.caption(f"{method.title} can only forget whole classes.")
            continue
        if method.note:
            st.caption(f"{method.title}: {method.note}")
        kept.append(name)
    return kept


def _config(name: str, kind: str, scope: str, stop: float | None, seed: int, own: dict[str, dict[str, Any]]) -> RunConfig:
    control = CONTROL_RUNS.get(name)
    method = "imu" if control else name
    config = RunConfig(method=method, scope=scope, seed=seed, **own[method]) if kind == OWN else preset(kind, method, scope, seed)
    if control:
        config = dataclasses.replace(config, control=control)
    stoppable = stop is not None and METHODS[method].forgets
    return dataclasses.replace(config, stop_at=stop) if stoppable else config


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
    little = sees_little(config.method)
    word = choices()[config.method]
    query |= {"methods": word} if little else {"methods": "", "more": word}  # an empty word empties the pills
    query |= {"preset": OWN, "scope": config.scope, "run_seed": config.seed}
    query |= {"target": repr(as_percent(config.stop_at))} if config.stop_at is not None else {}
    own = _settings.own_start(config.method, config.scope)
    query |= {
        f"own_{config.method}_{name}": str(value).lower() if isinstance(value, bool) else value
        for name, value in {**own, **METHODS[config.method].options(config)}.items()
        if value != own[name]
    }
    for name, (_, kind, _) in _settings.FIELDS.items():
        value = getattr(config, name)
        if value != getattr(_settings.START, name):
            query[f"own_{name}"] = str(value).lower() if kind == "switch" else "none" if value is None else value
    return f"/{page}?" + urlencode(query)
