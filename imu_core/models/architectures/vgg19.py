"""VGG-19 with batch norm (Simonyan and Zisserman 2015, arXiv 1409.1556, configuration E) for small images: d = 512."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from imu_core.models.architectures.layers import Normalise

ROWS = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))  # width, convolutions


class VGG19(nn.Module):
    """Sixteen convolutions in five rows, each row halved by pooling, and one linear head: 20 million parameters.

    The two hidden layers of 4,096 that ImageNet's VGG has before its head are left out, as everybody does on CIFAR.
    """

    def __init__(self, classes: int, shape: Sequence[int], mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.normalise = Normalise(mean, std)
        widths = [shape[0], *(width for width, count in ROWS for _ in range(count))]
        self.layers = nn.ModuleList(map(_layer, widths, widths[1:]))
        self.pool = nn.MaxPool2d(2, ceil_mode=True)  # ceil: so that 28 x 28 images have a pixel left as well
        self._pool_after = {sum(count for _, count in ROWS[: row + 1]) for row in range(len(ROWS))}
        self.head = nn.Linear(widths[-1], classes)
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tensor:
        """Images (n, channels, h, w) in [0, 1] to logits (n, classes)."""
        x = self.normalise(x)
        for number, layer in enumerate(self.layers, 1):
            x = layer(x)
            if number in self._pool_after:
                x = self.pool(x)
        return self.head(x.mean((2, 3)))


def _layer(inputs: int, outputs: int) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU())
