"""The same samples under two runs, the original and the retrained model, in one frame; those that moved furthest as pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
import streamlit as st

from imu_core.evaluation import similarity
from imu_core.evaluation.similarity import Models
from imu_core.figures import compare as charts
from imu_core.glossary import help_text
from imu_core.models.inference import Logits
from imu_core.problems.reference import Reference
from imu_core.records.run import Problem
from imu_core.report.numbers import percent
from pages.widgets import bound, pictures
from pages.widgets.text import plain
from pages.widgets.theme import NO_BAR, light_or_dark

MOVED = 10  # samples with the longest arrows
SPACES = {"outputs": "Outputs (logits)", "features": "Features below the head"}


def samples(
    problem: Problem, models: Models, logits: dict[str, Logits], who: dict[str, charts.Who], reference: Reference | None
) -> None:
    """The same samples under all models, in the original's frame, and those that moved furthest as pictures."""
    left, right = st.columns(2)
    with left:
        space = bound.segmented_control(
            "Look at", list(SPACES), default="outputs", key="space", required=True, format_func=SPACES.get,
            help=help_text("common_frame"),
        )  # fmt: skip
    embedding = _embedding(problem, models, logits, reference, space or "outputs")
    titles = {"original": "Original", "a": f"A: {who['a'].name}", "b": f"B: {who['b'].name}", "retrained": "Retrained"}
    longest = {key: np.argsort(-embedding.lengths[key], kind="stable")[:MOVED] for key in ("a", "b")}
    moved = {key: [int(n) for n in order if embedding.lengths[key][n] > 0] for key, order in longest.items()}
    chart = charts.common_frame(embedding, titles, moved, light_or_dark())
    st.plotly_chart(chart, key="compare_frame", config=NO_BAR, alt="The same samples under original, A, B and retrained model")
    shares = ", ".join(f"{titles[key]} {percent(share, 0)}" for key, share in embedding.shows.items())
    text = (
        f"One frame for all: two principal components of the original's {space or 'outputs'}. It shows of the variance: {shares}."
    )
    if (space or "outputs") == "features" and reference:
        text += " The retrained network has axes of its own; it was turned onto the original by the samples that stay."
    st.caption(plain(text))
    with right:
        key = bound.segmented_control(
            "Furthest moved under", ("a", "b"), default="a", key="moved", required=True,
            format_func=str.upper,
            help="The samples with the longest arrows, measured in the whole space and not only in the plane.",
        )  # fmt: skip
    _moved(problem, embedding, moved[key or "a"], logits[key or "a"][0], who[key or "a"].name)


def _embedding(problem: Problem, models: Models, logits: dict[str, Logits], reference: Reference | None, space: str) -> Any:
    ids, is_forget = similarity.sample_ids(problem)
    if space == "features":
        values = {"original": problem.train.Z[ids]}
        values |= {key: similarity.sample_features(problem, model, ids) for key, model in models.items()}
        values |= {"retrained": reference.train.Z[ids]} if reference else {}
    else:
        values = {"original": problem.train.logits[ids], **{key: pair[0][ids] for key, pair in logits.items()}}
        values |= {"retrained": reference.train.logits[ids]} if reference else {}
        values = {key: similarity.centred(value) for key, value in values.items()}
    return similarity.embedding(ids, is_forget, values, ("retrained",) if space == "features" else ())


def _moved(problem: Problem, embedding: Any, positions: list[int], logits: Any, name: str) -> None:
    """Pictures of the samples at `positions`, with what the model now says and how far they went."""
    if not positions:
        st.caption(f"Nothing moved under {plain(name)}: its features are the original's.")
        return
    names, labels = problem.dataset.class_names, problem.train.labels
    for forget, frame, title in ((True, "forget", "to be forgotten"), (False, "retain", "others")):
        chosen = [n for n in positions if embedding.is_forget[n] == forget]
        ids = [int(embedding.ids[n]) for n in chosen]
        if ids:
            st.markdown(f"**{plain(name)}**: longest arrows, {title}")
            words = [names[int(logits[i].argmax())] for i in ids]
            truth = [names[int(labels[i])] for i in ids]
            captions = [t if t == w else f"{t} → {w}" for t, w in zip(truth, words, strict=True)]
            pictures.strip(problem, ids, captions, frame, label=f"Samples that moved furthest, {title}")
