"""The record of all methods on equal terms that ships with the program: a chart, what it says, the table, the command."""

from __future__ import annotations

import math
from typing import Any

import streamlit as st

from imu_core.errors import DataError
from imu_core.experiments import leaderboard
from imu_core.experiments.standing import Standing, Standings
from imu_core.figures import all_methods
from imu_core.glossary import help_text
from imu_core.records.run import Problem
from pages.sections.compare import compared
from pages.widgets import bound, tables
from pages.widgets.tables import Row
from pages.widgets.text import plain
from pages.widgets.theme import NO_BAR, light_or_dark

DECIMALS = {"Change, points": 2, "±": 2, "Against GA, points": 2, "Seconds": 2, "MB": 0, "KL, nats": 3, "p": 3}


def load() -> Standings | None:
    """The record; None where there is none, or where it is damaged, which the page then says."""
    try:
        return leaderboard.load()
    except DataError as error:
        st.warning(plain(error))
        return None


def fits(record: Standings | None, problem: Problem) -> bool:
    """Whether the record is about this data set and model."""
    plan = record["plan"] if record else {}
    return (plan.get("dataset"), plan.get("model")) == (problem.dataset.name, problem.model_name)


def section(record: Standings, problem: Problem) -> None:
    """Draw the record: a choice of scope, findings, chart, table with its files, and the command that makes it again."""
    scopes = leaderboard.scopes(record)
    if not scopes:
        st.caption("The record has no rows yet.")
        return
    scope = bound.segmented_control(
        "Scope", scopes, default=scopes[0], key="compare_scope", required=True, help=help_text("scope")
    )
    scope = scope if scope in scopes else scopes[0]
    rows = leaderboard.ranked(record, scope)
    first, *others = leaderboard.findings(record, scope)
    st.markdown(first)
    if others:
        st.markdown("\n".join(f"- {text}" for text in others))
    chart = all_methods.standings(rows, record.get("reference") or {}, light_or_dark())
    alt = f"Change of the kept accuracy for {len(rows)} methods at scope {scope}, best first; the same numbers are in the table"
    st.plotly_chart(chart, key="compare_standings", config=NO_BAR, alt=alt)
    st.caption(
        plain(
            f"{leaderboard.plan_words(record, scope)}. Right is better. Marks: mean change of the accuracy on what stays, "
            "against the original model, 95 % t-intervals over forget sets; band: the retrained models. "
            "Faint: some runs never reached the depth."
        )
    )
    if not fits(record, problem):
        st.caption("This record is about another data set or model than the one in the sidebar.")
    table(rows, record, scope)
    st.caption("This makes it again, and goes on where it was stopped:")
    st.code(record["command"], language="bash", wrap_lines=True)


def table(rows: list[Standing], record: Standings, scope: str) -> None:
    """Draw the `rows` of the chart as a table of numbers, with buttons to download it."""
    listed = [_row(row) for row in rows]
    if record.get("reference"):
        reference = record["reference"]
        own = {"Method": "Retrained", "Saw": "all but the forget set", "Change, points": 100 * reference["change"]}
        listed.insert(0, {**dict.fromkeys(listed[0]), **own, "±": _points(reference.get("half"))})
    number = st.column_config.NumberColumn
    forms = {name: number(name, format=f"%.{DECIMALS.get(name, 1)}f") for name in DECIMALS}
    config = forms | {
        "Method": st.column_config.Column("Method", pinned=True),
        "Saw": st.column_config.Column("Saw", help=help_text("sees")),
        "Forget, %": number("Forget, % ↓", format="%.1f", help=help_text("forget")),
        "Change, points": number("Change, points ↑", format="%+.2f", help=help_text("test_other")),
        "Against GA, points": number("Against GA, points ↑", format="%+.2f", help="Mean difference on the same sets and seeds."),
        "KL, nats": number("KL, nats ↓", format="%.3f", help=help_text("kl")),
        "Seconds": number("Seconds ↓", format="%.2f", help="Mean over runs, without measurement."),
        "MB": number("MB ↓", format="%.0f", help="By how much the process grew at most, mean over runs."),
    }
    with st.expander("The same in numbers"):
        tables.draw(listed, config, key="compare_record_table", alt=f"All methods at scope {scope}")
        compared.files(listed, "methods", f"All methods at scope {scope}", {"Forget, %": 1, **DECIMALS})


def _points(value: Any) -> float | None:
    return 100 * value if isinstance(value, (int, float)) and math.isfinite(value) else None


def _row(row: Standing) -> Row:
    against = row.get("against") or {}
    return {
        "Method": row["title"],
        "Saw": " + ".join(row["saw"]).replace("_", " "),
        "Got there": f"{row['reached']} of {row['runs']}",
        "Forget, %": 100 * row["forget"],
        "Change, points": 100 * row["change"],
        "±": _points(row.get("half")),
        "Against GA, points": _points(against.get("mean")),
        "p": against.get("p"),
        "KL, nats": row.get("kl_test"),
        "Seconds": row["seconds"],
        "MB": row["peak_bytes"] / 1e6,
    }
