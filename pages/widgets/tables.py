"""Tables whose every value can be read: columns as wide as their text, and rows that wrap where that would be too wide."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import streamlit as st
from streamlit.elements.lib.column_types import ColumnConfig

from imu_core.records.shapes import Value

Row = dict[str, Value | list[float]]  # column → what stands in it; a list is drawn as a line
Columns = dict[str, ColumnConfig]
WIDEST = 360  # pixels of a column; longer text wraps
AROUND = 20  # pixels of a cell around its text
LINE, LEAST_WRAPPED = 20, 66  # pixels of a line; of the lowest row in which Streamlit wraps
SAMPLE = 9  # rows from the top that a browser looks at, beside the last, where a column has no width
FAR, FEW = 1.7, 5  # it leaves out a text so many times longer than the mean of that sample, if there are more than `FEW`
WIDE, NARROW = set("mwMW%@—→≈"), set("ijl.,:;'|! ()[]ftr-/I")


def width_of(text: str) -> int:
    """Pixels that `text` takes in a cell, at most."""
    return math.ceil(sum(map(_letter, text)))


def _letter(sign: str) -> float:
    if sign in WIDE:
        return 12.5
    if sign in NARROW:
        return 5.2
    return 15 if ord(sign) > 0x2000 else 9.2 if sign.isupper() else 7.6


def draw(rows: Sequence[Row], config: Columns | None = None, data: Any = None, **more: Any) -> Any:
    """`st.dataframe` of `rows` (or of `data`, which shows the same) with columns by `config`, none of their values cut."""
    columns, height = fitted(rows, dict(config or {}))
    wrapped = {} if height is None else {"row_height": height}
    return st.dataframe(rows if data is None else data, column_config=columns, hide_index=True, **wrapped, **more)


def fitted(rows: Sequence[Row], config: Columns) -> tuple[Columns, int | None]:
    """(`config` with the widths that the values of `rows` need, pixels of a row or None where none has to wrap)."""
    lines = 1
    for name in dict.fromkeys(name for row in rows for name in row):
        column = dict(config.get(name) or {})
        if (column.get("type_config") or {}).get("type") in ("image", "line_chart"):
            continue
        widths = [width_of(written(row.get(name), column)) for row in rows]
        if isinstance(column.get("width"), int) or not _fits_by_itself(widths):
            room = min(max(widths), WIDEST)
            head = min(width_of(str(column.get("label") or name)), WIDEST)
            config[name] = column | {"width": max(column.get("width") or 0, room + AROUND, head + AROUND)}
        lines = max(lines, math.ceil(1.2 * max(widths) / WIDEST) if max(widths) > WIDEST else 1)
    return config, None if lines == 1 else max(LEAST_WRAPPED, AROUND + LINE * lines)


def written(value: Any, column: ColumnConfig) -> str:
    """The text that a cell with `value` shows; a date stands for all dates of its format."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    form = str((column.get("type_config") or {}).get("format") or "")
    if isinstance(value, (int, float)) and form.startswith("%"):
        return form % value
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    if isinstance(value, float):
        return f"{value:,.4f}"
    return form or str(value) if hasattr(value, "strftime") else str(value)


def _fits_by_itself(widths: list[int]) -> bool:
    """Whether a browser that measures a column's first rows and its last gives room to all."""
    seen = widths[:SAMPLE] + widths[-1:] if len(widths) > SAMPLE else widths
    most, mean = max(widths), sum(seen) / len(seen)
    return most <= min(max(seen), WIDEST) and (len(seen) <= FEW or most < FAR * mean)
