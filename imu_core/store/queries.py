"""Statements over the tables of runs, and what is said about their rows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sql

from imu_core.records.shapes import Json
from imu_core.store import schema
from imu_core.store.stored import clean_tags, depth, knows_reference

CHUNK = 500  # values in one IN (…)

RUNS, TAGS, STOPS = schema.RUNS, schema.TAGS, schema.STOPS
_HEAVY = ("trajectory", "parameters")
SIZE = (
    sql.func.length(RUNS.c.trajectory)
    + sql.func.coalesce(sql.func.length(RUNS.c.parameters), 0)
    + sql.func.length(sql.cast(RUNS.c.metrics, sql.Text))
)
LIGHT = [column for column in RUNS.c if column.name not in _HEAVY]
PROBLEM = (RUNS.c.dataset, RUNS.c.model_name, RUNS.c.forget, RUNS.c.problem_seed)
_SEARCHED = (RUNS.c.name, RUNS.c.forget, RUNS.c.method, RUNS.c.model_name, RUNS.c.dataset)


def says_more(new: Mapping[str, Json | bytes], old: Mapping[str, Json | bytes]) -> bool:
    """Whether the record `new` tells more than the row `old` of the same run: an ending, a deeper measurement, parameters."""

    def rank(row: Mapping[str, Json | bytes], parameters: bool) -> tuple[bool, int, bool, bool]:
        metrics = row["metrics"]
        return row["state"] in ("done", "diverged"), depth(metrics).level, knows_reference(metrics), parameters

    return rank(new, new["parameters"] is not None) > rank(old, old["has_parameters"])


def attach(connection: sql.Connection, run_id: str, tags: Sequence[str]) -> None:
    """Give the run `run_id` its `tags`."""
    if tags:
        connection.execute(sql.insert(TAGS), [{"run_id": run_id, "tag": tag} for tag in tags])


def size_of(row: Mapping[str, Json | bytes]) -> int:
    """Bytes that a row takes: its path, its parameters and its metrics."""
    return len(row["trajectory"]) + len(row["parameters"] or b"") + len(json.dumps(row["metrics"]))


def exceeds(number: int, size: int, most_runs: int | None, most_bytes: int | None) -> bool:
    """Whether `number` runs of `size` bytes in all are more than the limits allow (None: no limit)."""
    return (most_runs is not None and number > most_runs) or (most_bytes is not None and size > most_bytes)


def limits_in_words(most_runs: int | None, most_bytes: int | None) -> str:
    """What is allowed, in words: "200 runs of 64 MB in all"."""
    runs = [] if most_runs is None else [f"{most_runs:,} runs"]
    return " of ".join([*runs, *([] if most_bytes is None else [f"{most_bytes / 2**20:,.0f} MB in all"])])


def is_deleted(deleted: bool) -> sql.ColumnElement[bool]:
    """The condition that a run is deleted, or that it is not."""
    return RUNS.c.deleted.is_not(None) if deleted else RUNS.c.deleted.is_(None)


def conditions(
    text: str, method: str | None, tags: Iterable[str], state: str | None, problem: Sequence[Any] | None, deleted: bool
) -> Iterator[sql.ColumnElement[bool]]:
    """The conditions of a search; see `Store.search` for what each argument asks."""
    yield is_deleted(deleted)
    if method is not None:
        yield RUNS.c.method == method
    if state is not None:
        yield RUNS.c.state == state
    if problem is not None:
        yield from (column == value for column, value in zip(PROBLEM, problem, strict=True))
    for tag in clean_tags(tags):
        yield sql.exists().where(TAGS.c.run_id == RUNS.c.id, TAGS.c.tag == tag)
    for word in str(text)[:500].split()[:20]:
        tagged = sql.exists().where(TAGS.c.run_id == RUNS.c.id, TAGS.c.tag.icontains(word, autoescape=True))
        yield sql.or_(tagged, *(column.icontains(word, autoescape=True) for column in _SEARCHED))


def tags_of(connection: sql.Connection, run_ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Run id to its tags, sorted; a run without any has ()."""
    by_run: dict[str, list[str]] = {run_id: [] for run_id in run_ids}
    for part in chunks(run_ids):
        for run_id, tag in connection.execute(sql.select(TAGS).where(TAGS.c.run_id.in_(part))):
            by_run[run_id].append(tag)
    return {run_id: tuple(sorted(tags)) for run_id, tags in by_run.items()}


def chunks(values: Sequence[str]) -> Iterator[list[str]]:
    """`values` in lists of at most `CHUNK`, so that one statement can take each."""
    for start in range(0, len(values), CHUNK):
        yield list(values[start : start + CHUNK])


def is_stopped_by(connection: sql.Connection, sweep: str) -> bool:
    """Whether somebody asked the sweep of that id to stop."""
    return connection.execute(sql.select(STOPS.c.sweep).where(STOPS.c.sweep == sweep)).first() is not None


def file_problems(connection: sql.Connection) -> Iterator[str]:
    """What SQLite itself finds wrong with its file, a sentence each."""
    findings = connection.exec_driver_sql("PRAGMA integrity_check").scalars().all()
    yield from (f"The file: {finding}" for finding in findings if finding != "ok")
    for table, row, *_ in connection.exec_driver_sql("PRAGMA foreign_key_check"):
        yield f"The file: row {row} of {table} belongs to no run."
