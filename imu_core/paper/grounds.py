"""What the tables are run on: data set, model, requests and depth of each kind of request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from imu_core import data
from imu_core.errors import ImuError
from imu_core.experiments.grid import Cell
from imu_core.models import checkpoints
from imu_core.paper.experiment import CLASSES, RANDOM, SUBCLASSES, TARGET, Line
from imu_core.problems.problem import NOTHING, original
from imu_core.problems.problem import problem as make_problem
from imu_core.problems.reference import retrained
from imu_core.records.data import Dataset

PARTS = ("cifar20", "cifar100")  # data sets that have subclasses, the wanted one first
SEEDS, DRAWS = 3, 10  # seeds of a run on the head; random forget sets
WIDE_DRAWS, SUBSETS = 3, 20
_SHARE = "10%"


@dataclass(frozen=True)
class Ground:
    """What one kind of request is run on: its data set, model, requests, the depth at which runs stop."""

    kind: str
    dataset: str
    model: str
    requests: tuple[str, ...]
    target: float

    def cell(self, line: Line, request: str, strength: float | None = None, seed: int = 0) -> Cell:
        """The run of `line` on one request."""
        return Cell(self.dataset, self.model, request, 0, line.config(self.target, strength, seed, self.kind))


def grounds(dataset: str, model: str) -> tuple[dict[str, Ground], dict[str, str]]:
    """(kind → Ground, kind → why it cannot be run). CheckpointError where the original itself is missing."""
    loaded = data.load(dataset)
    original(loaded, model)
    draws = tuple(f"random:{_SHARE},seed={k}" for k in range(DRAWS))
    by_kind = {
        CLASSES: Ground(CLASSES, dataset, model, _classes(loaded, model), TARGET),
        RANDOM: Ground(RANDOM, dataset, model, draws, _unseen(dataset, model, draws[0])),
    }
    parts, why = _subclasses(dataset, model)
    return by_kind | ({SUBCLASSES: parts} if parts else {}), ({SUBCLASSES: why} if why else {})


def _classes(dataset: Dataset, model: str) -> tuple[str, ...]:
    """A request for every class; those whose retrained model is stored come first, since they tell most."""
    missing = []
    for number in range(len(dataset.class_names)):
        members = (dataset.train.labels == number).nonzero()[:, 0]
        missing.append(checkpoints.find(dataset, model, members) is None)
    order = sorted(range(len(missing)), key=lambda number: missing[number])
    return tuple(f"class:{dataset.class_names[number]}" for number in order)


def _unseen(dataset: str, model: str, request: str) -> float:
    """Where runs stop that forget no whole class: how often the original recognises images it never saw, its test accuracy.

    One number for all forget sets, whether their retrained models are stored or not, or a table would compare depths.
    """
    test = make_problem(dataset, model=model, forget=request).test
    return round(float((test.logits.argmax(1) == test.labels).double().mean()), 4)


def _of_retrained(dataset: str, model: str, requests: Sequence[str]) -> float:
    """Where runs stop that forget subclasses: what the retrained models that are stored recognise of them, the mean.

    One number again. How well a model knows what it never saw differs by subclass, but is far below its test accuracy, which
    stands in only where no retrained model is stored.
    """
    references = [retrained(make_problem(dataset, model=model, forget=request)) for request in requests]
    known = [reference.accuracies["forget"] for reference in references if reference]
    return round(fmean(known), 4) if known else _unseen(dataset, model, requests[0])


def _subclasses(dataset: str, model: str) -> tuple[Ground | None, str]:
    """The ground of Table 1's second part: subclasses of CIFAR-100, the first of every superclass; else why there is none."""
    if dataset not in ("cifar10", *PARTS):
        return None, "CIFAR-100 has subclasses; this part is made together with CIFAR-10."
    names = [name for name in ((dataset,) if dataset in PARTS else PARTS) if _is_trained(name, model)]
    if not names:
        command = f"python -m imu_core train --problem {PARTS[0]} --model {model}"
        return None, f"not run: no {model} is trained on {PARTS[0]}. Train it with: {command}"
    groups = data.load(names[0]).subclasses.superclasses
    requests = tuple(f"subclass:{name}/{members[0]}" for name, members in groups.items())[:SUBSETS]
    return Ground(SUBCLASSES, names[0], model, requests, _of_retrained(names[0], model, requests)), ""


def _is_trained(dataset: str, model: str) -> bool:
    try:
        return data.is_here(dataset) and checkpoints.find(data.load(dataset), model, NOTHING) is not None
    except ImuError:
        return False


def seeds_of(line: Line, kind: str) -> range:
    """The seeds that a line is run with: several for whole classes on the head, otherwise 0 alone.

    Runs on the head cost little; runs on wide scopes do not, and random requests are draws themselves.
    """
    return range(SEEDS if line.scope == "head" and kind == CLASSES else 1)


def requests_of(line: Line, ground: Ground) -> Sequence[str]:
    """The requests that a line is run on: all; of random samples, on scopes wider than the head, only the first few."""
    few = ground.kind == RANDOM and line.scope != "head"
    return ground.requests[:WIDE_DRAWS] if few else ground.requests
