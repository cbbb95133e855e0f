"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009): 50,000 training and 10,000 test images, 32 x 32 in colour, through torchvision.

They are read from `runtime.data_folder()` or fetched there; nothing of them ships. CIFAR-100's 100 classes lie in 20
superclasses of five. `cifar20` shows the same images under the names of the superclasses: there boy is a part of the class people
and can be forgotten while that class stays (Foster et al. 2023, arXiv 2308.07707, call it sub-class forgetting).
"""

from __future__ import annotations

import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from imu_core import runtime
from imu_core.data.download import fetch
from imu_core.errors import DataError
from imu_core.records.data import Dataset, ImageSet, Subclasses

_FILES = {
    "CIFAR10": ("cifar-10-batches-py", ("batches.meta", "test_batch", *(f"data_batch_{i}" for i in range(1, 6)))),
    "CIFAR100": ("cifar-100-python", ("meta", "test", "train")),
}
CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_ARCHIVE_BYTES = 170_000_000
_MEAN = {"CIFAR10": (0.4914, 0.4822, 0.4465), "CIFAR100": (0.5071, 0.4865, 0.4409)}  # of the training images
_STD = {"CIFAR10": (0.2470, 0.2435, 0.2616), "CIFAR100": (0.2673, 0.2564, 0.2762)}

SUPERCLASSES: dict[str, tuple[str, ...]] = {
    "aquatic_mammals": ("beaver", "dolphin", "otter", "seal", "whale"),
    "fish": ("aquarium_fish", "flatfish", "ray", "shark", "trout"),
    "flowers": ("orchid", "poppy", "rose", "sunflower", "tulip"),
    "food_containers": ("bottle", "bowl", "can", "cup", "plate"),
    "fruit_and_vegetables": ("apple", "mushroom", "orange", "pear", "sweet_pepper"),
    "household_electrical_devices": ("clock", "keyboard", "lamp", "telephone", "television"),
    "household_furniture": ("bed", "chair", "couch", "table", "wardrobe"),
    "insects": ("bee", "beetle", "butterfly", "caterpillar", "cockroach"),
    "large_carnivores": ("bear", "leopard", "lion", "tiger", "wolf"),
    "large_man-made_outdoor_things": ("bridge", "castle", "house", "road", "skyscraper"),
    "large_natural_outdoor_scenes": ("cloud", "forest", "mountain", "plain", "sea"),
    "large_omnivores_and_herbivores": ("camel", "cattle", "chimpanzee", "elephant", "kangaroo"),
    "medium_mammals": ("fox", "porcupine", "possum", "raccoon", "skunk"),
    "non-insect_invertebrates": ("crab", "lobster", "snail", "spider", "worm"),
    "people": ("baby", "boy", "girl", "man", "woman"),
    "reptiles": ("crocodile", "dinosaur", "lizard", "snake", "turtle"),
    "small_mammals": ("hamster", "mouse", "rabbit", "shrew", "squirrel"),
    "trees": ("maple_tree", "oak_tree", "palm_tree", "pine_tree", "willow_tree"),
    "vehicles_1": ("bicycle", "bus", "motorcycle", "pickup_truck", "train"),
    "vehicles_2": ("lawn_mower", "rocket", "streetcar", "tank", "tractor"),
}


def cifar10_is_here() -> bool:
    """Whether the files of CIFAR-10 are on this machine."""
    return _is_here("CIFAR10")


def cifar100_is_here() -> bool:
    """Whether the files of CIFAR-100 are on this machine."""
    return _is_here("CIFAR100")


def download_cifar10() -> Iterator[tuple[float, str]]:
    """Fetch and unpack CIFAR-10, yielding (fraction done, what is done); a DataError says why it could not."""
    return _download("CIFAR10")


def download_cifar100() -> Iterator[tuple[float, str]]:
    """Fetch and unpack CIFAR-100, yielding (fraction done, what is done); a DataError says why it could not."""
    return _download("CIFAR100")


def load_cifar10() -> Dataset:
    """CIFAR-10: ten balanced classes."""
    (train, test), names = _read("CIFAR10")
    return Dataset("cifar10", "CIFAR-10", train, test, names, _MEAN["CIFAR10"], _STD["CIFAR10"])


def load_cifar100() -> Dataset:
    """CIFAR-100: a hundred balanced classes, with the superclass that each lies in."""
    (train, test), names = _read("CIFAR100")
    parts = Subclasses(SUPERCLASSES, names, train.labels)
    return Dataset("cifar100", "CIFAR-100", train, test, names, _MEAN["CIFAR100"], _STD["CIFAR100"], subclasses=parts)


def load_cifar20() -> Dataset:
    """CIFAR-100 with its 20 superclasses for classes; each is made of five subclasses."""
    (train, test), names = _read("CIFAR100")
    parts = Subclasses(SUPERCLASSES, names, train.labels)
    place = {part: number for number, group in enumerate(SUPERCLASSES.values()) for part in group}
    coarse = torch.tensor([place[name] for name in names])
    train, test = (ImageSet(part.images, coarse[part.labels]) for part in (train, test))
    title = "CIFAR-100, 20 superclasses"
    return Dataset("cifar20", title, train, test, tuple(SUPERCLASSES), _MEAN["CIFAR100"], _STD["CIFAR100"], subclasses=parts)


def _is_here(kind: str) -> bool:
    """By the names alone, because this is asked often; torchvision compares every MD5 when the files are read."""
    folder, names = _FILES[kind]
    return all((runtime.data_folder() / folder / name).is_file() for name in names)


def _torchvision(kind: str) -> Any:
    runtime.import_torchvision()
    from torchvision import datasets

    return getattr(datasets, kind)


def _read(kind: str) -> tuple[tuple[ImageSet, ImageSet], tuple[str, ...]]:
    """(train, test) and the class names; torchvision unpickles only files whose MD5 is the published one."""
    title = f"CIFAR-{kind.removeprefix('CIFAR')}"
    if not _is_here(kind):
        raise DataError(
            f"{title} is not on this machine yet. Download it on the page, or put its folder {_FILES[kind][0]} into "
            f"{runtime.data_folder()}, or choose the dataset 'fashion', which ships with the project."
        )
    try:
        parts = [_torchvision(kind)(runtime.data_folder(), train=train) for train in (True, False)]
    except (RuntimeError, OSError) as error:
        raise DataError(
            f"The files of {title} in {runtime.data_folder() / _FILES[kind][0]} are damaged: delete that folder and download "
            "the dataset again."
        ) from error
    sets = tuple(ImageSet(_channels_first(part.data), torch.tensor(part.targets)) for part in parts)
    return sets, tuple(parts[0].classes)


def _channels_first(pixels: Any) -> Tensor:
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()


def _download(kind: str) -> Iterator[tuple[float, str]]:
    published = _torchvision(kind)
    archive = runtime.data_folder() / published.filename
    instead = "use the dataset 'fashion', which needs no download."
    for fraction in fetch(published.url, published.tgz_md5, archive, _ARCHIVE_BYTES, instead):
        yield 0.95 * fraction, published.filename
    yield 0.95, f"unpacking {published.filename}"
    _unpack(archive, _FILES[kind][0])
    archive.unlink()
    yield 1.0, "all images are here"


def _unpack(archive: Path, folder: str) -> None:
    """The one `folder` of `archive` into the data folder, whole or not at all; nothing may climb out of it."""
    with tempfile.TemporaryDirectory(dir=runtime.data_folder(), prefix="unpacking-") as place:
        try:
            with tarfile.open(archive) as packed:
                packed.extractall(place, filter="data")
        except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
            raise DataError(f"{archive.name} cannot be unpacked ({error}). Delete it and download it again.") from error
        target = runtime.data_folder() / folder
        shutil.rmtree(target, ignore_errors=True)  # only ever there in part, or it would not be fetched
        (Path(place) / folder).replace(target)
