"""One method at three scopes and in both batch-norm modes: which of them really make a person harder to find."""

from __future__ import annotations

import dataclasses
import json
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from torch import nn

from imu_core import runtime
from imu_core.errors import ImuError
from imu_core.evaluation.reidentification import Found, drift, embed, judge
from imu_core.methods.presets import preset
from imu_core.methods.registry import find
from imu_core.models import hashes
from imu_core.progress import Task
from imu_core.records.run import Problem, RunConfig, finite
from imu_core.records.shapes import ScopeRecord, ScopeRow
from imu_core.unlearning.run import Run

SCOPES, MODES = ("head", "last:1", "all"), ("eval", "train")
_SELDOM = 1000  # steps between two looks at everything; the forget set is looked at after every step


class SideBySide(Task):
    """One method at three scopes and in both batch-norm modes, each run judged by retrieval; iterate for rows, `cancel()` stops.

    `rows` holds a `ScopeRow` for every run that has ended.
    """

    STOPPED = "Stopped by you; the rows above are finished runs."

    def __init__(self, problem: Problem, method: str = "imu", name: str = "gentle") -> None:
        super().__init__()
        self.problem, self.method, self.preset = problem, method, name
        for config in self.configs():  # names that do not exist are said at once
            find(config.method)
        self.rows: list[ScopeRow] = []
        self.steps = len(SCOPES) * len(MODES)

    def configs(self) -> list[RunConfig]:
        """The settings of all runs; each run becomes one row."""
        made = ((preset(self.preset, self.method, scope), bn) for scope in SCOPES for bn in MODES)
        return [dataclasses.replace(config, bn=bn, eval_every=_SELDOM) for config, bn in made]

    def working(self) -> Iterator[tuple[float, str]]:
        """Does one run after another and judges each as it ends."""
        for number, config in enumerate(self.configs()):
            yield number / self.steps, f"scope {config.scope}, batch norm in {config.bn} mode"
            self._raise_if_cancelled()
            self.rows.append(self._row(config))

    def _row(self, config: RunConfig) -> ScopeRow:
        start = time.perf_counter()
        run = self._through(Run(self.problem, config))
        for _ in run:
            pass
        self._raise_if_cancelled()
        if run.outcome.state == "failed":
            raise ImuError(run.outcome.reason)
        model, seconds = run.model(), time.perf_counter() - start
        return row_of(self.problem, run, model, seconds)


def row_of(problem: Problem, run: Run, model: nn.Module, seconds: float) -> ScopeRow:
    """The row of one finished `run`: settings, accuracies, how well its `model` finds people, and how far batch norm drifted."""
    last, retrieval = run.points[-1], judge(problem, model)
    accuracies = {name: last.accuracies[name] for name in ("forget", "test_other", "test") if name in last.accuracies}
    return {
        "scope": run.config.scope,
        "bn": run.config.bn,
        "state": run.outcome.state,
        "steps": last.step,
        "seconds": seconds,
        **accuracies,
        **retrieval.numbers(),
        "drift": max(drift(problem.model, model).values(), default=0.0),
        "same_features": retrieval.embedded.backbone == embed(problem.model, problem.dataset).backbone,
    }


_NAME = re.compile(r"[A-Za-z0-9_]{1,60}")


def _stored_path(model: str, people: Sequence[str], method: str) -> Path:
    return runtime.ASSETS / "people" / f"scopes-{model}-{'-'.join(people)}-{method}.json"


def shipped(model: str, people: Sequence[str], method: str) -> ScopeRecord | None:
    """The rows of `SideBySide` that ship for `people` and a model of this name, neither of which needs to be here; else None."""
    if not all(_NAME.fullmatch(name) for name in (model, *people)):
        return None  # whatever a link says is no path
    try:
        return json.loads(_stored_path(model, people, method).read_text())
    except (OSError, ValueError):
        return None


def stored_rows(problem: Problem, method: str) -> ScopeRecord | None:
    """The rows of `SideBySide` that ship for this problem, with the command that made them; None where none fit."""
    record = shipped(problem.model_name, [problem.dataset.class_names[c] for c in problem.split.classes], method)
    if record is None:
        return None
    fits = record.get("model_hash") == hashes.state_hash(problem.model) and record.get("data_hash") == problem.dataset.hash
    return record if fits and not problem.history else None


def as_record(comparison: SideBySide, known: dict[str, Found]) -> ScopeRecord:
    """A finished comparison as JSON: its rows, the `known` references, the command that makes it, hashes of model and data."""
    problem = comparison.problem
    command = (
        f"python -m imu_core reid --problem {problem.dataset.name} --model {problem.model_name} "
        f"--forget {problem.split.request} --method {comparison.method}"
    )
    return finite(
        {
            "command": command,
            "problem": problem.describe(),
            "method": comparison.method,
            "preset": comparison.preset,
            "references": {name: retrieval.numbers() for name, retrieval in known.items()},
            "rows": comparison.rows,
            "model_hash": hashes.state_hash(problem.model),
            "data_hash": problem.dataset.hash,
        }
    )
