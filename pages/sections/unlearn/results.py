"""After a run: the verdict, the table beside original and retrained, the pictures, and what can be taken away."""

from __future__ import annotations

import math
from typing import Any

import streamlit as st

from imu_core import retrained
from imu_core.errors import ImuError
from imu_core.evaluation.measurement import model_accuracies
from imu_core.metrics import METRICS, membership
from imu_core.models.outside import is_brought
from imu_core.problems.reference import retrain, seconds_to_retrain
from imu_core.records.run import Problem, Trajectory
from imu_core.records.shapes import Metrics
from imu_core.report import verdicts as told
from imu_core.report.numbers import phase_words
from pages.session import answers, session_runs, visitor
from pages.widgets import progress, tables
from pages.widgets.pictures import strip
from pages.widgets.tables import Columns, Row
from pages.widgets.text import plain

SHOWN = 10  # pictures in a row
COLUMNS = {
    "forget": "Forget",
    "test_other": "Test, other classes",
    "test": "Test, all",
    "retain": "Retain",
    "earlier": "Earlier forget set",
    "membership": "Judged never seen",
    "kl": "KL to retrained",
}

ARROWS = {"higher": "↑", "lower": "↓"}  # anything else is to be near to something


def verdicts(problem: Problem, items: list[session_runs.Kept], reference: dict[str, float] | None) -> None:
    """Write one sentence a run: its state at its end, and how long the whole run really took."""
    ended = [item for item in items if item.job.finished and item.trajectory is not None]
    for item in ended:
        record = item.trajectory
        seconds = sum(record.phases.values())
        steps = record.points[-1].step if record.points else 0
        text = plain(told.verdict(record, problem, reference, item.name))
        st.markdown(f"{progress.MARKS[item.job.state]} {text} *{steps} steps, really {seconds:.2f}\N{NO-BREAK SPACE}s.*")
    if same := told.one_path([(item.name, item.trajectory.points) for item in ended]):
        st.markdown(plain(same))


def table(problem: Problem, items: list[session_runs.Kept], reference: dict[str, float] | None) -> None:
    """Draw the table of all runs beside the original and the retrained model; accuracies in percent, with direction and sizes."""
    rows = [
        _row("Original", "", model_accuracies(problem, (problem.train.logits, problem.test.logits)), _measured(items, "original"))
    ]
    if reference:
        rows.append(_row("Retrained", "", reference, _measured(items, "retrained")))
    for item in items:
        record = item.trajectory
        if record is None or not record.points:
            rows.append({"Run": item.name, "State": item.job.state})
            continue
        rows.append(_row(item.name, item.job.state, record.points[-1].accuracies, _of_model(item.measured, "run"), record))
    columns: Columns = {}
    for key, title in COLUMNS.items():
        if any(row.get(key) is not None for row in rows):
            columns[key] = _column(problem, key, title)
    tables.draw(
        [{k: v for k, v in row.items() if k in columns or k[0].isupper()} for row in rows],
        columns,
        alt="All runs beside the original and the retrained model",
    )
    st.caption(
        f"Accuracies in percent; {len(problem.split.forget):,} forget, {len(problem.split.retain):,} retain and "
        f"{len(problem.test.labels):,} test {problem.dataset.noun}. ↑ higher is better, ↓ lower, ≈ nearest the retrained model."
        + (
            f" Judged never seen: {membership.ORIENTATION}; one attack, and **Attack** has stronger ones."
            if "membership" in columns
            else ""
        )
    )


def _column(problem: Problem, key: str, title: str) -> Any:
    metric = METRICS[key]
    good = metric.direction(bool(problem.split.classes))
    arrow = ARROWS.get(good, "≈")
    size = f" {_size(problem, key):,} {problem.dataset.noun}." if _size(problem, key) else ""
    form = "%.1f" if metric.unit == "%" else "%.3f"
    return st.column_config.NumberColumn(
        f"{title} {arrow}", format=form, help=f"{metric.title} ({metric.unit}). Good: {good}.{size}"
    )


def _size(problem: Problem, key: str) -> int:
    split, test = problem.split, len(problem.test.labels)
    return {"forget": len(split.forget), "retain": len(split.retain), "test": test, "earlier": len(split.earlier)}.get(key, 0)


def _measured(items: list[session_runs.Kept], model: str) -> Row:
    return next((numbers for item in items if (numbers := _of_model(item.measured, model))), {})


def _of_model(result: Metrics, model: str) -> Row:
    numbers: Row = {}
    if model in result.get("membership", {}):
        numbers["membership"] = result["membership"][model]
    if model in result.get("divergence", {}):
        numbers["kl"] = result["divergence"][model]["test"]["kl"]
    return numbers


def _row(name: str, state: str, accuracies: dict[str, float], extra: Row, record: Trajectory | None = None) -> Row:
    row: Row = {"Run": name, "State": state, **{key: 100 * value for key, value in accuracies.items()}, **extra}
    if record:
        row |= {
            "Steps": f"{record.points[-1].step}",
            "Seconds": f"{sum(record.phases.values()):.2f}",
            "Saw": " + ".join(record.saw),
        }
    return row | {name: row.get(name, "") for name in ("Steps", "Seconds", "Saw")}


def distances(item: session_runs.Kept) -> None:
    """Write the run's seconds by phase, and draw how far its outputs are from the retrained model's, before and after."""
    phases = phase_words(item.trajectory.phases)
    saw = ", ".join(item.trajectory.saw) or "nothing"
    st.caption(f"{plain(item.name)}: {phases}. Its method saw: {saw}.")
    divergence = item.measured.get("divergence", {})
    if "run" not in divergence:
        st.caption(
            "How far its answers are from the retrained model's was not measured: that takes a retrained model, and "
            "**Attack the result afterwards** switched on."
        )
        return
    rows = [
        {
            "Set": part,
            "Measure": f"{METRICS[key].title} ({METRICS[key].unit}) {ARROWS.get(METRICS[key].better, '≈')}",
            "Original": divergence["original"][part][key],
            item.name: value,
        }
        for part, values in divergence["run"].items()
        for key, value in values.items()
    ]
    columns = {name: st.column_config.NumberColumn(name, format="%.4f") for name in ("Original", item.name)}
    tables.draw(rows, columns, alt="Divergence from the retrained model")


def pictures(problem: Problem, item: session_runs.Kept) -> None:
    """Draw samples that are no longer recognised, that still are, and test images that were right only before."""
    try:
        if not answers.is_asked(item):
            offer = st.empty()
            if not offer.button("Show pictures (asks this model about every image first)"):
                return
            offer.empty()
        logits = answers.logits(item)
    except ImuError as error:  # the model of a stored run cannot be rebuilt, say
        st.caption(plain(error))
        return
    if logits is None:
        return
    (train, test), names, split = (part.argmax(1) for part in logits), problem.dataset.class_names, problem.split
    labels, before = problem.train.labels, problem.train.logits.argmax(1)
    hit = train[split.forget] == labels[split.forget]
    gone, still = split.forget[~hit & (before[split.forget] == labels[split.forget])], split.forget[hit]
    was_right = (problem.test.logits.argmax(1) == problem.test.labels) & (test != problem.test.labels)
    for c in split.gone_classes:
        was_right &= problem.test.labels != c
    hurt = was_right.nonzero()[:, 0]
    rows = (
        (f"No longer recognised: {len(gone):,} of {len(split.forget):,}", gone, train, "train", "forget"),
        (f"Still recognised: {len(still):,}", still, train, "train", "forget"),
        (f"Damaged elsewhere: {len(hurt):,} test {problem.dataset.noun} that were right before", hurt, test, "test", "retain"),
    )
    for title, ids, predictions, part, frame in rows:
        st.markdown(f"**{title}**" + ("" if len(ids) <= SHOWN else f", {SHOWN} of them:"))
        chosen = ids[:: max(1, len(ids) // SHOWN)][:SHOWN].tolist()
        truth = getattr(problem, part).labels
        captions = [
            names[int(truth[i])] if predictions[i] == truth[i] else f"{names[int(truth[i])]} → {names[int(predictions[i])]}"
            for i in chosen
        ]
        if chosen:
            strip(problem, chosen, captions, frame, part, title)
        else:
            st.caption("None.")


def reference_offer(problem: Problem) -> None:
    """Where no retrained model is stored, say so and offer to train one; else nothing."""
    if retrained(problem):
        return
    title = f"Retrain without {problem.split.request[:30]}"
    if any(job.title == title for job in visitor.queue().active(visitor.owner())):
        st.info(
            "The retrained model is being trained; its progress and Stop are in the sidebar.", icon=":material/model_training:"
        )
        return
    text = f"No retrained model is stored for **{problem.split.request[:60]}**, so there is no star to compare with."
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(text)
        own = is_brought(problem.model_name)
        if own:
            st.caption("By our recipe, not by that of the model's makers, which nobody here knows.")
        seconds = None if own else seconds_to_retrain(problem)
        if st.button(f"Train it (about {math.ceil(seconds / 60)} min)" if seconds else "Train it"):
            progress.start_training(title, lambda: retrain(problem))
