"""The architectures, by name. Each takes images in [0, 1], normalises them itself and ends in one linear head."""

from __future__ import annotations

import threading
from collections.abc import Callable

import torch
from torch import nn

from imu_core.errors import ConfigError
from imu_core.models.airbench import Airbench
from imu_core.models.lenet5 import LeNet5
from imu_core.models.reid_resnet import reid_resnet18, reid_resnet50
from imu_core.models.resnet18 import resnet18
from imu_core.models.resnet20 import ResNet20
from imu_core.models.small_resnet import SmallResNet
from imu_core.models.vgg19 import VGG19
from imu_core.records import Dataset

_ONE_AT_A_TIME = threading.Lock()  # layers initialise themselves from torch's global generator

MODELS: dict[str, Callable[..., nn.Module]] = {
    "small_resnet": SmallResNet,
    "small_resnet_gr": SmallResNet,  # trained with the gradient regularisation of IAU
    "lenet5": LeNet5,
    "reid_resnet18": reid_resnet18,
    "reid_resnet50": reid_resnet50,
    "airbench": Airbench,
    "resnet20": ResNet20,
    "resnet18": resnet18,
    "vgg19": VGG19,
}
FOR_PEOPLE = ("reid_resnet18", "reid_resnet50", "small_resnet")
FOR_CLASSES = ("small_resnet", "lenet5", "small_resnet_gr")
FOR_COLOUR = ("airbench", "resnet20", "resnet18", "vgg19", "small_resnet", "lenet5")  # CIFAR: 32 x 32 in colour


def suited(dataset: str) -> tuple[str, ...]:
    """The architectures to offer for the classes of `dataset`, the usual one first."""
    return FOR_COLOUR if dataset.startswith("cifar") else FOR_CLASSES


def build(name: str, dataset: Dataset, seed: int = 0) -> nn.Module:
    """A freshly initialised model `name` for `dataset`; the same seed gives the same bits."""
    if name not in MODELS:
        raise ConfigError(f"There is no model called {name!r}. Known models: {', '.join(MODELS)}.")
    with _ONE_AT_A_TIME, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MODELS[name](len(dataset.class_names), dataset.train.images.shape[1:], dataset.mean, dataset.std)
