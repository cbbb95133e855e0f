"""`problem("fashion", model=…, forget=…)`: dataset, trained model, cached features and split, as one record."""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

from imu_core import data, runtime
from imu_core.caches import SharedCache
from imu_core.errors import Cancelled, CheckpointError, ConfigError
from imu_core.models import MODELS, brought, checkpoints, known
from imu_core.models.head import find_head
from imu_core.problems import forget as requests
from imu_core.problems.features import features, in_parts
from imu_core.problems.features import prepare as prepare_features
from imu_core.records import Dataset, Features, Outcome, Problem, RunConfig
from imu_core.settings import RUN
from imu_core.unlearning.run import Run

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
    seed = RUN["problem_seed"].check(seed, "seed")
    data.check_folder(dataset)  # what is in memory may have been read for others
    if brought.is_brought(model):
        brought.card(dataset, model)
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


_REPEATED: SharedCache[tuple[str, str, int, str], Run] = SharedCache(16)  # by data set, model, seed and history


def _as_text(history: Sequence[tuple[str, dict[str, Any]]]) -> str:
    try:
        return json.dumps([[request, dict(settings)] for request, settings in history], sort_keys=True)
    except (TypeError, ValueError) as error:
        raise ConfigError("The history must be a list of pairs [request, settings], oldest first.") from error


def _repeated(dataset: str, model: str, seed: int, history: str) -> Run:
    """The finished last run of `history`, from memory or repeated now."""
    run = _REPEATED.get((dataset, model, seed, history))
    if run is None:
        *earlier, (request, settings) = json.loads(history)
        run = Run(problem(dataset, model=model, forget=request, seed=seed, history=earlier), RunConfig.from_dict(settings))
        for _ in run:
            pass
        _check_ended(run, request)
        _REPEATED[dataset, model, seed, history] = run
        remember(run)
    return run


def remember(run: Run) -> None:
    """Keep a finished `run` in memory, so that a problem which has it in its history need not repeat it."""
    old = run.problem
    history = _as_text([*old.history, (old.split.request, run.config.changed())])
    _REPEATED[old.dataset.name, old.model_name, old.seed, history] = run


@lru_cache(maxsize=6)
def _original(path: Path, modified: int, dataset_name: str) -> tuple[nn.Module, Features, Features]:
    dataset = data.load(dataset_name)
    network = checkpoints.load_model(checkpoints.at(path), dataset)
    return (
        network,
        features(network, dataset.train, f"{dataset.hash}-train"),
        features(network, dataset.test, f"{dataset.hash}-test"),
    )


class Repeating:
    """Requests in sequence, repeated one after another; iterate it for (fraction done, what is done), then ask `problem`.

    What this machine remembers is not run again. Stop with `cancel()` from any thread: it ends at its next step. ImuError, while
    iterated, where a request or its settings cannot be used or a run failed.
    """

    def __init__(self, dataset: str, model: str, seed: int, history: Sequence[tuple[str, dict[str, Any]]]) -> None:
        self.history, self.outcome = json.loads(_as_text(history)), Outcome("running")
        self._where = (dataset, model, seed)
        self._last: Run | None = None
        self._at_work: Run | None = None
        self._cancel = threading.Event()

    def cancel(self) -> None:
        """Ask it to stop."""
        self._cancel.set()
        if self._at_work is not None:
            self._at_work.cancel()

    def problem(self, forget: str) -> Problem:
        """The problem of forgetting `forget` after all of them, once it has ended well."""
        return after(self._last, forget)

    def __iter__(self) -> Iterator[tuple[float, str]]:
        runtime.limit_threads()
        try:
            for number, (request, settings) in enumerate(self.history):
                for fraction, words in self._repeat(number, request, settings):
                    if self._cancel.is_set():
                        raise Cancelled("Stopped by you.")
                    yield (number + fraction) / len(self.history), f"{number + 1} of {len(self.history)}: {words}"
            self.outcome = Outcome("done")
        except Cancelled:
            self.outcome = Outcome("cancelled", "Stopped by you before all earlier requests were repeated.")

    def _repeat(self, number: int, request: str, settings: dict[str, Any]) -> Iterator[tuple[float, str]]:
        """One of them, and then the features that its model gives."""
        dataset, model, seed = self._where
        key = (*self._where, _as_text(self.history[: number + 1]))
        words = f"{request[:60]} is forgotten"
        yield 0.0, words
        run = _REPEATED.get(key)
        if run is None:
            start = after(self._last, request) if self._last else problem(dataset, model=model, forget=request, seed=seed)
            run = self._at_work = Run(start, RunConfig.from_dict(settings))
            for point in run:
                yield 0.8 * min(1.0, point.step / max(1, run.steps)), f"{words}, step {point.step} of at most {run.steps}"
            _check_ended(run, request)
            _REPEATED[key] = run
            remember(run)
        self._last = run
        for fraction in _leaving(run):
            yield 0.8 + 0.2 * fraction, f"features of the model without {request[:60]}"


def _check_ended(run: Run, request: str) -> None:
    if run.outcome.state == "failed":
        raise ConfigError(f"The earlier request {request!r} could not be repeated: {run.outcome.reason}")
    if run.outcome.state == "cancelled":
        raise Cancelled(run.outcome.reason)


def after(run: Run, forget: str) -> Problem:
    """A second request, on the model that `run` left behind: what that run forgot is in neither set any more.

    The history of the new problem holds every request and config before it, so that the chain can be repeated.
    """
    old = run.problem
    if run.outcome.state in ("queued", "running"):
        raise ConfigError("The first run has not finished: wait for it, or stop it, before asking for a second one.")
    for _ in _leaving(run):
        pass
    network, train, test = _LEFT[run]
    split = requests.split(forget, old.dataset, train, old.seed, old.split)
    history = (*old.history, (old.split.request, run.config.changed()))
    return dataclasses.replace(old, model=network, train=train, test=test, split=split, history=history)


_LEFT: WeakKeyDictionary[Run, tuple[nn.Module, Features, Features]] = WeakKeyDictionary()  # the model that a run left behind


def _leaving(run: Run) -> Iterator[float]:
    """Compute the features that the model of `run` gives, yielding the fraction done; nothing where they are known."""
    if run in _LEFT:
        return
    old, network = run.problem, run.model()
    if not all(bool(torch.isfinite(tensor).all()) for tensor in network.state_dict().values()):
        raise ConfigError(
            "The first run ended in numbers that are no numbers: nothing can start from its model. Run it again, slower."
        )
    if run.config.scope == "head" and run.config.bn == "eval":
        _LEFT[run] = network, _with_head(old.train, network), _with_head(old.test, network)
        return
    parts: list[Features] = []
    for part, images in ((old.train, old.dataset.train), (old.test, old.dataset.test)):
        chunks = []
        for fraction, Z, _ in in_parts(network, images.images):
            chunks.append(Z)
            yield 0.5 * (len(parts) + fraction)
        parts.append(_with_head(Features(torch.cat(chunks), part.labels, part.logits), network))
    _LEFT[run] = network, *parts


@torch.no_grad()
def _with_head(part: Features, network: nn.Module) -> Features:
    return Features(part.Z, part.labels, find_head(network)(part.Z))
