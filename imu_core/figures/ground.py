"""The ground that a stage draws under points of the plane: what a network says everywhere, and where its answer changes."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence

import numpy as np
import torch
from contourpy import contour_generator
from torch import Tensor

from imu_core.errors import DataError
from imu_core.evaluation.boundary import SIDE, Watched, everywhere, grid
from imu_core.figures.scene import Ground, Path, frames
from imu_core.influence.head import head_scores
from imu_core.problems.reference import retrained_model
from imu_core.records.run import Problem

FINE = 96  # cells across and up of the grid that a still boundary is drawn from
LEVELS = 64  # of sureness: 0 (a guess) to 63 (certain)


def ground(problem: Problem, watched: Sequence[Watched]) -> Ground:
    """The ground of `problem` with the runs `watched`, which have ended; a DataError where its samples are no points."""
    reference = retrained_model(problem)
    return Ground(
        SIDE,
        _points(problem),
        list(problem.dataset.class_names),
        boundary(everywhere(problem.model, FINE)),
        boundary(everywhere(reference, FINE)) if reference else [],
        [_film(each) for each in watched],
    )


def _points(problem: Problem) -> list[list[float]]:
    train, forget = problem.dataset.train, torch.zeros(len(problem.train.labels))
    forget[problem.split.forget] = 1
    columns = [*train.images.T, train.labels, forget, influences(problem)]
    return [[round(value, 3) for value in row] for row in torch.stack([c.double() for c in columns], 1).tolist()]


def influences(problem: Problem) -> Tensor:
    """|s_i| of every training point on the forget set, as a share of the largest, (N,): head gradients, diagonal estimator.

    For the points of the forget set that is the score that IMU weights by, without its sign.
    """
    part, forget, head = problem.train, problem.split.forget, problem.head
    query = part.Z[forget], part.labels[forget]
    scores = head_scores(part.Z, part.labels, head.weight, head.bias, query=query, curvature=query).scores.abs()
    return scores / scores.max().clamp(min=1e-30)


def _film(watched: Watched) -> str:
    """The ground at every point that is drawn: each byte as its change, modulo 256, since the point before; zlib, base64."""
    cells = np.stack([_cells(watched.moments[point.step].logits) for point in frames(watched.run.points)])
    changes = np.diff(cells, axis=0, prepend=np.zeros_like(cells[:1]))
    return base64.b64encode(zlib.compress(changes.tobytes(), 9)).decode()


def distances(watched: Watched) -> list[float]:
    """‖θ − θ_R‖₂ at every point that is drawn; empty where there is no retrained network."""
    apart = [watched.moments[point.step].apart for point in frames(watched.run.points)]
    return [] if np.isnan(apart).any() else [round(value, 4) for value in apart]


def _cells(logits: Tensor) -> np.ndarray:
    """One byte for each cell of logits (side, side, C): the class and how sure the model is of it."""
    sure, said = logits.flatten(0, 1).double().softmax(1).max(1)
    floor = 1 / logits.shape[-1]
    level = ((sure - floor) / (1 - floor) * (LEVELS - 1)).round().nan_to_num(0.0)
    return (LEVELS * said + level).to(torch.uint8).numpy()


def boundary(logits: Tensor) -> list[Path]:
    """Where the answer changes between the cells of `logits` (side, side, C): pieces of lines in the square from −1 to 1.

    They lie where one class's logit equals the largest of the others.
    """
    if logits.ndim != 3 or logits.shape[0] != logits.shape[1] or logits.shape[2] < 2:
        raise DataError(f"A boundary is drawn of logits (side, side, classes); given were {tuple(logits.shape)}.")
    side, classes = logits.shape[0], logits.shape[-1]
    across = grid(side)[:side, 0].numpy()
    paths = []
    for one in range(classes if classes > 2 else 1):
        others = logits[..., [c for c in range(classes) if c != one]].max(-1).values
        margin = (logits[..., one] - others).double().numpy()
        lines = contour_generator(across, -across, np.nan_to_num(margin)).lines(0.0)
        paths += [np.round(line, 3).tolist() for line in lines]
    return paths
