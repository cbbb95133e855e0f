"""The runs of the playground: done at once, each with what its network says everywhere in the plane."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from imu_core import figures
from imu_core.caches import SharedCache
from imu_core.errors import ConfigError
from imu_core.evaluation.boundary import Watched
from imu_core.figures.ground import distances, ground
from imu_core.figures.scene import frames, scene
from imu_core.methods import METHODS, Method, preset
from imu_core.models.head import blocks
from imu_core.problems.reference import retrained, retrained_model
from imu_core.records.run import Problem, RunConfig
from imu_core.records.shapes import Json
from imu_core.report.boundary import distance_words
from imu_core.report.verdicts import verdict_of_all
from imu_core.unlearning.run import Run
from pages.widgets import progress

FRAMES = 80  # of a run


@dataclass(frozen=True)
class Played:
    """What the stage plays, the last step of it, and a sentence for each method that could not run here."""

    scene: dict[str, Json]
    last: int
    refused: tuple[str, ...]


_PLAYED: SharedCache[tuple[str, ...], Played] = SharedCache(64)  # by problem and settings; the same for everybody


def fitting(problem: Problem, scope: str) -> list[str]:
    """Names of the methods of the registry that can unlearn the forget set of `problem` at `scope`."""
    return [name for name, method in METHODS.items() if _fits(method, scope, problem)]


def _fits(method: Method, scope: str, problem: Problem) -> bool:
    try:
        method.check(scope, problem.split)
    except ConfigError:
        return False
    return True


def config(problem: Problem, method: str, scope: str, learning_rate: float, epochs: int, stop: float | None) -> RunConfig:
    """The settings of a run: the gentle preset's, with this learning rate and so many passes, judged `FRAMES` times at most."""
    made, about = preset("gentle", method, scope), METHODS[method]
    made = dataclasses.replace(made, stop_at=stop if about.forgets else None)
    if about.edit:
        return made
    made = dataclasses.replace(made, learning_rate=learning_rate, epochs=epochs)
    return dataclasses.replace(made, eval_every=max(1, -(-Run(problem, made).steps // FRAMES)))


def play(problem: Problem, configs: Sequence[RunConfig]) -> Played:
    """One run for each of `configs`, ready to be played; computed here, with a bar and Stop where that takes long."""
    about = problem.describe()
    key = (*(str(about[name]) for name in ("dataset", "model", "forget", "seed", "history")), *map(str, configs))
    made = _PLAYED.get(key)
    if made is None:
        watched: list[Watched] = []
        progress.run_here(_watch(problem, configs, watched), "playground")
        made = _PLAYED[key] = _played(problem, watched)
    return made


def _watch(problem: Problem, configs: Sequence[RunConfig], watched: list[Watched]) -> Iterator[tuple[float, str]]:
    """Run all `configs`, adding each to `watched` as it ends; yields (fraction done, words)."""
    reference = retrained_model(problem)
    for number, each in enumerate(configs):
        run = Run(problem, each)
        watching = Watched(run, reference if len(blocks(problem.model)) == 1 else None)
        for point in watching:
            fraction, words = run.progress(point)
            yield (number + fraction) / len(configs), f"{METHODS[each.method].title}: {words}"
        watched.append(watching)


def _played(problem: Problem, watched: Sequence[Watched]) -> Played:
    ended = [each for each in watched if each.run.points]
    shown = [
        figures.Shown(METHODS[each.run.config.method].title, each.run.trajectory, figures.style_of(each.run.config.method))
        for each in ended
    ]
    reference, apart = retrained(problem), [distances(each) for each in ended]
    known = reference.accuracies if reference else None
    runs = [(item.name, item.trajectory) for item in shown]

    def say(step: int) -> str:
        early = [sum(point.step <= step for point in frames(item.trajectory.points)) for item in shown]
        far = [distance_words(item.name, line[:n]) for item, line, n in zip(shown, apart, early, strict=True)]
        return " ".join(filter(None, [verdict_of_all(runs, problem, known, step), *far]))

    made = scene(shown, known, say, ground=ground(problem, ended), apart=apart)
    refused = [f"{METHODS[each.run.config.method].title}: {each.run.outcome.reason}" for each in watched if not each.run.points]
    return Played(made.data(), made.last, tuple(refused))
