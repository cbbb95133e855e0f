"""What is measured after a run, because it is too slow for the loop: attacks, and the distance from the retrained model."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from imu_core.caches import SharedCache
from imu_core.evaluation.reidentification import drift, judge, references
from imu_core.metrics import Kind, Sides, membership, neighbour, of_kind, thresholds
from imu_core.metrics import zrf as forgetting
from imu_core.models import hashes, networks
from imu_core.models.head import find_head
from imu_core.models.inference import Logits
from imu_core.problems.features import compute, in_parts
from imu_core.problems.reference import retrained
from imu_core.problems.sets import accuracies
from imu_core.problems.subsets import same_kind, spread
from imu_core.progress import Task
from imu_core.records.run import Problem
from imu_core.records.shapes import Metrics

if TYPE_CHECKING:
    from imu_core.unlearning.run import Run

LARGEST = 2500
FEW = 1000  # a side that `memberships` lets the SVC learn from
MOST_MACHINES = 50  # classes up to which MIA-NN, with one classifier a class, does not hold up everything else
MOST_JUDGED = 1000  # forget samples that the incompetent network of ZRF is asked about
_TEACHER = 1  # the seed of its random weights; trained models start from 0


class Measurement(Task):
    """Final metrics of a finished `run`, beside those of the original and of the retrained model where one is stored.

    Iterate it for (fraction done, what is being measured); `result` fills as it goes and is valid at any time:

        accuracies   model → set → fraction
        membership   model → fraction of the forget set judged non-member (`membership.ORIENTATION`)
        attacks      model → {confidence (as membership), correctness, entropy, modified_entropy, logistic, training_privacy}
        divergence   model → set → {kl, js (nats), w1, activation_distance, agreement, w1_classes}, against the retrained model
        gaps         model → {average_gap, tug_of_war, tug_of_war_membership}, against the retrained model
        worst_case   model → `thresholds.WorstCase` as a dict, between the two `threshold_sides`
        zrf          model → {zrf, zrf_js}, of at most 1,000 forget samples
        neighbour    model → {nearest (a class), neighbour_gap, neighbour_tv}, where whole classes go and at most 50 stay
        retrieval    model → {map, rank1, rank5, person_map, …}, fractions, where the classes are people
        drift        layer → how far the run moved its batch-norm statistics, in standard deviations, where they are people
        seconds      what each part took
    """

    STOPPED = "Stopped by you; what was measured before stays."

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.run, self.problem = run, run.problem
        parts = ("accuracies", "membership", "attacks", "divergence", "gaps", "worst_case", "zrf", "neighbour", "seconds")
        self.result: Metrics = {name: {} for name in parts}

    def memberships(self) -> dict[str, float]:
        """Model → fraction of the forget set that the SVC judges non-member; Cancelled after a stop.

        Nothing else is measured: it is for many runs. The SVC learns from at most `FEW` samples a side, half a second instead
        of a minute on CIFAR-10.
        """
        memberships = {}
        for name, logits in self._models().items():
            memberships[name] = self._cached("few", name, lambda pair=logits: attack_membership(self.problem, pair, FEW))
        return memberships

    def working(self) -> Iterator[tuple[float, str]]:
        """Measures one part after another into `result`; yields what a part is before it begins."""
        yield 0.0, "outputs of all models"
        models = self._timed("outputs", self._models)
        for name, logits in models.items():
            self.result["accuracies"][name] = model_accuracies(self.problem, logits)
        for number, (name, logits) in enumerate(models.items()):
            yield (number + 0.5) / (len(models) + 2), f"membership attack on the {name} model"
            attack = self._timed("membership", lambda n=name, pair=logits: self._attack(n, pair))
            self.result["membership"][name] = attack
            yield (number + 1) / (len(models) + 2), f"more attacks on the {name} model"
            others = self._timed("attacks", lambda n=name, pair=logits: self._more_attacks(n, pair))
            self.result["attacks"][name] = {"confidence": attack, **others}
        if "retrained" in models:
            yield (len(models) + 1) / (len(models) + 2), "distance from the retrained model"
            for name in ("original", "run"):
                self._timed("divergence", lambda n=name: self._compare(n, models))
            self._timed("neighbour", lambda: self._neighbours(models))
        for name in ("original", "run"):
            self._timed("worst_case", lambda n=name: self._worst_case(n, models))
        yield 0.9, "likeness to a network that never learned"
        self._timed("zrf", lambda: self._zrf(models))
        if self.problem.dataset.people is not None:
            yield 0.95, "looking for people with all models"
            self._timed("retrieval", lambda: self._abandonable(self._retrieval))

    def _compare(self, name: str, models: dict[str, Logits]) -> None:
        self.result["divergence"][name] = divergences(self.problem, models["retrained"], models[name])
        own, aim = (self.result["accuracies"][n] | {"membership": self.result["membership"][n]} for n in (name, "retrained"))
        self.result["gaps"][name] = {key: measure(own, aim) for key, measure in of_kind(Kind.GAP).items()}

    def _worst_case(self, name: str, models: dict[str, Logits]) -> None:
        positives, negatives, _ = threshold_sides(self.problem, models[name], models.get("retrained"))
        if negatives:
            self.result["worst_case"][name] = thresholds.worst_case(positives, negatives)._asdict()

    def _neighbours(self, models: dict[str, Logits]) -> None:
        problem, gone = self.problem, self.problem.split.gone_classes
        known = set(problem.test.labels.tolist())
        if not known & set(problem.split.classes) or not 2 <= len(known - set(gone)) <= MOST_MACHINES:
            return
        shares = {}
        for name, pair in models.items():
            shares[name] = self._cached("neighbour", name, lambda pair=pair: neighbour_shares(problem, pair))
        nearest = neighbour.nearest_class(models["retrained"][0][problem.split.forget], gone)
        for name in ("original", "run"):
            self.result["neighbour"][name] = neighbour.compare(shares[name], shares["retrained"], nearest)._asdict()

    def _zrf(self, models: dict[str, Logits]) -> None:
        index = spread(self.problem.split.forget, MOST_JUDGED)
        noise = self._cached("teacher", "", lambda: incompetent_logits(self.problem, index))
        for name, (train, _) in models.items():
            self.result["zrf"][name] = forgetting.zrf(train[index], noise)._asdict()

    def _retrieval(self) -> None:
        retrieval = {name: judged.numbers() for name, judged in references(self.problem).items()}
        model = self.run.model()
        self.result["drift"] = drift(self.problem.model, model)
        self.result["retrieval"] = retrieval | {"run": judge(self.problem, model).numbers()}

    def _attack(self, name: str, logits: Logits) -> float:
        return self._cached("membership", name, lambda: attack_membership(self.problem, logits))

    def _more_attacks(self, name: str, logits: Logits) -> dict[str, float]:
        return self._cached("attacks", name, lambda: attacks(self.problem, logits))

    def _cached(self, what: str, name: str, work: Callable[[], Any]) -> Any:
        """`work` on one model; original and retrained stay what they are, so theirs is done once a problem."""
        if name == "run":
            return self._abandonable(work)
        key = (what, self.problem.dataset.hash, self.problem.model_name, *_identity(self.problem), name)
        value = _MEASURED.get(key)
        if value is None:
            _MEASURED[key] = value = self._abandonable(work)
        return value

    def _models(self) -> dict[str, Logits]:
        problem, run = self.problem, self.run
        models: dict[str, Logits] = {
            "original": (problem.train.logits, problem.test.logits),
            "run": self._abandonable(lambda: run_logits(run)),
        }
        reference = retrained(problem)
        if reference is not None:
            models["retrained"] = (reference.train.logits, reference.test.logits)
        return models

    def _timed(self, name: str, work: Callable[[], Any]) -> Any:
        self._raise_if_cancelled()
        start = time.perf_counter()
        try:
            return work()
        finally:
            self.result["seconds"][name] = self.result["seconds"].get(name, 0.0) + time.perf_counter() - start


_MEASURED: SharedCache[tuple[str, ...], Any] = SharedCache(600)


def _identity(problem: Problem) -> tuple[str, ...]:
    """What the attacks on the stored models depend on: the sets, and whatever came before this request."""
    split = problem.split
    return hashes.removed_hash(split.forget), hashes.removed_hash(split.earlier), repr(problem.history)


@torch.no_grad()
def run_logits(run: Run) -> Logits:
    """Logits of the unlearned model on the whole training and test set."""
    known, images = known_logits(run), run.problem.dataset
    return known or tuple(compute(run.model(), part.images)[1] for part in (images.train, images.test))


@torch.no_grad()
def known_logits(run: Run) -> Logits | None:
    """The logits of `run_logits` where they are known without a pass over the images; else None."""
    known = run.logits  # on the head these are computed when they are asked for
    if known is not None or not (run.config.scope == "head" and run.config.bn == "eval"):
        return known
    head = find_head(run.model())
    return head(run.problem.train.Z), head(run.problem.test.Z)


class Asking(Task):
    """Computes the logits of `model` on all images of `problem`. Iterate it for (fraction done, words); then read `logits`."""

    def __init__(self, problem: Problem, model: nn.Module) -> None:
        super().__init__()
        self.problem, self.model = problem, model
        self.logits: Logits | None = None

    @torch.no_grad()
    def working(self) -> Iterator[tuple[float, str]]:
        """Works on a chunk of images at a time; the logits are bit for bit those of `compute`."""
        parts = self.problem.dataset.train.images, self.problem.dataset.test.images
        done, whole, answers, head = 0, sum(len(images) for images in parts), [], find_head(self.model)
        for images in parts:
            features = []
            for fraction, Z, _ in in_parts(self.model, images):
                self._raise_if_cancelled()
                features.append(Z)
                yield (done + fraction * len(images)) / whole, "asking the model about every image"
            done += len(images)
            answers.append(head(torch.cat(features)))
        self.logits = answers[0], answers[1]


def model_accuracies(problem: Problem, logits: Logits) -> dict[str, float]:
    """Accuracies of a model on every set of the problem, from its logits."""
    return accuracies(logits[0].argmax(1) == problem.train.labels, logits[1].argmax(1) == problem.test.labels, problem)


def attack_membership(problem: Problem, logits: Logits, most: int | None = None) -> float:
    """The fraction of the forget set that the SVC confidence attack judges non-member.

    As in the literature, it learns from as many retain samples as test samples. Where whole classes are forgotten, their test
    samples are left out, as in the published tables. With `most`, each side is cut to so many samples, spread over the set:
    the cost falls with their square.
    """
    train = _true_probability(logits[0], problem.train.labels)
    test = _true_probability(logits[1], problem.test.labels)
    members, others = (index if most is None else spread(index, most) for index in _attackers(problem))
    return membership.svc_confidence(train[members], test[others], train[problem.split.forget])


def attacks(problem: Problem, logits: Logits) -> dict[str, float]:
    """Name in records → value, for every metric of kind ATTACK on one model.

    Each side is cut to `LARGEST` samples, spread over the set. The logistic attack holds the forget set against test samples
    of its own kind: of the same classes, where whole classes go. It is left out where one side has fewer than five samples.
    """
    (train, test), split, kind = logits, problem.split, same_kind(problem)
    members, others = (spread(index, LARGEST) for index in _attackers(problem))
    sides = Sides(
        members=(train[members], problem.train.labels[members]),
        nonmembers=(test[others], problem.test.labels[others]),
        forget=(train[split.forget], problem.train.labels[split.forget]),
        kind=(test[kind], problem.test.labels[kind]),
    )
    numbers = ((name, measure(sides)) for name, measure in of_kind(Kind.ATTACK).items())
    return {name: value for name, value in numbers if value is not None}


def _attackers(problem: Problem) -> tuple[Tensor, Tensor]:
    """Members (training indices) and non-members (test indices) that an SVC learns from: equally many, none forgotten."""
    gone = torch.isin(problem.test.labels, torch.tensor(problem.split.gone_classes, dtype=torch.int64))
    others = (~gone).nonzero()[:, 0]
    members = problem.split.retain[: len(others)]
    return members, others[: len(members)]


def threshold_sides(
    problem: Problem, model: Logits, reference: Logits | None
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], str]:
    """(positives, negatives, what the negatives are): `thresholds.scores` of the two sides of a threshold attack on `model`.

    Positives are the forget set under the model. Negatives are the same samples under the retrained model; where there is
    none, test samples of the same kind under the model itself, and {} where there are no such samples either.
    """
    forget, labels = problem.split.forget, problem.train.labels[problem.split.forget]
    positives = thresholds.scores(model[0][forget], labels)
    if reference is not None:
        return positives, thresholds.scores(reference[0][forget], labels), "the same samples under the retrained model"
    kind = same_kind(problem)
    negatives = thresholds.scores(model[1][kind], problem.test.labels[kind]) if len(kind) else {}
    return positives, negatives, "test samples of the same kind under the same model"


def divergences(problem: Problem, reference: Logits, model: Logits) -> dict[str, dict[str, float]]:
    """How far `model` is from `reference`: set (forget, retain, test) → metric → number.

    The metrics are KL and JS (nats), W1, activation distance, agreement and `w1_classes`. The last one alone leaves the
    forgotten classes out of the test set, as the IMU authors' code does.
    """
    split = problem.split
    remaining = ~torch.isin(problem.test.labels, torch.tensor(split.gone_classes, dtype=torch.int64))
    sets = {
        "forget": (reference[0][split.forget], model[0][split.forget]),
        "retain": (reference[0][split.retain], model[0][split.retain]),
        "test": (reference[1], model[1]),
    }
    distances = {name: {key: measure(*pair) for key, measure in of_kind(Kind.DISTANCE).items()} for name, pair in sets.items()}
    for name, pair in sets.items():
        rows = remaining if name == "test" and bool(remaining.any()) else slice(None)
        distances[name] |= {key: measure(*(logits[rows] for logits in pair)) for key, measure in of_kind(Kind.CLASSES).items()}
    return distances


def neighbour_shares(problem: Problem, logits: Logits) -> np.ndarray:
    """t (C,) of `neighbour.shares` for one model; test samples of classes an earlier request removed are not asked about."""
    now = ~torch.isin(problem.test.labels, torch.tensor(problem.split.earlier_classes, dtype=torch.int64))
    return neighbour.shares(logits[1][now], problem.test.labels[now], problem.split.gone_classes)


def incompetent_logits(problem: Problem, index: Tensor) -> Tensor:
    """Logits (n, C) of a freshly initialised network of the same architecture on the training samples `index`."""
    network = networks.build(problem.model_name, problem.dataset, _TEACHER)
    return compute(network, problem.dataset.train.images[index])[1]


def _true_probability(logits: Tensor, labels: Tensor) -> Tensor:
    return F.softmax(logits.float(), 1).gather(1, labels[:, None])[:, 0]
