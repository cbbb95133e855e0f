"""Samples into a network and logits out of it: as every room does it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from imu_core import runtime
from imu_core.records.data import ImageSet

_NUMBERS = 100_000  # of vectors that go through a model at once

runtime.limit_threads()  # whoever computes in this thread without a Task


def chunk_of(images: Tensor) -> int:
    """How many of `images` (n, channels, h, w) go through a model at once: larger chunks leave the caches and are slower.

    Of vectors (n, d) many more do.
    """
    if images.ndim == 2:
        return max(1, _NUMBERS // max(1, images.shape[1]))
    return max(25, min(50, 2_500_000 // max(1, images[0].numel()))) if len(images) else 1


def to_input(images: Tensor) -> Tensor:
    """The models' input, float32: uint8 images in [0, 1], float vectors as they are."""
    return images.float() / 255 if images.dtype == torch.uint8 else images


@torch.no_grad()
def predict(model: nn.Module, images: ImageSet, chunk: int | None = None) -> Tensor:
    """Logits (N, C) of `model` in eval mode, in float32, `chunk` images at a time (`chunk_of` by default)."""
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    parts = [model(to_input(part.to(device))).cpu() for part in images.images.split(chunk or chunk_of(images.images))]
    model.train(was_training)
    return torch.cat(parts)


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """Share of samples whose largest logit is their label's, 0 to 1; nan for an empty set."""
    return float((logits.argmax(1) == labels).double().mean())


Logits = tuple[Tensor, Tensor]  # of the training set (N, C) and of the test set (n, C)
