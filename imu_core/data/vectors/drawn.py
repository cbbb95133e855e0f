"""Points that somebody drew, moved or erased: kept by their content, as `points:drawn-…`, in `points` of the home folder."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field, Strict, TypeAdapter, ValidationError

from imu_core import runtime
from imu_core.data.vectors import points
from imu_core.errors import DataError, shown
from imu_core.records.data import Dataset

PREFIX = "drawn-"
FEWEST, MOST = 8, 600  # points
FEWEST_OF_CLASS = 2
MOST_KEPT = 300  # sets of points on this machine
_NEAR = 0.06  # spread of the test points around those drawn
_SEED = 67
_MOST_BYTES = 200_000

_Coordinate = Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False)]
_Class = Annotated[int, Strict(), Field(ge=0, lt=len(points.CLASS_NAMES))]
_POINTS = TypeAdapter(list[tuple[_Coordinate, _Coordinate, _Class]])

Point = tuple[float, float, int]  # across, up, class


def keep(drawn: object) -> str:
    """Keep `drawn`, a list of (across, up, class), under a name that its content decides; returns that name.

    A DataError says what is wrong with it: coordinates lie from −1 to 1, classes are 0 to 3; at least 8 points in all, at least 2
    of each class that is there, and two classes.
    """
    kept = _checked(drawn)
    text = json.dumps(kept, separators=(",", ":"))
    name = PREFIX + hashlib.sha256(text.encode()).hexdigest()[:16]
    path = _path(name)
    if not path.exists():
        runtime.write_whole(path, lambda part: part.write_text(text))
        _prune(path.parent)
    path.touch()
    return points.PREFIX + name


def _prune(folder: Path) -> None:
    """Remove all but the last `MOST_KEPT` sets of points, with the networks that were trained on them: every move makes a set."""
    newest_first = sorted(folder.glob(f"{PREFIX}*.json"), key=lambda file: file.stat().st_mtime, reverse=True)
    for old in newest_first[MOST_KEPT:]:
        shutil.rmtree(runtime.home() / "models" / runtime.place(points.PREFIX + old.stem), ignore_errors=True)
        old.unlink(missing_ok=True)


def _checked(drawn: object) -> list[Point]:
    if isinstance(drawn, Sequence) and len(drawn) > MOST:
        raise DataError(f"There are {len(drawn):,} points; at most {MOST} can be kept. Erase some.")
    try:
        kept = _POINTS.validate_python(drawn)
    except ValidationError as error:
        where = error.errors(include_url=False)[0]
        raise DataError(
            f"Point {'.'.join(map(str, where['loc']))[:20]} is {shown(where['input'])}: each needs two numbers from -1 to 1 and "
            f"a class from 0 to {len(points.CLASS_NAMES) - 1}."
        ) from error
    counts = np.bincount([label for *_, label in kept], minlength=len(points.CLASS_NAMES))
    few = [points.CLASS_NAMES[c] for c, count in enumerate(counts) if 0 < count < FEWEST_OF_CLASS]
    if len(kept) < FEWEST or (counts > 0).sum() < 2 or few:
        missing = f" Class {few[0]} has one alone." if few else ""
        raise DataError(
            f"There are {len(kept)} points of {(counts > 0).sum()} classes.{missing} Draw at least {FEWEST} points, of two "
            f"classes or more, and at least {FEWEST_OF_CLASS} of each."
        )
    places = points.rounded(np.array([point[:2] for point in kept])).astype(float).round(points.DECIMALS).tolist()
    return [(x, y, label) for (x, y), (*_, label) in zip(places, kept, strict=True)]


def _path(name: str) -> Path:
    return runtime.home() / "points" / f"{name}.json"


def is_name(text: str) -> bool:
    """Whether `text` is the name of drawn points, without the prefix of all points; they may be here or not."""
    return re.fullmatch(PREFIX + "[0-9a-f]{16}", text) is not None


def find(name: str) -> Path:
    """The file with the points kept as `name`; a DataError where they are not on this machine."""
    path = _path(name)
    if not path.is_file():
        raise DataError(_missing(name))
    return path


def _missing(name: str) -> str:
    return (
        f"The points {shown(name)} are not on this machine: they were drawn on another, or are damaged. Draw them again in the "
        f"playground, or choose {points.PREFIX}moons."
    )


def read(name: str) -> list[Point]:
    """The points kept as `name`; a DataError where they are not here or damaged."""
    try:
        return _checked(json.loads(runtime.read_text(_path(name), _MOST_BYTES)))
    except (OSError, ValueError) as error:
        raise DataError(_missing(name)) from error


def load(name: str) -> Dataset:
    """The points kept as `name`; those drawn are the training set.

    The 400 test points lie near drawn ones: each is one of them, moved at random by 0.06 on average. So they say how the model
    does between the points drawn, and nothing about points elsewhere.
    """
    kept = read(name)
    x, labels = np.array([point[:2] for point in kept]), np.array([label for *_, label in kept])
    there = np.unique(labels)
    y, rng = np.searchsorted(there, labels), np.random.default_rng(_SEED)
    near = rng.integers(len(x), size=points.TEST)
    test = x[near] + _NEAR * rng.standard_normal((points.TEST, 2)), y[near]
    return points.dataset(points.PREFIX + name, "Points of your own", (x, y), test, tuple(points.CLASS_NAMES[c] for c in there))
