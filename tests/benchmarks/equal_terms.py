"""Every method on equal terms: same head, same steps, stopped at the same depth, all ten classes. Prints a Markdown table.

make compare                 (head scope, about ten seconds)
"""

from __future__ import annotations

import dataclasses
import statistics
import time

import imu_core
from imu_core.influence.ranking import held_by_top, spearman

ROWS: dict[str, dict[str, object]] = {
    "GA (uniform weights)": {"method": "ga"},
    "IMU, ψ = tanh": {"method": "imu", "psi": "tanh"},
    "IMU, ψ = sqrt": {"method": "imu", "psi": "sqrt"},
    "IMU's weights, permuted": {"method": "imu", "psi": "sqrt", "control": "permuted"},
    "random weights": {"method": "imu", "psi": "sqrt", "control": "random"},
    "NPO, β = 1": {"method": "npo"},
    "SimNPO, β = 1": {"method": "simnpo"},
    "RL (random labels)": {"method": "rl"},
    "DELETE": {"method": "delete"},
}


def one(problem: imu_core.problem, settings: dict[str, object]) -> tuple[float, float, float]:
    """(steps, retain accuracy, change on the other classes' test images in points) at the first step at or below 2 %."""
    base = imu_core.preset("gentle", str(settings["method"]))
    run = imu_core.unlearn(problem, dataclasses.replace(base, **settings))
    points = list(run)
    first, last = points[0].accuracies, points[-1].accuracies
    return points[-1].step, 100 * last["retain"], 100 * (last["test_other"] - first["test_other"])


def main() -> None:
    """Print the comparison and the facts about influence that README quotes."""
    start = time.perf_counter()
    names = imu_core.problem().dataset.class_names
    problems = [imu_core.problem(forget=f"class:{name}") for name in names]
    print("| weights | steps | retain accuracy, % | change on the other classes, points | worst class |\n|---|--:|--:|--:|--:|")
    for title, settings in ROWS.items():
        steps, retain, change = zip(*(one(problem, settings) for problem in problems), strict=True)
        worst = names[change.index(min(change))]
        spread = statistics.stdev
        print(
            f"| {title} | {statistics.mean(steps):.0f} | {statistics.mean(retain):.2f} ± {spread(retain):.2f} "
            f"| {statistics.mean(change):+.2f} ± {spread(change):.2f} | {min(change):+.2f} ({worst}) |"
        )
    found = [imu_core.retrained(problem) for problem in problems]
    if all(found):
        hits = [(p.test.logits.argmax(1) == p.test.labels) for p in problems]
        keep = [p.test.labels != p.split.classes[0] for p in problems]
        before = [float(h[k].double().mean()) for h, k in zip(hits, keep, strict=True)]
        change = [100 * (f.accuracies["test_other"] - b) for f, b in zip(found, before, strict=True)]
        retain = [100 * f.accuracies["retain"] for f in found]
        print(
            f"| *retrained model* | | {statistics.mean(retain):.2f} ± {spread(retain):.2f} "
            f"| {statistics.mean(change):+.2f} ± {spread(change):.2f} | {min(change):+.2f} ({names[change.index(min(change))]}) |"
        )
    print(f"\nTen classes, {len(ROWS)} rows, accuracies on all images at every step: {time.perf_counter() - start:.0f} s.")
    influence_facts()


def influence_facts() -> None:
    """Concentration of the scores, and how the diagonal ranks beside exact, on whole classes and on mixed sets."""
    print("\n| forget set | top 5 % hold | diagonal like exact (Spearman) | diagonal like the loss |\n|---|--:|--:|--:|")
    for request in ("class:Sandal", "class:T-shirt", "class:Shirt", "random:10%,seed=0", "hardest:100"):
        problem = imu_core.problem(forget=request)
        index, head = problem.split.forget, problem.head
        data = problem.train.Z[index], problem.train.labels[index], head.weight, head.bias
        diagonal, exact = (imu_core.influence.head_scores(*data, estimator=name) for name in ("diagonal", "exact"))
        rho, loss = spearman(diagonal.scores, exact.scores), spearman(diagonal.scores, diagonal.losses)
        print(f"| {request} | {100 * held_by_top(diagonal.scores, 0.05):.0f} % | {rho:.3f} | {loss:.3f} |")


if __name__ == "__main__":
    main()
