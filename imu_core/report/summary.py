"""A finished run in a few lines, as commands print it: what it did, what was measured, what it cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from imu_core.evaluation.measurement import model_accuracies
from imu_core.metrics.registry import METRICS
from imu_core.problems.forget import in_words
from imu_core.records.shapes import Metrics
from imu_core.report import attacks
from imu_core.report.numbers import percent, phase_words
from imu_core.unlearning.run import Run


def sentence(work: Run, reference: Mapping[str, float] | None) -> str:
    """The run in one line: accuracies before and after, steps and seconds, with the retrained model's accuracies.

    Where whole classes go, a low forget accuracy is the aim by itself, so the retrained model's is left out.
    """
    problem, last = work.problem, work.points[-1]
    before = model_accuracies(problem, (problem.train.logits, problem.test.logits))
    classes = bool(problem.split.gone_classes)
    set_name, title = ("test_other", "other classes") if classes else ("test", "test")

    def change(name: str, compare: bool) -> str:
        retrained_is = f" (retrained: {percent(reference[name])})" if reference and compare else ""
        return f"{percent(before[name])} -> {percent(last.accuracies[name])}{retrained_is}"

    forget = f"forget {change('forget', not classes)}" if classes else f"forget set {change('forget', True)}"
    subset = "" if last.full else " (on subsets)"
    return f"{work.method.title}: {forget}, {title} {change(set_name, True)}{subset}, {last.step:,} steps, {last.seconds:.2f} s"


def metric_lines(work: Run, measured: Metrics) -> Iterator[str]:
    """What was measured of the run beside the original and the retrained model, a line each: attacks, then the distance.

    Where no whole class goes, a line before them says what the aim is.
    """
    if not work.problem.split.gone_classes:
        forgotten = in_words(work.problem.split, work.problem.dataset)
        yield f"Asked to be forgotten: {forgotten}, no whole class. The aim is what the retrained model does, not 0 %."
    titles = {"original": "original", "run": work.method.title, "retrained": "retrained"}
    for line in attacks.of_measurement(work.problem, measured):
        figures = ", ".join(f"{title} {line.written(name)}" for name, title in titles.items() if name in line.values)
        good = METRICS[line.key].direction(bool(work.problem.split.classes))
        yield f"Attack: {line.title}: {figures} (good: {good})"
    distance = measured.get("divergence", {})
    if distance:
        figures = ", ".join(f"{titles[name]} {sets['test']['js']:.4f}" for name, sets in distance.items())
        yield f"Distance from the retrained model on the test set, JS in nats: {figures} (lower is better)"


def effort_line(work: Run) -> str:
    """What the method saw, the seconds of each phase, and the samples of each set."""
    phases = phase_words(work.phases, 3)
    sets = ", ".join(f"{name} {size:,}" for name, size in work.sizes.items())
    return f"It saw: {', '.join(sorted(work.granted)) or 'nothing'}. Seconds: {phases}. Samples: {sets}."
