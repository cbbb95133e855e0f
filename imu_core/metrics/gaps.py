"""One number for how far a run is from the retrained model: the average gap and the tug of war."""

from __future__ import annotations

import math
from collections.abc import Mapping

from imu_core.errors import DataError

Numbers = Mapping[str, float]  # forget, retain, test (test_other where whole classes go) and membership, fractions


def average_gap(run: Numbers, retrained: Numbers) -> float:
    """Mean of |run − retrained| over forget, retain and test accuracy and the membership attack; 0 is equal, 1 the worst.

    A fraction, where tables give percentage points. Where both hold `test_other`, it stands for `test`, as tables on class
    forgetting have it. It says nothing about the direction: forgetting too much and too little count the same.

    Args: `forget`, `retain`, `test` or `test_other`, `membership` (svc_confidence) of both models, 0 to 1.
    Raises: DataError when one of them is missing or no fraction. Source: SalUn, arXiv 2310.12508, "Avg. Gap".
    """
    return sum(_differences(run, retrained, ("forget", "retain", "test", "membership"))) / 4


def tug_of_war(run: Numbers, retrained: Numbers) -> float:
    """Π (1 − |run − retrained|) over forget, retain and test accuracy, 0 to 1; 1 is the retrained model's own.

    A product: one factor near 0 spoils it, whatever the others are. Source: RUM, arXiv 2406.01257, "ToW".
    """
    return math.prod(1 - difference for difference in _differences(run, retrained, ("forget", "retain", "test")))


def tug_of_war_membership(run: Numbers, retrained: Numbers) -> float:
    """`tug_of_war` with the membership attack in place of forget accuracy. Source: RUM, arXiv 2406.01257, "ToW-MIA"."""
    return math.prod(1 - difference for difference in _differences(run, retrained, ("membership", "retain", "test")))


def _differences(run: Numbers, retrained: Numbers, names: tuple[str, ...]) -> list[float]:
    has_other = "test_other" in run and "test_other" in retrained
    keys = ["test_other" if name == "test" and has_other else name for name in names]
    for which, numbers in (("the run", run), ("the retrained model", retrained)):
        for key in keys:
            if key not in numbers or not 0.0 <= numbers[key] <= 1.0:
                number = numbers.get(key, "missing")
                raise DataError(f"{key} of {which} is {number}; a gap needs {', '.join(keys)}, each a fraction from 0 to 1.")
    return [abs(run[key] - retrained[key]) for key in keys]
