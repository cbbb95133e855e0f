"""All tables of the paper as one piece of work: searches, then runs, the most telling first; stopped, it goes on where it was."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from imu_core.errors import ConfigError, ImuError
from imu_core.experiments.grid import Cell
from imu_core.experiments.search import Tried, choose, grid, tried, with_strength
from imu_core.experiments.sweep import Sweep
from imu_core.paper import rows
from imu_core.paper.experiment import (
    CLASSES,
    RANDOM,
    SUBCLASSES,
    TARGET,
    WIDE_GA,
    WIDE_IMU,
    WIDE_PERMUTED,
    Experiment,
    Line,
    lines_of,
    plain,
)
from imu_core.paper.findings import sentences
from imu_core.paper.grounds import SEEDS, Ground, grounds, requests_of, seeds_of
from imu_core.paper.plan import EXPERIMENTS, VALUES, experiments
from imu_core.paper.published import TABLES
from imu_core.paper.shapes import Figure, RowRecord, TableRecord, TablesRecord
from imu_core.paper.tables import distribution, layers
from imu_core.paper.tables.cost import Pace
from imu_core.progress import Task
from imu_core.records.outcome import Outcome
from imu_core.records.run import Trajectory
from imu_core.store.runs import Store
from imu_core.store.stored import Measure, Summary

MINUTES = 60.0
FIRST = 3  # requests of a kind on which every wide line is run before any goes on to the others
_CORE = (WIDE_GA, WIDE_IMU, WIDE_PERMUTED)  # of the wide lines: what the claims need first


@dataclass(frozen=True)
class Stage:
    """A part of the work: what it is called, its kind of request, its lines, and what is measured ("none" for a search).

    `part` is the range (start, end) of the kind's requests that it runs, `compared` how many forget sets Figure 2 compares
    once the stage has ended.
    """

    name: str
    kind: str
    lines: tuple[Line, ...]
    measure: str
    seeds: tuple[int, ...] = (0,)
    part: tuple[int, int | None] = (0, None)
    compared: int = 0

    @property
    def is_search(self) -> bool:
        """Whether the stage searches for strengths."""
        return self.measure == "none"


def stages(kinds: Sequence[str]) -> list[Stage]:
    """All stages of the work in order: the head, where a run takes about a second, then wide scopes.

    On wide scopes every line is run on a few requests first, so that each table has rows soon; its intervals narrow later.
    """
    known = [kind for kind in (CLASSES, RANDOM, SUBCLASSES) if kind in kinds]
    first_stages = [stage for kind in known for stage in _on_the_head(kind)]
    later_stages = []
    for kind in (k for k in known if k != SUBCLASSES):
        wide = tuple(line for line in lines_of(experiments([kind])) if line.scope != "head")
        core = tuple(line for line in wide if _what(line) in {_what(c) for c in _CORE})
        for name, lines in {"core": core, "rest": tuple(line for line in wide if line not in core)}.items():
            title, compared = f"{kind}, wider scopes, {name}", int((kind, name) == (CLASSES, "core"))
            first_stages += [Stage(f"{title}: search", kind, lines, "none")]
            first_stages += [Stage(f"{title}, the first", kind, lines, "membership", part=(0, FIRST), compared=compared)]
            later_stages += (
                [Stage(f"{title}, the others", kind, lines, "membership", part=(FIRST, None))] if kind == CLASSES else []
            )
    return first_stages + later_stages


def _on_the_head(kind: str) -> list[Stage]:
    lines = tuple(line for line in lines_of(experiments([kind])) if line.scope == "head")
    attacked = tuple(line for line in lines if _what(line) in _attacked(kind))
    others = tuple(line for line in lines if line not in attacked)
    first_seed = [Stage(f"{kind}, head", kind, attacked, "membership")]
    first_seed += [Stage(f"{kind}, head, without attack", kind, others, "quick")] if others else []
    seeds = tuple(range(1, SEEDS))
    more = [Stage(f"{s.name}: more seeds", kind, s.lines, "quick", seeds) for s in first_seed if kind == CLASSES]
    return [Stage(f"{kind}, head: search", kind, lines, "none"), *first_seed, *more]


def _what(line: Line) -> tuple[Any, ...]:
    return line.method, line.scope, line.settings, line.epochs


def _attacked(kind: str) -> set[tuple[Any, ...]]:
    """The lines that are attacked, which costs more than the run itself: those of Tables 1 and 10, and rows that print it."""
    return {
        _what(line)
        for e in experiments([kind])
        for line in e.lines
        if "original" in TABLES[e.id].rows or "membership" in TABLES[e.id].rows.get(line.paper, {})
    }


class Reproduction(Task):
    """The paper's tables on one data set and model; iterate it for (fraction, what just ended). `record()` is valid at any time.

    minutes   after how many it stops by itself (None: never); what had ended is stored, and the next start goes on from there
    sets      at most so many forget sets of each kind (None: all)
    wide      False leaves out whatever goes through more layers than the head
    """

    def __init__(
        self, dataset: str, model: str, url: str, workers: int | None = None, minutes: float | None = MINUTES, wide: bool = True,
        sets: int | None = None,
    ) -> None:  # fmt: skip
        if minutes is not None and not 0.0 < minutes <= 100_000.0:
            raise ConfigError(f"minutes is {minutes!r}; it must be above 0 and at most 100000.")
        super().__init__()
        self.dataset, self.model, self.url, self.workers, self.minutes = dataset, model, url, workers, minutes
        self.grounds, self.why = grounds(dataset, model)
        self.grounds = {kind: replace(ground, requests=ground.requests[:sets]) for kind, ground in self.grounds.items()}
        self.stages = [stage for stage in (_narrowed(s, wide) for s in stages(list(self.grounds))) if stage.lines]
        self.wide, self.store = wide, Store(url)
        self._strengths: dict[tuple[Any, ...], float] = {}
        self._failed: set[str] = set()  # forget sets whose comparison failed this time

    # What runs.

    def cells(self, stage: Stage, guess: bool = False) -> list[Cell]:
        """The runs of a stage, request by request, so that all lines have run on the same requests when the time is up.

        Lines whose search has not ended are left out; with `guess` they have the strength they start from, enough for counting.
        """
        ground = self.grounds[stage.kind]
        if stage.is_search:
            return [cell for line in _searched(stage.lines) for cell in self._grid_of(line, ground)]
        cells = {}
        for request in ground.requests[slice(*stage.part)]:
            for line in stage.lines:
                strength = self.strength(line, ground)
                if request not in requests_of(line, ground) or (strength is None and not guess):
                    continue
                for seed in (s for s in seeds_of(line, ground.kind) if s in stage.seeds):
                    cell = ground.cell(line, request, strength, seed)
                    cells[cell.key if strength is not None else (line, request, seed)] = cell
        return list(cells.values())

    def _grid_of(self, line: Line, ground: Ground) -> list[Cell]:
        start = plain(line.method, line.scope, ground.target, kind=ground.kind)
        values = grid(start, VALUES["head" if line.scope == "head" else "wide"])
        configs = [with_strength(start, value) for value in values]
        return [Cell(ground.dataset, ground.model, ground.requests[0], 0, config) for config in configs]

    def strength(self, line: Line, ground: Ground) -> float | None:
        """What the search chose for the line's method at its scope, by the rule that sees no test set; None before it ended."""
        key = (ground.kind, *line.search, line.epochs)
        if key not in self._strengths:
            trials = self._tried(self._grid_of(line, ground), ground.target)
            if trials is None:
                return None
            chosen = choose(list(trials))
            share = min(1.0, trials[chosen] / line.epochs) if line.epochs else 1.0
            self._strengths[key] = float(f"{share * chosen.value:.3g}")
        return self._strengths[key]

    def _tried(self, cells: Sequence[Cell], target: float) -> dict[Tried, float] | None:
        """What the runs of a search reached, each with the epochs it took; None before all of them have ended."""
        latest = self.store.latest([cell.key for cell in cells])
        if not all(cell.key in latest for cell in cells):
            return None
        records = self.store.trajectories([latest[cell.key].id for cell in cells])
        ended = [records[latest[cell.key].id] for cell in cells]
        return {tried(record, target): record.points[-1].epoch if record.points else 1.0 for record in ended}

    # Doing it.

    def __iter__(self) -> Iterator[tuple[float, str]]:
        self.outcome, began = Outcome("running"), time.monotonic()
        until = None if self.minutes is None else began + 60.0 * self.minutes
        for number, stage in enumerate(self.stages):
            sweep = self._through(self.sweep(stage))
            for fraction, words in sweep:
                yield (number + fraction) / len(self.stages), f"{stage.name}, {words}"
                if until is not None and time.monotonic() > until:
                    sweep.cancel()
            if sweep.outcome.state != "done":
                self.outcome = self._ending(sweep.outcome, until)
                return
            yield from self._compare(until, min(stage.compared, layers.WANTED), (number + 1) / len(self.stages))
            if self.outcome.state != "running":
                return
        yield from self._compare(until, layers.WANTED, 1.0)
        if self.outcome.state == "running":
            self.outcome = Outcome("done", "Every run of every table is stored.")

    def comparisons(self) -> int:
        """How many forget sets Figure 2 still waits for."""
        return len(layers.missing(self.grounds[CLASSES])) if self.wide else 0

    def _compare(self, until: float | None, most: int, at: float) -> Iterator[tuple[float, str]]:
        """What Figure 2 needs: the head against all layers, on a few classes; the outcome says so where it was stopped."""
        ground = self.grounds[CLASSES]
        left = layers.missing(ground, most) if self.wide else []
        for request in (r for r in left if r not in self._failed):
            try:
                for fraction, words in layers.compare(ground, request):
                    yield at, f"Figure 2, {request}, {fraction:4.0%}: {words}"
                    if self.is_cancelled or (until is not None and time.monotonic() > until):
                        stopped = Outcome("cancelled", "Stopped by you; start it again to go on.")
                        self.outcome = self._ending(stopped, until)
                        return
            except ImuError as error:  # a solve that does not converge is no reason to leave the rest undone
                self._failed.add(request)
                yield at, f"Figure 2, {request}: {error}"

    def sweep(self, stage: Stage, guess: bool = False) -> Sweep:
        """The sweep that does the runs of a stage."""
        tags = ("paper", "search") if stage.is_search else ("paper",)
        cells, brief = self.cells(stage, guess), stage.is_search
        return Sweep(cells, self.url, workers=self.workers, measure=stage.measure, tags=tags, brief=brief)

    def _ending(self, outcome: Outcome, until: float | None) -> Outcome:
        if outcome.state == "cancelled" and not self.is_cancelled and until is not None and time.monotonic() > until:
            return Outcome(
                "done", f"The {self.minutes:g} minutes are over; the same command goes on from here, --full to the end."
            )
        return outcome

    def plan(self) -> list[tuple[Stage, int, int, float]]:
        """(stage, runs, runs to do, seconds of one worker) of every stage, by stored runs where there are any, else by timing."""
        pace, estimates = Pace(self.dataset, self.model, self.grounds[CLASSES].requests[0]), []
        for stage in self.stages:
            planned = self.sweep(stage, guess=True)
            plan, todo = planned.plan(), planned.pending()
            seconds = plan.seconds if plan.seconds is not None else sum(pace.of(cell, stage.measure) for cell in todo)
            estimates.append((stage, plan.total, plan.todo, seconds))
        return estimates

    # What came of it.

    def record(self, figures: dict[str, Figure] | None = None) -> TablesRecord:
        """Everything that is finished, as JSON takes it: tables with their sentences, figures, and what is missing."""
        tables = {e.id: self._table(e) for e in EXPERIMENTS.values() if e.kind in self.grounds or e.kind in self.why}
        return {
            "dataset": self.dataset, "model": self.model, "target": TARGET, "seeds": SEEDS,
            "tables": tables, "figures": figures or {},
        }  # fmt: skip

    def figures(self) -> dict[str, Figure]:
        """The data of Figures 1, 2 and 6: seconds on the head, computed here."""
        figures = distribution.figures(self.grounds)
        compared = layers.figure2(self.grounds[CLASSES])
        return figures | ({"figure2": compared} if compared else {})

    def _table(self, experiment: Experiment) -> TableRecord:
        ground = self.grounds.get(experiment.kind)
        if ground is None:
            return {"rows": [], "sentences": [], "missing": [self.why[experiment.kind]], "note": experiment.note}
        line_rows, missing, seen = [], {}, []
        for line in experiment.lines:
            made, short, runs = self._row(line, ground)
            line_rows += [made] if made else []
            for words in short:
                missing.setdefault(words, []).append(line.title)
            seen += runs
        listed = [*rows.reference_rows(seen), *line_rows]
        lacking = [*_listed(missing), *self._without_reference(listed, ground)]
        return {
            "kind": experiment.kind, "dataset": ground.dataset, "model": ground.model, "target": ground.target,
            "requests": list(ground.requests), "rows": listed, "missing": lacking,
            "sentences": sentences(experiment, TABLES[experiment.id], listed, ground.target), "note": experiment.note,
        }  # fmt: skip

    def _row(self, line: Line, ground: Ground) -> tuple[RowRecord | None, list[str], list[Summary]]:
        """(the line's row, what it lacks, its runs)."""
        strength, wanted = self.strength(line, ground), requests_of(line, ground)
        if strength is None:
            return None, ["not run yet"], []
        seeds = seeds_of(line, ground.kind)
        cells = {request: [ground.cell(line, request, strength, seed) for seed in seeds] for request in wanted}
        stored = self.store.latest([cell.key for group in cells.values() for cell in group])
        runs = {r: [stored[c.key] for c in group if c.key in stored] for r, group in cells.items()}
        runs = {r: [run for run in group if run.depth is not Measure.NONE or run.state == "failed"] for r, group in runs.items()}
        flat = [run for group in runs.values() for run in group]
        done = sum(bool(group) for group in runs.values())
        if not done:
            return None, ["not run yet"], []
        lacking = [f"{done} of {len(wanted)} forget sets so far"] if done < len(wanted) else []
        records = self.store.trajectories([run.id for run in flat])
        alone = {run.id: _alone(run, records.get(run.id)) for run in flat}
        made = rows.row(line, ground, {r: [alone[run.id] for run in group] for r, group in runs.items()}, strength)
        lasted = [record.points[-1].epoch for record in records.values() if record.points]
        made |= {"epochs": fmean(lasted)} if line.epochs and lasted else {}
        lacking += ["failed runs, whose reasons are in the store"] if made["failed"] else []
        return (made if made["each"] else None), lacking, flat

    def _without_reference(self, listed: Sequence[RowRecord], ground: Ground) -> list[str]:
        known = next((row for row in listed if row["key"] == "retrained"), {"each": {}})["each"]
        left = [request for request in ground.requests if request not in known]
        if not left or not listed:
            return []
        command = f"python -m imu_core train --problem {ground.dataset} --model {ground.model} --forget {left[0]}"
        rest = "are over the others" if len(left) < len(ground.requests) else "cannot be measured"
        return [
            f"No retrained model for {len(left)} of {len(ground.requests)} forget sets: W_dist, W1 and the average gap {rest}. "
            f"Train one with: {command}"
        ]


def _alone(run: Summary, record: Trajectory | None) -> Summary:
    """`run` with the seconds that the method itself took: judging 60,000 images takes longer than most methods do."""
    return run if record is None else replace(run, seconds=record.phases["prepare"] + record.phases["steps"])


def _narrowed(stage: Stage, wide: bool) -> Stage:
    """`stage`, without its lines at wider scopes unless they are wanted."""
    return stage if wide else replace(stage, lines=tuple(line for line in stage.lines if line.scope == "head"))


def _listed(missing: dict[str, list[str]]) -> list[str]:
    return [f"{words}: {'; '.join(titles)}." for words, titles in missing.items()]


def _searched(lines: Sequence[Line]) -> list[Line]:
    """One line for each method and scope."""
    return list({line.search: line for line in lines}.values())
