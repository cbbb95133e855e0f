"""What tells runs of one name apart: the settings in which they differ, or else the start of their id."""

from __future__ import annotations

import dataclasses
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from imu_core.records.run import RunConfig
from imu_core.records.shapes import Settings
from pages.widgets.text import plain

MOST = 3  # settings that are named
SHORT = 4  # signs of an id
USUAL = {field.name: field.default for field in dataclasses.fields(RunConfig)} | {"options": {}}


@dataclass(frozen=True)
class One:
    """A run by its name, with the settings that are not at their default and an id of its own."""

    name: str
    settings: Settings
    id: str


def base(name: str) -> str:
    """The name without the number that a second run of one name gets: GA 2 and GA (2) are both called GA."""
    return re.sub(r" (?:\d+|\(\d+\))$", "", name)


def words(runs: Sequence[One], called: Callable[[str], str] = str) -> list[str]:
    """For each run a text that tells it from others of its name, such as "epochs 40"; "" where no other has that name.

    `called` maps a name to its group: runs of one group are told apart.
    """
    groups: dict[str, list[int]] = defaultdict(list)
    for place, run in enumerate(runs):
        groups[called(run.name)].append(place)
    differences = [""] * len(runs)
    for places in (group for group in groups.values() if len(group) > 1):
        settings = [_settings(runs[place], [runs[other] for other in places]) for place in places]
        for place, text in zip(places, settings, strict=True):
            mark = runs[place].id[:SHORT] if settings.count(text) > 1 else ""
            differences[place] = ", ".join(part for part in (text, mark) if part)
    return differences


def caption(runs: Sequence[One]) -> None:
    """Draw a line that tells apart those `runs` that share a name; nothing where no two do."""
    told = [f"{run.name}: {text}" for run, text in zip(runs, words(runs, base), strict=True) if text]
    if told:
        st.caption(plain(" · ".join(told)))


def _settings(run: One, others: Sequence[One]) -> str:
    """The settings of `run` that are not the same in all `others`, in words."""
    known = [USUAL | dict(other.settings) for other in others]
    differ = [key for key in sorted({key for one in known for key in one}) if len({repr(one.get(key)) for one in known}) > 1]
    mine = USUAL | dict(run.settings)
    return ", ".join(f"{key.replace('_', ' ')} {_written(mine.get(key))}" for key in differ[:MOST])


def _written(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{key} {_written(one)}" for key, one in value.items()) or "as usual"
    return f"{value:g}" if isinstance(value, float) else "none" if value is None else str(value).lower()
