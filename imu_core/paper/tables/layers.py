"""Figure 2: influence by the head alone against influence through all layers, from comparisons that are kept on disk."""

from __future__ import annotations

from collections.abc import Iterator

from imu_core.errors import ImuError
from imu_core.evaluation import agreement
from imu_core.evaluation.agreement import DIAGONAL, FULL, FULL_DIAGONAL, HEAD, Agreement, Found
from imu_core.metrics.intervals import mean_interval
from imu_core.paper.grounds import Ground
from imu_core.paper.record import DRAWN, interval
from imu_core.paper.shapes import Figure
from imu_core.problems.problem import problem as make_problem
from imu_core.records.run import Problem

WANTED = 3  # forget sets that the command compares by itself: minutes each
_CURVED = 500  # samples whose curvature is taken where the forget set is larger
_SETTINGS = ({"curvature": None}, {"curvature": _CURVED})  # in which a kept comparison is looked for


def kept(problem: Problem) -> Found | None:
    """The stored comparison of this problem, made here or shipped; None where there is none."""
    return next((comparison for settings in _SETTINGS if (comparison := agreement.stored(problem, **settings)) is not None), None)


def missing(ground: Ground, most: int = WANTED) -> list[str]:
    """The requests, of the first `most`, whose forget sets have not been compared yet."""
    requests = ground.requests[:most]
    return [r for r in requests if kept(make_problem(ground.dataset, model=ground.model, forget=r)) is None]


def compare(ground: Ground, request: str) -> Iterator[tuple[float, str]]:
    """Compare one forget set and store the comparison; yields (fraction done, words). ImuError where it failed."""
    work = Agreement(make_problem(ground.dataset, model=ground.model, forget=request), curvature=_CURVED)
    try:
        yield from work
    finally:
        work.cancel()
    if work.outcome.state == "failed":
        raise ImuError(work.outcome.reason)


def figure2(ground: Ground) -> Figure:
    """{} where nothing is kept, else {classes: request, points [sample, head, all], spearman, diagonal, top, seconds, sizes}.

    spearman and diagonal are rank correlations over forget sets: of the exact scores, and with the diagonal on both sides; top
    is the share of the first tenth that both have; seconds are those of the head and of all layers; sizes say how many samples
    of the forget set `request` names, and the curvature of how many.
    """
    comparisons = {}
    for request in ground.requests:
        problem = make_problem(ground.dataset, model=ground.model, forget=request)
        comparison = kept(problem)
        if comparison is not None:
            comparisons[request] = (problem, comparison)
    if not comparisons:
        return {}
    first, (problem, comparison) = next(iter(comparisons.items()))
    exact = [one.agreed(HEAD) for _, one in comparisons.values()]
    diagonal = [one.agreed(DIAGONAL, FULL_DIAGONAL).spearman for _, one in comparisons.values()]
    numbers = {"spearman": [a.spearman for a in exact], "diagonal": diagonal, "top": [a.overlap[0.1] for a in exact]}
    seconds = {kind: mean_interval([one.scores[kind].seconds for _, one in comparisons.values()]).mean for kind in (HEAD, FULL)}
    told = {name: interval(values) for name, values in numbers.items()}
    sizes = {"curvature": comparison.curvature, "samples": len(problem.split.forget)}
    return {"classes": {"request": first, "points": _points(problem, comparison), "seconds": seconds, "sizes": sizes, **told}}


def _points(problem: Problem, comparison: Found) -> list[list[float]]:
    head, full = (comparison.scores[kind].scores.tolist() for kind in (HEAD, FULL))
    every = max(1, -(-len(head) // DRAWN))
    samples = problem.split.forget.tolist()
    return [[samples[i], head[i], full[i]] for i in range(0, len(head), every)]
