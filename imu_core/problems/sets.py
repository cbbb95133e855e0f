"""The sets of a problem, and how much of each is recognised."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from imu_core.records.run import Problem


def accuracies(train_hit: Tensor, test_hit: Tensor, problem: Problem) -> dict[str, float]:
    """Accuracies of every set from two boolean vectors, (N train,) and (N test,): was the sample classified correctly?

    forget, retain, test (all of it); where whole classes go, test_other and test_forgotten split the test set by them;
    earlier is the set an earlier request removed.
    """
    return Sets(problem).accuracies(train_hit[None], test_hit[None])[0]


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
        self._names = [name for names, _ in self._parts for name in names]
        self._sizes = [size for _, matrix in self._parts for size in matrix.double().sum(0).tolist()]

    def accuracies(self, train_hit: Tensor, test_hit: Tensor) -> list[dict[str, float]]:
        """For each of K models, from hits (K, N train) and (K, N test): set → fraction of hits, nan for a set without a sample.

        Float32 counts exactly up to 16 million samples.
        """
        counts = [hit.float() @ matrix for hit, (_, matrix) in zip((train_hit, test_hit), self._parts, strict=True)]
        return [
            {name: hit / size if size else math.nan for name, hit, size in zip(self._names, row, self._sizes, strict=True)}
            for row in torch.cat(counts, 1).tolist()
        ]


def _ones(index: Tensor, count: int) -> Tensor:
    return torch.zeros(count).index_fill_(0, index, 1.0)


def hits(logits: Tensor, labels: Tensor) -> Tensor:
    """Whether each row of `logits` (n, C) is largest at its label, bool (n,): what `argmax` says, but sooner."""
    best = logits.amax(1)
    if int((logits == best[:, None]).count_nonzero()) != len(labels):  # of equal logits argmax takes one; nan is never equal
        return logits.argmax(1) == labels
    return logits.gather(1, labels[:, None])[:, 0] == best
