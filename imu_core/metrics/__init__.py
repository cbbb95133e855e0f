"""Metrics, with the direction of each: a number without one cannot be read."""

from __future__ import annotations

from dataclasses import dataclass

from imu_core.metrics import divergence, gaps, intervals, lira, membership, neighbour, retrieval, thresholds, zrf

__all__ = [
    "METRICS",
    "Metric",
    "divergence",
    "gaps",
    "intervals",
    "lira",
    "membership",
    "neighbour",
    "retrieval",
    "thresholds",
    "zrf",
]


@dataclass(frozen=True)
class Metric:
    """Title, unit and direction of a metric.

    `better` is higher | lower | nearest the retrained reference | nearest 50 % | nearest 1. Units
    "fraction" and "probability" run from 0 to 1 and are shown so; "%" is a fraction in code and shown times 100.
    """

    title: str
    unit: str
    better: str
    on_random: str = ""  # the direction on random forget sets, where it differs

    def direction(self, class_wise: bool) -> str:
        """Which way is good, for whole-class requests or for any other."""
        return self.better if class_wise or not self.on_random else self.on_random


_NEAREST = "nearest the retrained reference"
_HALF = "nearest 50 %"  # of attacks whose number is their own success: half is guessing

METRICS: dict[str, Metric] = {
    "forget": Metric("Forget accuracy", "%", "lower", _NEAREST),
    "retain": Metric("Retain accuracy", "%", "higher"),
    "test": Metric("Test accuracy, all classes", "%", _NEAREST, "higher"),
    "test_other": Metric("Test accuracy, other classes", "%", "higher"),
    "test_forgotten": Metric("Test accuracy, forgotten classes", "%", "lower"),
    "earlier": Metric("Accuracy on the earlier forget set", "%", _NEAREST),
    "membership": Metric("Judged never seen (SVC confidence attack)", "fraction", _NEAREST),
    "membership_correctness": Metric("Judged never seen (SVC, correctness)", "fraction", _NEAREST),
    "membership_entropy": Metric("Judged never seen (SVC, entropy)", "fraction", _NEAREST),
    "membership_modified_entropy": Metric("Judged never seen (SVC, modified entropy)", "fraction", _NEAREST),
    "membership_probabilities": Metric("Judged never seen (SVC, all probabilities)", "fraction", _NEAREST),
    "logistic": Metric("Logistic attack on the loss, accuracy", "fraction", _HALF),
    "training_privacy": Metric("Attack on the training set, mean recall", "fraction", _HALF),
    "average_gap": Metric("Average gap to the retrained reference", "fraction", "lower"),
    "tug_of_war": Metric("Tug of war", "fraction", "higher"),
    "tug_of_war_membership": Metric("Tug of war with membership", "fraction", "higher"),
    "kl": Metric("KL from the retrained reference", "nats", "lower"),
    "js": Metric("Jensen-Shannon divergence to the retrained reference", "nats", "lower"),
    "activation_distance": Metric("Activation distance to the retrained reference", "probability", "lower"),
    "agreement": Metric("Agreement with the retrained reference", "fraction", "higher"),
    "w1_classes": Metric("W1 of class numbers to the retrained reference", "class numbers", "lower"),
    "zrf": Metric("ZRF, on the published scale", "fraction", _NEAREST),
    "zrf_js": Metric("ZRF, 1 minus the true divergence", "1 - nats", _NEAREST),
    "neighbour_gap": Metric("MIA-NN, gap at the nearest class", "fraction", "lower"),
    "neighbour_tv": Metric("MIA-NN, total variation over classes", "fraction", "lower"),
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
    "w1": Metric("Per-class W1 to the retrained reference", "probability", "lower"),
}
