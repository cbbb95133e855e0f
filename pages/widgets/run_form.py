"""The settings of a run as widgets: methods, preset, scope, and a form for the rest; each is in the link."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from decimal import Decimal

import streamlit as st

from imu_core.errors import ConfigError
from imu_core.glossary import help_text
from imu_core.methods import METHODS, PRESETS, preset
from imu_core.models.head import blocks
from imu_core.records.run import Problem, RunConfig
from imu_core.records.shapes import Settings
from imu_core.report.numbers import percent
from imu_core.settings import RUN
from pages.widgets import bound, run_settings

OWN = "own"
SCOPES = RUN["scope"].offered
FREE = "as the settings say"  # of the batch-norm mode on the page Re-identify
MODES = (FREE, *RUN["bn"].choices)
CONTROL_RUNS = {"imu-permuted": "permuted", "imu-random": "random", "imu-uniform": "uniform"}


def sees_little(name: str) -> bool:
    """Whether the method needs nothing but the forget set, with its default settings."""
    return METHODS[name].needs(RunConfig(method=name)) <= {"forget"}


def choices() -> dict[str, str]:
    """The title of all that can be run, by its word in a link: every method, and IMU with other weights (`CONTROL_RUNS`)."""
    named = {name: method.title for name, method in METHODS.items()}
    return {**named, **{key: f"IMU, {control} weights" for key, control in CONTROL_RUNS.items()}}


def _methods(see_more: bool) -> list[str]:
    """The methods that are chosen, of those that see the forget set alone or of those that see more."""
    named = choices()
    offered = [key for key in named if (key in CONTROL_RUNS or sees_little(key)) != see_more]
    if see_more:
        label = "Methods that see more: the retain set, or what was stored at training"
        return bound.multiselect(label, offered, key="more", format_func=named.get, placeholder="none", help=help_text("sees"))
    return bound.pills(
        "Methods that see the forget set only",
        offered,
        selection_mode="multi",
        default=["imu", "ga", "npo"],
        key="methods",
        format_func=named.get,
        help=help_text("method"),
    )


def scope_of(problem: Problem) -> Callable[[str], str | None]:
    """A function that returns a link's word where it is a scope last:K and the model of `problem` has K blocks; else None."""
    depth = len(blocks(problem.model)) - 1
    return lambda word: word if word in {f"last:{k}" for k in range(1, depth + 1)} else None


def settings(
    aim: tuple[float, str] | None, whole_classes: bool = True, also: Callable[[str], str | None] | None = None
) -> list[RunConfig]:
    """Draw the form and return one config a chosen method; [] while none is chosen. Raises ConfigError for bad values.

    `aim` is where runs on this problem should stop unless the visitor says otherwise (see `reference.target`); `also` makes a
    scope of a word in a link (see `scope_of`).
    """
    picked, which, until = _methods(see_more=False), RUN["scope"], RUN["stop_at"]
    one, two, three = st.columns([6, 5, 3], gap="medium", vertical_alignment="bottom")
    with one:
        kind = bound.segmented_control(
            "Settings",
            [*PRESETS, OWN],
            default="gentle",
            key="preset",
            required=True,
            help=help_text("preset"),
        )
    with two:
        scope = bound.segmented_control(
            which.label, SCOPES, default=which.default, key="scope", required=True, also=also, help=help_text("scope")
        )
    with three, st.popover("More", icon=":material/tune:", help="More methods, where runs stop, and their seed"):
        picked = [*picked, *_methods(see_more=True)]
        target = bound.number_input(
            f"{until.label}, %",
            *map(as_percent, until.ends),
            until.default,
            as_percent(until.step),
            until.form,
            key="target",
            placeholder=until.empty,
            help=help_text("stop_at"),
        )
        seed = bound.setting(RUN["seed"], key="run_seed")
    kind, scope, seed = kind or "gentle", scope or which.default, seed or 0  # an empty parameter in a link empties the widget
    stop = None if target is None else as_fraction(target)
    if aim and kind == "gentle" and stop is None:
        st.caption(f"Small steps, with momentum, until {percent(aim[0])} of the forget set is recognised: {aim[1]}.")
        stop = aim[0]
    elif kind != OWN:
        st.caption(PRESETS[kind])
    picked = _fitting(picked, scope, whole_classes)
    own = run_settings.own_settings(methods_of(picked), scope) if kind == OWN else {}
    return [config(name, kind, scope, stop, seed, own) for name in picked]


def methods_of(picked: list[str]) -> list[str]:
    """The methods of the `picked` choices, each once: IMU with other weights is IMU."""
    return list(dict.fromkeys("imu" if name in CONTROL_RUNS else name for name in picked))


def _fitting(picked: list[str], scope: str, whole_classes: bool) -> list[str]:
    """Those that make sense for the scope and the request; of the others a caption says why they are left out."""
    fitting = []
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
        fitting.append(name)
    return fitting


def config(name: str, kind: str, scope: str, stop: float | None, seed: int, own: dict[str, Settings]) -> RunConfig:
    """The settings of a run of the choice `name`; `stop` is the forget accuracy where it ends, or None for the preset's."""
    control = CONTROL_RUNS.get(name)
    method = "imu" if control else name
    made = RunConfig(method=method, scope=scope, seed=seed, **own[method]) if kind == OWN else preset(kind, method, scope, seed)
    if control:
        made = dataclasses.replace(made, control=control)
    stoppable = stop is not None and METHODS[method].forgets
    return dataclasses.replace(made, stop_at=stop) if stoppable else made


def as_percent(fraction: float) -> float:
    """A fraction in percent, 0.859 → 85.9, by decimal arithmetic: a run from a link must stop exactly where the first did."""
    return float(Decimal(repr(float(fraction))) * 100)


def as_fraction(percent: float) -> float:
    """A percentage as a fraction, 85.9 → 0.859; undoes `as_percent`."""
    return float(Decimal(repr(float(percent))) / 100)
