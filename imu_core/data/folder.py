"""Image folders of one's own, `folder:PATH@SIDE`: one folder a class, in train/ and test/ (or val/), or all together.

Each image is cut to its largest centred square and scaled to SIDE x SIDE pixels (32 where nothing is said); `@28grey` reads one
channel. Classes are numbered in the order of their names. Where there is no test folder, a fifth of each class is kept out: the
files whose names have the smallest SHA-256, so that the same files are drawn on every machine.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from imu_core import names, runtime
from imu_core.access import rules
from imu_core.data import files, pixels
from imu_core.data.files import Tally
from imu_core.errors import ClosedError, DataError, shown
from imu_core.numeric import is_whole
from imu_core.records.data import Dataset, ImageSet, LeftOut, Why
from imu_core.report.numbers import gibibytes

PREFIX = "folder:"
USUAL_SIDE, SMALLEST, LARGEST = 32, 8, 256
MOST_IMAGES, MOST_CLASSES, MOST_BYTES = 200_000, 1000, 1 << 30
_TRAIN, _TEST = ("train", "training"), ("test", "val", "valid", "validation")
_RULES = 2  # counted up when other files are read, or read otherwise: what was decoded before is decoded again
_HELD_OUT = 5  # one in so many is kept for testing where there is no test folder
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
_TEXT = re.compile(r"(?P<path>.+?)(?:@(?P<side>[0-9]{1,5})(?P<grey>grey)?)?", re.DOTALL)

Listing = dict[str, dict[str, list[Path]]]  # train | test → class → files


@dataclass(frozen=True)
class Asked:
    """The parts of a name `PATH@SIDE`: the folder, the side of its images in pixels, and whether they are read in grey."""

    path: str
    side: int
    grey: bool

    @property
    def channels(self) -> int:
        """How many channels the images are read with: 1 in grey, else 3."""
        return 1 if self.grey else 3


def parse(text: str) -> Asked:
    """The parts of `text`, which is `PATH`, `PATH@64` or `PATH@28grey`, without the prefix.

    A DataError where no folder is named, its name cannot be stored, or the side is out of range.
    """
    text = text.strip()
    if any(unicodedata.category(sign) in ("Cc", "Cs") for sign in text):  # a card and a sentence could not hold such a name
        raise DataError(
            f"The folder '{shown(text, 200)}' cannot be read: its name has control characters, or is no UTF-8. Rename it."
        )
    match = _TEXT.fullmatch(text)
    if match is None:
        raise DataError(f"{PREFIX} names no folder. Write {PREFIX}PATH, or {PREFIX}PATH@64 for images of 64 x 64 pixels.")
    if match["side"] and _is_there(text):  # a folder may be called photos@2024
        return Asked(text, USUAL_SIDE, False)
    return Asked(match["path"], checked_side(int(match["side"] or USUAL_SIDE)), match["grey"] is not None)


def checked_side(side: int) -> int:
    """`side` if images may be read at that many pixels; else a DataError."""
    if not is_whole(side) or not SMALLEST <= side <= LARGEST:
        raise DataError(f"{side} is no side for images of a folder: it must be from {SMALLEST} to {LARGEST} pixels.")
    return side


def is_name(text: str) -> bool:
    """Whether `text` may be the name of unpacked images or of a brought model."""
    return _NAME.fullmatch(text) is not None


def checked_name(name: str) -> str:
    """`name` if it may be one (see `is_name`); else a DataError."""
    if not is_name(name):
        raise DataError(
            f"{name[:40]!r} is no name: it takes letters, digits, - and _, at most 40, and starts with a letter or digit."
        )
    return name


def kept() -> Path:
    """The folder in which archives are unpacked: each into a folder of its own, which `find` finds by its name alone."""
    return rules.uploads()


def find(path: str) -> Path:
    """The folder at `path`, or the unpacked archive of that name; a DataError where there is neither.

    Work that is done for a page finds only what the owner lets pages read (see `access.check`).
    """
    try:
        if is_name(path) and (kept() / path).is_dir() and rules.is_theirs(kept() / path):
            return kept() / path
        folder = names.spelt(Path(path).expanduser())
        rules.check(folder)
        if folder.is_dir():
            return folder
    except ClosedError:  # a ValueError too
        raise
    except (OSError, ValueError, RuntimeError):
        pass  # too long a name, a null byte, an unknown user, a folder above that nobody may enter
    raise DataError(f"There is no folder {path[:200]!r}. Name one that holds a folder of images for each class.")


def _is_there(path: str) -> bool:
    with suppress(DataError):
        return find(path).is_dir()
    return False


@contextmanager
def _reading(called: str) -> Iterator[None]:
    """Inside, what the system does not let one read is a DataError about the folder that is `called` so."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"'{shown(called, 200)}' cannot be read ({error.strerror or 'it went away'}). Let the user who runs this program "
            "read the folder and what is in it, or copy it to another place."
        ) from error


def listing(path: str, called: str = "") -> Listing:
    """The image files of the folder at `path`, as part → class → files.

    A DataError where classes are missing, empty, too many or badly named; it calls the folder `called`, by default by its name.
    """
    return survey(path, called)[0]


def survey(path: str, called: str = "") -> tuple[Listing, tuple[LeftOut, ...]]:
    """(what `listing` returns, what is left out): every file that the folder holds and that is not read is counted."""
    root, tally = find(path), Tally()
    called = called or root.name or root.anchor  # of / itself
    with _reading(called):
        parts = _found(root, called, tally)
        total = sum(len(images) for part in parts.values() for images in part.values())
        if total > MOST_IMAGES:
            raise DataError(f"'{shown(called)}' holds {total:,} images; at most {MOST_IMAGES:,} are read. Take fewer.")
        return parts, files.merged(tally.left_out(), _not_unpacked(root))


def _not_unpacked(root: Path) -> tuple[LeftOut, ...]:
    """What `archive` noted of the archive that `root` was; nothing for any other folder."""
    if root.parent != kept() or not (root / files.NOTE).is_file():
        return ()
    with suppress(ValueError, TypeError, KeyError):  # damaged: it is a note, no image
        return files.from_text((root / files.NOTE).read_text())
    return ()


def _found(root: Path, called: str, tally: Tally) -> Listing:
    train, test = (_part(root, parts) for parts in (_TRAIN, _TEST))
    if (train is None) != (test is None):
        there, lacking = (train or test, "test (or val)" if train else "train")
        raise DataError(
            f"'{shown(called)}' holds {there.name!r} and no {lacking}. Add that folder, or put the classes side by side."
        )
    if train is None or test is None:
        return _divided(_classes(root, called, tally))
    for other in files.folders(root, tally):
        if other not in (train, test):
            tally.misplaced(other)
    return _paired(_classes(train, train.name, tally), _classes(test, test.name, tally))


def _paired(train: dict[str, list[Path]], test: dict[str, list[Path]]) -> Listing:
    """Both parts under the names of the training part, however the other one spells them; a DataError where one lacks a class."""
    spelling = {names.key(name): name for name in train}
    theirs = {spelling.get(names.key(name), name): images for name, images in test.items()}
    missing = sorted(set(train) ^ set(theirs))
    if missing:
        part = "test" if missing[0] in train else "train"
        raise DataError(
            f"The class {missing[0]!r} has no folder in "
            f"{part}{f', nor do {len(missing) - 1} others fit' if missing[1:] else ''}. "
            "Both parts need a folder of each class, under the same name."
        )
    return {"train": train, "test": {name: theirs[name] for name in train}}


def class_names(path: str) -> tuple[str, ...]:
    """The classes of the folder at `path`, in the order of their numbers, without reading an image."""
    return tuple(listing(path)["train"])


def _part(root: Path, called: tuple[str, ...]) -> Path | None:
    """The part that is called one of `called`, in capitals or not, and holds folders; one that holds images is a class."""
    parts = {folder.name.lower(): folder for folder in files.folders(root)}
    return next((parts[name] for name in called if name in parts and files.folders(parts[name])), None)


def _classes(folder: Path, called: str, tally: Tally) -> dict[str, list[Path]]:
    """Class → its image files, both sorted by name; what else `folder` holds is counted in `tally`."""
    called, folders = f"'{shown(called)}'", files.folders(folder, tally)
    if not 2 <= len(folders) <= MOST_CLASSES:
        raise DataError(
            f"{called} holds {len(folders):,} folders; it needs one folder of images a class, from 2 to {MOST_CLASSES:,} of "
            f"them. {tally.instead()}".rstrip()
        )
    for place in folders:
        _check_class(place.name)
    _check_twins([place.name for place in folders], called)
    by_class = {names.normal(place.name): files.images(place, tally) for place in folders}
    empty = [place for place in folders if not by_class[names.normal(place.name)]]
    if empty:
        own = Tally()
        files.images(empty[0], own)
        raise DataError(
            f"The class {empty[0].name!r} in {called} has no image ({', '.join(files.IMAGES)}). Add some, or remove its folder. "
            f"{own.instead()}".rstrip()
        )
    return by_class


def _check_class(name: str) -> None:
    if "+" in name or len(name) > 60 or not name.isprintable() or name != name.strip():
        raise DataError(
            f"A class cannot be called '{shown(name)}': names have no + in them, no space around them, and at most 60 signs "
            "that print. Rename its folder."
        )


def _check_twins(classes: list[str], called: str) -> None:
    """A DataError where two of the names are one for many people and disks: only capital letters, or the form of é, differ."""
    first: dict[str, str] = {}
    for name in classes:
        twin = first.setdefault(names.key(name), name)
        if twin != name:
            how = "capital letters" if names.normal(twin) != names.normal(name) else "how an accented letter is stored"
            raise DataError(
                f"Two classes in {called} differ only in {how}: {twin!r} and {name!r}. Rename one of them, or put the images of "
                "both into one folder."
            )


def _divided(classes: dict[str, list[Path]]) -> Listing:
    """A fifth of each class, at least one file, to test by; the rest to train on."""
    parts: Listing = {"train": {}, "test": {}}
    for name, images in classes.items():
        if len(images) < 2:
            raise DataError(f"The class {name!r} has a single image: one is needed to train on and one to test by. Add one.")
        drawn = set(sorted(images, key=_lot)[: max(1, len(images) // _HELD_OUT)])
        parts["train"][name] = [image for image in images if image not in drawn]
        parts["test"][name] = [image for image in images if image in drawn]
    return parts


def _lot(file: Path) -> bytes:
    return hashlib.sha256(names.normal(file.name).encode("utf-8", "surrogateescape")).digest()


def decode(path: Path, side: int, grey: bool = False) -> np.ndarray:
    """Pixels (side, side, channels) uint8 of an image file; a DataError names one that is damaged or enormous."""
    return _decoded(path, side, grey)[0]


def _decoded(path: Path, side: int, grey: bool) -> tuple[np.ndarray, bool]:
    """`decode`, and whether the file holds further pictures."""
    picture = pixels.read(path, "L" if grey else "RGB", about=(side, side))
    square = ImageOps.fit(picture.image, (side, side), Image.Resampling.BILINEAR)
    return np.asarray(square).reshape(side, side, -1), picture.has_more


def _in_turns(classes: dict[str, list[Path]]) -> list[tuple[Path, int]]:
    """(file, class) with the classes in turns, so that every prefix is as balanced as it can be."""
    numbered = [(place, label, file) for label, images in enumerate(classes.values()) for place, file in enumerate(images)]
    return [(file, label) for _, label, file in sorted(numbered, key=lambda entry: entry[:2])]


def cache(text: str) -> Path:
    """The file that keeps the decoded images of `PATH@SIDE`; it has another name once files join or leave a class."""
    choice = parse(text)
    root = find(choice.path)
    with _reading(choice.path):
        inside = [root, *files.folders(root)]
        inside += [inner for part in inside[1:] if part.name.lower() in (*_TRAIN, *_TEST) for inner in files.folders(part)]
        stamp = "".join(str(folder.stat().st_mtime_ns) for folder in inside)
    key = f"{_RULES} {root.resolve()} {choice.side} {choice.grey} {stamp}"
    return runtime.home() / "folders" / f"{hashlib.sha256(key.encode('utf-8', 'surrogateescape')).hexdigest()[:16]}.safetensors"


def is_here(text: str) -> bool:
    """Whether the folder has been read on this machine; False also where it cannot be (`fetch` then says why)."""
    try:
        return cache(text).exists()
    except DataError:
        return False


def fetch(text: str) -> Iterator[tuple[float, str]]:
    """Read the folder and keep what was decoded, yielding (fraction read, class and file)."""
    choice = parse(text)
    target = cache(text)
    yield 0.0, "looking at what the folder holds"
    (parts, left_out), tally = survey(choice.path), Tally()
    entries = {part: _in_turns(classes) for part, classes in parts.items()}
    total = sum(map(len, entries.values()))
    size = total * choice.channels * choice.side**2
    if size > MOST_BYTES:
        raise DataError(
            f"{total:,} images of {choice.side} x {choice.side} pixels are {gibibytes(size, 1)}; at most "
            f"{gibibytes(MOST_BYTES)} "
            "are held. Choose a smaller side or fewer images."
        )
    tensors, done = {}, 0
    for part, images in entries.items():
        values = np.empty((len(images), choice.side, choice.side, choice.channels), np.uint8)
        for number, (file, _) in enumerate(images):
            values[number], has_more = _decoded(file, choice.side, choice.grey)
            if has_more:
                tally.add(Why.FRAMES, "", f"{file.parent.name}/{file.name}")
            done += 1
            if done % 50 == 0:
                yield done / total, f"reading {shown(file.parent.name)}/{shown(file.name)}"
        tensors[part] = torch.from_numpy(values.transpose(0, 3, 1, 2).copy())
        tensors[f"{part}_labels"] = torch.tensor([label for _, label in images])
    about = {"names": json.dumps(list(parts["train"])), "left_out": files.to_text(files.merged(left_out, tally.left_out()))}
    with runtime.storing("What was read of the images"):
        runtime.write_whole(target, lambda file: save_file(tensors, file, about))
    yield 1.0, "all images are read"


def load(name: str) -> Dataset:
    """The dataset `name`, which is `folder:PATH@SIDE`. Its images are read first where they were not yet."""
    text = name.removeprefix(PREFIX)
    if not is_here(text):
        for _ in fetch(text):
            pass
    path = cache(text)
    try:
        with safe_open(path, "pt") as stored:
            classes, left_out = tuple(json.loads(stored.metadata()["names"])), files.from_text(stored.metadata()["left_out"])
            parts = [ImageSet(stored.get_tensor(part), stored.get_tensor(f"{part}_labels")) for part in ("train", "test")]
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        path.unlink(missing_ok=True)
        raise DataError(f"{path.name}, which this program keeps, was damaged and is removed. Load the page again.") from error
    choice = parse(text)
    title = f"{shown(find(choice.path).name)} ({choice.side} x {choice.side})"
    return Dataset(names.normal(name), title, *parts, classes, *statistics(parts[0].images), left_out=left_out)


def statistics(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """(mean, std) of each channel of uint8 `images` (n, channels, h, w), in [0, 1]; no std is below 0.01."""
    counts = [torch.bincount(images[:, channel].flatten().to(torch.int64), minlength=256) for channel in range(images.shape[1])]
    values = torch.arange(256, dtype=torch.float64) / 255
    shares = [count.double() / count.sum() for count in counts]
    means = [float(share @ values) for share in shares]
    stds = [float((share @ (values - mean) ** 2).sqrt()) for share, mean in zip(shares, means, strict=True)]
    return tuple(means), tuple(max(0.01, std) for std in stds)
