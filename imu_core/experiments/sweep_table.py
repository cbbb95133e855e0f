"""The table of a sweep: a row a run, a column a number."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from imu_core.metrics.registry import numbers
from imu_core.records.shapes import Value
from imu_core.store.runs import Summary


def table(runs: Iterable[Summary]) -> list[dict[str, Value]]:
    """One flat row a run, for CSV and data frames: what it was, how it ended, and its numbers (fractions, nats)."""
    return [
        {
            "id": run.id,
            "name": run.name,
            "tags": ",".join(run.tags),
            "dataset": run.dataset,
            "model": run.model_name,
            "forget": run.forget,
            "problem_seed": run.problem_seed,
            "method": run.method,
            "scope": run.scope,
            "seed": run.seed,
            "settings": json.dumps({k: v for k, v in run.settings.items() if k not in ("method", "scope", "seed")}),
            "state": run.state,
            "seconds": run.seconds,
            **{f"accuracy_{place}": value for place, value in run.accuracies.items()},
            **_measured_numbers(run),
        }
        for run in runs
    ]


def _measured_numbers(run: Summary) -> dict[str, float]:
    """What was measured, by metric; nothing where an imported record is shaped otherwise."""
    try:
        by_metric = numbers(_filled(run.metrics))
    except (AttributeError, TypeError, ValueError):
        return {}
    return {key: value for key, value in by_metric.items() if key not in run.accuracies}


def _filled(tree: Any) -> Any:
    """`tree` without the values that are nothing: a number that was none in JSON."""
    return {name: _filled(inner) for name, inner in tree.items() if inner is not None} if isinstance(tree, dict) else tree
