"""Who taught the model an answer, in a sentence: how many samples have to go until it answers otherwise."""

from __future__ import annotations

from collections.abc import Sequence

from imu_core.influence.queries import Without
from imu_core.report.numbers import percent

CHANGED = 0.5  # share of random draws that must keep the answer for the helpful ones to have made the difference


def taught_words(without: Without, names: Sequence[str], noun: str = "images") -> str:
    """How many of the most helpful have to go until the retrained head changes its answer, beside random ones."""
    answer, needed = names[without.answer], without.needed
    if without.says != without.answer:
        return (
            f"Trained to its optimum the head says {names[without.says]} already, and gives {answer} "
            f"{percent(without.before)}: a smaller λ brings it nearer to the model."
        )
    start, last = f"Trained to its optimum the head gives {answer} {percent(without.before)}.", without.removed[-1]
    if needed is None:
        helped, drawn = (percent(float(values[-1])) for values in (without.helpful, without.random))
        return (
            f"{start} Without the {last:,} {noun} that helped most it still says {answer}, with {helped}; without {last:,} "
            f"random ones of the same classes with {drawn}."
        )
    place = without.removed.index(needed)
    control = "the answer stays" if float(without.steadfast[place]) > CHANGED else "the answer changes as well"
    many = f"the one of these {noun}" if needed == 1 else f"the {needed:,} {noun}"
    return (
        f"{start} Trained again without {many} that helped most it says {names[int(without.becomes[place])]}; without as many "
        f"random ones of the same classes {control} ({answer} {percent(float(without.random[place]))})."
    )
