"""Market-1501's layout (Zheng et al. 2015): three folders of images whose names say who was seen by which camera.

`read` takes such a folder; `assemble` turns named images, from a folder or drawn from a seed, into a Dataset. Two cameras of
each training identity are kept out of training, so that queries of a forgotten person exist; which two is decided by the
identity's number, and only where at least two others remain.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from imu_core import names, runtime
from imu_core.access import rules
from imu_core.data import files, pixels
from imu_core.data.files import Tally
from imu_core.errors import DataError, shown
from imu_core.records.data import Dataset, ImageSet, LeftOut, People, Sightings, Why

FOLDERS = ("bounding_box_train", "bounding_box_test", "query")
HEIGHT, WIDTH = 128, 64
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, as everybody uses on Market-1501
MOST_IMAGES, MOST_PIXELS = 200_000, 4_000_000
_NAME = re.compile(r"(-0*1|[0-9]{1,18})_c([0-9]{1,9})(?![0-9]).*", re.IGNORECASE | re.ASCII | re.DOTALL)
_RULES = 2  # counted up when other files are read, or read otherwise: what was decoded before is decoded again
_HELD_OUT = 2


@dataclass(frozen=True, eq=False)
class Named:
    """An image with its place in the layout: pixels (h, w, 3) uint8 and, where known, the part each pixel shows."""

    folder: str
    name: str
    pixels: np.ndarray
    parts: np.ndarray | None = None


def parse(name: str) -> tuple[int, int] | None:
    """(identity, camera) of a file name such as 0002_c1s1_000451_03.jpg, 2_c001.png or -1_c3s2_000101_00.jpg; None for others.

    Both numbers may have any number of zeros in front, and anything may stand behind the camera.
    """
    match = _NAME.fullmatch(name) if files.is_image(name) else None
    return (int(match[1]), int(match[2])) if match else None


def find(path: str = "") -> Path:
    """The folder at `path`, or Market-1501 inside `runtime.data_folder()`; a DataError says what is missing."""
    if path:
        return checked(path)
    places = [runtime.data_folder() / name for name in ("Market-1501-v15.09.15", "market1501", "Market-1501", "market")]
    folder = next((place for place in places if place.is_dir()), None)
    if folder is None:
        raise DataError(
            "Market-1501 is not in IMU_DATA. Its makers give it out on request; unpack it there as "
            f"{places[0].name}, or set IMU_DATA to the folder that holds it."
            if rules.is_serving()
            else f"Market-1501 is not in {runtime.data_folder()}. Its makers give it out on request; unpack it there as "
            f"{places[0].name}, name its folder as market:FOLDER, or set IMU_DATA to the folder that holds it."
        )
    return _with_parts(folder)


def checked(path: str | Path) -> Path:
    """The folder at `path` if it holds Market-1501's three folders; a DataError tells what it lacks, and no more of it.

    Work that is done for a page finds only what the owner lets pages read (see `access.check`).
    """
    rules.check(path)
    try:
        folder = names.spelt(Path(path).expanduser())
        there = folder.is_dir()
    except (OSError, ValueError, RuntimeError):  # too long a name, a null byte, an unknown user, a folder above nobody may enter
        there = False
    if not there:
        raise DataError(f"There is no folder {str(path)[:200]!r}. Give the folder that holds {', '.join(FOLDERS)}.")
    return _with_parts(folder)


def _with_parts(folder: Path) -> Path:
    for name in FOLDERS:
        rules.check(folder / name)  # a link may lead out of what pages may read
    with _reading(folder):
        missing = [name for name in FOLDERS if not (folder / name).is_dir()]
    if missing:
        raise DataError(
            f"{str(folder)[:200]!r} lacks {', '.join(missing)}. Market-1501 has the folders {', '.join(FOLDERS)}; give the "
            "one that holds all three."
        )
    return folder


def listing(folder: Path, tally: Tally | None = None) -> dict[str, list[Path]]:
    """The image files of each of the three folders, by name; what else they hold is counted in `tally`.

    A DataError where names are wrong or there are none, or too many.
    """
    with _reading(folder):
        return _listing(folder, tally)


@contextmanager
def _reading(folder: Path) -> Iterator[None]:
    """Inside, what the system does not let one read is a DataError about `folder`."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{str(folder)[:200]!r} cannot be read ({error.strerror or 'it went away'}). Let the user who runs this program read "
            "the folder and what is in it, or copy it to another place."
        ) from error


def _listing(folder: Path, tally: Tally | None) -> dict[str, list[Path]]:
    by_folder = {}
    for part in FOLDERS:
        own = tally if tally is not None else Tally()
        images = files.images(folder / part, own)
        wrong = [path.name for path in images if parse(path.name) is None]
        if wrong:
            raise DataError(
                f"{len(wrong):,} of {len(images):,} files in {part} have names that say nothing, the first of them "
                f"{shown(wrong[0])!r}. A name is IDENTITY_cCAMERA and more, both whole numbers, as in 0002_c1s1_000451_03.jpg; "
                "junk starts with -1, a distractor with 0000. Rename them, or remove them."
            )
        if not images:
            raise DataError(f"{part} in {str(folder)!r} holds no images ({', '.join(files.IMAGES)}). {own.instead()}".rstrip())
        by_folder[part] = images
    total = sum(len(images) for images in by_folder.values())
    if total > MOST_IMAGES:
        raise DataError(f"{str(folder)!r} holds {total:,} images; at most {MOST_IMAGES:,} are read. Take fewer.")
    return by_folder


def decode(path: Path, size: tuple[int, int] = (WIDTH, HEIGHT), mode: str = "RGB", tally: Tally | None = None) -> np.ndarray:
    """Pixels uint8 of an image file at `size` (width, height); a DataError names a file that is damaged or enormous.

    Where the file holds further pictures, that is counted in `tally`.
    """
    image, has_more = pixels.read(path, mode, MOST_PIXELS)
    if has_more and tally is not None:
        tally.add(Why.FRAMES, "", f"{path.parent.name}/{path.name}")
    return np.asarray(image if image.size == size else image.resize(size, Image.Resampling.BILINEAR))


def read(folder: Path, tally: Tally | None = None) -> Iterator[tuple[float, Named]]:
    """Every image of `folder`, with the fraction read so far; what is left out is counted in `tally`."""
    entries = [(part, path) for part, paths in listing(folder, tally).items() for path in paths]
    for number, (part, path) in enumerate(entries):
        yield (number + 1) / len(entries), Named(part, path.name, decode(path, tally=tally))


def sightings(named: list[Named]) -> Sightings:
    """`named` images as one record, in the same order; a DataError where there are none, or a name says no identity."""
    if not named:
        raise DataError("A person set needs images in all of its three folders.")
    pairs = [parse(item.name) for item in named]
    if None in pairs:
        raise DataError(f"{named[pairs.index(None)].name!r} does not say who is seen by which camera.")
    ids, cameras = torch.tensor(pairs).unbind(1)
    pixels = torch.from_numpy(np.stack([item.pixels for item in named])).permute(0, 3, 1, 2).contiguous()
    known = all(item.parts is not None for item in named)
    parts = torch.from_numpy(np.stack([item.parts for item in named])) if known else None
    return Sightings(pixels, ids, cameras, tuple(item.name for item in named), parts)


def held_out(ids: Tensor, cameras: Tensor) -> Tensor:
    """Which sightings (N,) of training identities stay out of training: two cameras of each identity seen by at least four."""
    out = torch.zeros(len(ids), dtype=torch.bool)
    for identity in ids.unique().tolist():
        mine = ids == identity
        seen_by = cameras[mine].unique()
        if len(seen_by) < 2 * _HELD_OUT:
            continue
        first = identity % len(seen_by)
        second = (first + len(seen_by) // 2) % len(seen_by)
        out |= mine & torch.isin(cameras, seen_by[[first, second]])
    return out


def assemble(
    name: str, title: str, everything: Sightings, query: Sightings, gallery: Sightings, *, key: str = "", synthetic: bool = False
) -> Dataset:
    """The Dataset of a person set: classes are the identities of `everything` (bounding_box_train), by number.

    A DataError where fewer than two identities are left to train on, or none is seen by enough cameras to be tested by.
    """
    kept_out = held_out(everything.ids, everything.cameras)
    train, test = everything.take((~kept_out).nonzero()[:, 0]), everything.take(kept_out.nonzero()[:, 0])
    known = train.ids.unique()
    if len(known) < 2 or not len(test):
        raise DataError(
            f"{title} has {len(known)} training identities and {len(test)} images for testing; at least two identities, each "
            "seen by four cameras or more, are needed."
        )
    classes = tuple(f"{identity:04d}" for identity in known.tolist())
    images = [ImageSet(part.images, torch.searchsorted(known, part.ids)) for part in (train, test)]
    return Dataset(name, title, *images, classes, MEAN, STD, People(train, test, query, gallery, synthetic), key)


def store(path: Path, named: list[Named], left_out: tuple[LeftOut, ...] = ()) -> None:
    """Keep decoded images, and what was left out beside them, so that the next start takes less than a second."""
    tensors = {"pixels": torch.from_numpy(np.stack([item.pixels for item in named]))}
    if all(item.parts is not None for item in named):
        tensors["parts"] = torch.from_numpy(np.stack([item.parts for item in named]))
    about = {"names": json.dumps([[item.folder, item.name] for item in named]), "left_out": files.to_text(left_out)}
    runtime.write_whole(path, lambda part: save_file(tensors, part, about))


def restore(path: Path) -> list[Named]:
    """The images that `store` kept at `path`; a damaged file is removed, and a DataError says to load again."""
    try:
        with safe_open(path, "pt") as stored:
            places = json.loads(stored.metadata()["names"])
            columns = [stored.get_tensor(key).numpy() for key in ("pixels", "parts") if key in stored.keys()]  # noqa: SIM118
        return [Named(*place, *arrays) for place, *arrays in zip(places, *columns, strict=True)]
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        path.unlink(missing_ok=True)
        raise DataError(f"{path.name}, which this program keeps, was damaged and is removed. Load the page again.") from error


def _restored_left_out(path: Path) -> tuple[LeftOut, ...]:
    """What `store` kept of what was left out."""
    with safe_open(path, "pt") as stored:
        return files.from_text(stored.metadata()["left_out"])


def cache(path: str) -> Path:
    """The file that keeps a folder's decoded images; it has another name once files are added to the folder or taken away."""
    folder = find(path)
    with _reading(folder):
        key = f"{_RULES} {folder.resolve()} {''.join(str((folder / part).stat().st_mtime_ns) for part in FOLDERS)}"
    return runtime.home() / "people" / f"{hashlib.sha256(key.encode('utf-8', 'surrogateescape')).hexdigest()[:16]}.safetensors"


def is_here(path: str = "") -> bool:
    """Whether the folder has been read on this machine; False also where it cannot be (`fetch` then says why)."""
    try:
        return cache(path).exists()
    except DataError:
        return False


def fetch(path: str = "") -> Iterator[tuple[float, str]]:
    """Read the folder and keep what was decoded, yielding (fraction read, folder and file)."""
    target, named, tally = cache(path), [], Tally()
    for fraction, item in read(find(path), tally):
        named.append(item)
        if len(named) % 100 == 0:
            yield fraction, f"reading {item.folder}/{item.name}"
    store(target, named, tally.left_out())
    yield 1.0, "all images are read"


def load(name: str, path: str = "") -> Dataset:
    """Market-1501 from `path` or from the data folder (see `find`), as dataset `name`; read first where it was not yet."""
    if not is_here(path):
        for _ in fetch(path):
            pass
    file = cache(path)
    whole = assemble(names.normal(name), f"Market-1501 ({find(path).name})", *reordered(restore(file)))
    return replace(whole, left_out=_restored_left_out(file))


def reordered(named: list[Named]) -> tuple[Sightings, Sightings, Sightings]:
    """`named` images, apart: (those of training identities, query, gallery), as `assemble` takes them."""
    train, gallery, query = (sightings([item for item in named if item.folder == part]) for part in FOLDERS)
    return train, query, gallery
