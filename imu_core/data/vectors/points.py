"""Points of the plane by name, `points:moons`: drawn from a fixed seed, in the square from −1 to 1.

Three of them are scenes: each shows one thing about unlearning, with the request that goes with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from imu_core.records.data import Dataset, ImageSet

PREFIX = "points:"
CLASS_NAMES = ("A", "B", "C", "D")
DECIMALS = 3  # of a coordinate: what is drawn, stored and sent is the same number
TRAIN, TEST = 200, 400
_SEED = 2509_26427

Drawn = tuple[np.ndarray, np.ndarray]  # points (n, 2) and their classes (n,)


@dataclass(frozen=True)
class Kind:
    """A way to draw points: title, what they show, the draw of n of them, requests to propose, the network to begin with."""

    title: str
    shows: str
    draw: Callable[[np.random.Generator, int], Drawn]
    requests: tuple[str, ...] = ()
    model: str = "mlp"
    odd: Callable[[], Drawn] | None = None  # training points that come before the drawn ones

    @property
    def odd_count(self) -> int:
        """How many training points come before the drawn ones."""
        return len(self.odd()[1]) if self.odd else 0


def _turns(n: int, classes: int = 2) -> np.ndarray:
    """The class of each of n points: as many of each as can be, class by class."""
    return np.sort(np.arange(n) % classes)


def _along(rng: np.random.Generator, y: np.ndarray) -> np.ndarray:
    """Where along its class each point lies, 0 to 1, ascending in each class: so neighbouring ids are neighbouring points."""
    place = rng.random(len(y))
    return place[np.lexsort((place, y))]


def _moons(rng: np.random.Generator, n: int) -> Drawn:
    y = _turns(n)
    angle = math.pi * _along(rng, y)
    upper = np.stack([np.cos(angle) - 0.5, np.sin(angle) - 0.25], 1)
    return 0.56 * np.where(y[:, None] == 0, upper, -upper) + 0.075 * rng.standard_normal((n, 2)), y


def _circles(rng: np.random.Generator, n: int) -> Drawn:
    y = _turns(n)
    angle = 2 * math.pi * _along(rng, y)
    radius = np.where(y == 0, 0.3, 0.75)[:, None]
    return radius * np.stack([np.cos(angle), np.sin(angle)], 1) + 0.08 * rng.standard_normal((n, 2)), y


def _blobs(rng: np.random.Generator, n: int) -> Drawn:
    y, middles = _turns(n, 4), 0.5 * np.array([[-1, 1], [1, 1], [1, -1], [-1, -1]])
    return middles[y] + 0.16 * rng.standard_normal((n, 2)), y


def _spirals(rng: np.random.Generator, n: int) -> Drawn:
    y = _turns(n)
    along = np.sqrt(_along(rng, y))
    angle = 3.0 * math.pi * along + math.pi * y
    return 0.9 * along[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1) + 0.025 * rng.standard_normal((n, 2)), y


def _overlap(rng: np.random.Generator, n: int) -> Drawn:
    y = _turns(n)
    return np.array([[-0.25, -0.1], [0.25, 0.1]])[y] + 0.28 * rng.standard_normal((n, 2)), y


def _two_groups(rng: np.random.Generator, n: int) -> Drawn:
    """Two classes that a straight line parts."""
    y = _turns(n)
    return np.array([[-0.4, 0.0], [0.4, 0.0]])[y] + 0.2 * rng.standard_normal((n, 2)), y


def _outlier() -> Drawn:
    """One point of class A on B's side, where the moons come near each other."""
    return np.array([[0.5, -0.2]]), np.array([0])


def _poison() -> Drawn:
    """Fifteen points of class B in a corner that is A's: somebody put wrong labels there."""
    across, up = np.meshgrid(np.linspace(-0.9, -0.6, 5), np.linspace(0.25, 0.5, 3))
    return np.stack([across.ravel(), up.ravel()], 1), np.ones(15, dtype=np.int64)


def _correlated() -> Drawn:
    """Forty points of class A, a group like the retained ones of A, but nearer to B and above them."""
    rng = np.random.default_rng(_SEED)
    return np.array([-0.1, 0.5]) + 0.13 * rng.standard_normal((40, 2)), np.zeros(40, dtype=np.int64)


_TENTH = "random:10%,seed=0"
_TIP = "ids:70-99"  # the last points of class A, which lie side by side
KINDS: dict[str, Kind] = {
    "moons": Kind(
        "Two moons",
        "The tip of a moon must go. Watch what happens to the rest of the boundary.",
        _moons,
        (_TIP, _TENTH, "hardest:20"),
    ),
    "circles": Kind(
        "Two circles",
        "A quarter of the inner circle must go. Trained without it, a network still calls those places A: the others tell it to.",
        _circles,
        ("ids:0-24", _TENTH),
    ),
    "blobs": Kind(
        "Four blobs",
        "A whole class must go. Its ground falls to its neighbours.",
        _blobs,
        ("class:A", "class:A+B", _TENTH),
    ),
    "spirals": Kind(
        "Two spirals",
        "The end of an arm must go. The boundary is long, and every step moves all of it.",
        _spirals,
        (_TIP, _TENTH),
    ),
    "overlap": Kind(
        "Overlapping classes",
        "The points that the line gets most wrong must go. Trained without them, the line hardly moves.",
        _overlap,
        ("hardest:20", _TENTH),
        "logistic",
    ),
    "ascent": Kind(
        "Why ascent fails",
        "Ascent moves the line towards the retrained one first, then past it, further away than it began: follow the distance.",
        _two_groups,
        ("ids:0-39", _TENTH),
        "logistic",
        _correlated,
    ),
    "outlier": Kind(
        "An outlier",
        "One odd point carries more influence than all others. See how far the boundary reaches out for it.",
        _moons,
        ("ids:0", "hardest:5"),
        "mlp",
        _outlier,
    ),
    "poisoned": Kind(
        "A poisoned corner",
        "Fifteen wrong labels opened a hole. Unlearning them closes it, unless it goes on too long.",
        _moons,
        ("ids:0-14", "hardest:15"),
        "mlp",
        _poison,
    ),
}
SCENES = ("ascent", "outlier", "poisoned")


def load(kind: str) -> Dataset:
    """The points called `kind`: some 200 training and 400 test points, float32 in the square from −1 to 1."""
    about, rng = KINDS[kind], np.random.default_rng(_SEED)
    train, test = about.draw(rng, TRAIN - about.odd_count), about.draw(rng, TEST)
    if about.odd:
        train = tuple(np.concatenate(both) for both in zip(about.odd(), train, strict=True))
    return dataset(PREFIX + kind, about.title, train, test, CLASS_NAMES[: int(train[1].max()) + 1])


def dataset(name: str, title: str, train: Drawn, test: Drawn, class_names: tuple[str, ...]) -> Dataset:
    """A data set of points (n, 2), rounded and kept in the square, with the mean and spread of the training points."""
    sets = [ImageSet(torch.from_numpy(rounded(x)), torch.from_numpy(y.astype(np.int64))) for x, y in (train, test)]
    points = sets[0].images.double()
    std = points.std(0, correction=0).clamp(min=1e-3)
    return Dataset(name, title, *sets, class_names, tuple(points.mean(0).tolist()), tuple(std.tolist()))


def rounded(x: np.ndarray) -> np.ndarray:
    """Points as they are stored: float32, three decimals, from −1 to 1."""
    return np.round(np.clip(x, -1, 1), DECIMALS).astype(np.float32)
