"""How fast a network learns again what it has forgotten."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from imu_core import runtime
from imu_core.errors import ConfigError
from imu_core.evaluation.attacks import CONTROL_SEED, RANDOM_HEAD, Attack, in_range
from imu_core.models import networks
from imu_core.models.head import find_head, trainable
from imu_core.models.inference import chunk_of, to_input
from imu_core.numeric import as_number
from imu_core.problems.reference import retrained_model
from imu_core.problems.subsets import spread
from imu_core.records.run import Problem, scope_blocks
from imu_core.unlearning.run import Run

_RELEARN = 63  # a stream of the generator
_BATCH, _RATE = 256, 1e-3  # of relearning, with Adam
_MOST_JUDGED = 500  # forget samples that relearning over images is judged by


class Relearn(Attack):
    """How soon does the model learn again what it forgot? Adam on the forget set, its accuracy taken after every step.

    Compared are the unlearned model ("run"), the retrained one where it is stored, and a control: the original with a random
    head. Where the run learns faster than the retrained model, it had not forgotten. `result` holds

        target   forget accuracy to reach: (1 − alpha) times the original's, a fraction
        most     steps after which it gives up
        curves   name → [{step, forget}]
        steps    name → steps needed, None where `most` were not enough
        words    name → "12 steps" or "more than 40 steps"
        ain      steps of the run over steps of the retrained model (1 is ideal), None where either is unknown or 0

    Batch norm stays in eval mode. At scope head it works over cached features. Two traps: one class alone can be learned by
    answering it always, so only the comparison with the retrained model counts; and at wide scopes a model that has never seen
    the class may lose all its features on the way, its curve staying flat. data="all" trains on the whole training set.

    Args: a `run` that has ended; `scope` as in RunConfig (default: the run's own); `alpha`; `epochs` at most; `seed` of the
    order; `data`: forget | all (what is not removed, and the forget set). Raises: ConfigError.
    Source: Chundawat et al., arXiv 2205.08096; Tarun et al., arXiv 2210.08196 (AIN).
    """

    def __init__(
        self,
        problem: Problem,
        run: Run,
        *,
        scope: str | None = None,
        data: str = "forget",
        alpha: float = 0.05,
        epochs: int = 10,
        seed: int = 0,
    ) -> None:
        super().__init__(problem)
        alpha = in_range("alpha", alpha, 0.0, 1.0)
        epochs = in_range("epochs", epochs, 1, 1000)
        if data not in ("forget", "all"):
            raise ConfigError(f"data is {data!r}; allowed are 'forget' and 'all'.")
        if run.problem.describe() != problem.describe():
            raise ConfigError("This run belongs to another problem: give the problem that it ran on.")
        if not run.points or run.outcome.state in ("queued", "running"):
            raise ConfigError("The run has not ended: iterate it to its end, or stop it, before relearning.")
        self.run, self.scope, self.epochs, self.seed = run, scope or run.config.scope, epochs, as_number(seed)
        scope_blocks(self.scope)
        forget, retain = problem.split.forget, problem.split.retain
        self._pool = forget if data == "forget" else torch.cat([forget, retain])  # the forget set first: it is judged
        self._judged = torch.arange(len(forget)) if self.scope == "head" else spread(torch.arange(len(forget)), _MOST_JUDGED)
        before = problem.train.logits[forget].argmax(1) == problem.train.labels[forget]
        self._target = (1 - alpha) * float(before[self._judged].double().mean())
        self._most = epochs * math.ceil(len(self._pool) / _BATCH)
        self.result = {"target": self._target, "most": self._most, "curves": {}, "steps": {}, "words": {}, "ain": None}

    def working(self) -> Iterator[tuple[float, str]]:
        """Relearn with each candidate in turn until the forget accuracy is back."""
        candidates = {"run": self.run.model, "retrained": lambda: retrained_model(self.problem), RANDOM_HEAD: self._control}
        for number, (name, make) in enumerate(candidates.items()):
            self._raise_if_cancelled()
            yield number / len(candidates), f"relearning, {name}"
            model = make()
            if model is None:
                continue
            for step in self._one(name, model):
                yield (number + step / self._most) / len(candidates), f"relearning, {name}: step {step} of at most {self._most}"

    def _control(self) -> nn.Module:
        model = copy.deepcopy(self.problem.model)
        fresh = networks.build(self.problem.model_name, self.problem.dataset, CONTROL_SEED)
        find_head(model).load_state_dict(find_head(fresh).state_dict())
        return model

    def _one(self, name: str, model: nn.Module) -> Iterator[int]:
        module, inputs = self._start(model)
        labels = self.problem.train.labels[self._pool]
        optimizer = torch.optim.Adam([p for p in module.parameters() if p.requires_grad], lr=_RATE)
        curve = self.result["curves"][name] = []
        for step, batch in enumerate(self._batches(len(labels))):
            if batch is not None:
                self._step(module, inputs, labels, optimizer, batch)
            curve.append({"step": step, "forget": self._judge(module, inputs, labels)})
            reached = curve[-1]["forget"] >= self._target
            if reached or step == self._most:
                self._conclude(name, step if reached else None)
                return
            yield step

    def _start(self, model: nn.Module) -> tuple[nn.Module, Tensor]:
        """A copy to train, its open parameters asking for gradients, and what goes into it for the samples it learns from."""
        if self.scope == "head":
            return copy.deepcopy(find_head(model)).requires_grad_(True), self._features(model, "train", self._pool)
        module = copy.deepcopy(model).eval().requires_grad_(False)
        for parameter in trainable(module, self.scope):
            parameter.requires_grad_(True)
        return module, self.problem.dataset.train.images[self._pool]

    def _batches(self, n: int) -> Iterator[Tensor | None]:
        """None for the look before the first step, then positions among the samples: the same order for every model."""
        yield None
        for epoch in range(self.epochs):
            yield from torch.randperm(n, generator=runtime.generator(self.seed, _RELEARN, epoch)).split(_BATCH)

    def _chunks(self, inputs: Tensor, index: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """(positions, what goes in) a part at a time; between two parts it can be stopped."""
        is_image = inputs.dtype == torch.uint8
        for part in index.split(chunk_of(inputs) if is_image else len(index)):
            self._raise_if_cancelled()
            yield part, to_input(inputs[part]) if is_image else inputs[part]

    def _step(self, module: nn.Module, inputs: Tensor, labels: Tensor, optimizer: torch.optim.Optimizer, batch: Tensor) -> None:
        optimizer.zero_grad()
        for part, values in self._chunks(inputs, batch):
            (F.cross_entropy(module(values), labels[part], reduction="sum") / len(batch)).backward()
        optimizer.step()

    @torch.no_grad()
    def _judge(self, module: nn.Module, inputs: Tensor, labels: Tensor) -> float:
        hits = [module(values).argmax(1) == labels[part] for part, values in self._chunks(inputs, self._judged)]
        return float(torch.cat(hits).double().mean())

    def _conclude(self, name: str, steps: int | None) -> None:
        self.result["steps"][name] = steps
        self.result["words"][name] = f"more than {self._most} steps" if steps is None else f"{steps} step{'s' * (steps != 1)}"
        own, aim = (self.result["steps"].get(key) for key in ("run", "retrained"))
        self.result["ain"] = own / aim if own is not None and aim else None
