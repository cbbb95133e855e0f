"""The benchmark's figures as the tables of assets/docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import groupby
from typing import Any

from stages import slopes

Rows = list[dict[str, Any]]


def markdown(parts: dict[str, dict[str, Any]]) -> str:
    """Every part that was measured, with the machine it was measured on and how busy that was."""
    found = [
        f"{title} {_conditions(parts[name])}\n\n{make(parts[name]['rows'])}"
        for name, (title, make) in TABLES.items()
        if name in parts and any(row["seconds"] is not None for row in parts[name]["rows"])
    ]
    return "\n\n".join(found)


def _conditions(part: dict[str, Any]) -> str:
    busy = f"load {part['load']:g} at the start and {part['load_after']:g} at the end"
    return (
        f"({part['processor']}, {part['cores']} cores, {part['threads']} threads, Python {part['python']}, "
        f"torch {part['torch']}, {part['date']}, {busy}.)"
    )


def _table(heads: list[str], rows: Iterable[list[str]]) -> str:
    line = "|".join(["---", *["--:"] * (len(heads) - 1)])
    return "\n".join([f"| {' | '.join(heads)} |", f"|{line}|", *(f"| {' | '.join(row)} |" for row in rows)])


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _times(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2g}" if ratio < 99.5 else f"{ratio:,.0f}"


def _libraries(rows: Rows) -> str:
    tables = []
    measured = [row for row in rows if row["seconds"] is not None]
    for title, group in groupby(measured, key=lambda row: row["note"]):
        lines = [
            [
                row["what"], _seconds(row["seconds"]), _seconds(row["processor"]), _times(row["ratio"]),
                f"{row['bytes'] / 1e6:,.0f}", f"{row['spearman']:.5f}",
            ]
            for row in group
        ]  # fmt: skip
        heads = [title, "seconds", "processor", "x imu exact", "MB", "Spearman to dense"]
        tables.append(_table(heads, lines))
    failed = [f"{row['what']}: {row['note']}" for row in rows if row["seconds"] is None]
    return "\n\n".join([*tables, *([f"Not measured: {'; '.join(failed)}."] if failed else [])])


def _full(rows: Rows) -> str:
    lines = [
        [row["what"], _seconds(row["seconds"]), _seconds(row["processor"]), f"{(row['bytes'] or 0) / 1e9:.2f}", row["note"]]
        for row in rows
    ]
    return _table(["work", "seconds", "processor", "peak GB", ""], lines)


def _curves(rows: Rows) -> str:
    found = slopes(rows)
    works, axes = (list(dict.fromkeys(key[i] for key in found)) for i in (0, 1))
    lines = [
        [work, *(f"{found[work, axis]['slope of seconds']:.2f} / {found[work, axis]['slope of bytes']:.2f}" for axis in axes)]
        for work in works
    ]
    picture = "![How seconds and memory grow with N, d and C](../pictures/bench-scaling.png)"
    return _table(["work, seconds / memory", *axes], lines) + f"\n\n{picture}"


def _scopes(rows: Rows) -> str:
    pairs = [(row["what"].partition(", ")[2], row) for row in rows]
    lines = []
    for scope, group in groupby(pairs, key=lambda pair: pair[0]):
        ga, imu = (row for _, row in group)
        lines.append([scope, _seconds(ga["seconds"]), _seconds(imu["seconds"]), f"{imu['ratio']:.2f}"])
    return _table(["scope", "GA, seconds", "IMU, seconds", "ratio"], lines)


def _plain(rows: Rows) -> str:
    ratios = any(row["ratio"] is not None for row in rows)
    lines = [
        [row["what"], _seconds(row["seconds"]), _seconds(row["processor"]), *([_times(row["ratio"])] if ratios else [])]
        for row in rows
    ]
    against = next((row["against"] for row in rows if row["against"]), "")
    return _table(["", "seconds", "processor", *([f"x {against}"] if ratios else [])], lines)


TABLES: dict[str, tuple[str, Callable[[Rows], str]]] = {
    "libraries": (
        "Influence of all samples of a set on its own loss, each way in a process of its own; memory is what it grew by.",
        _libraries,
    ),
    "full": ("N 50,000, d 2,048, C 1,000, the whole process:", _full),
    "curves": (
        "Growth: slopes of seconds and memory on logarithmic scales (1 is linear), over the four largest sizes; those of exact "
        "are for one iteration:",
        _curves,
    ),
    "scopes": ("IMU beside GA with the same steps, without the judging:", _scopes),
    "methods": ("Five epochs on the head of the embedded set:", _plain),
    "evaluation": ("The same, accuracies on whole sets at every epoch:", _plain),
    "features": ("Features of a whole dataset, before the first page:", _plain),
    "server": ("Server time of a page, warm (goal below 0.3 s), and after an interaction:", _plain),
    "pages": ("In Chromium, from the address to the heading and to the end of the script:", _plain),
}
