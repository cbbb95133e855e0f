"""The story of a replay in sentences: before, on the way, and what it has cost everybody in the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from imu_core.records.run import Problem, Trajectory
from imu_core.report.numbers import apart, percent
from imu_core.report.verdicts import Accuracies, Moment, Side, changed, listed, moment, side

PARTS = 24  # of the way, each with a sentence of its own


@dataclass(frozen=True, eq=False)
class Tale:
    """Runs (title, record) on one problem of whole classes, beside the retrained model (accuracies as fractions; None: none).

    The first run is the one whose answers the pictures show.
    """

    runs: Sequence[tuple[str, Trajectory]]
    problem: Problem
    reference: Accuracies | None

    @property
    def last(self) -> int:
        """The last step of the longest run."""
        return max(record.points[-1].step for _, record in self.runs)

    @property
    def steps(self) -> list[int]:
        """The steps from which on another sentence holds, evenly spread, so that none lags far behind the pictures."""
        return sorted({self.last * part // PARTS for part in range(PARTS + 1)})

    def sentence(self, step: int) -> str:
        """What is to be said at `step`, from the numbers there."""
        at = max(known for known in self.steps if known <= step)
        now = [one for title, record in self.runs if (one := moment(title, record, at))]
        if now[0].step == 0:
            return f"The model has seen {self._them()}. It recognises {percent(now[0].forget)} of them. Now it is to forget them."
        return self._end(now) if at == self.last else self._midway(now[0])

    def _them(self) -> str:
        names = listed([self.problem.dataset.class_names[c] for c in self.problem.split.classes])
        return f"{len(self.problem.split.forget):,} images of {names}"

    @staticmethod
    def _midway(now: Moment) -> str:
        gone = max(0.0, now.forget_before - now.forget)
        cost = ". Everything else is as good as before"
        if now.keeping is Side.BELOW:
            cost = f". So are {apart(now.kept, now.kept_before)} of everything else"
        elif now.keeping is Side.ABOVE:
            cost = f". Everything else is {apart(now.kept, now.kept_before)} better"
        return f"{now.title}, step {now.step}: {percent(gone)} of them are gone{cost}."

    def _end(self, now: Sequence[Moment]) -> str:
        words = listed([f"{one.title} {changed(one.kept, one.kept_before)}" for one in now])
        text = f"{self._stopped(now)} On everything else {words}"
        if self.reference is not None:
            text += f"; a model trained without them {changed(self.reference['test_other'], now[0].kept_before)}"
        return f"{text}.{_most(now)}"

    def _stopped(self, now: Sequence[Moment]) -> str:
        """At which forget accuracy the runs stop: together at their target, or each at its own."""
        targets = {record.config.stop_at for _, record in self.runs}
        target = targets.pop() if len(targets) == 1 else None
        if target is not None and all(one.forget <= target for one in now):
            return f"All stop once at most {percent(target)} are recognised."
        left = listed([f"{one.title} {'' if n else 'recognises '}{percent(one.forget)}" for n, one in enumerate(now)])
        return f"In the end {left} of them."


def _most(now: Sequence[Moment]) -> str:
    """' IMU kept least, DELETE most.', with everybody who is as far as a figure can tell; '' where all are alike."""
    kept = {one.title: round(one.kept, 3) for one in now if one.kept is not None}
    low, high = min(kept.values(), default=0.0), max(kept.values(), default=0.0)
    if side(high, low) is Side.SAME:
        return ""
    least, most = ([title for title, value in kept.items() if value == end] for end in (low, high))
    return f" {listed(least)} kept least, {listed(most)} most."
