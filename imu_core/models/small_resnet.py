"""A residual network of about 80,000 parameters, d = 64: small enough for two cores, deep enough to have blocks."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from imu_core.models.layers import Normalise

WIDTHS = (16, 32, 64)


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
    """Stem, three residual blocks of widths 16, 32 and 64, global average pooling, linear head."""

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
