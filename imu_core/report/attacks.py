"""The attack report: every number of an attack that is known, as pages and commands show it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from imu_core.evaluation.probe import Probe
from imu_core.metrics.registry import METRICS, Images, numbers
from imu_core.metrics.thresholds import LOW, WorstCase, curve
from imu_core.problems.subsets import same_kind
from imu_core.records.run import Problem
from imu_core.records.shapes import Metrics
from imu_core.report.numbers import in_unit

MODELS = ("original", "retrained", "run")
UNKNOWN = "–"  # in place of a number that is not there


@dataclass(frozen=True)
class Line:
    """One number of an attack: its title, its key in `METRICS`, its value for each of `MODELS`, and the images behind it.

    A value is a number in the metric's own unit, or words that stand for one.
    """

    title: str
    key: str
    values: Mapping[str, float | str]
    images: str

    def written(self, model: str) -> str:
        """The value for `model` with its unit; a dash where there is none."""
        value = self.values.get(model)
        if value is None or isinstance(value, str):
            return value or UNKNOWN
        return in_unit(value, METRICS[self.key].unit)


def of_measurement(problem: Problem, measured: Metrics) -> Iterator[Line]:
    """The attacks in `Measurement.result`, in the order of `METRICS`."""
    forget = _forget(problem)
    sizes = {Images.FORGET_AND_KIND: f"{forget}, {len(same_kind(problem)):,} test", Images.RETAIN_AND_TEST: "retain and test"}
    table = {model: numbers(measured, model) for model in MODELS}
    for key, metric in METRICS.items():
        values = {model: known[key] for model, known in table.items() if key in known}
        if metric.attack and values:
            yield Line(metric.title, key, values, sizes.get(metric.images, forget))


def of_thresholds(
    problem: Problem, sides: Mapping[str, tuple[Mapping, Mapping]], worst: Mapping[str, WorstCase], against: str
) -> Iterator[Line]:
    """The threshold attacks: `sides` holds (scores of the forget set, scores of what it is held `against`) for each model."""
    images = f"{_forget(problem)}, {len(sides['run'][1]['loss']):,} {against}"
    for score in ("loss", "entropy"):
        values = {model: curve(one[score], other[score], score in LOW).auc for model, (one, other) in sides.items()}
        yield Line(f"AUC by {score}", "auc", values, images)
    for key in ("advantage", "tpr_at_1_fpr"):
        yield Line(METRICS[key].title, key, {model: getattr(case, key) for model, case in worst.items()}, images)


def of_probe(probe: Probe) -> Iterator[Line]:
    """What fresh heads on frozen features have found."""
    for key, part in (("probe_forgotten", "forgotten"), ("probe_others", "others")):
        values = {model.replace("unlearned", "run"): known[key] for model, known in probe.numbers.items()}
        yield Line(METRICS[key].title, key, values, f"{probe.sizes[part]:,} asked")


def of_relearning(problem: Problem, result: Mapping) -> Iterator[Line]:
    """How soon the forget set is learned again: `Relearn.result` once all models have ended."""
    if result.get("words"):
        yield Line(METRICS["relearn_steps"].title, "relearn_steps", result["words"], _forget(problem))
        if result["ain"] is not None:
            yield Line(METRICS["ain"].title, "ain", {"run": result["ain"]}, _forget(problem))


def of_shadows(result: Mapping) -> Iterator[Line]:
    """What an expert with shadow heads finds: `ShadowAttack.result`, nothing before the first numbers are there."""
    if "auc" in result:
        for key in ("auc", "balanced_accuracy", "tpr_at_1_fpr"):
            values = {"original": result["before"][key], "run": result[key]}
            yield Line(f"Shadow heads: {METRICS[key].title}", key, values, f"{result['shadows']} pairs of heads")


def _forget(problem: Problem) -> str:
    return f"{len(problem.split.forget):,} forget"
