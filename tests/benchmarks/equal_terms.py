"""Every method on equal terms: same head, same steps, stopped at the same depth, all ten classes.

make compare                 (head scope, about ten seconds; writes the first two tables of assets/docs/results.md)
"""

from __future__ import annotations

import dataclasses
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import imu_core
from imu_core.influence.ranking import held_by_top, spearman
from imu_core.records.run import Problem
from imu_core.report import marked

ROWS: dict[str, dict[str, object]] = {
    "GA (uniform weights)": {"method": "ga"},
    "IMU, ψ = tanh": {"method": "imu", "psi": "tanh"},
    "IMU, ψ = sqrt": {"method": "imu", "psi": "sqrt"},
    "IMU's weights, permuted": {"method": "imu", "psi": "sqrt", "control": "permuted"},
    "random weights": {"method": "imu", "psi": "sqrt", "control": "random"},
    "NPO, β = 1": {"method": "npo"},
    "SimNPO, β = 1": {"method": "simnpo"},
    "RL (random labels, never the true one)": {"method": "rl"},
    "DELETE (the original's answer without the true class)": {"method": "delete"},
}


def one(problem: Problem, settings: dict[str, object]) -> tuple[float, float, float]:
    """(steps, retain accuracy, change on the other classes' test images in points) at the first step at or below 2 %."""
    base = imu_core.preset("gentle", str(settings["method"]))
    points = list(imu_core.unlearn(problem, dataclasses.replace(base, **settings)))
    first, last = points[0].accuracies, points[-1].accuracies
    return points[-1].step, 100 * last["retain"], 100 * (last["test_other"] - first["test_other"])


def weights(problems: Sequence[Problem], names: Sequence[str]) -> str:
    """Every set of weights on every class, and the retrained models where all are there: a table, one row each."""
    heads = "| weights | steps | retain accuracy, % | change on the other classes, points | worst class |"
    lines = [heads, "|---|--:|--:|--:|--:|"]
    for title, settings in ROWS.items():
        steps, *costs = zip(*(one(problem, settings) for problem in problems), strict=True)
        lines.append(f"| {title} | {statistics.mean(steps):.0f} | {_costs(*costs, names)} |")
    retrained = [imu_core.retrained(problem) for problem in problems]
    if all(retrained):
        before = [_others_before(problem) for problem in problems]
        change = [100 * (r.accuracies["test_other"] - b) for r, b in zip(retrained, before, strict=True)]
        lines.append(f"| *retrained model* | | {_costs([100 * r.accuracies['retain'] for r in retrained], change, names)} |")
    return "\n".join(lines)


def _costs(retain: Sequence[float], change: Sequence[float], names: Sequence[str]) -> str:
    mean, spread, worst = statistics.mean, statistics.stdev, min(change)
    kept = f"{mean(retain):.2f} ± {spread(retain):.2f}"
    return f"{kept} | {mean(change):+.2f} ± {spread(change):.2f} | {worst:+.2f} ({names[change.index(worst)]})"


def _others_before(problem: Problem) -> float:
    """Accuracy of the original model on the test images of the other classes."""
    others = problem.test.labels != problem.split.classes[0]
    return float((problem.test.logits.argmax(1) == problem.test.labels)[others].double().mean())


def influence() -> str:
    """Concentration of the scores, and how the diagonal ranks beside exact, on whole classes and on mixed sets: a table."""
    lines = ["| forget set | top 5 % hold | diagonal like exact (Spearman) | diagonal like the loss |", "|---|--:|--:|--:|"]
    for request in ("class:Sandal", "class:T-shirt", "class:Shirt", "random:10%,seed=0", "hardest:100"):
        problem = imu_core.problem(forget=request)
        index, head = problem.split.forget, problem.head
        data = problem.train.Z[index], problem.train.labels[index], head.weight, head.bias
        diagonal, exact = (imu_core.influence.head_scores(*data, estimator=name) for name in ("diagonal", "exact"))
        rho, loss = spearman(diagonal.scores, exact.scores), spearman(diagonal.scores, diagonal.losses)
        lines.append(f"| {request} | {100 * held_by_top(diagonal.scores, 0.05):.0f} % | {rho:.3f} | {loss:.3f} |")
    return "\n".join(lines)


def main(file: Path) -> None:
    """Print both tables and write them into their sections of `file`."""
    start = time.perf_counter()
    names = imu_core.problem().dataset.class_names
    made = {"weights": weights([imu_core.problem(forget=f"class:{name}") for name in names], names), "influence": influence()}
    for section, table in made.items():
        marked.put(file, section, table)
        print(f"{table}\n")
    print(f"Ten classes, {len(ROWS)} rows, accuracies on all images at every step: {time.perf_counter() - start:.0f} s.")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
