"""What the scores of a threshold attack are called, and how they are shown."""

from __future__ import annotations

import math
from dataclasses import dataclass

from imu_core.report.numbers import decimal

RETRAINED, HELD_OUT = "retrained model", "held-out images"


@dataclass(frozen=True)
class Scale:
    """How a score is shown: title, unit, factor from the engine's unit, step of the slider."""

    title: str
    unit: str
    factor: float
    step: float

    @property
    def digits(self) -> int:
        """How many decimals a threshold is written with."""
        return round(-math.log10(self.step))

    def write(self, value: float) -> str:
        """`value` (as shown) with its unit."""
        if 0 < value < self.step / 2:
            return f"< {self.step:g} {self.unit}"
        return f"{decimal(value, self.digits)} {self.unit}"


SCALES = {
    "loss": Scale("Loss", "nats", 1.0, 0.01),
    "confidence": Scale("Confidence", "%", 100.0, 0.01),
    "margin": Scale("Logit margin", "nats", 1.0, 0.01),
    "entropy": Scale("Entropy", "nats", 1.0, 0.001),
}
