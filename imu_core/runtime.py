"""The machine: threads, seeds, folders, whole-file writes, and the torchvision import guard."""

from __future__ import annotations

import ctypes
import errno
import gc
import hashlib
import importlib
import os
import re
import stat
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, BinaryIO

import platformdirs
from safetensors import SafetensorError

from imu_core.errors import ConfigError, DataError, DiskError
from imu_core.report.numbers import mebibytes

if TYPE_CHECKING:  # torch takes seconds, and the first page is drawn without it
    import torch

_PACKAGE = Path(__file__).resolve().parent
# Inside the package once it is installed, beside it in a checkout.
ASSETS = _PACKAGE / "assets" if (_PACKAGE / "assets").is_dir() else _PACKAGE.parent / "assets"
APP = _PACKAGE / "app" / "app.py" if (_PACKAGE / "app").is_dir() else _PACKAGE.parent / "app.py"
_IRREGULAR = "it is no file, but a device, a pipe or a folder"
_LONGEST_NAME = 255  # bytes
_GUARD = threading.Lock()
_LIBRARY: list[torch.library.Library] = []  # keeps the declared operators alive
_CAP: ContextVar[int] = ContextVar("cap", default=sys.maxsize)  # threads that whoever runs many things at once allows each


def device() -> torch.device:
    """Where models are trained: IMU_DEVICE (cpu | cuda), else a CUDA device when there is one, else the processor.

    Everything else stays on the processor, where the same seed gives the same bits. ConfigError for another name.
    """
    import torch

    name = os.environ.get("IMU_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu")
    if name not in ("cpu", "cuda") or (name == "cuda" and not torch.cuda.is_available()):
        raise ConfigError(f"IMU_DEVICE is {name!r}; it may be 'cpu', or 'cuda' where torch finds such a device.")
    return torch.device(name)


def limit_threads(maximum: int = 2) -> int:
    """Cap torch's threads at `maximum` and return the number in use; more only fight each other on small machines.

    Never more than torch began with, so that OMP_NUM_THREADS and a process confined to fewer cores are respected.
    """
    import torch

    count = max(1, min(maximum, _CAP.get(), _usable()))
    torch.set_num_threads(count)
    return count


@lru_cache
def _usable() -> int:
    """The threads that torch began with: asked before anybody sets another number."""
    import torch

    return torch.get_num_threads()


@contextmanager
def one_thread() -> Iterator[None]:
    """Inside the `with` block torch uses one thread and `limit_threads` allows no more: every worker sums in the same order."""
    import torch

    before, token = torch.get_num_threads(), _CAP.set(1)
    limit_threads()
    try:
        yield
    finally:
        _CAP.reset(token)
        torch.set_num_threads(before)


def home() -> Path:
    """Folder for everything the program makes (features, trained models): IMU_HOME, else the user's cache folder."""
    return folder(os.environ.get("IMU_HOME") or platformdirs.user_cache_dir("imu"))


def data_folder() -> Path:
    """Folder where datasets are looked for and downloaded to, made where it is missing (see `data_path`)."""
    return folder(data_path())


def data_path() -> Path:
    """IMU_DATA, else `data` inside `home()`, whether that folder exists or not."""
    return Path(os.environ.get("IMU_DATA") or home() / "data")


def folder(path: str | Path) -> Path:
    """The folder at `path`, made where it is missing; a DiskError where that cannot be."""
    try:
        path = Path(path).expanduser()
        path.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError, RuntimeError) as error:  # an unknown user is the last
        reason = getattr(error, "strerror", None) or str(error)[:100]
        raise DiskError(
            f"The folder {str(path)[:200]!r} cannot be made ({reason}). Name another in IMU_HOME or IMU_DATA.", reason
        ) from error
    return path


def place(name: str) -> str:
    """The folder name that stands for a dataset: its own, or for one named by a path (market:FOLDER) a harmless one."""
    if re.fullmatch(r"[A-Za-z0-9_-]{1,60}", name):
        return name
    slug = re.sub(r"[^A-Za-z0-9]+", "-", name)[-40:].strip("-")
    return f"{slug}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def generator(seed: int, *stream: int) -> torch.Generator:
    """A CPU generator fixed by `seed` and any further whole numbers (epoch, purpose).

    Streams with different numbers are unrelated; the global generator of torch is never touched.
    """
    import torch

    value = int(seed)  # NumPy's and torch's too
    for number in stream:
        value = (value * 1_000_003 + number + 0x9E3779B9) % (2**63)
    return torch.Generator().manual_seed(value)


def read_bytes(path: Path, most: int) -> bytes:
    """The content of the regular file at `path`; an OSError says what is wrong where it is none or has more than `most` bytes.

    Devices and pipes are never waited for, and no more than `most` bytes are taken, whatever the file says its size is.
    """
    with open_regular(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"it has more than {_size(most)}", str(path))
    return content


def read_text(path: Path, most: int) -> str:
    """The text in UTF-8 of the regular file at `path`, like `read_bytes`; UnicodeDecodeError where it is none."""
    return read_bytes(path, most).decode("utf-8-sig")


def open_regular(path: Path) -> BinaryIO:
    """The regular file at `path`, open for reading; an OSError where it is a device, a pipe, a folder, or cannot be opened."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except ValueError as error:  # a null byte
        raise OSError(errno.EINVAL, "no file can be called that", str(path)) from error
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, _IRREGULAR, str(path))
    return os.fdopen(handle, "rb")


def target(path: Path) -> Path:
    """Where a file called `path` is written, links followed; an OSError where that is a device, a pipe or a folder."""
    try:
        path = Path(os.path.realpath(path))
        if path.exists() and not path.is_file():
            raise OSError(errno.EINVAL, _IRREGULAR, str(path))
    except ValueError as error:  # a null byte
        raise OSError(errno.EINVAL, "no file can be called that", str(path)) from error
    return path


def check_place(path: Path) -> None:
    """An OSError where no file called `path` could be written. A file is made in its folder to try, and nothing is left of it."""
    path = target(path)
    if len(os.fsencode(path.name)) > _LONGEST_NAME:
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), str(path))
    missing = _missing(path.parent)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent):
            pass
    finally:
        _unmake(missing)


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Call `write` on a temporary neighbour of `path`, then rename: a killed process leaves no half file.

    Links are followed, folders made. A DiskError where the disk is full or closed to this program, or `path` is a device, a pipe
    or a folder: then nothing is changed, and no folder is left that was not there.
    """
    try:
        path = target(path)
        with made(path.parent):
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name[:40], suffix=".part")
            os.close(handle)
            try:
                write(Path(name))
                os.chmod(name, 0o644)  # mkstemp's files are private; what ships must be readable
                os.replace(name, path)
            finally:
                Path(name).unlink(missing_ok=True)
    except (OSError, SafetensorError, RuntimeError) as error:  # torch.save says RuntimeError
        reason = getattr(error, "strerror", None) or str(error)[:100]
        raise DiskError(
            f"{path.name[:100]} cannot be written ({reason}). Make room on the disk, let this program write into its folder, or "
            "name another.",
            reason,
        ) from error


@contextmanager
def made(folder: Path) -> Iterator[None]:
    """Inside the `with` block `folder` exists; where the block fails, every folder that was made for it is removed again."""
    missing = _missing(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:  # a person's Ctrl-C too
        _unmake(missing)
        raise


def _missing(folder: Path) -> list[Path]:
    """`folder` and the folders above it, those that do not exist, the innermost first."""
    return [place for place in (folder, *folder.parents) if not place.exists()]


def _unmake(folders: list[Path]) -> None:
    with suppress(OSError):  # never made, or somebody else put something there
        for place in folders:
            if place.exists():
                place.rmdir()


def _size(count: int) -> str:
    return mebibytes(count) if count >= 2**20 else f"{count:,} bytes"


@contextmanager
def storing(what: str) -> Iterator[None]:
    """Inside the `with` block, a disk that is full or not writable is a DataError, which says that `what` was to be stored."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or str(error)[:100]
        raise DataError(
            f"{what} cannot be stored ({reason}). Make room on the disk or let this program write to its folder, and try again."
        ) from error


def import_torchvision() -> ModuleType:
    """torchvision, imported so that a wheel linked against another build of torch still loads.

    The wheel on the package index registers its operators from a CUDA library; beside a CPU build of torch that library
    does not load and the import stops at "operator torchvision::nms does not exist". Only then are the two schemas
    declared here and the import repeated. Those operators are detection code that this project never calls.
    """
    import torch

    with _GUARD:
        try:
            return importlib.import_module("torchvision")
        except RuntimeError as error:
            if "torchvision::" not in str(error):
                raise
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "DEF")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _LIBRARY.append(library)
        return importlib.import_module("torchvision")


_ARENA_MAX, _HEAPS = -8, 2  # glibc's name for the number of heaps


def limit_heaps() -> None:
    """Let glibc, where it is the C library, use two heaps for all threads: with more, the threads of pages free memory late."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_ARENA_MAX, _HEAPS)


def settle() -> None:
    """Leave what is in memory now out of later garbage collections: these take a tenth of the time then, and come sooner.

    Python looks at everything again only once a quarter more is there; with torch loaded, hundreds of MB of what pages and runs
    have left behind wait for that.
    """
    gc.collect()
    gc.freeze()


def give_back() -> None:
    """Collect garbage, and return the freed memory to the system where the C library is glibc, which would rather keep it."""
    gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


limit_heaps()


class Memory:
    """Measures by how many bytes this process has grown at most since this was made: resident memory, all threads together.

    Linux keeps the high-water mark and lets a process reset it. Where it cannot be reset, growth before this was made counts
    too; where the system keeps no mark, the growth is 0.
    """

    def __init__(self) -> None:
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")
        self._before = _resident("VmRSS")

    def peak(self) -> int:
        """The growth in bytes, 0 or more."""
        return max(0, _resident("VmHWM") - self._before)


def _resident(field: str) -> int:
    """The number that `field` of this process's status holds, in bytes; 0 where the system does not tell."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(field):
                return int(line.split()[1]) * 1024
    return 0
