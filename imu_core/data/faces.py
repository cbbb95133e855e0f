"""AT&T faces (Samaria and Harter 1994, AT&T Laboratories Cambridge): 40 real people, ten grey images each, 64 x 64.

From a folder of `s1` … `s40` inside the data folder, else through scikit-learn's `fetch_olivetti_faces`, which serves the same
faces. People s1 to s30 are for training: seven images of each to train on, three kept out; s31 to s40 are the unseen ones, three
images of each as queries. Every image counts as a camera of its own, because the set knows none.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from imu_core import runtime
from imu_core.data import files
from imu_core.data.market import decode
from imu_core.errors import DataError
from imu_core.records.data import Dataset, ImageSet, People, Sightings

PEOPLE, EACH, SIDE = 40, 10, 64
TRAINING, TRAIN_IMAGES, QUERIES = 30, 7, 3
MEAN, STD = (0.5,), (0.25,)
_FOLDERS = ("att_faces", "orl_faces", "faces")
_FETCHED = "olivetti_py3.pkz"  # the file scikit-learn keeps


def folder() -> Path | None:
    """The folder of `s1` … `s40`, or None."""
    places = [runtime.data_folder() / name for name in _FOLDERS]
    return next((place for place in places if (place / "s1").is_dir()), None)


def is_here() -> bool:
    """Whether the faces are on this machine."""
    return folder() is not None or (runtime.data_folder() / _FETCHED).exists()


def download() -> Iterator[tuple[float, str]]:
    """Let scikit-learn fetch the faces, yielding (fraction done, what is fetched)."""
    yield 0.0, "Olivetti faces, 4 MB"
    _fetch(download=True)
    yield 1.0, "Olivetti faces"


def _fetch(download: bool) -> np.ndarray:
    from sklearn.datasets import fetch_olivetti_faces

    try:
        faces = fetch_olivetti_faces(data_home=runtime.data_folder(), download_if_missing=download)
    except Exception as error:  # scikit-learn passes on whatever the network and the unpickling raise
        raise DataError(
            f"The faces could not be fetched ({type(error).__name__}: {error}). Check the connection and try again, or put the "
            f"folders s1 to s{PEOPLE} of the AT&T database into {runtime.data_folder() / _FOLDERS[0]}."
        ) from error
    return (faces.images * 255).round().astype(np.uint8)  # (400, 64, 64), person by person


def _read(root: Path, tally: files.Tally) -> np.ndarray:
    pictures = []
    for person in range(1, PEOPLE + 1):
        mine = root / f"s{person}"
        images = sorted(files.images(mine, tally) if mine.is_dir() else [], key=lambda path: (len(path.stem), path.stem))
        if len(images) != EACH:
            raise DataError(
                f"{mine} holds {len(images)} images; the AT&T faces have {EACH} of each of s1 to s{PEOPLE}; copy it again."
            )
        pictures += [decode(path, (SIDE, SIDE), "L", tally) for path in images]
    return np.stack(pictures)


def load() -> Dataset:
    """The faces as a person set: 210 images to train on, 90 kept out, 30 queries and 70 gallery images of unseen people."""
    root, tally = folder(), files.Tally()
    pixels = torch.from_numpy(_read(root, tally) if root else _fetch(download=False)).unsqueeze(1)
    ids = torch.arange(1, PEOPLE + 1).repeat_interleave(EACH)
    number = torch.arange(EACH).repeat(PEOPLE) + 1
    names = tuple(f"s{i}/{n}" for i, n in zip(ids.tolist(), number.tolist(), strict=True))
    everything = Sightings(pixels, ids, number, names)
    training = ids <= TRAINING
    masks = (training & (number <= TRAIN_IMAGES), training & (number > TRAIN_IMAGES),
             ~training & (number <= QUERIES), ~training & (number > QUERIES))  # fmt: skip
    train, test, query, gallery = (everything.take(mask.nonzero()[:, 0]) for mask in masks)
    images = [ImageSet(part.images, part.ids - 1) for part in (train, test)]
    classes = tuple(f"s{person}" for person in range(1, TRAINING + 1))
    people = People(train, test, query, gallery)
    return Dataset("faces", "AT&T faces", *images, classes, MEAN, STD, people, left_out=tally.left_out())
