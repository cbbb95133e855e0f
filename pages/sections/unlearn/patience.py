"""Waits for the end of jobs before or between two pictures of a page, so that no time is lost between end and result."""

from __future__ import annotations

import time

import streamlit as st

from imu_core.jobs import Job
from imu_core.records.run import Problem, RunConfig
from imu_core.report.numbers import duration
from imu_core.unlearning.estimate import seconds_at_most
from pages.session import pace
from pages.session.kept import Kept
from pages.widgets import progress
from pages.widgets.text import plain

# Seconds for which a click on Run waits, with a bar and a Stop, before the page is drawn with runs that still go on: those on the
# head end sooner, and are drawn once; at wide scopes nothing ends so soon, and the first points are to be seen. In a class the
# wait is longer (`pace.longer`).
PATIENCE = {True: 4.0, False: 0.3}
LONG = 5.0  # seconds that are said before they begin
GLANCE = 0.3  # seconds within which what ends needs no bar


def foretell(problem: Problem, configs: list[RunConfig]) -> None:
    """Say how long the runs of `configs` may take together, where that is long."""
    total = sum(seconds_at_most(problem, config) or 0.0 for config in configs)
    if total >= LONG:
        st.caption(
            f":material/hourglass_top: At most about {duration(total)} together on this machine; a run ends sooner where it has "
            "forgotten enough, and each can be stopped."
        )


def ended_soon(items: list[Kept]) -> bool:
    """Wait for the runs `items` with a bar and a Stop, as long as `PATIENCE` says; returns whether they have ended."""
    jobs = [item.job for item in items]
    until = time.monotonic() + pace.longer(PATIENCE[all(item.config.scope == "head" for item in items)])
    place = st.empty()
    if have_ended(jobs, min(GLANCE, until - time.monotonic())) or time.monotonic() >= until:
        return all(job.finished for job in jobs)
    with place.container(horizontal=True, vertical_alignment="center"):
        bar = st.progress(0.0)
        st.button("Stop", key="stop_soon", on_click=lambda: [job.cancel() for job in jobs])
    while time.monotonic() < until and not all(job.finished for job in jobs):
        now = next((job for job in jobs if not job.finished), jobs[-1])
        fraction, text = progress.of(now)
        whole = (sum(job.finished for job in jobs) + (0.0 if now.finished else fraction)) / len(jobs)
        bar.progress(min(1.0, whole), text=f"{plain(now.title)}: {text}")
        have_ended(jobs, 2 * progress.PACE)
    place.empty()
    return all(job.finished for job in jobs)


def have_ended(jobs: list[Job], seconds: float) -> bool:
    """Whether all `jobs` end within `seconds`; it waits so long at most, and gives way to whatever the visitor does meanwhile."""
    until = time.monotonic() + seconds
    for job in jobs:
        while not job.wait(max(0.0, min(progress.PACE, until - time.monotonic()))):
            st.session_state.get("owner")  # here Streamlit begins again where a button was pressed
            if time.monotonic() >= until:
                return False
    return True
