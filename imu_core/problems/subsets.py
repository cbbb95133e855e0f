"""Draws and selections of samples: evenly spread over a set, and the test samples that are like the forget set."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from imu_core.records.run import Problem


def same_kind(problem: Problem) -> Tensor:
    """Indices of the test samples that are like the forget set: of its classes where whole classes go, else of all still kept."""
    split, labels = problem.split, problem.test.labels
    if split.classes:
        return torch.isin(labels, torch.tensor(split.classes)).nonzero()[:, 0]
    return (~torch.isin(labels, torch.tensor(split.earlier_classes, dtype=torch.int64))).nonzero()[:, 0]


def spread(index: Tensor, most: int) -> Tensor:
    """At most `most` entries of `index` (n,), evenly spaced, in order: the same ones for every model."""
    if len(index) <= most:
        return index
    return index[torch.from_numpy(np.linspace(0, len(index) - 1, most).astype(np.int64))]
