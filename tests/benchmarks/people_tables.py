"""What forgetting a person does, as the tables of assets/docs/people.md, from the records that `make people` keeps."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from imu_core.report import marked

Record = dict[str, Any]


def scopes(records: Iterable[Record]) -> str:
    """The original, the retrained and every forgotten model, searched for each person: percent, drift in standard deviations."""
    lines = [
        "| person | scope, batch norm | person: mAP | rank-1 | unseen: mAP | others named | drift |",
        "|---|---|--:|--:|--:|--:|--:|",
    ]
    for record in records:
        who = record["problem"]["forget"].removeprefix("identity:")
        lines += [f"| {who} | *{name}* | {_found(values)} | | |" for name, values in record["references"].items()]
        lines += [
            f"| {who} | {row['scope']}, {row['bn']} | {_found(row)} | {100 * row['test_other']:.1f} | {row['drift']:.2f} |"
            for row in record["rows"]
        ]
    return "\n".join(lines)


def _found(values: Record) -> str:
    return " | ".join(f"{100 * values[name]:.1f}" for name in ("person_map", "person_rank1", "map"))


def heat(records: Iterable[Record]) -> str:
    """The share of the heat on what identifies a person, at each layer, before and after: percent."""
    lines = [
        "| person | layer | forgotten: before | after | change | others: change |",
        "|---|---|--:|--:|--:|--:|",
    ]
    for record in records:
        who = record["problem"]["forget"].removeprefix("identity:")
        pairs = zip(*(_group(record, group) for group in ("forgotten", "others")), strict=True)
        lines += [
            f"| {who} | {mine['layer']} | {_share(mine['before'])} | {_share(mine['after'])} | {_share(mine['change'], '+')} "
            f"| {_share(others['change'], '+')} |"
            for mine, others in pairs
        ]
    return "\n".join(lines)


def _group(record: Record, group: str) -> list[Record]:
    return [row for row in record["rows"] if row["group"] == group]


def _share(value: Record, sign: str = "") -> str:
    return f"{100 * value['mean']:{sign}.1f} ± {100 * value['half']:.1f}"


TABLES = {"scopes": ("scopes-*-imu.json", scopes), "heat": ("heat-*-imu.json", heat)}  # of a section: its records, its table


def main(folder: Path, file: Path) -> None:
    """Write each table into its section of `file`, from the records in `folder`."""
    for section, (pattern, table) in TABLES.items():
        marked.put(file, section, table(json.loads(path.read_text()) for path in sorted(folder.glob(pattern))))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
