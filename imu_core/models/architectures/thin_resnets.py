"""Residual networks of widths 16, 32 and 64 for small images, d = 64: SmallResNet and ResNet-20."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from imu_core.models.architectures.layers import Normalise

WIDTHS = (16, 32, 64)
BLOCKS = 3  # in each row of ResNet-20


class Block(nn.Module):
    """Two 3 x 3 convolutions with batch norm around a shortcut (He et al. 2016, basic block)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, h, w) to (n, outputs, h / stride, w / stride)."""
        out = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(out)) + self.shortcut(x))


class SmallResNet(nn.Module):
    """Stem, three residual blocks of widths 16, 32 and 64, global average pooling, linear head; about 80,000 parameters.

    Small enough for two cores, and deep enough to have blocks.
    """

    def __init__(self, classes: int, shape: Sequence[int], mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.normalise = Normalise(mean, std)
        self.stem = nn.Sequential(nn.Conv2d(shape[0], WIDTHS[0], 3, 1, 1, bias=False), nn.BatchNorm2d(WIDTHS[0]), nn.ReLU())
        pairs = zip((WIDTHS[0], *WIDTHS), WIDTHS, (1, 2, 2), strict=False)
        self.blocks = nn.ModuleList(Block(inputs, outputs, stride) for inputs, outputs, stride in pairs)
        self.head = nn.Linear(WIDTHS[-1], classes)

    def forward(self, x: Tensor) -> Tensor:
        """Images (n, channels, h, w) in [0, 1] to logits (n, classes)."""
        x = self.stem(self.normalise(x))
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean((2, 3)))


class Padded(nn.Module):
    """The paper's shortcut without parameters (option A): every second pixel, and channels of zeros behind the old ones.

    The paper does not say where the zeros go; with `both`, half of them come before the old channels.
    """

    def __init__(self, outputs: int, both: bool = False) -> None:
        super().__init__()
        self.outputs, self.both = outputs, both

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, h, w) to (n, outputs, h / 2, w / 2)."""
        zeros = self.outputs - x.shape[1]
        before = zeros // 2 if self.both else 0
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, before, zeros - before))


class ResNet20(nn.Module):
    """ResNet-20 (He et al. 2016, arXiv 1512.03385, section 4.2) for 32 x 32 images, 0.27 million parameters.

    Stem, three rows of three residual blocks with widths 16, 32 and 64, global average pooling, linear head.
    """

    BOTH = False  # where the zeros of its shortcuts go

    def __init__(self, classes: int, shape: Sequence[int], mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.normalise = Normalise(mean, std)
        self.stem = nn.Sequential(nn.Conv2d(shape[0], WIDTHS[0], 3, 1, 1, bias=False), nn.BatchNorm2d(WIDTHS[0]), nn.ReLU())
        self.row1 = _row(WIDTHS[0], WIDTHS[0], self.BOTH)
        self.row2 = _row(WIDTHS[0], WIDTHS[1], self.BOTH)
        self.row3 = _row(WIDTHS[1], WIDTHS[2], self.BOTH)
        self.head = nn.Linear(WIDTHS[2], classes)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight)
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tensor:
        """Images (n, channels, h, w) in [0, 1] to logits (n, classes)."""
        x = self.row3(self.row2(self.row1(self.stem(self.normalise(x)))))
        return self.head(x.mean((2, 3)))


class ResNet20Even(ResNet20):
    """The same with the shortcuts' zeros on both sides of the old channels, as most public ResNet-20 checkpoints have them."""

    BOTH = True


def _row(inputs: int, outputs: int, both: bool) -> nn.Sequential:
    first = Block(inputs, outputs, 1 if inputs == outputs else 2)
    if inputs != outputs:
        first.shortcut = Padded(outputs, both)
    return nn.Sequential(first, *(Block(outputs, outputs, 1) for _ in range(BLOCKS - 1)))
