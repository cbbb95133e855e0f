"""Jobs of a visitor on the page: in line, how far they are, a Stop, how they ended."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from typing import Any

import streamlit as st

from imu_core.access import limits
from imu_core.jobs import PAGE, Job
from imu_core.progress import Task
from imu_core.report.numbers import duration
from pages.session import pace, visitor
from pages.widgets.text import plain

MARKS = {
    "queued": ":gray-badge[:material/schedule: queued]",
    "running": ":blue-badge[:material/play_arrow: running]",
    "stopping": ":orange-badge[:material/front_hand: stopping]",
    "done": ":green-badge[:material/check: done]",
    "cancelled": ":gray-badge[:material/block: cancelled]",
    "diverged": ":orange-badge[:material/trending_down: diverged]",
    "failed": ":red-badge[:material/error: failed]",
}
QUIET = 0.5  # seconds that need no bar
PACE = 0.25  # seconds between two pictures of a bar


def run_here(steps: Iterable[tuple[float, str]], key: str) -> None:
    """Run `steps`, which yield (fraction done, what is done), here and now, with a bar and Stop; no bar where they are quick.

    A click on Stop, as on anything else, ends this page's run between two steps; the page then waits to be told to go on.
    """
    place, bar, drawn, began = st.empty(), None, -math.inf, time.monotonic()
    for fraction, words in steps:
        now = time.monotonic()
        if st.session_state.get(key):
            _go_on(key)
        elif now - began >= QUIET and now - drawn >= PACE:  # a browser on the same machine takes its time to draw from the work
            bar = bar or _bar(place, key)
            bar.progress(min(1.0, fraction), text=f"{fraction:.0%} · {words}{still(now - began, fraction)}")
            drawn = time.monotonic()
    st.session_state.pop(key, None)
    place.empty()


def _bar(place: Any, key: str) -> Any:
    with place.container(horizontal=True, vertical_alignment="center"):
        bar = st.empty()
        st.button("Stop", key=f"stop_{key}", on_click=st.session_state.update, args=({key: True},))
    return bar


def _go_on(key: str) -> None:
    st.markdown(f"{MARKS['cancelled']} Stopped by you. This page needs it.")
    st.button("Go on", key=f"go_on_{key}", on_click=st.session_state.pop, args=(key, None), type="primary")
    st.stop()


def has_room(jobs: int) -> bool:
    """Whether this visitor may have so many `jobs` more at once; where not, the page says so."""
    going, most = sum(job.kind != PAGE for job in visitor.queue().active(visitor.owner())), limits.JOBS.value
    if going + jobs > most:
        st.warning(
            f"A visitor of this server may have {most:,} jobs at once. {going:,} of yours have not ended, and this would be "
            f"{jobs:,} more. Wait for some of them, stop them, or ask for less at once."
        )
    return going + jobs <= most


def put_in_line(job: Job) -> bool:
    """Queue `job`. Returns whether it is queued: not where its visitor has too many already, which the page then says."""
    if not has_room(1):
        return False
    visitor.queue().submit(job)
    return True


def stop_button(job: Job, key: str) -> None:
    """Draw a Stop for `job` that acts at once; while the job is ending it reads "Stopping…"."""
    stopping = job.state == "stopping"
    st.button(
        "Stopping…" if stopping else "Stop",
        key=key,
        on_click=job.cancel,
        disabled=stopping or job.finished,
    )


def watch(job: Job, title: str = "", news: Callable[[], object] = lambda: None, key: str = "stop") -> None:
    """Draw the bar of a `job` that has not finished, and a Stop for its visitor, again and again.

    The page starts again once the job has ended, and whenever `news` tells something new.
    """
    before, lead = news(), f"{plain(title)}: " if title else ""

    @st.fragment(run_every=pace.tick())
    def show() -> None:
        if job.finished or news() != before:
            st.rerun()
        fraction, words = of(job)
        st.progress(fraction, text=lead + plain(words))
        if job.owner == visitor.owner():
            stop_button(job, f"{key}-{job.id}")

    show()


def ended_words(job: Job, name: str = "") -> None:
    """Write how a job ended that is not done. Its visitor wanted a Stop, so only a failure is shown as an error."""
    text = plain(f"{name}: {job.reason}" if name else job.reason)
    if job.state == "failed":
        st.error(text, icon=":material/error:")
    elif job.state != "done":
        st.markdown(f"{MARKS[job.state]} {text}")


def of(job: Job) -> tuple[float, str]:
    """(fraction done, words about it) of a job, from what it has yielded so far."""
    if job.state == "queued":
        return 0.0, f"waiting, {visitor.queue().ahead_of(job)} ahead"
    items, work = job.snapshot(), job.work
    if work is None or not items:
        return 0.0, "preparing"
    fraction, text = work.progress(items[-1]) if isinstance(work, Task) else items[-1]
    left = work.time_left if isinstance(work, Task) else None
    return fraction, text + (still(job.seconds, fraction) if left is None else f", {left:.0f} s left")


SURE = 0.05  # of the work must be done before what is left is guessed from it


def still(seconds: float, fraction: float) -> str:
    """The time left, from the `seconds` that `fraction` took, such as ", about 12 s left"; "" while that is not known."""
    if not SURE <= fraction < 1 or seconds < 1:
        return ""
    left = seconds * (1 - fraction) / fraction
    return f", about {duration(left)} left"


def start_training(title: str, make: Any) -> None:
    """Queue a training; its model is stored when it ends, and the sidebar shows how far it is."""

    def store(job: Job) -> None:
        if job.work.outcome.state == "done":
            job.work.save()

    if put_in_line(Job(title, make, kind="training", owner=visitor.owner(), after=store)):
        st.rerun()


def watch_all(jobs: list[Job], key: str) -> None:
    """Draw one bar of all `jobs` again and again; the page starts again when the last has ended."""

    @st.fragment(run_every=2 * pace.tick())
    def show() -> None:
        if all(job.finished for job in jobs):
            st.rerun()
        bar_of_all(jobs, key)

    show()


def bar_of_all(jobs: list[Job], key: str) -> None:
    """Draw how far the measuring `jobs` are, all together, and one Stop for them. Call in a fragment that runs again."""
    left = [job for job in jobs if not job.finished]
    if not left:
        return
    now = min(left, key=lambda job: (job.started == 0, job.id))
    fraction, text = of(now)
    whole = (len(jobs) - len(left) + fraction) / len(jobs)
    with st.container(horizontal=True, vertical_alignment="center", key=f"{key}_row"):
        st.progress(min(1.0, whole), text=f"{plain(now.title)}: {text} · {len(left)} of {len(jobs)} to go")
        if st.button("Stop measuring", key=key, disabled=all(job.state == "stopping" for job in left)):
            for job in left:
                job.cancel()
