"""A threshold on one score: who is accused at it, how often rightly, and which images are caught and missed."""

from __future__ import annotations

from typing import Any

import numpy as np
import streamlit as st

from imu_core.figures import GREY, INK, attack, style_of
from imu_core.glossary import help_text
from imu_core.metrics import thresholds
from imu_core.metrics.thresholds import Accusation, Accuses
from imu_core.records.run import Problem
from imu_core.report.numbers import percent
from pages.lesson import deeds
from pages.sections.attack.scales import HELD_OUT, RETRAINED, SCALES
from pages.sections.attack.scores import Scores, best, compared_with, sides, span, worst_case
from pages.sections.attack.words import threshold_verdict
from pages.session import answers, session_runs
from pages.widgets import bound, pictures
from pages.widgets.text import plain
from pages.widgets.theme import NO_BAR, light_or_dark

SHOWN = 8  # pictures a side
CROWDED = 0.4  # share of one side in a single bar
ALIGNED = """<style>
[class*="st-key-"][class*="_at"]:has([data-testid="stSlider"]) { padding: 0 8px 0 52px; }
</style>"""  # its track begins and ends where the axis above it does


def section(problem: Problem, item: session_runs.Kept) -> None:
    """Draw the attack: controls, chart, slider, numbers, pictures. It is one fragment, so that the threshold moves at once."""
    if answers.logits(item) is None:
        return
    choices = compared_with(problem, item)  # here and not in the fragment, from which no error comes out
    if choices:
        st.fragment(_section)(problem, item, choices)
    else:
        st.info(
            "There is no retrained model and no held-out sample of this kind, so there is nothing to tell these samples from."
        )


def _section(problem: Problem, item: session_runs.Kept, choices: list[str]) -> None:
    score, against = _choose(problem, item, choices)
    pair = sides(problem, item, against)
    ends = span(score, np.concatenate([pair[0][score], pair[1][score]]), len(problem.dataset.class_names))
    worst = worst_case(problem, item, against)
    chart = st.empty()
    at = _slider(problem, item, score, against, pair, ends)
    if at != best(score, pair, ends).threshold:
        beats = worst.advantage > worst.chance
        deeds.note("threshold", share=percent(0.5 + 0.5 * worst.advantage), right="1" if beats else "0")
    accusation = thresholds.accuse(pair[0][score], pair[1][score], at)
    alt = f"{SCALES[score].title} of the forget set under {item.name} (up) and of the other side (down), in percent"
    figure = _chart(item, score, against, pair, ends, accusation)
    chart.plotly_chart(figure, key="mirrored", config=NO_BAR, alt=alt)
    _numbers(score, against, pair, accusation, problem.dataset.noun)
    st.markdown(threshold_verdict(plain(item.name), score, against, accusation, worst.chance, problem.dataset.noun))
    st.caption(
        f"Worst of all four scores and every threshold: {SCALES[worst.score].title.lower()} {worst.accuses} "
        f"{SCALES[worst.score].write(worst.threshold)}, right in {50 + 50 * worst.advantage:.1f} %. Loss, confidence and logit "
        f"margin put the {problem.dataset.noun} in the same order: one attack on three scales."
    )
    crowded = max(float(np.histogram(side[score], attack.BARS, ends)[0].max()) / len(side[score]) for side in pair)
    if score in ("loss", "confidence") and crowded > CROWDED:
        st.caption(f"Most {problem.dataset.noun} crowd into one bar here; the logit margin spreads them out.")
    _pictures(problem, score, pair[0][score], accusation)


def _choose(problem: Problem, item: session_runs.Kept, choices: list[str]) -> tuple[str, str]:
    usual = "loss" if problem.split.classes else "margin"  # losses of images that are still recognised all lie near 0
    default = None if "threshold_wanted" in st.session_state else usual
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        score = bound.segmented_control(
            "Attack by", list(SCALES), default=default, key="attack_by", required=True,
            format_func=lambda key: SCALES[key].title, help=help_text("threshold_attack"),
        )  # fmt: skip
        against = choices[0]
        if len(choices) > 1:
            against = bound.segmented_control(
                "Tell it from", choices, default=choices[0], key="tell_from", required=True,
                help=help_text("retrained"),
            )  # fmt: skip
        st.button("Worst case", key="worst_case", on_click=_to_worst, args=(problem, item, against), help=help_text("advantage"))
    if len(choices) == 1 and against == HELD_OUT:
        st.caption("No retrained model is stored: held-out samples of the same kind, under the same model, stand in for it.")
    return score or usual, against or choices[0]


def _to_worst(problem: Problem, item: session_runs.Kept, against: str) -> None:
    pair, worst = sides(problem, item, against), worst_case(problem, item, against)
    ends = span(worst.score, np.concatenate([side[worst.score] for side in pair]), len(problem.dataset.class_names))
    wanted = best(worst.score, pair, ends).threshold
    st.session_state.update(
        attack_by=worst.score, attacked_for=_about(problem, item, worst.score, against), threshold_wanted=(wanted, 0)
    )


def _about(problem: Problem, item: session_runs.Kept, score: str, against: str) -> tuple[Any, ...]:
    return str(problem.describe()), item.name, item.job.id, score, against


def _slider(
    problem: Problem, item: session_runs.Kept, score: str, against: str, pair: tuple[Scores, Scores], ends: tuple[float, float]
) -> float:
    """The threshold; it starts at the worst place of its score, again whenever another run or score is attacked."""
    state, key, scale = st.session_state, f"{score}_at", SCALES[score]
    start, about = best(score, pair, ends).threshold, _about(problem, item, score, against)
    wanted, tries = state.pop("threshold_wanted", (None, 0))
    if wanted is None and (state.get("attacked_for", about) != about or (key in state and not ends[0] <= state[key] <= ends[1])):
        wanted = start
    if wanted is not None:
        state[key] = wanted
    state.attacked_for = about
    default = start if wanted is None else None  # one or the other, or Streamlit complains
    st.html(ALIGNED)
    value = bound.slider(
        f"Threshold, {scale.unit}", *ends, default, scale.step, f"%.{scale.digits}f",
        key=key, help=help_text("threshold_attack"),
    )  # fmt: skip
    if wanted is not None and value != wanted and tries == 0:
        state.threshold_wanted = wanted, 1  # a new slider takes what the first link said; the second time it listens
        st.rerun()
    return value


def _chart(
    item: session_runs.Kept,
    score: str,
    against: str,
    pair: tuple[Scores, Scores],
    ends: tuple[float, float],
    accusation: Accusation,
) -> Any:
    colour, scale = style_of(item.config.method, item.config.control).colour, SCALES[score]
    noun = item.problem.dataset.noun
    up = attack.Side(f"{item.name}, {len(pair[0][score]):,} forget {noun}", pair[0][score], colour)
    other = f"Retrained, the same {noun}" if against == RETRAINED else f"{item.name}, {len(pair[1][score]):,} held-out {noun}"
    down = attack.Side(other, pair[1][score], INK[light_or_dark()] if against == RETRAINED else GREY)
    title = f"{scale.title}, {scale.unit}"
    return attack.mirrored(up, down, accusation.threshold, accusation.accuses, ends, title, light_or_dark())


def _numbers(score: str, against: str, pair: tuple[Scores, Scores], accusation: Accusation, noun: str) -> None:
    whole = thresholds.curve(pair[0][score], pair[1][score], score in thresholds.LOW)
    behind = f"of {whole.negatives:,} " + ("retrained answers" if against == RETRAINED else f"held-out {noun}")
    numbers = (
        ("False positives", accusation.fpr, "threshold_attack", behind),
        ("False negatives", accusation.fnr, "threshold_attack", f"of {whole.positives:,} forget {noun}"),
        ("Balanced accuracy (chance: 50 %)", accusation.balanced_accuracy, "balanced_accuracy", "at this threshold"),
        ("AUC (chance: 50 %)", whole.auc, "auc", "over all thresholds"),
    )
    for column, (title, value, term, about) in zip(st.columns(4), numbers, strict=True):
        column.metric(title, percent(value), help=help_text(term), delta_description=about)


def _pictures(problem: Problem, score: str, values: np.ndarray, accusation: Accusation) -> None:
    """The forget images on either side of the threshold, the most telling ones first."""
    low = accusation.accuses == Accuses.AT_MOST
    caught = values <= accusation.threshold if low else values >= accusation.threshold
    order = np.argsort(values if low else -values, kind="stable")
    rows = (("Caught", order[caught[order]]), ("Missed", order[~caught[order]][::-1]))
    names, ids, labels = problem.dataset.class_names, problem.split.forget, problem.train.labels
    for column, (title, places) in zip(st.columns(2, gap="large"), rows, strict=True):
        with column:
            ends = "the surest" if title == "Caught" else "the best hidden"
            st.markdown(f"**{title}: {len(places):,} of {len(values):,}**" + (f", {ends} first" if len(places) else ""))
            chosen = [int(ids[p]) for p in places[:SHOWN]]
            captions = [
                f"{names[int(labels[i])]}\n{SCALES[score].write(values[p])}" for i, p in zip(chosen, places[:SHOWN], strict=True)
            ]
            if chosen:
                pictures.strip(problem, chosen, captions, "forget", "train", f"{title} at this threshold")
            else:
                st.caption("None at this threshold.")
