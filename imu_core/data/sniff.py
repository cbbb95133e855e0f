"""What a file is, by its first bytes, where it is not what its name says: no image, no .zip, or one that cannot be unpacked."""

from __future__ import annotations

import struct
from typing import BinaryIO

from imu_core.errors import DataError

_INSTEAD = "Unpack it and pack the folder as a .zip, or give the folder itself."
_KINDS = (  # the first bytes of a file, and what such a file is
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"\x1f\x8b", "packed by gzip (.gz, .tar.gz)"),
    (b"BZh", "packed by bzip2 (.bz2, .tar.bz2)"),
    (b"\xfd7zXZ\0", "packed by xz (.xz, .tar.xz)"),
    (b"\x28\xb5\x2f\xfd", "packed by Zstandard (.zst)"),
    (b"PK\x03\x04", "a .zip"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"%PDF", "a PDF"),
    (b"%!PS", "a PostScript file"),
    (b"8BPS", "a Photoshop file"),
    (b"\x00\x05\x16\x07", "what a Mac stores beside a file (AppleDouble)"),
    (b"version https://git-lfs", "a pointer of Git LFS, which stands for a file until `git lfs pull` has fetched it"),
)
_BRANDS = ((b"avi", "an AVIF image"), (b"hei", "a HEIC image"), (b"hev", "a HEIC image"), (b"mif", "a HEIC image"))
_END, _FIRST = b"PK\x05\x06", b"PK\x03\x04"
_SPANNED = (b"PK\x07\x08", b"PK00PK")  # how the first of several parts begins
_TAIL = 22 + 65_535 + 20  # bytes that the end of an archive's directory is looked for in


def check(file: BinaryIO, called: str, most_members: int) -> None:
    """A DataError unless `file`, which sentences call `called`, looks like one whole .zip with at most `most_members` members.

    Looks at the file's first bytes and its end alone, before the archive's directory is read: that may have billions of entries.
    """
    file.seek(0, 2)
    size = file.tell()
    file.seek(0)
    start = file.read(600)
    file.seek(max(0, size - _TAIL))
    end = file.read(_TAIL)
    file.seek(0)
    place = end.rfind(_END)
    if place < 0 or len(end) - place < 22:
        raise DataError(f"{called} {_other(start)}")
    disk, first_disk, _, members, length = struct.unpack("<HHHHI", end[place + 4 : place + 16])
    if (disk, first_disk) not in ((0, 0), (0xFFFF, 0xFFFF)) or start.startswith(_SPANNED):
        raise DataError(f"{called} is one part of an archive in several parts. {_INSTEAD}")
    if members == 0xFFFF or length == 0xFFFFFFFF:
        members, length = _large(file, end, place, size) or (members, length)
    if members > most_members or length > 500 * most_members:
        raise DataError(f"{called} has {members:,} members; at most {most_members:,} are unpacked. Take fewer.")


def _large(file: BinaryIO, end: bytes, place: int, size: int) -> tuple[int, int] | None:
    """(members, bytes of the directory) as the record of a large archive (zip64) says; None where there is none."""
    if place < 20 or end[place - 20 : place - 16] != b"PK\x06\x07":
        return None
    (where,) = struct.unpack("<Q", end[place - 12 : place - 4])
    if where + 56 > size:
        return None
    file.seek(where)
    record = file.read(56)
    file.seek(0)
    return struct.unpack("<QQ", record[32:48]) if record.startswith(b"PK\x06\x06") else None


def _other(start: bytes) -> str:
    """What a file that begins with `start` is, and what to do about it."""
    if start.startswith(_SPANNED):
        return f"is one part of an archive in several parts. {_INSTEAD}"
    if start.startswith(_FIRST):
        return "is cut off: its end is missing. Download or copy it again."
    if not start:
        return "is empty. Make it again, or copy it again."
    words = kind(start)
    return f"is {words}, no .zip. {_INSTEAD}" if words else "is damaged or no .zip. Make it again."


def kind(start: bytes) -> str:
    """What a file is that begins with `start` (600 bytes will do), with its article; "" where that is not known."""
    known = next((words for first, words in _KINDS if start.startswith(first)), "")
    if known:
        return known
    if start[4:8] == b"ftyp":
        return next((words for brand, words in _BRANDS if start[8:12].startswith(brand)), "a film")
    if start[257:262] == b"ustar":
        return "a tar archive"
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if b"<svg" in text:
        return "a drawing (SVG)"
    return "a web page, perhaps saved in place of the file" if text.startswith((b"<!doctype html", b"<html")) else ""
