"""How long a run may take, before it begins: images through the network, timed here on a few, times how often they go through."""

from __future__ import annotations

import dataclasses
import math
import time

from imu_core.caches import SharedCache
from imu_core.methods import METHODS
from imu_core.models.inference import predict
from imu_core.records.run import Problem, RunConfig
from imu_core.unlearning.evaluator import SUBSET

_LOOKED_AT = 48  # images that are timed
_A_STEP = 3  # forward passes that a step costs: there, back, and the weights
_POINTS = 60  # of a run whose points are spread by itself
_EDIT = 10  # passes over its samples that an edit of the weights may take

_look: SharedCache[tuple[str, str], float] = SharedCache(50)


def seconds_at_most(problem: Problem, config: RunConfig) -> float | None:
    """Seconds that a run of `config` takes if nothing ends it early, to a factor of two; None on the head, where it is no wait.

    Runs end early where they reach their target, so most are shorter. Takes a fraction of a second the first time.
    """
    if config.scope == "head":
        return None
    method, split = METHODS[config.method], problem.split
    trained = len(split.forget) + len(split.retain) * method.trains_on_retain(config)
    batches = math.ceil(trained / max(1, config.batch_size or trained))
    passes = _EDIT if method.edit else config.epochs
    if method.edit:
        points = _POINTS
    else:
        points = passes * batches // config.eval_every if config.eval_every else min(_POINTS, passes * batches)
    sets = [len(part) for part in (split.forget, split.retain, split.earlier, problem.test.labels)]
    looked_at = points * sum(min(SUBSET, size) for size in sets) + sum(sets)
    return _seconds_of_an_image(problem) * (_A_STEP * passes * trained + looked_at)


def _seconds_of_an_image(problem: Problem) -> float:
    about = (problem.dataset.hash, problem.model_name)
    if about not in _look:
        some = dataclasses.replace(problem.dataset.train, images=problem.dataset.train.images[:_LOOKED_AT])
        predict(problem.model, some)  # the first pass warms up
        began = time.perf_counter()
        predict(problem.model, some)
        _look[about] = (time.perf_counter() - began) / len(some.images)
    return _look[about]
