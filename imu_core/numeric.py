"""What a number is, wherever somebody gives one: Python's own, NumPy's, or a torch tensor without dimensions; a bool is none."""

from __future__ import annotations

import math
import numbers
import sys
from typing import Any, TypeGuard

import numpy as np


def as_number(value: Any) -> Any:
    """`value` as Python's own int, float or bool where it is a number or a bool, NumPy's and torch's too; else as it is."""
    torch = sys.modules.get("torch")  # who gives a tensor has loaded it; whoever gives none need not wait for it
    tensor = torch is not None and isinstance(value, torch.Tensor)
    if (tensor or isinstance(value, np.ndarray)) and value.ndim == 0:
        if tensor and value.is_meta:
            return value
        value = value.item()
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if type(value) in (int, float):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    return float(value) if isinstance(value, numbers.Real) else value


def is_number(value: Any) -> TypeGuard[int | float]:
    """Whether `value`, as `as_number` gives it, is a finite number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < math.inf


def is_whole(value: Any) -> TypeGuard[int]:
    """Whether `value`, as `as_number` gives it, is a whole number."""
    return isinstance(value, int) and not isinstance(value, bool)
