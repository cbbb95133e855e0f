"""What the attacks found, in sentences with numbers."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from typing import Any

from imu_core.evaluation.attacks import RANDOM_HEAD, UNTRAINED
from imu_core.evaluation.probe import Probe
from imu_core.metrics import thresholds
from imu_core.metrics.intervals import difference_half
from imu_core.metrics.thresholds import Accusation, Accuses
from imu_core.records.run import Problem, RunConfig
from imu_core.report.numbers import percent, points
from imu_core.report.verdicts import Side, apart, listed, side, weight_of_one
from pages.sections.attack.scales import RETRAINED, SCALES
from pages.widgets.text import plain


def threshold_verdict(name: str, score: str, against: str, accusation: Accusation, chance: float, noun: str = "images") -> str:
    """What an attacker gets at this threshold, and how to read it; `noun` is what the samples are called, in the plural."""
    scale = SCALES[score]
    of_run = f"an answer of {name}" if against == RETRAINED else f"a forget {noun[:-1]}"
    other = "one of the retrained model" if against == RETRAINED else "one that was never trained on"
    rule = f"with a {scale.title.lower()} of {accusation.accuses} **{scale.write(accusation.threshold)}**"
    text = (
        f"An attacker who takes everything {rule} for {of_run} and the rest for {other} is right in "
        f"**{percent(accusation.balanced_accuracy)}** of cases; guessing is right in 50.0 %."
    )
    if accusation.advantage <= chance:
        most = 50 + 50 * chance
        return f"{text} That is no more than chance can do with this many {noun} (up to {most:.1f} % in 19 of 20 cases)."
    return f"{text} {_reading(score, against, accusation, noun)}"


def _reading(score: str, against: str, accusation: Accusation, noun: str) -> str:
    never = "to a model that never saw them" if against == RETRAINED else f"than new {noun} of their kind"
    if score == "entropy":
        surer = "surer" if accusation.accuses == Accuses.AT_MOST else "less sure"
        whom = "the retrained model is" if against == RETRAINED else f"about new {noun}"
        return f"The unlearned model is {surer} about these {noun} than {whom}."
    familiar = (accusation.accuses == Accuses.AT_MOST) == (score in thresholds.LOW)
    if against == RETRAINED:
        return f"The {noun} look {'more' if familiar else 'less'} familiar than {never}" + (
            ": something is left." if familiar else ": too much forgetting gives them away as well."
        )
    return f"The {noun} look {'more' if familiar else 'less'} familiar {never}."


def probe_verdict(problem: Problem, config: RunConfig, name: str, work: Probe) -> str:
    """What the fresh heads bring back, beside the retrained model and chance."""
    accuracies = {model: values["probe_forgotten"] for model, values in work.numbers.items()}
    own, n = accuracies["unlearned"], work.sizes["forgotten"]
    if problem.split.classes:
        what = " and ".join(problem.dataset.class_names[c] for c in problem.split.classes)
        text = f"A fresh head brings back **{percent(own)}** of {plain(what)} from {name}'s features"
    else:
        noun = problem.dataset.noun
        text = f"A fresh head that learned from other {noun} recognises **{percent(own)}** of these from {name}'s features"
    text += f"; from a network with random weights {percent(accuracies[UNTRAINED])}."
    if config.scope == "head" and config.bn == "eval":
        text += f" {name} changed the head alone, so its features are the original's and this is the original's number."
    few = weight_of_one(n)
    if "retrained" not in accuracies:
        return f"{text} No retrained model is stored to compare with.{few}"
    aim = accuracies["retrained"]
    chance = difference_half(own, aim, n)
    text += f" The retrained model's features give **{percent(aim)}**: "
    if abs(own - aim) <= chance or side(own, aim) is Side.SAME:
        return f"{text}no difference beyond chance (± {points(chance)} with {n:,} {problem.dataset.noun}).{few}"
    gap = f"{apart(own, aim)} {'more' if own > aim else 'less'}"
    return f"{text}{name}'s hold {gap} than those of a model that never saw the data (± {100 * chance:.1f} by chance).{few}"


class Return(Enum):
    """When what was forgotten comes back, beside the retrained model; or why the two cannot be compared."""

    SOONER, ABOUT_AS_SOON, LATER = auto(), auto(), auto()
    ALONE, UNTAUGHT, STILL_THERE, NEITHER, RUN_LATE, RETRAINED_LATE = auto(), auto(), auto(), auto(), auto(), auto()


_ABOUT = 1.25  # a ratio of steps up to which two models learn about as soon
_RETURNS = {
    Return.SOONER: "it comes back sooner than in a model that never saw it, so it was hidden rather than gone",
    Return.ABOUT_AS_SOON: "it comes back about as soon as a model that never saw it learns it",
    Return.LATER: "it comes back later than a model that never saw it learns it",
    Return.UNTAUGHT: "the retrained model recognises that much without any step",
    Return.STILL_THERE: "that much had not been forgotten",
    Return.NEITHER: "neither got there",
    Return.RUN_LATE: "only the retrained model got there",
    Return.RETRAINED_LATE: "the retrained model did not get there",
}


def returning(steps: Mapping[str, int | None]) -> Return:
    """How soon "run" learns it again beside "retrained", from the steps that each needed (None: it did not get there)."""
    if "retrained" not in steps:
        return Return.ALONE
    own, aim = steps["run"], steps["retrained"]
    if aim == 0:
        return Return.UNTAUGHT
    if own == 0:
        return Return.STILL_THERE
    if own is None or aim is None:
        return Return.NEITHER if own is aim else Return.RUN_LATE if own is None else Return.RETRAINED_LATE
    ratio = own / aim
    return Return.SOONER if ratio * _ABOUT < 1 else Return.LATER if ratio > _ABOUT else Return.ABOUT_AS_SOON


def relearn_verdict(name: str, findings: dict[str, Any]) -> str:
    """Sentences: the steps that the run, the retrained model and the control needed, the ratio of the first two, its meaning."""
    words, target = findings["words"], percent(findings["target"])
    retrained = [f"the retrained model **{words['retrained']}**"] if "retrained" in words else []
    others = listed([*retrained, f"a random head on the original {words[RANDOM_HEAD]}"])
    text = f"{name} needs **{words['run']}** to recognise {target} of the forget set again; {others}."
    if findings["steps"]["run"] == 0:
        text = f"{name} recognises {target} of the forget set **without any step**; {others}."
    came = returning(findings["steps"])
    if came is Return.ALONE:
        return f"{text} No retrained model is stored to compare with."
    if findings["ain"] is None:
        return f"{text} There is no ratio (AIN): {_RETURNS[came]}."
    return f"{text} The ratio (AIN) is **{findings['ain']:.2f}**: {_RETURNS[came]}."


def shadow_verdict(findings: dict[str, Any]) -> str:
    """How often an expert with shadow heads is right, whether that beats guessing, and what it covers."""
    right = findings["balanced_accuracy"]
    beats = "" if side(right, 0.5) is Side.ABOVE else " So this expert does no better than guessing."
    return (
        "An expert who has trained such heads tells “learned, then unlearned” from “never learned” in "
        f"**{percent(right)}** of cases; guessing is right in 50.0 %.{beats} This attack covers the head only. "
        f"{findings['words']}"
    )
