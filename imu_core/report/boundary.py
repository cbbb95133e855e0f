"""What a run on points of the plane has come to beside the retrained network, in words."""

from __future__ import annotations

import math
from collections.abc import Sequence


def distance_words(name: str, apart: Sequence[float]) -> str:
    """How far `name` is from the retrained network's parameters now, the last of `apart`, beside where it began and was nearest.

    "" before the first step, and where nobody measured it.
    """
    if len(apart) < 2 or not all(map(math.isfinite, apart)):
        return ""
    began, nearest, now = (round(value, 2) for value in (apart[0], min(apart), apart[-1]))
    if now == nearest:
        return (
            f"{name} is {now:.2f} from the retrained network, {'as near as' if now == began else 'after'} {began:.2f} at first."
        )
    past = "further than where it began" if now > began else "past the nearest it came"
    return f"{name} is {now:.2f} from the retrained network: {past} ({began:.2f} at first, {nearest:.2f} at its nearest)."
