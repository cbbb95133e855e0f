"""Networks from outside: `torchvision:NAME` and `timm:NAME`, given the normalisation and the head that the engine needs.

`own-NAME` is a model that somebody brought (see `brought`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from imu_core import runtime
from imu_core.errors import ConfigError, shown
from imu_core.models.architectures.layers import Normalise

PREFIX = "own-"
TORCHVISION, TIMM = "torchvision:", "timm:"
MOST_PARAMETERS = 250_000_000
_OUTSIDE = re.compile(r"[A-Za-z0-9_.]{1,80}")  # no colon or slash: timm would download what such a name points to


def is_brought(model: str) -> bool:
    """Whether `model` is the name of a model that somebody brought."""
    return model.startswith(PREFIX)


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
    """`model`, changed in place so that it normalises its images and knows its head by name, which has a bias.

    A head that had none gets a bias of zeros. ConfigError where `head` is no linear layer of the model.
    """
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
