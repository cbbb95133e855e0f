"""What was brought, and its removal for good."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from imu_core import data, runtime
from imu_core.data import archive, folder
from imu_core.errors import DataError
from imu_core.models import brought


def datasets() -> tuple[str, ...]:
    """The image folders that brought models belong to, by name."""
    return tuple(dict.fromkeys(name for name, _ in brought.everything() if name.startswith(data.FOLDER)))


def remove(dataset: str, model: str) -> str:
    """Delete a brought model, its references, and the images that were unpacked for it alone; says what was deleted."""
    with one_at_a_time():  # nobody may store a model on images that are about to go
        brought.remove(dataset, model)
        if not dataset.startswith(data.FOLDER):
            return f"{model} is deleted."
        users = users_of(dataset)
        if dataset not in users:
            remove_decoded(dataset)
        root = root_of(dataset)
        if not users and archive.holds(root):
            archive.remove(root.name)
            return f"{model} is deleted, and the images that were unpacked as {root.name}."
    return f"{model} is deleted."


def users_of(dataset: str) -> list[str]:
    """The folder datasets of brought models that read the same folder as `dataset`, at whatever side."""
    return [name for name in datasets() if root_of(name) == root_of(dataset)]


def root_of(dataset: str) -> Path:
    """The folder behind a folder dataset, the same however it was written."""
    text = dataset.removeprefix(data.FOLDER)
    try:
        return folder.find(folder.parse(text).path).resolve()
    except DataError:  # it is gone, or was stored before such names were refused
        return Path(text.rpartition("@")[0] or text)


def remove_decoded(dataset: str) -> None:
    """Delete what was decoded of a folder dataset; it can be read again."""
    text = dataset.removeprefix(data.FOLDER)
    if folder.is_here(text):
        folder.cache(text).unlink(missing_ok=True)
    data.load.cache_clear()


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Hold a lock: meanwhile nobody else, no other visitor and no command beside the app, takes a free name or deletes.

    It may be taken again while it is held: at any moment Python may drop another `Bringing`, which then cleans up.
    """
    path = runtime.home() / "own.lock"
    with runtime.storing("A model of your own"):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path, is_singleton=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
