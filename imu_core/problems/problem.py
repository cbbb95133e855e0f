"""A problem by names: data set, trained model, cached features and split, as one record."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import torch
from torch import nn

from imu_core import data
from imu_core.errors import CheckpointError, ConfigError
from imu_core.models import MODELS, brought, checkpoints, known, networks, outside
from imu_core.problems import forget as requests
from imu_core.problems.features import features
from imu_core.problems.features import prepare as prepare_features
from imu_core.records.data import Dataset
from imu_core.records.run import Features, Problem
from imu_core.settings import RUN
from imu_core.training.quick import train_now

NOTHING = torch.empty(0, dtype=torch.int64)


def problem(
    dataset: str = "fashion",
    *,
    model: str | None = None,
    forget: str | None = None,
    seed: int = 0,
) -> Problem:
    """The problem of making the original `model`, trained on `dataset`, forget what the request `forget` names.

    Without a model or a request the usual one of that data set is taken: small_resnet and class:Sandal for images.
    `seed` draws whatever a problem leaves open: a random request that names no seed, and the samples that wide scopes are
    judged by between steps. A run has a seed of its own. Models and features are shared by all callers; never change them.

    Raises DataError for the request, ConfigError for names that do not exist, CheckpointError when the model is not trained.
    """
    seed = RUN["problem_seed"].check(seed, "seed")
    data.check_folder(dataset)  # what is in memory may have been read for others
    usual = data.usual(dataset)
    model, forget = usual[0] if model is None else model, usual[1] if forget is None else forget
    if outside.is_brought(model):
        brought.card(dataset, model)
    loaded = data.load(dataset)
    checkpoint = original(loaded, model)
    network, train, test = _original(checkpoint.path, checkpoint.path.stat().st_mtime_ns, dataset)
    return Problem(loaded, model, network, train, test, requests.split(forget, loaded, train, seed), seed)


def prepare(dataset: str = "fashion", *, model: str | None = None) -> Iterator[tuple[float, str]]:
    """Compute the features that `problem` needs and nobody has stored yet, yielding (fraction done, what is done).

    It yields nothing where they are stored. The next caller goes on with what one leaves undone. Raises as `problem` does.
    """
    loaded = data.load(dataset)
    yield from prepare_features(original(loaded, data.usual(dataset)[0] if model is None else model), loaded)


def original(dataset: Dataset, model: str) -> checkpoints.Checkpoint:
    """The checkpoint of the original `model` on `dataset`; CheckpointError says how to train it where there is none.

    A model of points or of a small table is trained here and now where it is not yet: that takes about a second.
    """
    if not known(model):
        raise ConfigError(f"There is no model called {model!r}. Known models: {', '.join(MODELS)}.")
    checkpoint = checkpoints.find(dataset, model, NOTHING)
    if checkpoint is None and outside.is_brought(model):
        brought.card(dataset.name, model)  # raises where it was never brought
        raise CheckpointError(f"The images of {dataset.name} have changed since {model} was brought: bring it again.")
    if checkpoint is None and dataset.trains_at_once:
        return train_now(dataset, model, NOTHING)
    if checkpoint is None:
        raise CheckpointError(
            f"No {model} is trained on {dataset.name} yet. Train it on the page, or with: "
            f"python -m imu_core train --problem {dataset.name} --model {model}"
        )
    return checkpoint


@lru_cache(maxsize=6)
def _original(path: Path, modified: int, dataset_name: str) -> tuple[nn.Module, Features, Features]:
    dataset = data.load(dataset_name)
    network = networks.load_model(checkpoints.at(path), dataset)
    return (
        network,
        features(network, dataset.train, f"{dataset.hash}-train"),
        features(network, dataset.test, f"{dataset.hash}-test"),
    )
