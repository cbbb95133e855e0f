"""Networks for float vectors, such as points of the plane or rows of a table: logistic regression and a small perceptron."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from imu_core.models.architectures.layers import Normalise

WIDTH = 32  # of both hidden layers


class Logistic(nn.Module):
    """Softmax regression (logistic regression with two classes): the head alone, on standardised coordinates; d features in.

    With weight decay its loss has one minimum, so a model trained without some samples has one right answer.
    """

    def __init__(self, classes: int, shape: Sequence[int], mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.normalise = Normalise(mean, std, beyond=0)
        self.head = nn.Linear(shape[0], classes)

    def forward(self, x: Tensor) -> Tensor:
        """Vectors (n, d) to logits (n, classes)."""
        return self.head(self.normalise(x))


class Perceptron(nn.Module):
    """Two hidden layers of 32 units with tanh, and a linear head: some 1,200 parameters on points of the plane."""

    def __init__(self, classes: int, shape: Sequence[int], mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.normalise = Normalise(mean, std, beyond=0)
        self.hidden1 = nn.Sequential(nn.Linear(shape[0], WIDTH), nn.Tanh())
        self.hidden2 = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Tanh())
        self.head = nn.Linear(WIDTH, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Vectors (n, d) to logits (n, classes)."""
        return self.head(self.hidden2(self.hidden1(self.normalise(x))))
