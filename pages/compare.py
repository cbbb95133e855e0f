"""Compare: all methods on record, this visitor's runs beside the retrained model, and two of them looked at closely."""

from __future__ import annotations

import streamlit as st

from imu_core import retrained
from imu_core.records.run import Problem
from pages.sections.compare import link, pair, table
from pages.sections.compare import record as compare_record
from pages.sections.compare.compared import Compared
from pages.sections.unlearn import results
from pages.session import session_runs
from pages.sidebar import problem_choice
from pages.widgets import bound, link_box

ALL, OWN, PAIR = "All methods", "Your runs", "A against B"


def view_of(has_record: bool, opens_on_record: bool) -> str:
    """Draw the choice of the part of the page; returns the chosen one, which is in the link."""
    views = [ALL, OWN, PAIR] if has_record else [OWN, PAIR]
    chosen = bound.segmented_control(
        "Show", views, default=ALL if opens_on_record else OWN, key="compare", required=True,
        help="What is on record about all methods, your own runs on this problem, or two of them closely.",
    )  # fmt: skip
    return chosen if chosen in views else views[0]


def runs(problem: Problem, view: str, has_record: bool) -> list[Compared]:
    """Draw the table of all runs, or the comparison of two of them, as `view` says; returns all runs there are to compare."""
    items = link.gather(problem)
    reference = retrained(problem)
    results.reference_offer(problem)
    link.offer(problem)
    waiting = [item for item in session_runs.of(problem) if not item.job.finished]
    if waiting:
        st.caption(f"{len(waiting)} of your runs have not ended; they join when they have.")
    if any(item.kept and item.kept.is_example for item in items):
        st.caption("Until you run something of your own: the finished examples, the gentle preset on the head.")
    if not items:
        st.info("None of your runs on this problem has ended with anything to compare.")
        st.page_link("pages/unlearn.py", label="Go to Unlearn and run a few methods")
    elif view == PAIR:
        pair.section(problem, items, reference)
    else:
        table.section(problem, items, reference)
        if not has_record:
            st.caption("`python -m imu_core table` compares all methods at all scopes, with several forget sets and seeds.")
    return items


title = link_box.titled("Which one forgets better?")
st.markdown("Runs on one problem beside each other and beside the retrained model, at the same depth of forgetting.")
problem = problem_choice.current()
record = compare_record.load()
wants_own = bool(link.asked_for() or link.has_own(problem))
view = view_of(record is not None, compare_record.fits(record, problem) and not wants_own)
items: list[Compared] = []
if view == ALL:
    compare_record.section(record, problem)
else:
    items = runs(problem, view, record is not None)
with title:
    link_box.of_page(problem, "Opens this page with the same problem, runs and choices", lambda: link.in_link(items))
