"""Influence of training samples on a set, with the curvature of the classifier head or of more layers."""

from imu_core.influence.full_model import FULL_ESTIMATORS, FullInfluence, full_scores
from imu_core.influence.head import ESTIMATORS, head_scores
from imu_core.influence.scoring import Scoring, forget_scores, is_slow

__all__ = [
    "ESTIMATORS",
    "FULL_ESTIMATORS",
    "FullInfluence",
    "Scoring",
    "forget_scores",
    "full_scores",
    "head_scores",
    "is_slow",
]
