"""Models that somebody brought: the architecture behind a name such as `own-stranger`, read from the card beside its tensors.

An architecture is a name from this registry, `torchvision:NAME`, or `timm:NAME` where the extra `[models]` is installed. Those
from outside are given the normalisation as a first step, so that every network here takes images in [0, 1].
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import nn

from imu_core import names as spelling
from imu_core import runtime
from imu_core.access import rules
from imu_core.errors import CheckpointError, ConfigError
from imu_core.models.layers import Normalise
from imu_core.models.pickled import shown
from imu_core.records.shapes import Card

PREFIX = "own-"
TORCHVISION, TIMM = "torchvision:", "timm:"
MOST_PARAMETERS = 250_000_000
_OUTSIDE = re.compile(r"[A-Za-z0-9_.]{1,80}")  # no colon or slash: timm would download what such a name points to


def is_brought(model: str) -> bool:
    """Whether `model` is the name of a model that somebody brought."""
    return model.startswith(PREFIX)


def _place(dataset: str, model: str) -> Path:
    if not re.fullmatch(r"own-[A-Za-z0-9_-]{1,40}", model):
        raise ConfigError(f"{model[:50]!r} is no name of a brought model; those look like {PREFIX}NAME.")
    return runtime.home() / "models" / runtime.place(spelling.normal(dataset)) / model


def path(dataset: str, model: str) -> Path:
    """Where the tensors of the brought `model` on `dataset` lie, or would."""
    return _place(dataset, model) / "original.safetensors"


def card(dataset: str, model: str) -> Card:
    """The card of a brought model; CheckpointError where it is not here, damaged, or another visitor's (see `access`)."""
    file = path(dataset, model).with_suffix(".json")
    with suppress(OSError, ValueError):
        found = json.loads(file.read_text())
        if isinstance(found, dict) and isinstance(found.get("brought"), dict) and rules.is_theirs(file.parent):
            return found
    raise CheckpointError(
        f"There is no brought model {model} on {dataset}. Bring it on the page “Your own”, or with: python -m imu_core own bring"
    )


def names(dataset: str) -> tuple[str, ...]:
    """The brought models on `dataset`, by name."""
    return tuple(model for where, model in everything() if spelling.normal(where) == spelling.normal(dataset))


def everything() -> list[tuple[str, str]]:
    """(dataset, model) of every brought model on this machine; for a page of a public app of those that its visitor brought."""
    found = []
    for file in sorted((runtime.home() / "models").glob(f"*/{PREFIX}*/original.json")):
        with suppress(OSError, ValueError, KeyError, TypeError):
            about = json.loads(file.read_text())
            if about["model"] == file.parent.name and about["brought"] and rules.is_theirs(file.parent):
                found.append((str(about["dataset"]), str(about["model"])))
    return found


def remove(dataset: str, model: str) -> None:
    """Delete a brought model with everything that was trained in its name; CheckpointError where there is none."""
    card(dataset, model)
    shutil.rmtree(_place(dataset, model))


def outside(architecture: str, classes: int, channels: int) -> nn.Module:
    """A freshly initialised `torchvision:NAME` or `timm:NAME`; a ConfigError says why there is none."""
    library, _, name = architecture.partition(":")
    if not _OUTSIDE.fullmatch(name):
        raise ConfigError(f"{architecture[:80]!r} is no architecture: write {TORCHVISION}NAME or {TIMM}NAME.")
    return (_torchvision if library == "torchvision" else _timm)(name, classes, channels)


def listed() -> tuple[str, ...]:
    """Every architecture of torchvision's for classification, with its prefix."""
    runtime.import_torchvision()
    from torchvision import models

    return tuple(f"{TORCHVISION}{name}" for name in models.list_models(module=models))


def _torchvision(name: str, classes: int, channels: int) -> nn.Module:
    if f"{TORCHVISION}{name}" not in listed():
        raise ConfigError(f"torchvision has no classifier called {name!r}. It has, among others: resnet18, vgg16_bn, vit_b_16.")
    if channels != 3:
        raise ConfigError(
            f"torchvision's {name} takes images in colour; these have {channels} channel. Read them without 'grey'."
        )
    from torchvision import models

    published = next(iter(models.get_model_weights(name)), None)
    return _made(
        name,
        lambda: models.get_model(name, weights=None, num_classes=classes),
        published.meta["num_params"] if published else 0,
    )


def _timm(name: str, classes: int, channels: int) -> nn.Module:
    runtime.import_torchvision()  # timm imports it unguarded
    try:
        import timm
    except ImportError as error:
        raise ConfigError(
            f"{TIMM}{name} needs the package timm, which is not installed. Install it with: pip install 'imu-core[models]'"
        ) from error
    if not timm.is_model(name):
        raise ConfigError(
            f"timm has no architecture called {name!r}. Its list: python -c 'import timm; print(timm.list_models())'"
        )
    try:
        return _made(name, lambda: timm.create_model(name, pretrained=False, num_classes=classes, in_chans=channels))
    except ConfigError:
        raise
    except Exception as error:  # networks of other people fail in their own ways, and a tag behind the name may not exist
        raise ConfigError(
            f"timm cannot make {name!r} for {classes:,} classes and {channels} channels ({shown(error, 120)}). Take a name of "
            "its list, without a tag behind a dot: python -c 'import timm; print(timm.list_models())'"
        ) from error


def _made(name: str, make: Callable[[], nn.Module], published: int = 0) -> nn.Module:
    """What `make` builds; ConfigError where that has too many parameters, if possible before memory is taken for them.

    `published` is how many its makers say it has, 0 where they do not: for networks that cannot be counted without being built.
    """
    try:
        with torch.device("meta"):  # costs no memory
            count = _count(make())
    except Exception:  # some look at values while they initialise themselves, and there are none on that device
        count = published
    _check_size(name, count)
    model = make()
    _check_size(name, _count(model))
    return model


def _count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _check_size(name: str, count: int) -> None:
    if count > MOST_PARAMETERS:
        raise ConfigError(
            f"{name} has {count / 1e6:,.0f} million parameters; at most {MOST_PARAMETERS / 1e6:,.0f} million fit here."
        )


def completed(model: nn.Module, mean: Sequence[float], std: Sequence[float], head: str) -> nn.Module:
    """`model` with its normalisation, its head by name, and a bias of zeros in a head that has none; changed in place."""
    if not hasattr(model, "normalise"):
        model.normalise = Normalise(mean, std)
        model.register_forward_pre_hook(_normalised)
    if head:
        _checked_head(model, head)
        model.head_layer = head
        _with_bias(model.get_submodule(head))
    return model


def _normalised(model: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return (model.normalise(inputs[0]), *inputs[1:])


def linear_layers(model: nn.Module) -> dict[str, nn.Linear]:
    """Dotted name → layer of everything in `model` that could be a head: `nn.Linear`, not the model itself."""
    return {name: module for name, module in model.named_modules() if name and isinstance(module, nn.Linear)}


def _checked_head(model: nn.Module, head: str) -> None:
    known = linear_layers(model)
    if head not in known:
        raise ConfigError(f"{head[:60]!r} is no linear layer of this network. Its linear layers: {', '.join(known) or 'none'}.")


def _with_bias(head: nn.Linear) -> None:
    """The engine moves weights and bias; zeros change no logit."""
    if head.bias is None:
        head.bias = nn.Parameter(torch.zeros(head.out_features))
