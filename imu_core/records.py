"""The nouns of the engine, frozen: what one room hands to the next. No record is changed after it is made."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from imu_core.errors import ConfigError, told
from imu_core.numeric import as_number, is_number, is_whole


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images (N, channels, height, width) as uint8 and labels (N,) as int64."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class Sightings:
    """Images of people: `images` (N, channels, h, w) uint8, `ids` and `cameras` (N,) int64, file `names`.

    `parts` (N, h, w) uint8 says which part of the body each pixel shows (`data.people.PARTS`), where that is known.
    """

    images: Tensor
    ids: Tensor
    cameras: Tensor
    names: tuple[str, ...]
    parts: Tensor | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, index: Tensor) -> Sightings:
        """The sightings at the positions `index`."""
        parts = None if self.parts is None else self.parts[index]
        return Sightings(
            self.images[index], self.ids[index], self.cameras[index], tuple(self.names[i] for i in index.tolist()), parts
        )

    @staticmethod
    def join(*groups: Sightings) -> Sightings:
        """All `groups`, one behind the other."""
        parts = None if any(g.parts is None for g in groups) else torch.cat([g.parts for g in groups])
        columns = (torch.cat([getattr(g, name) for g in groups]) for name in ("images", "ids", "cameras"))
        return Sightings(*columns, sum((g.names for g in groups), ()), parts)


@dataclass(frozen=True, eq=False)
class People:
    """What a re-identification set has beside classes: who was seen where, and the unseen people it is judged by.

    `train` and `test` go with the dataset's image sets, sample by sample; `test` shows the training people through cameras
    kept out of training. `query` and `gallery` show other people: gallery id 0 is a distractor, −1 junk.
    """

    train: Sightings
    test: Sightings
    query: Sightings
    gallery: Sightings
    synthetic: bool = False


@dataclass(frozen=True, eq=False)
class Subclasses:
    """What lies below larger classes: `superclasses` (superclass → its subclasses), the subclasses' `names` in the order of their
    numbers, and `labels` (N train,) int64, the subclass that each training image shows.

    They may be the classes of the dataset themselves, or parts of them.
    """

    superclasses: dict[str, tuple[str, ...]]
    names: tuple[str, ...]
    labels: Tensor


class Why(StrEnum):
    """Why files beside the images of a data set were not read."""

    HIDDEN = "hidden"  # they belong to a system or a program: ._x.jpg, .DS_Store, Thumbs.db
    KIND = "kind"  # no image, or an image of a kind that is not read
    PLACE = "place"  # an image where none is looked for, such as beside the folders of the classes
    SPECIAL = "special"  # no plain file: a pipe, a device, a link that leads nowhere
    FRAMES = "frames"  # the further pictures of a file that holds several


@dataclass(frozen=True)
class LeftOut:
    """`count` files that were not read, and `why`; `what` is their ending or folder, `example` the place of one of them."""

    why: Why
    what: str
    count: int
    example: str


@dataclass(frozen=True)
class Copies:
    """How many images are there twice, pixel by pixel: in two sets that should have nothing in common, or in one."""

    test_in_train: int  # test images that the training set holds too
    train_twice: int  # training images that came before, counted without the first of each
    other_class: int  # training images that are there under another class too
    query_elsewhere: int = 0  # query images that the gallery or the training set holds too, in a set of people
    forget_in_retain: int = 0  # forget images that the retain set holds too


@dataclass(frozen=True, eq=False)
class Dataset:
    """A training and a test set with the names of the classes and the pixel statistics models normalise with.

    `people` is there where the classes are identities, `subclasses` where classes have superclasses or parts. `key` names a set
    that is drawn from a seed: it stands for its pixels. `left_out` counts the files beside its images that were not read.
    """

    name: str
    title: str
    train: ImageSet
    test: ImageSet
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    people: People | None = None
    key: str = ""
    subclasses: Subclasses | None = None
    left_out: tuple[LeftOut, ...] = ()

    @cached_property
    def prints(self) -> tuple[Tensor, Tensor]:
        """A number (int64) for each training image and for each test image: equal where all pixels are."""
        return _prints(self.train.images, self.test.images)

    @cached_property
    def copies(self) -> Copies:
        """How many images are there twice, pixel by pixel, in training and test set."""
        train, test = self.prints
        different, which = train.unique(return_inverse=True)
        pairs = torch.stack([which, self.train.labels]).unique(dim=1)[0]  # each image once for each of its classes
        torn = torch.bincount(pairs, minlength=len(different))[which] > 1
        asked = 0
        if self.people is not None:
            query, *others = _prints(self.people.query.images, self.people.gallery.images, self.train.images)
            asked = int(torch.isin(query, torch.cat(others)).sum())
        return Copies(int(torch.isin(test, train).sum()), len(train) - len(different), int(torn.sum()), asked)

    @cached_property
    def hash(self) -> str:
        """First 16 hex digits of the SHA-256 over all images and labels (or `key`); ties models and features to their data."""
        if self.key:
            return hashlib.sha256(self.key.encode()).hexdigest()[:16]
        digest = hashlib.sha256()
        for part in (self.train, self.test):
            digest.update(part.images.contiguous().numpy().reshape(-1))
            digest.update(part.labels.contiguous().numpy().reshape(-1))
        return digest.hexdigest()[:16]


def _prints(*groups: Tensor) -> tuple[Tensor, ...]:
    """A number (int64) for each image of each of the `groups`: equal where all pixels are.

    All are told apart by few of their pixels; only where those are equal all pixels are read.
    """
    steps = [max(1, side // 16) for side in groups[0].shape[2:]]
    found = torch.cat([_digests(images[:, :, :: steps[0], :: steps[1]]) for images in groups])
    _, which, counts = found.unique(return_inverse=True, return_counts=True)
    same, start = (counts[which] > 1).split([len(images) for images in groups]), 0
    for images, alike in zip(groups, same, strict=True):
        places = alike.nonzero()[:, 0]
        found[start + places] = _digests(images[places])
        start += len(images)
    return found.split([len(images) for images in groups])


def _digests(images: Tensor) -> Tensor:
    digests = (hashlib.blake2b(image, digest_size=8).digest() for image in images.contiguous().numpy())
    return torch.tensor([int.from_bytes(digest, "little", signed=True) for digest in digests], dtype=torch.int64)


def _nothing() -> Iterator[tuple[float, str]]:
    return iter(())


@dataclass(frozen=True)
class Source:
    """One line of the dataset registry: how to load it, whether it is here, how to fetch it (`verb` says what that is).

    A set with `people` has identities for classes; one that needs no asking (`free`) costs nothing to fetch, and a page does so
    without a click unless it lies in a folder of this machine (`asks`). `class_names` and `superclasses` are there where they are
    known before the images are.
    """

    title: str
    load: Callable[[], Dataset]
    is_here: Callable[[], bool] = lambda: True
    download: Callable[[], Iterator[tuple[float, str]]] = _nothing
    verb: str = "Download"
    people: bool = False
    free: bool = False
    asks: bool = False
    class_names: tuple[str, ...] = ()
    superclasses: dict[str, tuple[str, ...]] = field(default_factory=dict)


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


ESTIMATORS = ("diagonal", "diagonal_ggn", "exact", "kfac", "ekfac", "gradient", "dual")
PSIS = ("sqrt", "identity", "tanh", "softmax")
CONTROLS = ("uniform", "permuted", "random", "loss", "gradient_norm")
_CHOICES: dict[str, tuple[Any, ...]] = {
    "estimator": ESTIMATORS,
    "psi": PSIS,
    "control": (None, *CONTROLS),
    "augment": (False, True),
    "bn": ("eval", "train"),
    "optimizer": ("sgd", "normalised"),
    "schedule": ("constant", "one_cycle"),
    "weight_norm": ("batch", "dataset", "mean1"),
}
RANGES: dict[str, tuple[float, float]] = {
    "epochs": (0, 500),
    "learning_rate": (0.0, 10.0),
    "batch_size": (1, 100_000),
    "momentum": (0.0, 0.999),
    "weight_decay": (0.0, 1.0),
    "seed": (0, 2**31 - 1),
    "damping": (0.0, 1e6),
    "l1": (0.0, 10.0),
    "beta": (1e-3, 100.0),
}
_WHOLE = ("epochs", "batch_size", "seed")
_MOST_OPTIONS = 40


@dataclass(frozen=True)
class RunConfig:
    """Every setting of one unlearning run; checked when made, and the same as JSON, as a link and as Python.

    method        a name in `imu_core.methods.METHODS`
    scope         head | last:K (head and the last K blocks) | all
    bn            eval: batch-norm statistics stay; train: they drift with the batches, as in the authors' code
    learning_rate step of SGD; with optimizer="normalised" the length of every step in parameter space
    stop_at       forget accuracy (0-1) at which the run ends, or None
    eval_every    steps between evaluations, or None for every step (thinned in long runs)
    estimator, damping, psi, top, clip_quantile, control, update_every, weight_norm, l1   see `weights` and `methods.ascent`
    update_every  ν: 0 scores once, k every k epochs, "iteration" before every step (Algorithm 1 to the letter)
    beta          NPO's inverse temperature
    options       the method's own settings by name, as its `parameters` in the registry list them; what is left out is default
    """

    method: str = "imu"
    scope: str = "head"
    bn: str = "eval"
    epochs: int = 5
    learning_rate: float = 0.1
    batch_size: int = 256
    optimizer: str = "normalised"
    momentum: float = 0.0
    weight_decay: float = 0.0
    schedule: str = "constant"
    augment: bool = False
    seed: int = 0
    stop_at: float | None = None
    eval_every: int | None = None
    estimator: str = "diagonal"
    damping: float = 1e-2
    psi: str = "sqrt"
    top: float = 1.0
    clip_quantile: float | None = None
    control: str | None = None
    update_every: int | str = 0
    weight_norm: str = "batch"
    l1: float = 0.0
    beta: float = 1.0
    options: dict[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        for setting in dataclasses.fields(self):
            object.__setattr__(self, setting.name, as_number(getattr(self, setting.name)))
        if not isinstance(self.method, str):
            raise ConfigError(f"method is {told(self.method)}; it must be the name of a method, such as 'imu'.")
        for name, allowed in _CHOICES.items():
            if not any(getattr(self, name) is choice or getattr(self, name) == choice for choice in allowed):
                raise ConfigError(f"{name} is {told(getattr(self, name))}; allowed are {', '.join(map(repr, allowed))}.")
        for name, (low, high) in RANGES.items():
            self._check_range(name, low, high)
        for name in ("stop_at", "clip_quantile"):
            if getattr(self, name) is not None:
                self._check_range(name, 0.0, 1.0)
        if not is_number(self.top) or not 0.0 < self.top <= 1.0:
            raise ConfigError(f"top is {told(self.top)}; it is the share of samples kept and must be above 0 and at most 1.")
        if self.eval_every is not None and not (is_whole(self.eval_every) and self.eval_every >= 1):
            raise ConfigError(f"eval_every is {told(self.eval_every)}; it must be a whole number of steps from 1, or None.")
        if self.update_every != "iteration" and not (is_whole(self.update_every) and self.update_every >= 0):
            raise ConfigError(
                f"update_every is {told(self.update_every)}; allowed are 0 (scores once), a number of epochs, or 'iteration'."
            )
        scope_blocks(self.scope)
        object.__setattr__(self, "options", _checked_options(self.options))

    def _check_range(self, name: str, low: float, high: float) -> None:
        value = getattr(self, name)
        kind = is_whole if name in _WHOLE else is_number
        if not kind(value) or not low <= value <= high:
            what = "a whole number" if name in _WHOLE else "a number"
            raise ConfigError(f"{name} is {told(value)}; it must be {what} from {low:g} to {high:g}.")

    def changed(self) -> dict[str, Any]:
        """The settings that differ from the defaults, plus method and scope: enough to repeat the run."""
        default = {f.name: f.default for f in dataclasses.fields(self)} | {"options": {}}
        return {
            name: value
            for name, value in dataclasses.asdict(self).items()
            if name in ("method", "scope") or value != default[name]
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> RunConfig:
        """A checked config from JSON-like `values`; unknown names get a ConfigError that lists the known ones."""
        known = [f.name for f in dataclasses.fields(cls)]
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise ConfigError(f"Unknown setting {', '.join(map(repr, unknown))}; known settings: {', '.join(known)}.")
        return cls(**values)


def _checked_options(given: Any) -> dict[str, Any]:
    """A copy of a method's own settings: few names, and values that JSON knows."""
    if not isinstance(given, dict) or len(given) > _MOST_OPTIONS:
        raise ConfigError(f"options is {str(given)[:40]!r}; it must be a mapping of at most {_MOST_OPTIONS} settings by name.")
    given = {name: as_number(value) for name, value in given.items()}
    for name, value in given.items():
        short = isinstance(value, str) and len(value) <= 100
        if (
            not isinstance(name, str)
            or len(name) > 100
            or not (value is None or isinstance(value, bool) or is_number(value) or short)
        ):
            raise ConfigError(
                f"Option {str(name)[:40]!r} is {str(value)[:40]!r}; it must be a number, a short text, true or false."
            )
    return dict(sorted(given.items()))


def scope_blocks(scope: str) -> int | None:
    """Blocks below the head that `scope` opens: head 0, last:K K, all None; ConfigError for anything else."""
    if scope in ("head", "all"):
        return 0 if scope == "head" else None
    match = re.fullmatch(r"last:([1-9][0-9]{0,3})", scope) if isinstance(scope, str) else None
    if not match:
        raise ConfigError(f"scope is {str(scope)[:40]!r}; allowed are 'head', 'last:K' such as 'last:2', and 'all'.")
    return int(match[1])


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
    history: tuple[tuple[str, dict[str, Any]], ...] = ()  # (request, config) of every run that came before, oldest first

    @property
    def head(self) -> nn.Linear:
        """The model's classifier head (shared; copy before training)."""
        return [module for module in self.model.modules() if isinstance(module, nn.Linear)][-1]

    @cached_property
    def copies(self) -> Copies:
        """How many images are there twice, pixel by pixel: in the sets of the data, and in forget and retain set."""
        train, _ = self.dataset.prints
        shared = int(torch.isin(train[self.split.forget], train[self.split.retain]).sum())
        return dataclasses.replace(self.dataset.copies, forget_in_retain=shared)

    def describe(self) -> dict[str, Any]:
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


REACHED = "Reached the target"  # how the sentence of such a run begins


@dataclass(frozen=True)
class Outcome:
    """How a run ended: done, cancelled, diverged or failed, why in a sentence, and whether it ended because of its target."""

    state: str
    reason: str = ""
    reached: bool = False

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Outcome:
        """The outcome on record. Before `reached` was written down, only the beginning of the sentence told it."""
        if not isinstance(values, Mapping):
            raise TypeError(f"an outcome is {values!r:.40}")
        reason = values.get("reason", "")
        return cls(values["state"], reason, bool(values.get("reached", reason.startswith(REACHED))))


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
    problem: dict[str, Any]
    points: tuple[Point, ...]
    phases: dict[str, float]
    outcome: Outcome
    sizes: dict[str, int]
    saw: tuple[str, ...] = ()
    metrics: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    costs: dict[str, float] = field(default_factory=dict)
    images: dict[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, without the per-sample arrays and the heads (`from_dict` reads it back)."""
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
    def from_dict(cls, values: dict[str, Any]) -> Trajectory:
        """The record that `to_dict` wrote."""
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
