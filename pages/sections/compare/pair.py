"""Two runs, looked at closely: class by class, answer by answer, layer by layer."""

from __future__ import annotations

import numpy as np
import streamlit as st

from imu_core.caches import SharedCache
from imu_core.errors import ImuError
from imu_core.evaluation import similarity
from imu_core.evaluation.similarity import LayerSimilarity, Models
from imu_core.figures import Style
from imu_core.figures import compare as charts
from imu_core.glossary import help_text
from imu_core.jobs import Job
from imu_core.models.inference import Logits
from imu_core.problems.reference import Reference
from imu_core.records.run import Problem
from imu_core.report.numbers import percent
from pages.sections.compare import compared, frame
from pages.sections.compare.compared import PAIR, Compared
from pages.session import links, visitor
from pages.widgets import bound, progress
from pages.widgets.text import plain
from pages.widgets.theme import NO_BAR, light_or_dark

MOST_JOBS = 20


def section(problem: Problem, items: list[Compared], reference: Reference | None) -> None:
    """Draw the choice of A and B, and everything there is to see of the two."""
    names = {item.name: item for item in items}
    for key in PAIR:
        links.translate(key, {item.id: item.name for item in items if item.id})
        if st.session_state.get(key) not in (None, *names):
            del st.session_state[key]  # that run is gone, or belongs to another problem
    one, two = st.columns(2)
    listed = list(names)
    with one:
        a = names[bound.selectbox("A", listed, key="run_a", help="The first of the two runs.")]
    with two:
        second = min(1, len(listed) - 1)
        b = names[bound.selectbox("B", listed, index=second, key="run_b", help="The run that A is held against.")]
    compared.tell_apart(items)
    if a is b:
        st.info("A and B are the same run: choose another one to see a difference.")
    try:
        logits = {"a": a.logits(problem)}
        logits["b"] = logits["a"] if a is b else b.logits(problem)  # one bar for one run
        models = {"a": a.model(problem), "b": b.model(problem)}
    except ImuError as error:
        st.warning(plain(error))
        return
    who, are_known = {"a": a.who, "b": charts.told_apart(a.who, b.who)}, None not in logits.values()
    if are_known:
        agreement(problem, who, logits)
        st.subheader("Class by class", anchor=False)
        classes(problem, who, logits, reference)
        st.subheader("Answer by answer", anchor=False)
        st.fragment(answers)(problem, who, logits)
    st.subheader("Layer by layer", anchor=False)
    layers(problem, (a, b), models, who)
    if are_known:
        st.subheader("Sample by sample", anchor=False)
        st.fragment(frame.samples)(problem, models, logits, who, reference)


def agreement(problem: Problem, who: dict[str, charts.Who], logits: dict[str, Logits]) -> None:
    """Write how often both give the same answer, in a sentence."""
    a, b = (logits[key][1].argmax(1) for key in ("a", "b"))
    c, d = (logits[key][0][problem.split.forget].argmax(1) for key in ("a", "b"))
    first, second = (plain(who[key].name) for key in ("a", "b"))
    st.markdown(
        f"**{first}** and **{second}** give the same answer to {percent(float((a == b).double().mean()))} of {len(a):,} test "
        f"images and to {percent(float((c == d).double().mean()))} of the {len(c):,} images to forget, right or wrong."
    )


def classes(problem: Problem, who: dict[str, charts.Who], logits: dict[str, Logits], reference: Reference | None) -> None:
    """Draw the change in test accuracy of every class as bars, for A, B and (where stored) the retrained model."""
    changes = {who[key].name: similarity.class_changes(problem, logits[key]) for key in ("a", "b")}
    styles: dict[str, Style] = {who[key].name: who[key].style for key in ("a", "b")}
    if reference:
        changes["Retrained"] = similarity.class_changes(problem, (reference.train.logits, reference.test.logits))
    names, gone = problem.dataset.class_names, [c for c in problem.split.gone_classes if c < len(problem.dataset.class_names)]
    chart = charts.class_changes(names, changes, styles, gone, light_or_dark())
    st.plotly_chart(chart, key="compare_classes", config=NO_BAR, alt="Change in test accuracy of every class, A, B and retrained")
    sizes = np.bincount(problem.test.labels.numpy(), minlength=len(names))
    low, high = sizes[sizes > 0].min(), sizes.max()
    st.caption(
        f"Change against the original model, on {high if low == high else f'{low} to {high}'} test images a class."
        + (" Forgotten classes have an axis of their own." if gone else "")
    )


def answers(problem: Problem, who: dict[str, charts.Who], logits: dict[str, Logits]) -> None:
    """Draw how often A says one class and B another, as a matrix, on the forget set or on the test set."""
    on = bound.segmented_control(
        "Asked about", ("forget set", "test set"), default="forget set", key="compare_set", required=True,
        help=help_text("prediction_matrix"),
    )  # fmt: skip
    rows = {key: pair[0][problem.split.forget] if on != "test set" else pair[1] for key, pair in logits.items()}
    whole = similarity.prediction_matrix(rows["a"], rows["b"])
    counts, names = similarity.as_table(whole, problem.dataset.class_names)
    chart = charts.matrix(counts, names, who["a"].name, who["b"].name, light_or_dark())
    st.plotly_chart(chart, key="compare_matrix", config=NO_BAR, alt="How often A says one class and B another, in counts")
    off = whole - np.diag(np.diag(whole))
    text = f"{int(off.sum()):,} of {int(whole.sum()):,} images get two different answers."
    if off.sum():
        row, column = np.unravel_index(off.argmax(), off.shape)
        labels = [plain(problem.dataset.class_names[c]) for c in (row, column)]
        first, second = (plain(who[key].name) for key in ("a", "b"))
        text += f" Most often {first} says {labels[0]} where {second} says {labels[1]}: {off.max():,} times."
    cut = f" Only the {len(names)} classes with most of them are drawn." if len(names) < len(whole) else ""
    st.caption(f"{text}{cut} The diagonal, where both agree, is left without colour.")


def layers(problem: Problem, pair: tuple[Compared, Compared], models: Models, who: dict[str, charts.Who]) -> None:
    """Draw the CKA of every block; a job computes it beside the page, once for this visitor."""
    jobs: SharedCache[str, Job] = visitor.theirs("compare_jobs", lambda: SharedCache(MOST_JOBS, Job.cancel))
    key = f"{problem.describe()} {pair[0].key} {pair[1].key}"
    job = jobs.get(key)
    if job is None:
        job = _job(problem, pair, models)
        if not progress.put_in_line(job):
            return
        jobs[key] = job
        job.wait(0.3)  # two heads need no more, once the original was asked
    if not job.finished:
        progress.watch(job, "Comparing layers")
    elif job.state == "done":
        _layers(job.work, who)
    else:
        progress.ended_words(job)
        if st.button("Compare the layers", key="compare_layers"):
            jobs.pop(key, None)
            st.rerun()


def _job(problem: Problem, pair: tuple[Compared, Compared], models: Models) -> Job:
    title = f"Layers of {pair[0].name} and {pair[1].name}"
    return Job(title, lambda: LayerSimilarity(problem, models), kind="measure", owner=visitor.owner())


def _layers(work: LayerSimilarity, who: dict[str, charts.Who]) -> None:
    chart = charts.layers(work.layers, work.values, who, light_or_dark())
    st.plotly_chart(
        chart, key="compare_cka", config=NO_BAR, alt="Linear CKA of every block to the original and the retrained model"
    )
    below = len(work.layers) - 1
    same = [plain(who[key].name) for key in ("a", "b") if work.identical.get(key, 0) >= below]
    text = (
        f"[Linear CKA](glossary?term=cka), unbiased estimate, {work.samples} test images of all classes, from the input to "
        "the head; 1 means alike up to a rotation."
    )
    if same:
        text += f" {' and '.join(same)} changed the head alone: every layer below it is the original's, and its CKA exactly 1."
    st.caption(text)
