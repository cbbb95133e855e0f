"""Records of runs that came from elsewhere, every type and size checked."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable
from functools import cache
from typing import Any

from imu_core.errors import ConfigError, DataError
from imu_core.records.outcome import Outcome
from imu_core.records.run import Point, RunConfig, Trajectory
from imu_core.records.shapes import About, Json, Metrics
from imu_core.settings import RUN, Setting

STATES = ("done", "cancelled", "diverged", "failed")
LONGEST_NAME = 200
_LONGEST_TEXT = 70_000  # characters of a text inside a record: a forget request may have 60,000
_MOST_POINTS, _MOST_NUMBERS = 100_000, 100_000
_DEEPEST, _LARGEST = 12, 2.0**1000  # levels; a number in a record
_SCALARS = ("step", "epoch", "seconds", "loss", "accuracies", "weights", "full")  # of a point
# Control characters, halves of surrogate pairs and marks that turn text around break databases, terminals and readers.
_HIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def read_trajectory(values: Any) -> Trajectory:
    """The trajectory that `Trajectory.to_dict` wrote, every type and size checked; DataError or ConfigError otherwise."""
    values = mapping_of(values, "The record")
    missing = sorted({f.name for f in dataclasses.fields(Trajectory)} - {"costs", "images"} - set(values))
    if missing:
        raise DataError(f"The record lacks {', '.join(missing)}.")
    points, saw = values["points"], values["saw"]
    if not isinstance(points, list) or len(points) > _MOST_POINTS:
        raise DataError(f"points must be a list of at most {_MOST_POINTS:,}.")
    if not isinstance(saw, list) or len(saw) > 20:
        raise DataError("saw must be a short list of names.")
    return Trajectory(
        _config(values["config"]),
        _problem(values["problem"]),
        tuple(_point(point) for point in points),
        named_of(values["phases"], "phases", lambda v, w: number_of(v, w, 0, 1e12)),
        _outcome(values["outcome"]),
        named_of(values["sizes"], "sizes", whole_of),
        tuple(text_of(name, "saw", 40) for name in saw),
        _metrics(values["metrics"]),
        named_of(values["environment"], "environment", lambda v, w: text_of(v, w, LONGEST_NAME)),
        named_of(values.get("costs", {}), "costs", maybe_number_of),
        named_of(values.get("images", {}), "images", whole_of),
    )


def _config(values: Any) -> RunConfig:
    values = mapping_of(values, "config")
    if not all(isinstance(name, str) for name in values):
        raise DataError("config holds names that are no text.")
    config = RunConfig.from_dict(dict(values))
    text_of(config.method, "method", 60)
    for name, value in config.options.items():
        text_of(name, "The name of an option", 60)
        text_of(value if isinstance(value, str) else "", "An option", LONGEST_NAME)
    return config


def _problem(values: Any) -> About:
    values = mapping_of(values, "problem")
    history = values.get("history")
    if not isinstance(history, list) or len(history) > 100:
        raise DataError("history must be a list of at most 100 earlier requests.")
    steps = [mapping_of(step, "history") for step in history]
    return {
        "dataset": text_of(values.get("dataset"), "dataset", 1000, filled=True),
        "model": text_of(values.get("model"), "model", 100, filled=True),
        "forget": text_of(values.get("forget"), "forget", _LONGEST_TEXT, filled=True),
        "seed": whole_of(values.get("seed"), "seed"),
        "history": [
            {
                "forget": text_of(step.get("forget"), "forget", _LONGEST_TEXT, filled=True),
                "config": _config(step.get("config")).changed(),
            }
            for step in steps
        ],
    }


def _point(values: Any) -> Point:
    values = mapping_of(values, "A point")
    if set(values) != set(_SCALARS):
        raise DataError(f"A point must hold {', '.join(_SCALARS)}.")
    if not isinstance(values["full"], bool):
        raise DataError("full must be true or false.")
    loss, weights = values["loss"], values["weights"]
    return Point(
        whole_of(values["step"], "step"),
        number_of(values["epoch"], "epoch", 0, 1e9),
        number_of(values["seconds"], "seconds", 0, 1e12),
        None if loss is None else number_of(loss, "loss", -math.inf, math.inf),
        named_of(values["accuracies"], "accuracies", lambda v, w: None if v is None else number_of(v, w, 0, 1)),
        None if weights is None else named_of(weights, "weights", maybe_number_of),
        full=values["full"],
    )


def _outcome(values: Any) -> Outcome:
    values = mapping_of(values, "outcome")
    if values.get("state") not in STATES:
        raise DataError(f"Its state is {str(values.get('state'))[:40]!r}; a stored run is {', '.join(STATES)}.")
    text_of(values.get("reason"), "reason", _LONGEST_TEXT, lines=True)
    return Outcome.from_dict(values)


def _metrics(values: Any) -> Metrics:
    left = [_MOST_NUMBERS]
    _check_tree(mapping_of(values, "metrics"), left, 0)
    return dict(values)


def _check_tree(value: Any, left: list[int], level: int) -> None:
    """DataError for a tree too deep, too large, or with leaves that are no number, text, true, false or nothing."""
    left[0] -= 1
    if level > _DEEPEST or left[0] < 0:
        raise DataError(f"metrics are nested deeper than {_DEEPEST} levels or hold more than {_MOST_NUMBERS:,} values.")
    if isinstance(value, dict):
        for name, inner in value.items():
            text_of(name, "A name in metrics", LONGEST_NAME)
            _check_tree(inner, left, level + 1)
    elif isinstance(value, list):
        for inner in value:
            _check_tree(inner, left, level + 1)
    elif isinstance(value, str):
        text_of(value, "A text in metrics", _LONGEST_TEXT, lines=True)
    elif value is not None and not isinstance(value, bool):
        number_of(value, "A value in metrics", -math.inf, math.inf)


def mapping_of(value: Any, what: str) -> dict[str, Json]:
    """`value`, if it is a JSON object; otherwise a DataError that calls it `what`."""
    if not isinstance(value, dict):
        raise DataError(f"{what} must be a mapping of names to values.")
    return value


def named_of(value: Any, what: str, read: Callable[[Any, str], Any]) -> dict[str, Any]:
    """The entries of the JSON object `value`, each as `read` returns it; otherwise a DataError that calls it `what`."""
    if len(mapping_of(value, what)) > 1000:
        raise DataError(f"{what} hold more than 1,000 names.")
    return {text_of(name, what, LONGEST_NAME): read(inner, what) for name, inner in value.items()}


def number_of(value: Any, what: str, low: float, high: float) -> float:
    """`value`, if it is a finite number from `low` to `high`; otherwise a DataError that calls it `what`."""
    return _ranged(value, what, max(low, -_LARGEST), min(high, _LARGEST), False)


def maybe_number_of(value: Any, what: str) -> float | None:
    """`value`, if it is a finite number or None; otherwise a DataError that calls it `what`."""
    return None if value is None else number_of(value, what, -math.inf, math.inf)


def whole_of(value: Any, what: str) -> int:
    """`value`, if it is a whole number in the range of a seed, from 0; otherwise a DataError that calls it `what`."""
    return _ranged(value, what, *RUN["seed"].ends, True)


def _ranged(value: Any, what: str, low: float, high: float, whole: bool) -> Any:
    try:
        _range(low, high, whole).check(value, what)
    except ConfigError as error:
        raise DataError(str(error)) from None
    return value  # as it was written: 3 stays 3, where pydantic makes 3.0 of it


@cache
def _range(low: float, high: float, whole: bool) -> Setting:
    return Setting("number", "Number", low, "A number in a record.", low, high, whole=whole)


def text_of(value: Any, what: str, longest: int, *, filled: bool = False, lines: bool = False) -> str:
    """`value`, if it is a text of at most `longest` characters, none hidden; otherwise a DataError that calls it `what`.

    `filled`: not empty. `lines`: line breaks and tabs are allowed.
    """
    if not isinstance(value, str) or len(value) > longest or (filled and not value):
        raise DataError(f"{what} must be a text of {'1' if filled else '0'} to {longest:,} characters.")
    if _HIDDEN.search(value.replace("\n", "").replace("\t", "") if lines else value):
        raise DataError(f"{what} holds characters that cannot be shown.")
    return value
