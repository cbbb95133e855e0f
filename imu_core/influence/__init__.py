"""Influence of training samples on a set, with the curvature of the classifier head."""

from imu_core.influence.head import ESTIMATORS, head_scores

__all__ = ["ESTIMATORS", "head_scores"]
