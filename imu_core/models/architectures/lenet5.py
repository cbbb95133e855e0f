"""LeNet-5 (LeCun et al. 1998) with ReLU and max pooling; d = 84, no batch norm."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from imu_core.models.architectures.layers import Normalise


class LeNet5(nn.Module):
    """Two convolutions, two hidden layers, linear head; about 62,000 parameters on 28 x 28 images."""

    def __init__(self, classes: int, shape: Sequence[int], mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        channels, height, width = shape
        self.normalise = Normalise(mean, std)
        self.conv1 = nn.Sequential(nn.Conv2d(channels, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2))
        self.conv2 = nn.Sequential(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2))
        flat = 16 * ((height // 2 - 4) // 2) * ((width // 2 - 4) // 2)
        self.hidden1 = nn.Sequential(nn.Flatten(), nn.Linear(flat, 120), nn.ReLU())
        self.hidden2 = nn.Sequential(nn.Linear(120, 84), nn.ReLU())
        self.head = nn.Linear(84, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Images (n, channels, h, w) in [0, 1] to logits (n, classes)."""
        return self.head(self.hidden2(self.hidden1(self.conv2(self.conv1(self.normalise(x))))))
