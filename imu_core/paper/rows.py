"""Stored runs to rows: every column's mean with its interval over requests, and the models that nothing was done to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

from imu_core.errors import DataError
from imu_core.methods import METHODS
from imu_core.metrics.gaps import average_gap
from imu_core.metrics.intervals import mean_interval
from imu_core.paper.experiment import Line
from imu_core.paper.grounds import Ground
from imu_core.paper.shapes import RowRecord
from imu_core.records.shapes import MeanRecord, Metrics
from imu_core.store.stored import Summary

MEASURED = ("forget", "retain", "test", "membership", "w_dist", "w1", "gap", "seconds")  # in the order of the table
MODELS = {"original": "Original model", "retrained": "Retrained model"}
_SLACK = 0.01  # wide scopes look for the target on 500 samples: the whole set may lie this much above

Each = dict[str, dict[str, float]]  # request → column → value, means over seeds


def row(line: Line, ground: Ground, runs: Mapping[str, Sequence[Summary]], strength: float) -> RowRecord:
    """The row of a line, in numbers; `runs`: request → its stored runs, one a seed.

    values   column → {mean, half, n}: mean and half the 95 % t-interval over requests, the seeds of a request averaged first
    each     the same before the mean, by request, for paired tests
    reached  how many runs got to the depth; a run that did not counts with what it had at its end
    """
    known = {request: [r for r in group if r.state in ("done", "diverged")] for request, group in runs.items()}
    each = {request: _mean_of([columns(run) for run in group]) for request, group in known.items() if group}
    all_runs = [run for group in known.values() for run in group]
    config = line.config(ground.target, strength, kind=ground.kind)
    return {
        "key": line.key, "title": line.title, "role": line.role, "paper": line.paper, "method": line.method,
        "control": config.control, "scope": line.scope, "strength": strength, "setting": METHODS[line.method].strength,
        "config": config.changed(), "saw": sorted(METHODS[line.method].needs(config)), "runs": len(all_runs),
        "reached": sum(_reached(run, ground.target) for run in all_runs),
        "diverged": sum(run.state == "diverged" for run in all_runs),
        "failed": sum(run.state == "failed" for group in runs.values() for run in group),
        "values": spread(each), "each": each,
    }  # fmt: skip


def reference_rows(runs: Iterable[Summary]) -> list[RowRecord]:
    """The original and the retrained models as rows, from what was measured beside `runs`; without a measurement, no row."""
    by_model: dict[str, Each] = {name: {} for name in MODELS}
    for run in runs:
        for name, each in by_model.items():
            own = {k: v for k, v in columns(run, name).items() if k != "seconds"}
            each[run.forget] = each.get(run.forget, {}) | own if own else each.get(run.forget, {})
    rows = []
    for name, each in by_model.items():
        by_request = {request: values for request, values in each.items() if values}
        if by_request:
            rows.append(
                {
                    "key": name,
                    "title": MODELS[name],
                    "role": "model",
                    "paper": name,
                    "values": spread(by_request),
                    "each": by_request,
                }
            )
    return rows


def columns(run: Summary, model: str = "run") -> dict[str, float]:
    """Column → number of one stored run, or of another `model` measured beside it; fractions and seconds. {} for no numbers."""
    accuracies = _part(run.metrics, "accuracies", model)
    numbers = {name: accuracies[name] for name in ("forget", "retain") if name in accuracies}
    if accuracies:
        numbers["test"] = accuracies.get("test_other", accuracies.get("test"))
    membership = (run.metrics.get("membership") or {}).get(model)
    distances = _part(run.metrics, "divergence", model).get("test") or {}
    numbers |= {} if membership is None else {"membership": membership}
    numbers |= {ours: distances[name] for ours, name in (("w_dist", "w1_classes"), ("w1", "w1")) if name in distances}
    if model == "retrained" and accuracies:
        numbers |= {"w_dist": 0.0, "w1": 0.0, "gap": 0.0}
    else:
        numbers |= _gap(run, model)
    return {**numbers, "seconds": run.seconds} if numbers else {}


def _part(metrics: Metrics, name: str, model: str) -> dict[str, float]:
    return (metrics.get(name) or {}).get(model) or {}


def _gap(run: Summary, model: str) -> dict[str, float]:
    membership = run.metrics.get("membership") or {}
    own, aim = ({**_part(run.metrics, "accuracies", n), "membership": membership.get(n)} for n in (model, "retrained"))
    if None in (own["membership"], aim["membership"]):
        return {}
    try:
        return {"gap": average_gap(own, aim)}
    except DataError:
        return {}


def _mean_of(seeds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Means over the seeds of one request; a column that one seed alone has (the attack) is that seed's."""
    names = {name for values in seeds for name, value in values.items() if value is not None}
    return {name: fmean(v[name] for v in seeds if v.get(name) is not None) for name in MEASURED if name in names}


def spread(each: Mapping[str, Mapping[str, float]]) -> dict[str, MeanRecord]:
    """Column → {mean, half, n} over requests; half is None where there is but one."""
    means = {}
    for name in MEASURED:
        values = [columns[name] for columns in each.values() if columns.get(name) is not None]
        if values:
            mean = mean_interval(values)
            means[name] = {"mean": mean.mean, "half": mean.half if mean.n > 1 else None, "n": mean.n}
    return means


def _reached(run: Summary, target: float) -> bool:
    slack = 0.0 if run.scope == "head" else _SLACK
    return run.state == "done" and run.accuracies.get("forget", 1.0) <= target + slack
