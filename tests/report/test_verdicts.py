"""What the app says of results: a table of outcomes and their sentences, and that the words always agree with the numbers."""

from __future__ import annotations

import re
import types
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from imu_core.depth import SAME
from imu_core.evaluation import agreement
from imu_core.metrics import thresholds
from imu_core.metrics.intervals import Paired, mean_interval, share_interval
from imu_core.model_import import checks, own
from imu_core.paper import readable
from imu_core.paper import verdicts as paper
from imu_core.records.outcome import Outcome
from imu_core.records.run import Point, RunConfig, Trajectory
from imu_core.report import verdicts
from imu_core.report.numbers import change as signed
from imu_core.report.verdicts import Side, one_path, side, verdict, verdict_of_all
from pages.sections.attack import scores
from pages.sections.attack import words as attack_words
from pages.sections.compare import front
from pages.sections.influence import gaze

FRACTION = st.floats(0.0, 1.0)
STOPPED = Outcome("cancelled", "Stopped by you at step 9.")
BROKEN = Outcome("diverged", "The loss stopped being a number at step 9. Use a learning rate ten times smaller.")
FAILED = Outcome("failed", "A solve did not converge.")
REACHED = Outcome("done", "Reached the target: 1.8 % of the forget set is recognised.", reached=True)
MISSED = Outcome("done", "All 9 steps were taken without reaching the target of 2.0 %.")


def problem(count: int = 6000, *classes: str) -> Any:
    """As much of a problem as a sentence needs."""
    names = ("T-shirt", "Sandal", "Boot")
    split = types.SimpleNamespace(forget=range(count), classes=[names.index(c) for c in classes])
    return types.SimpleNamespace(split=split, dataset=types.SimpleNamespace(class_names=names, noun="images"))


def point(step: int, forget: float, kept: float, full: bool = True) -> Point:
    return Point(step, 1.0, 0.1, 1.0, {"forget": forget, "test": kept, "test_other": kept}, full=full)


def record(*points: Point, outcome: Outcome = REACHED) -> Trajectory:
    return Trajectory(RunConfig(stop_at=0.02), {}, points, {}, outcome, {})


def on_sets(points: tuple[Point, ...]) -> tuple[Point, ...]:
    """The same points of a run on anything but whole classes."""
    return tuple(
        Point(p.step, p.epoch, p.seconds, p.loss, {n: v for n, v in p.accuracies.items() if n != "test_other"}) for p in points
    )


def ended(forget: float, kept: float, outcome: Outcome = REACHED) -> Trajectory:
    return record(point(0, 0.998, 0.91), point(9, forget, kept), outcome=outcome)


SANDAL, SET, FEW = problem(6000, "Sandal"), problem(600), problem(12, "Sandal")
AIM, SET_AIM = {"forget": 0.0, "test_other": 0.908}, {"forget": 0.907, "test": 0.9085}
RETRAINED = " The retrained model, which never saw them, recognises 0.0 % and lost 0.2 points."
OF = "of the 6,000 images of Sandal (before: 99.8 %)"

CLASSES = [
    (ended(0.018, 0.898), f"IMU still recognises 1.8 % {OF} and lost 1.2 points on the other classes.{RETRAINED}"),
    (ended(0.0, 0.91), f"IMU no longer recognises any {OF} and kept its accuracy on the other classes.{RETRAINED}"),
    (ended(0.0003, 0.909), f"IMU recognises 0.0 % {OF} and kept its accuracy (−0.1 points) on the other classes.{RETRAINED}"),
    (ended(0.98, 0.92), f"IMU still recognises 98.0 % {OF} and gained 1.0 points on the other classes.{RETRAINED}"),
    (
        ended(0.998, 0.91),
        "IMU recognises as many as before, 99.8 % of the 6,000 images of Sandal and kept its accuracy on the other classes."
        + RETRAINED,
    ),
    (
        ended(0.997, 0.91),
        f"IMU recognises as many as before, 99.7 % {OF} and kept its accuracy on the other classes.{RETRAINED}",
    ),
    (ended(1.0, 0.6), f"IMU recognises more than before, 100.0 % {OF} and lost 31.0 points on the other classes.{RETRAINED}"),
    (record(point(0, 0.998, 0.91)), f"IMU took no step: it recognises 99.8 % of the 6,000 images of Sandal.{RETRAINED}"),
    (record(outcome=FAILED), "IMU: A solve did not converge."),
    (record(outcome=Outcome("cancelled", "Stopped by you before it began.")), "IMU: Stopped by you before it began."),
    (record(outcome=Outcome("running")), "IMU: nothing was computed."),
    (
        record(point(0, 0.998, 0.91), point(9, 0.5, 0.91, full=False)),
        "IMU still recognises 50.0 % of the 6,000 images of Sandal (before: 99.8 %; judged on a sample) and kept its accuracy "
        f"on the other classes.{RETRAINED}",
    ),
]


@pytest.mark.parametrize(("run", "text"), CLASSES, ids=lambda value: value[:60] if isinstance(value, str) else "")
def test_a_run_on_a_class(run: Trajectory, text: str) -> None:
    assert verdict(run, SANDAL, AIM, "IMU") == text


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (REACHED, ""),
        (MISSED, " All 9 steps were taken without reaching the target of 2.0 %."),
        (STOPPED, " Stopped by you at step 9."),
        (BROKEN, " It broke down: The loss stopped being a number at step 9. Use a learning rate ten times smaller."),
        (FAILED, " It failed: A solve did not converge."),
        (Outcome("running"), ""),
    ],
)
def test_how_a_run_ended(outcome: Outcome, words: str) -> None:
    text = verdict(ended(0.4, 0.91, outcome), SANDAL, AIM, "IMU")
    assert text == f"IMU still recognises 40.0 % {OF} and kept its accuracy on the other classes.{RETRAINED}{words}"


def test_a_run_without_a_target_misses_none() -> None:
    run = Trajectory(RunConfig(stop_at=None), {}, ended(0.4, 0.91).points, {}, Outcome("done", "All 9 steps were taken."), {})
    assert verdict(run, SANDAL, AIM, "IMU").endswith(RETRAINED)


SETS = [
    (0.95, 0.91, "4.3 points above that"),
    (0.85, 0.91, "5.7 points below that"),
    (0.907, 0.91, "at that figure"),
    (0.908, 0.91, "at that figure, to within 0.1 points"),
    (0.0, 0.2, "90.7 points below that"),
]


@pytest.mark.parametrize(("forget", "kept", "words"), SETS)
def test_a_run_on_any_other_set_is_placed_beside_the_retrained_model(forget: float, kept: float, words: str) -> None:
    run = record(*on_sets(ended(forget, kept).points))
    text = verdict(run, SET, SET_AIM, "IMU")
    assert text.endswith(f" The retrained model, which never saw them, recognises 90.7 % and lost 0.2 points. IMU ends {words}.")
    assert "of these 600 images (before: 99.8 %) and " in text
    assert ("kept its accuracy on the test set" in text) == (kept == 0.91)
    assert "forgot" not in text


def test_without_a_retrained_model_nothing_is_compared() -> None:
    assert verdict(ended(0.4, 0.91), SANDAL, None, "IMU").endswith(" No retrained model is stored to compare with.")
    text = verdict(record(*on_sets(ended(0.4, 0.91).points)), SET, None, "IMU")
    assert text.endswith(" No retrained model is stored, so nobody can say which figure would be right.")
    assert "that" not in text.partition("nobody")[0]


def test_few_samples_say_what_one_of_them_weighs() -> None:
    assert verdict(ended(0.5, 0.91), FEW, AIM, "IMU").endswith(" One of these 12 images is 8.3 points.")
    assert verdict(ended(0.5, 0.91, STOPPED), FEW, AIM, "IMU").endswith("at step 9. One of these 12 images is 8.3 points.")
    assert "One of" not in verdict(ended(0.5, 0.91), SANDAL, AIM, "IMU")
    alone = verdict(ended(1.0, 0.91), problem(1), None, "IMU")
    assert alone.startswith("IMU recognises more than before, 100.0 % of this image (before")
    assert "which never saw it, " in verdict(ended(1.0, 0.91), problem(1), AIM, "IMU")


def test_several_classes_are_all_named() -> None:
    assert "of the 6,000 images of T-shirt and Boot (" in verdict(ended(0.4, 0.91), problem(6000, "T-shirt", "Boot"), AIM, "IMU")


# At a step.

PLAYED = record(point(0, 0.998, 0.91), point(5, 0.6, 0.909), point(9, 0.018, 0.898), outcome=STOPPED)


@pytest.mark.parametrize(
    ("step", "start"),
    [
        (0, "IMU has taken no step yet: it recognises 99.8 % of the 6,000 images of Sandal."),
        (4, "IMU has taken no step yet"),
        (5, f"At step 5 of 9 IMU still recognises 60.0 % {OF} and kept its accuracy (−0.1 points) on the other classes."),
        (8, "At step 5 of 9 IMU still recognises 60.0 %"),
        (9, "IMU still recognises 1.8 %"),
        (500, "IMU still recognises 1.8 %"),
        (None, "IMU still recognises 1.8 %"),
    ],
)
def test_a_verdict_speaks_of_the_step_shown(step: int | None, start: str) -> None:
    text = verdict(PLAYED, SANDAL, AIM, "IMU", step)
    assert text.startswith(start)
    assert text.endswith("Stopped by you at step 9.") == (step in (9, 500, None))


GA, NPO = (record(point(0, 0.998, 0.91), point(last, 0.02, 0.904)) for last in (4, 7))
THREE = [("IMU", PLAYED), ("GA", GA), ("NPO", NPO)]


def test_everybody_shown_is_spoken_of() -> None:
    assert verdict_of_all(THREE, SANDAL, AIM) == (
        "IMU recognises 1.8 %, GA 2.0 % and NPO 2.0 % of the 6,000 images of Sandal (before: 99.8 %). On the other classes IMU "
        f"lost 1.2 points, GA lost 0.6 points and NPO lost 0.6 points.{RETRAINED}"
    )
    assert verdict_of_all(THREE, SANDAL, AIM, 6) == (
        "At step 5 of 9 IMU recognises 60.0 %, GA 2.0 % and NPO 99.8 % of the 6,000 images of Sandal (before: 99.8 %). On the "
        f"other classes IMU kept its accuracy (−0.1 points), GA lost 0.6 points and NPO kept its accuracy.{RETRAINED}"
    )
    assert verdict_of_all(THREE, SANDAL, AIM, 0) == (
        "Nothing has happened yet: the model recognises 99.8 % of the 6,000 images of Sandal."
    )
    assert verdict_of_all([], SANDAL, AIM) == ""
    assert verdict_of_all([("IMU", record())], SANDAL, AIM) == ""
    sets = [(title, record(*on_sets(run.points))) for title, run in THREE]
    assert verdict_of_all(sets, SET, {"forget": 0.019, "test": 0.91}).endswith(
        "IMU ends at that figure, to within 0.1 points, GA ends at that figure, to within 0.1 points and NPO ends at that "
        "figure, to within 0.1 points."
    )


# Words agree with numbers, whatever the numbers.


def number(text: str) -> float:
    return float(text.replace("−", "-"))


@given(FRACTION, FRACTION)
def test_a_side_is_that_of_the_printed_figures(one: float, other: float) -> None:
    gap = round(float(f"{100 * one:.1f}") - float(f"{100 * other:.1f}"), 1)
    assert abs(number(signed(one, other).replace("±", "")) - gap) <= 0.1001  # a half may be rounded to either side
    assert side(one, other) is {Side.ABOVE: Side.BELOW, Side.BELOW: Side.ABOVE}.get(side(other, one), Side.SAME)
    if abs(one - other) > 0.0021:
        assert side(one, other) is (Side.ABOVE if one > other else Side.BELOW)
    if abs(one - other) < 0.0005:
        assert side(one, other) is Side.SAME


@given(FRACTION, FRACTION, FRACTION, FRACTION, FRACTION, FRACTION)
def test_direction_words_agree_with_the_numbers(
    before: float, forget: float, kept_before: float, kept: float, aim: float, aim_kept: float
) -> None:
    run = record(*on_sets((point(0, before, kept_before), point(9, forget, kept))))
    text = verdict(run, SET, {"forget": aim, "test": aim_kept}, "IMU")
    for gap, up, down, same in (
        (forget - before, "recognises more than before", "still recognises|no longer|IMU recognises 0.0 %", "as many as before"),
        (forget - aim, r"ends [\d.]+ points above", r"ends [\d.]+ points below", "at that figure"),
    ):
        said = [bool(re.search(words, text)) for words in (up, same, down)]
        assert sum(said) == 1, text
        assert said[0] <= (gap > 0), text
        assert said[2] <= (gap < 0), text
        assert said[1] <= (abs(gap) < 0.0021), text
    for clause, change in zip(re.findall(r"(?:gained|lost|kept)[^.]*?(?=\.| on)", text), (kept, aim_kept), strict=False):
        assert clause.startswith("kept") or clause.startswith("gained") == (change > kept_before), text


@given(st.lists(st.tuples(FRACTION, FRACTION), min_size=2, max_size=2))
def test_runs_on_one_path_really_are(ends: list[tuple[float, float]]) -> None:
    runs = [(name, (point(0, 1.0, 0.9), point(1, *end))) for name, end in zip("AB", ends, strict=True)]
    apart = max(abs(a - b) for a, b in zip(*ends, strict=True))
    text = one_path(runs)
    assert not (text and apart > 0.0021)
    assert text or apart >= 0.0005
    assert text == "" or (text.startswith("A and B take one path") and "0.1 points" in text)


# Is the person still found?


def found(person: float | None, unseen: float = 0.613, features: str = "changed", searches: int = 60, why: str = "") -> Any:
    rank = lambda value: None if value is None else types.SimpleNamespace(map=value, queries=searches)  # noqa: E731
    return types.SimpleNamespace(
        person=rank(person), unseen=rank(unseen), why=why, embedded=types.SimpleNamespace(backbone=features)
    )


PERSON, COUPLE = problem(40, "Sandal"), problem(40, "Sandal", "Boot")
NEVER = "for a model that never saw them"
DONE = Outcome("done", "All 9 steps were taken.")
SEARCHES = [  # before, now, retrained; beside before, beside the retrained model
    (0.983, 0.983, 0.664, "as easy to find as", "31.9 points of mAP easier to find than"),
    (0.983, 0.700, 0.664, "28.3 points of mAP harder to find than", "3.6 points of mAP easier to find than"),
    (0.983, 0.665, 0.664, "31.8 points of mAP harder to find than", "as easy to find as"),
    (0.983, 0.200, 0.664, "78.3 points of mAP harder to find than", "46.4 points of mAP harder to find than"),
    (0.500, 0.600, 0.664, "10.0 points of mAP easier to find than", "6.4 points of mAP harder to find than"),
    (0.500, 0.900, 0.664, "40.0 points of mAP easier to find than", "23.6 points of mAP easier to find than"),
    (0.500, 0.400, None, "10.0 points of mAP harder to find than", ""),
]


@pytest.mark.parametrize(("before", "now", "aim", "first", "second"), SEARCHES)
def test_whether_a_person_is_still_found(before: float, now: float, aim: float | None, first: str, second: str) -> None:
    retrained, original = None if aim is None else found(aim), found(before, 0.62, "original")
    text = verdicts.search_verdict(PERSON, found(now), original, retrained, "IMU", DONE)
    beside = "" if aim is None else f" (retrained {100 * aim:.1f} %)"
    judged = (
        f"The person is {second} {NEVER}." if second else "No retrained model is stored to say how hard to find they should be."
    )
    assert text == (
        f"IMU: mAP of the forgotten person {100 * before:.1f} → {100 * now:.1f} %{beside}; mAP of unseen people 62.0 → 61.3 %. "
        f"The person is {first} before. {judged}"
    )


def test_a_search_never_asks_the_head() -> None:
    text = verdicts.search_verdict(PERSON, found(0.983), found(0.983), found(0.664, features="own"), "IMU", DONE)
    assert text.endswith(
        "The features are bit-identical to the original's: a search never asks the head, so nobody became harder to find. "
        f"The person is 31.9 points of mAP easier to find than {NEVER}."
    )


def test_other_searches() -> None:
    nobody = verdicts.search_verdict(PERSON, found(None, why="No image is left."), found(None, 0.62), None, "IMU", DONE)
    assert nobody == "IMU: mAP of unseen people 62.0 → 61.3 %. No image is left."
    both = verdicts.search_verdict(COUPLE, found(0.7), found(0.983, features="o"), found(0.664), "IMU", STOPPED)
    assert "mAP of the forgotten people 98.3 → 70.0 %" in both
    assert both.count("The people are ") == 2
    assert both.endswith(f"{NEVER}. Stopped by you at step 9.")
    few = verdicts.search_verdict(PERSON, found(0.7, searches=4), found(0.983, features="o"), found(0.664), "IMU", BROKEN)
    assert few.endswith("Use a learning rate ten times smaller. One of these 4 searches is 25.0 points.")


@given(FRACTION, FRACTION, FRACTION)
def test_harder_and_easier_agree_with_the_numbers(now: float, before: float, aim: float) -> None:
    person = verdicts.Hiding(now, before, aim, 1, 60, False)
    clauses = verdicts.hiding_words(person).removesuffix(".").split(". The person is ")
    assert len(clauses) == 2
    for clause, other in zip(clauses, (before, aim), strict=True):
        assert ("harder" in clause) <= (now < other)
        assert ("easier" in clause) <= (now > other)
        assert ("as easy to find as" in clause) <= (abs(now - other) < 0.0021)
        assert ("harder" in clause) + ("easier" in clause) + ("as easy" in clause) == 1


def rows_with(*values: float) -> list[dict]:
    return [
        {"scope": f"last:{n + 1}", "bn": "eval", "same_features": n == 0, "person_map": value, "map": 0.8 - n / 10}
        for n, value in enumerate(values)
    ]


KNOWN = {"original": {"map": 0.9, "person_map": 1.0}, "retrained": {"map": 0.9, "person_map": 0.7}}
EARLY = {"original": {"map": 0.9, "person_map": 0.5}, "retrained": {"map": 0.9, "person_map": 0.7}}
SAME_RANKS = "At scope last:1 with batch norm in eval mode every feature, and so every rank, stays bit for bit what it was. "
NONE = "None of these changes made the person harder to find than for the retrained model (mAP 70.0 %); the lowest mAP is "
SIDE_BY_SIDE = [
    (
        rows_with(0.95, 0.6, 0.5), KNOWN,
        "Harder to find than for the retrained model (mAP 70.0 %): last:2, eval (60.0 %); last:3, eval (50.0 %). There the mAP "
        "of unseen people changes by −30.0 to −20.0 points.",
    ),
    (
        rows_with(0.95, 0.6), KNOWN,
        "Harder to find than for the retrained model (mAP 70.0 %): last:2, eval (60.0 %). There the mAP of unseen people changes "
        "by −20.0 points.",
    ),
    (rows_with(0.95, 0.8), KNOWN, f"{NONE}last:2, eval (80.0 %)."),
    (rows_with(0.95, 0.699), KNOWN, f"{NONE}last:2, eval (69.9 %)."),
    (
        rows_with(0.5, 0.6), EARLY,
        f"The original model finds this person less well (50.0 %) than the retrained one already. {NONE}last:1, eval (50.0 %).",
    ),
    (
        rows_with(0.5), {"original": KNOWN["original"]},
        "No retrained model is stored for this person, so nobody can say how hard to find they should be.",
    ),
    (
        [{"scope": "last:1", "bn": "eval", "same_features": True, "map": 0.8}], {"original": {"map": 0.9}},
        "No image of this person is left to search with, so nobody can say whether they became harder to find.",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("rows", "known", "words"), SIDE_BY_SIDE)
def test_six_changes_side_by_side(rows: list[dict], known: dict, words: str) -> None:
    assert verdicts.side_by_side_verdict(rows, known) == SAME_RANKS + words


def test_a_change_that_broke_the_model_is_called_so() -> None:
    rows = [{**rows_with(0.9, 0.1)[1], "state": "diverged"}]
    assert "last:2, eval (10.0 %, broke down)" in verdicts.side_by_side_verdict(rows, KNOWN)


# Attacks.

HEAD, WIDE = RunConfig(scope="head"), RunConfig(scope="all")


def probed(own: float, aim: float | None, count: int = 500) -> Any:
    numbers = {"unlearned": own, "untrained": 0.5} | ({} if aim is None else {"retrained": aim})
    return types.SimpleNamespace(
        numbers={name: {"probe_forgotten": value} for name, value in numbers.items()}, sizes={"forgotten": count}
    )


SEEN = "those of a model that never saw the data"
PROBES = [
    (probed(0.96, 0.90), f"**90.0 %**: IMU's hold 6.0 points more than {SEEN} (± 3.2 by chance)."),
    (probed(0.80, 0.90), f"**90.0 %**: IMU's hold 10.0 points less than {SEEN} (± 4.4 by chance)."),
    (probed(0.90, 0.90), "**90.0 %**: no difference beyond chance (± 3.7 points with 500 images)."),
    (probed(0.92, 0.90), "**90.0 %**: no difference beyond chance (± 3.6 points with 500 images)."),
    (probed(1.0, 1.0), "**100.0 %**: no difference beyond chance (± 0.6 points with 500 images)."),
    (
        probed(1.0, 0.75, 4),
        "**75.0 %**: no difference beyond chance (± 48.1 points with 4 images). One of these 4 images is 25.0 points.",
    ),
    (probed(0.96, None), "No retrained model is stored to compare with."),
]  # fmt: skip


@pytest.mark.parametrize(("work", "words"), PROBES)
def test_what_fresh_heads_bring_back(work: Any, words: str) -> None:
    text = attack_words.probe_verdict(SANDAL, WIDE, "IMU", work)
    assert text.startswith("A fresh head brings back **")
    assert "of Sandal from IMU's features; from a network with random weights 50.0 %." in text
    assert text.endswith(words)
    assert "changed the head alone" not in text
    head = attack_words.probe_verdict(SET, HEAD, "IMU", work)
    assert head.startswith("A fresh head that learned from other images recognises **")
    assert " IMU changed the head alone, so its features are the original's and this is the original's number." in head


def relearned(run: int | None, retrained: int | None = -1) -> dict[str, Any]:
    steps = {"run": run, "random head": 9} | ({} if retrained == -1 else {"retrained": retrained})
    words = {
        name: "more than 40 steps" if count is None else f"{count} step{'s' * (count != 1)}" for name, count in steps.items()
    }
    known = retrained not in (None, 0, -1) and run is not None
    return {"target": 0.95, "words": words, "steps": steps, "ain": run / retrained if known else None}


NEEDS = (
    "IMU needs **{}** to recognise 95.0 % of the forget set again; the retrained model **{}** and a random head on the original "
    "9 steps. "
)
HIDDEN = "it comes back sooner than in a model that never saw it, so it was hidden rather than gone."
RETURNS = [
    (2, 4, f"The ratio (AIN) is **0.50**: {HIDDEN}"),
    (4, 4, "The ratio (AIN) is **1.00**: it comes back about as soon as a model that never saw it learns it."),
    (9, 10, "The ratio (AIN) is **0.90**: it comes back about as soon as a model that never saw it learns it."),
    (8, 4, "The ratio (AIN) is **2.00**: it comes back later than a model that never saw it learns it."),
    (None, None, "There is no ratio (AIN): neither got there."),
    (None, 4, "There is no ratio (AIN): only the retrained model got there."),
    (1, None, "There is no ratio (AIN): the retrained model did not get there."),
    (3, 0, "There is no ratio (AIN): the retrained model recognises that much without any step."),
]


@pytest.mark.parametrize(("run", "retrained", "words"), RETURNS)
def test_how_soon_it_comes_back(run: int | None, retrained: int | None, words: str) -> None:
    found = relearned(run, retrained)
    assert attack_words.relearn_verdict("IMU", found) == NEEDS.format(found["words"]["run"], found["words"]["retrained"]) + words


def test_relearning_what_was_not_forgotten_or_has_nothing_beside_it() -> None:
    idle = attack_words.relearn_verdict("IMU", relearned(0, 4))
    assert idle.startswith("IMU recognises 95.0 % of the forget set **without any step**; the retrained model **4 steps** and a")
    assert idle.endswith("The ratio (AIN) is **0.00**: that much had not been forgotten.")
    assert attack_words.relearn_verdict("IMU", relearned(2)) == (
        "IMU needs **2 steps** to recognise 95.0 % of the forget set again; a random head on the original 9 steps. No retrained "
        "model is stored to compare with."
    )


@given(st.integers(0, 100), st.integers(1, 100))
def test_sooner_and_later_agree_with_the_steps(own: int, aim: int) -> None:
    text = attack_words.relearn_verdict("IMU", relearned(own, aim))
    assert ("sooner" in text) <= (0 < own < aim)
    assert ("had not been forgotten" in text) == (own == 0)
    assert ("later" in text) <= (own > aim)
    assert own == 0 or ("sooner" in text) + ("later" in text) + ("about as soon" in text) == 1


@pytest.mark.parametrize(("right", "beats"), [(0.8, True), (0.5, False), (0.44, False), (0.501, False)])
def test_whether_an_expert_beats_guessing(right: float, beats: bool) -> None:
    text = attack_words.shadow_verdict({"balanced_accuracy": right, "words": "16 pairs of heads."})
    assert ("So this expert does no better than guessing." in text) != beats
    assert text.endswith("This attack covers the head only. 16 pairs of heads.")


@pytest.mark.parametrize("against", [scores.RETRAINED, scores.HELD_OUT])
@pytest.mark.parametrize("accuses", thresholds.Accuses)
@pytest.mark.parametrize("score", list(scores.SCALES))
def test_what_a_threshold_gives_away(score: str, accuses: thresholds.Accuses, against: str) -> None:
    def said(advantage: float) -> str:
        found = thresholds.Accusation(1.0, accuses, 0.0, 1 - advantage)
        return attack_words.threshold_verdict("IMU", score, against, found, 0.1)

    chance, text = said(0.08), said(0.6)
    assert chance.endswith("no more than chance can do with this many images (up to 55.0 % in 19 of 20 cases).")
    assert "right in **80.0 %** of cases; guessing is right in 50.0 %. The " in text
    retrained, low = against == scores.RETRAINED, accuses == "at most"
    if score == "entropy":
        whom = "the retrained model is" if retrained else "about new images"
        assert text.endswith(f" The unlearned model is {'surer' if low else 'less sure'} about these images than {whom}.")
        return
    more = low == (score == "loss")
    never = "to a model that never saw them" if retrained else "new images of their kind"
    left = (": something is left" if more else ": too much forgetting gives them away as well") if retrained else ""
    assert text.endswith(f" The images look {'more' if more else 'less'} familiar than {never}{left}.")


# A model that was brought.

FITS = [
    (95, 100, None, "It fits."),
    (95, 100, 0.95, "It fits: that is what you expect, 95.0 %."),
    (95, 100, 0.7, "It fits: that is more than the 70.0 % that you expect."),
    (90, 100, 0.92, "It fits: 100 images cannot tell that from the 92.0 % that you expect."),
    (60, 100, 0.92, "It does not fit: you expect 92.0 %."),
    (8, 100, None, "It does not fit: that is no better than chance. Normalisation or class order may be wrong."),
    (8, 100, 0.9, "It does not fit: that is no better than chance. Normalisation or class order may be wrong."),
    (2, 4, None, "It does not fit: 4 images cannot tell that from chance. Normalisation or class order may be wrong."),
    (
        50, 100, None,
        "Below 70 % nobody but you can tell whether that is what it should reach. To take it, name the accuracy that you expect "
        "of it.",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("count", "n", "expected", "words"), FITS)
def test_whether_a_model_fits(count: int, n: int, expected: float | None, words: str) -> None:
    accuracy, chance = share_interval(count, n), 0.25 if n == 4 else 0.1
    check = own.Check(accuracy, chance, np.zeros(3), (), "head", 9, "", checks._fit(accuracy, chance, expected), expected)
    assert check.sentence.endswith(f"always naming the commonest class gives {100 * chance:.1f} %. {words}")
    assert check.sentence.startswith(f"{100 * count / n:.1f} % of {n} test images are recognised (95 % interval ")
    assert check.fits == words.startswith("It fits")


# Influence.


def scored(head: list[float], full: list[float], seconds: float = 100.0) -> Any:
    def one(values: list[float], took: float) -> Any:
        return types.SimpleNamespace(scores=torch.tensor(values, dtype=torch.float64), seconds=took)

    found = {agreement.HEAD: one(head, 1.0), agreement.FULL: one(full, seconds)}
    return agreement.Found(
        "all", 1e-2, len(full), found | {agreement.DIAGONAL: one(head, 1.0), agreement.FULL_DIAGONAL: one(full, 1.0)}
    )


RISING = [float(n) for n in range(1, 41)]
MIXED = [float((7 * n) % 41) for n in range(1, 41)]
ORDERS = [
    (RISING, "nearly the same order (Spearman correlation 1.000, 1.000 to 1.000). 100 % of the top tenth are the same"),
    ([n + 10 * (-1) ** n for n in RISING], "a similar order (Spearman correlation 0."),
    ([n + 24 * (-1) ** n for n in RISING], "a loosely similar order (Spearman correlation 0."),
    (MIXED, "no common order that could be told from chance (Spearman correlation "),
    (RISING[::-1], "rather the opposite order (Spearman correlation −1.000, −1.000 to −1.000). 0 % of the top tenth are "),
]  # fmt: skip


@pytest.mark.parametrize(("head", "words"), ORDERS)
def test_how_alike_two_orders_are(head: list[float], words: str) -> None:
    text = agreement.verdict(scored(head, RISING))
    assert text.startswith(f"Over these 40 samples, the head alone beside all layers: {words}")
    assert "and the head is 100 times faster." in text


def test_few_samples_and_a_slow_head_are_called_so() -> None:
    text = agreement.verdict(scored([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], seconds=0.4))
    assert "too few samples to tell (Spearman correlation 1.000)." in text
    assert "nan" not in text
    assert "and the head is not much faster." in text


# Comparisons.


@pytest.mark.parametrize(
    ("names", "count", "has_aim", "words"),
    [
        (["IMU"], 3, False, ": IMU. No run both forgets more and keeps more than it."),
        (["IMU", "GA"], 3, False, ": IMU and GA. No run both forgets more and keeps more than any of them."),
        (["IMU"], 2, True, ": IMU. No run both comes nearer to the retrained model's forget accuracy and keeps more than it."),
        (["IMU"], 1, False, "IMU is alone here: with more runs this shows "),
        ([], 2, False, "No run has both figures, so nobody is on "),
    ],
)
def test_who_is_on_the_front(names: list[str], count: int, has_aim: bool, words: str) -> None:
    assert words in front.front_words(names, count, has_aim)


# Where a model looks.


def looked(before: list[float], after: list[float]) -> Any:
    shares = [np.array(values, np.float64) for values in (before, after)]
    return types.SimpleNamespace(
        images=before,
        empty=lambda: (0, 0),
        on_cues=lambda: (*map(mean_interval, shares), mean_interval(shares[1] - shares[0]), 0.3),
    )


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ([0.5, 0.6, 0.7], [0.4, 0.5, 0.61], "a change of −9.7 ± 1.4 points (3 images, 95 % interval; the cues cover 30 % of"),
        ([0.5, 0.6, 0.7], [0.6, 0.5, 0.71], "no change seen (3 images"),
        ([0.5, 0.6], [0.5, 0.6], "no change that one decimal would show (2 images"),
        ([0.5], [0.4], "heat on the cues 50.0 % → 40.0 %, a change of −10.0 points that may be chance (a single image; "),
        ([], [], "no image has heat in both maps, so no share is measured (the cues cover 30 % of the image)."),
    ],
)  # fmt: skip
def test_where_a_model_looks(before: list[float], after: list[float], words: str) -> None:
    text = gaze.summary(looked(before, after))
    assert words in text
    assert "nan" not in text


# The paper's tables.


def test_a_wide_interval_is_no_reason() -> None:
    own_gap, wide = Paired(20.0, 1.0, 0.001, 5), Paired(5.0, 30.0, 0.5, 5)
    assert paper._reason(own_gap, wide, "A against B").endswith(
        "; that interval holds the whole difference too, so this cannot tell the layers from the method."
    )
    narrow = Paired(0.5, 1.0, 0.5, 5)
    assert paper._reason(own_gap, narrow, "A against B").endswith(
        "; so here it is the layers that make the difference, not the method."
    )


@pytest.mark.parametrize(
    ("first", "last", "words"),
    [
        ((0.5, 0.1), (0.9, 0.1), "Agrees"),
        ((0.5, 0.1), (0.6, 0.1), "Not seen here"),
        ((0.9, 0.1), (0.5, 0.1), "The opposite here"),
        ((0.97, 0.01), (0.5, 0.01), "The opposite here, from a start that could hardly rise"),
        ((0.5, None), (0.9, None), "Open, for one forget set says nothing about chance"),
    ],
)
def test_whether_a_share_rises(first: tuple, last: tuple, words: str) -> None:
    assert readable._direction([{"mean": mean, "half": half} for mean, half in (first, last)]) == words


def test_one_tolerance_and_it_is_stated() -> None:
    assert SAME == 0.001
    assert "a tenth of a point" in (verdicts.__doc__ or "").replace("\n", " ")


def test_whether_the_target_was_reached_is_on_record_and_read_from_older_records_too() -> None:
    run = ended(0.018, 0.9)
    assert Trajectory.from_dict(run.to_dict()).outcome == REACHED
    older = run.to_dict()
    del older["outcome"]["reached"]
    assert Trajectory.from_dict(older).outcome == REACHED
    older["outcome"]["reason"] = MISSED.reason
    assert not Trajectory.from_dict(older).outcome.reached


def head_and_all(now: float, head: float = 1.0, same: bool = True) -> list[dict]:
    return [
        {"scope": "head", "bn": "eval", "same_features": same, "forget": 0.0, "person_map": head, "map": 0.9},
        {"scope": "head", "bn": "train", "same_features": False, "forget": 0.0, "person_map": 0.2, "map": 0.5},
        {"scope": "all", "bn": "eval", "same_features": False, "forget": 0.0, "person_map": now, "map": 0.85},
    ]


FOUND_AS_BEFORE = (
    "The network now names 0.0 % of the person's images. Every feature stays bit for bit what it was, so a search finds the "
    "person as before: mAP 100.0 %."
)
TWO_STEPS = [
    (
        head_and_all(0.96), KNOWN, FOUND_AS_BEFORE,
        "mAP of the person 100.0 → 96.0 %, of unseen people 90.0 → 85.0 %. The person is 4.0 points of mAP harder to find than "
        "before, and 26.0 points of mAP easier to find than for a model that never saw them (70.0 %).",
    ),
    (
        head_and_all(0.7), KNOWN, FOUND_AS_BEFORE,
        "mAP of the person 100.0 → 70.0 %, of unseen people 90.0 → 85.0 %. The person is 30.0 points of mAP harder to find than "
        "before, and as easy to find as for a model that never saw them (70.0 %).",
    ),
    (
        head_and_all(1.0), KNOWN, FOUND_AS_BEFORE,
        "mAP of the person 100.0 → 100.0 %, of unseen people 90.0 → 85.0 %. The person is as easy to find as before, and 30.0 "
        "points of mAP easier to find than for a model that never saw them (70.0 %).",
    ),
    (
        head_and_all(0.5), {"original": KNOWN["original"]}, FOUND_AS_BEFORE,
        "mAP of the person 100.0 → 50.0 %, of unseen people 90.0 → 85.0 %. The person is 50.0 points of mAP harder to find than "
        "before.",
    ),
    (
        head_and_all(0.5, head=0.9, same=False), KNOWN,
        "The network now names 0.0 % of the person's images. The person is 10.0 points of mAP harder to find than before.",
        "mAP of the person 100.0 → 50.0 %, of unseen people 90.0 → 85.0 %. The person is 50.0 points of mAP harder to find than "
        "before, and 20.0 points of mAP harder to find than for a model that never saw them (70.0 %).",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("rows", "known", "head", "layers"), TWO_STEPS)
def test_the_head_alone_and_then_every_layer(rows: list[dict], known: dict, head: str, layers: str) -> None:
    assert verdicts.two_steps(rows, known) == (head, layers)


@pytest.mark.parametrize("rows", [[], head_and_all(0.5)[:2], rows_with(0.5)])
def test_two_steps_need_both_rows(rows: list[dict]) -> None:
    assert verdicts.two_steps(rows, KNOWN) is None
    assert verdicts.two_steps(head_and_all(0.5), {"original": {"map": 0.9}}) is None
