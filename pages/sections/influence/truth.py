"""Is it true? The scores held against leaving samples out: a button or the finished work, one chart, a table, a verdict."""

from __future__ import annotations

import streamlit as st

from imu_core.errors import ImuError
from imu_core.evaluation import truth
from imu_core.figures import truth as figures
from imu_core.glossary import help_text
from imu_core.records.run import Problem
from pages.widgets import bound, tables, waited
from pages.widgets.text import plain
from pages.widgets.theme import NO_BAR, light_or_dark


def _key(problem: Problem, estimator: str, damping: float) -> str:
    return f"truth {problem.describe()} {estimator} {damping}"


def first_sentence(problem: Problem, estimator: str, damping: float) -> str:
    """What leaving samples out has shown on this problem, once this visitor has it; "" before."""
    work = waited.known(_key(problem, estimator, damping))
    return plain(truth.verdict(work.found)) if work else ""


def section(problem: Problem, estimator: str, damping: float) -> truth.Held | None:
    """Draw what leaving samples out says about one estimator, or the progress of it; returns what it found, once it has."""
    st.markdown(
        f"Up to {truth.LEFT_OUT} samples of the forget set are really left out: the head is trained to its optimum again without "
        f"each of them, under an L2 term of λ = {damping:g}. How much did the loss of the forget set rise, and who foretold it?"
    )
    try:
        make = lambda: truth.HoldAgainst(problem, damping, estimator)  # noqa: E731
        work = waited.work(_key(problem, estimator, damping), "Leaving samples out", make)
    except ImuError as error:
        st.info(plain(error))
        return None
    if work is None:
        return None
    held = work.found
    st.markdown(plain(truth.verdict(held)))
    names = list(held.predicted)
    usual = "exact" if "exact" in names else names[0]
    chosen = bound.segmented_control("Foretold by", names, default=usual, key="truth_by", required=True, wrap=True) or usual
    chart = figures.against(held.predicted[chosen], held.truth.changes.numpy(), held.left_out, chosen, light_or_dark())
    st.plotly_chart(chart, key="truth_chart", config=NO_BAR, alt="What was foretold against what really happened")
    return held


def table(held: truth.Held, estimator: str) -> None:
    """Draw how well each estimator, IMU's own score by `estimator` and the plain loss foretold it."""
    rows = [truth.row(name, m) for name, m in held.estimators.items()]
    rows += [truth.row(f"IMU's own score ({estimator})", held.own), truth.row("the plain loss", held.loss)]
    tables.draw(rows, alt="Every estimator against what really happened")
    st.caption(
        f"{len(held.left_out)} left out, {len(held.truth.halves)} random halves, {held.truth.seconds:.1f} s. A slope of 1 is a "
        "change of the right size. Estimators are asked at that optimum, with the curvature of the whole training set; IMU asks "
        "at the network as it stands, with the forget set's curvature alone, and claims an order, not a size.",
        help=help_text("lds"),
    )
