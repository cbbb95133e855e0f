"""Attacks on the results of runs, while they go on: a bar with how far and how long still, and a Stop."""

from __future__ import annotations

import streamlit as st

from imu_core.jobs import Job
from pages.session import pace
from pages.widgets import parts


def watch(jobs: list[Job], key: str) -> None:
    """The bar of `jobs`, drawn again and again; the page starts again when the last has ended."""

    @st.fragment(run_every=2 * pace.tick())
    def show() -> None:
        if all(job.finished for job in jobs):
            st.rerun()
        bar(jobs, key)

    show()


def bar(jobs: list[Job], key: str) -> None:
    """How far the attacks on results are, all together, and one Stop for them. For a fragment that runs again."""
    left = [job for job in jobs if not job.finished]
    if not left:
        return
    now = min(left, key=lambda job: (job.started == 0, job.id))
    fraction, text = parts.progress_of(now)
    whole = (len(jobs) - len(left) + fraction) / len(jobs)
    with st.container(horizontal=True, vertical_alignment="center", key=f"{key}_row"):
        st.progress(min(1.0, whole), text=f"{parts.plain(now.title)}: {text} · {len(left)} of {len(jobs)} to go")
        if st.button("Stop measuring", key=key, disabled=all(job.state == "stopping" for job in left)):
            for job in left:
                job.cancel()
