"""Training that nobody has to wait for: models of points and of tables are trained when they are first needed."""

from __future__ import annotations

import threading

from torch import Tensor

from imu_core.errors import CheckpointError
from imu_core.models import checkpoints
from imu_core.records.data import Dataset
from imu_core.training.loop import Training

_ONE_AT_A_TIME = threading.Lock()  # two pages that need the same model wait for one training


def train_now(dataset: Dataset, model: str, removed: Tensor, request: str = "") -> checkpoints.Checkpoint:
    """Train `model` on `dataset` without the samples in `removed` and keep it; returns its checkpoint, or the one stored already.

    The same recipe is used for the original and for a model that never saw `removed`.
    CheckpointError where the training diverged.
    """
    with _ONE_AT_A_TIME:
        stored = checkpoints.find(dataset, model, removed)
        if stored is not None:
            return stored
        training = Training(dataset, model, removed, request=request)
        for _ in training:
            pass
        if training.outcome.state != "done":
            raise CheckpointError(f"{model} could not be trained on {dataset.title}: {training.outcome.reason}")
        return training.save()
