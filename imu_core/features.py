"""Penultimate features of an image set: computed in chunks, once, and kept on disk by the content they come from."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from imu_core import runtime
from imu_core.errors import CheckpointError
from imu_core.models import checkpoints
from imu_core.models.head import split_head
from imu_core.records import Features, ImageSet
from imu_core.training import chunk_of, to_input


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
    runtime.write_whole(_path(model, data_key), lambda part: save_file(tensors, part))


def _path(model: nn.Module, data_key: str) -> Path:
    key = hashlib.sha256(f"{checkpoints.state_hash(model)} {data_key}".encode()).hexdigest()[:24]
    return runtime.home() / "features" / f"{key}.safetensors"


def features(model: nn.Module, images: ImageSet, data_key: str) -> Features:
    """Features of `images` under `model`, from the cache on disk when this model has seen this set (`data_key`) before."""
    path = _path(model, data_key)
    stored = _read(path, len(images))
    if stored is None:
        Z, logits = compute(model, images.images)
        stored = {"Z": Z, "logits": logits}
        runtime.write_whole(path, lambda part: save_file(stored, part))
        stored = _read(path, len(images)) or stored  # where numbers lie in memory decides their last bits: the same for all
    return Features(stored["Z"], images.labels, stored["logits"])


def embedding(model: nn.Module, images: Tensor, data_key: str, backbone: str, keep: bool) -> Tensor:
    """Features (n, d) of uint8 `images` (n, channels, h, w), from the disk where this `backbone` (its hash) has seen `data_key`.

    `keep` stores what had to be computed; without it the disk is only read.
    """
    key = hashlib.sha256(f"{backbone} {data_key} Z".encode()).hexdigest()[:24]
    path = runtime.home() / "features" / f"{key}.safetensors"
    if path.exists():
        with contextlib.suppress(CheckpointError, KeyError):
            found = checkpoints.read_tensors(path)["Z"]
            if len(found) == len(images):
                return found
    Z, _ = compute(model, images)
    if keep:
        runtime.write_whole(path, lambda part: save_file({"Z": Z.contiguous()}, part))
    return Z


def _read(path: Path, rows: int) -> dict[str, Tensor] | None:
    """What is stored at `path`; None where that is nothing, damaged or something else: it is computed again then."""
    try:
        stored = checkpoints.read_tensors(path) if path.exists() else {}
    except CheckpointError:
        return None
    fits = set(stored) == {"Z", "logits"} and all(t.ndim == 2 and len(t) == rows for t in stored.values())
    return stored if fits else None
