"""Membership attacks: can one tell from the model's outputs that a sample was in its training set?"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from imu_core.errors import DataError

ORIENTATION = "fraction of the forget set judged NON-member: 1 = the attack takes every forgotten sample for never seen"


def svc_confidence(member: Any, nonmember: Any, forget: Any) -> float:
    """The fraction of `forget` that the attack judges NON-member: higher looks more forgotten, the aim is the retrained model's.

    An SVC learns to tell members from non-members by the probability of the true class, and is then asked about the forget
    samples. Members come from the retain set, non-members from the test set, in equal numbers if the figure is to be read
    as in the literature; all outputs are those of the model under attack itself.

    Args: three 1-d arrays of probabilities in [0, 1]; they are cast to float32, as ties near 1 decide.
    Raises: DataError for anything else. Cost: O(n²) in members + non-members; 9,000 take about a second.
    Source: SVC_MIA of OPTML-Group/Unlearn-Sparse ("MIA" in SalUn and IMU): SVC(C=3, gamma="auto", kernel="rbf").
    """
    from sklearn.svm import SVC

    sets = [_probabilities(name, values) for name, values in (("member", member), ("nonmember", nonmember), ("forget", forget))]
    x = np.concatenate(sets[:2])[:, None]
    y = np.concatenate([np.ones(len(sets[0])), np.zeros(len(sets[1]))])
    attack = SVC(C=3, gamma="auto", kernel="rbf").fit(x, y)
    return float(1.0 - attack.predict(sets[2][:, None]).mean())


def _probabilities(name: str, values: Any) -> np.ndarray:
    array = np.asarray(torch.as_tensor(values).detach(), dtype=np.float32)
    if array.ndim != 1 or not len(array):
        raise DataError(f"{name} has shape {array.shape}; expected a 1-d array with at least one probability.")
    if not (np.isfinite(array).all() and array.min() >= 0.0 and array.max() <= 1.0 + 1e-6):
        raise DataError(f"{name} holds values outside 0 to 1; expected probabilities of the true class.")
    return array
