"""The architectures, by name. Each takes images in [0, 1], normalises them itself and ends in one linear head."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import torch
from torch import nn

from imu_core.errors import ConfigError
from imu_core.models import brought
from imu_core.models.airbench import Airbench
from imu_core.models.lenet5 import LeNet5
from imu_core.models.reid_resnet import reid_resnet18, reid_resnet50
from imu_core.models.resnet18 import resnet18
from imu_core.models.resnet20 import ResNet20, ResNet20Even
from imu_core.models.small_resnet import SmallResNet
from imu_core.models.vgg19 import VGG19
from imu_core.records.data import Dataset, Source

_ONE_AT_A_TIME = threading.Lock()  # layers initialise themselves from torch's global generator

MODELS: dict[str, Callable[..., nn.Module]] = {
    "small_resnet": SmallResNet,
    "small_resnet_gr": SmallResNet,  # trained with the gradient regularisation of IAU
    "lenet5": LeNet5,
    "reid_resnet18": reid_resnet18,
    "reid_resnet50": reid_resnet50,
    "airbench": Airbench,
    "resnet20": ResNet20,
    "resnet20_even": ResNet20Even,
    "resnet18": resnet18,
    "vgg19": VGG19,
}
FOR_PEOPLE = ("reid_resnet18", "reid_resnet50", "small_resnet")
FOR_CLASSES = ("small_resnet", "lenet5", "small_resnet_gr")
FOR_COLOUR = ("airbench", "resnet20", "resnet18", "vgg19", "small_resnet", "lenet5")  # CIFAR: 32 x 32 in colour


def suited(dataset: str, source: Source) -> tuple[str, ...]:
    """The models to offer for `dataset`, which `source` describes, the usual one first; what somebody brought is one of them."""
    if source.people:
        return source.models or FOR_PEOPLE
    usual, own = source.models or (FOR_COLOUR if source.channels == 3 else FOR_CLASSES), brought.names(dataset)
    return (*own, *usual) if source.brought else (*usual, *own)


def known(name: str) -> bool:
    """Whether `name` can be a model: an architecture of the registry, or one that somebody brought."""
    return name in MODELS or brought.is_brought(name)


def build(name: str, dataset: Dataset, seed: int = 0) -> nn.Module:
    """A freshly initialised model `name` for `dataset`; the same seed gives the same bits."""
    classes, shape = len(dataset.class_names), dataset.train.images.shape[1:]
    if brought.is_brought(name):
        about = brought.card(dataset.name, name)["brought"]
        return construct(about["architecture"], classes, shape, about["mean"], about["std"], head=about["head"], seed=seed)
    return construct(name, classes, shape, dataset.mean, dataset.std, seed=seed)


def construct(
    architecture: str,
    classes: int,
    shape: Sequence[int],
    mean: Sequence[float],
    std: Sequence[float],
    *,
    head: str = "",
    seed: int = 0,
) -> nn.Module:
    """A freshly initialised `architecture` (registry, torchvision:NAME, timm:NAME) for images of `shape` (channels, h, w).

    `head` names the linear layer that is the classifier; by default the last one that is defined. ConfigError for wrong names.
    """
    outside = architecture.startswith((brought.TORCHVISION, brought.TIMM))
    if not outside and architecture not in MODELS:
        raise ConfigError(
            f"There is no model called {architecture[:80]!r}. Known models: {', '.join(MODELS)}; "
            f"for checkpoints of your own also {brought.TORCHVISION}NAME and {brought.TIMM}NAME."
        )
    with _ONE_AT_A_TIME, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = brought.outside(architecture, classes, shape[0]) if outside else MODELS[architecture](classes, shape, mean, std)
        network.architecture = architecture
        return brought.completed(network, mean, std, head)
