"""The card of one sample, the same wherever it is opened: what it is, what each model says and where it looks, why its score."""

from __future__ import annotations

import numpy as np
import streamlit as st

from imu_core import figures, influence, retrained
from imu_core.data import thumbnails
from imu_core.errors import ImuError
from imu_core.glossary import help_text
from imu_core.influence import ESTIMATORS, ranking
from imu_core.problems.reference import retrained_model
from imu_core.records.run import Influence, Problem
from imu_core.report.sample import why_words
from imu_core.settings import INFLUENCE
from imu_core.weights import sample_weights
from pages.lesson import deeds
from pages.sections.influence import gaze
from pages.session import session_runs
from pages.widgets import tables, waited
from pages.widgets.text import plain
from pages.widgets.theme import NO_BAR, light_or_dark

PATTERN = 0.5  # a rank correlation from which the order by influence is called that by loss, or its opposite
_OPENED = "opened_sample"  # of the session: the id of the training sample whose card is to be opened


def note(index: int) -> None:
    """Callback: the training sample `index` was clicked, so its card is opened as the page is drawn next."""
    st.session_state[_OPENED] = index


def open_noted(problem: Problem) -> None:
    """Open the card of the sample that was clicked, if one was: with the usual estimator, damping and ψ."""
    index = st.session_state.pop(_OPENED, None)
    places = (problem.split.forget == index).nonzero().flatten().tolist() if index is not None else []
    if not places:
        return
    try:
        scored = scores(problem, INFLUENCE["estimator"].default, INFLUENCE["damping"].default)
        weights = sample_weights(scored, psi=INFLUENCE["psi"].default) if scored else None
    except ImuError as error:
        st.warning(plain(error))
        return
    if weights is not None:
        show(problem, scored, weights.numpy(), places[0])


@st.dialog("Sample", width="large")
def show(problem: Problem, scored: Influence, weights: np.ndarray, position: int) -> None:
    """Draw all about the forget sample at `position`: picture, class, probabilities, score by estimator, weight, loss by step."""
    rho = ranking.spearman(scored.scores, scored.losses)
    deeds.note("card", correlation=ranking.written(rho), right="1" if rho > PATTERN else "0" if rho < -PATTERN else "2")
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
    st.markdown(why_words(scored, position))
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
