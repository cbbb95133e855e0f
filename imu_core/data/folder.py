"""Image folders of one's own, `folder:PATH@SIDE`: one folder a class, in train/ and test/ (or val/), or all together.

Each image is cut to its largest centred square and scaled to SIDE x SIDE pixels (32 where nothing is said); `@28grey` reads one
channel. Classes are numbered in the order of their names. Where there is no test folder, a fifth of each class is kept out: the
files whose names have the smallest SHA-256, so that the same files are drawn on every machine.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import struct
import unicodedata
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from imu_core import access, runtime
from imu_core.data.market import FORMATS
from imu_core.errors import ClosedError, DataError
from imu_core.records import Dataset, ImageSet

PREFIX = "folder:"
USUAL_SIDE, SMALLEST, LARGEST = 32, 8, 256
MOST_IMAGES, MOST_CLASSES, MOST_PIXELS, MOST_BYTES = 200_000, 1000, 80_000_000, 1 << 30
IMAGES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".ppm", ".pgm")
_TRAIN, _TEST = ("train", "training"), ("test", "val", "valid", "validation")
_ORIENTATION = 0x0112  # the EXIF tag that says how a camera was held
_TURNS = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}  # its values, and Image.Transpose that turns such an image upright
_HELD_OUT = 5  # one in so many is kept for testing where there is no test folder
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
_TEXT = re.compile(r"(?P<path>.+?)(?:@(?P<side>[0-9]{1,5})(?P<grey>grey)?)?", re.DOTALL)

Listing = dict[str, dict[str, list[Path]]]  # train | test → class → files


@dataclass(frozen=True)
class Asked:
    """What a name says: the folder, the side in pixels, and whether one channel is read."""

    path: str
    side: int
    grey: bool

    @property
    def channels(self) -> int:
        """1 or 3."""
        return 1 if self.grey else 3


def shown(text: str, most: int = 60) -> str:
    """`text` as a sentence may hold it: names of files may be long, or hold signs that do not print or are no UTF-8."""
    printed = "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text[:most])
    return printed if len(text) <= most and len(printed) <= most else f"{printed[: most - 1]}…"


def parse(text: str) -> Asked:
    """`PATH`, `PATH@64` or `PATH@28grey`, without the prefix; a DataError where the side is out of range or nothing is named."""
    text = text.strip()
    if any(unicodedata.category(sign) in ("Cc", "Cs") for sign in text):  # a card and a sentence could not hold such a name
        raise DataError(
            f"The folder '{shown(text, 200)}' cannot be read: its name has control characters, or is no UTF-8. Rename it."
        )
    match = _TEXT.fullmatch(text)
    if match is None:
        raise DataError(f"{PREFIX} names no folder. Write {PREFIX}PATH, or {PREFIX}PATH@64 for images of 64 x 64 pixels.")
    return Asked(match["path"], checked_side(int(match["side"] or USUAL_SIDE)), match["grey"] is not None)


def checked_side(side: int) -> int:
    """`side` if images may be read at that many pixels; else a DataError."""
    if not SMALLEST <= side <= LARGEST:
        raise DataError(f"{side} is no side for images of a folder: it must be from {SMALLEST} to {LARGEST} pixels.")
    return side


def is_name(text: str) -> bool:
    """Whether unpacked images, or a brought model, may be called that."""
    return _NAME.fullmatch(text) is not None


def checked_name(name: str) -> str:
    """`name` if it is one; else a DataError."""
    if not is_name(name):
        raise DataError(
            f"{name[:40]!r} is no name: it takes letters, digits, - and _, at most 40, and starts with a letter or digit."
        )
    return name


def kept() -> Path:
    """Where archives are unpacked: each into a folder of its own, which its name alone finds again."""
    return access.uploads()


def find(path: str) -> Path:
    """The folder at `path`, or the unpacked archive of that name; a DataError where there is neither.

    Work that is done for a page finds only what the owner lets pages read (see `access.check`).
    """
    try:
        if is_name(path) and (kept() / path).is_dir():
            return kept() / path
        access.check(path)
        folder = Path(path).expanduser()
        if folder.is_dir():
            return folder
    except ClosedError:  # a ValueError too
        raise
    except (OSError, ValueError, RuntimeError):
        pass  # too long a name, a null byte, an unknown user, a folder above that nobody may enter
    raise DataError(f"There is no folder {path[:200]!r}. Name one that holds a folder of images for each class.")


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
    """The image files of the folder at `path`; a DataError where classes are missing, empty, too many or badly named.

    `called` is what sentences call the folder, where that is not its name.
    """
    root = find(path)
    called = called or root.name
    with _reading(called):
        found = _found(root, called)
    missing = sorted(set(found["train"]) ^ set(found["test"]))
    if missing:
        part = "test" if missing[0] in found["train"] else "train"
        raise DataError(
            f"The class {missing[0]!r} has no folder in "
            f"{part}{f', nor do {len(missing) - 1} others fit' if missing[1:] else ''}. "
            "Both parts need a folder of each class, under the same name."
        )
    total = sum(len(files) for part in found.values() for files in part.values())
    if total > MOST_IMAGES:
        raise DataError(f"'{shown(called)}' holds {total:,} images; at most {MOST_IMAGES:,} are read.")
    return found


def _found(root: Path, called: str) -> Listing:
    train, test = (_part(root, names) for names in (_TRAIN, _TEST))
    if (train is None) != (test is None):
        there, lacking = (train or test, "test (or val)" if train else "train")
        raise DataError(
            f"'{shown(called)}' holds {there.name!r} and no {lacking}. Add that folder, or put the classes side by side."
        )
    if train and test:
        return {"train": _classes(train, train.name), "test": _classes(test, test.name)}
    return _divided(_classes(root, called))


def class_names(path: str) -> tuple[str, ...]:
    """The classes of the folder at `path`, in the order of their numbers, without reading an image."""
    return tuple(listing(path)["train"])


def _part(root: Path, names: tuple[str, ...]) -> Path | None:
    """The part that is called one of `names`, in capitals or not, and holds folders; one that holds images is a class."""
    parts = {folder.name.lower(): folder for folder in _folders(root)}
    return next((parts[name] for name in names if name in parts and _folders(parts[name])), None)


def _folders(folder: Path) -> list[Path]:
    with os.scandir(folder) as entries:
        found = sorted(Path(e.path) for e in entries if e.is_dir() and not e.name.startswith((".", "__")))
    for inner in found:
        access.check(inner)  # a link may lead out of what pages may read
    return found


def _classes(folder: Path, called: str) -> dict[str, list[Path]]:
    """Class → its image files, both sorted by name."""
    called = f"'{shown(called)}'"
    folders = _folders(folder)
    if not 2 <= len(folders) <= MOST_CLASSES:
        raise DataError(
            f"{called} holds {len(folders)} folders; it needs one folder of images a class, from 2 to {MOST_CLASSES:,} of them."
        )
    for name in (f.name for f in folders):
        if "+" in name or len(name) > 60 or not name.isprintable() or name != name.strip():
            raise DataError(
                f"A class cannot be called '{shown(name)}': names have no + in them, no space around them, and at most 60 signs "
                "that print. Rename its folder."
            )
    if len({f.name.lower() for f in folders}) < len(folders):
        raise DataError(f"Two classes in {called} differ only in capital letters. Rename one of them.")
    found = {f.name: sorted(p for p in f.iterdir() if p.suffix.lower() in IMAGES and p.is_file()) for f in folders}
    empty = [name for name, files in found.items() if not files]
    if empty:
        raise DataError(f"The class {empty[0]!r} in {called} has no image ({', '.join(IMAGES)}). Add some, or remove its folder.")
    return found


def _divided(classes: dict[str, list[Path]]) -> Listing:
    """A fifth of each class, at least one file, to test by; the rest to train on."""
    parts: Listing = {"train": {}, "test": {}}
    for name, files in classes.items():
        if len(files) < 2:
            raise DataError(f"The class {name!r} has a single image: one is needed to train on and one to test by.")
        drawn = sorted(files, key=lambda file: hashlib.sha256(file.name.encode("utf-8", "surrogateescape")).digest())
        out = set(drawn[: max(1, len(files) // _HELD_OUT)])
        parts["train"][name] = [file for file in files if file not in out]
        parts["test"][name] = sorted(out)
    return parts


def decode(path: Path, side: int, grey: bool = False) -> np.ndarray:
    """Pixels (side, side, channels) uint8 of an image file; a DataError names one that is damaged or enormous."""
    where = f"{shown(path.parent.name)}/{shown(path.name)}"
    mode = "L" if grey else "RGB"
    try:
        access.check(path)
        with _opened(path) as image:
            if image.width * image.height > MOST_PIXELS:
                raise DataError(
                    f"{where} has {image.width:,} x {image.height:,} pixels; at most {MOST_PIXELS:,} in all are read. Scale "
                    "it down."
                )
            image.draft(mode, (2 * side, 2 * side))  # a JPEG need not be decoded in full
            image.load()  # so that what is damaged fails here, not where EXIF is looked for
            upright = _upright(_eight_bits(image, where)).convert(mode)
        return np.asarray(ImageOps.fit(upright, (side, side), Image.Resampling.BILINEAR)).reshape(side, side, -1)
    except DataError:  # a ValueError too, and a sentence already
        raise
    except Image.DecompressionBombError as error:
        raise DataError(
            f"{where} claims to be enormous ({error}); at most {MOST_PIXELS:,} pixels are read. Scale it down."
        ) from error
    except (OSError, ValueError, SyntaxError, EOFError, ArithmeticError, TypeError, struct.error) as error:
        raise DataError(
            f"{where} is damaged, or no image of a kind that is read{reason(error)}. Copy it again, or remove it."
        ) from error


def _opened(path: Path) -> Image.Image:
    with warnings.catch_warnings():  # of many pixels, of which a sentence speaks
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return Image.open(path, formats=FORMATS)


def reason(error: Exception) -> str:
    """What went wrong in brackets, without the place of the file on this machine; nothing where Pillow knows no more."""
    if isinstance(error, UnidentifiedImageError):
        return ""
    return f" ({shown(getattr(error, 'strerror', None) or str(error), 100)})"


def _eight_bits(image: Image.Image, where: str) -> Image.Image:
    """`image`, scaled to 8 bits where it is grey with 16 or in fractions: Pillow's `convert` cuts off all above 255."""
    if image.mode != "F" and not image.mode.startswith("I"):
        return image
    values = np.asarray(image).astype(np.float64)
    most = 1.0 if image.mode == "F" else 65535.0
    if not (values.min() >= 0 and values.max() <= most):
        raise DataError(
            f"{where} has values from {values.min():g} to {values.max():g}; those from 0 to {most:g} are read. Save it with 8 "
            "bits."
        )
    scaled = Image.fromarray((values * 255 / most).round().astype(np.uint8))
    scaled.info.update(image.info)  # holds its EXIF
    return scaled


def _upright(image: Image.Image) -> Image.Image:
    """`image` turned as its EXIF says; as it is where that cannot be read. No other tag is looked at."""
    try:
        with warnings.catch_warnings():  # which Pillow gives about other tags
            warnings.filterwarnings("ignore", module=r"PIL\.")
            turn = _TURNS.get(image.getexif().get(_ORIENTATION))
    except Exception:  # cameras and programs write whatever they like there, and Pillow fails at it in many ways
        turn = None
    return image if turn is None else image.transpose(Image.Transpose(turn))


def _in_turns(classes: dict[str, list[Path]]) -> list[tuple[Path, int]]:
    """(file, class) with the classes in turns, so that every prefix is as balanced as it can be."""
    numbered = [(place, label, file) for label, files in enumerate(classes.values()) for place, file in enumerate(files)]
    return [(file, label) for _, label, file in sorted(numbered, key=lambda entry: entry[:2])]


def cache(text: str) -> Path:
    """Where the decoded images of `PATH@SIDE` are kept: another name once files join or leave a class."""
    asked = parse(text)
    root = find(asked.path)
    with _reading(asked.path):
        inside = [root, *_folders(root)]
        inside += [inner for part in inside[1:] if part.name.lower() in (*_TRAIN, *_TEST) for inner in _folders(part)]
        stamp = "".join(str(folder.stat().st_mtime_ns) for folder in inside)
    key = f"{root.resolve()} {asked.side} {asked.grey} {stamp}"
    return runtime.home() / "folders" / f"{hashlib.sha256(key.encode('utf-8', 'surrogateescape')).hexdigest()[:16]}.safetensors"


def is_here(text: str) -> bool:
    """Whether the folder has been read on this machine; False where it is no such folder (`fetch` then says why)."""
    try:
        return cache(text).exists()
    except DataError:
        return False


def fetch(text: str) -> Iterator[tuple[float, str]]:
    """Read the folder and keep what was decoded, yielding (fraction read, class and file)."""
    asked = parse(text)
    target, found = cache(text), listing(asked.path)
    files = {part: _in_turns(classes) for part, classes in found.items()}
    total = sum(map(len, files.values()))
    size = total * asked.channels * asked.side**2
    if size > MOST_BYTES:
        raise DataError(
            f"{total:,} images of {asked.side} x {asked.side} pixels are {size / 2**30:.1f} GiB; at most "
            f"{MOST_BYTES / 2**30:.0f} GiB "
            "are held. Choose a smaller side or fewer images."
        )
    tensors, done = {}, 0
    for part, entries in files.items():
        pixels = np.empty((len(entries), asked.side, asked.side, asked.channels), np.uint8)
        for number, (file, _) in enumerate(entries):
            pixels[number] = decode(file, asked.side, asked.grey)
            done += 1
            if done % 50 == 0:
                yield done / total, f"reading {shown(file.parent.name)}/{shown(file.name)}"
        tensors[part] = torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy())
        tensors[f"{part}_labels"] = torch.tensor([label for _, label in entries])
    names = json.dumps(list(found["train"]))
    with runtime.storing("What was read of the images"):
        runtime.write_whole(target, lambda file: save_file(tensors, file, {"names": names}))
    yield 1.0, "all images are read"


def load(name: str) -> Dataset:
    """The dataset `folder:PATH@SIDE`, read first where it was not yet."""
    text = name.removeprefix(PREFIX)
    if not is_here(text):
        for _ in fetch(text):
            pass
    path = cache(text)
    try:
        with safe_open(path, "pt") as stored:
            names = tuple(json.loads(stored.metadata()["names"]))
            parts = [ImageSet(stored.get_tensor(part), stored.get_tensor(f"{part}_labels")) for part in ("train", "test")]
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        path.unlink(missing_ok=True)
        raise DataError(f"{path.name}, which this program keeps, was damaged and is removed. Load the page again.") from error
    asked = parse(text)
    title = f"{shown(find(asked.path).name)} ({asked.side} x {asked.side})"
    return Dataset(name, title, *parts, names, *statistics(parts[0].images))


def statistics(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """(mean, std) of each channel of uint8 `images` (n, channels, h, w), in [0, 1]; no std is below 0.01."""
    counts = [torch.bincount(images[:, channel].flatten().to(torch.int64), minlength=256) for channel in range(images.shape[1])]
    values = torch.arange(256, dtype=torch.float64) / 255
    shares = [count.double() / count.sum() for count in counts]
    means = [float(share @ values) for share in shares]
    stds = [float((share @ (values - mean) ** 2).sqrt()) for share, mean in zip(shares, means, strict=True)]
    return tuple(means), tuple(max(0.01, std) for std in stds)
