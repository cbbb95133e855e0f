"""The layer every model here begins with."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Normalise(nn.Module):
    """(x − mean) / std for each channel, or each column of vectors.

    It is inside the model, so that a checkpoint is complete without its dataset.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float], beyond: int = 2) -> None:
        super().__init__()
        shape = (1, -1, *(1,) * beyond)  # height and width lie beyond the channels of an image, nothing beyond those of a vector
        self.register_buffer("mean", torch.tensor(mean).view(shape))
        self.register_buffer("std", torch.tensor(std).view(shape))

    def forward(self, x: Tensor) -> Tensor:
        """Images (n, channels, h, w) in [0, 1], or vectors (n, d), to normalised ones of the same shape."""
        return (x - self.mean) / self.std
