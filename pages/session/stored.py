"""What a stored run is called and shows, and how its problem and its settings are restored."""

from __future__ import annotations

import hashlib
import html
from collections.abc import Sequence
from datetime import UTC, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import streamlit as st

from imu_core import figures
from imu_core.depth import utility_key
from imu_core.methods import METHODS
from imu_core.metrics import METRICS, Images
from imu_core.metrics.registry import numbers
from imu_core.records.run import Trajectory
from imu_core.records.shapes import Metrics
from imu_core.report.numbers import in_unit
from imu_core.store.runs import Stored, Summary

LONGEST_REQUEST = 60  # characters
ARROWS = {"higher": "↑", "lower": "↓"}
SETS = {Images.FORGET: "forget", Images.TEST: "test"}  # of the samples behind a figure


def numbers_of(metrics: Metrics, model: str) -> dict[str, float]:
    """What was measured of one model; {} where an imported record holds something else in its place."""
    try:
        return numbers(metrics, model)
    except (AttributeError, TypeError, ValueError, KeyError):
        return {}


def reference_of(run: Summary) -> dict[str, float] | None:
    """Accuracies of the retrained model as they were measured with the run, as far as charts need them; else None."""
    accuracies = numbers_of(run.metrics, "retrained")
    return accuracies if {"forget", utility_key(run.accuracies)} <= accuracies.keys() else None


def known_title(method: str) -> str:
    """The title of a method, or the word itself where no such method is known here."""
    return METHODS[method].title if method in METHODS else method


def method_title(run: Summary) -> str:
    """The method of a run with its control, such as "IMU (permuted)"; the bare name of a method that is not known here."""
    title = known_title(run.method)
    control = run.settings.get("control")
    return f"{title} ({control})" if control else title


def title_of(run: Summary) -> str:
    """The name of a run; that of its method where nobody has named it."""
    return run.name or method_title(run)


def problem_title(problem: Sequence[Any]) -> str:
    """`problem` (data set, model, request, seed) in one line; a long request is cut and gets a mark made from all of it."""
    dataset, model, forget, seed = problem
    mark = f"… ({hashlib.sha256(forget.encode()).hexdigest()[:4]})" if len(forget) > LONGEST_REQUEST else ""
    return f"{forget[:LONGEST_REQUEST]}{mark} · {dataset}/{model}" + (f", seed {seed}" if seed else "")


def written(key: str, value: float | None) -> str:
    """The figure `key` with its unit, as text; "" where it was not measured (None)."""
    if value is None:
        return ""
    return in_unit(value, METRICS[key].unit)


def samples(run: Stored, key: str) -> str:
    """How many samples are behind the figure `key`, as text; "" where that is not on record."""
    size = run.trajectory.sizes.get(SETS.get(METRICS[key].images, key))
    return f"{size:,}" if size else ""


def direction(key: str, class_wise: bool) -> str:
    """Which way the figure `key` is good: "↑ higher", "↓ lower", or "≈" and what it should be near."""
    good = METRICS[key].direction(class_wise)
    return f"{ARROWS[good]} {good}" if good in ARROWS else f"≈ {good.removeprefix('nearest ').removesuffix(' reference')}"


def zone() -> tzinfo:
    """The visitor's time zone, or UTC."""
    try:
        return ZoneInfo(st.context.timezone or "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        return UTC


def style_of(run: Summary) -> figures.Style:
    """The style (colour, dash, mark) that the run is drawn in everywhere."""
    return figures.style_of(run.method, run.settings.get("control"))


def shown(run: Summary, record: Trajectory) -> figures.Shown:
    """`run` as the charts draw it; its name is escaped, because charts read HTML."""
    return figures.Shown(html.escape(title_of(run)), record, style_of(run))
