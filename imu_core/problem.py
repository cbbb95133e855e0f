"""`problem("fashion", model=…, forget=…)`: dataset, trained model, cached features and split, as one record."""

from __future__ import annotations

import dataclasses
import json
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from imu_core import data
from imu_core import forget as requests
from imu_core.errors import CheckpointError, ConfigError
from imu_core.features import compute, features
from imu_core.features import prepare as prepare_features
from imu_core.models import MODELS, brought, checkpoints, known
from imu_core.models.head import find_head
from imu_core.records import Dataset, Features, ImageSet, Problem, RunConfig
from imu_core.unlearning import Run

NOTHING = torch.empty(0, dtype=torch.int64)


def problem(
    dataset: str = "fashion",
    *,
    model: str = "small_resnet",
    forget: str = "class:Sandal",
    seed: int = 0,
    history: Sequence[tuple[str, dict[str, Any]]] = (),
) -> Problem:
    """The problem of making the original `model`, trained on `dataset`, forget what the request `forget` names.

    `history` holds the requests that came before, each with the settings of the run that unlearned it, oldest first: they
    are repeated (once; the result is kept) and the problem starts from what they left behind.

    `seed` draws whatever a problem leaves open: a random request that names no seed, and the samples that wide scopes are
    judged by between steps. A run has a seed of its own. Models and features are shared by all callers; never change them.

    Raises DataError for the request, ConfigError for names that do not exist, CheckpointError when the model is not trained.
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**31:
        raise ConfigError(f"seed is {seed!r}; it must be a whole number from 0 to {2**31 - 1}.")
    if history:
        return after(_repeated(dataset, model, seed, _as_text(history)), forget)
    loaded = data.load(dataset)
    checkpoint = original(loaded, model)
    network, train, test = _original(checkpoint.path, checkpoint.path.stat().st_mtime_ns, dataset)
    return Problem(loaded, model, network, train, test, requests.split(forget, loaded, train, seed), seed)


def prepare(dataset: str = "fashion", *, model: str = "small_resnet") -> Iterator[tuple[float, str]]:
    """Compute the features that `problem` needs and nobody has stored yet, yielding (fraction done, what is done).

    Nothing comes where they are stored. What is left undone is gone on with by the next caller. Raises as `problem` does.
    """
    loaded = data.load(dataset)
    yield from prepare_features(original(loaded, model), loaded)


def original(dataset: Dataset, model: str) -> checkpoints.Checkpoint:
    """The checkpoint of the original `model` on `dataset`; CheckpointError says how to train it where there is none."""
    if not known(model):
        raise ConfigError(f"There is no model called {model!r}. Known models: {', '.join(MODELS)}.")
    found = checkpoints.find(dataset, model, NOTHING)
    if found is None and brought.is_brought(model):
        brought.card(dataset.name, model)  # raises where it was never brought
        raise CheckpointError(f"The images of {dataset.name} have changed since {model} was brought: bring it again.")
    if found is None:
        raise CheckpointError(
            f"No {model} is trained on {dataset.name} yet. Train it on the page, or with: "
            f"python -m imu_core train --problem {dataset.name} --model {model}"
        )
    return found


_REPEATED: OrderedDict[tuple[str, str, int, str], Run] = OrderedDict()
_MOST_REPEATED = 16


def _as_text(history: Sequence[tuple[str, dict[str, Any]]]) -> str:
    try:
        return json.dumps([[request, dict(settings)] for request, settings in history], sort_keys=True)
    except (TypeError, ValueError) as error:
        raise ConfigError("The history must be a list of pairs [request, settings], oldest first.") from error


def _repeated(dataset: str, model: str, seed: int, history: str) -> Run:
    """The finished last run of `history`, from memory or repeated now."""
    key = (dataset, model, seed, history)
    if key not in _REPEATED:
        *earlier, (request, settings) = json.loads(history)
        run = Run(problem(dataset, model=model, forget=request, seed=seed, history=earlier), RunConfig.from_dict(settings))
        for _ in run:
            pass
        if run.outcome.state == "failed":
            raise ConfigError(f"The earlier request {request!r} could not be repeated: {run.outcome.reason}")
        _keep(key, run)
        remember(run)
    return _REPEATED[key]


def remember(run: Run) -> None:
    """Keep a finished `run` in memory, so that a problem which has it in its history need not repeat it."""
    old = run.problem
    history = _as_text([*old.history, (old.split.request, run.config.changed())])
    _keep((old.dataset.name, old.model_name, old.seed, history), run)


def _keep(key: tuple[str, str, int, str], run: Run) -> None:
    _REPEATED[key] = run
    while len(_REPEATED) > _MOST_REPEATED:
        _REPEATED.popitem(last=False)


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
    if not all(bool(torch.isfinite(tensor).all()) for tensor in network.state_dict().values()):
        raise ConfigError(
            "The first run ended in numbers that are no numbers: nothing can start from its model. Run it again, slower."
        )
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
