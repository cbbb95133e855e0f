"""Attacks that train something, each as a job: a fresh head, relearning, shadow heads; with progress, Stop and a verdict."""

from __future__ import annotations

import math
from collections.abc import Callable

import streamlit as st

from imu_core.errors import ImuError
from imu_core.evaluation.attacks import UNTRAINED, Attack
from imu_core.evaluation.probe import Probe
from imu_core.evaluation.relearning import Relearn
from imu_core.evaluation.shadow_models import ShadowAttack
from imu_core.figures import attack, style_of
from imu_core.glossary import help_text
from imu_core.jobs import Job
from imu_core.problems.reference import retrained_model
from imu_core.records.run import Problem
from imu_core.report.numbers import percent
from pages.lesson import deeds
from pages.sections.attack.keys import AS_RUN, PROBE, SHADOWS, Key, jobs, relearn_key, shadow_key
from pages.sections.attack.words import probe_verdict, relearn_verdict, shadow_verdict
from pages.session import pace, session_runs, visitor
from pages.widgets import bound, progress, run_form
from pages.widgets.text import plain
from pages.widgets.theme import NO_BAR, light_or_dark

SCOPES = (AS_RUN, "head", "last:1", "last:2", "all")
NEARLY_ALL, HALF = 0.75, 0.25  # shares brought back from which a fresh head knows nearly all, about half
HOUSE = "examples"  # owns the attacks that nobody asked for


def start(item: session_runs.Kept, key: Key, make: Callable[[], Attack], owner: str) -> bool:
    """Put an attack of `owner` in line. Returns whether it is; where this visitor has too many jobs, the page says so."""
    job = Job(f"{key.kind} · {item.name}", make, kind="attack", owner=owner)
    if accepted := owner == HOUSE or progress.has_room(1):
        jobs(item)[key] = visitor.queue().submit(job)
    return accepted


def start_missing(problem: Problem, item: session_runs.Kept) -> None:
    """Start a probe and a relearning on an example, once for everybody; the visitor's own jobs need not wait for them."""
    for key, make in ((PROBE, probe_of(problem, item)), (relearn_key("forget", AS_RUN), relearn_of(problem, item))):
        if key not in jobs(item):
            start(item, key, make, HOUSE)


def panel(item: session_runs.Kept, key: Key, label: str, make: Callable[[], Attack], draw: Callable[[Attack], None]) -> None:
    """Draw an attack: button, progress with Stop (polled only while it goes on), and what `draw` makes of its results so far."""
    job = jobs(item).get(key)
    going = bool(job and not job.finished)
    again = bool(job) and job.finished and job.state != "done"  # done once is done: the same seed finds the same
    pressed = (job is None or again) and st.button(f"{label} again" if again else label, key=f"start_{key.kind.lower()}")
    if pressed and start(item, key, make, visitor.owner()):
        st.rerun()

    @st.fragment(run_every=pace.tick() if going else None)
    def show() -> None:
        if going and job.finished:
            st.rerun()
        if going:
            fraction, text = progress.of(job)
            st.progress(fraction, text=text)
            if job.owner in (visitor.owner(), HOUSE):
                progress.stop_button(job, f"stop-{job.id}")
        if job and job.finished:
            progress.ended_words(job)
        if job and isinstance(job.work, Attack):
            draw(job.work)

    show()


def probe_of(problem: Problem, item: session_runs.Kept) -> Callable[[], Probe]:
    """A function that makes the probe of the original, unlearned and (where stored) retrained model; the worker calls it."""

    def make() -> Probe:
        models = {"original": problem.model, "unlearned": item.run.model(), "retrained": retrained_model(problem)}
        return Probe(problem, {name: model for name, model in models.items() if model is not None})

    return make


def probe(problem: Problem, item: session_runs.Kept) -> None:
    """Draw the section on the probe: a fresh head trained on every model's frozen features."""
    st.subheader("Is it still in the features?", help=help_text("probe_forgotten"))
    st.caption(
        "The last layer is thrown away and a new one trained on frozen features. For a person this means: whoever holds the "
        "model's file might have it back in seconds."
    )

    def draw(work: Probe) -> None:
        if not any(work.result.values()):
            return
        style = style_of(item.config.method, item.config.control)
        noun = problem.dataset.noun
        title = f"New {noun} of what was forgotten" if problem.split.classes else f"The forget {noun}"
        chart = attack.probe(work.result, item.name, style, title, light_or_dark())
        alt = "Accuracy of a fresh head by step on what was forgotten and on everything else, a line a model"
        st.plotly_chart(chart, key="probe_chart", config=NO_BAR, alt=alt)
        if work.outcome.state == "done":
            st.markdown(probe_verdict(problem, item.config, plain(item.name), work))
            ends = {model: points[-1]["forgotten"] for model, points in work.result.items() if points}
            back, aim, random = (ends.get(model, math.nan) for model in ("unlearned", "retrained", UNTRAINED))
            place = "2" if back >= NEARLY_ALL else "1" if back >= HALF else "0"
            deeds.note("probe", back=percent(back), aim=percent(aim), random=percent(random), right=place)
        about = f"new {noun} of it" if problem.split.classes else f"forget {noun}, none of which it learns from"
        sizes = work.sizes
        st.caption(
            f"Each head learns from {sizes['learn']:,} {noun} and is asked about {sizes['forgotten']:,} {about}, and about "
            f"{sizes['others']:,} other test {noun}. ≈ nearest the retrained model is good."
        )

    panel(item, PROBE, "Train fresh heads", probe_of(problem, item), draw)


def relearn_of(problem: Problem, item: session_runs.Kept, data: str = "forget", scope: str = AS_RUN) -> Callable[[], Relearn]:
    """A function that makes the relearning from `data` (forget or all) at `scope`; the worker calls it."""
    return lambda: Relearn(problem, item.run, data=data, scope=None if scope == AS_RUN else scope)


def relearn(problem: Problem, item: session_runs.Kept) -> None:
    """Draw the section on relearning: after how many steps the model recognises the forget set again."""
    st.subheader("How soon does it come back?", help=help_text("relearn_steps"))
    st.caption(
        "The model is trained on. For a person this means: what comes back sooner than in a model that never saw it had not "
        "gone, and may come back by accident."
    )
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        data = bound.segmented_control(
            "Train on", ("forget", "all"), default="forget", key="relearn_data", required=True,
            format_func={"forget": "forget set", "all": f"all {problem.dataset.noun}"}.get, help=help_text("forget_set"),
        )  # fmt: skip
        scope = bound.segmented_control(
            "Scope", SCOPES, default=AS_RUN, key="relearn_scope", required=True, also=run_form.scope_of(problem),
            help=help_text("scope"),
        )  # fmt: skip
    data, scope = data or "forget", scope or AS_RUN

    def draw(work: Relearn) -> None:
        if not work.result["curves"]:
            return
        style = style_of(item.config.method, item.config.control)
        chart = attack.relearning(work.result, item.name, style, light_or_dark())
        st.plotly_chart(chart, key="relearn_chart", config=NO_BAR, alt="Forget accuracy by step of relearning, a line a model")
        if work.outcome.state == "done":
            st.markdown(relearn_verdict(plain(item.name), work.result))

    panel(item, relearn_key(data, scope), "Relearn", relearn_of(problem, item, data, scope), draw)


def shadows(problem: Problem, item: session_runs.Kept) -> None:
    """Draw the section on shadow heads: many heads trained with and without the forget set, told apart by an expert."""
    st.subheader("Can an expert tell?", help=help_text("u_lira"))
    st.caption(
        "Many heads are trained with and without the forget set, and unlearned as this run did it. For a person this means: "
        "somebody who knows the method and has similar data could prove that you had been there."
    )
    try:
        ShadowAttack(problem, item.config)
    except ImuError as error:
        st.info(plain(error))
        return
    pairs = bound.segmented_control(
        "Pairs of heads", SHADOWS, default=16, key="shadow_pairs", required=True, help=help_text("shadows")
    )
    make = lambda: ShadowAttack(problem, item.config, shadows=pairs or 16)  # noqa: E731
    panel(item, shadow_key(pairs or 16), "Train shadow heads", make, draw_shadows)


def draw_shadows(work: ShadowAttack) -> None:
    """Draw what the shadow heads tell, after unlearning and before it, and the verdict in a sentence."""
    findings = work.result
    if "auc" not in findings:
        return
    titles = {
        "auc": "AUC (chance: 50 %)",
        "balanced_accuracy": "Balanced accuracy (chance: 50 %)",
        "tpr_at_1_fpr": "Caught at 1 % false alarms ↓",
    }
    for column, (key, title) in zip(st.columns(3), titles.items(), strict=True):
        before = f"before unlearning {percent(findings['before'][key])}"
        column.metric(title, percent(findings[key]), help=help_text(key), delta_description=before)
    st.markdown(shadow_verdict(findings))
