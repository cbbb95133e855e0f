"""A linear probe: a fresh head on a model's features tells whether they still hold what was forgotten."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from imu_core import runtime
from imu_core.errors import ConfigError, DataError
from imu_core.evaluation.attacks import CONTROL_SEED, UNTRAINED, Attack, descent, in_range, share_right
from imu_core.models import networks
from imu_core.numeric import as_number
from imu_core.problems.subsets import same_kind, spread
from imu_core.records.run import Problem

_PROBE, _START = 61, 62  # streams of the generator
_MOST_ASKED = 2000  # samples of one set that a probe is judged by
DECAY = {"probe": 1e-4, "shadow": 5e-4}  # λ of λ/2 ‖W‖² beside the mean loss; the shadows' is that of the models' training


class Probe(Attack):
    """Is what was forgotten still in the features? A fresh linear head is trained on every model's frozen features.

    `result[name]` is a list of {step, forgotten, others}, one entry a step of L-BFGS on a multinomial logistic regression over
    standardised features. Where whole classes go, all probes learn from one random part of the training set, the forgotten
    classes included, and `forgotten` is the accuracy on test samples of those classes. Otherwise they learn from retain
    samples alone and `forgotten` is the accuracy on the forget samples themselves. `others` is test accuracy on what is
    kept. "untrained" is the control: the same on a network with random weights, which separates more than one would think.
    A head-only method cannot change this at all: its features are the original's.

    Args: models by name; `samples` to learn from, at most; `steps`; `seed` of the draw, the same for all models.
    `sizes`: samples behind each number. Raises: ConfigError for settings outside their ranges.
    """

    def __init__(
        self, problem: Problem, models: Mapping[str, nn.Module], *, samples: int = 5000, steps: int = 40, seed: int = 0
    ) -> None:
        super().__init__(problem)
        samples = in_range("samples", samples, 10, 100_000)
        steps = in_range("steps", steps, 1, 1000)
        if not models or UNTRAINED in models:
            raise ConfigError(f"The probe needs at least one model, and none called {UNTRAINED!r}, which is its control.")
        self.models, self.steps, self.seed = dict(models), steps, as_number(seed)
        split = problem.split
        pool = torch.cat([split.forget, split.retain]) if split.classes else split.retain
        self._learn = pool[torch.randperm(len(pool), generator=runtime.generator(seed, _PROBE))[:samples]]
        self._asked = {name: (part, spread(index, _MOST_ASKED)) for name, (part, index) in _asked(problem).items()}
        self.sizes = {"learn": len(self._learn), **{name: len(index) for name, (_, index) in self._asked.items()}}
        self.result = {name: [] for name in (*self.models, UNTRAINED)}

    @property
    def numbers(self) -> dict[str, dict[str, float]]:
        """The latest accuracies of every model's probe: name → {probe_forgotten, probe_others}, fractions."""
        last = {name: points[-1] for name, points in self.result.items() if points}
        return {name: {f"probe_{key}": point[key] for key in ("forgotten", "others")} for name, point in last.items()}

    def working(self) -> Iterator[tuple[float, str]]:
        """Fit a probe on the features of each model, and of an untrained one."""
        control = networks.build(self.problem.model_name, self.problem.dataset, CONTROL_SEED)
        everybody = {**self.models, UNTRAINED: control}
        for number, (name, model) in enumerate(everybody.items()):
            yield number / len(everybody), f"features of the {name} model"
            for step in self._one(name, model):
                yield (number + step / self.steps) / len(everybody), f"probe on the {name} model, step {step} of {self.steps}"

    def _one(self, name: str, model: nn.Module) -> Iterator[int]:
        Z = self._features(model, "train", self._learn)
        labels = self.problem.train.labels[self._learn]
        scale = _Scale(Z)
        sets = {
            key: (scale(self._features(model, part, index)), getattr(self.problem, part).labels[index])
            for key, (part, index) in self._asked.items()
        }
        head = _fresh_head(Z.shape[1], len(self.problem.dataset.class_names), self.seed)
        advance = descent(head, scale(Z), labels, DECAY["probe"], iterations=1)
        for step in range(self.steps + 1):
            self._raise_if_cancelled()
            if step:
                advance()
            accuracies = {key: share_right(head, *pair) for key, pair in sets.items()}
            self.result[name].append({"step": step, **accuracies})
            yield step


def _asked(problem: Problem) -> dict[str, tuple[str, Tensor]]:
    """What a probe is judged by: name → (train | test, indices)."""
    split, labels = problem.split, problem.test.labels
    others = (~torch.isin(labels, torch.tensor(split.gone_classes, dtype=torch.int64))).nonzero()[:, 0]
    forgotten = ("test", same_kind(problem)) if split.classes else ("train", split.forget)
    if not len(forgotten[1]) or not len(others):
        raise DataError("The test set holds no sample of the forgotten classes, or of no other, so a probe cannot be judged.")
    return {"forgotten": forgotten, "others": ("test", others)}


class _Scale:
    """Features moved and scaled to mean 0 and deviation 1 over the set they were fitted on.

    By hand, because scikit-learn's `StandardScaler` divides by n where this divides by n − 1: every probe would change.
    """

    def __init__(self, Z: Tensor) -> None:
        self.mean, self.deviation = Z.mean(0), Z.std(0).clamp_min(1e-6)

    def __call__(self, Z: Tensor) -> Tensor:
        return (Z - self.mean) / self.deviation


def _fresh_head(features: int, classes: int, seed: int) -> nn.Linear:
    """A linear head with small random weights: with zeros every first choice would be class 0."""
    head = nn.utils.skip_init(nn.Linear, features, classes)  # torch's own start would draw from its global generator
    with torch.no_grad():
        head.weight.copy_(0.01 * torch.randn(classes, features, generator=runtime.generator(seed, _START)))
        head.bias.zero_()
    return head
