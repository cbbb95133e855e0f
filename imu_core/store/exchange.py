"""Runs as text that other people import: written out, and read with every type and size checked."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from imu_core import runtime
from imu_core.errors import ConfigError, DataError
from imu_core.parsing import from_json
from imu_core.records.shapes import Json
from imu_core.store.reading import mapping_of, number_of, read_trajectory, text_of
from imu_core.store.schema import RunRow
from imu_core.store.stored import (
    FORMAT,
    LARGEST_PARAMETERS,
    SCHEMA,
    Stored,
    clean_tags,
    columns,
    read_parameters,
    stored_run,
)

_LARGEST_IMPORT = 256 * 2**20  # characters
_MOST_RUNS = 10_000


def to_text(runs: Iterable[Stored]) -> str:
    """`runs` with everything, parameters in base64, as JSON that `from_text` reads back."""
    listed = [
        {
            "id": run.id,
            "key": run.key,
            "created": run.created,
            "name": run.name,
            "tags": list(run.tags),
            "trajectory": run.trajectory.to_dict(),
            "parameters": None if run.parameters is None else base64.b64encode(run.parameters).decode(),
        }
        for run in runs
    ]
    return json.dumps({"format": FORMAT, "schema": SCHEMA, "runs": listed}, allow_nan=False, ensure_ascii=False) + "\n"


def from_text(text: str) -> list[tuple[RunRow, tuple[str, ...]]]:
    """(row, tags) of every run in exported `text`; DataError in a sentence for anything that is not what `to_text` writes.

    Names of methods, data sets and models may be unknown here. Keys are computed anew, never believed.
    """
    if not isinstance(text, str) or len(text) > _LARGEST_IMPORT:
        raise DataError(f"At most {_LARGEST_IMPORT // 2**20} MB of text can be imported at once. Export fewer runs at a time.")
    try:
        content = from_json(text)
    except ValueError as error:
        raise DataError(f"This is no export of runs: it is not JSON as it is read here ({str(error)[:120]}).") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise DataError("This is no export of runs. Make one with: python -m imu_core runs export")
    if content.get("schema") != SCHEMA:
        raise DataError(f"This export has schema {str(content.get('schema'))[:20]}; this version reads {SCHEMA}.")
    runs = content.get("runs")
    if not isinstance(runs, list) or len(runs) > _MOST_RUNS:
        raise DataError(f"An export holds a list of at most {_MOST_RUNS:,} runs.")
    return [_numbered(number, len(runs), run) for number, run in enumerate(runs, 1)]


def _numbered(number: int, total: int, run: Any) -> tuple[RunRow, tuple[str, ...]]:
    try:
        return _read_run(run)
    except (DataError, ConfigError) as error:
        raise DataError(f"Run {number} of {total} cannot be imported, so none was. {str(error)[:500]}") from error


def _read_run(run: Any) -> tuple[RunRow, tuple[str, ...]]:
    run = mapping_of(run, "A run")
    run_id = text_of(run.get("id"), "Its id", 32)
    if len(run_id) != 32 or set(run_id) - set("0123456789abcdef"):
        raise DataError("Its id is not 32 hexadecimal digits.")
    created = number_of(run.get("created"), "created", 0, 2**40)
    tags = run.get("tags")
    if not isinstance(tags, list):
        raise DataError("Its tags are no list.")
    row = columns(read_trajectory(run.get("trajectory")), run.get("name"), _from_base64(run), run_id, created)
    return row, clean_tags(tags)


def _from_base64(run: Mapping[str, Json]) -> bytes | None:
    encoded = run.get("parameters")
    if encoded is None:
        return None
    if not isinstance(encoded, str) or len(encoded) > LARGEST_PARAMETERS * 4 // 3 + 4:
        raise DataError("Its parameters are no base64 text, or too large.")
    try:
        content = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise DataError("Its parameters are no base64 text.") from error
    read_parameters(content)
    return content


def set_aside(row: Mapping[str, Json | bytes], tags: Sequence[str]) -> str:
    """Write a run that the database did not take into a file of its own; returns the sentence that says where."""
    path = runtime.home() / "unstored" / f"{row['id']}.json"
    text = to_text([stored_run(dict(row), tuple(tags))])
    try:
        runtime.write_whole(path, lambda part: part.write_text(text, encoding="utf-8"))
    except OSError as error:
        return f"The run that had ended could not be written to {path} either ({error.strerror})."
    return f"The run that had ended is not lost: python -m imu_core runs import {path}"
