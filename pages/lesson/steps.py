"""The twelve steps: on which page, in which state, and how the page knows that a step was done. Their words are in *.toml."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import streamlit as st

from imu_core.report.numbers import change, percent, tenths
from pages.lesson import deeds
from pages.session import visitor

if TYPE_CHECKING:
    from pages.session.kept import Kept

Numbers = Mapping[str, str]
RIGHT = "right"  # among the numbers of an outcome: the place of the answer that came true
CASE = "case"  # and the name of the sentence in `so` that says what follows
LOT, MUCH = 30, 10  # tenths of a point from which the other classes lost a lot, and the shuffle did much worse
SANDAL = {"dataset": "fashion", "model": "small_resnet", "forget": "class:Sandal", "seed": 0, "after": ""}
TENTH = {**SANDAL, "forget": "random:10%,seed=0"}


@dataclass(frozen=True)
class Step:
    """One step. `seen` returns the numbers of its outcome once its task was done, and None before that.

    `problem` is what the sidebar is set to when a visitor comes to the step (where it is empty, the page chooses), `widgets` what
    those on the page say then.
    """

    name: str
    page: str
    seen: Callable[[], Numbers | None]
    widgets: Mapping[str, Any] = field(default_factory=dict)
    problem: Mapping[str, str | int] = field(default_factory=lambda: SANDAL)


def _runs() -> Iterator[Kept]:
    """This visitor's runs that have ended with points, the newest first."""
    for item in reversed(visitor.theirs("runs", list)):
        if item.job.finished and item.trajectory is not None and item.trajectory.points:
            yield item


def _changed(item: Kept) -> str:
    """By how many points a run has changed the accuracy on the other classes."""
    first, last = item.trajectory.points[0].accuracies, item.trajectory.points[-1].accuracies
    return change(last["test_other"], first["test_other"])


def _reference(item: Kept) -> Mapping[str, float] | None:
    """The accuracies of the retrained model beside a run; None where none is stored."""
    from imu_core.problems.reference import retrained  # brings torch along, which Start is drawn without

    reference = retrained(item.problem)
    return reference.accuracies if reference else None


def _of_class() -> Iterator[Kept]:
    return (item for item in _runs() if item.problem.split.classes and item.job.state == "done")


def knows() -> Numbers | None:
    """The stage of Start rests on step 0."""
    return {} if st.session_state.get("start_at") == 0 else None


def forget() -> Numbers | None:
    """A run on a class has ended."""
    return next(({} for _ in _of_class()), None)


def cost() -> Numbers | None:
    """IMU has run on a class whose retrained model is stored."""
    for item in _of_class():
        reference = _reference(item)
        if reference and item.config.method == "imu" and not item.config.control:
            before = item.trajectory.points[0].accuracies["test_other"]
            moved = abs(tenths(reference["test_other"]) - tenths(before))
            right = 0 if moved == 0 else 1 if moved < LOT else 2
            return {"retrained": change(reference["test_other"], before), "imu": _changed(item), RIGHT: str(right)}
    return None


def shuffle() -> Numbers | None:
    """IMU has run on one class with its own weights and with permuted ones."""
    other = next((item for item in _of_class() if item.config.control == "permuted"), None)
    about = other and other.problem.describe()
    for item in _of_class():
        if other and item.config.method == "imu" and not item.config.control and item.problem.describe() == about:
            kept = [tenths(run.trajectory.points[-1].accuracies["test_other"]) for run in (item, other)]
            case = "same" if abs(kept[1] - kept[0]) <= 1 else "better" if kept[1] > kept[0] else "worse"
            right = {"better": 2, "same": 1}.get(case, 0 if kept[0] - kept[1] >= MUCH else 1)
            return {"imu": _changed(item), "permuted": _changed(other), CASE: case, RIGHT: str(right)}
    return None


def far() -> Numbers | None:
    """A run has broken down."""
    return next(({"reason": item.job.reason, RIGHT: "1"} for item in _runs() if item.job.state == "diverged"), None)


def tenth() -> Numbers | None:
    """A run on a random draw has ended whose retrained model is stored."""
    for item in _runs():
        reference = _reference(item)
        if reference and not item.problem.split.classes:
            return {"aim": percent(reference["forget"]), RIGHT: "1" if 0 < reference["forget"] < 1 else "2"}
    return None


def retraining() -> Numbers | None:
    """Two runs are laid side by side."""
    return {} if st.session_state.get("compare") == "A against B" else None


GENTLE = {"preset": "gentle", "scope": "head", "target": None}
STEPS = (
    Step("knows", "pages/start.py", knows),
    Step("forget", "pages/unlearn.py", forget, {"methods": ["imu", "ga", "npo"], **GENTLE}),
    Step("cost", "pages/unlearn.py", cost),
    Step("influence", "pages/influence.py", lambda: deeds.of("card")),
    Step("shuffle", "pages/unlearn.py", shuffle, {"methods": ["imu", "imu-permuted"], **GENTLE}),
    Step("far", "pages/unlearn.py", far, {"methods": ["ga"], **GENTLE, "preset": "own", "own_learning_rate": 1.0}),
    Step("tenth", "pages/unlearn.py", tenth, {"methods": ["imu", "ga", "npo"], **GENTLE}, TENTH),
    Step("attack", "pages/attack.py", lambda: deeds.of("threshold"), {"attack_part": "answers"}),
    Step("probe", "pages/attack.py", lambda: deeds.of("probe"), {"attack_part": "features"}),
    Step("person", "pages/reidentify.py", lambda: deeds.of("search"), problem={}),
    Step("retraining", "pages/compare.py", retraining),
    Step("own", "pages/your_own.py", lambda: deeds.of("rules")),
)
