"""Attacks that train something to find out what is left: a linear probe, relearning, and shadow heads.

Each is iterated for (fraction done, what is happening), fills `result` as it goes, and ends at once after `cancel()`.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from imu_core import models as architectures
from imu_core import runtime
from imu_core.errors import ConfigError, DataError
from imu_core.evaluation.measurement import same_kind, spread
from imu_core.metrics import thresholds
from imu_core.metrics.lira import u_lira
from imu_core.models.head import find_head, head_name, split_head, trainable
from imu_core.numeric import as_number, is_number
from imu_core.problems.reference import retrained, retrained_model
from imu_core.progress import Stoppable
from imu_core.records import Features, Problem, RunConfig, scope_blocks
from imu_core.training.loop import chunk_of, to_input
from imu_core.unlearning.run import Run

UNTRAINED, RANDOM_HEAD = "untrained", "random head"  # the controls of the probe and of relearning
_PROBE, _START, _RELEARN, _HALVES = 61, 62, 63, 64  # streams of the generator
_CONTROL = 1  # the seed of the controls' random weights; trained models start from 0
_MOST_ASKED = 2000  # samples of one set that a probe is judged by
_MOST_JUDGED = 500  # forget samples that relearning over images is judged by
_BATCH, _RATE = 256, 1e-3  # of relearning, with Adam
_DECAY = {"probe": 1e-4, "shadow": 5e-4}  # λ of λ/2 ‖W‖² beside the mean loss; the shadows' is that of the models' training
_ROUNDS, _ITERATIONS = 10, 20  # L-BFGS iterations for a shadow head, in rounds between which it can be stopped
_ENOUGH = 1e-3  # relative gain of a round below which a shadow head is trained


class Attack(Stoppable):
    """What the attacks share: `result` is valid at any time, `outcome` says how it ended (errors of the engine: failed)."""

    STOPPED = "Stopped by you; what was found before stays."

    def __init__(self, problem: Problem) -> None:
        super().__init__()
        self.problem = problem
        self.result: dict[str, Any] = {}

    @torch.no_grad()
    def _features(self, model: nn.Module, part: str, index: Tensor) -> Tensor:
        """Penultimate features (n, d) of samples `index` of the set `part` (train | test), from memory where they are known."""
        known = self._known(model, part)
        if known is not None:
            return known.Z[index]
        images = getattr(self.problem.dataset, part).images[index]
        backbone, _ = split_head(model)
        backbone.eval()
        found = []
        for chunk in images.split(chunk_of(images)):
            self._raise_if_cancelled()
            found.append(backbone(to_input(chunk)))
        return torch.cat(found)

    def _known(self, model: nn.Module, part: str) -> Features | None:
        if same_backbone(model, self.problem.model):
            return getattr(self.problem, part)
        stored = retrained_model(self.problem)
        if stored is not None and same_backbone(model, stored):
            return getattr(retrained(self.problem), part)
        return None


def same_backbone(one: nn.Module, other: nn.Module) -> bool:
    """Whether two models compute the same features: every tensor below the head is the same, buffers included."""
    if one is other:
        return True
    states = []
    for model in (one, other):
        head = head_name(model) + "."
        states.append({name: tensor for name, tensor in model.state_dict().items() if not name.startswith(head)})
    a, b = states
    return type(one) is type(other) and a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


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
        samples = _in_range("samples", samples, 10, 100_000)
        steps = _in_range("steps", steps, 1, 1000)
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
        """Where every model's probe stands: name → {probe_forgotten, probe_others}, fractions."""
        last = {name: points[-1] for name, points in self.result.items() if points}
        return {name: {f"probe_{key}": point[key] for key in ("forgotten", "others")} for name, point in last.items()}

    def working(self) -> Iterator[tuple[float, str]]:
        """Fit a probe on the features of each model, and of an untrained one."""
        control = architectures.build(self.problem.model_name, self.problem.dataset, _CONTROL)
        everybody = {**self.models, UNTRAINED: control}
        for number, (name, model) in enumerate(everybody.items()):
            yield number / len(everybody), f"features of the {name} model"
            for step in self._one(name, model):
                yield (number + step / self.steps) / len(everybody), f"probe on the {name} model, step {step} of {self.steps}"

    def _one(self, name: str, model: nn.Module) -> Iterator[int]:
        Z = self._features(model, "train", self._learn)
        labels = self.problem.train.labels[self._learn]
        scale = _Scale(Z)
        asked = {
            key: (scale(self._features(model, part, index)), getattr(self.problem, part).labels[index])
            for key, (part, index) in self._asked.items()
        }
        head = _fresh_head(Z.shape[1], len(self.problem.dataset.class_names), self.seed)
        advance = _descent(head, scale(Z), labels, _DECAY["probe"], iterations=1)
        for step in range(self.steps + 1):
            self._raise_if_cancelled()
            if step:
                advance()
            found = {key: _accuracy(head, *pair) for key, pair in asked.items()}
            self.result[name].append({"step": step, **found})
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
    """Features moved and scaled to mean 0 and deviation 1 over the set they were fitted on."""

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


def _descent(head: nn.Linear, Z: Tensor, labels: Tensor, decay: float, iterations: int) -> Callable[[], float]:
    """A function that takes `iterations` L-BFGS steps on mean cross-entropy + decay/2 ‖W‖² and returns the loss before them."""
    optimizer = torch.optim.LBFGS(
        head.parameters(), max_iter=iterations, history_size=20, line_search_fn="strong_wolfe", tolerance_grad=1e-6
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(head(Z), labels) + decay / 2 * head.weight.square().sum()
        value.backward()
        return value

    return lambda: float(optimizer.step(loss).detach())


@torch.no_grad()
def _accuracy(module: nn.Module, inputs: Tensor, labels: Tensor) -> float:
    return float((module(inputs).argmax(1) == labels).double().mean())


class Relearn(Attack):
    """How soon does the model learn again what it forgot? Adam on the forget set, its accuracy taken after every step.

    Compared are the unlearned model ("run"), the retrained one where it is stored, and a control: the original with a random
    head. What comes back faster than the retrained model learns it had not gone. `result` holds

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
        alpha = _in_range("alpha", alpha, 0.0, 1.0)
        epochs = _in_range("epochs", epochs, 1, 1000)
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
        fresh = architectures.build(self.problem.model_name, self.problem.dataset, _CONTROL)
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


class ShadowAttack(Attack):
    """U-LiRA on the head: are heads that learned the forget set and unlearned it like heads that never saw it?

    For each of K random halves S of the retain set two heads are trained from scratch over the frozen features: one on S and
    the forget set, then unlearned with `config`; one on S alone. `metrics.lira.u_lira` is asked to tell them apart by the
    margin of every forget sample, each pair judged by the others. `result` holds, from the second pair on,

        auc, balanced_accuracy, tpr_at_1_fpr   of telling "trained, then unlearned" from "never trained": 0.5, 0.5, 0.01 = private
        before    the same numbers before unlearning: what there was to hide
        shadows   pairs so far; words: what the numbers rest on

    The features below were trained on everything, so this attacks the head alone and finds too little, never too much. Every
    run draws its batches with a seed of its own. `margins` holds the φ (K, n) of "unlearned", "never" and "trained" heads.

    Args: `config` of the run, scope head, bn eval, no augmentation; `shadows` K, 2 to 256. Raises: ConfigError for anything
    else, and for methods that read statistics or logs of the original training: those do not fit a shadow.
    Cost: about a second a pair on the images that ship. Source: Hayes et al., arXiv 2403.01218.
    """

    def __init__(self, problem: Problem, config: RunConfig, shadows: int = 16, seed: int = 0) -> None:
        super().__init__(problem)
        shadows = _in_range("shadows", shadows, 2, 256)
        if config.scope != "head" or config.bn != "eval" or config.augment:
            raise ConfigError(
                f"This run has scope {config.scope!r}, batch norm in {config.bn} mode and augment={config.augment}; shadow heads "
                "repeat runs with scope 'head', bn 'eval' and no augmentation. Run the method so, then attack that."
            )
        needs = " and ".join(sorted(Run(problem, config).granted & {"statistics", "training_log"})).replace("_", " ")
        if needs:
            raise ConfigError(
                f"{config.method} reads the {needs} of the original training, which shadow heads do not have. Choose a method "
                "that works from the forget and retain set."
            )
        self.config, self.shadows, self.seed = config, shadows, as_number(seed)
        self.margins: dict[str, list[Tensor]] = {"unlearned": [], "never": [], "trained": []}
        self._run: Run | None = None
        self.result = {"shadows": 0}

    def cancel(self) -> None:
        """Ask the attack to stop; safe from any thread. The pairs that are complete stay."""
        super().cancel()
        if self._run is not None:
            self._run.cancel()

    def working(self) -> Iterator[tuple[float, str]]:
        """Fit pairs of heads, with the forget set and without, and unlearn the first of each."""
        forget, retain = self.problem.split.forget, self.problem.split.retain
        for k in range(self.shadows):
            half = retain[torch.randperm(len(retain), generator=runtime.generator(self.seed, _HALVES, k))[: len(retain) // 2]]
            half = half.sort().values
            title = f"pair {k + 1} of {self.shadows}"
            yield k / self.shadows, f"{title}: a head that learns the forget set"
            learned = self._fit(torch.cat([half, forget]))
            yield (k + 0.4) / self.shadows, f"{title}: unlearning it"
            unlearned = self._unlearn(learned, half, k)
            yield (k + 0.6) / self.shadows, f"{title}: a head that never sees it"
            self._add(learned, unlearned, self._fit(half))

    def _fit(self, index: Tensor) -> nn.Linear:
        """A head trained from zero on training samples `index`, until its regularised loss hardly falls."""
        problem = self.problem
        head = nn.utils.skip_init(nn.Linear, problem.train.Z.shape[1], len(problem.dataset.class_names))
        nn.init.zeros_(head.weight)
        nn.init.zeros_(head.bias)
        advance = _descent(head, problem.train.Z[index], problem.train.labels[index], _DECAY["shadow"], _ITERATIONS)
        last = math.inf
        for _ in range(_ROUNDS):
            self._raise_if_cancelled()
            loss = advance()
            if last - loss < _ENOUGH * loss:
                break
            last = loss
        return head.requires_grad_(False)

    def _unlearn(self, head: nn.Linear, half: Tensor, k: int) -> nn.Linear:
        """The head after the attacked method, which sees this half of the retain set and not the other."""
        config = dataclasses.replace(self.config, seed=(self.config.seed + k) % 2**31, eval_every=10**9)
        run = self._run = Run(with_head(self.problem, head, half), config)
        self._raise_if_cancelled()
        for _ in run:
            pass
        self._raise_if_cancelled()
        if run.outcome.state == "failed" or not all(bool(t.isfinite().all()) for t in run.points[-1].head):
            raise ConfigError(f"A shadow head could not be unlearned: {run.outcome.reason}")
        unlearned = copy.deepcopy(head)
        with torch.no_grad():
            for parameter, value in zip((unlearned.weight, unlearned.bias), run.points[-1].head, strict=True):
                parameter.copy_(value)
        return unlearned

    @torch.no_grad()
    def _add(self, learned: nn.Linear, unlearned: nn.Linear, never: nn.Linear) -> None:
        forget = self.problem.split.forget
        Z, labels = self.problem.train.Z[forget], self.problem.train.labels[forget]
        for name, head in (("trained", learned), ("unlearned", unlearned), ("never", never)):
            self.margins[name].append(thresholds.margins(head(Z), labels))
        pairs = len(self.margins["never"])
        self.result["shadows"] = pairs
        if pairs < 2:
            return
        trained, after, without = (torch.stack(self.margins[name]) for name in ("trained", "unlearned", "never"))
        self.result |= u_lira(after, without)._asdict()
        self.result["before"] = u_lira(trained, without)._asdict()
        self.result["words"] = (
            f"{pairs} pairs of heads, {len(forget):,} forget sample{'s' * (len(forget) != 1)}. The layers below the head were "
            "trained on everything, so what they give away is not counted."
        )


@torch.no_grad()
def with_head(problem: Problem, head: nn.Linear, retain: Tensor) -> Problem:
    """`problem` with another head over the same features, and a retain set of its own; nothing of the original is changed.

    What is in neither set is in no set at all: methods must not see it.
    """
    model = copy.deepcopy(problem.model)
    find_head(model).load_state_dict(head.state_dict())
    train, test = (Features(part.Z, part.labels, head(part.Z)) for part in (problem.train, problem.test))
    split = dataclasses.replace(problem.split, retain=retain)
    return dataclasses.replace(problem, model=model, train=train, test=test, split=split)


def _in_range(name: str, value: Any, low: float, high: float) -> Any:
    """`value` as Python's own number; ConfigError where it is none from `low` to `high`."""
    value = as_number(value)
    if not is_number(value) or not low <= value <= high:
        raise ConfigError(f"{name} is {value!r}; it must be a number from {low:,} to {high:,}.")
    return value
