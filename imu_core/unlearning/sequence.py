"""Requests in sequence: the problem that the model of an earlier run leaves behind, and runs repeated to come back to it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from weakref import WeakKeyDictionary

import torch
from torch import nn

from imu_core import data, runtime
from imu_core.caches import SharedCache
from imu_core.errors import Cancelled, ConfigError
from imu_core.models.head import find_head
from imu_core.problems import forget as requests
from imu_core.problems.features import in_parts
from imu_core.problems.problem import problem
from imu_core.progress import Task
from imu_core.records.outcome import Outcome
from imu_core.records.run import Features, Problem, RunConfig
from imu_core.records.shapes import History, Settings
from imu_core.unlearning.run import Run


def problem_after(
    history: History,
    dataset: str = "fashion",
    *,
    model: str | None = None,
    forget: str | None = None,
    seed: int = 0,
) -> Problem:
    """The problem of forgetting what `forget` names once the requests of `history` were unlearned.

    `history` holds those requests, oldest first, each with the settings of the run that unlearned it. The runs are repeated here
    (once; their result is kept), and the problem starts from the model that they leave behind. Everything else is as for
    `problem`.

    Raises as `problem` does, and ConfigError where an earlier request cannot be repeated.
    """
    if not history:
        return problem(dataset, model=model, forget=forget, seed=seed)
    usual = data.usual(dataset)
    run = _repeated(dataset, usual[0] if model is None else model, seed, _as_text(history))
    return after(run, usual[1] if forget is None else forget)


_REPEATED: SharedCache[tuple[str, str, int, str], Run] = SharedCache(16)  # by data set, model, seed and history


def _as_text(history: History) -> str:
    try:
        return json.dumps([[request, dict(settings)] for request, settings in history], sort_keys=True)
    except (TypeError, ValueError) as error:
        raise ConfigError("The history must be a list of pairs [request, settings], oldest first.") from error


def _repeated(dataset: str, model: str, seed: int, history: str) -> Run:
    """The finished last run of `history`, from memory or repeated now."""
    run = _REPEATED.get((dataset, model, seed, history))
    if run is None:
        *earlier, (request, settings) = json.loads(history)
        run = Run(problem_after(earlier, dataset, model=model, forget=request, seed=seed), RunConfig.from_dict(settings))
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


class Repeating(Task):
    """Requests in sequence, repeated one after another; iterate it for (fraction done, what is done), then call `problem`.

    Runs that are still in memory are not repeated. Stop with `cancel()` from any thread: it ends at its next step. While it is
    iterated it raises an ImuError where a request or its settings cannot be used or a run failed.
    """

    def __init__(self, dataset: str, model: str, seed: int, history: History) -> None:
        super().__init__()
        self.history = json.loads(_as_text(history))
        self._where = (dataset, model, seed)
        self._last: Run | None = None

    def problem(self, forget: str) -> Problem:
        """The problem of forgetting what `forget` names after all these requests; call it once the iteration has ended well."""
        return after(self._last, forget)

    def __iter__(self) -> Iterator[tuple[float, str]]:
        runtime.limit_threads()
        try:
            for number, (request, settings) in enumerate(self.history):
                for fraction, words in self._repeat(number, request, settings):
                    self._raise_if_cancelled()
                    yield (number + fraction) / len(self.history), f"{number + 1} of {len(self.history)}: {words}"
            self.outcome = Outcome("done")
        except Cancelled:
            self.outcome = Outcome("cancelled", "Stopped by you before all earlier requests were repeated.")

    def _repeat(self, number: int, request: str, settings: Settings) -> Iterator[tuple[float, str]]:
        """Repeat one request, then compute the features that its model gives."""
        dataset, model, seed = self._where
        key = (*self._where, _as_text(self.history[: number + 1]))
        words = f"{request[:60]} is forgotten"
        yield 0.0, words
        run = _REPEATED.get(key)
        if run is None:
            start = after(self._last, request) if self._last else problem(dataset, model=model, forget=request, seed=seed)
            run = self._through(Run(start, RunConfig.from_dict(settings)))
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
    """The problem of forgetting what `forget` names from the model that `run` left behind.

    What `run` forgot is neither in the forget set nor in the retain set. The history of the new problem holds every request
    and config before it, so that the chain can be repeated. ConfigError where `run` has not ended, or ended in numbers that are
    not finite.
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
