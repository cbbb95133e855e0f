"""Influence through all layers beside the head's: a job with progress and Stop, the charts, and what they say."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import streamlit as st

from imu_core.evaluation import agreement
from imu_core.evaluation.agreement import HEAD, SHARES, Agreement, AgreementRow, Found
from imu_core.figures import agreement as figures
from imu_core.glossary import help_text
from imu_core.influence import ranking
from imu_core.jobs import Job
from imu_core.records.run import Problem
from imu_core.report.numbers import decimal, megabytes, percent
from pages.session import visitor
from pages.widgets import bound, progress, tables
from pages.widgets.tables import Row
from pages.widgets.text import column_width, plain
from pages.widgets.theme import NO_BAR, light_or_dark

MOST = 1000  # forget samples that the curvature is computed from
CHARTS = ("scores", "ranks", "discrepancy")


def section(problem: Problem, damping: float, select: Callable[[str], None]) -> None:
    """Draw what was found for this problem and damping, or the button that computes it.

    `select` is called with the key of a chart in which the visitor has selected samples.
    """
    jobs = visitor.theirs("through_jobs", dict)
    key = f"{problem.describe()} {damping}"
    job = jobs.get(key)
    comparison = _found(problem, damping, key, job)
    if comparison:
        _show(problem, comparison, select)
        return
    count = len(problem.split.forget)
    st.markdown(
        "Every score on this page so far looks at the last layer only. Here every parameter of the network takes part, with the "
        f"same damping, so that you can see whether the shortcut ranks the {count:,} images as the whole network does. "
        "The paper says it does: a Spearman correlation of 0.992, the mean of five seeds."
    )
    if job and not job.finished:
        progress.watch(job)
        return
    if job:
        progress.ended_words(job)
    pressed = st.button("Compute through all layers", type="primary", help=help_text("full_influence"))
    if pressed and _submit(jobs, key, problem, damping):
        st.rerun()
    curved = f"{min(count, MOST):,} of them" if count > MOST else "them"
    st.caption(f"The curvature is computed from {curved}; minutes on a small network, longer on a large one. It can be stopped.")


def _curvature(problem: Problem) -> int | None:
    return MOST if len(problem.split.forget) > MOST else None


def _found(problem: Problem, damping: float, key: str, job: Job | None) -> Found | None:
    """From this visit's job, from what was looked up before, or from the disk."""
    if job and job.finished and job.work and job.work.found:
        return job.work.found
    known = st.session_state.setdefault("through_found", {})
    if key not in known or (job and job.finished):
        known[key] = agreement.stored(problem, damping=damping, curvature=_curvature(problem))
    return known[key]


def _submit(jobs: dict[str, Job], key: str, problem: Problem, damping: float) -> bool:
    title = f"Influence through all layers · {plain(problem.split.request[:40])}"
    make = lambda: Agreement(problem, damping=damping, curvature=_curvature(problem))  # noqa: E731
    job = Job(title, make, kind="influence", owner=visitor.owner())
    if accepted := progress.put_in_line(job):
        jobs[key] = job
    return accepted


def _show(problem: Problem, comparison: Found, select: Callable[[str], None]) -> None:
    agreed = comparison.agreed(HEAD)
    one, two, three = st.columns(3)
    why = ranking.unranked(comparison.scores[HEAD].scores)
    few = "too few for an interval" if math.isnan(agreed.low) else ""
    interval = why or few or f"{decimal(agreed.low, 3)} to {decimal(agreed.high, 3)}"
    one.metric("Same order", ranking.written(agreed.spearman), help=help_text("spearman"), delta_description=interval)
    overlap = f"{100 * agreed.overlap[SHARES[0]]:.0f} %"
    two.metric("Same top tenth", overlap, help=help_text("overlap"), delta_description="10 % would be chance")
    differ = percent(agreed.discrepancy)
    three.metric("Scores differ by", differ, help=help_text("discrepancy"), delta_description="median, 0 = the same")
    st.markdown(agreement.verdict(comparison))
    shown = bound.segmented_control(
        "Chart",
        CHARTS,
        default="scores",
        key="through_chart",
        required=True,
        help=help_text("full_influence"),
    )
    _chart(problem, comparison, shown or "scores", select)
    rows = [_row(row) for row in comparison.rows()]
    widths = {name: st.column_config.Column(width=column_width(name, 104 if name == "Scores" else 62)) for name in rows[0]}
    tables.draw(rows, widths, alt="Every kind of score against all layers, in numbers")
    st.caption(
        f"Against all layers, exact; damping {comparison.damping:g}, curvature of {comparison.curvature:,} forget samples, "
        f"residual {comparison.scores[agreement.FULL].residual:.0e}. MB is by how much the program grew meanwhile."
    )


def _chart(problem: Problem, comparison: Found, shown: str, select: Callable[[str], None]) -> None:
    ids, key = problem.split.forget.numpy(), f"through_{shown}"
    if shown == "scores":
        chart = figures.scores(comparison, ids, light_or_dark())
        alt = "Score by the head alone against the score through all layers"
    elif shown == "ranks":
        chart, alt = figures.ranks(comparison, ids), "Rank by the head alone against the rank through all layers"
    else:
        chart, alt = figures.discrepancies(comparison, ids), "How far the two scores of each sample differ, by its rank"
    modes: dict[str, Any] = {"selection_mode": ("box", "lasso"), "config": NO_BAR, "alt": alt}
    st.plotly_chart(chart, key=key, on_select=lambda: select(key), **modes)


def _row(row: AgreementRow) -> Row:
    return {
        "Scores": row.scores,
        "Spearman": ranking.written(row.spearman),
        **{f"Top {100 * share:g} %": percent(row.overlap[share], 0) for share in SHARES},
        "Seconds": f"{row.seconds:.2f}",
        "MB": megabytes(row.peak_bytes),
        "Iterations": row.iterations,
    }
