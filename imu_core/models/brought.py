"""Models that somebody brought: the architecture behind a name such as `own-stranger`, read from the card beside its tensors.

An architecture is a name from this registry, `torchvision:NAME`, or `timm:NAME` where the extra `[models]` is installed.
"""

from __future__ import annotations

import json
import re
import shutil
from contextlib import suppress
from pathlib import Path

from imu_core import names as spelling
from imu_core import runtime
from imu_core.access import rules
from imu_core.errors import CheckpointError, ConfigError
from imu_core.models.outside import PREFIX
from imu_core.records.shapes import Card


def _place(dataset: str, model: str) -> Path:
    if not re.fullmatch(r"own-[A-Za-z0-9_-]{1,40}", model):
        raise ConfigError(f"{model[:50]!r} is no name of a brought model; those look like {PREFIX}NAME.")
    return runtime.home() / "models" / runtime.place(spelling.normal(dataset)) / model


def path(dataset: str, model: str) -> Path:
    """The path of the tensors of the brought `model` on `dataset`, whether the file is there or not."""
    return _place(dataset, model) / "original.safetensors"


def card(dataset: str, model: str) -> Card:
    """The card of a brought model; CheckpointError where it is not here, damaged, or another visitor's (see `access`)."""
    file = path(dataset, model).with_suffix(".json")
    with suppress(OSError, ValueError):
        about = json.loads(file.read_text())
        if isinstance(about, dict) and isinstance(about.get("brought"), dict) and rules.is_theirs(file.parent):
            return about
    raise CheckpointError(
        f"There is no brought model {model} on {dataset}. Bring it on the page “Your own”, or with: python -m imu_core own bring"
    )


def names(dataset: str) -> tuple[str, ...]:
    """The brought models on `dataset`, by name."""
    return tuple(model for where, model in everything() if spelling.normal(where) == spelling.normal(dataset))


def everything() -> list[tuple[str, str]]:
    """(dataset, model) of every brought model on this machine; on a page of a public app, of those that its visitor brought."""
    models = []
    for file in sorted((runtime.home() / "models").glob(f"*/{PREFIX}*/original.json")):
        with suppress(OSError, ValueError, KeyError, TypeError):
            about = json.loads(file.read_text())
            if about["model"] == file.parent.name and about["brought"] and rules.is_theirs(file.parent):
                models.append((str(about["dataset"]), str(about["model"])))
    return models


def remove(dataset: str, model: str) -> None:
    """Delete a brought model with everything that was trained in its name; CheckpointError where there is none."""
    card(dataset, model)
    shutil.rmtree(_place(dataset, model))
