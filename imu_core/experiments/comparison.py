"""Every method on equal terms: the same scope, the same search, the same depth, several forget sets and seeds, with controls.

Runs go through `sweep`, so that they use all cores, survive a crash, and are never repeated.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import torch

from imu_core import runtime
from imu_core.depth import at_depth, utility_key
from imu_core.experiments.search import BUDGET, Tried, choose, grid, oracle, start, tried, with_strength
from imu_core.experiments.standing import Standing
from imu_core.experiments.sweep import Cell, Sweep
from imu_core.methods import METHODS, find
from imu_core.metrics.intervals import mean_interval, paired
from imu_core.models.inference import chunk_of, predict
from imu_core.problems.problem import problem as make_problem
from imu_core.problems.reference import retrained
from imu_core.progress import Task
from imu_core.records.outcome import Outcome
from imu_core.records.run import RunConfig, Trajectory
from imu_core.settings import CONTROLS
from imu_core.unlearning.run import unlearn

TARGET = 0.02
BASELINE = "ga"  # what every entry is paired with
_WIDE_CONTROL = "permuted"
_NOT_COMPARED = ("retrain",)  # it is the reference, and stands in a row of its own


@dataclass(frozen=True)
class Entry:
    """One line of a comparison: a method, or IMU with other weights in place of its own (`control`)."""

    method: str
    control: str | None = None

    @property
    def key(self) -> str:
        """Its name in records: imu, or imu-permuted."""
        return self.method + (f"-{self.control}" if self.control else "")

    @property
    def title(self) -> str:
        """Its name for people: "IMU" or "IMU, permuted weights"."""
        return METHODS[self.method].title + (f", {self.control.replace('_', ' ')} weights" if self.control else "")

    def start(self, scope: str, target: float, seed: int = 0) -> RunConfig:
        """The settings that its search begins with."""
        return dataclasses.replace(start(self.method, scope, target, seed), control=self.control)


def entries(names: Sequence[str] | None = None) -> list[Entry]:
    """An entry for each of `names` (default: every method), and IMU's five controls behind IMU."""
    entries: list[Entry] = []
    for name in names or [n for n in METHODS if n not in _NOT_COMPARED]:
        find(name)
        entries.append(Entry(name))
        entries += [Entry(name, control) for control in CONTROLS] if name == "imu" else []
    return entries


def supports(entry: Entry, scope: str, whole_classes: bool) -> bool:
    """Whether the entry can be run at `scope` on such requests."""
    method = METHODS[entry.method]
    if scope != "head" and entry.control not in (None, _WIDE_CONTROL):
        return False  # a wide run takes seconds, not milliseconds
    return (method.head if scope == "head" else method.wide) and (whole_classes or not method.classes)


@dataclass(frozen=True)
class Plan:
    """What is compared: entries, scopes with their seeds, requests; the search uses the first request and seed 0."""

    dataset: str = "fashion"
    model: str = "small_resnet"
    requests: tuple[str, ...] = ("class:Sandal",)
    seeds: tuple[tuple[str, int], ...] = (("head", 3),)  # scope, how many seeds
    entries: tuple[Entry, ...] = ()
    target: float = TARGET
    budget: int = BUDGET

    def cell(self, config: RunConfig, request: str) -> Cell:
        """The cell of a run of the plan: with settings `config`, on the forget request `request`."""
        return Cell(self.dataset, self.model, request, 0, config)


class Comparison(Task):
    """The whole comparison; iterate it for (fraction done, what just ended). `rows()` is valid at any time.

    Two sweeps: the searches, then every entry with the value its search chose, on every request and seed.
    """

    def __init__(self, plan: Plan, url: str, workers: int | None = None) -> None:
        super().__init__()
        self.plan, self.url, self.workers = plan, url, workers
        problem = make_problem(plan.dataset, model=plan.model, forget=plan.requests[0])
        self._whole = bool(problem.split.classes)
        self.pairs = [(e, s) for s, _ in plan.seeds for e in plan.entries if supports(e, s, self._whole)]

    def searching(self) -> dict[tuple[Entry, str], list[Cell]]:
        """The cells of every search, by entry and scope."""
        return {(entry, scope): self._grid_of(entry.start(scope, self.plan.target)) for entry, scope in self.pairs}

    def _grid_of(self, config: RunConfig) -> list[Cell]:
        return [self.plan.cell(with_strength(config, v), self.plan.requests[0]) for v in grid(config, self.plan.budget)]

    def searches(self) -> dict[tuple[Entry, str], list[Tried]]:
        """What each value of a search reached, by entry and scope; searches that have not ended are missing."""
        trajectories = self._stored([cell for cells in self.searching().values() for cell in cells])
        return {
            pair: [tried(trajectories[c.key], self.plan.target) for c in cells]
            for pair, cells in self.searching().items()
            if all(c.key in trajectories for c in cells)
        }

    def comparing(self) -> dict[tuple[Entry, str], list[Cell]]:
        """The cells of the comparison itself, for every entry and scope whose search has ended."""
        plan, seeds = self.plan, dict(self.plan.seeds)
        return {
            (e, s): [
                plan.cell(with_strength(e.start(s, plan.target, seed), choose(rows).value), request)
                for request in plan.requests
                for seed in range(seeds[s])
            ]
            for (e, s), rows in self.searches().items()
        }

    def _stored(self, cells: Sequence[Cell]) -> dict[str, Trajectory]:
        store = Sweep([], self.url, measure="none").store
        latest = store.latest([c.key for c in cells])
        return {key: store.get(summary.id).trajectory for key, summary in latest.items()}

    def __iter__(self) -> Iterator[tuple[float, str]]:
        self.outcome = Outcome("running")
        for name, share, cells in (("search", 0.4, self.searching), ("comparison", 0.6, self.comparing)):
            todo = [cell for group in cells().values() for cell in group]
            sweep = Sweep(todo, self.url, workers=self.workers, measure="none" if name == "search" else "quick", tags=(name,))
            for fraction, words in self._through(sweep):
                yield (fraction * share if name == "search" else 0.4 + fraction * share), f"{name}, {words}"
            if sweep.outcome.state != "done":
                self.outcome = sweep.outcome
                return
        self.outcome = Outcome("done")

    def rows(self) -> list[Standing]:
        """One row an entry and scope that is finished, in the order of the plan; see `row` for what it holds."""
        searches, cells = self.searches(), self.comparing()
        trajectories = self._stored([c for group in cells.values() for c in group])
        runs = {pair: [trajectories.get(c.key) for c in group] for pair, group in cells.items()}
        finished = {pair: group for pair, group in runs.items() if all(group)}
        return [
            row(entry, scope, group, searches[entry, scope], finished.get((Entry(BASELINE), scope)), self.plan.target)
            for (entry, scope), group in finished.items()
        ]

    def reference(self) -> dict[str, float]:
        """Mean change of the accuracy to keep under the retrained models, and its interval; {} where one is not stored."""
        changes = []
        for request in self.plan.requests:
            problem = make_problem(self.plan.dataset, model=self.plan.model, forget=request)
            known = retrained(problem)
            if known is None:
                return {}
            key = utility_key(known.accuracies)
            hits = problem.test.logits.argmax(1) == problem.test.labels
            remaining = ~torch.isin(problem.test.labels, torch.tensor(problem.split.gone_classes, dtype=torch.int64))
            changes.append(known.accuracies[key] - float(hits[remaining].double().mean()))
        spread = mean_interval(changes)
        return {"change": spread.mean, "half": spread.half, "n": spread.n}


def row(
    entry: Entry,
    scope: str,
    runs: Sequence[Trajectory],
    searched: Sequence[Tried],
    baseline: Sequence[Trajectory] | None,
    target: float,
) -> Standing:
    """An entry in numbers: value chosen and the oracle's, how many runs reached the target, what that cost, how sure that is.

    change, half    mean change of the accuracy to keep at the target, and half its 95 % interval over requests: the seeds of
                    a request are averaged first, for they are no new evidence about classes (a single request: over seeds);
                    runs that do not get there count with what they had at their end
    against         mean difference to the baseline on the same requests and seeds, half its interval, p, and a sentence
    """
    depths = [at_depth(t, target) for t in runs]
    changes, forget_accuracies = _changes(runs, target), [d.accuracies["forget"] for d in depths]
    spread = mean_interval(_by_request(changes, runs))
    standing: Standing = {
        "key": entry.key, "method": entry.method, "control": entry.control, "title": entry.title, "scope": scope,
        "saw": list(runs[0].saw), "value": choose(searched).value, "oracle": oracle(searched).value,
        "setting": METHODS[entry.method].strength, "runs": len(runs), "reached": sum(d.reached for d in depths),
        "forget": fmean(forget_accuracies), "change": spread.mean, "half": spread.half, "worst": min(changes),
        "seconds": fmean(sum(t.phases.values()) for t in runs), "peak_bytes": fmean(t.costs.get("peak_bytes", 0.0) for t in runs),
        "kl_test": _mean_divergence(runs, "test"), "kl_forget": _mean_divergence(runs, "forget"),
        "diverged": sum(t.outcome.state == "diverged" for t in runs), "failed": sum(t.outcome.state == "failed" for t in runs),
    }  # fmt: skip
    if baseline is not None and entry.key != BASELINE:
        test = paired(_by_request(changes, runs), _by_request(_changes(baseline, target), baseline))
        standing["against"] = {"mean": test.mean, "half": test.half, "p": test.p, "words": test.seen.value}
    return standing


def _by_request(values: Sequence[float], runs: Sequence[Trajectory]) -> list[float]:
    """Means over the seeds of each request, in the order of the requests; the values themselves where there is but one."""
    groups: dict[str, list[float]] = {}
    for value, run in zip(values, runs, strict=True):
        groups.setdefault(str(run.problem.get("forget")), []).append(value)
    return [fmean(group) for group in groups.values()] if len(groups) > 1 else list(values)


def _changes(runs: Sequence[Trajectory], target: float) -> list[float]:
    """For each run: the accuracy to keep at the target minus that of the original model."""
    changes = []
    for t in runs:
        if not t.points:  # it failed before anything was judged
            changes.append(math.nan)
            continue
        key = utility_key(t.points[0].accuracies)
        before = t.metrics.get("accuracies", {}).get("original", {}).get(key, t.points[0].accuracies[key])
        changes.append(at_depth(t, target).accuracies[key] - before)
    return changes


def _mean_divergence(runs: Sequence[Trajectory], part: str) -> float | None:
    values = [t.metrics.get("divergence", {}).get("run", {}).get(part, {}).get("kl") for t in runs]
    known = [v for v in values if v is not None]
    return fmean(known) if len(known) == len(values) else None


def estimate(plan: Plan, workers: int) -> float:
    """Seconds that a plan may take: images through the network, timed here on a few hundred, times how often they go through.

    A rough upper figure, for saying it before the work starts: runs end early where they reach the target.
    """
    problem = make_problem(plan.dataset, model=plan.model, forget=plan.requests[0])
    images, n = problem.dataset.train.images, len(problem.dataset.train.labels)
    with runtime.one_thread():
        began = time.perf_counter()
        predict(problem.model, dataclasses.replace(problem.dataset.train, images=images[:400]), chunk_of(images))
        look = (time.perf_counter() - began) / 400  # one image, forward
        began = time.perf_counter()
        list(unlearn(problem, dataclasses.replace(start("ga", "head", plan.target), epochs=20)))
        head = time.perf_counter() - began
    total, forget, whole = 0.0, len(problem.split.forget), n + len(problem.test.labels)
    for scope, seeds in plan.seeds:
        count = sum(supports(e, scope, bool(problem.split.classes)) for e in plan.entries)
        trained = sum(METHODS[e.method].trains_on_retain(e.start(scope, plan.target)) for e in plan.entries)
        if scope == "head":
            one = 3 * head
        else:  # three forward passes' worth for a step; the forget set's subset after each; all images at the end
            one = look * (whole + 10 * 3 * forget + 15 * 500 + trained / max(1, count) * (3 * n + 35 * 500))
        total += one * count * (plan.budget + len(plan.requests) * seeds)
    return total / workers


def default_url() -> str:
    """The address of the database of comparisons: apart from the runs of visitors, so that neither hides the other."""
    path: Path = runtime.home() / "comparisons.sqlite"
    return f"sqlite:///{path}"
