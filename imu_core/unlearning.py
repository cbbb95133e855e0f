"""The one loop: `unlearn(problem, config)` is a `Run`; iterate it for Points, then read its model, trajectory and outcome."""

from __future__ import annotations

import math
import platform
import threading
import time
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from imu_core import methods, runtime
from imu_core.arena import Arena
from imu_core.errors import Cancelled, ConfigError, ImuError
from imu_core.evaluation import Evaluation
from imu_core.methods.base import Batch
from imu_core.records import Outcome, Point, Problem, RunConfig, Trajectory
from imu_core.training import one_cycle
from imu_core.weights import effective_share

_SHUFFLE = 41  # stream of the generator
_MOST_POINTS = {True: 1000, False: 60}  # evaluations in one run, over features and over images, unless eval_every says more
_DECIMALS_OF_CHANCE = 2.0  # standard errors above 1/C that still count as chance


def unlearn(problem: Problem, config: RunConfig | None = None) -> Run:
    """A `Run` of `config` (default: IMU on the head) on `problem`; nothing happens until it is iterated.

    Raises ConfigError at once for a method that does not exist or does not fit the scope.
    """
    return Run(problem, config or RunConfig())


class Run:
    """One unlearning run on its own copy of the model. Iterating yields Points, the first before any step.

    The last Point is a full evaluation unless the run was cancelled. `cancel()` may be called from any thread and ends the
    run within one step; what was yielded before stays valid. Errors of the engine end it as `failed`, with the sentence.
    """

    def __init__(self, problem: Problem, config: RunConfig) -> None:
        self.problem, self.config = problem, config
        self.method = methods.find(config.method)
        if config.scope == "head" and not self.method.head:
            raise ConfigError(f"{self.method.title} has no gradient in the head. Choose scope 'last:1' or 'all'.")
        self.granted = self.method.needs(config)
        self.points: list[Point] = []
        self.phases = {"prepare": 0.0, "steps": 0.0, "evaluation": 0.0}
        self.outcome = Outcome("queued")
        self.sizes: dict[str, int] = {}
        self._cancel = threading.Event()
        self._arena: Arena | None = None
        self._last_head: dict[str, Tensor] | None = None

    def cancel(self) -> None:
        """Ask the run to stop; safe from any thread."""
        self._cancel.set()

    @property
    def steps(self) -> int:
        """Steps the run takes unless something ends it earlier."""
        return self.config.epochs * self._batches

    @property
    def _stream(self) -> Tensor:
        split = self.problem.split
        return split.forget if self.method.stream == "forget" else split.retain

    @property
    def _batches(self) -> int:
        return math.ceil(len(self._stream) / self.config.batch_size)

    def __iter__(self) -> Iterator[Point]:
        if self.outcome.state != "queued":
            yield from list(self.points)
            return
        self.outcome = Outcome("running")
        try:
            yield from self._loop()
        except Cancelled:
            self.outcome = Outcome("cancelled", f"Stopped by you after step {self._step_done}.")
        except ImuError as error:
            self.outcome = Outcome("failed", str(error))
        except GeneratorExit:
            if self.outcome.state == "running":
                self.outcome = Outcome("cancelled", f"Nobody asked for more after step {self._step_done}.")
            raise

    _step_done = 0

    def _loop(self) -> Iterator[Point]:
        runtime.limit_threads()
        arena = self._arena = Arena(self.problem, self.config)
        view = methods.View(arena, self.granted, self.method.title)
        self._evaluation = Evaluation(arena, self._cancel.is_set)
        self.sizes = self._evaluation.sizes
        objective = self._timed("prepare", lambda: self.method.start(view, self.config))
        optimizer, schedule = self._optimizer(arena.parameters)
        every = self.config.eval_every or max(1, math.ceil(self.steps / _MOST_POINTS[arena.on_features]))
        first = self._point(None, objective.weights, full=self.steps == 0)
        if self._has_ended(first):
            yield first if first.full else self._replace_full(first, objective.weights)
            return
        yield first
        for epoch in range(self.config.epochs):
            for batch_index in self._order(epoch):
                self._raise_if_cancelled()
                self._timed("prepare", lambda e=epoch: objective.refresh(self._step_done, e))
                loss = self._timed("steps", lambda b=batch_index, e=epoch: self._step(objective, optimizer, schedule, b, e))
                self._step_done += 1
                if self._is_broken(loss):
                    yield self._point(loss, objective.weights, full=True)
                    return
                last = self._step_done == self.steps
                if last or self._step_done % every == 0 or self._at_target():
                    point = self._point(loss, objective.weights, full=last)
                    ended = self._has_ended(point)
                    if ended and not point.full:
                        yield self._replace_full(point, objective.weights)
                        return
                    yield point
                    if ended:
                        return
        self.outcome = Outcome("done", self._why_done())

    def _at_target(self) -> bool:
        """Whether the forget set has reached `stop_at`; asked after every step, however far apart the evaluations are."""
        if self.config.stop_at is None:
            return False
        return self._timed("evaluation", self._evaluation.forget_accuracy) <= self.config.stop_at

    def _order(self, epoch: int) -> tuple[Tensor, ...]:
        """Positions within the stream, shuffled by the run's seed and the epoch alone: the same for every method."""
        order = torch.randperm(len(self._stream), generator=runtime.generator(self.config.seed, _SHUFFLE, epoch))
        return order.split(self.config.batch_size)

    def _optimizer(self, parameters: list[nn.Parameter]) -> tuple[torch.optim.Optimizer, Any]:
        c = self.config
        optimizer = torch.optim.SGD(parameters, c.learning_rate, c.momentum, weight_decay=c.weight_decay)
        if c.schedule == "constant" or c.learning_rate == 0.0:
            return optimizer, None
        return optimizer, one_cycle(optimizer, self.steps)

    def _step(
        self, objective: methods.Objective, optimizer: torch.optim.Optimizer, schedule: Any, position: Tensor, epoch: int
    ) -> float | None:
        arena = self._arena
        assert arena is not None
        index = self._stream[position]
        inputs = arena.inputs(index, self._step_done)
        labels = self.problem.train.labels[index]
        loss = objective(Batch(position, inputs, labels, arena.module(inputs), self._step_done, epoch))
        if loss is None:
            return None
        optimizer.zero_grad()
        loss.backward()
        if self.config.optimizer == "normalised":
            _normalise(arena.parameters)
        optimizer.step()
        if schedule is not None:
            schedule.step()
        return float(loss.detach())

    def _point(self, loss: float | None, weights: Tensor | None, full: bool) -> Point:
        arena = self._arena
        assert arena is not None
        judged = self._timed("evaluation", lambda: self._evaluation.judge(full))
        summary = None
        if weights is not None:
            summary = {
                "effective_share": effective_share(weights),
                "largest": float(weights.max()),
                "positive_share": float((weights > 0).double().mean()),
            }
        head = None
        if arena.on_features:
            head = (arena.head.weight.detach().clone(), arena.head.bias.detach().clone())
        point = Point(
            self._step_done,
            self._step_done / max(1, self._batches),
            sum(self.phases.values()),
            loss,
            judged.accuracies,
            summary,
            judged.forget_losses,
            judged.forget_predictions,
            head,
            full or arena.on_features,
        )
        self.points.append(point)
        return point

    def _replace_full(self, point: Point, weights: Tensor | None) -> Point:
        """The run ends here: judge the same step again on the whole sets and keep that instead."""
        self.points.pop()
        return self._point(point.loss, weights, full=True)

    def _has_ended(self, point: Point) -> bool:
        if self.config.stop_at is not None and point.accuracies["forget"] <= self.config.stop_at:
            self.outcome = Outcome(
                "done", f"Reached the target: {point.accuracies['forget']:.1%} of the forget set is recognised."
            )
            return True
        recent = [p.accuracies["test"] for p in self.points[-2:]]
        if not self.method.from_scratch and len(recent) == 2 and max(recent) <= self._chance():
            self.outcome = Outcome(
                "diverged",
                f"Test accuracy fell to chance ({recent[-1]:.1%}) by step {self._step_done}. Use a smaller learning rate, "
                "or a target at which to stop.",
            )
            return True
        return False

    def _chance(self) -> float:
        classes, n = len(self.problem.dataset.class_names), self._evaluation.between["test"]
        return 1 / classes + _DECIMALS_OF_CHANCE * math.sqrt((1 / classes) * (1 - 1 / classes) / n)

    def _is_broken(self, loss: float | None) -> bool:
        assert self._arena is not None
        finite = loss is None or math.isfinite(loss)
        if finite and all(bool(torch.isfinite(p).all()) for p in self._arena.parameters):
            return False
        self.outcome = Outcome(
            "diverged", f"The loss stopped being a number at step {self._step_done}. Use a learning rate ten times smaller."
        )
        return True

    def _why_done(self) -> str:
        if self.config.stop_at is None:
            return f"All {self.steps} steps were taken."
        return f"All {self.steps} steps were taken without reaching the target of {self.config.stop_at:.1%}."

    def _raise_if_cancelled(self) -> None:
        if self._cancel.is_set():
            raise Cancelled("Stopped.")

    def _timed(self, phase: str, work: Any) -> Any:
        start = time.perf_counter()
        try:
            return work()
        finally:
            self.phases[phase] += time.perf_counter() - start

    def model(self) -> nn.Module:
        """The unlearned model as it is now: a copy in eval mode that the caller owns."""
        if self._arena is None:
            raise ConfigError("The run has not started: iterate it first.")
        return self._arena.model()

    @property
    def logits(self) -> tuple[Tensor, Tensor] | None:
        """Logits (N, C) and (n, C) of the final model on the training and test set, where the last Point judged all of both."""
        if self.outcome.state not in ("done", "diverged") or not self.points[-1].full:
            return None  # a cancelled run may have taken steps since it was last judged
        return self._evaluation.logits

    @property
    def trajectory(self) -> Trajectory:
        """Everything on record so far; valid at any time."""
        return Trajectory(
            self.config,
            self.problem.describe(),
            tuple(self.points),
            {name: round(seconds, 6) for name, seconds in self.phases.items()},
            self.outcome,
            dict(self.sizes),
            tuple(sorted(self.granted)),
            environment={"python": platform.python_version(), "torch": torch.__version__, "data_hash": self.problem.dataset.hash},
        )


def _normalise(parameters: list[nn.Parameter]) -> None:
    """Scale all gradients together to length 1, so that every step has the length of the learning rate."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for g in gradients]))
    if float(norm) > 0:
        for gradient in gradients:
            gradient /= norm
