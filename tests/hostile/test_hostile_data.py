"""Hostile archives, folders and images: each is read rightly or ends in a sentence; nothing hangs, climbs out or eats memory."""

from __future__ import annotations

import io
import os
import resource
import socket
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from imu_core import data
from imu_core.access import rules
from imu_core.data import archive, files, folder, market
from imu_core.errors import ImuError
from imu_core.model_import import foreign

# The default run takes three attacks of each kind, spread over the lists.
pytestmark = pytest.mark.sample(3, reason="one attack of many of a kind")
CLASSES = ("cat", "dog")
MEMORY = 400 << 20  # by so much the process may grow at one hostile input


@pytest.fixture(autouse=True)
def bounded(fresh_home: Path) -> Iterator[None]:
    """An empty home, and the process may not have grown much afterwards."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before < MEMORY


def image(number: int = 0, form: str = "PNG", mode: str = "RGB", size: tuple[int, int] = (9, 9), **options: Any) -> bytes:
    buffer = io.BytesIO()
    noise = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3)).astype(np.uint8)
    Image.fromarray(noise).convert(mode).save(buffer, form, **options)
    return buffer.getvalue()


def refused(work: Callable[[], object], *words: str) -> None:
    """`work` ends in a sentence that has all `words` in it, and whose signs all print."""
    with pytest.raises(ImuError) as caught:
        work()
    text = str(caught.value)
    assert text.isprintable()
    assert text.endswith((".", ")"))
    assert len(text) < 1200
    for word in words:
        assert word in text, text


# Archives.

GOOD = {f"{name}/{number}.png": image(number) for name in CLASSES for number in range(2)}


def packed(members: dict[Any, bytes], **options: Any) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", **options) as made:
        for name, body in members.items():
            info = zipfile.ZipInfo("x")
            if isinstance(name, zipfile.ZipInfo):
                info = name
            else:
                info.filename = name
            info.compress_type = options.get("compression", zipfile.ZIP_STORED)
            made.writestr(info, body)
    return buffer.getvalue()


def special(kind: int, name: str = "cat/9.png") -> bytes:
    """An archive with a member that is a device, a pipe, a socket …"""
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, (kind | 0o777) << 16
    return packed({**GOOD, info: b"/etc/passwd"})


def with_flag(bit: int) -> bytes:
    """An archive whose members all have the flag `bit`."""
    content = bytearray(packed(GOOD))
    for sign, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = -1
        while (place := content.find(sign, place + 1)) >= 0:
            content[place + at] |= bit
    return bytes(content)


def with_method(method: int) -> bytes:
    """An archive whose members say that they are packed by `method`."""
    content = bytearray(packed(GOOD))
    for sign, at in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        place = -1
        while (place := content.find(sign, place + 1)) >= 0:
            content[place + at] = method
    return bytes(content)


def with_end(**fields: int) -> bytes:
    """An archive whose end says something else: disk, first, here, members, length (of the directory)."""
    content = bytearray(packed(GOOD))
    place = content.rfind(b"PK\x05\x06")
    for name, value in fields.items():
        at, form = {"disk": (4, "<H"), "first": (6, "<H"), "here": (8, "<H"), "members": (10, "<H"), "length": (12, "<I")}[name]
        struct.pack_into(form, content, place + at, value)
    return bytes(content)


def wrong_crc() -> bytes:
    content = bytearray(packed(GOOD))
    content[content.find(b"cat/0.png") + 40] ^= 0xFF
    return bytes(content)


def bomb() -> bytes:
    """9 MB of zeros in 9 kB; the test allows 8."""
    return packed({f"cat/{number}.png": bytes(3 << 20) for number in range(3)}, compression=zipfile.ZIP_DEFLATED)


def overlapping() -> bytes:
    """Two members that are the same bytes of the file."""
    content = bytearray(packed(GOOD))
    first = content.find(b"PK\x01\x02")
    second = content.find(b"PK\x01\x02", first + 4)
    struct.pack_into("<I", content, second + 42, 0)
    return bytes(content)


def huge_zip64() -> bytes:
    """The end of a large archive that claims 2⁴⁰ members."""
    record = b"PK\x06\x06" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, 1 << 40, 1 << 40, 1 << 46, 0)
    locator = b"PK\x06\x07" + struct.pack("<IQI", 0, 4, 1)
    return (
        b"PK\x03\x04" + record + locator + b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 0xFFFF, 0xFFFF, 2**32 - 1, 2**32 - 1, 0)
    )


ARCHIVES: dict[str, tuple[Callable[[], bytes], tuple[str, ...]]] = {
    "nothing": (lambda: b"", ("is empty", "Make it again")),
    "noise": (lambda: bytes(range(256)) * 4, ("damaged or no .zip",)),
    "cut off": (lambda: packed(GOOD)[:-30], ("cut off", "Download or copy it again")),
    "only an end": (lambda: b"PK\x05\x06" + bytes(18), ("holds 0 folders",)),
    "end cut": (lambda: packed(GOOD)[:-5], ("cut off",)),
    "rar": (lambda: b"Rar!\x1a\x07\x01\0" + bytes(50), ("a RAR archive, no .zip",)),
    "7z": (lambda: b"7z\xbc\xaf\x27\x1c" + bytes(50), ("a 7z archive, no .zip", "pack the folder as a .zip")),
    "gzip": (lambda: b"\x1f\x8b\x08" + bytes(50), ("packed by gzip",)),
    "tar": (lambda: bytes(257) + b"ustar\0" + bytes(400), ("a tar archive",)),
    "lfs": (lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", ("Git LFS", "git lfs pull")),
    "web page": (lambda: b"<!DOCTYPE html><html>sign in</html>", ("a web page",)),
    "an image": (image, ("a PNG image, no .zip",)),
    "part of several": (lambda: b"PK\x07\x08" + packed(GOOD), ("one part of an archive in several parts",)),
    "last of several": (lambda: with_end(disk=3, first=0), ("one part of an archive in several parts",)),
    "too many claimed": (lambda: with_end(members=65534, length=2**31), ("65,534 members",)),
    "2^40 members": (huge_zip64, ("members; at most 200,000",)),
    "password": (lambda: with_flag(1), ("'cat/0.png' in the archive is encrypted", "without a password")),
    "deflate64": (lambda: with_method(9), ("packed in a way that is not read", "Deflate")),
    "method unknown": (lambda: with_method(99), ("packed in a way that is not read",)),
    "wrong checksum": (wrong_crc, ("damaged", "CRC")),
    "overlapping": (overlapping, ("damaged",)),
    "bomb": (bomb, ("at most", "GiB are unpacked", "scale them down")),
    "device": (lambda: special(stat.S_IFBLK), ("no plain file",)),
    "pipe": (lambda: special(stat.S_IFIFO), ("no plain file",)),
    "socket": (lambda: special(stat.S_IFSOCK), ("no plain file",)),
    "link of a folder": (lambda: special(stat.S_IFLNK, "cat"), ("a link",)),
    "climbs by backslashes": (lambda: packed({**GOOD, "cat\\..\\..\\9.png": b"x"}), ("leads out",)),
    "windows drive": (lambda: packed({**GOOD, "C:\\cat\\9.png": b"x"}), ("leads out",)),
    "share": (lambda: packed({**GOOD, "\\\\server\\cat\\9.png": b"x"}), ("leads out",)),
    "control signs": (lambda: packed({**GOOD, "cat/\x1b[31m.png": b"x"}), ("control characters", "rename it")),
    "too deep": (lambda: packed({**GOOD, "a/" * 900 + "9.png": b"x"}), ("folders deep; at most 20",)),
    "file and folder": (lambda: packed({**GOOD, "cat/0.png/9.png": image()}), ("damaged",)),
    "twin folders": (lambda: packed({**GOOD, "CAT/9.png": image()}), ("'cat' and 'CAT'", "capital letters")),
    "loose images": (lambda: packed({"1.png": image(), "2.png": image(1)}), ("holds 0 folders",)),
    "zips in a zip": (lambda: packed({"cat.zip": packed(GOOD), "dog.zip": packed(GOOD)}), ("2 .zip files",)),
    "too many classes": (lambda: packed({f"c{number}/0.png": b"x" for number in range(31)}), ("31 folders", "from 2 to 30")),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_a_hostile_archive_ends_in_a_sentence(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make, words = ARCHIVES[name]
    if name == "bomb":
        monkeypatch.setattr(archive, "MOST_BYTES", 8 << 20)
    monkeypatch.setattr(folder, "MOST_CLASSES", 30)
    outside = set(tmp_path.iterdir()) | {folder.kept()}
    content = make()
    refused(lambda: list(archive.unpack(content, "set")), *words)
    assert not list(folder.kept().iterdir()), "nothing is left"
    assert set(tmp_path.iterdir()) <= outside


def test_an_archive_that_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.zip")
    for place in (tmp_path / "pipe.zip", tmp_path, Path("/dev/zero"), tmp_path / "none.zip"):
        refused(lambda place=place: list(archive.unpack(place, "set")), "There is no file")


ODD_ARCHIVES = {
    "comment": lambda: packed(GOOD)[:-2] + struct.pack("<H", 9) + b"made here",
    "something before it": lambda: b"#!/bin/sh\n" + packed(GOOD),
    "dots in names": lambda: packed({f"./a..b/{name}": body for name, body in GOOD.items()}),
    "non-breaking space": lambda: packed({**GOOD, "cat/1\u202fPM.png": image(7)}),
    "lzma": lambda: packed(GOOD, compression=zipfile.ZIP_LZMA),
    "bzip2": lambda: packed(GOOD, compression=zipfile.ZIP_BZIP2),
}


@pytest.mark.parametrize("name", ODD_ARCHIVES)
def test_an_odd_archive_is_unpacked(name: str) -> None:
    for _ in archive.unpack(ODD_ARCHIVES[name](), "set"):
        pass
    assert tuple(folder.listing("set")["train"]) == CLASSES


# Folders.


def draw(root: Path) -> Path:
    for number, part in enumerate(("train", "test")):
        for label, name in enumerate(CLASSES):
            (root / part / name).mkdir(parents=True)
            (root / part / name / "0.png").write_bytes(image(10 * number + label))
    return root


def load(root: Path) -> Any:
    return data.load(f"folder:{root}@8")


def device(place: Path) -> None:
    """A character device where that is allowed, else a link to one."""
    try:
        os.mknod(place, 0o600 | stat.S_IFCHR, os.makedev(1, 5))
    except PermissionError:
        place.symlink_to("/dev/zero")


def listening(place: Path) -> None:
    here = os.open(".", os.O_RDONLY)
    os.chdir(place.parent)  # the name of a socket may not be long
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(place.name)
    finally:
        os.fchdir(here)
        os.close(here)


SPECIAL: dict[str, Callable[[Path], None]] = {
    "pipe": os.mkfifo,
    "device": device,
    "socket": listening,
    "broken link": lambda place: place.symlink_to("nowhere"),
    "link in a circle": lambda place: place.symlink_to(place.name),
}


@pytest.mark.parametrize("name", SPECIAL)
def test_what_is_no_plain_file_is_left_out_and_said(name: str, tmp_path: Path) -> None:
    root = draw(tmp_path / "images")
    SPECIAL[name](root / "train" / "cat" / "9.png")
    found = load(root)
    assert len(found.train) == 2
    assert "1 that is no plain file" in files.sentence(found.left_out)
    refused(lambda: folder.decode(root / "train" / "cat" / "9.png", 8), "cat/9.png")


def test_a_folder_that_leads_into_itself_ends(tmp_path: Path) -> None:
    root = draw(tmp_path / "images")
    (root / "train" / "cat" / "again").symlink_to(root)
    (root / "more").symlink_to(root)
    assert len(load(root).train) == 2


def test_ten_thousand_classes_are_too_many(tmp_path: Path) -> None:
    for number in range(10_000):
        (tmp_path / "many" / str(number)).mkdir(parents=True)
    refused(lambda: load(tmp_path / "many"), "10,000 folders", "from 2 to 1,000")


def test_a_thousand_classes_are_not(tmp_path: Path) -> None:
    body = image(size=(2, 2))
    for number in range(1000):
        (tmp_path / "many" / f"{number:04}").mkdir(parents=True)
        for name in ("a.png", "b.png"):
            (tmp_path / "many" / f"{number:04}" / name).write_bytes(body)
    assert len(load(tmp_path / "many").class_names) == 1000


def test_a_folder_of_too_many_files_is_not_looked_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MOST_FILES", 20)
    root = draw(tmp_path / "images")
    for number in range(30):
        (root / "train" / "cat" / f"{number}.txt").touch()
    refused(lambda: load(root), "more than 20 files")


def test_a_whole_disk_is_not_looked_through_for_a_class_without_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in folder:/, whose bin, boot and dev are no classes: that is said before what lies below them is counted."""
    root = draw(tmp_path / "images")
    for name in ("cat", "empty"):
        (root / "train" / name / "below").mkdir(parents=True)
    below = 0

    def endless(place: Path) -> Iterator[tuple[str, list[str], list[str]]]:
        nonlocal below
        while True:
            below += 100
            yield str(place), [], ["x.txt"] * 100

    monkeypatch.setattr(files.os, "walk", endless)
    refused(lambda: load(root), "The class 'empty'", "has no image")
    assert below < 10_000
    (root / "train" / "empty").rename(root / "below")
    (root / "train" / "empty").mkdir()
    refused(lambda: load(root), "The class 'empty'", "has no image")


@pytest.mark.parametrize("name", [b"\xff\xfe", b"a\nb", b"\xed\xa0\x80", b"x" * 200])
def test_files_with_odd_names_are_read(name: bytes, tmp_path: Path) -> None:
    root = draw(tmp_path / "images")
    (root / "train" / "cat" / os.fsdecode(name + b".png")).write_bytes(image(3))
    (root / "train" / "cat" / os.fsdecode(name + b".txt")).write_bytes(b"x")
    found = load(root)
    assert len(found.train) == 3
    assert files.sentence(found.left_out).isprintable()
    files.sentence(found.left_out).encode()


@pytest.mark.parametrize("path", ["\0", "x" * 5000, "~nobody-of-that-name/x", "/dev/null", "/proc/self/mem", ".." * 50])
def test_what_is_no_folder_is_a_sentence(path: str) -> None:
    refused(lambda: data.load(f"folder:{path}@8"), "folder")
    refused(lambda: data.load(f"market:{path}"), "folder")


def test_parts_that_differ_in_everything_are_a_sentence(tmp_path: Path) -> None:
    root = draw(tmp_path / "images")
    for name in CLASSES:
        (root / "test" / name).rename(root / "test" / f"{name}2")
    refused(lambda: load(root), "'cat' has no folder in test", "nor do 3 others fit")


# Images.


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, *more: bytes, depth: int = 8, colour: int = 2, body: bytes = b"") -> bytes:
    """A PNG with any header: hardly anything behind it unless `body` is given."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    packed_body = chunk(b"IDAT", zlib.compress(body or bytes(100)))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(more) + packed_body + chunk(b"IEND", b"")


def gif(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height) + image(form="GIF")[10:]


def webp(width: int, height: int) -> bytes:
    """A WebP whose canvas claims to be so large."""
    canvas = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    body = b"WEBP" + b"VP8X" + struct.pack("<IB3x", 10, 0) + canvas + image(form="WEBP", lossless=True)[12:]
    return b"RIFF" + struct.pack("<I", len(body)) + body


def tiff_in_circles() -> bytes:
    """A TIFF whose directory of tags is followed by itself."""
    content = bytearray(image(form="TIFF"))
    (start,) = struct.unpack("<I", content[4:8])
    (count,) = struct.unpack("<H", content[start : start + 2])
    struct.pack_into("<I", content, start + 2 + 12 * count, start)
    return bytes(content)


def signed_tiff() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((9, 9), -5, np.int32)).save(buffer, "TIFF")
    return buffer.getvalue()


BAD_IMAGES: dict[str, tuple[Callable[[], bytes], tuple[str, ...]]] = {
    "empty": (lambda: b"", ("empty file", "Copy it again")),
    "noise": (lambda: bytes(range(256)), ("damaged",)),
    "text": (lambda: b"hello", ("damaged",)),
    "cut JPEG": (lambda: image(form="JPEG", size=(90, 90))[:-900], ("damaged or cut off",)),
    "cut PNG": (lambda: image(size=(90, 90))[:-900], ("damaged or cut off",)),
    "cut WebP": (lambda: image(form="WEBP", size=(90, 90))[:-300], ("damaged",)),
    "cut GIF": (lambda: image(form="GIF", size=(90, 90))[:200], ("damaged",)),
    "cut TIFF": (lambda: image(form="TIFF", size=(90, 90))[:300], ("damaged",)),
    "cut BMP": (lambda: image(form="BMP", size=(90, 90))[:300], ("damaged",)),
    "no pixels": (lambda: png(0, 9), ("x.png",)),
    "2.5 gigapixels": (lambda: png(50_000, 50_000), ("pixels",)),
    "one long line": (lambda: png(2**31 - 1, 1), ("pixels",)),
    "100 megapixels": (lambda: png(10_000, 10_000), ("10,000 x 10,000 pixels", "Scale it down")),
    "enormous GIF": (lambda: gif(65_535, 65_535), ("pixels",)),
    "enormous WebP": (lambda: webp(16_000, 16_000), ("x.png",)),
    "text that unpacks to megabytes": (
        lambda: png(9, 9, chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(8 << 20)))),
        ("damaged",),
    ),
    "HEIC called PNG": (lambda: b"\0\0\0\x18ftypheic" + bytes(40), ("a HEIC image", "Save it as JPEG or PNG")),
    "AVIF called PNG": (lambda: b"\0\0\0\x18ftypavif" + bytes(40), ("an AVIF image",)),
    "SVG called PNG": (lambda: b"<?xml version='1.0'?><svg xmlns='x'/>", ("a drawing (SVG)",)),
    "PDF called PNG": (lambda: b"%PDF-1.4\n", ("a PDF",)),
    "web page called PNG": (lambda: b"<html>404</html>", ("a web page",)),
    "LFS pointer": (lambda: b"version https://git-lfs.github.com/spec/v1\n", ("Git LFS",)),
    "AppleDouble": (lambda: b"\0\5\x16\7" + bytes(80), ("AppleDouble",)),
    "negative TIFF": (signed_tiff, ("values from -5", "Save it with 8 bits")),
}


@pytest.mark.parametrize("name", BAD_IMAGES)
@pytest.mark.filterwarnings("error")
def test_a_hostile_image_ends_in_a_sentence(name: str, tmp_path: Path) -> None:
    make, words = BAD_IMAGES[name]
    file = tmp_path / "cat" / "x.png"
    file.parent.mkdir()
    file.write_bytes(make())
    for read in (lambda: folder.decode(file, 8), lambda: folder.decode(file, 8, True), lambda: market.decode(file)):
        refused(read, "cat/x.png", *words)


def animated(form: str) -> bytes:
    buffer = io.BytesIO()
    frames = [Image.new("RGB", (9, 9), colour) for colour in ("red", "green", "blue")]
    frames[0].save(buffer, form, save_all=True, append_images=frames[1:])
    return buffer.getvalue()


def transparent() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGBA", (9, 9), (200, 0, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


ODD_IMAGES: dict[str, Callable[[], bytes]] = {
    "one pixel": lambda: image(size=(1, 1)),
    "one line": lambda: image(size=(3000, 1)),
    "CMYK": lambda: image(form="JPEG", mode="CMYK"),
    "grey": lambda: image(mode="L"),
    "black and white": lambda: image(mode="1"),
    "palette": lambda: image(mode="P"),
    "grey with alpha": lambda: image(mode="LA"),
    "transparent": transparent,
    "YCbCr TIFF": lambda: image(form="TIFF", mode="YCbCr"),
    "16-bit grey": lambda: image(mode="I;16"),
    "JPEG called PNG": lambda: image(form="JPEG"),
    "moving GIF": lambda: animated("GIF"),
    "moving WebP": lambda: animated("WEBP"),
    "moving PNG": lambda: animated("PNG"),
    "TIFF of pages": lambda: animated("TIFF"),
    "TIFF in circles": tiff_in_circles,
    "something behind it": lambda: image() + bytes(5000),
    "a profile that is none": lambda: image(icc_profile=b"x" * 100),
    "EXIF of noise": lambda: image(form="JPEG", exif=b"Exif\0\0II*\0" + bytes(range(200))),
}


@pytest.mark.parametrize("name", ODD_IMAGES)
@pytest.mark.filterwarnings("error")
def test_an_odd_image_is_read(name: str, tmp_path: Path) -> None:
    file = tmp_path / "x.png"
    file.write_bytes(ODD_IMAGES[name]())
    assert folder.decode(file, 8).shape == (8, 8, 3)
    assert folder.decode(file, 8, True).shape == (8, 8, 1)
    assert market.decode(file).shape == (128, 64, 3)


def test_a_file_of_gigabytes_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "x.webp"
    with file.open("wb") as made:
        made.write(image(form="WEBP"))
        made.truncate(3 << 30)  # takes no room on the disk
    refused(lambda: folder.decode(file, 8), "3,072 MiB; at most 512 MiB")


def test_sixteen_bits_are_not_cut_off_in_people_either(tmp_path: Path) -> None:
    values = (np.arange(128 * 64, dtype=np.uint32).reshape(128, 64) * 7).astype(np.uint16)
    Image.fromarray(values).save(tmp_path / "x.png")
    found = market.decode(tmp_path / "x.png")[..., 0].astype(int)
    assert np.abs(found - values / 257).max() <= 1


# ------------------------------------------------------------------------------- what takes the place of a file meanwhile


def test_an_image_is_read_from_the_file_that_was_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name belongs to another one once it is open."""
    path, look = tmp_path / "cat.png", rules.opened
    path.write_bytes(image(3))
    expected = folder.decode(path, 8)

    def opened(path: Path) -> Any:
        file = look(path)
        path.unlink()
        path.write_bytes(b"no image at all")
        return file

    monkeypatch.setattr(rules, "opened", opened)
    assert (folder.decode(path, 8) == expected).all()


def test_a_link_that_is_turned_round_leads_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is allowed when it is looked at, and leads out of what pages may read when it is opened."""
    for name in ("open", "secret"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "cat.png").write_bytes(image())
    link, check = tmp_path / "open" / "link.png", rules.check
    link.symlink_to(tmp_path / "open" / "cat.png")
    monkeypatch.setenv("IMU_FOLDERS", str(tmp_path / "open"))
    monkeypatch.setattr(rules, "is_serving", lambda: True)

    def turn(path: Path) -> None:
        check(path)
        if link.resolve().parent.name == "open":
            link.unlink()
            link.symlink_to(tmp_path / "secret" / "cat.png")

    monkeypatch.setattr(rules, "check", turn)
    for read in (lambda: folder.decode(link, 8), lambda: foreign.read(link)):
        refused(read, "only where its owner allows it")
        link.unlink()
        link.symlink_to(tmp_path / "open" / "cat.png")
