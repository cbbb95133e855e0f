"""Figures 1 and 6: how influence is spread over the forget samples, and how it changes while the model forgets; on the head."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import torch
from scipy import stats
from torch import Tensor

from imu_core import data, runtime
from imu_core.experiments.search import with_strength
from imu_core.influence import forget_scores
from imu_core.paper.experiment import CLASSES, RANDOM, plain
from imu_core.paper.grounds import Ground
from imu_core.paper.published import FIGURES
from imu_core.paper.record import DRAWN, interval
from imu_core.paper.shapes import Figure
from imu_core.problems.problem import original
from imu_core.problems.problem import problem as make_problem
from imu_core.records.run import Point, Problem
from imu_core.unlearning.run import unlearn
from imu_core.weights import PSI, effective_share

TOP = 0.05  # the share of samples whose part of the sum is told
EXTREMES = 6  # samples with the largest and the smallest scores that are kept by number
EPOCHS, LINES = int(FIGURES["figure6"].numbers["epochs"]), int(FIGURES["figure6"].numbers["samples"])
LENGTH = 0.02  # of all steps of Figure 6 together: so short that five epochs forget little by little
_DRAW = 61  # stream of the generator


def figures(grounds: Mapping[str, Ground]) -> Figure:
    """{figure1, figure6}: see `spread_of` and `over_epochs`; each for whole classes and for random samples."""
    known = {kind: grounds[kind] for kind in (CLASSES, RANDOM) if kind in grounds}
    return {
        "figure1": {kind: _spreads(ground) for kind, ground in known.items()},
        "figure6": {kind: _changes(ground) for kind, ground in known.items()},
    }


def _problem(ground: Ground, request: str) -> Problem:
    return make_problem(ground.dataset, model=ground.model, forget=request)


def scores(problem: Problem, weight: Tensor, bias: Tensor) -> Tensor:
    """N·s (n,), the paper's score of every forget sample at the head (W, b), with the defaults of IMU."""
    influence = forget_scores(problem, head=(weight, bias))
    return influence.total * influence.scores


# Figure 1.


def _spreads(ground: Ground) -> Figure:
    by_request = {request: spread_of(_problem(ground, request)) for request in ground.requests}
    first = by_request[ground.requests[0]]
    numbers = {name: interval([f["numbers"][name] for f in by_request.values()]) for name in first["numbers"]}
    card = original(data.load(ground.dataset), ground.model).card
    return {
        "request": ground.requests[0], "points": first["points"], "extremes": first["extremes"], "numbers": numbers,
        "smoothing": card["recipe"].get("label_smoothing", 0.0),
    }  # fmt: skip


def spread_of(problem: Problem) -> Figure:
    """{points, extremes, numbers}: how the scores of one forget set are spread.

    points    [sample, N·s] of at most `DRAWN` samples, in order of their number
    extremes  numbers of the samples with the largest and the smallest scores
    numbers   top: the part of the sum of positive scores that the first 5 % hold; positive: the share of samples with one;
              raw and even: (Σw)² / (n Σw²) of the scores themselves and of the weights √(N s); span: the 99th percentile of the
              positive scores over the 1st; with_loss: Spearman's rank correlation of score and loss
    """
    forget, values = problem.split.forget, scores(problem, problem.head.weight, problem.head.bias)
    order = values.argsort(descending=True, stable=True)
    drawn = torch.randperm(len(values), generator=runtime.generator(0, _DRAW))[:DRAWN].sort().values
    return {
        "points": [[int(forget[i]), round(float(values[i]), 6)] for i in drawn],
        "extremes": {
            "largest": forget[order[:EXTREMES]].tolist(),
            "smallest": forget[order[-EXTREMES:]].tolist(),
        },
        "numbers": shape(values) | {"with_loss": float(stats.spearmanr(values, problem.train.losses[forget]).statistic)},
    }


def shape(values: Tensor) -> dict[str, float]:
    """top, positive, raw, even and span of scores (n,): see `spread_of`."""
    positive = values.clamp(min=0.0).to(torch.float64)
    most = max(1, round(TOP * len(values)))
    total = float(positive.sum())
    weights, above_zero = PSI["sqrt"](positive), positive[positive > 0]
    return {
        "top": float(positive.topk(most).values.sum()) / total if total else 0.0,
        "positive": float((values > 0).double().mean()),
        "raw": effective_share(positive) if total else 0.0,
        "even": effective_share(weights) if total else 0.0,
        "span": float(above_zero.quantile(0.99) / above_zero.quantile(0.01)) if total else 1.0,
    }


# Figure 6.


def _changes(ground: Ground) -> Figure:
    by_request = {request: over_epochs(_problem(ground, request)) for request in ground.requests}
    first = by_request[ground.requests[0]]
    numbers = {
        who: {
            name: [interval([f["numbers"][who][name][e] for f in by_request.values()]) for e in range(EPOCHS + 1)]
            for name in first["numbers"][who]
        }
        for who in first["numbers"]
    }
    return {"request": ground.requests[0], "lines": first["lines"], "numbers": numbers}


def over_epochs(problem: Problem) -> Figure:
    """{lines, numbers}: scores after each of five epochs of IMU (recomputed every epoch) and of GA, which is the control.

    lines    sample → N·s at epochs 0 to 5, for `LINES` samples drawn from the forget set, under IMU
    numbers  imu and ga → {positive, even: as in `spread_of`; mean: of the scores; alike: Spearman with the scores before;
             forget: accuracy}
    """
    heads = {who: _heads(problem, who) for who in ("imu", "ga")}
    values = {who: [scores(problem, *point.head) for point in points] for who, points in heads.items()}
    drawn = torch.randperm(len(problem.split.forget), generator=runtime.generator(0, _DRAW))[:LINES].sort().values
    lines = {str(int(problem.split.forget[i])): [round(float(epoch[i]), 6) for epoch in values["imu"]] for i in drawn}
    return {"lines": lines, "numbers": {who: _told(values[who], heads[who]) for who in heads}}


def _heads(problem: Problem, method: str) -> list[Point]:
    """The points of a run at the end of every epoch, each with its head."""
    batches = -(-len(problem.split.forget) // 256)
    config = dataclasses.replace(
        with_strength(plain(method, "head", 0.0), LENGTH / (EPOCHS * batches)), epochs=EPOCHS, stop_at=None, eval_every=batches
    )
    config = dataclasses.replace(config, update_every=1) if method == "imu" else config
    return list(unlearn(problem, config))


def _told(values: Sequence[Tensor], points: Sequence[Point]) -> dict[str, list[float]]:
    shapes = [shape(epoch) for epoch in values]
    return {
        "positive": [s["positive"] for s in shapes],
        "even": [s["even"] for s in shapes],
        "mean": [float(epoch.mean()) for epoch in values],
        "alike": [float(stats.spearmanr(values[0], epoch).statistic) for epoch in values],
        "forget": [point.accuracies["forget"] for point in points],
    }
