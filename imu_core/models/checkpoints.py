"""Trained models on disk: safetensors beside a JSON card, found by what they were trained on.

Two folders are searched: `assets/models` (ships) and `models` in `runtime.home()` (what this machine trained itself).
A checkpoint's role is `original` or `retrained`; a retrained one is known by the samples it never saw, not by the words
of a request, so `class:Sandal` and the same thousand ids find the same file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from imu_core import runtime
from imu_core.access import rules
from imu_core.errors import CheckpointError
from imu_core.models import outside
from imu_core.models.hashes import removed_hash
from imu_core.records.data import Dataset
from imu_core.records.shapes import Card
from imu_core.runtime import place

CARD_FORMAT = 1


@dataclass(frozen=True)
class Checkpoint:
    """A safetensors file and its card: command, accuracies, seconds, versions, data hash, what was removed."""

    path: Path
    card: Card

    def has(self, kind: str) -> bool:
        """Whether the companion `kind` is stored beside the model (see `companion`)."""
        return self.path.with_name(f"{self.path.stem}.{kind}.safetensors").exists()

    def companion(self, kind: str) -> dict[str, Tensor]:
        """Tensors stored beside an original model: `initial` weights, class `statistics` or parameter `importances`."""
        return read_tensors(self.path.with_name(f"{self.path.stem}.{kind}.safetensors"))


def folders() -> tuple[Path, Path]:
    """Where checkpoints are looked for: what ships, then what this machine trained."""
    return runtime.ASSETS / "models", runtime.home() / "models"


def find(dataset: Dataset, model_name: str, removed: Tensor, seed: int = 0) -> Checkpoint | None:
    """The checkpoint of `model_name` trained on `dataset` without `removed` (none removed: the original), or None."""
    wanted = {"data_hash": dataset.hash, "model": model_name, "removed_hash": removed_hash(removed), "seed": seed}
    fits = (c for c in listing(dataset.name, model_name) if all(c.card.get(name) == value for name, value in wanted.items()))
    return next(fits, None)


def at(path: Path) -> Checkpoint:
    """The checkpoint whose tensors are at `path`; CheckpointError when its card is missing or damaged."""
    beside = path.with_suffix(".json")
    card = _read_card(beside, beside.stat().st_mtime_ns) if beside.exists() else None
    if card is None:
        raise CheckpointError(
            f"The card {beside.name} beside {path.name} is missing or damaged. Restore it, or train the model again."
        )
    return Checkpoint(path, card)


def listing(dataset: str, model_name: str) -> list[Checkpoint]:
    """Every checkpoint of `model_name` on `dataset`, what ships first."""
    cards = ((path, _read_card(path, path.stat().st_mtime_ns)) for path in _cards(dataset, model_name))
    checkpoints = [Checkpoint(path.with_suffix(".safetensors"), card) for path, card in cards if card]
    return [checkpoint for checkpoint in checkpoints if checkpoint.path.exists()]


def _cards(dataset: str, model_name: str) -> Iterator[Path]:
    for folder in (parent / place(dataset) / model_name for parent in folders()):
        if not outside.is_brought(model_name) or rules.is_theirs(folder):
            yield from sorted(folder.glob("*.json"))


@lru_cache(maxsize=512)
def _read_card(path: Path, modified: int) -> Card | None:
    try:
        card = json.loads(path.read_text())
    except (OSError, ValueError):
        return None  # a damaged card makes its model invisible, never the page unusable
    known = isinstance(card, dict) and card.get("format") == CARD_FORMAT
    return card if known else None


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file; CheckpointError when it is missing or damaged."""
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path.name} cannot be read ({error}). Train the model again or restore the file.") from error


def fill(model: nn.Module, state: dict[str, Tensor]) -> None:
    """Copy `state` (any float type) into `model`; CheckpointError names what is missing, left over or misshapen."""
    own = model.state_dict()
    missing, extra = sorted(set(own) - set(state)), sorted(set(state) - set(own))
    shapes = [name for name in own if name in state and own[name].shape != state[name].shape]
    if missing or extra or shapes:
        raise CheckpointError(
            f"The file does not fit {type(model).__name__}: missing {missing[:3]}, not expected {extra[:3]}, "
            f"other shape {shapes[:3]}. Choose the architecture it was trained with."
        )
    model.load_state_dict({name: tensor.to(own[name].dtype) for name, tensor in state.items()})


def save(path: Path, state: dict[str, Tensor], card: Card | None = None) -> None:
    """Write `state` as safetensors and the card beside it, each whole or not at all; the card last, since it is looked for."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    runtime.write_whole(path, lambda part: save_file(tensors, part))
    if card is not None:
        text = json.dumps({"format": CARD_FORMAT, **card}, indent=1)
        runtime.write_whole(path.with_suffix(".json"), lambda part: part.write_text(text + "\n"))


def halved(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """`state` with float32 tensors as float16, for storage; whole numbers stay."""
    return {name: t.half() if t.dtype == torch.float32 else t for name, t in state.items()}
