"""The retrained reference: the same recipe on everything but the forget set. Methods never see it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from torch import nn

from imu_core import data
from imu_core.models import checkpoints, networks
from imu_core.problems.features import features
from imu_core.problems.features import prepare as prepare_features
from imu_core.problems.sets import accuracies
from imu_core.records.run import Features, Problem
from imu_core.training.loop import Training
from imu_core.training.quick import train_now
from imu_core.training.recipes import Recipe


@dataclass(frozen=True, eq=False)
class Reference:
    """A retrained model on record: its card, its features and logits on both sets, and its accuracies for the problem."""

    card: dict
    train: Features
    test: Features
    accuracies: dict[str, float]


def retrained(problem: Problem) -> Reference | None:
    """The stored retrained reference for what `problem` removes (this request and the earlier ones), or None.

    It is found by the removed samples, not by the words of the request. Where it is None, `retrain(problem)` trains it. For
    points and small tables it is trained here and now, which takes about a second.
    """
    checkpoint = _found(problem)
    if checkpoint is None:
        return None
    train, test = _logits(checkpoint.path, checkpoint.path.stat().st_mtime_ns, problem.dataset.name)
    train_hit, test_hit = (part.logits.argmax(1) == part.labels for part in (train, test))
    return Reference(checkpoint.card, train, test, accuracies(train_hit, test_hit, problem))


def prepare(problem: Problem) -> Iterator[tuple[float, str]]:
    """Compute the features that `retrained` needs and nobody has stored yet, yielding (fraction done, what is done)."""
    checkpoint = _found(problem)
    if checkpoint is not None:
        yield from prepare_features(checkpoint, problem.dataset)


def retrained_model(problem: Problem) -> nn.Module | None:
    """The stored retrained network for what `problem` removes, shared: never change it; None where there is none."""
    checkpoint = _found(problem)
    return _network(checkpoint.path, checkpoint.path.stat().st_mtime_ns, problem.dataset.name) if checkpoint else None


def _found(problem: Problem) -> checkpoints.Checkpoint | None:
    stored = checkpoints.find(problem.dataset, problem.model_name, problem.split.removed)
    if stored is None and problem.dataset.trains_at_once:
        return train_now(problem.dataset, problem.model_name, problem.split.removed, _request(problem))
    return stored


@lru_cache(maxsize=8)
def _network(path: Path, modified: int, dataset_name: str) -> nn.Module:
    return networks.load_model(checkpoints.at(path), data.load(dataset_name))


@lru_cache(maxsize=16)
def _logits(path: Path, modified: int, dataset_name: str) -> tuple[Features, Features]:
    dataset = data.load(dataset_name)
    network = _network(path, modified, dataset_name)
    return (
        features(network, dataset.train, f"{dataset.hash}-train"),
        features(network, dataset.test, f"{dataset.hash}-test"),
    )


def retrain(problem: Problem) -> Training:
    """The training that makes the missing reference; iterate it, then call its `save()`, and `retrained` finds it."""
    before = checkpoints.find(problem.dataset, problem.model_name, problem.split.removed[:0])
    recipe = Recipe(**before.card["recipe"]) if before else None  # the original's own, or the comparison would be unfair
    return Training(problem.dataset, problem.model_name, problem.split.removed, recipe=recipe, request=_request(problem))


def _request(problem: Problem) -> str:
    return "; then ".join([*(request for request, _ in problem.history), problem.split.request])


def seconds_to_retrain(problem: Problem) -> float | None:
    """Seconds that the quickest stored training of this model on this data took, on any machine; None where none is on record."""
    cards = [checkpoint.card.get("seconds") for checkpoint in checkpoints.listing(problem.dataset.name, problem.model_name)]
    return min((float(seconds) for seconds in cards if seconds), default=None)


def target(problem: Problem) -> tuple[float, str] | None:
    """(forget accuracy at which runs should stop, the reason in words); None where the forget set is whole classes.

    A model that never saw a random sample still recognises it as often as any new image. So the aim is the retrained
    model's accuracy on the forget set; where none is stored, the original's test accuracy stands in for it, which is fair
    for random samples and too high for hard ones.
    """
    if problem.split.classes:
        return None
    reference = retrained(problem)
    if reference:
        return reference.accuracies["forget"], "the retrained model's accuracy on them"
    hits = problem.test.logits.argmax(1) == problem.test.labels
    return float(hits.double().mean()), "the original model's test accuracy, as no retrained model is stored"
