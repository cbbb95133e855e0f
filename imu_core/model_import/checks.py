"""Whether a brought model fits its images, and what else to try."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum

import numpy as np
import torch
from torch import Tensor

from imu_core.data import notes
from imu_core.metrics.intervals import Share, share_interval
from imu_core.model_import.orders import Order, in_list
from imu_core.records.data import Dataset
from imu_core.report.numbers import percent

_GOOD, _POOR = 0.9, 0.7  # below the first, trials are made; below the second, nobody can tell without an expectation


@dataclass(frozen=True)
class Trial:
    """Accuracy (0 to 1) on a few training images under another choice.

    `order` lists the classes renumbered as suits these images best. `best` is the accuracy of such an order on images that it was
    not derived from: with many classes and few images, some order always flatters the images that it was derived from.
    """

    architecture: str
    normalisation: str
    accuracy: float
    best: float
    order: tuple[str, ...]


class Fit(Enum):
    """Whether a brought model is taken, and why; the value is the sentence that says so."""

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
    """The check of a model: its accuracy on the test set with its interval, beside chance, class by class, and whether it fits.

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
        """Whether the model is taken."""
        return self.fit in (Fit.FITS, Fit.AS_EXPECTED, Fit.ABOVE_EXPECTED, Fit.NEAR_EXPECTED)

    @property
    def sentence(self) -> str:
        """The accuracy with its interval, beside chance, and whether it fits."""
        share = self.accuracy
        words = self.fit.value.format(
            expected="" if self.expected is None else percent(self.expected), n=f"{share.n:,}", poor=percent(_POOR, 0)
        )
        return (
            f"{percent(share.share)} of {share.n:,} test images are recognised (95 % interval {percent(share.low)} to "
            f"{percent(share.high)}); always naming the commonest class gives {percent(self.chance)}. {words}"
        )


def judge(dataset: Dataset, logits: Tensor, order: Order, network: tuple[str, int, str]) -> Check:
    """The check of a model by its `logits` (N, C) on the test set: its accuracy, and whether it fits.

    `network` is (name of the head, number of its features, how the tensors were matched).
    """
    labels, classes = dataset.test.labels, len(dataset.class_names)
    accuracy = _share(logits, labels)
    sizes = torch.bincount(labels, minlength=classes).double()
    hits = torch.bincount(labels[logits.argmax(1) == labels], minlength=classes).double()
    chance = float(sizes.max() / sizes.sum())
    fit = _fit(accuracy, chance, order.expected)
    known = (hits / sizes).numpy(), dataset.class_names
    return Check(accuracy, chance, *known, *network, fit, order.expected, notes=notes.about(dataset))


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


def _tried(dataset: Dataset) -> int:
    """How many training images a trial takes: fewer where they are large."""
    pixels = dataset.train.images[0, 0].numel()
    return min(len(dataset.train), max(_TRIED // 5, min(_TRIED, _TRIED * 64**2 // pixels)))


def advised(check: Check, trials: tuple[Trial, ...], order: Order, few: int) -> Check:
    """`check` with what the `trials`, each on `few` training images, recommend; the first of them is the choice as given.

    Where no accuracy is expected, a much better choice means that the one given does not fit.
    """
    now = trials[0].accuracy
    best = max(trials, key=lambda trial: trial.accuracy)
    renumbered = max(trials, key=lambda trial: trial.best)
    advice, suggestion = "", {}
    if renumbered.best >= max(0.5, best.accuracy + _BETTER):
        suggestion = {"normalisation": renumbered.normalisation, "classes": in_list(renumbered.order)}
        advice = (
            f"With the classes in another order and the normalisation {renumbered.normalisation} it "
            f"recognises {percent(renumbered.best)} of {few} training images, as given {percent(now)}. The checkpoint's order "
            f"may be: {in_list(renumbered.order)}."
        )
    elif best.accuracy >= now + _BETTER:
        suggestion = {"normalisation": best.normalisation}
        advice = (
            f"With the normalisation {best.normalisation} it recognises {percent(best.accuracy)} of "
            f"{few} training images, as given {percent(now)}. Choose that."
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
    return ", ".join(f"{trial.normalisation} {percent(trial.accuracy)}" for trial in trials)


_TRIED, _PROBE = 500, 8  # training images a trial is judged by; images that the head is looked for with
_BETTER, _SLACK = 0.1, 0.005  # by so much another choice must be better; rounding of an expectation
