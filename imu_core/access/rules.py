"""Which folders of this machine a page may read: the owner's decision, by environment variables, in one place.

IMU_PUBLIC   1 (anything but 0, no, off, false or nothing): the app is open to people who do not know each other. Pages and links
             then read no folder of the server at all, and nobody sees, renames or deletes another's runs. What a visitor
             uploads is no folder of the server.
             What a visitor brings (images, models) only they see: the folder that holds it says in the file `MARK` whose it is.
IMU_FOLDERS  folders that pages and links may read besides IMU_DATA, separated as in PATH; nothing where IMU_PUBLIC is set.

Commands and the library are free: they run with the rights of whoever started them. `check` asks whether the work is done for a
page (see `serve_when`). Nothing here says whether a folder that may not be read exists.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import BinaryIO

from imu_core import runtime
from imu_core.errors import ClosedError

_OFF = ("", "0", "no", "off", "false")
_SERVING: list[Callable[[], bool]] = []
_WHO: list[Callable[[], str]] = []
_ACTING: ContextVar[str] = ContextVar("visitor", default="")
MARK = ".owner"


def is_public() -> bool:
    """Whether IMU_PUBLIC says that the people who open the app do not know each other.

    Then no folder of the server is read from a link or a page, and nobody sees, renames or deletes another's runs. A value that
    is not understood counts as yes.
    """
    return os.environ.get("IMU_PUBLIC", "").strip().lower() not in _OFF


def serve_when(serving: Callable[[], bool], who: Callable[[], str] = str) -> None:
    """Register how to tell whom work is for: `serving()` says whether it is for a page, `who()` names its visitor (or is empty).

    The pages call this once, when they are loaded. It replaces what was registered before.
    """
    _SERVING[:], _WHO[:] = [serving], [who]


def is_serving() -> bool:
    """Whether this work is done for a page, so that `check` looks at folders."""
    return any(serving() for serving in _SERVING)


@contextmanager
def acting_for(name: str) -> Iterator[None]:
    """Inside the `with` block this thread works for the visitor called `name`, whose page may have gone."""
    token = _ACTING.set(name)
    try:
        yield
    finally:
        _ACTING.reset(token)


def visitor() -> str:
    """The name of the visitor for whom this work is done; empty for a command, the library, or where nobody is known."""
    return _ACTING.get() or ("".join(who() for who in _WHO) if is_serving() else "")


def mark(folder: Path) -> None:
    """Write the name of this work's visitor, who brought what `folder` holds, into its file `MARK`; remove that without one."""
    if name := visitor():
        (folder / MARK).write_text(name)
    else:
        (folder / MARK).unlink(missing_ok=True)


def is_theirs(folder: Path) -> bool:
    """Whether this work may use what was brought into `folder`.

    Always, except for a page of a public app: that may only use what its own visitor brought.
    """
    if not (is_public() and is_serving()):
        return True
    try:
        return runtime.read_text(folder / MARK, 1000) == visitor() != ""
    except (OSError, ValueError):
        return False


def allowed(path: str | Path) -> bool:
    """Whether a page may read the file or folder at `path`.

    It may if the path, links followed, lies in IMU_DATA, in a folder of IMU_FOLDERS or among the images that were uploaded. In a
    public app it may only read what its own visitor uploaded.
    """
    try:
        place = Path(path).expanduser().resolve()
        around = (place, *place.parents)
        if is_public():
            uploads_identity = _identity(uploads())
            return uploads_identity is not None and any(
                _identity(inner.parent) == uploads_identity and is_theirs(inner) for inner in around[:-1]
            )
        identities = set(filter(None, map(_identity, around)))
    except (OSError, ValueError, RuntimeError):  # too long, a null byte, links in a circle, an unknown user
        return False
    return any(_identity(root) in identities for root in _roots())


def uploads() -> Path:
    """The folder where images that somebody brought as a zip file are unpacked, each set into a folder of its own."""
    return runtime.home() / "images"


def check(path: str | Path) -> None:
    """ClosedError where this work is done for a page and `path` is not allowed: the same words whether it exists or not."""
    if is_serving() and not allowed(path):
        raise ClosedError(
            "This app reads no folders of its server: it is open to everybody. Bring images as a zip file on the page Your own."
            if is_public()
            else "Pages and links read folders of this machine only where its owner allows it. Put the folder under IMU_DATA, or "
            "name it in the environment variable IMU_FOLDERS, and start the app again."
        )


def opened(path: Path) -> BinaryIO:
    """The regular file at `path`, open for reading. `check` is made again on the open file, in case another took its name.

    ClosedError where this work may not read it; OSError where it is a device, a pipe or a folder, or cannot be opened.
    """
    check(path)
    file = runtime.open_regular(path)
    itself = Path(f"/proc/self/fd/{file.fileno()}")  # as Linux names it; elsewhere the name has to do
    try:
        check(itself if itself.exists() else path)
    except ClosedError:
        file.close()
        raise
    return file


def _roots() -> Iterator[Path]:
    """The folders that may be read where the app is not public."""
    listed = os.environ.get("IMU_FOLDERS", "").split(os.pathsep)
    for root in (uploads(), runtime.data_path(), *(Path(name.strip()) for name in listed if name.strip())):
        try:
            yield root.expanduser().resolve()
        except (OSError, ValueError, RuntimeError):
            continue


def _identity(path: Path) -> tuple[int, int] | None:
    """Which folder that is for the system, however it is spelt (a file system may ignore case); None where nothing is."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino
