"""All scopes and both batch-norm modes side by side: which change really makes a person harder to find."""

from __future__ import annotations

import streamlit as st

from imu_core import figures
from imu_core.evaluation import scopes
from imu_core.evaluation.reidentification import Found
from imu_core.evaluation.scopes import SideBySide
from imu_core.jobs import Job
from imu_core.methods import METHODS
from imu_core.records.run import Problem
from imu_core.records.shapes import ScopeRow
from imu_core.report.verdicts import side_by_side_verdict
from pages.sections.reidentify import looks
from pages.session import visitor
from pages.widgets import progress, tables
from pages.widgets.tables import Row
from pages.widgets.text import column_width, plain
from pages.widgets.theme import NO_BAR, light_or_dark

METHODS_HERE = ("imu", "ga", "npo", "delete")


def section(problem: Problem, known: dict[str, Found] | None) -> None:
    """Draw the comparison of scopes and modes, stored or just computed, and the button that runs all six.

    `known` says how well the original and the retrained model find people; None while that is computed.
    """
    method = st.segmented_control(
        "Method", METHODS_HERE, default="imu", key="scopes_method", format_func=lambda k: METHODS[k].title, required=True
    )
    key = f"scopes {problem.describe()} {method}"
    jobs = visitor.theirs("scopes", dict)
    job = jobs.get(key)
    stored = scopes.stored_rows(problem, method)
    rows = list(job.work.rows) if job and job.work else []
    if job and not job.finished:
        progress.watch(job, news=lambda: len(job.work.rows) if job.work else 0)
    elif st.button("Compare all six here (about a minute)", key="run_scopes") and _submit(jobs, key, problem, method):
        st.rerun()
    if job and job.finished:
        progress.ended_words(job)
    if not rows and stored:
        rows = stored["rows"]
        st.caption(f"Stored result; `{stored['command']}` makes it again.")
    if rows and known:
        _show(rows, {name: judged.numbers() for name, judged in known.items()})
    elif rows:
        st.caption("The rows stand here once people were looked for with the original model.")
    elif not job:
        st.caption("Nothing is stored for this person: press the button to run IMU, GA or NPO at three scopes in both modes.")


def _submit(jobs: dict[str, Job], key: str, problem: Problem, method: str) -> bool:
    job = Job(f"{METHODS[method].title} at three scopes, both modes", lambda: SideBySide(problem, method), owner=visitor.owner())
    if accepted := progress.put_in_line(job):
        jobs[key] = job
    return accepted


def _show(rows: list[ScopeRow], known: dict[str, dict[str, float]]) -> None:
    st.markdown(plain(side_by_side_verdict(rows, known)))
    st.plotly_chart(
        figures.scopes(rows, known, light_or_dark()),
        key="scopes_chart",
        config=NO_BAR,
        alt="mAP of the forgotten person and of unseen people for every scope and batch-norm mode",
    )
    about = {name: st.column_config.Column(name, width=column_width(name)) for name in ("Scope", "Batch norm", "Features")}
    columns = looks.columns() | about
    tables.draw([_row(row) for row in rows], columns, alt="Every scope and mode, in numbers")
    st.caption("Percent; drift in standard deviations, the largest over all batch-norm layers; seconds include the search.")


def _row(row: ScopeRow) -> Row:
    percent = {title: 100 * row[key] for key, title in looks.COLUMNS.items() if key in row and not key.endswith("rank5")}
    same = "identical" if row["same_features"] else "changed"
    return {
        "Scope": row["scope"],
        "Batch norm": row["bn"],
        "Features": same,
        **percent,
        "Drift": f"{row['drift']:.3f}",
        "Steps": row["steps"],
        "Seconds": f"{row['seconds']:.1f}",
    }
