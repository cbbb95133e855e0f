"""Metrics, with the direction of each: a number without one cannot be read."""

from __future__ import annotations

from dataclasses import dataclass

from imu_core.metrics import divergence, membership, retrieval

__all__ = ["METRICS", "Metric", "divergence", "membership", "retrieval"]


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
    "w1": Metric("Per-class W1 to the retrained reference", "probability", "lower"),
}
