"""`problem("fashion", model=…, forget=…)`: dataset, trained model, cached features and split, as one record."""

from __future__ import annotations

import dataclasses
from functools import lru_cache
from pathlib import Path

import torch
from torch import nn

from imu_core import data, forget as requests
from imu_core.errors import CheckpointError, ConfigError
from imu_core.features import compute, features
from imu_core.models import MODELS, checkpoints
from imu_core.models.head import find_head
from imu_core.records import Dataset, Features, ImageSet, Problem
from imu_core.unlearning import Run

NOTHING = torch.empty(0, dtype=torch.int64)


def problem(dataset: str = "fashion", *, model: str = "small_resnet", forget: str = "class:Sandal", seed: int = 0) -> Problem:
    """The problem of making the original `model`, trained on `dataset`, forget what the request `forget` names.

    `seed` draws whatever a problem leaves open: a random request that names no seed, and the samples that wide scopes are
    judged by between steps. A run has a seed of its own. Models and features are shared by all callers; never change them.

    Raises DataError for the request, ConfigError for names that do not exist, CheckpointError when the model is not trained.
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**31:
        raise ConfigError(f"seed is {seed!r}; it must be a whole number from 0 to {2**31 - 1}.")
    loaded = data.load(dataset)
    checkpoint = original(loaded, model)
    network, train, test = _original(checkpoint.path, checkpoint.path.stat().st_mtime_ns, dataset)
    return Problem(loaded, model, network, train, test, requests.split(forget, loaded, train, seed), seed)


def original(dataset: Dataset, model: str) -> checkpoints.Checkpoint:
    """The checkpoint of the original `model` on `dataset`; CheckpointError says how to train it where there is none."""
    if model not in MODELS:
        raise ConfigError(f"There is no model called {model!r}. Known models: {', '.join(MODELS)}.")
    found = checkpoints.find(dataset, model, NOTHING)
    if found is None:
        raise CheckpointError(
            f"No {model} is trained on {dataset.name} yet. Train it on the page, or with: "
            f"python -m imu_core train --problem {dataset.name} --model {model}"
        )
    return found


@lru_cache(maxsize=6)
def _original(path: Path, modified: int, dataset_name: str) -> tuple[nn.Module, Features, Features]:
    dataset = data.load(dataset_name)
    network = checkpoints.load_model(checkpoints.at(path), dataset)
    return (
        network,
        features(network, dataset.train, f"{dataset.hash}-train"),
        features(network, dataset.test, f"{dataset.hash}-test"),
    )


def after(run: Run, forget: str) -> Problem:
    """A second request, on the model that `run` left behind: what that run forgot is in neither set any more.

    The history of the new problem holds every request and config before it, so that the chain can be repeated.
    """
    old = run.problem
    if run.outcome.state in ("queued", "running"):
        raise ConfigError("The first run has not finished: wait for it, or stop it, before asking for a second one.")
    network = run.model()
    same_backbone = run.config.scope == "head" and run.config.bn == "eval"
    train, test = (
        _with_head(part, network) if same_backbone else _fresh(network, images, part)
        for part, images in ((old.train, old.dataset.train), (old.test, old.dataset.test))
    )
    split = requests.split(forget, old.dataset, train, old.seed, old.split)
    history = (*old.history, (old.split.request, run.config.changed()))
    return dataclasses.replace(old, model=network, train=train, test=test, split=split, history=history)


@torch.no_grad()
def _with_head(part: Features, network: nn.Module) -> Features:
    return Features(part.Z, part.labels, find_head(network)(part.Z))


def _fresh(network: nn.Module, images: ImageSet, part: Features) -> Features:
    Z, logits = compute(network, images.images)
    return Features(Z, part.labels, logits)
