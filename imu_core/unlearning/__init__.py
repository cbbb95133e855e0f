"""The only loop that makes a model forget, and requests in sequence."""

from imu_core.unlearning.run import Run, unlearn

__all__ = ["Run", "unlearn"]
