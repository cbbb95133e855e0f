"""Every setting of a run, an influence estimate and a training, once: its type, range, label, help and default.

`RunConfig`, `Recipe`, the methods' own parameters, the widgets of the pages, the options of the commands, links, sweep files and
imports all read these tables, so that one range and one sentence hold wherever a value comes from. pydantic does the checking.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field, Strict, StringConstraints, TypeAdapter, ValidationError

from imu_core.errors import ConfigError, told
from imu_core.numeric import as_number


@dataclass(frozen=True)
class Setting:
    """A setting by name, with everything that a check, a widget, a command's option or the glossary says of it.

    A number lies between `low` and `high`, both ends included unless `above` or `below` excludes one. With `choices` the value
    is one of them. A default of True or False makes it a switch. With a `pattern` it is a text that matches, which `described`
    says in words. `whole` numbers are Python ints. Besides, `optional` settings may be None, and each of `words` may stand in
    place of a number.
    `logarithmic` settings are searched and drawn on a logarithmic scale. `step` and `form` (as in printf) are those of a widget,
    `offered` the values that it lists, `empty` what it shows for None.
    """

    name: str
    label: str
    default: Any
    help: str
    low: float = 0.0
    high: float = 1.0
    choices: tuple[Any, ...] = ()
    whole: bool = False
    logarithmic: bool = False
    _: KW_ONLY
    above: bool = False
    below: bool = False
    optional: bool = False
    pattern: str | None = None
    described: str = ""
    words: tuple[str, ...] = ()
    step: float | None = None
    form: str | None = None
    offered: tuple[Any, ...] = ()
    empty: str = "none"

    @property
    def switch(self) -> bool:
        """Whether the setting is a switch: on or off."""
        return isinstance(self.default, bool)

    @cached_property
    def _type(self) -> TypeAdapter[Any]:
        """What pydantic checks a value against."""
        if self.switch:
            kind: Any = Annotated[bool, Strict()]
        elif self.choices:
            kind = Literal[self.choices]
        elif self.pattern is not None:
            kind = Annotated[str, StringConstraints(strict=True, pattern=self.pattern)]
        else:
            low = {"gt" if self.above else "ge": self.low}
            high = {"lt" if self.below else "le": self.high}
            high = {} if self.high == math.inf else high
            finite = {} if self.whole else {"allow_inf_nan": False}
            kind = Annotated[int if self.whole else float, Strict(), Field(**low, **high, **finite)]
        for other in (*((None,) if self.optional else ()), *((Literal[self.words],) if self.words else ())):
            kind = kind | other
        return TypeAdapter(kind)

    def check(self, value: Any, name: str = "") -> Any:
        """`value` as Python's own number, switch or word; ConfigError says what is allowed, and calls the setting `name`."""
        try:
            return self._type.validate_python(as_number(value))
        except ValidationError:
            must = "allowed are" if self.choices else "it must be"
            raise ConfigError(f"{name or self.name} is {told(value)}; {must} {self.allowed}.") from None

    @property
    def allowed(self) -> str:
        """What is allowed, as sentences say it: "a whole number from 0 to 500", "a number from 0 to 1, or None"."""
        others = (*map(str, self.words), *(("None",) if self.optional else ()))
        if self.switch or self.pattern is not None:
            return self.described or "true or false"
        listed = self.choices or (between(self.low, self.high, self.whole, self.above, self.below),)
        return ", ".join(map(str, listed)) + (f", or {' or '.join(others)}" if others else "")

    @property
    def ends(self) -> tuple[Any, Any]:
        """The smallest and the largest number that is allowed; for an excluded end the nearest number inside."""
        kind = int if self.whole and self.high < math.inf else float
        low = math.nextafter(self.low, math.inf) if self.above else self.low
        return kind(low), kind(math.nextafter(self.high, -math.inf) if self.below else self.high)


def between(low: float, high: float, whole: bool = False, above: bool = False, below: bool = False) -> str:
    """Which numbers are allowed, in words: "a whole number from 0 to 500", "a number above 0 and at most 1"."""
    kind, start, end = "a whole number" if whole else "a number", f"{low:,.10g}", f"{high:,.10g}"
    if high == math.inf:
        return f"{kind} {'above' if above else 'from'} {start}"
    if not above and not below:
        return f"{kind} from {start} to {end}"
    return f"{kind} {'above' if above else 'from'} {start} and {'below' if below else 'at most'} {end}"


def table(*settings: Setting) -> Mapping[str, Setting]:
    """A mapping from the name of each of `settings` to it, in the order given."""
    return {setting.name: setting for setting in settings}


# fmt: off
# An influence estimate, and the weights that are made of its scores.

ESTIMATORS = ("diagonal", "diagonal_ggn", "exact", "kfac", "ekfac", "gradient", "dual")
PSIS = ("sqrt", "identity", "tanh", "softmax")
CONTROLS = ("uniform", "permuted", "random", "loss", "gradient_norm")

INFLUENCE = table(
    Setting("estimator", "Estimator", "diagonal",
        "How the inverse curvature in the influence score is computed or approximated.",
        choices=ESTIMATORS),
    Setting("damping", "Damping λ", 1e-2,
        "A constant added to the curvature before dividing by it; large values turn influence into gradient similarity.",
        0.0, 1e6, step=0.01, form="%.6f", offered=(1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)),
    Setting("psi", "ψ, score to weight", "sqrt",
        "The function that turns positive scores into weights: sqrt, identity, tanh or softmax.",
        choices=PSIS),
    Setting("top", "Top share kept", 1.0,
        "Share of the positively scored samples that keep a weight, highest scores first; 1 keeps all.",
        0.0, 1.0, above=True, step=0.05, form="%.2f"),
    Setting("clip_quantile", "Clip at quantile", None,
        "Cuts weights off at this quantile of the kept ones, so that single samples cannot dominate; empty means no clipping.",
        0.0, 1.0, optional=True, step=0.01, form="%.2f", empty="off"),
    Setting("control", "Control", None,
        "Weights put in place of IMU's own, everything else unchanged, to see what the influence contributed.",
        choices=CONTROLS, optional=True),
    Setting("curvature", "Curvature from", None,
        "So many forget samples give the curvature of scopes wider than the head; all, unless given.",
        1, math.inf, whole=True, optional=True),
    Setting("total", "Training samples", None, "The N that scores are divided by.", 1, math.inf, optional=True),
    Setting(
        "rtol", "Tolerance", 1e-8, "How small the residual of the exact solve must be, relative to the gradient.", 0, math.inf
    ),
)

# An unlearning run.

_MOST_EPOCHS, _MOST_SEED = 500, 2**31 - 1

RUN = table(
    Setting("method", "Method", "imu",
        "How the model is changed: by ascent, new labels, teachers, dampening, a Newton step, or training again.",
        pattern="", described="the name of a method, such as imu"),
    Setting("scope", "Scope", "head",
        "Which parameters a run may change: the head, the head and the last K blocks, or all.",
        pattern="^(head|all|last:[1-9][0-9]{0,3})$", described="head, last:K such as last:2, or all",
        offered=("head", "last:1", "last:2", "all")),
    Setting("bn", "Batch norm", "eval",
        "eval: batch-norm statistics stay fixed; train: they drift with the batches of the run.",
        choices=("eval", "train")),
    Setting("epochs", "Epochs", 5,
        "How many times the run passes over its set: the forget set, or the retain set for fine-tune and retrain.",
        0, _MOST_EPOCHS, whole=True),
    Setting("learning_rate", "Learning rate", 0.1,
        "Size of a step; with normalised steps and no momentum, its exact length in parameter space.",
        0.0, 10.0, step=0.001, form="%.5f"),
    Setting("batch_size", "Batch size", 256,
        "Samples per step; smaller batches mean more steps per epoch.",
        1, 100_000, whole=True),
    Setting("optimizer", "Steps", "normalised",
        "sgd: steps as long as the gradient says; normalised: every gradient scaled to the same length first.",
        choices=("normalised", "sgd")),
    Setting("momentum", "Momentum", 0.0,
        "Share of the previous update that is carried into the next one.",
        0.0, 0.999, step=0.05, form="%.3f"),
    Setting("weight_decay", "Weight decay", 0.0,
        "Pulls every parameter in scope towards 0 at each step, in proportion to its size.",
        0.0, 1.0, step=0.0005, form="%.5f"),
    Setting("schedule", "Schedule", "constant",
        "constant: one learning rate throughout; one_cycle: up to it over the first fifth, then down.",
        choices=("constant", "one_cycle")),
    Setting("augment", "Random flips", False, "Flips each image left to right with probability one half during the run."),
    Setting("seed", "Run seed", 0,
        "Decides the order of batches, the flips and the draws of a control; the same seed gives the same bits.",
        0, _MOST_SEED, whole=True),
    Setting("stop_at", "Stop at forget accuracy", None,
        "The forget accuracy at which the run ends; without one, all steps are taken.",
        0.0, 1.0, optional=True, step=0.005, form="%.1f", empty="by preset"),
    Setting("eval_every", "Evaluate every … steps", None,
        "Steps between two evaluations; left empty, every step, thinned out in long runs.",
        1, 10**9, whole=True, optional=True, empty="auto"),
    Setting("update_every", "Scores again (ν)", 0,
        "How often scores are computed anew: 0 once, k every k epochs, iteration before every step.",
        0, _MOST_EPOCHS, whole=True, words=("iteration",), offered=(0, 1, 2, 5, "iteration")),
    Setting("weight_norm", "Weights normalised by", "batch",
        "batch: weights divided by their sum in each batch; dataset: as they are; mean1: scaled to mean 1.",
        choices=("batch", "dataset", "mean1")),
    Setting("l1", "L1 on the head", 0.0,
        "Adds this much times the sum of the head's absolute values to the loss: pulls them towards 0.",
        0.0, 10.0, step=0.0005, form="%.5f"),
    Setting("beta", "β of NPO", 1.0,
        "How soon NPO's brake takes hold: small values behave like GA, large ones stop earlier.",
        1e-3, 100.0, step=0.1, form="%.3f"),
    Setting("problem_seed", "Seed", 0,
        "Decides what the problem leaves open: a random draw without a seed of its own, and the judges' subsets.",
        0, _MOST_SEED, whole=True),
    *(INFLUENCE[name] for name in ("estimator", "damping", "psi", "top", "clip_quantile", "control")),
)

# A training, that of an original model or of a retrained reference.

TRAINING = table(
    Setting("epochs", "Epochs", 30, "Passes over the training set.", 1, 1000, whole=True),
    Setting("batch_size", "Batch size", 128, RUN["batch_size"].help, 2, RUN["batch_size"].high, whole=True),
    Setting("learning_rate", "Learning rate", 0.2, "Peak of the one-cycle schedule.", 0.0, RUN["learning_rate"].high, above=True),
    Setting("momentum", "Momentum", 0.9, RUN["momentum"].help, 0.0, RUN["momentum"].high),
    Setting(
        "weight_decay", "Weight decay", 5e-4, "Pulls every parameter towards 0 at each step, in proportion to its size.", 0.0, 1.0
    ),
    Setting("crop", "Random shift", 0.0, "At most so much is every image moved, as a share of height and width.", 0.0, 0.5),
    Setting(
        "label_smoothing", "Label smoothing", 0.0, "Share of the target that is spread over all classes.", 0.0, 1.0, below=True
    ),
    Setting("precision", "Precision", "float32",
        "Of the forward pass; bfloat16 is about twice as fast where the processor has it.",
        choices=("float32", "bfloat16")),
    Setting("gradient_penalty", "Gradient penalty", 0.0, "α of IAU's gradient regularisation; 0 is none.", 0.0, 10.0),
    Setting("flips", "Flips", "random",
        "random: drawn for every image and epoch; alternating: drawn once and turned round in every other epoch.",
        choices=("random", "alternating")),
    Setting("edge", "Edge", "zeros", "What comes in at the edge of a shifted image.", choices=("zeros", "reflect")),
    Setting("decay", "Decay", "cosine", "How the learning rate falls after the first fifth.", choices=("cosine", "linear")),
    Setting("lookahead", "Lookahead", False, "Slow weights follow the fast ones every few steps, ever more slowly."),
    Setting("seed", "Seed", 0, "Draws the first weights, the order of the batches and the flips.", *RUN["seed"].ends, whole=True),
)
# fmt: on
