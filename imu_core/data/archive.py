"""A .zip of images, unpacked whole or not at all: nothing climbs out, nothing is a link, members and bytes are bounded.

Only files that are called images are written; whatever else the archive holds never reaches the disk.
"""

from __future__ import annotations

import errno
import io
import lzma
import re
import shutil
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from imu_core import runtime
from imu_core.data import folder
from imu_core.errors import DataError

MOST_MEMBERS, MOST_BYTES = 200_000, 2 << 30  # files and folders, bytes once unpacked
_BLOCK = 1 << 20
_BROKEN = (  # whatever a hostile archive makes zipfile and its decompressors raise
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    OSError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    MemoryError,
)


def unpack(packed: bytes | Path, name: str) -> Iterator[tuple[float, str]]:
    """Unpack the zip `packed` as the image folder `name`, yielding (fraction done, file); `folder:NAME` is then its dataset.

    Raises DataError where the archive is damaged, hostile, too large, no folder of classes, or the name is taken. Then, and where
    the iteration is closed early, nothing is left on the disk.
    """
    target = folder.kept() / folder.checked_name(name)
    taken = DataError(f"There are images called {name!r} already. Choose another name, or delete those first.")
    if target.exists():
        raise taken
    called = packed.name if isinstance(packed, Path) else name
    with runtime.storing(f"The archive '{folder.shown(called)}'"):
        folder.kept().mkdir(parents=True, exist_ok=True)
        unpacking = tempfile.TemporaryDirectory(dir=folder.kept(), prefix=".unpacking-")
    with unpacking as place:
        try:
            opened = io.BytesIO(packed) if isinstance(packed, bytes) else runtime.open_regular(packed)
            with opened, zipfile.ZipFile(opened) as archive:
                yield from _write(archive, wanted(archive), Path(place))
        except DataError:  # a ValueError too, and a sentence already
            raise
        except _BROKEN as error:
            raise DataError(_sentence(error, called)) from error
        root = _root(Path(place))
        folder.listing(str(root), called if root == Path(place) else "")  # classes, before anything is kept
        with runtime.storing(f"The archive '{folder.shown(called)}'"):
            _move(root, target, taken)


def _move(root: Path, target: Path, taken: DataError) -> None:
    try:
        root.rename(target)
    except OSError:
        if target.exists():  # somebody unpacked images of that name meanwhile
            raise taken from None
        raise


def _sentence(error: Exception, called: str) -> str:
    """About an archive that is `called` so; the place where it is unpacked is nobody's business."""
    archive, reason = f"The archive '{folder.shown(called)}'", folder.reason(error)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{archive} does not fit on the disk{reason}. Make room there, and try again."
    return f"{archive} is damaged or no .zip{reason}. Make it again."


def wanted(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """The members to write, after all of them were looked at; a DataError names the first that must not be there."""
    members = archive.infolist()
    if len(members) > MOST_MEMBERS:
        raise DataError(f"The archive has {len(members):,} members; at most {MOST_MEMBERS:,} are unpacked.")
    for member in members:
        _check(member)
    size = sum(member.file_size for member in members)
    if size > MOST_BYTES:
        raise DataError(f"Unpacked, the archive has {size / 2**30:.1f} GiB; at most {MOST_BYTES / 2**30:.0f} GiB are unpacked.")
    found = [m for m in members if not m.is_dir() and _is_image(m.filename)]
    names = [m.filename.lower() for m in found]
    if len(set(names)) < len(names):
        raise DataError("The archive holds two files of one name. Make it again from the folder.")
    return found


def _check(member: zipfile.ZipInfo) -> None:
    name = member.filename
    path = PurePosixPath(name)
    shown = repr(name[:80])
    if path.is_absolute() or ".." in path.parts or "\\" in name or re.match("[A-Za-z]:", name) or not name.isprintable():
        raise DataError(
            f"{shown} in the archive leads out of its folder. Nothing was unpacked; make the archive again without it."
        )
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise DataError(
            f"{shown} in the archive is a link or no plain file. Nothing was unpacked; make the archive again without it."
        )
    if member.flag_bits & 1:
        raise DataError(f"{shown} in the archive is encrypted. Make it again without a password.")


def _is_image(name: str) -> bool:
    path = PurePosixPath(name)
    hidden = any(part.startswith((".", "__")) for part in path.parts)
    return path.suffix.lower() in folder.IMAGES and not hidden


def _write(archive: zipfile.ZipFile, members: list[zipfile.ZipInfo], place: Path) -> Iterator[tuple[float, str]]:
    left = MOST_BYTES  # counted again while writing: what a header says may be a lie
    for number, member in enumerate(members):
        target = place / member.filename
        target.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(member) as source, target.open("xb") as file:
            left -= _copy(source, file, left)
        if number % 50 == 0:
            yield number / len(members), f"unpacking {folder.shown(PurePosixPath(member.filename).name)}"
    yield 1.0, "all images are unpacked"


def _copy(source: BinaryIO, file: BinaryIO, most: int) -> int:
    written = 0
    while block := source.read(_BLOCK):
        written += len(block)
        if written > most:
            raise DataError(f"The archive unpacks to more than {MOST_BYTES / 2**30:.0f} GiB, whatever it says. Nothing was kept.")
        file.write(block)
    return written


def _root(place: Path) -> Path:
    """The folder that holds the classes: many archives wrap everything in one."""
    inside = list(place.iterdir())
    while len(inside) == 1 and inside[0].is_dir():
        place = inside[0]
        inside = list(place.iterdir())
    return place


def holds(root: Path) -> bool:
    """Whether the folder `root`, with its links resolved, is a whole unpacked archive."""
    return root.parent == folder.kept().resolve() and folder.is_name(root.name) and root.is_dir()


def remove(name: str) -> None:
    """Delete the unpacked images called `name`."""
    shutil.rmtree(folder.kept() / folder.checked_name(name), ignore_errors=True)
