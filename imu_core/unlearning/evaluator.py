"""The judge of a run: the loop asks it, methods never see it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from imu_core import runtime
from imu_core.errors import Cancelled
from imu_core.methods.workspace import Workspace
from imu_core.models.inference import chunk_of
from imu_core.problems.sets import Sets, accuracies, hits

SUBSET = 500  # samples of each set that wide scopes are judged by between the first and the last step
_DRAW, _ORDER = 31, 32  # streams of the generator
_SURE = 3.0  # standard errors
_DECIMALS_OF_CHANCE = 2.0  # standard errors above 1/C that still count as chance
_HEADS, _NUMBERS = 8, 2**20  # heads, and logits of training samples, that are judged in one product at most


@dataclass(frozen=True, eq=False)
class Judgement:
    """Accuracies (fractions), and the forget samples' losses (nats) and predictions, (n evaluated,)."""

    accuracies: dict[str, float]
    forget_losses: Tensor
    forget_predictions: Tensor


class Evaluation:
    """Judges a workspace's module: on whole sets over cached features, on fixed subsets in between at wide scopes.

    The subsets are drawn once, from the problem's seed, so that two runs on one problem are judged by the same samples.
    """

    def __init__(self, workspace: Workspace, is_cancelled: Callable[[], bool]) -> None:
        self._workspace, self._problem, self._is_cancelled = workspace, workspace.problem, is_cancelled
        split, generator = self._problem.split, runtime.generator(self._problem.seed, _DRAW)
        whole = {"forget": split.forget, "retain": split.retain, "earlier": split.earlier}
        self._subsets = {name: _draw(index, generator) for name, index in whole.items() if len(index)}
        order = torch.randperm(len(split.forget), generator=runtime.generator(self._problem.seed, _ORDER))
        self._queue = split.forget[order]
        self._test = _draw(torch.arange(len(self._problem.test.labels)), generator)
        self._sets = Sets(self._problem)
        self._chunk = 500 if workspace.on_features else chunk_of(self._problem.dataset.train.images)
        self.sizes = {name: len(index) for name, index in {**whole, "test": self._problem.test.labels}.items() if len(index)}
        self._seen: tuple[Tensor, Tensor] | None = None  # logits of the last look at the whole sets through a whole model
        classes, count = len(self._problem.dataset.class_names), len(self._problem.train.labels)
        self.at_once = max(1, min(_HEADS, _NUMBERS // (classes * count)))  # heads that are judged in one product
        self.between = dict(self.sizes) if workspace.on_features else {n: min(SUBSET, size) for n, size in self.sizes.items()}

    @property
    def chance(self) -> float:
        """Test accuracy (0-1) of guessing, and two standard errors more: what is not above it still counts as chance."""
        classes, n = len(self._problem.dataset.class_names), self.between["test"]
        return 1 / classes + _DECIMALS_OF_CHANCE * math.sqrt((1 / classes) * (1 - 1 / classes) / n)

    @torch.no_grad()
    def judge(self, full: bool) -> Judgement:
        """The judgement of the module now, on whole sets if `full` or over features; Cancelled once the run is cancelled."""
        if self._workspace.on_features:
            return self.judge_heads([(self._workspace.head.weight, self._workspace.head.bias)])[0]
        self._workspace.set_mode(training=False)
        try:
            return self._whole() if full else self._subset()
        finally:
            self._workspace.set_mode(training=True)

    @torch.no_grad()
    def judge_heads(self, heads: Sequence[tuple[Tensor, Tensor]]) -> list[Judgement]:
        """Judgements of several heads, each a weight (C, d) and a bias (C,), on whole sets over cached features."""
        weight, bias = (torch.stack(parts) for parts in zip(*heads, strict=True))
        problem, forget = self._problem, self._problem.split.forget
        train, test = (_logits_of(weight, bias, part.Z) for part in (problem.train, problem.test))
        of_forget = train.index_select(2, forget)
        labels = problem.train.labels[forget].expand(len(heads), -1)
        losses, predictions = F.cross_entropy(of_forget, labels, reduction="none"), of_forget.max(1).indices
        by_head = self._sets.accuracies(_hits_of(train, problem.train.labels), _hits_of(test, problem.test.labels))
        return [Judgement(*parts) for parts in zip(by_head, losses, predictions, strict=True)]

    @property
    def logits(self) -> tuple[Tensor, Tensor] | None:
        """Logits (N, C) of the training set and (n, C) of the test set: of the head as it is, or of the last whole look."""
        if not self._workspace.on_features:
            return self._seen
        with torch.no_grad():
            return self._workspace.head(self._problem.train.Z), self._workspace.head(self._problem.test.Z)

    @torch.no_grad()
    def has_reached(self, target: float) -> bool:
        """Whether at most `target` (0-1) of the forget set is recognised; asked after every step.

        Over cached features all of it is looked at. Elsewhere one part after another, until three standard errors (of a draw
        without replacement) tell its accuracy from the target or everything has been seen: cheap far away, exact nearby.
        """
        self._workspace.set_mode(training=False)
        try:
            return self._is_at_most(target)
        finally:
            self._workspace.set_mode(training=True)

    def _is_at_most(self, target: float) -> bool:
        count, seen, right = len(self._queue), 0, 0
        for part in self._queue.split(count if self._workspace.on_features else SUBSET):
            right += int(hits(self._logits(part, self._workspace.inputs), self._problem.train.labels[part]).sum())
            seen += len(part)
            share = right / seen
            spread = max(share * (1 - share), target * (1 - target)) * (count - seen) / max(1, count - 1)
            if seen < count and abs(share - target) > _SURE * math.sqrt(spread / seen):
                break
        return share <= target

    def _whole(self) -> Judgement:
        problem, forget = self._problem, self._problem.split.forget
        train = self._logits(torch.arange(len(problem.train.labels)), self._workspace.inputs)
        test = self._logits(torch.arange(len(problem.test.labels)), self._workspace.test_inputs)
        self._seen = train, test
        by_set = accuracies(hits(train, problem.train.labels), hits(test, problem.test.labels), problem)
        return self._judgement(by_set, train[forget], forget)

    def _subset(self) -> Judgement:
        problem = self._problem
        by_set: dict[str, float] = {}
        forget_logits = torch.empty(0)
        for name, index in self._subsets.items():
            logits = self._logits(index, self._workspace.inputs)
            by_set[name] = float((logits.argmax(1) == problem.train.labels[index]).double().mean())
            if name == "forget":
                forget_logits = logits
        hit = self._logits(self._test, self._workspace.test_inputs).argmax(1) == problem.test.labels[self._test]
        by_set["test"] = float(hit.double().mean())
        if problem.split.gone_classes:
            gone = torch.isin(problem.test.labels[self._test], torch.tensor(problem.split.gone_classes))
            by_set["test_other"], by_set["test_forgotten"] = float(hit[~gone].double().mean()), float(hit[gone].double().mean())
        return self._judgement(by_set, forget_logits, self._subsets["forget"])

    def _judgement(self, by_set: dict[str, float], logits: Tensor, index: Tensor) -> Judgement:
        losses = F.cross_entropy(logits, self._problem.train.labels[index], reduction="none")
        return Judgement(by_set, losses, logits.argmax(1))

    def _logits(self, index: Tensor, inputs: Callable[[Tensor], Tensor]) -> Tensor:
        parts = []
        for part in index.split(self._chunk):
            if self._is_cancelled():
                raise Cancelled("Stopped while evaluating.")
            parts.append(self._workspace.module(inputs(part)))
        return torch.cat(parts)


def _logits_of(weight: Tensor, bias: Tensor, Z: Tensor) -> Tensor:
    """Logits (K, C, n) of features (n, d) by heads (K, C, d) and (K, C), class by class: so the largest is found sooner."""
    return torch.addmm(bias.reshape(-1, 1), weight.flatten(0, 1), Z.t()).view(*bias.shape, len(Z))


def _hits_of(logits: Tensor, labels: Tensor) -> Tensor:
    """Whether the logit of its label is the largest of each sample, bool (K, n), from logits (K, C, n), which are used up."""
    index = labels.expand(len(logits), 1, -1)
    own = logits.gather(1, index)
    logits.scatter_(1, index, -math.inf)
    own, others = own[:, 0], logits.amax(1)
    hit = own > others
    if not (hit | (own < others)).all():  # of equal logits argmax takes the first; nan is neither above nor below
        logits.scatter_(1, index, own[:, None])
        return logits.argmax(1) == labels
    return hit


def _draw(index: Tensor, generator: torch.Generator) -> Tensor:
    if len(index) <= SUBSET:
        return index
    return index[torch.randperm(len(index), generator=generator)[:SUBSET]].sort().values
