"""Data sets as records: images, people, where they come from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

import torch
from torch import Tensor

FOR_VECTORS = ("mlp", "logistic")  # the networks that take vectors; all others take images
_AT_ONCE = 2_000  # vectors that a network learns from within a second or two


@dataclass(frozen=True, eq=False)
class ImageSet:
    """The samples of a set: images (N, channels, height, width) as uint8, or vectors (N, d) as float32; labels (N,) as int64."""

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
        """All sightings of `groups`, one group behind the other; without `parts` where one of them has none."""
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
    """The subclasses of larger classes, with the subclass that each training image shows.

    `superclasses` maps a superclass to the names of its subclasses; `names` are those of all subclasses in the order of their
    numbers; `labels` (N train,) int64 holds the number of each training image's subclass. The subclasses may be the classes of
    the dataset themselves, or parts of them.
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
    """Counts of images that occur twice, pixel by pixel: in two sets that should have nothing in common, or in one."""

    test_in_train: int  # test images that the training set holds too
    train_twice: int  # training images that came before, counted without the first of each
    other_class: int  # training images that are there under another class too
    query_elsewhere: int = 0  # query images that the gallery or the training set holds too, in a set of people
    forget_in_retain: int = 0  # forget images that the retain set holds too


@dataclass(frozen=True, eq=False)
class Dataset:
    """A training and a test set with the names of the classes and the statistics models normalise with: `mean` and `std` of each
    channel of images, of each column of vectors.

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

    @property
    def holds_vectors(self) -> bool:
        """Whether the samples are float vectors, (N, d), and no images."""
        return self.train.images.ndim == 2

    @property
    def trains_at_once(self) -> bool:
        """Whether a network trains on this set in a second or two, so that nobody needs a bar or Stop: it holds few vectors."""
        return self.holds_vectors and len(self.train) <= _AT_ONCE

    @property
    def noun(self) -> str:
        """What the samples are, in the plural: images, points (of the plane) or rows (of a table)."""
        return "images" if not self.holds_vectors else "points" if self.train.images.shape[1] == 2 else "rows"

    @cached_property
    def prints(self) -> tuple[Tensor, Tensor]:
        """A number (int64) for each training and each test image, (N,) and (n,): equal where all pixels of two images are."""
        return _prints(self.train.images, self.test.images)

    @cached_property
    def copies(self) -> Copies:
        """Counts of the images that occur twice, pixel by pixel, in the training set and the test set."""
        train, test = self.prints
        different, which = train.unique(return_inverse=True)
        pairs = torch.stack([which, self.train.labels]).unique(dim=1)[0]  # each image once for each of its classes
        torn = torch.bincount(pairs, minlength=len(different))[which] > 1
        query_elsewhere = 0
        if self.people is not None:
            query, *others = _prints(self.people.query.images, self.people.gallery.images, self.train.images)
            query_elsewhere = int(torch.isin(query, torch.cat(others)).sum())
        return Copies(int(torch.isin(test, train).sum()), len(train) - len(different), int(torn.sum()), query_elsewhere)

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
    """A number (int64) for each image of each of the `groups`: equal where all pixels of two images are equal.

    First a few pixels of each image are compared; all pixels are read only where those few are equal.
    """
    if groups[0].ndim == 2:
        return tuple(map(_digests, groups))
    steps = [max(1, side // 16) for side in groups[0].shape[2:]]
    prints = torch.cat([_digests(images[:, :, :: steps[0], :: steps[1]]) for images in groups])
    _, which, counts = prints.unique(return_inverse=True, return_counts=True)
    same, start = (counts[which] > 1).split([len(images) for images in groups]), 0
    for images, alike in zip(groups, same, strict=True):
        places = alike.nonzero()[:, 0]
        prints[start + places] = _digests(images[places])
        start += len(images)
    return prints.split([len(images) for images in groups])


def _digests(images: Tensor) -> Tensor:
    digests = (hashlib.blake2b(image, digest_size=8).digest() for image in images.contiguous().numpy())
    return torch.tensor([int.from_bytes(digest, "little", signed=True) for digest in digests], dtype=torch.int64)


def _nothing() -> Iterator[tuple[float, str]]:
    return iter(())


@dataclass(frozen=True)
class Source:
    """An entry of the dataset registry: how to load a set, whether it is on this machine, how to fetch it (`verb` names that).

    Where `people` is set, the classes are identities. A `free` set costs nothing to fetch, so a page fetches it without a
    click, unless it lies in a folder of this machine (`asks`). `class_names` and `superclasses` are given where they are
    known before the images are read. `models` are the networks to offer, the usual one first; where there are none, those
    that suit the `channels`, or people, are offered. `requests` are the forget requests to propose before all others. The
    samples of a set of `vectors` are no images. The images of a `brought` set are the visitor's, and networks brought with
    them come first. `check` raises a DataError where a folder is not there and a ClosedError where pages may not read it.
    What `state` returns changes once the images do.
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
    channels: int = 1
    models: tuple[str, ...] = ()
    requests: tuple[str, ...] = ()
    vectors: bool = False
    brought: bool = False
    check: Callable[[], object] = lambda: None
    state: Callable[[], object] = lambda: ""
