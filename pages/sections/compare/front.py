"""The plane of kept accuracy against forget accuracy, with the runs that no other run beats on both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st

from imu_core.depth import utility_key
from imu_core.experiments import leaderboard
from imu_core.figures import compare as charts
from imu_core.figures import utility_title
from imu_core.problems.reference import Reference
from imu_core.records.run import Problem
from imu_core.report.verdicts import listed
from pages.widgets.text import plain
from pages.widgets.theme import NO_BAR, light_or_dark

if TYPE_CHECKING:
    from pages.sections.compare.compared import Compared


def plane(problem: Problem, items: Sequence[Compared], original: dict[str, float], reference: Reference | None) -> None:
    """Draw where runs end in the plane; those that differ by their seed alone are one mark with an interval."""
    key = utility_key(original)
    aim = 0.0 if problem.split.classes or not reference else reference.accuracies["forget"]
    places, sound = [], []
    for group in leaderboard.by_settings([item.trajectory.config for item in items]):
        ends = [items[n].last for n in group]
        sound.append(any(items[n].trajectory.outcome.state != "diverged" for n in group))
        forget, utility = (leaderboard.over_seeds([end[name] for end in ends]) for name in ("forget", key))
        places.append(charts.Place(items[group[0]].who, forget.mean, utility.mean, forget.half, utility.half, len(group)))
    # A model that broke down forgets everything; that is no merit, so it is on no front.
    kept = [place.kept if good else math.nan for place, good in zip(places, sound, strict=True)]
    best = leaderboard.front([abs(p.forget - aim) for p in places], kept)
    places = [charts.Place(**{**vars(p), "on_front": good}) for p, good in zip(places, best, strict=True)]
    star = (reference.accuracies["forget"], reference.accuracies[key]) if reference else None
    chart = charts.front_plane(places, (original["forget"], original[key]), star, utility_title(key), light_or_dark(), aim)
    st.plotly_chart(chart, key="compare_plane", config=NO_BAR, alt="Kept accuracy against forget accuracy where each run ends")
    st.caption(
        front_words([plain(p.who.name) for p in places if p.on_front], len(places), bool(aim))
        + " Runs that differ by their seed alone are one mark, mean and 95 % interval over seeds; a single run has none."
    )


def front_words(names: Sequence[str], count: int, has_aim: bool) -> str:
    """A sentence that says that `names`, of `count` marks, are on the front.

    `has_aim`: being near the retrained model is better than forgetting most.
    """
    front = "the [Pareto front](glossary?term=pareto_front)"
    if not names:
        return f"No run has both figures, so nobody is on {front}."
    if count == 1:
        return f"{names[0]} is alone here: with more runs this shows {front}."
    near = "comes nearer to the retrained model's forget accuracy" if has_aim else "forgets more"
    whom = "it" if len(names) == 1 else "any of them"
    return f"On {front}: {listed(names)}. No run both {near} and keeps more than {whom}."
