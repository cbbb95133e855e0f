"""Ask a prediction: which training samples pushed the model to its answer, which held it back, and what it says without them."""

from __future__ import annotations

import streamlit as st

from imu_core.data import thumbnails
from imu_core.errors import ImuError
from imu_core.figures import truth as figures
from imu_core.influence.queries import AskedWithout
from imu_core.records.run import Problem
from imu_core.report.numbers import percent
from imu_core.report.taught import taught_words
from pages.widgets import bound, tables, waited
from pages.widgets.pictures import strip
from pages.widgets.text import plain
from pages.widgets.theme import NO_BAR, light_or_dark

SHOWN = 8  # pictures in a row


def _first_wrong(problem: Problem) -> int:
    """A test sample that the model gets wrong, where there is one: its teachers are the most telling."""
    wrong = (problem.test.logits.argmax(1) != problem.test.labels).nonzero().flatten()
    return int(wrong[0]) if len(wrong) else 0


def section(problem: Problem, estimator: str, damping: float) -> AskedWithout | None:
    """Draw the choice of a test sample, the model's answer, and that without its teachers; returns the work once it is done."""
    last = len(problem.test.labels) - 1
    index = bound.number_input(f"Test {problem.dataset.noun[:-1]}", 0, last, _first_wrong(problem), 1, key="ask")
    index = _first_wrong(problem) if index is None else int(index)
    names, probabilities = problem.dataset.class_names, problem.test.logits[index].softmax(0)
    answer, truth = int(probabilities.argmax()), int(problem.test.labels[index])
    with st.container(horizontal=True, vertical_alignment="center"):
        st.image(thumbnails.png(problem.dataset.name, "test", index, None), width=90, alt=f"{names[truth]}, test sample {index}")
        verb = "is right" if answer == truth else f"is wrong: it is {names[truth]}"
        st.markdown(plain(f"The model says {names[answer]} ({percent(float(probabilities[answer]))}) and {verb}."))
    try:
        key = f"asked {problem.describe()} {estimator} {damping} {index}"
        part, head = problem.train, (problem.head.weight, problem.head.bias)
        make = lambda: AskedWithout(  # noqa: E731
            part.Z, part.labels, *head, problem.test.Z[index], answer, estimator=estimator, damping=damping, seed=problem.seed
        )
        work = waited.work(key, "Asking who taught this", make)
    except ImuError as error:
        st.info(plain(error))
        return None
    if work is None:
        return None
    st.markdown(plain(taught_words(work.found, names, problem.dataset.noun)))
    chart = figures.without(work.found, names[answer], light_or_dark())
    st.plotly_chart(chart, key="without", config=NO_BAR, alt="Probability of the answer by how many training samples are gone")
    return work


def teachers(problem: Problem, work: AskedWithout) -> None:
    """Draw the samples that pushed the model to its answer and those that held it back, and the sums of their classes."""
    names, labels, scores = problem.dataset.class_names, problem.train.labels, work.scores
    order, answer = scores.argsort(descending=True, stable=True), names[work.answer]
    rows = (
        (f"Pushed it to say {answer}", order[:SHOWN], "retain"),
        (f"Held it back from {answer}", order.flip(0)[:SHOWN], "forget"),
    )
    for title, chosen, frame in rows:
        st.markdown(f"**{plain(title)}**")
        captions = [f"{names[int(labels[i])]}\n{float(scores[i]):+.1e}" for i in chosen]
        strip(problem, chosen.tolist(), captions, frame, "train", title)
    sums = [
        {
            "Class": names[c],
            "Pushed": f"{float(own.clamp(min=0).sum()):+.2e}",
            "Held back": f"{float(own.clamp(max=0).sum()):+.2e}",
        }
        for c in range(len(names))
        if len(own := scores[labels == c])
    ]
    with st.expander("By class"):
        tables.draw(sums, alt="Sums of the scores by class")
