"""What is stored beside an original model, because later methods may only see statistics of the training set."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from imu_core.models.head import split_head
from imu_core.models.inference import to_input
from imu_core.records.data import ImageSet

IMPORTANCE_BATCH = 256


@torch.no_grad()
def class_statistics(model: nn.Module, images: ImageSet) -> dict[str, Tensor]:
    """`feature_statistics` of the features that go into the head of `model`."""
    backbone, head = split_head(model)
    backbone.eval()
    Z = torch.cat([backbone(to_input(part)) for part in images.images.split(100)])
    return feature_statistics(Z, images.labels, head.out_features)


def feature_statistics(Z: Tensor, labels: Tensor, classes: int) -> dict[str, Tensor]:
    """Statistics of the features `Z` (n, d) of each class, for SCAR.

    `count` (C,) int64, `mean` (C, d) and unbiased `covariance` (C, d, d), both float32.
    """
    groups = [Z[labels == c].double() for c in range(classes)]
    return {
        "count": torch.tensor([len(group) for group in groups]),
        "mean": torch.stack([group.mean(0) for group in groups]).float(),
        "covariance": torch.stack([torch.cov(group.T) for group in groups]).float(),
    }


def importances(
    model: nn.Module, images: ImageSet, batch_size: int = IMPORTANCE_BATCH, before_batch: Callable[[], object] = lambda: None
) -> dict[str, Tensor]:
    """`batch_importances` of `model` over the images in order, without augmentation. `before_batch` may raise to end it."""

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        for pixels, labels in zip(images.images.split(batch_size), images.labels.split(batch_size), strict=True):
            before_batch()
            yield to_input(pixels), labels

    return batch_importances(model, batches(), batch_size)


def batch_importances(
    module: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], batch_size: int, prefix: str = ""
) -> dict[str, Tensor]:
    """Parameter importances as SSD and LFSSD define them, by `fisher.NAME` and `absolute.NAME`; eval mode.

    fisher    mean over batches of (gradient of the batch-mean cross-entropy)², arXiv 2308.07707: its scale depends on the
              batch size, so the same size (`batch_size`, stored too) must be used for the forget set
    absolute  mean over batches of |gradient of the batch-mean squared logit norm|, arXiv 2402.19308

    `prefix` stands before the names: that of the head inside its network, where `module` is the head over features.
    """
    module = copy.deepcopy(module).eval().requires_grad_(True)
    named = {prefix + name: p for name, p in module.named_parameters()}
    totals = {f"{kind}.{name}": torch.zeros_like(p) for kind in ("fisher", "absolute") for name, p in named.items()}
    count = 0
    for inputs, labels in batches:
        logits = module(inputs)
        cross = torch.autograd.grad(F.cross_entropy(logits, labels), named.values(), retain_graph=True)
        norm = torch.autograd.grad(logits.square().sum(1).mean(), named.values())
        for name, g, h in zip(named, cross, norm, strict=True):
            totals[f"fisher.{name}"] += g.square()
            totals[f"absolute.{name}"] += h.abs()
        count += 1
    return {name: total / count for name, total in totals.items()} | {"batch_size": torch.tensor(batch_size)}


COMPANIONS = {"statistics": class_statistics, "importances": importances}
LARGEST_WITH_COMPANIONS = 1_000_000  # parameters; larger models compute theirs when they are first asked for
