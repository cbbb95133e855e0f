"""Every metric by key, declared once: what tables, exports, the glossary and `Measurement` read. A new one is an entry here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from torch import Tensor
from torch.nn import functional as F

from imu_core.metrics import divergence, gaps, membership
from imu_core.records.shapes import Metrics


class Kind(Enum):
    """What the function of a metric is given, where `Measurement` is to call it after every run.

    DISTANCE  logits (n, C) of the retrained model and of the judged one, on the forget, the retain and the test set
    CLASSES   the same, but from the test set the forgotten classes are left out
    GAP       the numbers of the judged model and of the retrained one, by metric key: accuracies and `membership`
    ATTACK    the `Sides` of one model; None stands for too few samples
    """

    DISTANCE, CLASSES, GAP, ATTACK = auto(), auto(), auto(), auto()


class Images(Enum):
    """The samples behind a number. OWN: the set that the metric is named after, or none."""

    OWN, FORGET, TEST, FORGET_AND_KIND, RETAIN_AND_TEST = auto(), auto(), auto(), auto(), auto()


@dataclass(frozen=True, eq=False)
class Sides:
    """What an attack on one model may look at, each as (logits (n, C), labels (n,)).

    Members (retain) and non-members (test) are equally many and none is forgotten; `kind` are test samples like the forget set.
    """

    members: tuple[Tensor, Tensor]
    nonmembers: tuple[Tensor, Tensor]
    forget: tuple[Tensor, Tensor]
    kind: tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Metric:
    """Title, unit and direction of a metric, and how it comes about; its entry in the glossary has the same key.

    `better` is higher | lower | nearest the retrained reference | nearest 50 % | nearest 1. Units
    "fraction" and "probability" run from 0 to 1 and are shown so; "%" is a fraction in code and shown times 100.
    With `kind` and `measure` it is measured after every run; others come from the run itself or from an attack of their own.
    `attack` puts it into the table of the page Attack. `stored` is its name in records, where that is not its key.
    """

    title: str
    unit: str
    better: str
    on_random: str = ""  # the direction on random forget sets, where it differs
    images: Images = Images.OWN
    attack: bool = False
    kind: Kind | None = None
    measure: Callable[..., float | None] | None = None
    stored: str = ""

    def direction(self, class_wise: bool) -> str:
        """Which way is good, for whole-class requests or for any other."""
        return self.better if class_wise or not self.on_random else self.on_random


def of_kind(*kinds: Kind) -> dict[str, Callable[..., float | None]]:
    """The functions of all metrics of these kinds, by the name that their numbers have in records."""
    return {metric.stored or key: metric.measure for key, metric in METRICS.items() if metric.kind in kinds and metric.measure}


def _svc(feature: str) -> Callable[[Sides], float]:
    """The SVC attack on `feature`."""
    return lambda sides: membership.svc(*sides.members, *sides.nonmembers, *sides.forget, feature=feature)


def _training_privacy(sides: Sides) -> float | None:
    """Of the probabilities of the true class; None with fewer than two non-members."""
    if len(sides.nonmembers[1]) < 2:
        return None
    return membership.training_privacy(*(membership.FEATURES["confidence"](*side) for side in (sides.members, sides.nonmembers)))


def _logistic(sides: Sides) -> float | None:
    """Of the losses; None where one side has fewer samples than the attack needs."""
    if min(len(sides.kind[1]), len(sides.forget[1])) < membership.SMALLEST:
        return None
    return membership.logistic(*(F.cross_entropy(z.double(), y, reduction="none") for z, y in (sides.forget, sides.kind)))


_NEAREST = "nearest the retrained reference"
_HALF = "nearest 50 %"  # of attacks whose number is their own success: half is guessing

METRICS: dict[str, Metric] = {
    "forget": Metric("Forget accuracy", "%", "lower", _NEAREST),
    "retain": Metric("Retain accuracy", "%", "higher"),
    "test": Metric("Test accuracy, all classes", "%", _NEAREST, "higher"),
    "test_other": Metric("Test accuracy, other classes", "%", "higher"),
    "test_forgotten": Metric("Test accuracy, forgotten classes", "%", "lower"),
    "earlier": Metric("Accuracy on the earlier forget set", "%", _NEAREST),
    "membership": Metric("Judged never seen (SVC confidence attack)", "fraction", _NEAREST, images=Images.FORGET, attack=True),
    "membership_correctness": Metric(
        "Judged never seen (SVC, correctness)",
        "fraction",
        _NEAREST,
        images=Images.FORGET,
        attack=True,
        kind=Kind.ATTACK,
        measure=_svc("correctness"),
        stored="correctness",
    ),
    "membership_entropy": Metric(
        "Judged never seen (SVC, entropy)",
        "fraction",
        _NEAREST,
        images=Images.FORGET,
        attack=True,
        kind=Kind.ATTACK,
        measure=_svc("entropy"),
        stored="entropy",
    ),
    "membership_modified_entropy": Metric(
        "Judged never seen (SVC, modified entropy)",
        "fraction",
        _NEAREST,
        images=Images.FORGET,
        attack=True,
        kind=Kind.ATTACK,
        measure=_svc("modified_entropy"),
        stored="modified_entropy",
    ),
    "membership_probabilities": Metric("Judged never seen (SVC, all probabilities)", "fraction", _NEAREST, images=Images.FORGET),
    "logistic": Metric(
        "Logistic attack on the loss, accuracy",
        "fraction",
        _HALF,
        images=Images.FORGET_AND_KIND,
        attack=True,
        kind=Kind.ATTACK,
        measure=_logistic,
    ),
    "training_privacy": Metric(
        "Attack on the training set, mean recall",
        "fraction",
        _HALF,
        images=Images.RETAIN_AND_TEST,
        attack=True,
        kind=Kind.ATTACK,
        measure=_training_privacy,
    ),
    "average_gap": Metric("Average gap to the retrained reference", "fraction", "lower", kind=Kind.GAP, measure=gaps.average_gap),
    "tug_of_war": Metric("Tug of war", "fraction", "higher", kind=Kind.GAP, measure=gaps.tug_of_war),
    "tug_of_war_membership": Metric(
        "Tug of war with membership", "fraction", "higher", kind=Kind.GAP, measure=gaps.tug_of_war_membership
    ),
    "kl": Metric(
        "KL from the retrained reference", "nats", "lower", images=Images.TEST, kind=Kind.DISTANCE, measure=divergence.kl
    ),
    "js": Metric(
        "Jensen-Shannon divergence to the retrained reference",
        "nats",
        "lower",
        images=Images.TEST,
        kind=Kind.DISTANCE,
        measure=divergence.js,
    ),
    "activation_distance": Metric(
        "Activation distance to the retrained reference",
        "probability",
        "lower",
        images=Images.TEST,
        kind=Kind.DISTANCE,
        measure=divergence.activation_distance,
    ),
    "agreement": Metric(
        "Agreement with the retrained reference",
        "fraction",
        "higher",
        images=Images.TEST,
        kind=Kind.DISTANCE,
        measure=divergence.agreement,
    ),
    "w1_classes": Metric(
        "W1 of class numbers to the retrained reference",
        "class numbers",
        "lower",
        kind=Kind.CLASSES,
        measure=divergence.w1_classes,
    ),
    "zrf": Metric("ZRF, on the published scale", "fraction", _NEAREST, images=Images.FORGET, attack=True),
    "zrf_js": Metric("ZRF, 1 minus the true divergence", "1 - nats", _NEAREST, images=Images.FORGET, attack=True),
    "neighbour_gap": Metric("MIA-NN, gap at the nearest class", "fraction", "lower", images=Images.FORGET_AND_KIND, attack=True),
    "neighbour_tv": Metric(
        "MIA-NN, total variation over classes", "fraction", "lower", images=Images.FORGET_AND_KIND, attack=True
    ),
    "auc": Metric("AUC of the attack", "fraction", _HALF),
    "balanced_accuracy": Metric("Balanced accuracy of the attack", "fraction", _HALF),
    "tpr_at_1_fpr": Metric("True positives at 1 % false positives", "fraction", "lower"),
    "advantage": Metric("Worst-case attack advantage", "fraction", "lower"),
    "probe_forgotten": Metric("Linear probe, forgotten", "%", _NEAREST),
    "probe_others": Metric("Linear probe, others", "%", _NEAREST),
    "relearn_steps": Metric("Steps to relearn", "steps", _NEAREST),
    "ain": Metric("Relearn time over the retrained model's (AIN)", "ratio", "nearest 1"),
    "seconds": Metric("Seconds", "s", "lower"),
    "peak_bytes": Metric("Peak memory", "bytes", "lower"),
    "map": Metric("mAP, unseen people", "%", "higher"),
    "rank1": Metric("Rank-1, unseen people", "%", "higher"),
    "rank5": Metric("Rank-5, unseen people", "%", "higher"),
    "person_map": Metric("mAP, the forgotten person", "%", _NEAREST),
    "person_rank1": Metric("Rank-1, the forgotten person", "%", _NEAREST),
    "person_rank5": Metric("Rank-5, the forgotten person", "%", _NEAREST),
    "w1": Metric(
        "Per-class W1 to the retrained reference",
        "probability",
        "lower",
        images=Images.TEST,
        kind=Kind.DISTANCE,
        measure=divergence.w1,
    ),
}


_KEYS = {"confidence": "membership"} | {metric.stored: key for key, metric in METRICS.items() if metric.stored}  # by stored name


def numbers(result: Metrics, model: str = "run") -> dict[str, float]:
    """Everything `Measurement.result` holds about one model as metric key → value, for tables; keys are those of METRICS.

    Distances are those on the test set (`kl`, …). What was not measured is not there.
    """
    attacked = result.get("attacks", {}).get(model, {})
    flat = {
        **result.get("accuracies", {}).get(model, {}),
        **{_KEYS.get(name, name): value for name, value in attacked.items()},
        **({"membership": result["membership"][model]} if model in result.get("membership", {}) else {}),
        **result.get("divergence", {}).get(model, {}).get("test", {}),
    }
    for part in ("gaps", "worst_case", "zrf", "neighbour", "retrieval"):
        flat |= result.get(part, {}).get(model, {})
    return {key: float(value) for key, value in flat.items() if key in METRICS}
