"""Files from the web: pooch fetches them, checks them against an MD5, and keeps them whole or not at all."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

from imu_core import runtime
from imu_core.errors import Cancelled, DataError

_BLOCK = 1 << 18
_PATIENCE = 20  # seconds that a server may say nothing
_TICK = 0.1  # seconds between two looks at how far it is


def fetch(url: str, md5: str, target: Path, size: int, instead: str) -> Iterator[float]:
    """Fetch `url` into `target` unless it is there with this `md5`, yielding the fraction done.

    `size` (bytes) stands in where the server does not say how long the file is; `instead` ends the sentence about a download
    that failed: what else can be done. DataError where it fails or arrives damaged; then nothing is kept. Whoever stops
    iterating ends the download.
    """
    with runtime.storing(target.name):
        runtime.folder(target.parent)
    bar, pool = _Bar(size), ThreadPoolExecutor(1, thread_name_prefix="imu-download")
    work = pool.submit(_retrieve, url, md5, target, bar)
    try:
        while wait([work], _TICK).not_done:
            yield bar.fraction
        work.result()
    except OSError as error:
        raise DataError(
            f"{target.name} could not be downloaded ({_first(error)}). Check the connection and try "
            f"again, put the file into {target.parent} by hand, or {instead}"
        ) from error
    except ValueError as error:  # what pooch raises where the MD5 is another
        raise DataError(f"{target.name} arrived damaged: its MD5 is not {md5}. Try the download again.") from error
    finally:
        bar.is_left = True
        pool.shutdown(wait=False)
    yield 1.0


def _retrieve(url: str, md5: str, target: Path, bar: _Bar) -> None:
    import pooch  # takes a while, and only downloads need it

    pooch.get_logger().setLevel(logging.WARNING)  # whoever iterates says how far it is
    headers = {"Accept-Encoding": "identity"}  # the MD5 is that of the file as it lies there
    downloader = pooch.HTTPDownloader(progressbar=bar, chunk_size=_BLOCK, timeout=_PATIENCE, headers=headers)
    pooch.retrieve(url, f"md5:{md5}", target.name, target.parent, downloader=downloader)
    target.chmod(0o644)  # pooch leaves it to its owner alone


def _first(error: BaseException) -> BaseException:
    """The first of the errors that led to `error`: it says what happened, and the later ones in which library."""
    return _first(error.__context__) if error.__context__ else error


class _Bar:
    """What pooch reports to: `total` bytes are expected, where the server says how many, else `size`."""

    def __init__(self, size: int) -> None:
        self.total, self.is_left = 0, False
        self._size, self._done = size, 0

    @property
    def fraction(self) -> float:
        """How much has arrived, 0 to 1."""
        return min(1.0, self._done / (self.total or self._size))

    def update(self, count: int) -> None:
        """Count `count` more bytes as arrived; raise Cancelled, which ends the download, where nobody waits for it any more."""
        if self.is_left:
            raise Cancelled("Nobody waits for this download any more.")
        self._done += count

    def reset(self) -> None:
        """Do nothing: pooch calls this once all bytes have arrived, to count them again."""

    def close(self) -> None:
        """Do nothing: there is nothing to close."""
