"""Metrics, with the direction of each: a number without one cannot be read."""

from __future__ import annotations

from dataclasses import dataclass

from imu_core.metrics import divergence, intervals, membership, retrieval

__all__ = ["METRICS", "Metric", "divergence", "intervals", "membership", "retrieval"]


@dataclass(frozen=True)
class Metric:
    """Title, unit and direction of a metric. `better`: higher | lower | nearest the retrained reference."""

    title: str
    unit: str
    better: str
    on_random: str = ""  # the direction on random forget sets, where it differs

    def direction(self, class_wise: bool) -> str:
        """Which way is good, for whole-class requests or for any other."""
        return self.better if class_wise or not self.on_random else self.on_random


_NEAREST = "nearest the retrained reference"

METRICS: dict[str, Metric] = {
    "forget": Metric("Forget accuracy", "%", "lower", _NEAREST),
    "retain": Metric("Retain accuracy", "%", "higher"),
    "test": Metric("Test accuracy, all classes", "%", _NEAREST, "higher"),
    "test_other": Metric("Test accuracy, other classes", "%", "higher"),
    "test_forgotten": Metric("Test accuracy, forgotten classes", "%", "lower"),
    "earlier": Metric("Accuracy on the earlier forget set", "%", _NEAREST),
    "membership": Metric("Judged never seen (SVC confidence attack)", "fraction", _NEAREST),
    "kl": Metric("KL from the retrained reference", "nats", "lower"),
    "js": Metric("Jensen-Shannon divergence to the retrained reference", "nats", "lower"),
    "map": Metric("mAP, unseen people", "%", "higher"),
    "rank1": Metric("Rank-1, unseen people", "%", "higher"),
    "rank5": Metric("Rank-5, unseen people", "%", "higher"),
    "person_map": Metric("mAP, the forgotten person", "%", _NEAREST),
    "person_rank1": Metric("Rank-1, the forgotten person", "%", _NEAREST),
    "person_rank5": Metric("Rank-5, the forgotten person", "%", _NEAREST),
    "w1": Metric("Per-class W1 to the retrained reference", "probability", "lower"),
}
