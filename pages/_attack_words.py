"""What the attacks found, in sentences with numbers."""

from __future__ import annotations

import math
from typing import Any

from imu_core.attacks import RANDOM_HEAD, UNTRAINED, Probe
from imu_core.metrics import thresholds
from imu_core.metrics.thresholds import Accusation
from imu_core.records import Problem, RunConfig
from pages import _parts
from pages._attack_scores import RETRAINED, SCALES


def threshold_verdict(name: str, score: str, against: str, found: Accusation, chance: float) -> str:
    """What an attacker gets at this threshold, and how to read it."""
    scale = SCALES[score]
    of_run = f"an answer of {name}" if against == RETRAINED else "a forget image"
    other = "one of the retrained model" if against == RETRAINED else "an image that was never trained on"
    rule = f"with a {scale.title.lower()} of {found.accuses} **{scale.write(found.threshold)}**"
    text = (
        f"An attacker who takes everything {rule} for {of_run} and the rest for {other} is right in "
        f"**{100 * found.balanced_accuracy:.1f} %** of cases; guessing is right in 50.0 %."
    )
    if found.advantage <= chance:
        most = 50 + 50 * chance
        return f"{text} That is no more than chance can do with so many images (up to {most:.1f} % in 19 of 20 cases)."
    return f"{text} {_reading(score, against, found)}"


def _reading(score: str, against: str, found: Accusation) -> str:
    never = "to a model that never saw them" if against == RETRAINED else "than new images of their kind"
    if score == "entropy":
        surer = "surer" if found.accuses == "at most" else "less sure"
        whom = "the retrained model" if against == RETRAINED else "it is about new images"
        return f"The unlearned model is {surer} about these images than {whom}."
    familiar = (found.accuses == "at most") == (score in thresholds.LOW)
    if against == RETRAINED:
        return f"The images look {'more' if familiar else 'less'} familiar than {never}" + (
            ": something is left." if familiar else ": too much forgetting gives them away as well."
        )
    return f"The images look {'more' if familiar else 'less'} familiar {never}."


def probe_verdict(problem: Problem, config: RunConfig, name: str, work: Probe) -> str:
    """What the fresh heads bring back, beside the retrained model and chance."""
    found = {model: values["probe_forgotten"] for model, values in work.numbers.items()}
    own, n = found["unlearned"], work.sizes["forgotten"]
    if problem.split.classes:
        what = " and ".join(problem.dataset.class_names[c] for c in problem.split.classes)
        text = f"A fresh head brings back **{100 * own:.1f} %** of {_parts.plain(what)} from {name}'s features"
    else:
        text = f"A fresh head that learned from other images recognises **{100 * own:.1f} %** of these from {name}'s features"
    text += f"; from a network with random weights {100 * found[UNTRAINED]:.1f} %."
    if config.scope == "head" and config.bn == "eval":
        text += f" {name} changed the head alone, so its features are the original's and this is the original's number."
    if "retrained" not in found:
        return f"{text} No retrained model is stored to compare with."
    aim = found["retrained"]
    chance = 1.96 * math.sqrt((own * (1 - own) + aim * (1 - aim)) / n)
    text += f" The retrained model's features give **{100 * aim:.1f} %**: "
    if abs(own - aim) <= max(chance, 0.0005):
        return f"{text}no difference beyond chance (± {100 * chance:.1f} points with {n:,} images)."
    gap = f"{100 * abs(own - aim):.1f} points {'more' if own > aim else 'less'}"
    return f"{text}{name}'s hold {gap} than those of a model that never saw the data (± {100 * chance:.1f} by chance)."


def relearn_verdict(name: str, found: dict[str, Any]) -> str:
    """Steps needed by the run, the retrained model and the control, and their ratio."""
    words, target = found["words"], f"{100 * found['target']:.1f} %"
    text = f"{name} needs **{words['run']}** to recognise {target} of the forget set again"
    text += f", the retrained model **{words['retrained']}**" if "retrained" in words else ""
    text += f", a random head on the original {words[RANDOM_HEAD]}."
    if found["ain"] is not None:
        return f"{text} The ratio (AIN) is **{found['ain']:.2f}**; ≈ 1 is good, far below 1 means hidden, not gone."
    if "retrained" not in words:
        return f"{text} No retrained model is stored to compare with."
    return f"{text} There is no ratio (AIN), because one of the two did not arrive or had nothing to learn."


def shadow_verdict(found: dict[str, Any]) -> str:
    """How often an expert with shadow heads is right, and what that covers."""
    right = f"**{100 * found['balanced_accuracy']:.1f} %**"
    return (
        f"An expert who has trained such heads tells “learned, then unlearned” from “never learned” in {right} of cases; "
        f"guessing is right in 50.0 %. This attack covers the head only. {found['words']}"
    )
