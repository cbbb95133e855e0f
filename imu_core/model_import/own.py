"""Bring a model of one's own: a stranger's checkpoint and images become a problem like any other, or a sentence says why not.

`Bringing` is iterated and yields (fraction, words). It reads the checkpoint, builds the architecture, matches the names, finds
the head, and then, before anything else, checks the accuracy on the test set. Only a model that fits is stored, as `own-NAME`
among the trained models; whatever fails or is stopped leaves nothing behind.
"""

from __future__ import annotations

import csv
import platform
import threading
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from imu_core import data, models, names, runtime
from imu_core.access import rules
from imu_core.data import archive, folder, notes
from imu_core.errors import Cancelled, CheckpointError, ConfigError, DataError, HeadError
from imu_core.metrics.intervals import Share, share_interval
from imu_core.model_import import foreign
from imu_core.model_import.normalisations import NORMALISATIONS, normalisation, normalised_by
from imu_core.model_import.pairing import Pairing
from imu_core.models import brought, checkpoints
from imu_core.models.head import find_head, head_name
from imu_core.models.inference import chunk_of, predict, to_input
from imu_core.numeric import as_number, is_number
from imu_core.problems.features import in_parts, keep, kept_at
from imu_core.records import Dataset, ImageSet, Outcome
from imu_core.training.recipes import RECIPES, Recipe

PREFIX = brought.PREFIX
VARIANTS = {"resnet20": ("resnet20_even",), "resnet20_even": ("resnet20",)}  # the same tensors, another computation
_TRIED, _PROBE = 500, 8  # training images a trial is judged by; images that the head is looked for with
_GOOD, _POOR = 0.9, 0.7  # below the first, trials are made; below the second, nobody can tell without an expectation
_BETTER, _SLACK = 0.1, 0.005  # by so much another choice must be better; rounding of an expectation


@dataclass(frozen=True)
class Order:
    """What somebody brings.

    checkpoint     path of the file, or its content (then `file` says what it is called)
    images         None, or a .zip of images: they become the dataset `folder:NAME@side`
    normalisation  a key of `NORMALISATIONS`, or MEAN/STD with a comma between channels
    head           dotted name of the head, where it cannot be found
    classes        the class names in the checkpoint's order, where that is not the dataset's
    expected       the test accuracy it should reach, 0 to 1
    """

    name: str
    checkpoint: bytes | Path
    architecture: str
    dataset: str = "cifar10"
    normalisation: str = "imagenet"
    head: str = ""
    classes: tuple[str, ...] = ()
    expected: float | None = None
    file: str = ""
    images: bytes | Path | None = None
    side: int = folder.USUAL_SIDE


def in_list(classes: Iterable[str]) -> str:
    """Class names with commas between them, as `from_list` reads them; a name that holds a comma or a quote is quoted."""
    return ", ".join(f'"{name.replace(chr(34), 2 * chr(34))}"' if {",", '"'} & set(name) else name for name in classes)


def from_list(text: str) -> tuple[str, ...]:
    """The names in `text`, which has commas or line ends between them; quotes hold a name with a comma together."""
    try:
        rows = list(csv.reader(text.splitlines(), skipinitialspace=True))
    except csv.Error as error:
        raise ConfigError(f"The list of classes cannot be read ({error}). Write the names with commas between them.") from error
    return tuple(names.normal(name.strip()) for row in rows for name in row if name.strip())


def from_percent(percent: float) -> float:
    """An expected accuracy as a share; a ConfigError where `percent` is none, or looks like a share itself."""
    percent = as_number(percent)
    if not isinstance(percent, (int, float)) or isinstance(percent, bool):
        raise ConfigError(f"The expected accuracy is {str(percent)[:40]!r}; it is a number of percent, from 1 to 100.")
    if not 1 <= percent <= 100:
        meant = f" Did you mean {100 * percent:g} %? Then write {100 * percent:g}." if 0 < percent < 1 else ""
        raise ConfigError(f"The expected accuracy is {percent:g} %; it is named in percent, from 1 to 100.{meant}")
    return percent / 100


@dataclass(frozen=True)
class Trial:
    """Accuracy (0 to 1) on a few training images under another choice.

    `order` are the classes renumbered as suits these images best; `best` is what such an order reaches on images that it was not
    drawn from: many classes and few images always find an order that flatters the images themselves.
    """

    architecture: str
    normalisation: str
    accuracy: float
    best: float
    order: tuple[str, ...]


class Fit(Enum):
    """Whether a brought model is taken, and why; the value is what is said."""

    FITS = "It fits."
    AS_EXPECTED = "It fits: that is what you expect, {expected}."
    ABOVE_EXPECTED = "It fits: that is more than the {expected} that you expect."
    NEAR_EXPECTED = "It fits: {n} images cannot tell that from the {expected} that you expect."
    CHANCE = "It does not fit: that is no better than chance. Normalisation or class order may be wrong."
    UNSURE = "It does not fit: {n} images cannot tell that from chance. Normalisation or class order may be wrong."
    POOR = (
        "Below {poor} nobody but you can tell whether that is what it should reach. To take it, name the accuracy that you "
        "expect of it."
    )
    BELOW_EXPECTED = "It does not fit: you expect {expected}."
    NOT_AS_GIVEN = "It does not fit as given. To take it all the same, name the accuracy that you expect of it."


@dataclass(frozen=True, eq=False)
class Check:
    """What was found out: accuracy on the test set with its interval, beside chance, class by class, and whether it fits.

    `suggestion` holds fields of an `Order` that would do better: normalisation, classes (as `in_list` writes them). `notes` are
    sentences on the images: which files were left out, which images are there twice.
    """

    accuracy: Share
    chance: float
    per_class: np.ndarray
    class_names: tuple[str, ...]
    head: str
    features: int
    matched: str
    fit: Fit
    expected: float | None = None
    advice: str = ""
    suggestion: dict[str, str] = field(default_factory=dict)
    trials: tuple[Trial, ...] = field(default_factory=tuple)
    notes: tuple[str, ...] = ()

    @property
    def fits(self) -> bool:
        """Whether it is taken."""
        return self.fit in (Fit.FITS, Fit.AS_EXPECTED, Fit.ABOVE_EXPECTED, Fit.NEAR_EXPECTED)

    @property
    def sentence(self) -> str:
        """The accuracy with its interval, beside chance, and whether it fits."""
        share = self.accuracy
        words = self.fit.value.format(
            expected="" if self.expected is None else _percent(self.expected), n=f"{share.n:,}", poor=f"{100 * _POOR:.0f} %"
        )
        return (
            f"{_percent(share.share)} of {share.n:,} test images are recognised (95 % interval {_percent(share.low)} to "
            f"{_percent(share.high)}); always naming the commonest class gives {_percent(self.chance)}. {words}"
        )


class Bringing:
    """Check what an `Order` names and store it if it fits; iterate for (fraction, words), then read `check` and `model_name`.

    Stop with `cancel()` from any thread. Raises an ImuError while iterated where something cannot be used.
    """

    def __init__(self, order: Order) -> None:
        order = replace(order, side=as_number(order.side), expected=as_number(order.expected))
        self.order = order
        folder.checked_side(order.side)
        self.model_name = PREFIX + folder.checked_name(order.name)
        self.dataset_name = names.normal(order.dataset) if order.images is None else f"{data.FOLDER}{order.name}@{order.side}"
        if self.dataset_name.startswith(data.FOLDER):
            folder.parse(self.dataset_name.removeprefix(data.FOLDER))
        self.check: Check | None = None
        self.outcome = Outcome("running")
        self.layers: tuple[str, ...] = ()  # to choose a head from, where none was found
        self._variant = ""  # words on the form of the architecture that was taken
        self._unpacked = self._decoded = False  # whether this made such images, which must go if it fails
        self._cancel = threading.Event()

    def cancel(self) -> None:
        """Ask it to stop; safe from any thread."""
        self._cancel.set()

    def __iter__(self) -> Iterator[tuple[float, str]]:
        runtime.limit_threads()
        try:
            self._refuse_taken()
            strange = foreign.read(self.order.checkpoint, self.order.file, self._cancel)
            yield 0.01, f"{strange.file} is read: {len(strange.tensors):,} tensors"
            yield from self._images()
            yield from self._accept(data.load(self.dataset_name), strange)
            self.outcome = Outcome("done")
        except Cancelled:
            self.outcome = Outcome("cancelled", "Stopped by you; nothing was kept.")
        except HeadError as error:
            self.layers = error.layers
            raise
        finally:
            self.order = replace(self.order, checkpoint=b"", images=None)  # what was uploaded need not stay in memory
            fits = self.check is not None and self.check.fits and self.outcome.state == "done"
            if not fits:
                self._clean_up()

    def _clean_up(self) -> None:
        """Remove what was unpacked or decoded for this, and nothing that was there before or that another model uses."""
        if not self._decoded and not self._unpacked:
            return
        with _alone():
            users = _users(self.dataset_name)
            if self._decoded and self.dataset_name not in users:
                _remove_decoded(self.dataset_name)
            if self._unpacked and not users:
                archive.remove(self.order.name)

    def _at(self, start: float, end: float, fraction: float) -> float:
        """The overall fraction of a part that goes from `start` to `end`; raises Cancelled once it was stopped."""
        if self._cancel.is_set():
            raise Cancelled("Stopped by you.")
        return start + (end - start) * fraction

    def _refuse_taken(self) -> None:
        if brought.path(self.dataset_name, self.model_name).exists():
            raise ConfigError(
                f"There is a model {self.model_name} on {self.dataset_name} already. Delete it, or choose another name."
            )
        if self.order.expected is not None and not (is_number(self.order.expected) and 0 < self.order.expected <= 1):
            raise ConfigError(f"The expected accuracy is {self.order.expected!r}; as a share it must be above 0 and at most 1.")

    def _images(self) -> Iterator[tuple[float, str]]:
        if self.order.images is not None:
            for fraction, words in archive.unpack(self.order.images, self.order.name):
                yield self._at(0.01, 0.1, fraction), words
            self._unpacked = True  # not before: until it ends, images of that name are somebody else's
        if not data.is_here(self.dataset_name):
            if not data.source(self.dataset_name).free:
                raise DataError(
                    f"{self.dataset_name} is not on this machine yet. Fetch it first: choose it in the sidebar of any page."
                )
            for fraction, words in data.download(self.dataset_name):
                self._decoded = self.dataset_name.startswith(data.FOLDER)
                yield self._at(0.1, 0.2, fraction), words

    def _accept(self, dataset: Dataset, strange: foreign.Strange) -> Iterator[tuple[float, str]]:
        """Build, check, and store what fits."""
        strange = yield from self._choose_way(dataset, strange)
        yield from self._choose_variant(dataset, strange)
        model, head, how = fitted(self.order, dataset, strange)
        yield self._at(0.2, 0.2, 0), f"the head is {head}; checking the accuracy"
        test = yield from self._outputs(model, dataset.test, 0.2, 0.4)
        check = judge(dataset, test[1], self.order, (head, model.get_submodule(head).in_features, f"{how}{self._variant}"))
        if check.accuracy.share < _GOOD or not check.fits:
            check = yield from self._tried(check, dataset, strange)
        self.check = check
        if not check.fits:
            yield 1.0, "it does not fit; nothing is stored"
            return
        train = yield from self._outputs(model, dataset.train, 0.45, 0.98)
        self._store(model, dataset, strange, train, test)
        yield 1.0, f"{self.model_name} is stored"

    def _choose_way(self, dataset: Dataset, strange: foreign.Strange) -> Generator[tuple[float, str], None, foreign.Strange]:
        """`strange` with the way in which its tensors are laid over the network: where several fit, the one that recognises more.

        Another network in the same file must be much better than the first, another order of layers better at all.
        """
        ways = _ways(self.order, dataset, strange)
        best, reached = 0, 0.0
        for number, way in enumerate(ways if len(ways) > 1 else ()):
            yield self._at(0.2, 0.2, 0), f"trying way {number + 1} of {len(ways)} in which the tensors fit"
            found = _trial(self.order, dataset, replace(strange, way=number))
            share = max(found.accuracy, found.best)
            if not number or share > reached + (_SLACK if way.root == ways[best].root else _BETTER):
                best, reached = number, share
        return replace(strange, way=best)

    def _choose_variant(self, dataset: Dataset, strange: foreign.Strange) -> Iterator[tuple[float, str]]:
        """Some architectures exist in two forms that no tensor tells apart: take the one that recognises more training images."""
        asked = self.order.architecture
        trials = []
        for architecture in (asked, *VARIANTS.get(asked, ())) if asked in VARIANTS else ():
            yield self._at(0.2, 0.2, 0), f"trying the form {architecture}"
            trials.append(_trial(replace(self.order, architecture=architecture), dataset, strange))
        best = max(trials, key=lambda trial: trial.accuracy, default=None)
        if best and best.architecture != asked:
            self.order = replace(self.order, architecture=best.architecture)
            self._variant = (
                f"; the form {best.architecture} was taken, which recognises {_percent(best.accuracy)} of {_tried(dataset)} "
                f"training images where {asked} recognises {_percent(trials[0].accuracy)}"
            )

    def _outputs(self, model: nn.Module, images: ImageSet, start: float, end: float) -> Iterator[tuple[float, str]]:
        """Features and logits of all `images`, as the value of `yield from`."""
        parts: list[tuple[Tensor, Tensor]] = []
        for fraction, *part in in_parts(model, images.images):
            foreign.check_answers(part[1])
            parts.append(tuple(part))
            yield self._at(start, end, fraction), f"{round(fraction * len(images)):,} of {len(images):,} images"
        return tuple(map(torch.cat, zip(*parts, strict=True)))

    def _tried(self, check: Check, dataset: Dataset, strange: foreign.Strange) -> Iterator[tuple[float, str]]:
        """The check with advice: which normalisation or order of classes fits best, on a few training images."""
        choices = tuple(dict.fromkeys((self.order.normalisation, *NORMALISATIONS)))
        trials = []
        for number, choice in enumerate(choices):
            yield self._at(0.4, 0.45, number / len(choices)), f"trying the normalisation {choice}"
            trials.append(_trial(replace(self.order, normalisation=choice), dataset, strange))
        return advised(check, tuple(trials), self.order, _tried(dataset))

    def _store(
        self, model: nn.Module, dataset: Dataset, strange: foreign.Strange, train: tuple[Tensor, ...], test: tuple[Tensor, ...]
    ) -> None:
        """Features, tensors, and last the card: only with it the model exists."""
        assert self.check is not None
        accuracies = {"train": _share(train[1], dataset.train.labels).share, "test": self.check.accuracy.share}
        card = _card(self, dataset, strange, accuracies, sum(p.numel() for p in model.parameters()))
        with _alone():
            self._refuse_taken()  # by somebody who began when this did
            if dataset.name.startswith(data.FOLDER):
                folder.find(folder.parse(dataset.name.removeprefix(data.FOLDER)).path)  # nor may its images be gone by now
            keys, path = [f"{dataset.hash}-{part}" for part in ("train", "test")], brought.path(dataset.name, self.model_name)
            more = (path.parent / rules.MARK, *(kept_at(model, key) for key in keys))
            with runtime.storing(self.model_name), _whole(path, *more):
                rules.mark(runtime.folder(path.parent))
                for key, outputs in zip(keys, (train, test), strict=True):
                    keep(model, key, *outputs)
                checkpoints.save(path, model.state_dict(), card)


@contextmanager
def _alone() -> Iterator[None]:
    """Inside, nobody else looks whether a name is free and takes it, or deletes: no other visitor and no command beside the app.

    Again within itself: Python may drop another `Bringing`, which then cleans up, at any moment.
    """
    path = runtime.home() / "own.lock"
    with runtime.storing("A model of your own"):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path, is_singleton=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _whole(path: Path, *more: Path) -> Iterator[None]:
    """Where storing a model at `path` and `more` fails half way, those of the files that were not there before go again."""
    made = [file for file in (path, path.with_suffix(".json"), *more) if not file.exists()]
    try:
        yield
    except BaseException:
        for file in made:
            file.unlink(missing_ok=True)
        with suppress(OSError):  # something else is in it, or it never came to be
            path.parent.rmdir()
        raise


def fitted(order: Order, dataset: Dataset, strange: foreign.Strange) -> tuple[nn.Module, str, str]:
    """(network in eval mode, name of its head, how the tensors were matched); CheckpointError says what does not fit.

    A head is a linear layer with one output a class that the network returns unchanged. Where none is, or the one that was named
    is not, the sentence lists the linear layers.
    """
    classes, images = len(dataset.class_names), to_input(dataset.test.images[:_PROBE])
    mean, std = normalisation(order.normalisation, dataset, strange)
    plain = models.construct(order.architecture, classes, images.shape[1:], mean, std)
    heads = [order.head] if order.head else foreign.candidates(plain, classes)
    for head in heads:
        model = models.construct(order.architecture, classes, images.shape[1:], mean, std, head=head)
        matched = foreign.match(model, strange, classes)
        checkpoints.fill(model, _renumbered(matched.state, head, order.classes, dataset))
        model.eval().requires_grad_(False)
        if _ends_in(model, head, images, order.architecture):
            return model, head, "; ".join(filter(None, (matched.how, normalised_by(strange, dataset))))
    layers = brought.linear_layers(plain)
    known = ", ".join(f"{name} ({layer.in_features} → {layer.out_features})" for name, layer in layers.items())
    raise HeadError(
        f"No head was found: {order.head or 'no linear layer'} of {order.architecture} gives what the network returns for "
        f"{classes} classes. Its linear layers: {known[:600] or 'none'}. Name the head, or choose another architecture.",
        tuple(layers),
    )


def _ways(order: Order, dataset: Dataset, strange: foreign.Strange) -> list[Pairing]:
    """Every way in which the tensors can be those of the architecture, most of all where layers of one shape are told apart."""
    classes, shape = len(dataset.class_names), dataset.train.images.shape[1:]
    plain = models.construct(order.architecture, classes, shape, *normalisation(order.normalisation, dataset, strange))
    heads = [order.head] if order.head in brought.linear_layers(plain) else foreign.candidates(plain, classes)
    return foreign.ways(brought.completed(plain, (), (), heads[0]), strange) if heads else []


def _ends_in(model: nn.Module, head: str, images: Tensor, architecture: str) -> bool:
    try:
        return foreign.ends_in(model, head, images)
    except CheckpointError:
        raise
    except Exception as error:  # networks of other people fail in their own ways on images of the wrong size
        size = " x ".join(map(str, images.shape[2:]))
        raise CheckpointError(
            f"{architecture} cannot take images of {size} pixels ({str(error)[:120]}). Read them at the size it was trained with."
        ) from error


def _renumbered(state: dict[str, Tensor], head: str, order: tuple[str, ...], dataset: Dataset) -> dict[str, Tensor]:
    """`state` with the rows of the head in the dataset's order of classes."""
    if not order:
        return state
    given = in_order(order, dataset)
    rows = torch.tensor([given.index(name) for name in dataset.class_names])
    return state | {f"{head}.{part}": state[f"{head}.{part}"][rows] for part in ("weight", "bias")}


def in_order(order: tuple[str, ...], dataset: Dataset) -> tuple[str, ...]:
    """The class names in the `order` somebody gave, as the dataset spells them; its own order where none was given.

    A ConfigError unless each class is named once.
    """
    if not order:
        return dataset.class_names
    spelling = {names.key(name): name for name in dataset.class_names}
    given = tuple(name if name in dataset.class_names else spelling.get(names.key(name), name) for name in order)
    if sorted(given) != sorted(dataset.class_names):
        missing, extra = (sorted(a - b) for a, b in permutations((set(dataset.class_names), set(given))))
        twice = sorted({name for name in given if given.count(name) > 1} & set(dataset.class_names))
        raise ConfigError(
            f"The order of classes must name each of the {len(dataset.class_names)} classes once: missing "
            f"{', '.join(missing[:5]) or 'none'}, not a class {', '.join(e[:40] for e in extra[:5]) or 'none'}, named twice "
            f"{', '.join(twice[:5]) or 'none'}."
        )
    return given


# The accuracy, and what it says.


def judge(dataset: Dataset, logits: Tensor, order: Order, found: tuple[str, int, str]) -> Check:
    """What the `logits` (N, C) on the test set say; `found` is the head, its number of features, and how names were matched."""
    labels, classes = dataset.test.labels, len(dataset.class_names)
    accuracy = _share(logits, labels)
    sizes = torch.bincount(labels, minlength=classes).double()
    hits = torch.bincount(labels[logits.argmax(1) == labels], minlength=classes).double()
    chance = float(sizes.max() / sizes.sum())
    fit = _fit(accuracy, chance, order.expected)
    known = (hits / sizes).numpy(), dataset.class_names
    return Check(accuracy, chance, *known, *found, fit, order.expected, notes=notes.about(dataset))


def _share(logits: Tensor, labels: Tensor) -> Share:
    return share_interval(int((logits.argmax(1) == labels).sum()), len(labels))


def _fit(accuracy: Share, chance: float, expected: float | None) -> Fit:
    if accuracy.low <= chance:
        return Fit.CHANCE if accuracy.share <= chance else Fit.UNSURE
    if expected is None:
        return Fit.POOR if accuracy.share < _POOR else Fit.FITS
    if accuracy.high + _SLACK < expected:
        return Fit.BELOW_EXPECTED
    if abs(accuracy.share - expected) <= _SLACK:
        return Fit.AS_EXPECTED
    return Fit.ABOVE_EXPECTED if accuracy.share > expected else Fit.NEAR_EXPECTED


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _tried(dataset: Dataset) -> int:
    """How many training images a trial takes: fewer where they are large."""
    pixels = dataset.train.images[0, 0].numel()
    return min(len(dataset.train), max(_TRIED // 5, min(_TRIED, _TRIED * 64**2 // pixels)))


def _trial(order: Order, dataset: Dataset, strange: foreign.Strange) -> Trial:
    """A choice judged by training images: the test set stays what it is, the last word."""
    model, *_ = fitted(order, dataset, strange)
    images = _some(dataset)
    said = predict(model, images, chunk_of(images.images)).argmax(1)
    halves = [_counts(images.labels[start::2], said[start::2], len(dataset.class_names)) for start in (0, 1)]
    counts = halves[0] + halves[1]
    elsewhere = sum(_kept(other, _assigned(one)) for one, other in (halves, halves[::-1]))
    columns = _assigned(counts)
    renamed = {column: dataset.class_names[row] for row, column in enumerate(columns)}
    place = {name: number for number, name in enumerate(dataset.class_names)}
    renumbered = tuple(renamed[place[name]] for name in in_order(order.classes, dataset))
    share = float(counts.trace()) / len(said)
    return Trial(order.architecture, order.normalisation, share, elsewhere / len(said), renumbered)


def _some(dataset: Dataset) -> ImageSet:
    """The images of a trial, drawn at random, class after class: sets are often in turns, where every k-th is of one class."""
    drawn = torch.randperm(len(dataset.train), generator=runtime.generator(0))[: _tried(dataset)]
    drawn = drawn[dataset.train.labels[drawn].argsort(stable=True)]
    return ImageSet(dataset.train.images[drawn], dataset.train.labels[drawn])


def _counts(labels: Tensor, said: Tensor, classes: int) -> Tensor:
    """How often (row) a class was called (column)."""
    return torch.bincount(labels * classes + said, minlength=classes**2).view(classes, classes).double()


def _assigned(counts: Tensor) -> list[int]:
    """The column of each row that together hold the most; where nothing speaks for another, a class keeps its own."""
    _, columns = linear_sum_assignment((counts + 0.5 * torch.eye(len(counts))).numpy(), maximize=True)
    return columns.tolist()


def _kept(counts: Tensor, columns: list[int]) -> float:
    return float(counts[range(len(counts)), columns].sum())


def advised(check: Check, trials: tuple[Trial, ...], order: Order, few: int) -> Check:
    """`check` with what the `trials` recommend; without an expectation, a much better choice means that this one does not fit."""
    now = trials[0].accuracy
    best = max(trials, key=lambda trial: trial.accuracy)
    renumbered = max(trials, key=lambda trial: trial.best)
    advice, suggestion = "", {}
    if renumbered.best >= max(0.5, best.accuracy + _BETTER):
        suggestion = {"normalisation": renumbered.normalisation, "classes": in_list(renumbered.order)}
        advice = (
            f"With the classes in another order and the normalisation {renumbered.normalisation} it "
            f"recognises {_percent(renumbered.best)} of {few} training images, as given {_percent(now)}. The checkpoint's order "
            f"may be: {in_list(renumbered.order)}."
        )
    elif best.accuracy >= now + _BETTER:
        suggestion = {"normalisation": best.normalisation}
        advice = (
            f"With the normalisation {best.normalisation} it recognises {_percent(best.accuracy)} of "
            f"{few} training images, as given {_percent(now)}. Choose that."
        )
    elif not check.fits:
        advice = (
            f"No normalisation is much better on {few} training images: {_table(trials)}. Is it another architecture, or "
            "other data?"
        )
    refused = bool(advice) and check.fits and order.expected is None
    fit = Fit.NOT_AS_GIVEN if refused else check.fit
    return replace(check, fit=fit, advice=advice, suggestion=suggestion, trials=trials)


def _table(trials: tuple[Trial, ...]) -> str:
    return ", ".join(f"{trial.normalisation} {_percent(trial.accuracy)}" for trial in trials)


# What is stored.


def recipe_of(architecture: str, samples: int) -> Recipe:
    """The recipe that references of a brought model are trained by: ours, not its makers', who know theirs."""
    usual = RECIPES.get(architecture) or Recipe(learning_rate=0.05, crop=0.125, edge="reflect")
    return replace(usual, batch_size=max(2, min(usual.batch_size, samples // 8)))


def _card(
    bringing: Bringing, dataset: Dataset, strange: foreign.Strange, accuracies: dict[str, float], parameters: int
) -> dict[str, Any]:
    order, check = bringing.order, bringing.check
    mean, std = normalisation(order.normalisation, dataset, strange)
    about = {
        "architecture": order.architecture,
        "normalisation": order.normalisation,
        "mean": list(mean),
        "std": list(std),
        "head": check.head,
        "file": strange.file,
        "sha256": strange.sha256,
        "notes": list(strange.notes),
        "matched": check.matched,
        "classes": list(order.classes),
        "expected": order.expected,
        "correct": check.accuracy.count,
        "tested": check.accuracy.n,
        "sentence": check.sentence,
        "left_out": [asdict(entry) for entry in dataset.left_out],
        "copies": asdict(dataset.copies),
    }
    return {
        "role": "original",
        "dataset": dataset.name,
        "data_hash": dataset.hash,
        "model": bringing.model_name,
        "parameters": parameters,
        "seed": 0,
        "request": "",
        "removed": 0,
        "removed_hash": "none",
        "command": "python -m imu_core own bring",
        "recipe": asdict(recipe_of(order.architecture, len(dataset.train))),
        "accuracies": accuracies,
        "seconds": 0.0,
        "stored": "float32",
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "brought": about,
    }


def checked(dataset: Dataset, model: nn.Module, logits: Tensor, how: str) -> Check:
    """The same check of a model that is here already, from its `logits` (N, C) on the test set."""
    return judge(dataset, logits, Order("here", b"", ""), (head_name(model), find_head(model).in_features, how))


def datasets() -> tuple[str, ...]:
    """The image folders that brought models belong to, by name."""
    return tuple(dict.fromkeys(name for name, _ in brought.everything() if name.startswith(data.FOLDER)))


def remove(dataset: str, model: str) -> str:
    """Delete a brought model, its references, and the images that were unpacked for it alone; says what was deleted."""
    with _alone():  # nobody may store a model on images that are about to go
        brought.remove(dataset, model)
        if not dataset.startswith(data.FOLDER):
            return f"{model} is deleted."
        users = _users(dataset)
        if dataset not in users:
            _remove_decoded(dataset)
        root = _root(dataset)
        if not users and archive.holds(root):
            archive.remove(root.name)
            return f"{model} is deleted, and the images that were unpacked as {root.name}."
    return f"{model} is deleted."


def _users(dataset: str) -> list[str]:
    """The folder datasets of brought models that read the same folder as `dataset`, at whatever side."""
    return [name for name in datasets() if _root(name) == _root(dataset)]


def _root(dataset: str) -> Path:
    """The folder behind a folder dataset, the same however it was written."""
    text = dataset.removeprefix(data.FOLDER)
    try:
        return folder.find(folder.parse(text).path).resolve()
    except DataError:  # it is gone, or was stored before such names were refused
        return Path(text.rpartition("@")[0] or text)


def _remove_decoded(dataset: str) -> None:
    """Delete what was decoded of a folder dataset; it can be read again."""
    text = dataset.removeprefix(data.FOLDER)
    if folder.is_here(text):
        folder.cache(text).unlink(missing_ok=True)
    data.load.cache_clear()
