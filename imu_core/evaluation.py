"""The judge of a run: the loop asks it, methods never see it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from imu_core import runtime
from imu_core.arena import Arena
from imu_core.errors import Cancelled
from imu_core.records import Problem
from imu_core.training import chunk_of

SUBSET = 500  # samples of each set that wide scopes are judged by between the first and the last step
_DRAW, _ORDER = 31, 32  # streams of the generator
_SURE = 3.0  # standard errors


@dataclass(frozen=True, eq=False)
class Judgement:
    """Accuracies (fractions), and the forget samples' losses (nats) and predictions, (n evaluated,)."""

    accuracies: dict[str, float]
    forget_losses: Tensor
    forget_predictions: Tensor


def accuracies(train_hit: Tensor, test_hit: Tensor, problem: Problem) -> dict[str, float]:
    """Accuracies of every set from two boolean vectors, (N train,) and (N test,): was the sample classified correctly?

    forget, retain, test (all of it); where whole classes go, test_other and test_forgotten split the test set by them;
    earlier is the set an earlier request removed.
    """
    return Sets(problem).accuracies(train_hit, test_hit)


class Sets:
    """Every set of `problem` as a column of zeros and ones over the training set or the test set: one product counts all hits."""

    def __init__(self, problem: Problem) -> None:
        split, count, labels = problem.split, len(problem.train.labels), problem.test.labels
        train = {"forget": _ones(split.forget, count), "retain": _ones(split.retain, count)}
        test = {"test": torch.ones(len(labels))}
        if split.gone_classes:
            gone = torch.isin(labels, torch.tensor(split.gone_classes)).float()
            test |= {"test_other": 1 - gone, "test_forgotten": gone}
        if len(split.earlier):
            train["earlier"] = _ones(split.earlier, count)
        self._parts = [(tuple(part), torch.stack(list(part.values()), 1)) for part in (train, test)]
        self._sizes = [matrix.double().sum(0).tolist() for _, matrix in self._parts]

    def accuracies(self, train_hit: Tensor, test_hit: Tensor) -> dict[str, float]:
        """Set → fraction of hits; nan for a set without a sample. Float32 counts exactly up to 16 million samples."""
        counts = [(hit.float() @ matrix).tolist() for hit, (_, matrix) in zip((train_hit, test_hit), self._parts, strict=True)]
        return {
            name: hit / size if size else math.nan
            for (names, _), hits_of, sizes in zip(self._parts, counts, self._sizes, strict=True)
            for name, hit, size in zip(names, hits_of, sizes, strict=True)
        }


def _ones(index: Tensor, count: int) -> Tensor:
    return torch.zeros(count).index_fill_(0, index, 1.0)


def hits(logits: Tensor, labels: Tensor) -> Tensor:
    """Whether each row of `logits` (n, C) is largest at its label, bool (n,): what `argmax` says, but sooner."""
    best = logits.amax(1)
    if int((logits == best[:, None]).count_nonzero()) != len(labels):  # of equal logits argmax takes one; nan is never equal
        return logits.argmax(1) == labels
    return logits.gather(1, labels[:, None])[:, 0] == best


class Evaluation:
    """Judges an arena's module: on whole sets over cached features, on fixed subsets in between at wide scopes.

    The subsets are drawn once, from the problem's seed, so that two runs on one problem are judged by the same samples.
    """

    def __init__(self, arena: Arena, is_cancelled: Callable[[], bool]) -> None:
        self._arena, self._problem, self._is_cancelled = arena, arena.problem, is_cancelled
        split, generator = self._problem.split, runtime.generator(self._problem.seed, _DRAW)
        whole = {"forget": split.forget, "retain": split.retain, "earlier": split.earlier}
        self._subsets = {name: _draw(index, generator) for name, index in whole.items() if len(index)}
        order = torch.randperm(len(split.forget), generator=runtime.generator(self._problem.seed, _ORDER))
        self._queue = split.forget[order]
        self._test = _draw(torch.arange(len(self._problem.test.labels)), generator)
        self._sets = Sets(self._problem)
        self._chunk = 500 if arena.on_features else chunk_of(self._problem.dataset.train.images)
        self.sizes = {name: len(index) for name, index in {**whole, "test": self._problem.test.labels}.items() if len(index)}
        self.logits: tuple[Tensor, Tensor] | None = None  # of the last look at the whole sets
        self.between = dict(self.sizes) if arena.on_features else {n: min(SUBSET, size) for n, size in self.sizes.items()}

    @torch.no_grad()
    def judge(self, full: bool) -> Judgement:
        """Evaluate now; raises Cancelled between two chunks once the run is cancelled."""
        self._arena.set_mode(training=False)
        try:
            return self._whole() if full or self._arena.on_features else self._subset()
        finally:
            self._arena.set_mode(training=True)

    @torch.no_grad()
    def has_reached(self, target: float) -> bool:
        """Whether at most `target` (0-1) of the forget set is recognised; asked after every step.

        Over cached features all of it is looked at. Elsewhere one part after another, until three standard errors (of a draw
        without replacement) tell its accuracy from the target or everything has been seen: cheap far away, exact nearby.
        """
        self._arena.set_mode(training=False)
        try:
            return self._is_at_most(target)
        finally:
            self._arena.set_mode(training=True)

    def _is_at_most(self, target: float) -> bool:
        count, seen, right = len(self._queue), 0, 0
        for part in self._queue.split(count if self._arena.on_features else SUBSET):
            right += int(hits(self._logits(part, self._arena.inputs), self._problem.train.labels[part]).sum())
            seen += len(part)
            share = right / seen
            spread = max(share * (1 - share), target * (1 - target)) * (count - seen) / max(1, count - 1)
            if seen < count and abs(share - target) > _SURE * math.sqrt(spread / seen):
                break
        return share <= target

    def _whole(self) -> Judgement:
        self.logits = train, test = self._all_logits()
        train_hit, test_hit = hits(train, self._problem.train.labels), hits(test, self._problem.test.labels)
        forget = self._problem.split.forget
        return self._judgement(self._sets.accuracies(train_hit, test_hit), train[forget], forget)

    def _all_logits(self) -> tuple[Tensor, Tensor]:
        problem = self._problem
        if self._arena.on_features:
            return _through(self._arena.head, problem.train.Z), _through(self._arena.head, problem.test.Z)
        train = self._logits(torch.arange(len(problem.train.labels)), self._arena.inputs)
        return train, self._logits(torch.arange(len(problem.test.labels)), self._arena.test_inputs)

    def _subset(self) -> Judgement:
        problem = self._problem
        found: dict[str, float] = {}
        forget_logits = torch.empty(0)
        for name, index in self._subsets.items():
            logits = self._logits(index, self._arena.inputs)
            found[name] = float((logits.argmax(1) == problem.train.labels[index]).double().mean())
            if name == "forget":
                forget_logits = logits
        hit = self._logits(self._test, self._arena.test_inputs).argmax(1) == problem.test.labels[self._test]
        found["test"] = float(hit.double().mean())
        if problem.split.gone_classes:
            gone = torch.isin(problem.test.labels[self._test], torch.tensor(problem.split.gone_classes))
            found["test_other"], found["test_forgotten"] = float(hit[~gone].double().mean()), float(hit[gone].double().mean())
        return self._judgement(found, forget_logits, self._subsets["forget"])

    def _judgement(self, found: dict[str, float], logits: Tensor, index: Tensor) -> Judgement:
        losses = F.cross_entropy(logits, self._problem.train.labels[index], reduction="none")
        return Judgement(found, losses, logits.argmax(1))

    def _logits(self, index: Tensor, inputs: Callable[[Tensor], Tensor]) -> Tensor:
        parts = []
        for part in index.split(self._chunk):
            if self._is_cancelled():
                raise Cancelled("Stopped while evaluating.")
            parts.append(self._arena.module(inputs(part)))
        return torch.cat(parts)


def _through(head: nn.Linear, Z: Tensor) -> Tensor:
    """`head(Z)`, (n, C), laid out class by class: the largest of few classes is found sooner so."""
    if head.bias is None:
        return head(Z)
    return torch.addmm(head.bias[:, None], head.weight, Z.t()).t()


def _draw(index: Tensor, generator: torch.Generator) -> Tensor:
    if len(index) <= SUBSET:
        return index
    return index[torch.randperm(len(index), generator=generator)[:SUBSET]].sort().values
