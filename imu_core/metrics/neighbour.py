"""MIA-NN: do images of the forgotten class go to the class where a retrained model puts them?

A reimplementation from a secondary description: the paper (arXiv 2506.20893) names the test, its body and code were not at
hand. It is a test of distributions, not of the membership of single samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from imu_core.errors import DataError


class Neighbour(NamedTuple):
    """The nearest class, |t_n(model) − t_n(retrained)| for it, and the total variation ½ Σᵢ |tᵢ(model) − tᵢ(retrained)|."""

    nearest: int
    neighbour_gap: float
    neighbour_tv: float


def shares(logits: Any, labels: Any, gone: Sequence[int]) -> np.ndarray:
    """t (C,): the share of the forgotten classes' samples that linear SVMs on a model's own logits take for each class.

    One SVM a kept class (this class against the rest), trained on the logits of the test samples of kept classes, the columns
    of the classes `gone` left out and each column standardised; a sample counts for the class whose SVM is surest. Entries of
    classes that are gone, or without a test sample, are 0; t sums to 1.

    Args: logits (n, C) and labels (n,) of the whole test set; `gone`, the forgotten classes.
    Raises: DataError when shapes do not fit, or there is nothing to train on or to ask about.
    """
    from sklearn.svm import LinearSVC

    x, y = np.asarray(torch.as_tensor(logits).detach(), np.float64), np.asarray(torch.as_tensor(labels))
    if x.ndim != 2 or y.shape != x.shape[:1] or not np.isfinite(x).all():
        raise DataError(f"Logits of shape {x.shape} and labels {y.shape}; expected finite (n, C) and (n,).")
    is_gone = np.isin(y, list(gone))
    if not is_gone.any() or len(np.unique(y[~is_gone])) < 2:
        raise DataError("MIA-NN needs test samples of a forgotten class and of at least two kept ones.")
    columns = np.setdiff1d(np.arange(x.shape[1]), list(gone))
    others, forgotten = x[~is_gone][:, columns], x[is_gone][:, columns]
    centre, spread = others.mean(0), np.maximum(others.std(0), 1e-12)
    machines = LinearSVC(dual=False, tol=1e-3).fit((others - centre) / spread, y[~is_gone])
    predictions = machines.predict((forgotten - centre) / spread)
    return np.bincount(predictions, minlength=x.shape[1]) / len(predictions)


def nearest_class(retrained: Any, gone: Sequence[int]) -> int:
    """The kept class to which the `retrained` model gives most probability on forget samples, from its logits (n, C)."""
    mean = torch.as_tensor(retrained).detach().double().softmax(1).mean(0)
    mean[list(gone)] = -1.0
    return int(mean.argmax())


def compare(model: np.ndarray, retrained: np.ndarray, nearest: int) -> Neighbour:
    """Gap and total variation between the `shares` (C,) of a model and of the retrained one; both 0 to 1, 0 is equal."""
    if model.shape != retrained.shape or model.ndim != 1 or not 0 <= nearest < len(model):
        raise DataError(f"Shares {model.shape} and {retrained.shape}, class {nearest}; expected (C,) twice and a class.")
    differences = np.abs(model - retrained)
    return Neighbour(nearest, float(differences[nearest]), float(differences.sum() / 2))
