"""Files from the web: fetched with their progress, checked against an MD5, and kept whole or not at all."""

from __future__ import annotations

import hashlib
import http.client
import os
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from imu_core import runtime
from imu_core.errors import DataError

_BLOCK = 1 << 18


def fetch(url: str, md5: str, target: Path, size: int, instead: str) -> Iterator[float]:
    """Fetch `url` into `target` unless it is there with this `md5`, yielding the fraction done.

    `size` (bytes) stands in where the server does not say how long the file is; `instead` ends the sentence about a download
    that failed: what else can be done. DataError where it fails or arrives damaged; then nothing is kept.
    """
    if target.exists() and _md5_of(target) == md5:
        yield 1.0
        return
    with runtime.storing(target.name):
        handle, name = tempfile.mkstemp(dir=runtime.folder(target.parent), prefix=target.name, suffix=".part")
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield from _copy(url, file, target, size, instead)
        if _md5_of(part) != md5:
            raise DataError(f"{target.name} arrived damaged: its MD5 is not {md5}. Try the download again.")
        part.chmod(0o644)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _copy(url: str, file: BinaryIO, target: Path, size: int, instead: str) -> Iterator[float]:
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            size = int(answer.headers.get("Content-Length") or size)
            while block := answer.read(_BLOCK):
                file.write(block)
                yield min(1.0, file.tell() / size)
    except (OSError, http.client.HTTPException) as error:
        raise DataError(
            f"{target.name} could not be downloaded ({getattr(error, 'reason', error)}). Check the connection and try "
            f"again, put the file into {target.parent} by hand, or {instead}"
        ) from error


def _md5_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()
