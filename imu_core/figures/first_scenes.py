"""The scenes that the page Start plays before anything is computed: made once by a command, stored with what ships."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

from imu_core import runtime
from imu_core.figures import Shown, style_of
from imu_core.figures.scene import Scene, flips_of, scene, wall_of
from imu_core.methods import METHODS, preset
from imu_core.problems.problem import problem as problem_of
from imu_core.problems.reference import retrained
from imu_core.records.run import Problem, RunConfig
from imu_core.records.shapes import Json
from imu_core.report.tale import Tale
from imu_core.unlearning.run import unlearn

DATASET, MODEL = "fashion", "small_resnet"
RUNS: tuple[tuple[str, str | None], ...] = (("imu", None), ("ga", None), ("npo", None), ("delete", None), ("imu", "permuted"))


def configs() -> list[RunConfig]:
    """The settings of the runs: the gentle preset on the head, IMU also with its weights permuted."""
    return [dataclasses.replace(preset("gentle", name), control=control) for name, control in RUNS]


def problems() -> list[Problem]:
    """One problem for each class of the set, in the order of the classes."""
    names = problem_of(DATASET, model=MODEL).dataset.class_names
    return [problem_of(DATASET, model=MODEL, forget=f"class:{name}") for name in names]


def first_scene(problem: Problem) -> Scene:
    """The scene of one class: five runs beside the retrained model, with the weights that IMU begins with."""
    shown, flips, wall = [], [], wall_of(problem)
    for config in configs():
        run = unlearn(problem, config)
        for _ in run:
            pass
        name = METHODS[config.method].title + (f" ({config.control})" if config.control else "")
        shown.append(Shown(name, run.trajectory, style_of(config.method, config.control)))
        flips.append(flips_of(run.points, problem, wall))
    reference = retrained(problem)
    accuracies = reference.accuracies if reference else None
    made = Tale([(item.name, item.trajectory) for item in shown], problem, accuracies)
    return scene(shown, accuracies, made.sentence, wall, flips)


def make() -> Iterator[tuple[str, dict[str, Json]]]:
    """(class, scene as JSON) of every class, one after another."""
    for case in problems():
        yield case.dataset.class_names[case.split.classes[0]], first_scene(case).data()


def write(folder: Path) -> Path:
    """Make all scenes and write them to `folder`; returns the file, which holds the names of the classes and their scenes."""
    made = dict(make())
    path = folder / f"{DATASET}-{MODEL}.json"
    runtime.write_whole(
        path,
        lambda part: part.write_text(json.dumps({"names": list(made), "scenes": list(made.values())}, separators=(",", ":"))),
    )
    return path
