"""Tables: every value of a table has room, by the widths that are given to its columns and by rows that wrap."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import streamlit as st

from pages.widgets import tables

PAGES = sorted((Path(__file__).resolve().parents[2] / "pages").rglob("*.py"))
SHORT = [{"Name": "GA"}] * 12


@pytest.mark.parametrize("at", [0, 5, 10])
def test_a_value_that_a_browser_would_cut_gets_its_width(at: int) -> None:
    """A browser measures the first rows and the last, and leaves out what is much longer than the others."""
    text = "a name of thirty-six letters or more"
    rows = [*SHORT[:at], {"Name": text}, *SHORT[at + 1 :]]
    columns, height = tables.fitted(rows, {})
    assert columns["Name"]["width"] >= tables.width_of(text) + tables.AROUND
    assert height is None


def test_columns_of_like_texts_are_left_to_the_browser() -> None:
    assert tables.fitted(SHORT, {}) == ({}, None)


def test_a_width_that_is_given_is_the_least() -> None:
    make = st.column_config
    rows = [{"Seconds": 123456.789, "Name": "GA"}]
    columns, _ = tables.fitted(rows, {"Seconds": make.NumberColumn(format="%.2f", width=20), "Name": make.TextColumn(width=150)})
    assert columns["Seconds"]["width"] >= tables.width_of("123456.79") + tables.AROUND
    assert columns["Name"]["width"] == 150


def test_text_that_is_too_wide_wraps() -> None:
    columns, height = tables.fitted([{"Name": 30 * "word "}, {"Name": "GA"}], {})
    assert columns["Name"]["width"] == tables.WIDEST + tables.AROUND
    lines = tables.width_of(30 * "word ") / tables.WIDEST
    assert height >= max(tables.LEAST_WRAPPED, tables.LINE * lines), "Streamlit wraps in high rows alone"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_table_is_drawn_with_room(path: Path) -> None:
    calls = {ast.unparse(node.func) for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)}
    assert path.name == "tables.py" or not calls & {"st.dataframe", "st.data_editor"}
