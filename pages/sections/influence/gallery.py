"""The gallery of forget samples: pictures to look at, to pick, and to open."""

from __future__ import annotations

import numpy as np
import streamlit as st

from imu_core import figures, influence, retrained
from imu_core.data import thumbnails
from imu_core.errors import ImuError
from imu_core.glossary import help_text
from imu_core.influence import ESTIMATORS, ranking
from imu_core.problems.forget import ids_request
from imu_core.problems.reference import retrained_model
from imu_core.records.run import Influence, Problem
from imu_core.report import exports
from pages.lesson import deeds
from pages.sections.influence import gaze
from pages.session import session_runs
from pages.widgets import tables, waited
from pages.widgets.theme import NO_BAR, light_or_dark

PAGE_SIZE = 24


def picked_by_hand() -> list[int]:
    """The ids of the training samples whose box is ticked, ascending."""
    return sorted(st.session_state.get("picked", set()))


def _pick(index: int) -> None:
    picked = st.session_state.setdefault("picked", set())
    (picked.add if st.session_state[f"pick_{index}"] else picked.discard)(index)


def gallery(problem: Problem, scored: Influence, weights: np.ndarray, chosen: list[int]) -> None:
    """Draw the pictures at the `chosen` positions within the forget set, `PAGE_SIZE` a page, in the given order."""
    pages = max(1, -(-len(chosen) // PAGE_SIZE))
    page = st.session_state.get("gallery_page", 1)
    shown = chosen[(min(page, pages) - 1) * PAGE_SIZE :][:PAGE_SIZE]
    with st.grid(columns="auto", min_column_width=96, gap="small", key="gallery_grid"):
        for position in shown:
            _cell(problem, scored, weights, position)
    if pages > 1:
        st.pagination(pages, key="gallery_page")


def _cell(problem: Problem, scored: Influence, weights: np.ndarray, position: int) -> None:
    index = int(problem.split.forget[position])
    name = problem.dataset.class_names[int(problem.train.labels[index])]
    score = float(scored.scores[position])
    with st.container(gap="xsmall"):
        st.image(
            thumbnails.png(problem.dataset.name, "train", index, figures.FORGET),
            width=90,
            alt=f"{name}, training sample {index}, score {score:.2e}",
        )
        st.caption(f"{name} {score:+.2g}")
        with st.container(horizontal=True, gap="xsmall", vertical_alignment="center"):
            key = f"pick_{index}"
            st.session_state[key] = index in st.session_state.get("picked", set())
            st.checkbox(f"{index}", key=key, on_change=_pick, args=(index,))
            if st.button("open", key=f"open_{index}", type="tertiary", help=f"Open sample {index}"):
                card(problem, scored, weights, position)


@st.dialog("Sample", width="large")
def card(problem: Problem, scored: Influence, weights: np.ndarray, position: int) -> None:
    """Draw all about the forget sample at `position`: picture, class, probabilities, score by estimator, weight, loss by step."""
    deeds.note("card", correlation=ranking.written(ranking.spearman(scored.scores, scored.losses)))
    index, names = int(problem.split.forget[position]), problem.dataset.class_names
    label = int(problem.train.labels[index])
    left, right = st.columns([1, 2])
    with left:
        alt = f"{names[label]}, training sample {index}"
        st.image(
            thumbnails.png(problem.dataset.name, "train", index, figures.FORGET),
            width=168,
            caption=f"{names[label]} · id {index}",
            alt=alt,
        )
        rank = int((scored.scores > scored.scores[position]).sum()) + 1
        st.metric("Rank by score", f"{rank} of {len(scored.scores):,}", help=help_text("score"))
        share = f"{len(weights) * float(weights[position]):.2f} x"
        st.metric("Weight beside equal weights", share, help=help_text("weight"))
        st.metric("Loss under the original", f"{float(scored.losses[position]):.3f} nats", help=help_text("cross_entropy"))
    with right:
        models = {"Original": problem.train.logits[index].softmax(0).numpy()}
        reference = retrained(problem)
        if reference:
            models["Retrained"] = reference.train.logits[index].softmax(0).numpy()
        chart = figures.probabilities(names, models, label, light_or_dark())
        st.plotly_chart(chart, key="card_probabilities", config=NO_BAR, alt="Class probabilities of this sample")
    tables.draw(_by_estimator(problem, scored, position), alt="Score and rank of this sample by estimator")
    run = session_runs.examples(problem)[0].run
    losses = [float(point.forget_losses[position]) for point in run.points]
    st.caption(f"Its loss while IMU forgets (gentle preset, {run.points[-1].step} steps), nats:")
    st.line_chart(losses, height=140, x_label="step", y_label="loss", color=figures.FORGET)
    st.markdown("**Where each model looks**")
    models = {"original": problem.model, "retrained": retrained_model(problem), "after IMU": run.model()}
    gaze.one(problem, index, {name: model for name, model in models.items() if model is not None})


def scores(problem: Problem, estimator: str, damping: float) -> Influence | None:
    """The influence of the forget samples; None while a slow estimator computes it, with a bar on the page."""
    about = (problem.dataset.name, problem.model_name, problem.split.request, problem.seed, str(problem.history))
    if not influence.is_slow(estimator, len(problem.split.forget), *problem.head.weight.shape):
        return _scores(*about, estimator, damping, problem)
    title = f"Scores of {len(problem.split.forget):,} {problem.dataset.noun} by {estimator}"
    make = lambda: influence.Scoring(problem, estimator, damping)  # noqa: E731
    work = waited.work(f"scores {about} {estimator} {damping}", title, make)
    return work.found if work else None


@st.cache_resource(max_entries=200, show_spinner=False)
def _scores(
    dataset: str, model: str, forget: str, seed: int, history: str, estimator: str, damping: float, _problem: Problem
) -> Influence:
    return influence.forget_scores(_problem, estimator, damping)


def _by_estimator(problem: Problem, scored: Influence, position: int) -> list[dict[str, object]]:
    rows = []
    for name in ESTIMATORS:
        if influence.is_slow(name, len(scored.scores), *problem.head.weight.shape):
            continue  # it would keep the card waiting
        try:
            values = scores(problem, name, scored.damping).scores
        except ImuError:
            continue  # an estimator that refuses this set (dual above its limit) is left out of the table
        rank = int((values > values[position]).sum()) + 1
        rows.append({"estimator": name, "score": f"{float(values[position]):+.3e}", "rank": rank})
    return rows


def carry_over(ids: list[int]) -> None:
    """Make `ids` the forget request of the whole app."""
    st.session_state.forget = ids_request(ids)


def unlearn_these(problem: Problem, positions: list[int]) -> None:
    """Draw the button that makes the samples at `positions` the forget request and goes to the page Unlearn."""
    ids = [int(problem.split.forget[p]) for p in positions]
    if st.button(f"Unlearn these {len(ids):,}", type="primary", on_click=carry_over, args=(ids,)):
        st.switch_page("pages/unlearn.py", query_params={})  # the sidebar puts its own parameters back


def download(problem: Problem, scored: Influence, weights: object) -> None:
    """Draw the button for a CSV of every forget sample's id, class, score, weight, loss and gradient norm."""
    st.download_button(
        "CSV of all scores",
        lambda: exports.scores_csv(problem, scored, weights),
        file_name=f"influence-{scored.estimator}.csv",
        mime="text/csv",
        on_click="ignore",
    )
