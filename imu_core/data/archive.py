"""A .zip of images, unpacked whole or not at all: nothing climbs out, nothing is a link, members and bytes are bounded.

Only files that are called images are written; whatever else the archive holds never reaches the disk, and is counted. Names are
read as they were meant: backslashes of Windows are slashes, UTF-8 that is not marked as such is UTF-8, and é is one sign.
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
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple

from imu_core import names, runtime
from imu_core.access import rules
from imu_core.data import files, folder, pixels, sniff
from imu_core.errors import DataError, shown
from imu_core.records.data import LeftOut, Why
from imu_core.report.numbers import gibibytes

MOST_MEMBERS, MOST_BYTES = 200_000, 2 << 30  # files and folders, bytes once unpacked
_BLOCK, _DEEPEST = 1 << 20, 20  # bytes written at once; folders in one another
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
    if isinstance(packed, Path) and not packed.is_file():
        raise DataError(f"There is no file {shown(str(packed), 200)!r}. Give a .zip with a folder of images for each class.")
    with runtime.storing(f"The archive '{shown(called)}'"):
        folder.kept().mkdir(parents=True, exist_ok=True)
        unpacking = tempfile.TemporaryDirectory(dir=folder.kept(), prefix=".unpacking-")
    with unpacking as place:
        try:
            with io.BytesIO(packed) if isinstance(packed, bytes) else runtime.open_regular(packed) as file:
                sniff.check(file, f"The archive '{shown(called)}'", MOST_MEMBERS)
                with zipfile.ZipFile(file) as archive:
                    members, left_out = wanted(archive)
                    yield from _write(archive, members, Path(place))
        except DataError:  # a ValueError too, and a sentence already
            raise
        except _BROKEN as error:
            raise DataError(_sentence(error, called)) from error
        root = _root(Path(place))
        for unpacked in {root, Path(place)}:
            rules.mark(unpacked)
        _check_classes(root, called if root == Path(place) else "", left_out)
        with runtime.storing(f"The archive '{shown(called)}'"):
            if left_out:
                (root / files.NOTE).write_text(files.to_text(left_out))
            _move(root, target, taken)


def _check_classes(root: Path, called: str, left_out: tuple[LeftOut, ...]) -> None:
    """The DataError of `folder.listing`, before anything is kept, with what of the archive was not unpacked."""
    try:
        folder.listing(str(root), called)
    except DataError as error:
        raise DataError(f"{error} {files.sentence(left_out)}".rstrip()) from error


def _move(root: Path, target: Path, taken: DataError) -> None:
    try:
        root.rename(target)
    except OSError:
        if target.exists():  # somebody unpacked images of that name meanwhile
            raise taken from None
        raise


def _sentence(error: Exception, called: str) -> str:
    """About an archive that is `called` so; the place where it is unpacked is nobody's business."""
    archive, reason = f"The archive '{shown(called)}'", pixels.reason(error)
    number = error.errno if isinstance(error, OSError) else None
    if number in (errno.ENOSPC, errno.EDQUOT):
        return f"{archive} does not fit on the disk{reason}. Make room there, and try again."
    if number == errno.ENAMETOOLONG:
        return f"{archive} holds a name that is too long for the disk{reason}. Shorten the names of its files, and make it again."
    if isinstance(error, MemoryError):
        return f"{archive} asks for more memory than there is. Make it again without special options, or from fewer images."
    if isinstance(error, NotImplementedError):
        return f"{archive} is packed in a way that is not read{reason}. Make it again with the usual compression (Deflate)."
    return f"{archive} is damaged or no .zip{reason}. Make it again."


class Member(NamedTuple):
    """A file in an archive, and where it goes: its path below the folder that is unpacked into."""

    info: zipfile.ZipInfo
    path: str


def wanted(archive: zipfile.ZipFile) -> tuple[list[Member], tuple[LeftOut, ...]]:
    """(the members to write, what is left out). All are checked before: a DataError names the first that is not allowed."""
    infos, tally, members = archive.infolist(), files.Tally(), []
    if len(infos) > MOST_MEMBERS:
        raise DataError(f"The archive has {len(infos):,} members; at most {MOST_MEMBERS:,} are unpacked. Take fewer.")
    for info in infos:
        name = _name(info)
        member = Member(info, str(PurePosixPath(name)))
        _check(member)
        if not name.endswith("/") and _is_wanted(PurePosixPath(member.path), tally):
            members.append(member)
    size = sum(info.file_size for info in infos)
    if size > MOST_BYTES:
        raise DataError(
            f"Unpacked, the archive has {gibibytes(size, 1)}; at most {gibibytes(MOST_BYTES)} are unpacked. Take fewer "
            "images, or scale them down."
        )
    _check_folders(members)
    return _apart(members), tally.left_out()


def _name(info: zipfile.ZipInfo) -> str:
    """What a member is called: as its maker meant it, composed, with slashes."""
    name = info.filename
    if not info.flag_bits & 0x800 and not name.isascii():  # a Mac writes UTF-8 and does not say so
        with suppress(UnicodeError):  # it is in the old encoding indeed
            name = name.encode("cp437").decode("utf-8")
    return names.normal(name.replace("\\", "/"))


def _check(member: Member) -> None:
    info, name = member
    path, called = PurePosixPath(name), f"'{shown(name, 80)}' in the archive"
    if path.is_absolute() or ".." in path.parts or re.match("[A-Za-z]:", name):
        raise DataError(f"{called} leads out of its folder. Nothing was unpacked; make the archive again without it.")
    if len(path.parts) > _DEEPEST:
        raise DataError(f"{called} lies {len(path.parts)} folders deep; at most {_DEEPEST} are unpacked. Make it again, flatter.")
    if files.is_image(path.name) and any(unicodedata.category(sign) in ("Cc", "Cs") for sign in name):
        raise DataError(f"{called} has a name with control characters. Nothing was unpacked; rename it, and make it again.")
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise DataError(f"{called} is a link or no plain file. Nothing was unpacked; make the archive again without it.")
    if info.flag_bits & 1:
        raise DataError(f"{called} is encrypted. Make it again without a password.")


def _is_wanted(path: PurePosixPath, tally: files.Tally) -> bool:
    if any(map(files.is_hidden, path.parts[:-1])):
        tally.saw()
        tally.add(Why.HIDDEN, "", str(path))
        return False
    return tally.sort(path.name, str(path.parent))


def _check_folders(members: list[Member]) -> None:
    """A DataError where two folders are one on many disks, because only capital letters differ."""
    first: dict[str, str] = {}
    for place in dict.fromkeys(str(parent) for member in members for parent in PurePosixPath(member.path).parents):
        twin = first.setdefault(names.key(place), place)
        if twin != place:
            raise DataError(
                f"The folders {shown(twin)!r} and {shown(place)!r} in the archive differ only in capital letters. Rename one of "
                "them, or put the files of both into one folder, and make the archive again."
            )


def _apart(members: list[Member]) -> list[Member]:
    """`members` under paths that are different on every disk: IMG_1.JPG and img_1.jpg are one file on many.

    A DataError where the archive holds one file twice.
    """
    taken: set[str] = set()
    written: set[str] = set()
    apart = []
    for info, path in members:
        if info.filename in written:
            raise DataError(f"The archive holds two files of one name, '{shown(path, 80)}'. Make it again from the folder.")
        written.add(info.filename)
        free, number, split = path, 1, PurePosixPath(path)
        while names.key(free) in taken:
            number += 1
            free = str(split.with_name(f"{split.stem}-{number}{split.suffix}"))
        taken.add(names.key(free))
        apart.append(Member(info, free))
    return apart


def _write(archive: zipfile.ZipFile, members: list[Member], place: Path) -> Iterator[tuple[float, str]]:
    left = MOST_BYTES  # counted again while writing: what a header says may be a lie
    for number, (info, path) in enumerate(members):
        target = place / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(info) as source, target.open("xb") as file:
            left -= _copy(source, file, left)
        if number % 50 == 0:
            yield number / len(members), f"unpacking {shown(target.name)}"
    yield 1.0, "all images are unpacked"


def _copy(source: BinaryIO, file: BinaryIO, most: int) -> int:
    written = 0
    while block := source.read(_BLOCK):
        written += len(block)
        if written > most:
            raise DataError(f"The archive unpacks to more than {gibibytes(MOST_BYTES)}, whatever it says. Nothing was kept.")
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
    """Whether `root`, a path whose links are resolved, is the folder of an unpacked archive."""
    return root.parent == folder.kept().resolve() and folder.is_name(root.name) and root.is_dir()


def remove(name: str) -> None:
    """Delete the unpacked images called `name`."""
    shutil.rmtree(folder.kept() / folder.checked_name(name), ignore_errors=True)
