"""Metrics, with the direction of each: a number without one cannot be read."""

from imu_core.metrics import divergence, gaps, intervals, lira, membership, neighbour, retrieval, thresholds, zrf
from imu_core.metrics.registry import METRICS, Images, Kind, Metric, Sides, of_kind

__all__ = [
    "METRICS",
    "Images",
    "Kind",
    "Metric",
    "Sides",
    "divergence",
    "gaps",
    "intervals",
    "lira",
    "membership",
    "neighbour",
    "of_kind",
    "retrieval",
    "thresholds",
    "zrf",
]
