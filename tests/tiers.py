"""Which cases of a parametrised test wait for the full run."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def but(values: Iterable[Any], default: Collection[Any], reason: str) -> list[Any]:
    """All values as parameters; those that are not in `default` are slow, for this reason."""
    values = list(values)
    absent = [value for value in default if value not in values]
    assert not absent, f"{absent} are no values of this test"
    return [value if value in default else pytest.param(value, marks=pytest.mark.slow(reason=reason)) for value in values]
