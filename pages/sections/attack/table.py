"""Every attack number of a run beside the original and the retrained model, each with its good direction and what it asks."""

from __future__ import annotations

from collections.abc import Iterable

import streamlit as st

from imu_core.glossary import TERMS
from imu_core.metrics import METRICS, thresholds
from imu_core.records.run import Problem
from imu_core.report import attacks as report
from pages.sections.attack import keys
from pages.sections.attack.keys import AS_RUN, PROBE, relearn_key, shadow_key
from pages.sections.attack.scores import compared_with, sides, sides_of_original, worst_case
from pages.session import answers, session_runs
from pages.widgets import progress
from pages.widgets.text import plain

ARROWS = {
    "higher": "↑",
    "lower": "↓",
    "nearest the retrained reference": "≈ retrained",
    "nearest 50 %": "≈\u00a050\u00a0%",
    "nearest 1": "≈\u00a01",
}
NARROW = """<style>
.st-key-attack_table { font-variant-numeric: tabular-nums }
@media (max-width: 1000px) { .st-key-attack_table :is(th, td):last-child { display: none } }
@media (max-width: 600px) {
  .st-key-attack_table tr { display: grid; grid-template-columns: repeat(4, 1fr) }
  .st-key-attack_table :is(th, td):is(:first-child, :nth-child(6)) { grid-column: 1 / -1 }
}
</style>"""  # the names lead to the same words


def section(problem: Problem, item: session_runs.Kept) -> None:
    """The table as far as it is known, and the button that measures the rest."""
    st.subheader("All attacks in numbers")
    if item.measuring and not item.measuring.finished:
        progress.watch(item.measuring)
    elif not item.is_measured:
        pressed = st.button("Measure the membership attacks too (about 20 seconds)", key="measure_attacks")
        if pressed and session_runs.measure_later(item):
            st.rerun()
    shown = rows(problem, item)
    st.html(NARROW)
    with st.container(key="attack_table"):
        st.table(shown, border="horizontal", hide_index=True, alt=f"{len(shown)} attack numbers of {item.name}")
    st.caption(
        "↑ higher is better, ↓ lower, ≈ nearest what is named. Fractions from 0 to 1 unless a percent sign is there. "
        "Each name leads to its paragraph in the glossary. What an attack does not find may be there all the same."
    )


def rows(problem: Problem, item: session_runs.Kept) -> list[dict[str, str]]:
    """A row for each attack number that is known: title, its value for each model, good direction, images, what it asks."""
    probe = keys.jobs(item).get(PROBE)
    lines = [
        *_thresholds(problem, item),
        *(report.of_probe(probe.work) if probe and probe.state == "done" else ()),
        *report.of_relearning(problem, keys.result(item, relearn_key("forget", AS_RUN))),
        *_shadows(item),
        *report.of_measurement(problem, item.measured),
    ]
    return [_row(problem, item, line) for line in lines]


def _row(problem: Problem, item: session_runs.Kept, line: report.Line) -> dict[str, str]:
    good = METRICS[line.key].direction(bool(problem.split.classes))
    cells = {"Original": "original", "Retrained": "retrained", plain(item.name): "run"}
    return {
        "Attack": f"[{line.title}](glossary?term={line.key})",
        **{head: line.written(model) for head, model in cells.items()},
        "Good": ARROWS[good],
        "Asked about": line.images,
        "What it asks": TERMS[line.key].short,
    }


def _thresholds(problem: Problem, item: session_runs.Kept) -> Iterable[report.Line]:
    """The threshold attacks, against the better of the two comparisons."""
    against = next(iter(compared_with(problem, item)), None) if answers.answers(item) else None
    if against is None:
        return ()
    pairs = {"original": sides_of_original(problem, item, against), "run": sides(problem, item, against)}
    original = item.once(("original worst", against), lambda: thresholds.worst_case(*pairs["original"]))
    return report.of_thresholds(problem, pairs, {"original": original, "run": worst_case(problem, item, against)}, against)


def _shadows(item: session_runs.Kept) -> Iterable[report.Line]:
    """The attack with most pairs of shadow heads that has numbers."""
    results = (keys.result(item, shadow_key(pairs)) for pairs in sorted(keys.SHADOWS, reverse=True))
    return report.of_shadows(next((result for result in results if "auc" in result), {}))
