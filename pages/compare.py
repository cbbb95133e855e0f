"""Compare: all methods on record, this visitor's runs beside the retrained model, and two of them looked at closely."""

from __future__ import annotations

import streamlit as st

from imu_core import retrained
from imu_core.records import Problem
from pages import _bound, _compare_link, _compare_pair, _compare_record, _compare_table, _link_box, _problem, _results, _runs
from pages._compared import Compared

ALL, OWN, PAIR = "All methods", "Your runs", "A against B"


def view_of(has_record: bool, opens_on_record: bool) -> str:
    """Which part of the page is wanted; it is in the link."""
    views = [ALL, OWN, PAIR] if has_record else [OWN, PAIR]
    chosen = _bound.segmented_control(
        "Show", views, default=ALL if opens_on_record else OWN, key="compare", required=True,
        help="What is on record about all methods, your own runs on this problem, or two of them closely.",
    )  # fmt: skip
    return chosen if chosen in views else views[0]


def runs(problem: Problem, view: str, has_record: bool) -> list[Compared]:
    """The table of runs, or two of them; returns what there is to compare."""
    items = _compare_link.gather(problem)
    reference = retrained(problem)
    _results.reference_offer(problem)
    _compare_link.offer(problem)
    waiting = [item for item in _runs.of(problem) if not item.job.finished]
    if waiting:
        st.caption(f"{len(waiting)} of your runs have not ended; they join when they have.")
    if any(item.kept and item.kept.is_example for item in items):
        st.caption("Until you run something of your own: the finished examples, the gentle preset on the head.")
    if not items:
        st.info("None of your runs on this problem has ended with anything to compare.")
        st.page_link("pages/unlearn.py", label="Go to Unlearn and run a few methods")
    elif view == PAIR:
        _compare_pair.section(problem, items, reference)
    else:
        _compare_table.section(problem, items, reference)
        if not has_record:
            st.caption("`python -m imu_core table` compares all methods at all scopes, with several forget sets and seeds.")
    return items


title = _link_box.titled("Which one forgets better?")
st.markdown("Runs on one problem beside each other and beside the retrained model, at the same depth of forgetting.")
problem = _problem.current()
record = _compare_record.load()
wants_own = bool(_compare_link.asked_for() or _compare_link.has_own(problem))
view = view_of(record is not None, _compare_record.fits(record, problem) and not wants_own)
items: list[Compared] = []
if view == ALL:
    _compare_record.section(record, problem)
else:
    items = runs(problem, view, record is not None)
with title:
    _link_box.of_page(problem, "Opens this page with the same problem, runs and choices", lambda: _compare_link.in_link(items))
