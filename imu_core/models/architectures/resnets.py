"""Residual networks of torchvision's blocks, for re-identification and for small images: a trunk, average pooling, a linear head.

What re-identification compares is the pooled feature below the head; the head only serves the training (Zheng et al. 2016,
arXiv 1610.02984: the identity-discriminative embedding).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from imu_core import runtime
from imu_core.models.architectures.layers import Normalise

WIDTHS = (64, 128, 256, 512)  # of ResNet-18
HALF = (32, 64, 128, 256)


class ReidResNet(nn.Module):
    """Normalise, enlarge if asked, stem, four rows of blocks, global average pooling, linear head."""

    def __init__(
        self, stem: nn.Sequential, rows: Sequence[nn.Sequential], features: int, classes: int, normalise: Normalise, size: int = 0
    ) -> None:
        super().__init__()
        self.normalise, self._height = normalise, size
        self.stem = stem
        self.layer1, self.layer2, self.layer3, self.layer4 = rows
        self.head = nn.Linear(features, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Images (n, 1 or 3, h, w) in [0, 1] to logits (n, identities)."""
        x = self.normalise(x).expand(-1, 3, -1, -1)
        if self._height and x.shape[2] != self._height:
            size = (self._height, round(self._height * x.shape[3] / x.shape[2]))
            x = F.interpolate(x, size, mode="bilinear", align_corners=False)
        for row in (self.stem, self.layer1, self.layer2, self.layer3, self.layer4):
            x = row(x)
        return self.head(x.mean((2, 3)))


def reid_resnet18(classes: int, shape: Sequence[int], mean: Sequence[float], std: Sequence[float]) -> nn.Module:
    """ResNet-18 at half width, 2.8 million parameters, d = 256.

    The last row keeps its stride at 1, as re-identification networks do (Luo et al. 2019, arXiv 1903.07071): the map below the
    pooling is 8 x 4 for images of 128 x 64.
    """
    stem = nn.Sequential(nn.Conv2d(3, HALF[0], 7, 2, 3, bias=False), nn.BatchNorm2d(HALF[0]), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
    widths = zip((HALF[0], *HALF), HALF, (1, 2, 2, 1), strict=False)
    return ReidResNet(stem, [row(*width) for width in widths], HALF[-1], classes, Normalise(mean, std))


def row(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    """Two of torchvision's basic blocks; the shortcut has a convolution where the shape changes."""
    runtime.import_torchvision()
    from torchvision.models.resnet import BasicBlock

    shortcut = None
    if stride != 1 or inputs != outputs:
        shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
    return nn.Sequential(BasicBlock(inputs, outputs, stride, shortcut), BasicBlock(outputs, outputs))


def reid_resnet50(classes: int, shape: Sequence[int], mean: Sequence[float], std: Sequence[float]) -> nn.Module:
    """torchvision's ResNet-50 on images enlarged to 256 pixels in height (256 x 128 for people), d = 2,048: the paper's network.

    It starts from random weights here; the paper's started from ImageNet's.
    """
    runtime.import_torchvision()
    from torchvision.models import resnet50

    trunk = resnet50(weights=None)
    stem = nn.Sequential(trunk.conv1, trunk.bn1, trunk.relu, trunk.maxpool)
    rows = [trunk.layer1, trunk.layer2, trunk.layer3, trunk.layer4]
    return ReidResNet(stem, rows, trunk.fc.in_features, classes, Normalise(mean, std), size=256)


def resnet18(classes: int, shape: Sequence[int], mean: Sequence[float], std: Sequence[float]) -> nn.Module:
    """ResNet-18 for 32 x 32 images, the network of most unlearning papers: 11.2 million parameters, d = 512.

    torchvision's blocks behind a stem for small images: one 3 x 3 convolution with stride 1 and no pooling. With ImageNet's
    own stem the map would be 1 x 1 before the last row.
    """
    stem = nn.Sequential(nn.Conv2d(3, WIDTHS[0], 3, 1, 1, bias=False), nn.BatchNorm2d(WIDTHS[0]), nn.ReLU())
    widths = zip((WIDTHS[0], *WIDTHS), WIDTHS, (1, 2, 2, 2), strict=False)
    model = ReidResNet(stem, [row(*width) for width in widths], WIDTHS[-1], classes, Normalise(mean, std))
    return model.to(memory_format=torch.channels_last)
