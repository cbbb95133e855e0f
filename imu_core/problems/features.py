"""Penultimate features of an image set: computed in chunks, once, and kept on disk by the content they come from."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from imu_core import runtime
from imu_core.errors import CheckpointError
from imu_core.models import checkpoints, hashes, networks
from imu_core.models.head import split_head
from imu_core.models.inference import chunk_of, to_input
from imu_core.records.data import Dataset, ImageSet
from imu_core.records.run import Features


@torch.no_grad()
def compute(model: nn.Module, images: Tensor, chunk: int | None = None) -> tuple[Tensor, Tensor]:
    """(Z, logits) of uint8 `images` (n, channels, h, w): features (n, d) and the head's logits (n, C), eval mode, float32."""
    backbone, head = split_head(model)
    backbone.eval()
    Z = torch.cat([backbone(to_input(part)) for part in images.split(chunk or chunk_of(images))])
    return Z, head(Z)


@torch.no_grad()
def in_parts(model: nn.Module, images: Tensor) -> Iterator[tuple[float, Tensor, Tensor]]:
    """What `compute` gives, a chunk at a time, to show how far it is: (fraction done, Z, logits of that chunk)."""
    backbone, head = split_head(model)
    backbone.eval()
    done = 0
    for part in images.split(chunk_of(images)):
        Z = backbone(to_input(part))
        done += len(part)
        yield done / len(images), Z, head(Z)


def keep(model: nn.Module, data_key: str, Z: Tensor, logits: Tensor) -> None:
    """Put on disk what `features` would otherwise compute: Z (N, d) and logits (N, C) of `model` on the set `data_key`."""
    tensors = {"Z": Z.contiguous(), "logits": logits.contiguous()}
    runtime.write_whole(kept_at(model, data_key), lambda part: save_file(tensors, part))


class _Work:
    """The features of one image set while they are computed, to be stored at `path`. Threads share the work: no chunk twice."""

    def __init__(self, model: nn.Module, images: Tensor, path: Path) -> None:
        self._backbone, self._head = split_head(model)
        self._backbone.eval()
        self._parts, self._path = images.split(chunk_of(images)), path
        self._found: list[Tensor] = []
        self._lock = threading.Lock()
        self.stored = False

    @property
    def fraction(self) -> float:
        """The share of the chunks that is computed, 0 to 1."""
        return len(self._found) / len(self._parts)

    @torch.no_grad()
    def step(self) -> None:
        """Compute one chunk more; after the last, store all of them."""
        with self._lock:
            if self.fraction < 1.0:
                self._found.append(self._backbone(to_input(self._parts[len(self._found)])))
            if self.fraction == 1.0 and not self.stored:
                self._store()

    def _store(self) -> None:
        try:
            Z = torch.cat(self._found)
            tensors = {"Z": Z, "logits": self._head(Z)}
            runtime.write_whole(self._path, lambda part: save_file(tensors, part))
            self.stored = True
        finally:
            _WORK.pop(self._path, None)


_WORK: dict[Path, _Work] = {}
_READY: set[tuple[Path, Path, int]] = set()


def steps(model: nn.Module, images: ImageSet, data_key: str) -> Iterator[float]:
    """Compute what `features` would have to compute, yielding the fraction done; yields nothing where it is stored already.

    Callers in several threads share the work, and the next caller goes on with what one leaves undone.
    """
    path = kept_at(model, data_key)
    if _read(path, len(images)) is None:
        work = _WORK.setdefault(path, _Work(model, images.images, path))
        while not work.stored:
            work.step()
            yield work.fraction


def prepare(checkpoint: checkpoints.Checkpoint, dataset: Dataset) -> Iterator[tuple[float, str]]:
    """Compute the features of both sets of `dataset` that are not stored yet, yielding (fraction done, what is done)."""
    key = (runtime.home(), checkpoint.path, checkpoint.path.stat().st_mtime_ns)
    if key in _READY or dataset.holds_vectors:
        return
    model, total, before = networks.load_model(checkpoint, dataset), len(dataset.train) + len(dataset.test), 0
    for part, images in (("train", dataset.train), ("test", dataset.test)):
        for fraction in steps(model, images, f"{dataset.hash}-{part}"):
            done = before + round(fraction * len(images))
            yield done / total, f"Features of {done:,} of {total:,} images, computed once and kept"
        before += len(images)
    _READY.add(key)


def features(model: nn.Module, images: ImageSet, data_key: str) -> Features:
    """Features of `images` under `model`, from the cache on disk when this model has seen this set (`data_key`) before.

    Those of vectors are computed sooner than they are read, so they are not kept.
    """
    if images.images.ndim == 2:
        Z, logits = compute(model, images.images)
        return Features(Z, images.labels, logits)
    path = kept_at(model, data_key)
    stored = _read(path, len(images))
    if stored is None:
        for _ in steps(model, images, data_key):
            pass
        stored = checkpoints.read_tensors(path)  # where numbers lie in memory decides their last bits: the same for all
    return Features(stored["Z"], images.labels, stored["logits"])


def kept_at(model: nn.Module, data_key: str) -> Path:
    """The file with the features of `model` on the set `data_key`, or where it would be."""
    key = hashlib.sha256(f"{hashes.state_hash(model)} {data_key}".encode()).hexdigest()[:24]
    return runtime.home() / "features" / f"{key}.safetensors"


def kept_embedding(data_key: str, backbone: str, rows: int) -> Tensor | None:
    """Features (`rows`, d) that this `backbone` (its hash) gave for the set `data_key`, from the disk; None where none are."""
    with contextlib.suppress(CheckpointError, KeyError, FileNotFoundError):
        Z = checkpoints.read_tensors(_embedding_at(data_key, backbone))["Z"]
        return Z if len(Z) == rows else None
    return None


def keep_embedding(data_key: str, backbone: str, Z: Tensor) -> None:
    """Put the features Z (n, d) on disk, for `kept_embedding` to find."""
    runtime.write_whole(_embedding_at(data_key, backbone), lambda part: save_file({"Z": Z.contiguous()}, part))


def _embedding_at(data_key: str, backbone: str) -> Path:
    key = hashlib.sha256(f"{backbone} {data_key} Z".encode()).hexdigest()[:24]
    return runtime.home() / "features" / f"{key}.safetensors"


def _read(path: Path, rows: int) -> dict[str, Tensor] | None:
    """The tensors stored at `path`; None where there are none, or damaged or other ones: they are computed again then."""
    try:
        stored = checkpoints.read_tensors(path) if path.exists() else {}
    except CheckpointError:
        return None
    fits = set(stored) == {"Z", "logits"} and all(t.ndim == 2 and len(t) == rows for t in stored.values())
    return stored if fits else None
