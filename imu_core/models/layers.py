"""The layer every model here begins with."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Normalise(nn.Module):
    """(x − mean) / std for each channel; inside the model, so that a checkpoint is complete without its dataset."""

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Images (n, channels, h, w) in [0, 1] to normalised images of the same shape."""
        return (x - self.mean) / self.std
