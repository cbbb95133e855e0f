"""What a method is: a function from what it may see to an objective or an edit, and one declaration."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from imu_core.errors import ConfigError, ConvergenceError
from imu_core.methods.card import Card, Look
from imu_core.numeric import as_number
from imu_core.records.run import RunConfig, Split
from imu_core.records.shapes import Value
from imu_core.settings import Setting

if TYPE_CHECKING:
    from imu_core.methods.view import View

SEES = ("forget", "retain", "statistics", "initial_weights", "training_log")
STREAMS = ("forget", "retain", "together", "in_turn", "paired")


@dataclass(frozen=True)
class Parameter(Setting):
    """A setting that a method has beyond the common ones; pages and command line build their controls from it.

    A number lies between `low` and `high`; with `choices` the value is one of them; a switch has True or False as default.
    """

    def check(self, value: Any, name: str = "") -> Any:
        """`value`, if it is allowed; ConfigError with what is allowed otherwise. A `whole` number may be written 3.0, too."""
        value = as_number(value)
        return super().check(int(value) if self.whole and isinstance(value, float) and value.is_integer() else value, name)


RETAIN_SHARE = Parameter(
    "retain_share", "Share of the retain set", 1.0, "A fixed random share of the retain set takes part.", 0.001
)
"""Its bounds hold for every method that has this setting; the default may differ."""


@dataclass(frozen=True, eq=False)
class Batch:
    """One mini-batch after its forward pass.

    `position` (n,): the place of each sample in its own set; `inputs`, `labels` (n,), `logits` (n, C); penultimate `features`
    (n, d), with gradient where the scope goes below the head; `is_forget` (n,): whether a sample belongs to the forget set.
    """

    position: Tensor
    inputs: Tensor
    labels: Tensor
    logits: Tensor
    step: int
    epoch: int
    is_forget: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.bool))
    features: Tensor | None = None

    def losses(self) -> Tensor:
        """Cross-entropy of each sample, nats, (n,), with gradient."""
        return F.cross_entropy(self.logits, self.labels, reduction="none")


class Objective:
    """What a method minimises. Called once a step; returns a scalar, or None to skip the batch.

    `refresh` runs before the forward pass of every step (IMU recomputes its scores there); `weights` are the current
    sample weights (n,) if there are any: the loop puts their summary on record. `extra` are parameters of the method's own
    that are trained beside the model's and thrown away. `before_step` and `after_step` run around the optimizer's step.
    """

    weights: Tensor | None = None
    extra: tuple[nn.Parameter, ...] = ()

    def refresh(self, step: int, epoch: int) -> None:
        """Bring the objective up to date before step `step` (from 0) of epoch `epoch` (from 0)."""

    def before_step(self) -> None:
        """Called when the gradients of a step are computed and the parameters have not moved yet."""

    def after_step(self) -> None:
        """Called when the optimizer has just moved the parameters."""

    def __call__(self, batch: Batch) -> Tensor | None:
        """The loss of one batch, a scalar with gradient, or None to skip the batch; every subclass has its own."""
        raise TypeError(f"{type(self).__name__} does not say what to minimise.")


@dataclass(frozen=True, eq=False)
class Edit:
    """What a method without steps computes: `target`, a new tensor for each parameter in scope.

    `words` join the reason in the outcome of the run. The loop walks from the original to `target` in a straight line, in equal
    parts, so that the model can be judged at any depth. Raises: ConvergenceError for nan or infinity in `target`.
    """

    target: list[Tensor]
    words: str = ""

    def __post_init__(self) -> None:
        if not all(bool(torch.isfinite(tensor).all()) for tensor in self.target):
            raise ConvergenceError(
                "The step leads to weights that are no numbers (nan or infinity). Take a shorter step, or raise the damping."
            )


@dataclass(frozen=True)
class Method:
    """The declaration of a method. Its form, glossary entry and look are made from it; fields left out have defaults.

    start        view, config → Objective, or Edit; called once, before the first step
    needs        config → the names in `SEES` that the view opens; anything else raises AccessError
    stream       the batches that drive the loop: forget | retain | together (both sets shuffled into one) | in_turn (in each
                 epoch the forget set, then the retain set) | paired (each retain batch with a forget batch); or a function of
                 the config that says which
    head, wide   whether `scope="head"` and wider scopes make sense for it
    classes      whether it can only forget whole classes
    edit         whether it computes an Edit instead of taking steps
    from_scratch whether it starts at chance, so that chance is no sign of divergence
    uses         the settings of RunConfig beyond the common ones that change what it does
    parameters   its own settings, given in `RunConfig.options`
    strength     the setting that says how strongly it acts, which a search varies
    note         what its card must say: an interpretation, or why it is not meant to lower forget accuracy
    forgets      whether it is meant to lower the forget accuracy at all
    gentle       settings of the preset "gentle" that are its own; their options hold in the other presets too
    authors      settings that the preset "authors" has for it beyond those of all methods
    fixed        settings that it has under every preset, instead of the preset's
    look         colour, dash and marker; a method without one, or with one that another has, gets a free one
    card         its entry in the glossary; without one it is made of the fields above
    """

    title: str
    family: str
    start: Callable[[View, RunConfig], Objective | Edit]
    needs: Callable[[RunConfig], frozenset[str]]
    source: str
    stream: str | Callable[[RunConfig], str] = "forget"
    head: bool = True
    wide: bool = True
    classes: bool = False
    edit: bool = False
    from_scratch: bool = False
    uses: tuple[str, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    strength: str = "learning_rate"
    note: str = ""
    forgets: bool = True
    gentle: Mapping[str, Value | dict[str, Value]] = field(default_factory=dict, hash=False)
    authors: Mapping[str, Value | dict[str, Value]] = field(default_factory=dict, hash=False)
    fixed: Mapping[str, Value | dict[str, Value]] = field(default_factory=dict, hash=False)
    look: Look | None = None
    card: Card | None = None

    def explained(self) -> Card:
        """The method's card; where it has none, a card made of its title, family and source."""
        if self.card:
            return self.card
        title, family, source = (re.sub(r"[$`\s]+", " ", text)[:60] for text in (self.title, self.family, self.source))
        short = f"{title}, of the family {family}."
        more = f"It is a method of the family {family}. Its source: {source}. What it sees stands beside each of its runs."
        return Card(title, short, more)

    def stream_for(self, config: RunConfig) -> str:
        """Which batches drive the loop under `config`, one of `STREAMS`."""
        return self.stream(config) if callable(self.stream) else self.stream

    def trains_on_retain(self, config: RunConfig) -> bool:
        """Whether the method takes steps on the retain set; an edit may read that set but takes no steps."""
        return not self.edit and self.stream_for(config) != "forget"

    def options(self, config: RunConfig) -> Mapping[str, Value]:
        """Every own setting by name, defaults filled in; ConfigError for one that does not exist or is out of range."""
        known = {p.name: p for p in self.parameters}
        unknown = sorted(set(config.options) - set(known))
        if unknown:
            has = f"its own settings are {', '.join(known)}" if known else "it has no settings of its own"
            raise ConfigError(f"{self.title} has no setting {', '.join(map(repr, unknown))}; {has}.")
        return {name: p.check(config.options.get(name, p.default)) for name, p in known.items()}

    def check(self, scope: str, split: Split) -> None:
        """Raise ConfigError where the method makes no sense at `scope`, or cannot forget what `split` asks for."""
        self.check_scope(scope)
        if self.classes and not split.classes:
            raise ConfigError(f"{self.title} can only forget whole classes. Ask for class:NAME, or choose another method.")

    def check_scope(self, scope: str) -> None:
        """Raise ConfigError where the method makes no sense at `scope`."""
        if scope == "head" and not self.head:
            raise ConfigError(f"{self.title} has no gradient in the head. Choose scope 'last:1' or 'all'.")
        if scope != "head" and not self.wide:
            raise ConfigError(f"{self.title} is defined for the head alone. Choose scope 'head'.")
