"""Membership attacks: can one tell from the model's outputs that a sample was in its training set?"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from imu_core import runtime
from imu_core.errors import DataError
from imu_core.metrics.thresholds import checked, entropy

ORIENTATION = "fraction of the forget set judged NON-member: 1 = the attack takes every forgotten sample for never seen"
SMALLEST = 5  # samples on each side below which the logistic attack says nothing
_BALANCE = 51  # stream of the generator


def svc_confidence(member: Any, nonmember: Any, forget: Any) -> float:
    """The fraction of `forget` that the attack judges NON-member: higher looks more forgotten, the aim is the retrained model's.

    An SVC learns to tell members from non-members by the probability of the true class, and is then asked about the forget
    samples. Members come from the retain set, non-members from the test set, in equal numbers if the figure is to be read
    as in the literature; all outputs are those of the model under attack itself.

    Args: three 1-d arrays of probabilities in [0, 1]; they are cast to float32, as ties near 1 decide.
    Raises: DataError for anything else. Cost: O(n²) in members + non-members; 9,000 take about a second.
    Source: SVC_MIA of OPTML-Group/Unlearn-Sparse ("MIA" in SalUn and IMU): SVC(C=3, gamma="auto", kernel="rbf").
    """
    sets = [_probabilities(name, values) for name, values in (("member", member), ("nonmember", nonmember), ("forget", forget))]
    member_x, nonmember_x, forget_x = (values[:, None] for values in sets)
    return float(1.0 - _attack(member_x, nonmember_x)(forget_x).mean())


def svc(
    member_logits: Any,
    member_labels: Any,
    nonmember_logits: Any,
    nonmember_labels: Any,
    forget_logits: Any,
    forget_labels: Any,
    *,
    feature: str = "confidence",
) -> float:
    """`svc_confidence` on another `feature` of the outputs: the fraction of the forget set judged NON-member.

    correctness       1 where the largest logit is the label's, else 0
    confidence        probability of the true class: equals `svc_confidence`
    entropy           −Σ p ln p, without looking at the label
    modified_entropy  `modified_entropy`; the published script computes it wrong, so its numbers cannot be compared
    probabilities     the whole vector (C,); by far the slowest

    Args: logits (n, C) and labels (n,) of each set. Raises: DataError when shapes do not fit or a feature is infinite.
    Cost: O(n²); half a second for 2,500 members and 2,500 non-members. Source: as `svc_confidence`.
    """
    if feature not in FEATURES:
        raise DataError(f"There is no feature {feature!r} to attack. Choose one of: {', '.join(FEATURES)}.")
    pairs = ((member_logits, member_labels), (nonmember_logits, nonmember_labels), (forget_logits, forget_labels))
    sets = [FEATURES[feature](*checked(*pair)).float().numpy() for pair in pairs]
    if len({values.shape[1:] for values in sets}) > 1 or not all(np.isfinite(values).all() for values in sets):
        raise DataError(f"The {feature} of the three sets does not fit together or is infinite; the SVC needs finite numbers.")
    member_x, nonmember_x, forget_x = (values.reshape(len(values), -1) for values in sets)
    return float(1.0 - _attack(member_x, nonmember_x)(forget_x).mean())


def modified_entropy(logits: Any, labels: Any) -> Tensor:
    """−(1 − p_y) ln p_y − Σ_{i≠y} p_i ln(1 − p_i) in nats, float64 (n,): 0 when certain and right.

    Entropy that knows the label, unbounded when certain and wrong; low looks trained on. Source: Song and Mittal 2021,
    arXiv 2003.10595, equation 7.
    """
    z, y = checked(logits, labels)
    log_p, log_rest = z.log_softmax(1), _log_of_the_rest(z)
    others = (log_p.exp() * log_rest).scatter(1, y[:, None], 0.0)
    true = (-log_rest.gather(1, y[:, None]).exp() * log_p.gather(1, y[:, None]))[:, 0]
    return true - others.sum(1)


def _log_of_the_rest(z: Tensor) -> Tensor:
    """ln(1 − p), (n, C), exact where p is 1 up to rounding: there it is the sum over the other classes."""
    p = z.softmax(1)
    top = z.argmax(1, keepdim=True)
    rest = z.scatter(1, top, -torch.inf).logsumexp(1, keepdim=True) - z.logsumexp(1, keepdim=True)
    return torch.log1p(-p.clamp(max=0.75)).scatter(1, top, rest)


FEATURES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "correctness": lambda z, y: (z.argmax(1) == y).double(),
    "confidence": lambda z, y: z.float().softmax(1).gather(1, y[:, None])[:, 0],  # float32 from the start, as published
    "entropy": lambda z, y: entropy(z.log_softmax(1)),
    "modified_entropy": modified_entropy,
    "probabilities": lambda z, y: z.softmax(1),
}
"""What `svc` can attack, as functions of logits (n, C) and labels (n,)."""


_CACHE = 50  # MB for rows of the kernel: scikit-learn's 200 make nothing faster here, and several visitors may attack at once


def _attack(member: np.ndarray, nonmember: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """The trained attack: features (n, k) to 1 where it says member, 0 where it does not."""
    from sklearn.svm import SVC

    x = np.concatenate([member, nonmember])
    y = np.concatenate([np.ones(len(member)), np.zeros(len(nonmember))])
    return SVC(C=3, gamma="auto", kernel="rbf", cache_size=_CACHE).fit(x, y).predict


def training_privacy(member: Any, nonmember: Any) -> float:
    """Mean of the recalls on members and non-members of an SVC on the probability of the true class; 0.5 gives nothing away.

    Not about the forget set: it asks how much the model gives away about its training set as a whole. With m non-members, the
    attack learns from the first m/2 of each set and is asked about all others.

    Args: two 1-d arrays of probabilities in [0, 1]. Raises: DataError for anything else, or where nothing is left to ask about.
    Source: SVC_MIA of OPTML-Group/Unlearn-Sparse, "training privacy".
    """
    sets = [_probabilities(name, values)[:, None] for name, values in (("member", member), ("nonmember", nonmember))]
    half = len(sets[1]) // 2
    if half < 1 or len(sets[0]) <= half:
        raise DataError(f"{len(sets[0])} members and {len(sets[1])} non-members are too few: half go into the attack itself.")
    judge = _attack(sets[0][:half], sets[1][:half])
    return float((judge(sets[0][half:]).mean() + 1 - judge(sets[1][half:]).mean()) / 2)


def logistic(losses_forget: Any, losses_test: Any, seed: int = 0) -> float:
    """Mean accuracy with which logistic regression on the loss tells forget from test samples; 0.5 gives nothing away.

    Ten stratified random splits, nine tenths to learn from; the larger set is cut at random to the size of the smaller. The
    two sets must be of one kind (after a whole class: test samples of that class), else it finds the class and not the
    training. A value below 0.5 is chance or too few samples, not extra privacy.

    Args: losses (n,) and (m,) in nats, at least `SMALLEST` each. Raises: DataError for fewer, or for values that are no numbers.
    Source: Kurmanji et al., arXiv 2302.09880, as in the starting kit of the NeurIPS 2023 challenge.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedShuffleSplit, cross_val_score

    sets = [_losses(name, values) for name, values in (("forget", losses_forget), ("test", losses_test))]
    n = min(map(len, sets))
    draw = runtime.generator(seed, _BALANCE)
    x = np.concatenate([values[torch.randperm(len(values), generator=draw)[:n].numpy()] for values in sets])[:, None]
    y = np.concatenate([np.ones(n), np.zeros(n)])
    splits = StratifiedShuffleSplit(10, test_size=max(2, math.ceil(0.2 * n)), random_state=seed)
    return float(cross_val_score(LogisticRegression(max_iter=1000), x, y, cv=splits, scoring="accuracy").mean())


def _losses(name: str, values: Any) -> np.ndarray:
    array = np.asarray(torch.as_tensor(values).detach(), np.float64)
    if array.ndim != 1 or len(array) < SMALLEST or not np.isfinite(array).all():
        raise DataError(f"Losses of the {name} set have shape {array.shape}; expected at least {SMALLEST} numbers, all finite.")
    return array


def _probabilities(name: str, values: Any) -> np.ndarray:
    array = np.asarray(torch.as_tensor(values).detach(), dtype=np.float32)
    if array.ndim != 1 or not len(array):
        raise DataError(f"{name} has shape {array.shape}; expected a 1-d array with at least one probability.")
    if not (np.isfinite(array).all() and array.min() >= 0.0 and array.max() <= 1.0 + 1e-6):
        raise DataError(f"{name} holds values outside 0 to 1; expected probabilities of the true class.")
    return array
