"""ResNet-18 for 32 x 32 images, the network of most unlearning papers: 11.2 million parameters, d = 512."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from imu_core.models.layers import Normalise
from imu_core.models.reid_resnet import ReidResNet, row

WIDTHS = (64, 128, 256, 512)


def resnet18(classes: int, shape: Sequence[int], mean: Sequence[float], std: Sequence[float]) -> nn.Module:
    """torchvision's blocks behind a stem for small images: one 3 x 3 convolution with stride 1 and no pooling.

    With ImageNet's own stem the map would be 1 x 1 before the last row.
    """
    stem = nn.Sequential(nn.Conv2d(3, WIDTHS[0], 3, 1, 1, bias=False), nn.BatchNorm2d(WIDTHS[0]), nn.ReLU())
    widths = zip((WIDTHS[0], *WIDTHS), WIDTHS, (1, 2, 2, 2), strict=False)
    model = ReidResNet(stem, [row(*width) for width in widths], WIDTHS[-1], classes, Normalise(mean, std))
    return model.to(memory_format=torch.channels_last)
