"""What was made of the paper's tables, as a file: read with care, written whole, one record for each data set and model."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from imu_core import runtime
from imu_core.errors import DataError
from imu_core.metrics.intervals import mean_interval
from imu_core.paper.published import FIGURES, TABLES
from imu_core.paper.shapes import RowRecord, TableRecord, TablesRecord
from imu_core.records.run import finite
from imu_core.records.shapes import Json, MeanRecord

PATH = runtime.ASSETS / "results" / "paper.json"
FORMAT = "imu_core paper tables"
LARGEST = 30 * 2**20  # bytes
COMMAND = "make tables"
NOT_MADE = {  # parts of tables that nothing here answers, and why
    "table1-one-superclass": "not run: it is the subclass table of above, averaged over the five subclasses of one superclass.",
    "table10-cifar100": "not run: no network is trained here on the hundred classes of CIFAR-100.",
}


def load(path: Path | None = None) -> list[TablesRecord]:
    """The records that `python -m imu_core tables` wrote to `path` (by default the file that ships); [] where there is none.

    DataError, a sentence, for anything else.
    """
    path = path or PATH
    if not path.exists():
        return []
    try:
        content = json.loads(runtime.read_text(path, LARGEST))
        good = content["format"] == FORMAT and all(_is_record(record) for record in content["records"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):  # of more than LARGEST bytes, too
        good = False
    if not good:
        raise DataError(f"{path.name} holds no tables of the paper. Make them with: {COMMAND}")
    return content["records"]


def _is_record(record: TablesRecord) -> bool:
    texts = isinstance(record["dataset"], str) and isinstance(record["model"], str) and isinstance(record["figures"], dict)
    return texts and all(name in TABLES and _is_table(table) for name, table in record["tables"].items())


def _is_table(table: TableRecord) -> bool:
    texts = all(isinstance(item[name], str) for item in table["sentences"] for name in ("lead", "words"))
    return texts and all(isinstance(text, str) for text in table["missing"]) and all(_is_row(row) for row in table["rows"])


def _is_row(row: RowRecord) -> bool:
    texts = all(isinstance(row[name], str) for name in ("key", "title", "role", "paper"))
    return texts and all(_is_mean(value) for value in row["values"].values())


def _is_mean(value: MeanRecord) -> bool:
    half = value["half"]
    return math.isfinite(value["mean"]) and (half is None or math.isfinite(half)) and value["n"] >= 1


def merged(records: Sequence[TablesRecord], new: TablesRecord) -> list[TablesRecord]:
    """`records` with `new` in the place of the one on the same data set and model; CIFAR-10 first, then in order of arrival."""
    same = lambda record: (record["dataset"], record["model"]) == (new["dataset"], new["model"])  # noqa: E731
    all_records = [dict(record) for record in records if not same(record)] + [dict(new)]
    return sorted(all_records, key=lambda record: record["dataset"] != "cifar10")


def as_json(records: Sequence[TablesRecord]) -> dict[str, Json]:
    """The content of the file that holds `records`; numbers are rounded to six digits."""
    return finite({"format": FORMAT, "command": COMMAND, "records": [_rounded(record) for record in records]})


def _rounded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _rounded(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(inner) for inner in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def command(record: TablesRecord, dataset: str = "") -> str:
    """The command that makes a record again, on `dataset` if that is given."""
    return f"python -m imu_core tables --problem {dataset or record['dataset']} --model {record['model']}"


def ids() -> list[str]:
    """The keys of the tables that are made, then those of the figures, in the paper's order."""
    made = [name for name in TABLES if name not in NOT_MADE]
    return [*made, *FIGURES]


def label(name: str) -> str:
    """What a table or figure is called: "Table 1", "Table 1 (CIFAR-100)" or "Figure 2"."""
    if name in FIGURES:
        return f"Figure {FIGURES[name].number}"
    return f"Table {TABLES[name].number}" + (" (CIFAR-100)" if "cifar100" in TABLES[name].part else "")


DRAWN = 600  # samples of a forget set that are kept as points


def interval(values: Sequence[float]) -> MeanRecord:
    """{mean, half, n} of values over forget sets; half is None for a single one."""
    mean = mean_interval(values)
    return {"mean": mean.mean, "half": mean.half if mean.n > 1 else None, "n": mean.n}
