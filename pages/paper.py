"""The paper: its tables and figures made again with this program, each beside what the paper prints."""

from __future__ import annotations

import streamlit as st

from imu_core.paper import record
from imu_core.paper.published import FIGURES, SOURCE
from pages.sections.paper import figure, table
from pages.sections.paper import record as paper_record
from pages.sidebar import navigation
from pages.widgets import bound


def part() -> str:
    """Draw the choice of a table or figure; returns the id of the chosen one, which is in the link ("table1" for none)."""
    names = {record.label(name): name for name in record.ids()}
    picked = bound.pills(
        "Table or figure", list(names), default=next(iter(names)), key="paper", required=True,
        help="Those about classifiers; the others need a language model or are about re-identification.",
    )  # fmt: skip
    return names.get(picked, "table1")


navigation.hand_over()
st.title("The paper")
st.markdown(
    f"Does it come out again? The tables of the IMU paper ({SOURCE}) with our runs beside them, at equal depth, with controls on "
    "the same layers."
)
records = paper_record.load()
name = part()
tables_record = paper_record.chosen(records)
if name in FIGURES:
    figures = tables_record["figures"] if tables_record else {}
    figure.section(name, figures.get(name), tables_record["dataset"] if tables_record else "")
else:
    table.section(name, tables_record["tables"].get(name) if tables_record else None)
st.caption("This makes all of it again, and goes on where it was stopped:")
st.code(record.command(tables_record) if tables_record else record.COMMAND, language="bash", wrap_lines=True)
