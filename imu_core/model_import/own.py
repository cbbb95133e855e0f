"""Bring a model of one's own: a stranger's checkpoint and images become a problem like any other, or a sentence says why not.

`Bringing` is iterated and yields (fraction, words). It reads the checkpoint, builds the architecture, matches the names, finds
the head, and then, before anything else, checks the accuracy on the test set. Only a model that fits is stored, as `own-NAME`
among the trained models; whatever fails or is stopped leaves nothing behind.
"""

from __future__ import annotations

import platform
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from itertools import permutations
from pathlib import Path

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from imu_core import data, models, names, runtime
from imu_core.access import rules
from imu_core.data import archive, folder
from imu_core.errors import Cancelled, CheckpointError, ConfigError, DataError, HeadError
from imu_core.model_import import foreign
from imu_core.model_import.brought_sets import one_at_a_time, remove_decoded, users_of
from imu_core.model_import.checks import _BETTER, _GOOD, _PROBE, _SLACK, Check, Trial, _share, _tried, advised, judge
from imu_core.model_import.normalisations import NORMALISATIONS, normalisation, normalised_by
from imu_core.model_import.orders import Order
from imu_core.model_import.pairing import Pairing
from imu_core.models import brought, checkpoints, outside
from imu_core.models.head import find_head, head_name
from imu_core.models.inference import chunk_of, predict, to_input
from imu_core.numeric import as_number, is_number
from imu_core.problems.features import in_parts, keep, kept_at
from imu_core.progress import Task
from imu_core.records.data import Dataset, ImageSet
from imu_core.records.outcome import Outcome
from imu_core.records.shapes import Card
from imu_core.report.numbers import percent
from imu_core.training.recipes import RECIPES, Recipe

PREFIX = outside.PREFIX
VARIANTS = {"resnet20": ("resnet20_even",), "resnet20_even": ("resnet20",)}  # the same tensors, another computation


class Bringing(Task):
    """Check what an `Order` names and store it if it fits; iterate for (fraction, words), then read `check` and `model_name`.

    Stop with `cancel()` from any thread. Raises an ImuError while iterated where something cannot be used.
    """

    def __init__(self, order: Order) -> None:
        super().__init__()
        self.order = order = replace(order, side=as_number(order.side), expected=as_number(order.expected))
        folder.checked_side(order.side)
        self.model_name = PREFIX + folder.checked_name(order.name)
        self.dataset_name = names.normal(order.dataset) if order.images is None else f"{data.FOLDER}{order.name}@{order.side}"
        if self.dataset_name.startswith(data.FOLDER):
            folder.parse(self.dataset_name.removeprefix(data.FOLDER))
        self.check: Check | None = None
        self.layers: tuple[str, ...] = ()  # to choose a head from, where none was found
        self._variant = ""  # words on the form of the architecture that was taken
        self._unpacked = self._decoded = False  # whether this made such images, which must go if it fails

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
            if not (self.check and self.check.fits and self.outcome.state == "done"):
                self._clean_up()

    def _clean_up(self) -> None:
        """Remove what was unpacked or decoded for this, and nothing that was there before or that another model uses."""
        if not self._decoded and not self._unpacked:
            return
        with one_at_a_time():
            users = users_of(self.dataset_name)
            if self._decoded and self.dataset_name not in users:
                remove_decoded(self.dataset_name)
            if self._unpacked and not users:
                archive.remove(self.order.name)

    def _at(self, start: float, end: float, fraction: float) -> float:
        """The overall fraction of a part that goes from `start` to `end`; raises Cancelled once it was stopped."""
        self._raise_if_cancelled()
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
            trial = _trial(self.order, dataset, replace(strange, way=number))
            share = max(trial.accuracy, trial.best)
            if not number or share > reached + (_SLACK if way.root == ways[best].root else _BETTER):
                best, reached = number, share
        return replace(strange, way=best)

    def _choose_variant(self, dataset: Dataset, strange: foreign.Strange) -> Iterator[tuple[float, str]]:
        """Some architectures exist in two forms that no tensor tells apart: take the one that recognises more training images."""
        architecture = self.order.architecture
        trials = []
        for form in (architecture, *VARIANTS.get(architecture, ())) if architecture in VARIANTS else ():
            yield self._at(0.2, 0.2, 0), f"trying the form {form}"
            trials.append(_trial(replace(self.order, architecture=form), dataset, strange))
        best = max(trials, key=lambda trial: trial.accuracy, default=None)
        if best and best.architecture != architecture:
            self.order = replace(self.order, architecture=best.architecture)
            self._variant = (
                f"; the form {best.architecture} was taken, which recognises {percent(best.accuracy)} of {_tried(dataset)} "
                f"training images where {architecture} recognises {percent(trials[0].accuracy)}"
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
        with one_at_a_time():
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

    A head is a linear layer with one output a class that the network returns unchanged. HeadError, which lists the linear layers,
    where there is no such layer or the named one is none.
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
    layers = outside.linear_layers(plain)
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
    heads = [order.head] if order.head in outside.linear_layers(plain) else foreign.candidates(plain, classes)
    return foreign.ways(outside.completed(plain, (), (), heads[0]), strange) if heads else []


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


def _trial(order: Order, dataset: Dataset, strange: foreign.Strange) -> Trial:
    """A choice judged by training images: the test set stays what it is, the last word."""
    model, *_ = fitted(order, dataset, strange)
    images = _some(dataset)
    predictions = predict(model, images, chunk_of(images.images)).argmax(1)
    halves = [_counts(images.labels[start::2], predictions[start::2], len(dataset.class_names)) for start in (0, 1)]
    counts = halves[0] + halves[1]
    elsewhere = sum(_kept(other, _assigned(one)) for one, other in (halves, halves[::-1]))
    columns = _assigned(counts)
    renamed = {column: dataset.class_names[row] for row, column in enumerate(columns)}
    place = {name: number for number, name in enumerate(dataset.class_names)}
    renumbered = tuple(renamed[place[name]] for name in in_order(order.classes, dataset))
    share = float(counts.trace()) / len(predictions)
    return Trial(order.architecture, order.normalisation, share, elsewhere / len(predictions), renumbered)


def _some(dataset: Dataset) -> ImageSet:
    """The images of a trial, drawn at random, class after class: sets are often in turns, where every k-th is of one class."""
    drawn = torch.randperm(len(dataset.train), generator=runtime.generator(0))[: _tried(dataset)]
    drawn = drawn[dataset.train.labels[drawn].argsort(stable=True)]
    return ImageSet(dataset.train.images[drawn], dataset.train.labels[drawn])


def _counts(labels: Tensor, predictions: Tensor, classes: int) -> Tensor:
    """How often (row) a class was called (column)."""
    return torch.bincount(labels * classes + predictions, minlength=classes**2).view(classes, classes).double()


def _assigned(counts: Tensor) -> list[int]:
    """The column of each row that together hold the most; where nothing speaks for another, a class keeps its own."""
    _, columns = linear_sum_assignment((counts + 0.5 * torch.eye(len(counts))).numpy(), maximize=True)
    return columns.tolist()


def _kept(counts: Tensor, columns: list[int]) -> float:
    return float(counts[range(len(counts)), columns].sum())


# What is stored.


def recipe_of(architecture: str, samples: int) -> Recipe:
    """The recipe by which references of a brought model are trained: this program's, not that of the model's makers."""
    usual = RECIPES.get(architecture) or Recipe(learning_rate=0.05, crop=0.125, edge="reflect")
    return replace(usual, batch_size=max(2, min(usual.batch_size, samples // 8)))


def _card(bringing: Bringing, dataset: Dataset, strange: foreign.Strange, accuracies: dict[str, float], parameters: int) -> Card:
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
    """The check of a model that is here already, by its `logits` (N, C) on the test set; `how` becomes its `matched`."""
    return judge(dataset, logits, Order("here", b"", ""), (head_name(model), find_head(model).in_features, how))
