"""One table of the paper: a chart of one column, what the numbers say, all columns side by side, and the way to repeat a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
import streamlit as st

from imu_core import data
from imu_core.figures import paper as charts
from imu_core.glossary import help_text
from imu_core.methods import METHODS
from imu_core.paper.published import COLUMNS, TABLES, Table
from imu_core.paper.readable import with_unrun
from imu_core.paper.shapes import RowRecord, TableRecord
from imu_core.paper.verdicts import interval
from imu_core.records.outcome import Outcome
from imu_core.records.run import RunConfig, Trajectory
from imu_core.report.numbers import percent
from pages.sections.paper import record as paper_record
from pages.widgets import run_link, tables
from pages.widgets.tables import Columns
from pages.widgets.text import plain
from pages.widgets.theme import NO_BAR, light_or_dark


def section(name: str, record: TableRecord | None) -> None:
    """Draw the table `name`; `record` is what our runs gave, None where nobody has run it."""
    published, rows = TABLES[name], list((record or {}).get("rows", ()))
    st.subheader(published.title, anchor=False)
    _said((record or {}).get("sentences", ()))
    listed = with_unrun(name, rows)
    column = _column(name, published, listed)
    pairs = [_pair(row, published, column) for row in listed]
    shown = [pair for pair in pairs if pair.ours is not None or pair.theirs is not None]
    title = f"{paper_record.heading(column)} {paper_record.arrow(column)}".strip()
    alt = f"{title}: ours beside the paper's, {len(shown)} rows; the same numbers are in the table"
    st.plotly_chart(charts.beside(shown, title, light_or_dark()), key="paper_chart", config=NO_BAR, alt=alt)
    st.caption(plain(_legend(published, record)))
    _numbers(listed, published)
    missing = (record or {}).get("missing", ())
    if missing:
        st.caption("Missing. " + " ".join(plain(text[:1].upper() + text[1:]) for text in missing))
    if rows:
        _repeat(rows, record)


def _said(sentences: Sequence[Mapping[str, str]]) -> None:
    if not sentences:
        return
    told = [(plain(item["lead"]), plain(item["words"])) for item in sentences]
    st.markdown("\n".join(f"- **{lead}** {words}" if lead else f"- {words}" for lead, words in told))


def _column(name: str, published: Table, rows: Sequence[RowRecord]) -> str:
    """The column in the chart; test accuracy unless another is asked for."""
    has = {c for row in published.rows.values() for c in row} | {c for row in rows for c in row["values"]}
    names = {COLUMNS[c].title: c for c in COLUMNS if c in has} | {
        paper_record.OURS[c][0]: c for c in paper_record.OURS if c in has
    }
    picked = st.segmented_control(
        "Column", list(names), default=COLUMNS["test"].title, key=f"paper_column_{name}", required=True,
        help="What the chart shows; the table below holds all of them.",
    )  # fmt: skip
    return names.get(picked, "test")


def _pair(row: RowRecord, published: Table, column: str) -> charts.Pair:
    factor, _ = paper_record.scale(column)
    own, theirs = row["values"].get(column), published.rows.get(row["paper"], {}).get(column)
    half = interval(theirs, published.runs) if theirs else None
    return charts.Pair(
        row["title"],
        row.get("method", row["paper"]),
        row.get("control"),
        None if own is None else factor * own["mean"],
        None if own is None or own["half"] is None else factor * own["half"],
        None if theirs is None else theirs.mean,
        half,
        row.get("reached", 0) < row.get("runs", 0),
    )


def _legend(published: Table, record: TableRecord | None) -> str:
    bars = "Bars: 95 % t-intervals, ours over forget sets"
    bars += ", the paper's from its ± taken for a standard deviation." if published.runs else "; the paper prints none here."
    if not record or not record["rows"]:
        return f"Nothing of ours yet: the diamonds are what the paper prints ({published.where}). {bars}"
    where = (
        f"{len(record['requests'])} forget sets of {record['dataset']}; a run stops at the first step at or below "
        f"{percent(record['target'], 2)} forget accuracy"
    )
    fewer = " A number in brackets: over so many sets only." if any(_is_uneven(row) for row in record["rows"]) else ""
    return f"{where}. {bars} Faint: some runs did not get there.{fewer} {record['note']}"


def _is_uneven(row: RowRecord) -> bool:
    return len({value["n"] for value in row["values"].values()}) > 1


def _numbers(rows: Sequence[RowRecord], published: Table) -> None:
    """Every column, ours and the paper's next to each other."""
    has = {c for row in published.rows.values() for c in row} | {c for row in rows for c in row["values"]}
    shown = [c for c in (*COLUMNS, *paper_record.OURS) if c in has]
    config: Columns = {
        "Row": st.column_config.Column("Row", pinned=True),
        "Saw": st.column_config.Column("Saw", width=130, help=help_text("sees")),
    }
    lines = [_line(row, published, shown) for row in rows]
    for c in shown:
        short = paper_record.SHORT.get(c) or paper_record.heading(c)
        about = paper_record.HELP.get(c) or paper_record.OURS[c][4]
        config[c] = st.column_config.TextColumn(f"{short} {paper_record.arrow(c)}", help=about)
        if c in COLUMNS:
            config[f"{c} paper"] = st.column_config.TextColumn(f"{short}, paper", help=f"{COLUMNS[c].title} as printed.")
    frame = pd.DataFrame(lines)
    empty = [name for name in frame if name != "Row" and not frame[name].astype(bool).any()]
    tables.draw(
        [{name: value for name, value in line.items() if name not in empty} for line in lines],
        config,
        frame.drop(columns=empty),
        height="content",
        placeholder="",
        key="paper_table",
        alt="Ours beside the paper's",
    )


def _line(row: RowRecord, published: Table, shown: Sequence[str]) -> dict[str, str]:
    theirs = published.rows.get(row["paper"], {})
    line = {"Row": row["title"], "Layers": row.get("scope", ""), "Saw": " + ".join(row.get("saw", ())).replace("_", " ")}
    line["Got there"] = f"{row['reached']} of {row['runs']}" if "runs" in row else ""
    sets = max((value["n"] for value in row["values"].values()), default=0)
    for c in shown:
        line[c] = paper_record.here(row["values"].get(c), c, sets)
        if c in COLUMNS:
            line[f"{c} paper"] = paper_record.there(theirs.get(c), c)
    return line


def _repeat(rows: Sequence[RowRecord], record: TableRecord) -> None:
    """One row as a run of the visitor's own: a link to Unlearn with its problem and all its settings."""
    own = {row["title"]: row for row in rows if "config" in row and row["method"] in METHODS}
    if not own:
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        picked = st.selectbox("Watch a row", list(own), key=f"paper_row_{record['kind']}_{len(own)}", width=360)
        row = own[picked]
        trajectory = Trajectory(
            RunConfig.from_dict(row["config"]),
            {"dataset": record["dataset"], "model": record["model"], "forget": record["requests"][0], "seed": 0, "history": []},
            (), {}, Outcome("done"), {},
        )  # fmt: skip
        st.link_button("Open it on Unlearn", run_link.link(trajectory))
        if not data.is_here(record["dataset"]):
            st.caption(f"{record['dataset']} is not on this machine; Unlearn offers to fetch it.")
