"""Fashion-MNIST (Xiao, Rasul and Vollgraf 2017, arXiv 1708.07747; MIT licence): the subset that ships, and all of it.

The subset holds the first 1,000 training and 500 test images of each class, interleaved so that sample i has class
i mod 10 and every prefix is balanced. It was made by

    python -m imu_core.data.embed --source FOLDER_WITH_THE_FOUR_GZIP_FILES --out assets/fashion
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from imu_core import runtime
from imu_core.data.download import fetch
from imu_core.errors import DataError
from imu_core.records.data import Dataset, ImageSet

CLASS_NAMES = ("T-shirt", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Boot")
PER_CLASS = {"train": 1000, "test": 500}
SIDE, COLUMNS = 28, 100
_MOST_BYTES = 100_000_000  # of one file, unpacked; the largest has 47 million
MEAN, STD = (0.2860,), (0.3530,)  # of the 60,000 training images
_PREFIX = {"train": "train", "test": "t10k"}
_INSTEAD = "use the dataset 'fashion', which needs no download."
DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")  # where Debian's package dataset-fashion-mnist puts the files


def load_embedded() -> Dataset:
    """The subset in `assets/fashion`: 10,000 training and 5,000 test images, 28 x 28 grey, 10 balanced classes."""
    train, test = (_read_sheet(runtime.ASSETS / "fashion" / f"{part}.webp", PER_CLASS[part]) for part in ("train", "test"))
    return _dataset("fashion", "Fashion-MNIST", train, test)


def load_full() -> Dataset:
    """All 60,000 training and 10,000 test images, from the data folder (`IMU_DATA`) or Debian's package.

    In the data folder they lie where torchvision puts them, or in `fashion-mnist`. A DataError where they are nowhere.
    """
    folder = _full_folder()
    if folder is None:
        raise DataError(
            "All of Fashion-MNIST is not on this machine yet. Download it on the page, or put its four gzip files into "
            f"{_raw_folder()}, or choose the dataset 'fashion', which ships with the project."
        )
    train, test = (ImageSet(*read_idx(folder, part)) for part in ("train", "test"))
    return _dataset("fashion-full", "Fashion-MNIST (full)", train, test)


def full_is_here() -> bool:
    """Whether the four files of the full set are on this machine."""
    return _full_folder() is not None


def download_full() -> Iterator[tuple[float, str]]:
    """Fetch the four files from torchvision's mirrors, checking each against torchvision's MD5; yields (fraction, file)."""
    runtime.import_torchvision()
    from torchvision.datasets import FashionMNIST

    for number, (name, md5) in enumerate(FashionMNIST.resources):
        for fraction in fetch(f"{FashionMNIST.mirrors[0]}{name}", md5, _raw_folder() / name, 30_000_000, _INSTEAD):
            yield (number + fraction) / len(FashionMNIST.resources), name


def _raw_folder() -> Path:
    return runtime.data_folder() / "FashionMNIST" / "raw"


def _full_folder() -> Path | None:
    names = [f"{prefix}-{kind}-ubyte.gz" for prefix in _PREFIX.values() for kind in ("images-idx3", "labels-idx1")]
    folders = (_raw_folder(), runtime.data_folder() / "fashion-mnist", DEBIAN_FOLDER)
    return next((folder for folder in folders if all((folder / name).exists() for name in names)), None)


def read_idx(folder: Path, part: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Images (N, 1, 28, 28) uint8 and labels (N,) int64 of `part` (train | test) from the gzip files in `folder`.

    A DataError where a file is damaged, or images and labels do not belong together.
    """

    def raw(kind: str, offset: int) -> np.ndarray:
        path = folder / f"{_PREFIX[part]}-{kind}-ubyte.gz"
        try:
            with runtime.open_regular(path) as file, gzip.open(file) as unpacked:
                return np.frombuffer(unpacked.read(_MOST_BYTES), np.uint8, offset=offset)
        except (OSError, EOFError, ValueError, zlib.error) as error:
            raise DataError(f"{path} is damaged ({error}). Delete it and download it again.") from error

    images, labels = raw("images-idx3", 16), raw("labels-idx1", 8)
    if images.size != labels.size * SIDE * SIDE:
        raise DataError(f"The Fashion-MNIST files in {folder} do not belong together: delete them and download them again.")
    return torch.from_numpy(images.reshape(-1, 1, SIDE, SIDE).copy()), torch.from_numpy(labels.astype(np.int64))


def _read_sheet(path: Path, per_class: int) -> ImageSet:
    try:
        with Image.open(path) as sheet:
            pixels = np.asarray(sheet.convert("L"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path.name} of the images that ship is missing or damaged. Restore assets/fashion from the repository, or make it "
            "again with: python -m imu_core.data.embed"
        ) from error
    tiles = pixels.reshape(-1, SIDE, COLUMNS, SIDE).swapaxes(1, 2).reshape(len(CLASS_NAMES), per_class, SIDE, SIDE)
    images = tiles.swapaxes(0, 1).reshape(-1, 1, SIDE, SIDE)  # class blocks compress better; samples are interleaved
    return ImageSet(torch.from_numpy(images.copy()), torch.arange(len(images)) % len(CLASS_NAMES))


def _dataset(name: str, title: str, train: ImageSet, test: ImageSet) -> Dataset:
    return Dataset(name, title, train, test, CLASS_NAMES, MEAN, STD)
