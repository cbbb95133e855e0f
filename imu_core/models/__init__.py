"""The architectures, by name. Each takes images in [0, 1], or vectors, normalises them itself and ends in one linear head."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import torch
from torch import nn

from imu_core.errors import ConfigError
from imu_core.models import outside
from imu_core.models.architectures.airbench import Airbench
from imu_core.models.architectures.lenet5 import LeNet5
from imu_core.models.architectures.resnets import reid_resnet18, reid_resnet50, resnet18
from imu_core.models.architectures.thin_resnets import ResNet20, ResNet20Even, SmallResNet
from imu_core.models.architectures.vectors import Logistic, Perceptron
from imu_core.models.architectures.vgg19 import VGG19
from imu_core.records.data import FOR_VECTORS

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
    "mlp": Perceptron,
    "logistic": Logistic,
}
TITLES = {
    "small_resnet": "A small ResNet",
    "small_resnet_gr": "A small ResNet, trained for IAU",
    "lenet5": "LeNet-5, of 1998",
    "reid_resnet18": "A narrow ResNet-18 that tells people apart",
    "reid_resnet50": "A ResNet-50 that tells people apart",
    "airbench": "A quick convolutional network",
    "resnet20": "ResNet-20",
    "resnet20_even": "ResNet-20, as public checkpoints have it",
    "resnet18": "ResNet-18",
    "vgg19": "VGG-19",
    "mlp": "A small network of two hidden layers",
    "logistic": "Logistic regression",
}
FOR_PEOPLE = ("reid_resnet18", "reid_resnet50", "small_resnet")
FOR_CLASSES = ("small_resnet", "lenet5", "small_resnet_gr")
FOR_COLOUR = ("airbench", "resnet20", "resnet18", "vgg19", "small_resnet", "lenet5")  # CIFAR: 32 x 32 in colour


def known(name: str) -> bool:
    """Whether `name` can be a model: an architecture of the registry, or one that somebody brought."""
    return name in MODELS or outside.is_brought(name)


def title(name: str) -> str:
    """What a person calls the model `name`; the name itself where somebody brought it."""
    return TITLES.get(name, name)


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
    """A freshly initialised `architecture` (registry, torchvision:NAME, timm:NAME).

    `shape` is that of a sample: (channels, h, w), or (d,) for vectors.

    `head` names the linear layer that is the classifier; by default the last one that is defined. ConfigError for wrong names.
    """
    takes_vectors = architecture in FOR_VECTORS
    if takes_vectors != (len(shape) == 1):
        raise ConfigError(
            f"{architecture[:80]} takes {'vectors' if takes_vectors else 'images'}, and this data set holds "
            f"{'images' if takes_vectors else 'vectors'}. "
            f"Points and tables take {' or '.join(FOR_VECTORS)}; images take the others."
        )
    is_outside = architecture.startswith((outside.TORCHVISION, outside.TIMM))
    if not is_outside and architecture not in MODELS:
        raise ConfigError(
            f"There is no model called {architecture[:80]!r}. Known models: {', '.join(MODELS)}; "
            f"for checkpoints of your own also {outside.TORCHVISION}NAME and {outside.TIMM}NAME."
        )
    with _ONE_AT_A_TIME, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = (
            outside.outside(architecture, classes, shape[0]) if is_outside else MODELS[architecture](classes, shape, mean, std)
        )
        network.architecture = architecture
        return outside.completed(network, mean, std, head)
