"""The shape of the file that holds what was made of the paper's tables."""

from __future__ import annotations

from typing import TypedDict

from imu_core.records.shapes import Json, MeanRecord, Settings

Figure = dict[str, Json]  # the data of a figure, each with names of its own


class Sentence(TypedDict):
    """What is said of a table, and the verdict behind it (a `Verdict`)."""

    verdict: str
    lead: str
    words: str


class RowRecord(TypedDict, total=False):
    """A line of a table; `rows.row` says what each name holds. Rows of role "model" have no runs."""

    key: str
    title: str
    role: str
    paper: str
    method: str
    control: str | None
    scope: str
    strength: float
    setting: str
    config: Settings
    saw: list[str]
    runs: int
    reached: int
    diverged: int
    failed: int
    values: dict[str, MeanRecord]
    each: dict[str, dict[str, float]]
    epochs: float


class TableRecord(TypedDict, total=False):
    """A table: its rows, what is said of them, and what is missing."""

    kind: str
    dataset: str
    model: str
    target: float
    requests: list[str]
    rows: list[RowRecord]
    missing: list[str]
    sentences: list[Sentence]
    note: str


class TablesRecord(TypedDict):
    """Everything that was made on one data set with one model."""

    dataset: str
    model: str
    target: float
    seeds: int
    tables: dict[str, TableRecord]
    figures: dict[str, Figure]
