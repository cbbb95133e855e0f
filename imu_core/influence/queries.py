"""Who taught the head to answer as it does: influence of all training samples on one answer; the answer without the helpers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from imu_core.errors import DataError
from imu_core.influence.head import head_scores
from imu_core.influence.truth import HeadProblem
from imu_core.progress import Task
from imu_core.settings import INFLUENCE

REMOVED = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)  # how many samples go, most helpful first
DRAWS = 3  # of random samples of the same classes, as the control


@dataclass(frozen=True, eq=False)
class Without:
    """The probability of an answer once samples are gone, the head trained again without them.

    `removed` (k,) how many; `answer` is the class asked about. `helpful` and `random` (k,) are its probability without that many
    of the most helpful, and of random samples of the same classes (mean of three draws); `before` with all, when
    the head at its optimum `says` some class. `becomes` (k,) is the
    class the head answers without the helpful ones, `steadfast` (k,) the share of draws after which the answer stays.
    """

    answer: int
    says: int
    before: float
    removed: tuple[int, ...]
    helpful: Tensor
    random: Tensor
    becomes: Tensor
    steadfast: Tensor

    @property
    def needed(self) -> int | None:
        """How many of the most helpful have to go until the answer changes; None where not even the most do, or none has to."""
        if self.says != self.answer:
            return None
        return next((k for k, now in zip(self.removed, self.becomes.tolist(), strict=True) if now != self.answer), None)


class AskedWithout(Task):
    """Scores all training samples for one answer, takes the most helpful away, and trains the head again, really.

    Args:
        features, labels: (N, d) and (N,), what the head was trained on; weight, bias: the head.
        query: (d,) the features of the sample asked about; answer: the class whose probability counts.
        estimator, damping: of the scores; the head is trained to its optimum under an L2 term of the same size.

    Iterate it for (fraction done, words). `scores` (N,) is there after the first step: positive pushed the head to say `answer`.
    `found` is there at the end. Ends with ConfigError where the head is too large, ConvergenceError where no optimum is reached.
    Source: influence on a test prediction, Koh and Liang 2017; that it be checked by really retraining, Basu et al. 2021.
    """

    def __init__(
        self,
        features: Any,
        labels: Any,
        weight: Any,
        bias: Any,
        query: Any,
        answer: int,
        *,
        estimator: str = "exact",
        damping: float = INFLUENCE["damping"].default,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not 0 <= answer < len(weight):
            raise DataError(f"answer is {answer}; it must be a class from 0 to {len(weight) - 1}.")
        self._everything = HeadProblem(features, labels, len(weight), float(damping))
        self._arrays, self._head = (features, labels), (torch.as_tensor(weight).detach(), torch.as_tensor(bias).detach())
        self._query, self.answer = torch.as_tensor(query).detach(), answer
        self._estimator, self._damping, self._seed = estimator, damping, seed
        self.scores: Tensor | None = None
        self.found: Without | None = None

    def working(self) -> Iterator[tuple[float, str]]:
        """Score, then take away: the most helpful, and as a control as many random ones of the same classes."""
        yield 0.0, "asking every training sample"
        query = (self._query[None], torch.tensor([self.answer]))
        settings = {"query": query, "estimator": self._estimator, "damping": self._damping}
        self.scores = head_scores(*self._arrays, *self._head, **settings).scores
        yield 0.2, "training the head to its optimum"
        everything, start = self._everything, torch.cat([self._head[0].double(), self._head[1].double()[:, None]], 1)
        theta = start
        for _, theta in everything.optimum(start):  # noqa: B007
            self._raise_if_cancelled()
        N = len(everything.y)
        sizes = tuple(k for k in REMOVED if k < N // 2)
        order = self.scores.argsort(descending=True, stable=True)
        generator, gone = torch.Generator().manual_seed(self._seed), []
        for k in sizes:
            gone.append(order[:k])
            gone += [self._alike(order[:k], generator) for _ in range(DRAWS)]
        weights = everything.full_weights().repeat(len(gone), 1)
        for row, removed in zip(weights, gone, strict=True):
            row[removed] = 0
        thetas = theta.repeat(len(gone), 1, 1)
        for done, thetas in everything.refits(theta, weights):  # noqa: B007
            yield 0.3 + 0.7 * done / len(gone), f"training again without samples: {done} of {len(gone)}"
            self._raise_if_cancelled()
        after = everything.probabilities(thetas, self._query).view(len(sizes), 1 + DRAWS, -1)
        before = everything.probabilities(theta[None], self._query)[0]
        self.found = Without(
            self.answer,
            int(before.argmax()),
            float(before[self.answer]),
            sizes,
            after[:, 0, self.answer],
            after[:, 1:, self.answer].mean(1),
            after[:, 0].argmax(1),
            (after[:, 1:].argmax(2) == self.answer).double().mean(1),
        )

    def _alike(self, removed: Tensor, generator: torch.Generator) -> Tensor:
        """As many random samples of each class as `removed` holds."""
        labels, drawn = self._everything.y, []
        for c, count in zip(*labels[removed].unique(return_counts=True), strict=True):
            own = (labels == c).nonzero().flatten()
            drawn.append(own[torch.randperm(len(own), generator=generator)[: int(count)]])
        return torch.cat(drawn)
