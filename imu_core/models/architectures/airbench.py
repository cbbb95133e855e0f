"""A network of the airbench family (Jordan 2024, arXiv 2404.00498): the most accuracy a minute of training on small images.

From that paper: a first layer fixed to whiten 2 x 2 patches, convolutions that start as identities, batch norm without a factor
whose offset learns fast, and small logits at the start. The last two groups are narrower here (192 instead of 256 channels) and
SiLU stands for GELU: on two cores that is a third less time a step.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from imu_core.models.architectures.layers import Normalise

WIDTHS = (64, 192, 192)
_PATCH = 2  # side of the patches that the first layer whitens
_FLOOR = 5e-4  # added to a direction's variance, so that those without any do not explode
_LOGIT_SCALE = 1 / 9
_OFFSET_RATE = 64.0


class Whitening(nn.Module):
    """Patches of 2 x 2 pixels turned so that their directions are uncorrelated and equally large, with both signs of each.

    The weights are computed, not learned (`fit`), so they are no parameter: unlearning leaves them alone.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.outputs = 2 * channels * _PATCH**2
        self.register_buffer("weight", torch.randn(self.outputs, channels, _PATCH, _PATCH) / self.outputs**0.5)
        self.bias = nn.Parameter(torch.zeros(self.outputs))

    @torch.no_grad()
    def fit(self, x: Tensor) -> None:
        """Take the directions and their variances from the patches of `x` (n, channels, h, w)."""
        patches = F.unfold(x, _PATCH).transpose(1, 2).flatten(0, 1).double()
        variances, directions = torch.linalg.eigh(patches.T @ patches / len(patches))
        rows = (directions / (variances + _FLOOR).sqrt()).T.reshape(-1, *self.weight.shape[1:])
        self.weight.copy_(torch.cat([rows, -rows]))

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, h, w) to (n, outputs, h - 1, w - 1)."""
        return F.conv2d(x, self.weight, self.bias)


class Offset(nn.BatchNorm2d):
    """Batch norm that learns an offset but no factor."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, momentum=0.2)
        self.weight = None


class Group(nn.Module):
    """Convolution, pooling, batch norm, SiLU; convolution, batch norm, SiLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = _identity(inputs, outputs), Offset(outputs)
        self.conv2, self.norm2 = _identity(outputs, outputs), Offset(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, h, w) to (n, outputs, h / 2, w / 2)."""
        x = F.silu(self.norm1(F.max_pool2d(self.conv1(x), 2)))
        return F.silu(self.norm2(self.conv2(x)))


def _identity(inputs: int, outputs: int) -> nn.Conv2d:
    """A convolution whose first outputs start as copies of its inputs."""
    conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    nn.init.dirac_(conv.weight.data[:inputs])
    return conv


class Airbench(nn.Module):
    """Whitening, three groups of two convolutions, global max pooling, linear head: 1.2 million parameters, d = 192."""

    RATES = {"norm1.bias": _OFFSET_RATE, "norm2.bias": _OFFSET_RATE, "head": _LOGIT_SCALE**2}  # noqa: RUF012

    def __init__(self, classes: int, shape: Sequence[int], mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.normalise = Normalise(mean, std)
        self.stem = Whitening(shape[0])
        self.groups = nn.ModuleList(map(Group, (self.stem.outputs, *WIDTHS), WIDTHS))
        self.head = nn.Linear(WIDTHS[-1], classes)
        with torch.no_grad():  # the head itself is small, so that its outputs are the logits
            self.head.weight.mul_(_LOGIT_SCALE)
            self.head.bias.zero_()
        self.to(memory_format=torch.channels_last)

    def prepare(self, images: Tensor) -> None:
        """Fit the whitening to `images` (n, channels, h, w) in [0, 1], before the first step of a training that may see them."""
        self.stem.fit(self.normalise(images))

    def forward(self, x: Tensor) -> Tensor:
        """Images (n, channels, h, w) in [0, 1] to logits (n, classes)."""
        x = F.silu(self.stem(self.normalise(x)))
        for group in self.groups:
            x = group(x)
        return self.head(x.amax((2, 3)))
