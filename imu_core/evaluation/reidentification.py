"""Can the person still be found? Retrieval with a model's features, on unseen people and on queries of a forgotten person.

Retrieval compares features and never asks the head. So a run at scope `head` with `bn=eval` leaves every rank as it was; what
changes ranks is a backbone that changes, or batch-norm statistics that drift while the model is in training mode.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from imu_core.caches import SharedCache
from imu_core.errors import DataError
from imu_core.metrics.retrieval import Ranking, order_of, rank
from imu_core.models import hashes
from imu_core.models.head import split_head
from imu_core.problems.features import in_parts, keep_embedding, kept_embedding
from imu_core.problems.reference import retrained_model
from imu_core.progress import Task
from imu_core.records.data import Dataset, People, Sightings
from imu_core.records.run import Problem


@dataclass(frozen=True, eq=False)
class Embedded:
    """Features (n, d) of a person set's `query`, `gallery` and `test` images under one model, known by its `backbone` hash."""

    backbone: str
    query: Tensor
    gallery: Tensor
    test: Tensor


@dataclass(frozen=True, eq=False)
class Found:
    """How well a model finds `unseen` people (its purpose) and the forgotten `person`: None where `why` gives a reason."""

    unseen: Ranking
    person: Ranking | None
    why: str
    embedded: Embedded

    def numbers(self) -> dict[str, float]:
        """Name → fraction: map, rank1, rank5 of unseen people, and as person_… those of the forgotten one, if any."""
        numbers = _numbers(self.unseen)
        return numbers | ({f"person_{name}": value for name, value in _numbers(self.person).items()} if self.person else {})


def _numbers(ranking: Ranking) -> dict[str, float]:
    last = len(ranking.cmc) - 1
    return {"map": ranking.map, "rank1": float(ranking.cmc[0]), "rank5": float(ranking.cmc[min(4, last)])}


def people_of(dataset: Dataset) -> People:
    """The people of `dataset`; a DataError where its classes are no identities."""
    if dataset.people is None:
        raise DataError(f"{dataset.title} shows no identities; re-identification needs a set of people.")
    return dataset.people


_EMBEDDED: SharedCache[tuple[str, str], Embedded] = SharedCache(24)  # by hashes of backbone and data set


def embed(model: nn.Module, dataset: Dataset, keep: bool = False) -> Embedded:
    """Features of every image that retrieval needs; computed once for each backbone, and stored on disk if `keep` is true.

    Two models with the same backbone have the same features, so for a model whose head alone changed nothing is computed.
    """
    steps = embedding_of(model, dataset, keep)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def embedding_of(model: nn.Module, dataset: Dataset, keep: bool = False) -> Generator[float, None, Embedded]:
    """A generator that returns what `embed` returns; while it computes, it yields the fraction done."""
    people = people_of(dataset)
    backbone = hashes.state_hash(split_head(model)[0])
    key = (backbone, dataset.hash)
    embedded = _EMBEDDED.get(key)
    if embedded is None:
        sets = {"query": people.query, "gallery": people.gallery, "test": people.test}
        whole, done, features = sum(len(part) for part in sets.values()), 0, {}
        for name, part in sets.items():
            about = f"{dataset.hash}-{name}"
            Z = kept_embedding(about, backbone, len(part))
            if Z is None:
                chunks = []
                for fraction, chunk, _ in in_parts(model, part.images):
                    chunks.append(chunk)
                    yield (done + fraction * len(part)) / whole
                Z = torch.cat(chunks)
                if keep:
                    keep_embedding(about, backbone, Z)
            features[name], done = Z, done + len(part)
        _EMBEDDED[key] = embedded = Embedded(backbone, **features)
    return embedded


def distances(query: Tensor, gallery: Tensor) -> np.ndarray:
    """Euclidean distances (Q, G) between features, in float64: what Market-1501's baselines and the paper's code rank by."""
    return torch.cdist(query.double(), gallery.double()).numpy()


def pixels_alone(dataset: Dataset) -> Ranking:
    """The ranking of unseen people by the distance of raw pixels, without any network: a model must do better."""
    people = people_of(dataset)
    space = distances(*(part.images.flatten(1).float() for part in (people.query, people.gallery)))
    return rank(space, people.query.ids, people.gallery.ids, people.query.cameras, people.gallery.cameras)


def queries_of(problem: Problem) -> Tensor:
    """Positions in the test set that show a forgotten person through a camera kept out of training."""
    gone = torch.tensor(problem.split.classes, dtype=torch.int64)
    return torch.isin(problem.dataset.test.labels, gone).nonzero()[:, 0]


def person_gallery(people: People) -> Sightings:
    """Where a forgotten person is searched: the gallery of unseen people, and all training people in held-out cameras."""
    return Sightings.join(people.gallery, people.test)


def judge(problem: Problem, model: nn.Module, keep: bool = False) -> Found:
    """mAP and CMC of `model` by Market-1501's protocol, on unseen people and on the forgotten person's own queries.

    The person's queries and matches come from the cameras kept out of training, so that no image was ever trained on.
    """
    people, z = people_of(problem.dataset), embed(model, problem.dataset, keep)
    query, gallery = people.query, people.gallery
    unseen = rank(distances(z.query, z.gallery), query.ids, gallery.ids, query.cameras, gallery.cameras)
    person, why = _person(problem, people, z)
    return Found(unseen, person, why, z)


def _person(problem: Problem, people: People, z: Embedded) -> tuple[Ranking | None, str]:
    queries, gallery = queries_of(problem), person_gallery(people)
    if not problem.split.classes:
        return None, "The request names no whole person, so nobody in particular can be searched for."
    names = " and ".join(problem.dataset.class_names[c] for c in problem.split.classes)
    if not len(queries):
        return None, (
            f"{names}: {_images(len(problem.split.forget))} from fewer than four cameras, trained on without exception; "
            "no image is left to search with."
        )
    mine = people.test.take(queries)
    try:
        space = distances(z.test[queries], torch.cat([z.gallery, z.test]))
        return rank(space, mine.ids, gallery.ids, mine.cameras, gallery.cameras), ""
    except DataError:
        return None, f"Only one camera outside training saw {names}: without a second one there is nothing to find."


def _images(count: int) -> str:
    return "a single image," if count == 1 else f"{count} images"


@dataclass(frozen=True, eq=False)
class Hit:
    """One entry of a rank list: gallery `position`, whether it shows the `same` person, its `distance`, and its rank `before`."""

    position: int
    same: bool
    distance: float
    before: int


@dataclass(frozen=True, eq=False)
class Search:
    """Queries and a gallery under two models: `shown` holds the queries, `positions` says which of them are to be searched with.

    `before` and `after` are (features of the queries, features of the gallery) under each model.
    """

    shown: Sightings
    positions: list[int]
    gallery: Sightings
    before: tuple[Tensor, Tensor]
    after: tuple[Tensor, Tensor]

    def nearest(self, at: int, first: int = 10) -> tuple[list[Hit], list[Hit]]:
        """The `first` gallery images nearest to query `at`, before and after, by Market-1501's protocol."""
        ids, cameras = self.gallery.ids.numpy(), self.gallery.cameras.numpy()
        seen = int(self.shown.ids[at]), int(self.shown.cameras[at])
        measured = [distances(Z[at][None], gallery)[0] for Z, gallery in (self.before, self.after)]
        orders = [order_of(distance, *seen, ids, cameras) for distance in measured]
        places = {int(position): place + 1 for place, position in enumerate(orders[0])}
        return tuple(
            [Hit(int(p), int(ids[p]) == seen[0], float(distance[p]), places[int(p)]) for p in order[:first]]
            for distance, order in zip(measured, orders, strict=True)
        )


_MOST_QUERIES = 12


def search(problem: Problem, before: Embedded, after: Embedded, forgotten: bool) -> Search:
    """A search with the forgotten person's queries from held-out cameras if `forgotten`, else with a dozen of unseen people."""
    people = people_of(problem.dataset)
    if forgotten:
        gallery, positions = person_gallery(people), queries_of(problem).tolist()
        spaces = [(z.test, torch.cat([z.gallery, z.test])) for z in (before, after)]
        return Search(people.test, positions, gallery, *spaces)
    positions = list(range(0, len(people.query), max(1, len(people.query) // _MOST_QUERIES)))[:_MOST_QUERIES]
    return Search(people.query, positions, people.gallery, *((z.query, z.gallery) for z in (before, after)))


def drift(before: nn.Module, after: nn.Module) -> dict[str, float]:
    """Batch-norm layer → how far its means moved: root mean square over channels, in standard deviations of `before`."""
    old, moved = dict(before.named_modules()), {}
    for name, layer in after.named_modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            step = (layer.running_mean - old[name].running_mean) / (old[name].running_var + old[name].eps).sqrt()
            moved[name] = float(step.square().mean().sqrt())
    return moved


def references(problem: Problem) -> dict[str, Found]:
    """Name → how well the original model finds people and, where it is stored, the retrained one: runs are held against them."""
    work = searching_references(problem)
    for _ in work.working():
        pass
    return work.found


class Searching(Task):
    """How well people are found with each of `models` (name → network): iterate it for (fraction done, words).

    `found` (name → Found) fills as it goes and is valid at any time. The features of the networks in `keep` stay on the disk.
    """

    def __init__(self, problem: Problem, models: Mapping[str, nn.Module], keep: Collection[str] = ()) -> None:
        super().__init__()
        self.problem, self.models, self.keep = problem, dict(models), keep
        self.found: dict[str, Found] = {}

    def working(self) -> Iterator[tuple[float, str]]:
        """Judges one network after another; the images go through it in chunks."""
        for number, (name, model) in enumerate(self.models.items()):
            words, keep = f"with the model {name}", name in self.keep
            for fraction in embedding_of(model, self.problem.dataset, keep):
                self._raise_if_cancelled()
                yield (number + 0.95 * fraction) / len(self.models), words
            yield (number + 0.95) / len(self.models), words
            self._raise_if_cancelled()
            self.found[name] = judge(self.problem, model, keep)


def searching_references(problem: Problem) -> Searching:
    """The search with the original model and, where it is stored, the retrained one; its `found` is what `references` gives."""
    models, keep = {"original": problem.model}, {"retrained"} if problem.history else {"original", "retrained"}
    reference = retrained_model(problem)
    return Searching(problem, models | ({} if reference is None else {"retrained": reference}), keep)
