"""One image file as pixels: upright, with 8 bits a channel, and never more of it in memory than its bounds allow."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from imu_core.access import rules
from imu_core.data import sniff
from imu_core.errors import DataError, shown
from imu_core.report.numbers import mebibytes

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "PPM", "TIFF")  # Pillow reads others by starting other programs
MOST_PIXELS, MOST_BYTES = 80_000_000, 1 << 29  # of one image, of one file


class Read(NamedTuple):
    """An image, and whether its file holds further ones (an animation, pages), of which none is looked at."""

    image: Image.Image
    has_more: bool


def read(path: Path, mode: str, most: int = MOST_PIXELS, about: tuple[int, int] | None = None) -> Read:
    """The image in the file `path`, upright, in `mode` (RGB | L); a DataError names one that is damaged or enormous.

    `most` bounds the pixels. With `about` (width, height) a JPEG may be decoded at less than its size, not less than twice that.
    """
    where = f"{shown(path.parent.name)}/{shown(path.name)}"
    try:
        with _plain(path, where) as file, _opened(file) as image:
            if image.width * image.height > most:
                raise DataError(
                    f"{where} has {image.width:,} x {image.height:,} pixels; at most {most:,} in all are read. Scale it down."
                )
            if about is not None:
                image.draft(mode, (2 * about[0], 2 * about[1]))
            has_more = bool(getattr(image, "is_animated", False))
            image.load()  # so that what is damaged fails here, not where EXIF is looked for
            return Read(_upright(_eight_bits(image, where)).convert(mode), has_more)
    except DataError:  # a ValueError too, and a sentence already
        raise
    except Image.DecompressionBombError as error:
        raise DataError(f"{where} claims to be enormous ({error}); at most {most:,} pixels are read. Scale it down.") from error
    except _OtherError as error:
        raise DataError(f"{where} {error}") from error
    except Exception as error:  # Pillow fails in many ways at what is damaged
        raise DataError(f"{where} is damaged or cut off{reason(error)}. Copy it again, or remove it.") from error


class _OtherError(Exception):
    """The file is no image of a kind that is read; its text says what it is, and what to do about it."""


@contextmanager
def _plain(path: Path, where: str) -> Iterator[BinaryIO]:
    """The file at `path`, open: what is looked at is what is read, whatever is put in its place meanwhile."""
    try:
        file = rules.opened(path)
    except PermissionError:
        raise
    except OSError as error:
        raise DataError(f"{where} is no plain file, or is gone. Remove it, or put the image itself in its place.") from error
    with file:
        size = os.fstat(file.fileno()).st_size
        if not size:
            raise DataError(f"{where} is an empty file: it is damaged. Copy it again, or remove it.")
        if size > MOST_BYTES:
            most = f"at most {mebibytes(MOST_BYTES)} are read"
            raise DataError(f"{where} has {mebibytes(size)}; {most}. Scale it down.")
        yield file


def _other(file: BinaryIO) -> str:
    """What the open `file`, which is no image of a kind that is read, is, and what to do about it."""
    file.seek(0)
    kind = sniff.kind(file.read(600))
    if kind:
        return f"is {kind}, whatever its name says, and that is not read. Save it as JPEG or PNG, or remove it."
    return "is damaged, or no image of a kind that is read. Copy it again, or remove it."


def _opened(file: BinaryIO) -> Image.Image:
    with warnings.catch_warnings():  # of many pixels, of which a sentence speaks, and of tags, which nobody reads
        warnings.simplefilter("ignore")
        try:
            return Image.open(file, formats=FORMATS)
        except UnidentifiedImageError as error:
            raise _OtherError(_other(file)) from error


def reason(error: Exception) -> str:
    """What went wrong in brackets, without the place of the file on this machine; "" where Pillow knows no more."""
    words = getattr(error, "strerror", None) or str(error)
    return "" if isinstance(error, UnidentifiedImageError) or not words else f" ({shown(words, 100)})"


def _eight_bits(image: Image.Image, where: str) -> Image.Image:
    """`image`, scaled to 8 bits where it is grey with 16 or in fractions: Pillow's `convert` cuts off all above 255."""
    if image.mode != "F" and not image.mode.startswith("I"):
        return image
    values = np.asarray(image)
    most = 1.0 if image.mode == "F" else 65535.0
    if not (values.min() >= 0 and values.max() <= most):
        raise DataError(
            f"{where} has values from {values.min():g} to {values.max():g}; those from 0 to {most:g} are read. Save it with 8 "
            "bits."
        )
    scaled = Image.fromarray(np.rint(values * np.float32(255 / most)).astype(np.uint8))
    scaled.info.update(image.info)  # holds its EXIF
    return scaled


def _upright(image: Image.Image) -> Image.Image:
    """`image` turned as its EXIF says; as it is where that cannot be read."""
    with suppress(Exception), warnings.catch_warnings():  # cameras write what they like into other tags, and Pillow fails at them
        warnings.filterwarnings("ignore", module=r"PIL\.")
        ImageOps.exif_transpose(image, in_place=True)  # it turns first: what it fails at comes afterwards
    return image
