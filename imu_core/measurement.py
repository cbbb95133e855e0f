"""What is measured after a run, because it is too slow for the loop: membership, and the distance from the retrained model."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from imu_core.errors import Cancelled, ImuError
from imu_core.evaluation import accuracies
from imu_core.features import compute
from imu_core.metrics import divergence, membership
from imu_core.models import checkpoints
from imu_core.models.head import find_head
from imu_core.records import Outcome, Problem
from imu_core.reference import retrained
from imu_core.reidentification import drift, judge, references
from imu_core.unlearning import Run

Logits = tuple[Tensor, Tensor]  # of the training set (N, C) and of the test set (n, C)


class Measurement:
    """Final metrics of a finished `run`, beside those of the original and of the retrained model where one is stored.

    Iterate it for (fraction done, what is being measured); `result` fills as it goes and is valid at any time:

        accuracies   model → set → fraction
        membership   model → fraction of the forget set judged non-member (`membership.ORIENTATION`)
        divergence   model → set → {kl, js (nats), w1}, each against the retrained model
        retrieval    model → {map, rank1, rank5, person_map, …}, fractions, where the classes are people
        drift        layer → how far the run moved its batch-norm statistics, in standard deviations, where they are people
        seconds      what each part took
    """

    def __init__(self, run: Run) -> None:
        self.run, self.problem = run, run.problem
        self.outcome = Outcome("queued")
        self.result: dict[str, Any] = {"accuracies": {}, "membership": {}, "divergence": {}, "seconds": {}}
        self._cancel = threading.Event()

    def cancel(self) -> None:
        """Ask the measurement to stop; safe from any thread. What was measured stays."""
        self._cancel.set()

    def __iter__(self) -> Iterator[tuple[float, str]]:
        self.outcome = Outcome("running")
        try:
            yield from self._measure()
            self.outcome = Outcome("done")
        except Cancelled:
            self.outcome = Outcome("cancelled", "Stopped by you; what was measured before stays.")
        except ImuError as error:
            self.outcome = Outcome("failed", str(error))

    def _measure(self) -> Iterator[tuple[float, str]]:
        yield 0.0, "outputs of all models"
        models = self._timed("outputs", self._models)
        for name, logits in models.items():
            self.result["accuracies"][name] = model_accuracies(self.problem, logits)
        for number, (name, logits) in enumerate(models.items()):
            yield (number + 1) / (len(models) + 2), f"membership attack on the {name} model"
            attack = self._timed("membership", lambda n=name, pair=logits: self._attack(n, pair))
            self.result["membership"][name] = attack
        if "retrained" in models:
            yield (len(models) + 1) / (len(models) + 2), "distance from the retrained model"
            for name in ("original", "run"):
                self.result["divergence"][name] = self._timed(
                    "divergence", lambda n=name: divergences(self.problem, models["retrained"], models[n])
                )
        if self.problem.dataset.people is not None:
            yield 0.95, "looking for people with all models"
            self._timed("retrieval", lambda: self._abandonable(self._retrieval))
        yield 1.0, "done"

    def _retrieval(self) -> None:
        found = {name: judged.numbers() for name, judged in references(self.problem).items()}
        model = self.run.model()
        self.result["drift"] = drift(self.problem.model, model)
        self.result["retrieval"] = found | {"run": judge(self.problem, model).numbers()}

    def _attack(self, name: str, logits: Logits) -> float:
        """The attack on one model; original and retrained stay what they are, so theirs is computed once a problem."""
        key = (self.problem.dataset.hash, self.problem.model_name, *_identity(self.problem), name)
        if name == "run" or key not in _ATTACKS:
            value = self._abandonable(lambda: attack_membership(self.problem, logits))
            if name == "run":
                return value
            _ATTACKS[key] = value
            while len(_ATTACKS) > _MOST_ATTACKS:
                _ATTACKS.pop(next(iter(_ATTACKS)))
        return _ATTACKS[key]

    def _models(self) -> dict[str, Logits]:
        problem, run = self.problem, self.run
        found: dict[str, Logits] = {
            "original": (problem.train.logits, problem.test.logits),
            "run": self._abandonable(lambda: run_logits(run)),
        }
        reference = retrained(problem)
        if reference is not None:
            found["retrained"] = (reference.train.logits, reference.test.logits)
        return found

    def _timed(self, name: str, work: Callable[[], Any]) -> Any:
        if self._cancel.is_set():
            raise Cancelled("Stopped.")
        start = time.perf_counter()
        try:
            return work()
        finally:
            self.result["seconds"][name] = self.result["seconds"].get(name, 0.0) + time.perf_counter() - start

    def _abandonable(self, work: Callable[[], Any]) -> Any:
        """Run `work`, which cannot be interrupted, in a thread of its own: Stop leaves it behind to end by itself."""
        box: dict[str, Any] = {}

        def target() -> None:
            _step_back()
            try:
                box["value"] = work()
            except Exception as error:  # handed to the caller, who is in another thread
                box["error"] = error

        thread = threading.Thread(target=target, daemon=True)
        thread.start()
        while thread.is_alive():
            thread.join(0.05)
            if self._cancel.is_set():
                raise Cancelled("Stopped.")
        if "error" in box:
            raise box["error"]
        return box["value"]


_ATTACKS: dict[tuple[str, ...], float] = {}
_MOST_ATTACKS = 200


def _identity(problem: Problem) -> tuple[str, ...]:
    """What the attacks on the stored models depend on: the sets, and whatever came before this request."""
    split = problem.split
    return checkpoints.removed_hash(split.forget), checkpoints.removed_hash(split.earlier), repr(problem.history)


def _step_back() -> None:
    """Let this thread wait behind everybody else's clicks, where the system knows priorities of threads (Linux)."""
    if hasattr(os, "setpriority"):
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)


@torch.no_grad()
def run_logits(run: Run) -> Logits:
    """Logits of the unlearned model on the whole training and test set."""
    if run.logits is not None:
        return run.logits
    problem, model = run.problem, run.model()
    if run.config.scope == "head" and run.config.bn == "eval":
        head = find_head(model)
        return head(problem.train.Z), head(problem.test.Z)
    return compute(model, problem.dataset.train.images)[1], compute(model, problem.dataset.test.images)[1]


def model_accuracies(problem: Problem, logits: Logits) -> dict[str, float]:
    """Accuracies of a model on every set of the problem, from its logits."""
    return accuracies(logits[0].argmax(1) == problem.train.labels, logits[1].argmax(1) == problem.test.labels, problem)


def attack_membership(problem: Problem, logits: Logits) -> float:
    """The SVC confidence attack as the literature sets it up: as many retain samples as there are test samples.

    Where whole classes are forgotten, their test samples are left out, as in the published tables.
    """
    train = _true_probability(logits[0], problem.train.labels)
    test = _true_probability(logits[1], problem.test.labels)
    if problem.split.gone_classes:
        test = test[~torch.isin(problem.test.labels, torch.tensor(problem.split.gone_classes))]
    members = train[problem.split.retain][: len(test)]
    return membership.svc_confidence(members, test[: len(members)], train[problem.split.forget])


def divergences(problem: Problem, reference: Logits, model: Logits) -> dict[str, dict[str, float]]:
    """KL, JS (nats) and per-class W1 of `model` against `reference` on forget, retain and test."""
    split = problem.split
    sets = {
        "forget": (reference[0][split.forget], model[0][split.forget]),
        "retain": (reference[0][split.retain], model[0][split.retain]),
        "test": (reference[1], model[1]),
    }
    measures = {"kl": divergence.kl, "js": divergence.js, "w1": divergence.w1}
    return {name: {key: measure(*pair) for key, measure in measures.items()} for name, pair in sets.items()}


def _true_probability(logits: Tensor, labels: Tensor) -> Tensor:
    return F.softmax(logits.float(), 1).gather(1, labels[:, None])[:, 0]
