"""The nouns of the engine, frozen: what one package hands to the next. No record is changed after it is made."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any

import torch
from pydantic import AllowInfNan, Field, Strict, StrictBool, StrictInt, StringConstraints, TypeAdapter, ValidationError
from torch import Tensor, nn

from imu_core.errors import ConfigError, told
from imu_core.numeric import as_number
from imu_core.records.data import Copies, Dataset
from imu_core.records.outcome import Outcome
from imu_core.records.shapes import About, Json, Metrics, Settings, Value
from imu_core.settings import RUN


@dataclass(frozen=True, eq=False)
class Split:
    """Which training samples must go. `forget`, `retain`, `earlier`: ascending int64 indices, disjoint, together all.

    `classes` are the classes that `forget` contains entirely (empty for random sets); `earlier` holds the samples that
    a previous request already removed: they belong to neither set.
    """

    request: str
    forget: Tensor
    retain: Tensor
    classes: tuple[int, ...] = ()
    earlier: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.int64))
    earlier_classes: tuple[int, ...] = ()

    @property
    def removed(self) -> Tensor:
        """Every sample a retrained reference must not see: this request and the earlier ones, ascending."""
        return torch.cat([self.forget, self.earlier]).sort().values

    @property
    def gone_classes(self) -> tuple[int, ...]:
        """Classes that this request or an earlier one removes entirely, ascending."""
        return tuple(sorted({*self.classes, *self.earlier_classes}))


@dataclass(frozen=True, eq=False)
class Features:
    """Penultimate features `Z` (N, d), `labels` (N,) and the original head's `logits` (N, C) of one image set."""

    Z: Tensor
    labels: Tensor
    logits: Tensor

    @cached_property
    def losses(self) -> Tensor:
        """Cross-entropy of each sample under the original head, nats, (N,)."""
        return nn.functional.cross_entropy(self.logits, self.labels, reduction="none")


@dataclass(frozen=True, eq=False)
class Influence:
    """Signed scores (n,) of the forget samples, with what the weights and the pages need beside them.

    `scores` are in the paper's sign: s_i = (1/N) g_F^T (H + λI)^-1 g_i, positive = helpful. `total` is that N.
    `residual` is the true relative residual of the solve, `iterations` its steps (both 0 for closed forms). `scope` says whose
    gradients and curvature these are: the head's, or those of more layers.
    """

    scores: Tensor
    losses: Tensor
    gradient_norms: Tensor
    estimator: str
    damping: float
    total: int
    residual: float = 0.0
    iterations: int = 0
    seconds: float = 0.0
    scope: str = "head"


_MOST_OPTIONS = 40


@dataclass(frozen=True)
class RunConfig:
    """Every setting of one unlearning run; checked when made, and the same as JSON, as a link and as Python.

    What each means, its range and its default stand in `imu_core.settings.RUN`. `options` holds the method's own settings by
    name, as its `parameters` in the registry list them; what is left out is default.
    """

    method: str = RUN["method"].default
    scope: str = RUN["scope"].default
    bn: str = RUN["bn"].default
    epochs: int = RUN["epochs"].default
    learning_rate: float = RUN["learning_rate"].default
    batch_size: int = RUN["batch_size"].default
    optimizer: str = RUN["optimizer"].default
    momentum: float = RUN["momentum"].default
    weight_decay: float = RUN["weight_decay"].default
    schedule: str = RUN["schedule"].default
    augment: bool = RUN["augment"].default
    seed: int = RUN["seed"].default
    stop_at: float | None = RUN["stop_at"].default
    eval_every: int | None = RUN["eval_every"].default
    estimator: str = RUN["estimator"].default
    damping: float = RUN["damping"].default
    psi: str = RUN["psi"].default
    top: float = RUN["top"].default
    clip_quantile: float | None = RUN["clip_quantile"].default
    control: str | None = RUN["control"].default
    update_every: int | str = RUN["update_every"].default
    weight_norm: str = RUN["weight_norm"].default
    l1: float = RUN["l1"].default
    beta: float = RUN["beta"].default
    options: dict[str, Value] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        for setting in dataclasses.fields(self):
            value = as_number(getattr(self, setting.name))
            if setting.name in RUN:
                RUN[setting.name].check(value)
            object.__setattr__(self, setting.name, value)
        object.__setattr__(self, "options", _checked_options(self.options))

    def changed(self) -> Settings:
        """The settings that differ from the defaults, plus method and scope: enough to repeat the run."""
        default = {f.name: f.default for f in dataclasses.fields(self)} | {"options": {}}
        return {
            name: value
            for name, value in dataclasses.asdict(self).items()
            if name in ("method", "scope") or value != default[name]
        }

    @classmethod
    def from_dict(cls, values: Settings) -> RunConfig:
        """A checked config from JSON-like `values`; unknown names get a ConfigError that lists the known ones."""
        known = [f.name for f in dataclasses.fields(cls)]
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise ConfigError(f"Unknown setting {', '.join(map(repr, unknown))}; known settings: {', '.join(known)}.")
        return cls(**values)


_Short = Annotated[str, Strict(), StringConstraints(max_length=100)]
_Option = StrictBool | StrictInt | Annotated[float, Strict(), AllowInfNan(False)] | _Short | None
_OPTIONS = TypeAdapter(Annotated[dict[_Short, _Option], Field(max_length=_MOST_OPTIONS)])


def _checked_options(given: Any) -> dict[str, Value]:
    """A copy of a method's own settings: few names, and values that JSON knows."""
    try:
        options = {name: as_number(value) for name, value in given.items()} if isinstance(given, dict) else given
        return dict(sorted(_OPTIONS.validate_python(options).items()))
    except ValidationError as error:
        where = error.errors(include_url=False)[0]["loc"]
    if not where:
        raise ConfigError(f"options is {told(given)}; it must be a mapping of at most {_MOST_OPTIONS} settings by name.")
    raise ConfigError(
        f"Option {told(where[0])} is {told(given.get(where[0]))}; it must be a number, a short text, true or false."
    )


def scope_blocks(scope: str) -> int | None:
    """Blocks below the head that `scope` opens: head 0, last:K K, all None; ConfigError for anything else."""
    RUN["scope"].check(scope)
    return {"head": 0, "all": None}[scope] if ":" not in scope else int(scope.partition(":")[2])


@dataclass(frozen=True, eq=False)
class Problem:
    """What must be forgotten, from which model: everything a run starts from. The model is shared: never change it."""

    dataset: Dataset
    model_name: str
    model: nn.Module
    train: Features
    test: Features
    split: Split
    seed: int = 0
    history: tuple[tuple[str, Settings], ...] = ()  # (request, config) of every run that came before, oldest first

    @property
    def head(self) -> nn.Linear:
        """The model's classifier head (shared; copy before training)."""
        return [module for module in self.model.modules() if isinstance(module, nn.Linear)][-1]

    @cached_property
    def copies(self) -> Copies:
        """Counts of the images that occur twice, pixel by pixel: in the sets of the data, and in forget and retain set."""
        train, _ = self.dataset.prints
        shared = int(torch.isin(train[self.split.forget], train[self.split.retain]).sum())
        return dataclasses.replace(self.dataset.copies, forget_in_retain=shared)

    def describe(self) -> About:
        """The problem in words and numbers, for records, links and headings."""
        return {
            "dataset": self.dataset.name,
            "model": self.model_name,
            "forget": self.split.request,
            "seed": self.seed,
            "history": [{"forget": request, "config": config} for request, config in self.history],
        }


@dataclass(frozen=True, eq=False)
class Point:
    """One evaluated step. Accuracies are fractions; `forget_losses` (nats) and `forget_predictions` are (n evaluated,).

    `head` holds (W, b) at head scope, so that any step can be replayed. `full` marks evaluations on whole sets.
    """

    step: int
    epoch: float
    seconds: float
    loss: float | None
    accuracies: dict[str, float]
    weights: dict[str, float] | None = None
    forget_losses: Tensor | None = None
    forget_predictions: Tensor | None = None
    head: tuple[Tensor, Tensor] | None = None
    full: bool = True


def finite(value: Any) -> Any:
    """`value` with every nan and infinity inside it replaced by None: JSON knows neither."""
    if isinstance(value, dict):
        return {name: finite(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@dataclass(frozen=True, eq=False)
class Trajectory:
    """A run on record: config, problem, points, seconds by phase, outcome, final metrics, set sizes, environment.

    `costs`: moved, ‖θ − θ₀‖₂ over the parameters in scope at the end; peak_bytes, by how much the whole process grew at most
    while it ran (other runs in the same process included). `images`: files left out and images that are there twice
    (`data.notes.counted`).
    """

    config: RunConfig
    problem: About
    points: tuple[Point, ...]
    phases: dict[str, float]
    outcome: Outcome
    sizes: dict[str, int]
    saw: tuple[str, ...] = ()
    metrics: Metrics = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    costs: dict[str, float] = field(default_factory=dict)
    images: dict[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Json]:
        """The record as JSON-ready values, without the per-sample arrays and the heads (`from_dict` reads it back)."""
        scalars = ("step", "epoch", "seconds", "loss", "accuracies", "weights", "full")
        return {
            "config": dataclasses.asdict(self.config),
            "problem": self.problem,
            "points": [finite({name: getattr(point, name) for name in scalars}) for point in self.points],
            "phases": self.phases,
            "outcome": dataclasses.asdict(self.outcome),
            "sizes": self.sizes,
            "saw": list(self.saw),
            "metrics": finite(self.metrics),
            "environment": self.environment,
            "costs": finite(self.costs),
            "images": self.images,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Json]) -> Trajectory:
        """The trajectory that `to_dict` wrote; ConfigError where `values` are none."""
        try:
            return cls(
                RunConfig.from_dict(values["config"]),
                values["problem"],
                tuple(Point(**point) for point in values["points"]),
                values["phases"],
                Outcome.from_dict(values["outcome"]),
                values["sizes"],
                tuple(values["saw"]),
                values["metrics"],
                values["environment"],
                values.get("costs", {}),
                values.get("images", {}),
            )
        except (KeyError, TypeError) as error:
            raise ConfigError(f"This is not a run exported by imu_core: {error}.") from error
