"""The one loop: `unlearn(problem, config)` is a `Run`; iterate it for Points, then read its model, trajectory and outcome."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from imu_core import methods, runtime
from imu_core.errors import Cancelled, ConfigError, ImuError, cut
from imu_core.methods import plugins
from imu_core.methods.base import Edit
from imu_core.methods.workspace import Head, Workspace
from imu_core.progress import Task
from imu_core.records.outcome import Cause, Outcome
from imu_core.records.run import Point, Problem, RunConfig, Trajectory
from imu_core.report.numbers import percent
from imu_core.unlearning.batches import Part, Stream
from imu_core.unlearning.evaluator import Evaluation, Judgement
from imu_core.unlearning.recording import distance_moved, record_of
from imu_core.unlearning.steps import Stepper, Taken
from imu_core.weights import spread

_MOST_POINTS, _FEWEST_POINTS = {True: 1000, False: 60}, 20  # evaluations in one run, over features and over images
_MOST_JUDGED = 2 * 10**12  # products of numbers in all evaluations over features: large heads are judged, and kept, more seldom
_PARTS, _FINER = 20, 2  # of the straight line that an edit is walked in; how often a part is walked in parts again


def unlearn(problem: Problem, config: RunConfig | None = None, *, brief: bool = False) -> Run:
    """A `Run` of `config` (default: IMU on the head) on `problem`; nothing happens until it is iterated.

    A `brief` run is not judged on the whole sets at its end, which at a wide scope often takes longer than all steps. It is for
    searches, which look at the forget set alone. Raises ConfigError at once for a method that does not exist or does not fit
    the scope.
    """
    return Run(problem, config or RunConfig(), brief)


class Run(Task):
    """One unlearning run on its own copy of the model. Iterating yields Points, the first before any step.

    The last Point is a full evaluation unless the run is `brief` or was cancelled. `cancel()` may be called from any thread and
    ends the run within one step; what was yielded before stays valid. Errors of the engine end it as `failed`, with the sentence.
    """

    def __init__(self, problem: Problem, config: RunConfig, brief: bool = False) -> None:
        super().__init__()
        self.problem, self.config, self._brief = problem, config, brief
        self.method = methods.find(config.method)
        self.method.check(config.scope, problem.split)
        self.options = self.method.options(config)
        self.granted = self.method.needs(config)
        self.points: list[Point] = []
        self.phases = {"prepare": 0.0, "steps": 0.0, "evaluation": 0.0}
        self.sizes: dict[str, int] = {}
        self._workspace: Workspace | None = None
        self._final: tuple[Any, Trajectory] | None = None

    def progress(self, last: Point) -> tuple[float, str]:
        """How far the run is at its point `last`: (fraction of its steps, words)."""
        return (last.step / self.steps if self.steps else 1.0), f"step {last.step} of at most {self.steps}"

    @property
    def steps(self) -> int:
        """Steps the run takes unless something ends it earlier."""
        if self.method.edit:
            return _PARTS if self.config.stop_at is None else (_FINER + 1) * _PARTS
        return self.config.epochs * self._stream.batches

    @cached_property
    def _stream(self) -> Stream:
        return Stream(self.method.stream_for(self.config), self.problem.split, self.config, self.options.get("retain_share", 1.0))

    def __iter__(self) -> Iterator[Point]:
        if self.outcome.state != "queued":
            yield from list(self.points)
            return
        self.outcome = Outcome("running")
        try:
            yield from self._loop()
        except Cancelled:
            self.outcome = Outcome("cancelled", f"Stopped by you at step {self._step_done}.")
        except ImuError as error:
            self.outcome = Outcome("failed", str(error))
        except GeneratorExit:
            if self.outcome.state == "running":
                self.outcome = Outcome("cancelled", f"Nobody asked for more after step {self._step_done}.")
            raise
        except BaseException as error:  # sys.exit, too
            if plugins.is_ctrl_c(error) or not plugins.is_foreign(self.config.method):
                raise
            self.outcome = Outcome("failed", cut(f"{self.method.title}, a method from elsewhere, failed: {plugins.said(error)}."))

    _step_done, _share, _more = 0, 0.0, ""  # _more: what an edit adds to the sentence on its end
    _weighed: tuple[Tensor | None, dict[str, float] | None] = (None, None)  # weights, and how they are spread
    _asked: tuple[tuple[int, float] | None, bool] = (None, False)  # where the target was last asked for, and the answer

    def _loop(self) -> Iterator[Point]:
        runtime.limit_threads()
        self._memory = runtime.Memory()
        workspace = self._workspace = Workspace(self.problem, self.config, self._raise_if_cancelled)
        view = methods.View(workspace, self.granted, self.method.title, self.options)
        self._evaluation = Evaluation(workspace, lambda: self.is_cancelled)
        self.sizes = self._evaluation.sizes
        objective = self._timed("prepare", lambda: self.method.start(view, self.config))
        if isinstance(objective, Edit):
            yield from self._walk(objective)
            return
        first = self._point(None, objective.weights, full=self.steps == 0)
        if self._has_ended(first):
            yield first if first.full else self._replace_full(first, objective.weights)
            return
        yield first
        yield from self._steps(objective, Stepper(workspace, objective, self.config, self.steps))
        if self.outcome.state == "running":
            self.outcome = Outcome("done", self._why_done())

    def _steps(self, objective: methods.Objective, stepper: Stepper) -> Iterator[Point]:
        ahead: list[Taken] = []
        for epoch in range(self.config.epochs):
            for part in self._stream.epoch(epoch):
                try:
                    taken = self._take(objective, stepper, part, epoch)
                except Cancelled:
                    if ahead:  # steps that nobody has seen were never taken
                        self._put_back(self.points[-1].step, self.points[-1].head)
                    raise
                except (Exception, SystemExit):  # what was done before stays on record
                    yield from self._judge_ahead(ahead)
                    if self.outcome.state == "running":
                        raise
                    return
                if taken.head is None:
                    yield from self._judge_now(taken)
                else:
                    ahead.append(taken)
                    if len(ahead) == self._evaluation.at_once or taken.is_broken or not self._is_due(taken.step + 1):
                        yield from self._judge_ahead(ahead)
                        ahead = []
                if self.outcome.state != "running":
                    return
        yield from self._judge_ahead(ahead)

    def _take(self, objective: methods.Objective, stepper: Stepper, part: Part, epoch: int) -> Taken:
        """Take the next step. Over features one that will be evaluated keeps its head, to be judged together with others."""
        self._raise_if_cancelled()
        self._timed("prepare", lambda: objective.refresh(self._step_done, epoch))
        loss = self._timed("steps", lambda: stepper.step(part, self._step_done, epoch))
        self._step_done += 1
        head = self._workspace.head_copy() if self._is_due(self._step_done) else None
        return Taken(self._step_done, loss, objective.weights, head, sum(self.phases.values()))

    def _judge_now(self, taken: Taken) -> Iterator[Point]:
        last = taken.step == self.steps
        if self._is_broken(taken.loss):
            yield self._point(taken.loss, taken.weights, full=True)
        elif last or self._is_due(taken.step) or self._at_target():
            point = self._point(taken.loss, taken.weights, full=last)
            ended = self._has_ended(point)
            yield self._replace_full(point, taken.weights) if ended and not point.full else point

    def _judge_ahead(self, ahead: list[Taken]) -> Iterator[Point]:
        """Judge the heads of several steps in one product, which is far sooner done than one after another.

        Each is yielded with the model as it was then; where the run ends at one of them, the later ones were never taken.
        """
        if not ahead:
            return
        before = self.phases["evaluation"]
        judged = self._timed("evaluation", lambda: self._evaluation.judge_heads([taken.head for taken in ahead]))
        each = (self.phases["evaluation"] - before) / len(ahead)
        for number, (taken, judgement) in enumerate(zip(ahead, judged, strict=True), 1):
            if number > 1:
                self._raise_if_cancelled()
            self._put_back(taken.step, taken.head)
            broken = self._is_broken(taken.loss)
            point = self._added(judgement, taken.loss, taken.weights, taken.head, taken.seconds + number * each)
            ended = broken or self._has_ended(point)
            yield point
            if ended:
                return

    def _put_back(self, step: int, head: Head) -> None:
        """Make the model what it was after step `step`."""
        self._step_done = step
        self._workspace.put_head(head)

    def _is_due(self, step: int) -> bool:
        """Whether step `step` (from 1) is evaluated: as asked, else each of the first, and of a long rest as many again.

        Most runs end at their target long before their last step: of evaluations spread evenly nearly none would come.
        """
        if self.config.eval_every:
            return step % self.config.eval_every == 0
        first = self._most_points // 2
        return step <= first or step % max(1, math.ceil((self.steps - first) / first)) == 0

    @cached_property
    def _most_points(self) -> int:
        """Evaluations in one run unless `eval_every` says more."""
        assert self._workspace is not None
        most, head, train = _MOST_POINTS[self._workspace.on_features], self.problem.head, self.problem.train
        if not self._workspace.on_features:
            return most
        return max(_FEWEST_POINTS, min(most, _MOST_JUDGED // (len(train.labels) * head.in_features * head.out_features)))

    def _walk(self, edit: Edit) -> Iterator[Point]:
        """The straight line from the original to `edit` in twentieths, each judged; it ends where a target is reached.

        A twentieth that goes past the target is taken back and walked in twentieths itself, twice at most: so the target is
        met closely however far the edit reaches. A point's `epoch` is its share of the line.
        """
        self._more = edit.words
        workspace, start = self._workspace, [p.detach().clone() for p in self._workspace.parameters]
        point, begin, width = self._point(None, None, full=False), 0.0, 1 / _PARTS
        finest, every, met = width / _PARTS**_FINER, self.config.eval_every or 1, 1.0
        while not self._has_ended(point) and begin < 1.0 - finest / 2:
            if point is not None:
                yield point
            self._raise_if_cancelled()
            self._share = begin + width if begin + width < met - finest / 2 else met
            self._timed("steps", lambda: workspace.place(start, edit.target, self._share))
            if self._is_broken(None):
                yield self._point(None, None, full=True)
                return
            hit = self._at_target()
            if hit and width > 1.5 * finest:
                width, met, point = width / _PARTS, self._share, None
                continue
            begin, self._step_done = self._share, self._step_done + 1
            last = begin >= 1.0 - finest / 2
            point = self._point(None, None, full=last) if hit or last or self._step_done % every == 0 else None
            width, met = (1 / _PARTS, 1.0) if hit else (width, met)  # not ended all the same: on, at the usual pace
        if self.outcome.state == "running":
            self.outcome = Outcome("done", self._why_done())
        if self.outcome.cause is not Cause.TARGET:
            self.outcome = dataclasses.replace(self.outcome, reason=f"{self.outcome.reason} {edit.words}".strip())
        yield point if point.full else self._replace_full(point, None)

    def _at_target(self) -> bool:
        """Whether the forget set has reached `stop_at`; asked after every step, however far apart the evaluations are."""
        if self.config.stop_at is None:
            return False
        place = (self._step_done, self._share)
        if self._asked[0] != place:
            self._asked = place, self._timed("evaluation", lambda: self._evaluation.has_reached(self.config.stop_at))
        return self._asked[1]

    def _point(self, loss: float | None, weights: Tensor | None, full: bool) -> Point:
        workspace, full = self._workspace, full and not self._brief
        assert workspace is not None
        judged = self._timed("evaluation", lambda: self._evaluation.judge(full))
        return self._added(judged, loss, weights, self._workspace.head_copy(), sum(self.phases.values()), full)

    def _added(
        self, judged: Judgement, loss: float | None, weights: Tensor | None, head: Head | None, seconds: float, full: bool = True
    ) -> Point:
        point = Point(
            self._step_done,
            self._share if self.method.edit else self._step_done / max(1, self._stream.batches),
            seconds,
            loss,
            judged.accuracies,
            self._summary(weights),
            judged.forget_losses,
            judged.forget_predictions,
            head,
            full or head is not None,
        )
        self.points.append(point)
        return point

    def _summary(self, weights: Tensor | None) -> dict[str, float] | None:
        """How the weights are spread; made again only when they are others, which is seldom."""
        if weights is not self._weighed[0]:
            self._weighed = (weights, weights if weights is None else spread(weights))
        return self._weighed[1]

    def _replace_full(self, point: Point, weights: Tensor | None) -> Point:
        """The run ends here: judge the same step again on the whole sets and keep that instead."""
        if self._brief:
            return point
        self.points.pop()
        whole = self._point(point.loss, weights, full=True)
        if self.outcome.cause is Cause.TARGET:
            self.outcome = self._at(whole)
        return whole

    def _at(self, point: Point) -> Outcome:
        """The outcome of a run whose target is reached at `point`."""
        share = percent(point.accuracies["forget"])
        return Outcome("done", f"Reached the target: {share} of the forget set is recognised. {self._more}".strip(), reached=True)

    def _has_ended(self, point: Point | None) -> bool:
        if point is None:
            return False
        if point.full and self.config.stop_at is not None:  # all of the forget set was looked at: the question is answered
            self._asked = (self._step_done, self._share), point.accuracies["forget"] <= self.config.stop_at
        if self._at_target():
            self.outcome = self._at(point)
            return True
        recent = [p.accuracies["test"] for p in self.points[-2:]]
        if not self.method.from_scratch and len(recent) == 2 and max(recent) <= self._evaluation.chance:
            self.outcome = Outcome(
                "diverged",
                f"Test accuracy fell to chance ({percent(recent[-1])}) by step {self._step_done}. Use a smaller learning "
                "rate, or a target at which to stop.",
            )
            return True
        return False

    def _is_broken(self, loss: float | None) -> bool:
        assert self._workspace is not None
        finite = loss is None or math.isfinite(loss)
        if finite and all(bool(torch.isfinite(p).all()) for p in self._workspace.parameters):
            return False
        self.outcome = Outcome(
            "diverged", f"The loss stopped being a number at step {self._step_done}. Use a learning rate ten times smaller."
        )
        return True

    def _why_done(self) -> str:
        what = "The whole edit was made" if self.method.edit else f"All {self.steps} steps were taken"
        if self.config.stop_at is None:
            return f"{what}."
        return f"{what} without reaching the target of {percent(self.config.stop_at)}."

    def _timed(self, phase: str, work: Any) -> Any:
        start = time.perf_counter()
        try:
            return work()
        except GeneratorExit as error:  # a method's own: whoever leaves the run early is heard at a yield
            raise RuntimeError("GeneratorExit") from error
        finally:
            self.phases[phase] += time.perf_counter() - start

    def _costs(self) -> dict[str, float]:
        if self._workspace is None:
            return {}
        return {"moved": distance_moved(self.problem, self._workspace), "peak_bytes": float(self._memory.peak())}

    def model(self) -> nn.Module:
        """The unlearned model as it is now: a copy in eval mode that the caller owns. ConfigError before the run has started."""
        if self._workspace is None:
            raise ConfigError("The run has not started: iterate it first.")
        return self._workspace.model()

    def state(self) -> dict[str, Tensor]:
        """Every tensor of the unlearned model by name, as it is now; no copies, so nobody may change them.

        ConfigError before the run has started.
        """
        if self._workspace is None:
            raise ConfigError("The run has not started: iterate it first.")
        if not self._workspace.on_features:
            return self._workspace.module.state_dict()
        return {**self.problem.model.state_dict(), **dict(zip(self._workspace.names, self._workspace.parameters, strict=True))}

    @property
    def logits(self) -> tuple[Tensor, Tensor] | None:
        """Logits (N, C) and (n, C) of the final model on the training and test set, where the last Point judged all of both."""
        if self.outcome.state not in ("done", "diverged") or not self.points[-1].full:
            return None  # a cancelled run may have taken steps since it was last judged
        return self._evaluation.logits

    def drop_samples(self) -> None:
        """Drop what the points say of single samples (losses, predictions), to save memory; all else stays. Call it at the end.

        These numbers take 12 bytes for each sample and point: most of the memory of a finished run on a head.
        """
        self.points[:] = [dataclasses.replace(point, forget_losses=None, forget_predictions=None) for point in self.points]
        self._final = None

    @property
    def trajectory(self) -> Trajectory:
        """The record of the run so far; valid at any time. After the end it is made once, since pages read it dozens of times."""
        now = (self.outcome, len(self.points), tuple(self.phases.values()))
        if self._final is None or self._final[0] != now:
            made = record_of(self, self._costs())
            self._final = (now, made) if self.outcome.state not in ("queued", "running") else None
            return made
        return self._final[1]
