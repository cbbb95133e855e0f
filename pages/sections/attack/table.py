"""Every attack number of a run beside the original and the retrained model, each with its good direction and what it asks."""

from __future__ import annotations

import streamlit as st

from imu_core.glossary import TERMS
from imu_core.metrics import METRICS, Images, thresholds
from imu_core.metrics.registry import numbers
from imu_core.problems.subsets import same_kind
from imu_core.records.run import Problem
from imu_core.report.numbers import in_unit
from pages.sections.attack import keys
from pages.sections.attack.keys import AS_RUN, PROBE, relearn_key, shadow_key
from pages.sections.attack.scores import Scores, compared_with, sides, sides_of_original, worst_case
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
Found = dict[str, float | str]


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
    forget, lines = f"{len(problem.split.forget):,} forget", []
    for title, key, values, size in (*_thresholds(problem, item), *_trained(problem, item)):
        lines.append(_row(problem, item, title, key, values, size))
    table = {name: numbers(item.measured, name) for name in ("original", "retrained", "run")}
    sizes = {Images.FORGET_AND_KIND: f"{forget}, {len(same_kind(problem)):,} test", Images.RETAIN_AND_TEST: "retain and test"}
    for key, metric in METRICS.items():
        values = {name: model[key] for name, model in table.items() if key in model}
        if metric.attack and values:
            lines.append(_row(problem, item, metric.title, key, values, sizes.get(metric.images, forget)))
    return lines


def _row(problem: Problem, item: session_runs.Kept, title: str, key: str, values: Found, size: str) -> dict[str, str]:
    good = METRICS[key].direction(bool(problem.split.classes))
    cells = {"Original": "original", "Retrained": "retrained", plain(item.name): "run"}
    return {
        "Attack": f"[{title}](glossary?term={key})",
        **{head: _write(key, values.get(name)) for head, name in cells.items()},
        "Good": ARROWS[good],
        "Images": size,
        "What it asks": TERMS[key].short,
    }


def _write(key: str, value: float | str | None) -> str:
    if value is None or isinstance(value, str):
        return value or "–"
    return in_unit(value, METRICS[key].unit)


def _thresholds(problem: Problem, item: session_runs.Kept) -> list[tuple[str, str, Found, str]]:
    """The threshold attacks, against the better of the two comparisons."""
    against = next(iter(compared_with(problem, item)), None) if answers.answers(item) else None
    if against is None:
        return []
    pairs = {"original": sides_of_original(problem, item, against), "run": sides(problem, item, against)}
    size = f"{len(problem.split.forget):,} forget, {len(pairs['run'][1]['loss']):,} {against}"
    original = item.once(("original worst", against), lambda: thresholds.worst_case(*pairs["original"]))
    worst = {"original": original, "run": worst_case(problem, item, against)}
    auc = {score: {name: _auc(pair, score) for name, pair in pairs.items()} for score in ("loss", "entropy")}
    return [
        *((f"AUC by {score}", "auc", values, size) for score, values in auc.items()),
        *(
            (METRICS[key].title, key, {n: getattr(w, key) for n, w in worst.items()}, size)
            for key in ("advantage", "tpr_at_1_fpr")
        ),
    ]


def _auc(pair: tuple[Scores, Scores], score: str) -> float:
    return thresholds.curve(pair[0][score], pair[1][score], score in thresholds.LOW).auc


def _trained(problem: Problem, item: session_runs.Kept) -> list[tuple[str, str, Found, str]]:
    """What the probe, relearning (as the run) and the largest shadow attack have found."""
    entries: list[tuple[str, str, Found, str]] = []
    probe = keys.jobs(item).get(PROBE)
    if probe and probe.state == "done":
        for key, part in (("probe_forgotten", "forgotten"), ("probe_others", "others")):
            values = {n.replace("unlearned", "run"): v[key] for n, v in probe.work.numbers.items()}
            entries.append((METRICS[key].title, key, values, f"{probe.work.sizes[part]:,} asked"))
    again = keys.result(item, relearn_key("forget", AS_RUN))
    if again.get("words"):
        size = f"{len(problem.split.forget):,} forget"
        entries.append((METRICS["relearn_steps"].title, "relearn_steps", again["words"], size))
        if again["ain"] is not None:
            entries.append((METRICS["ain"].title, "ain", {"run": again["ain"]}, size))
    for pairs in sorted(keys.SHADOWS, reverse=True):
        shadow = keys.result(item, shadow_key(pairs))
        if "auc" in shadow:
            size = f"{shadow['shadows']} pairs of heads"
            for key in ("auc", "balanced_accuracy", "tpr_at_1_fpr"):
                entries.append(
                    (f"Shadow heads: {METRICS[key].title}", key, {"original": shadow["before"][key], "run": shadow[key]}, size)
                )
            break
    return entries
