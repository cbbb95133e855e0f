"""In the sidebar of every page: what this visitor has going."""

from __future__ import annotations

import streamlit as st

from pages.session import pace, visitor
from pages.widgets import progress

MOST_JOBS = 2  # in the sidebar


def running_jobs() -> None:
    """Draw, in the sidebar, the unfinished jobs of this visitor: how far each is, and its Stop; at most `MOST_JOBS` of them."""
    active = visitor.queue().active(visitor.owner())

    @st.fragment(run_every=2 * pace.tick() if active else None)
    def show() -> None:
        now = visitor.queue().active(visitor.owner())
        for job in now[:MOST_JOBS]:
            st.markdown(f"{progress.MARKS[job.state]} {job.title}")
            fraction, text = progress.of(job)
            st.progress(fraction, text=f"{text} · {job.seconds:.0f} s" if job.started else text)
            progress.stop_button(job, f"side-stop-{job.id}")
        if len(now) > MOST_JOBS:
            st.caption(f"and {len(now) - MOST_JOBS} more in line")
        if active and not now:
            st.rerun()

    with st.sidebar:
        show()
