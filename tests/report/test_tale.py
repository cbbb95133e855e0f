"""The story of a replay: every sentence of it, from a table of outcomes."""

from __future__ import annotations

import pytest
from test_verdicts import AIM, SANDAL, point, problem, record

from imu_core.records.run import Trajectory
from imu_core.report.tale import Tale

END = "All stop once at most 2.0 % are recognised. On everything else "
LINE = " a model trained without them lost 0.2 points."


def run(*kept: float, forget: tuple[float, ...] = (0.998, 0.9, 0.5, 0.018)) -> Trajectory:
    """A run of nine steps, evaluated before, after a third and two thirds, and at the end."""
    return record(*(point(step, now, value) for step, now, value in zip((0, 3, 6, 9), forget, kept, strict=True)))


LOST, LITTLE, GAINED = run(0.91, 0.91, 0.905, 0.898), run(0.91, 0.91, 0.908, 0.904), run(0.91, 0.91, 0.91, 0.925)
KEPT, NEARLY = run(0.91, 0.91, 0.91, 0.91), run(0.91, 0.91, 0.91, 0.909)


@pytest.mark.parametrize(
    ("runs", "reference", "said"),
    [
        ({"IMU": LOST}, AIM, f"{END}IMU lost 1.2 points;{LINE}"),
        ({"IMU": LOST}, None, f"{END}IMU lost 1.2 points."),
        ({"IMU": LOST, "GA": LITTLE}, AIM, f"{END}IMU lost 1.2 points and GA lost 0.6 points;{LINE} IMU kept least, GA most."),
        (
            {"IMU": LOST, "GA": GAINED, "NPO": KEPT},
            None,
            f"{END}IMU lost 1.2 points, GA gained 1.5 points and NPO kept its accuracy. IMU kept least, GA most.",
        ),
        (
            {"IMU": LOST, "GA": LITTLE, "NPO": LOST, "DELETE": LITTLE},
            None,
            f"{END}IMU lost 1.2 points, GA lost 0.6 points, NPO lost 1.2 points and DELETE lost 0.6 points. "
            "IMU and NPO kept least, GA and DELETE most.",
        ),
        ({"IMU": LOST, "GA": LOST}, None, f"{END}IMU lost 1.2 points and GA lost 1.2 points."),
        ({"IMU": KEPT, "GA": NEARLY}, None, f"{END}IMU kept its accuracy and GA kept its accuracy (−0.1 points)."),
        (
            {"IMU": KEPT},
            {"forget": 0.0, "test_other": 0.91},
            f"{END}IMU kept its accuracy; a model trained without them kept its accuracy.",
        ),
        (
            {"IMU": KEPT},
            {"forget": 0.0, "test_other": 0.92},
            f"{END}IMU kept its accuracy; a model trained without them gained 1.0 points.",
        ),
    ],
)
def test_the_end_says_what_everybody_has_paid(runs: dict[str, Trajectory], reference: dict[str, float] | None, said: str) -> None:
    assert Tale(list(runs.items()), SANDAL, reference).sentence(9) == said


def test_runs_that_missed_their_target_are_not_said_to_have_reached_it() -> None:
    missed = run(0.91, 0.91, 0.91, 0.91, forget=(0.998, 0.9, 0.8, 0.7))
    told = Tale([("IMU", LOST), ("GA", missed)], SANDAL, None).sentence(9)
    assert told.startswith("In the end IMU recognises 1.8 % and GA 70.0 % of them. On everything else IMU lost 1.2 points")


@pytest.mark.parametrize(
    ("kept", "forget", "said"),
    [
        (0.91, 0.9, "9.8 % of them are gone. Everything else is as good as before."),
        (0.909, 0.9, "9.8 % of them are gone. Everything else is as good as before."),
        (0.907, 0.0, "99.8 % of them are gone. So are 0.3 points of everything else."),
        (0.913, 0.5, "49.8 % of them are gone. Everything else is 0.3 points better."),
        (0.91, 1.0, "0.0 % of them are gone. Everything else is as good as before."),
    ],
)
def test_on_the_way_it_says_what_is_gone_and_what_it_has_cost(kept: float, forget: float, said: str) -> None:
    told = Tale([("IMU", run(0.91, kept, kept, 0.9, forget=(0.998, forget, forget, 0.018))), ("GA", LOST)], SANDAL, AIM)
    assert told.sentence(3) == f"IMU, step 3: {said}"
    assert told.sentence(6) == f"IMU, step 6: {said}"


def test_another_sentence_holds_as_soon_as_there_is_another_point() -> None:
    told = Tale([("IMU", LOST)], SANDAL, AIM)
    assert told.steps == list(range(10))
    said = [told.sentence(step) for step in range(10)]
    assert [said.index(sentence) for sentence in said] == [0, 0, 0, 3, 3, 3, 6, 6, 6, 9]


def test_before_the_first_step_it_says_what_is_to_go() -> None:
    first = "The model has seen {} images of {}. It recognises 99.8 % of them. Now it is to forget them."
    assert Tale([("IMU", LOST)], SANDAL, AIM).sentence(0) == first.format("6,000", "Sandal")
    assert Tale([("IMU", LOST)], problem(12, "Sandal", "Boot"), AIM).sentence(2) == first.format("12", "Sandal and Boot")


def test_a_run_without_a_step_is_told_as_before() -> None:
    told = Tale([("IMU", record(point(0, 0.998, 0.91)))], SANDAL, None)
    assert told.steps == [0]
    assert told.sentence(0).startswith("The model has seen ")


def test_a_shorter_run_is_told_by_its_end() -> None:
    short = record(point(0, 0.998, 0.91), point(2, 0.018, 0.88))
    told = Tale([("IMU", short), ("GA", LOST)], SANDAL, None)
    assert told.sentence(6).startswith("IMU, step 2: 98.0 % of them are gone. So are 3.0 points")
    assert "IMU lost 3.0 points and GA lost 1.2 points. IMU kept least, GA most." in told.sentence(9)
