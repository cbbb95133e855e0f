"""What a table of the paper asks of us: the runs behind each of its rows, the controls beside them, and what it claims."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from imu_core.experiments.grid import with_settings
from imu_core.experiments.search import start, with_strength
from imu_core.records.run import RunConfig

CLASSES, RANDOM, SUBCLASSES = "classes", "random", "subclasses"  # what is forgotten
TARGET = 0.005  # forget accuracy at which runs on whole classes stop: within the range of the paper's rows
_EVERY = 200  # steps between two looks at all sets; the forget set is looked at after every one
# Where the depth is shallow a step too far is many points, and the fewer samples are forgotten, the more a step of one length
# does to each. The search begins with so much of the usual step.
_FINER = {CLASSES: 1.0, RANDOM: 0.1, SUBCLASSES: 0.05}
_IMU = (("psi", "sqrt"),)  # the paper's; the gentle preset has another


@dataclass(frozen=True)
class Line:
    """A row of ours: a method at a scope with some settings. `paper` names the paper's row it stands beside ("" for none).

    role: paper (the row as the paper has it), same scope (a rival on IMU's own layers), control (weights taken away).
    """

    key: str
    title: str
    method: str
    scope: str = "head"
    settings: tuple[tuple[str, Any], ...] = ()
    paper: str = ""
    role: str = "paper"
    epochs: int | None = None  # shorter steps than the search found, so that a run lasts about so many

    @property
    def search(self) -> tuple[str, str]:
        """(method, scope): rows that share both take steps of the same length, so that they differ in one thing."""
        return self.method, self.scope

    def config(self, target: float, strength: float | None = None, seed: int = 0, kind: str = CLASSES) -> RunConfig:
        """The run's settings: steps of equal length until `target`, with the strength that the search found."""
        config = plain(self.method, self.scope, target, seed, kind)
        config = config if strength is None else with_strength(config, strength)
        return with_settings(config, dict(self.settings))


def plain(method: str, scope: str, target: float, seed: int = 0, kind: str = CLASSES) -> RunConfig:
    """The settings that the search for a method's strength begins with; IMU as in the paper's main tables.

    There ψ = sqrt, all samples are weighted, and ν = 0.
    """
    config = dataclasses.replace(start(method, scope, target, seed), eval_every=_EVERY)  # what counts is where a run stops
    config = dataclasses.replace(config, learning_rate=_FINER[kind] * config.learning_rate)
    return dataclasses.replace(config, **dict(_IMU)) if method == "imu" else config


@dataclass(frozen=True)
class Claim:
    """A difference that the paper's rows state: `column` of its row `paper[0]` minus that of `paper[1]`.

    `ours` are our lines as the paper has them, `fair` the same two on the same layers (() where `ours` already are), `equal`
    two lines with equal weights that lie on the layers of `ours`. A line of `ours` may be one that no table runs: then the
    claim is open.
    """

    column: str
    paper: tuple[str, str]
    ours: tuple[str, str]
    fair: tuple[str, ...] = ()
    equal: tuple[str, ...] = ()


@dataclass(frozen=True)
class Experiment:
    """One table: what is forgotten, its lines, its claims, and a sentence on what is done otherwise than in the paper.

    `same_task` is False where the paper's network has other labels: then levels are not held against each other.
    """

    id: str
    kind: str
    lines: tuple[Line, ...]
    claims: tuple[Claim, ...]
    note: str = ""
    same_task: bool = True


# Lines that several tables share: same-scope controls stand in all of them.

IMU = Line("imu", "IMU", "imu", paper="IMU")
GA = Line("ga", "GA (uniform weights)", "ga", role="same scope")
PERMUTED = Line("imu-permuted", "IMU, weights permuted", "imu", settings=(("control", "permuted"),), role="control")
RANDOM_WEIGHTS = Line("imu-random", "IMU, random weights", "imu", settings=(("control", "random"),), role="control")
CONTROLS = (GA, PERMUTED, RANDOM_WEIGHTS)


def at(line: Line, scope: str, **changes: Any) -> Line:
    """A copy of `line` at another `scope`, which its key and title name; `changes` are other fields."""
    words = {"all": "all layers"}.get(scope, f"head and {scope.removeprefix('last:')} blocks")
    words = words.replace("1 blocks", "1 block")
    return dataclasses.replace(line, key=f"{line.key}@{scope}", title=f"{line.title}, {words}", scope=scope, **changes)


def control_of(line: Line, **changes: Any) -> Line:
    """The control of `line`: a copy whose weights are permuted among the samples; `changes` are other fields."""
    settings = (*line.settings, ("control", "permuted"))
    made = dataclasses.replace(
        line, key=f"{line.key}-permuted", title=f"{line.title}, permuted", settings=settings, role="control", paper=""
    )
    return dataclasses.replace(made, **changes)


def lines_of(experiments: Sequence[Experiment]) -> list[Line]:
    """Every line of `experiments`; of lines that run the same under several names only the first."""
    lines: dict[tuple[Any, ...], Line] = {}
    for line in (line for experiment in experiments for line in experiment.lines):
        lines.setdefault((line.method, line.scope, line.settings, line.epochs), line)
    return list(lines.values())


_UNIFORM = dataclasses.replace(GA, title="GA")
WIDE_IMU, WIDE_PERMUTED = at(IMU, "all", role="same scope", paper=""), at(PERMUTED, "all")
WIDE_GA = at(_UNIFORM, "all", role="paper", paper="GA")
