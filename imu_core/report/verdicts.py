"""What came out of a run, in sentences with numbers: decided by enums and numbers first, written last.

One tolerance holds for every accuracy and every mAP: figures are compared as they are printed, to a tenth of a point, and two
that differ by at most one tenth are the same. A figure over few samples says what a single one of them weighs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from imu_core.depth import SAME, utility_key
from imu_core.evaluation.reidentification import Found
from imu_core.records.outcome import Outcome
from imu_core.records.run import Point, Problem, Trajectory
from imu_core.records.shapes import ScopeRow
from imu_core.report.numbers import apart, change, percent, tenths

FEW = 50  # samples: below it one sample is more than two points, and the sentence says so
_WITHIN = f"to within {apart(SAME, 0.0)}"
Accuracies = Mapping[str, float | None]


class Side(Enum):
    """Where a figure lies beside another one."""

    ABOVE = "above"
    SAME = "same"
    BELOW = "below"


def side(value: float, other: float) -> Side:
    """Where `value` lies beside `other`, both fractions, compared as they are printed."""
    gap = tenths(value) - tenths(other)
    return Side.SAME if abs(gap) <= round(1000 * SAME) else Side.ABOVE if gap > 0 else Side.BELOW


def weight_of_one(count: int, what: str = "images") -> str:
    """' One of these 12 images is 8.3 points.' where `count` is small; '' where it is not, or where there is but one."""
    unit = "percentage points" if what == "points" else "points"
    return f" One of these {count} {what} is {100 / count:.1f} {unit}." if 1 < count < FEW else ""


def listed(names: Sequence[str]) -> str:
    """'A', 'A and B', 'A, B and C'."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else ""


# A run at one of its points.


@dataclass(frozen=True)
class Moment:
    """A run at a step: what it recognises of the forget set and keeps elsewhere, then and before its first step.

    `kept` is the accuracy that must be kept, or None where it was not measured; `whole`: judged on whole sets, not on a sample.
    """

    title: str
    step: int
    last: int
    forget: float
    forget_before: float
    kept: float | None
    kept_before: float | None
    whole: bool
    outcome: Outcome
    missed: bool = False  # it had a target, and took all its steps without reaching it

    @property
    def at_end(self) -> bool:
        """Whether this is the run's last point."""
        return self.step >= self.last

    @property
    def forgetting(self) -> Side:
        """Where its forget accuracy lies beside the one before the first step: BELOW where it has forgotten some."""
        return side(self.forget, self.forget_before)

    @property
    def keeping(self) -> Side | None:
        """Where the accuracy to keep lies beside the one before the first step: BELOW after harm; None where it is not known."""
        return None if self.kept is None or self.kept_before is None else side(self.kept, self.kept_before)


def point_at(points: Sequence[Point], step: int | None = None) -> Point:
    """The last of `points` at or before `step` (None: the last of all); the first where none is that early."""
    early = [point for point in points if step is None or point.step <= step]
    return early[-1] if early else points[0]


def moment(title: str, trajectory: Trajectory, step: int | None = None) -> Moment | None:
    """`trajectory` at `step` (None: at its end) under the name `title`; None where it has no point."""
    if not trajectory.points:
        return None
    first, now, last = trajectory.points[0], point_at(trajectory.points, step), trajectory.points[-1]
    key = utility_key(first.accuracies)
    ended = trajectory.outcome
    return Moment(
        title, now.step, last.step, now.accuracies["forget"], first.accuracies["forget"],
        now.accuracies.get(key), first.accuracies.get(key), now.full, ended,
        ended.state == "done" and trajectory.config.stop_at is not None and not ended.reached,
    )  # fmt: skip


def verdict(trajectory: Trajectory, problem: Problem, reference: Accuracies | None, title: str, step: int | None = None) -> str:
    """What happened up to `step` (None: to the end), in a sentence or two with numbers, beside the retrained model.

    Whole classes: little should be left of them. Any other forget set: the retrained model still recognises most of it, so the
    sentence says how far the run is from that. A run that ended early says so.
    """
    now = moment(title, trajectory, step)
    if now is None:
        return f"{title}: {trajectory.outcome.reason or 'nothing was computed.'}"
    lead = "" if now.at_end or now.step == 0 else f"At step {now.step} of {now.last} "
    text = f"{lead}{title} {_forget_words(now, problem)}"
    if now.step and now.keeping:
        text += f" and {changed(now.kept, now.kept_before)} on {_where(problem)}"
    return (
        f"{text}.{_aim(problem, [now], reference)}{_ending(now)}{weight_of_one(len(problem.split.forget), problem.dataset.noun)}"
    )


def verdict_of_all(
    runs: Sequence[tuple[str, Trajectory]], problem: Problem, reference: Accuracies | None, step: int | None = None
) -> str:
    """What all `runs` (title, record) have come to at `step` (None: at their ends), in sentences that name every one of them."""
    now = [instant for title, record in runs if (instant := moment(title, record, step))]
    if not now:
        return ""
    first, what = now[0], _what(problem)
    if all(m.step == 0 for m in now):
        return f"Nothing has happened yet: the model recognises {percent(first.forget)} of {what}."
    lead = "" if all(m.at_end for m in now) else f"At step {max(m.step for m in now)} of {max(m.last for m in now)} "
    left = listed([f"{m.title} {'' if n else 'recognises '}{percent(m.forget)}" for n, m in enumerate(now)])
    changes = listed([f"{m.title} {changed(m.kept, m.kept_before)}" for m in now if m.keeping])
    text = f"{lead}{left} of {what} (before: {percent(first.forget_before)})."
    text += f" On {_where(problem)} {changes}." if changes else ""
    return text + _aim(problem, now, reference) + weight_of_one(len(problem.split.forget), problem.dataset.noun)


def _what(problem: Problem) -> str:
    """The forget set in words: 'the 6,000 images of Sandal', 'these 600 images'."""
    count, names = len(problem.split.forget), [problem.dataset.class_names[c] for c in problem.split.classes]
    noun = problem.dataset.noun
    images = noun[:-1] if count == 1 else f"{count:,} {noun}"
    return f"the {images} of {listed(names)}" if names else f"{'this' if count == 1 else 'these'} {images}"


def _where(problem: Problem) -> str:
    return "the other classes" if problem.split.classes else "the test set"


def _forget_words(now: Moment, problem: Problem) -> str:
    what, share = _what(problem), percent(now.forget)
    if now.step == 0:
        return f"{'took no step' if now.at_end else 'has taken no step yet'}: it recognises {share} of {what}"
    verb = {Side.SAME: f"recognises as many as before, {share}", Side.ABOVE: f"recognises more than before, {share}"}
    less = "no longer recognises any" if now.forget == 0.0 else f"{'still ' if tenths(now.forget) else ''}recognises {share}"
    is_news = tenths(now.forget) != tenths(now.forget_before)
    notes = [f"before: {percent(now.forget_before)}"] * is_news + ["judged on a sample"] * (not now.whole)
    return f"{verb.get(now.forgetting, less)} of {what}" + (f" ({'; '.join(notes)})" if notes else "")


def changed(value: float, before: float) -> str:
    """'lost 0.2 points', 'gained 1.4 points', or 'kept its accuracy' where both are the same."""
    position = side(value, before)
    if position is Side.SAME:
        return "kept its accuracy" + ("" if tenths(value) == tenths(before) else f" ({change(value, before)} points)")
    return f"{'lost' if position is Side.BELOW else 'gained'} {apart(value, before)}"


def _aim(problem: Problem, runs: Sequence[Moment], reference: Accuracies | None) -> str:
    """How the retrained model does; behind runs on anything but whole classes also on which side of it they are."""
    whole_classes, before = bool(problem.split.classes), runs[0].kept_before
    if reference is None:
        return " No retrained model is stored" + (
            " to compare with." if whole_classes else ", so nobody can say which figure would be right."
        )
    aim, utility = reference["forget"], reference.get("test_other" if whole_classes else "test")
    them = "it" if len(problem.split.forget) == 1 else "them"
    text = f" The retrained model, which never saw {them}, recognises {percent(aim)}"
    text += "." if utility is None or before is None else f" and {changed(utility, before)}."
    if whole_classes:
        return text
    gaps = listed([f"{run.title} {beside_words(run.forget, aim, run.at_end)}" for run in runs])
    return f"{text} {gaps}."


def beside_words(value: float, aim: float, at_end: bool = True) -> str:
    """'ends 4.5 points above that', 'is 2.0 points below that', 'ends at that figure, to within 0.1 points'."""
    verb, position = ("ends" if at_end else "is"), side(value, aim)
    if position is Side.SAME:
        return f"{verb} at that figure" + ("" if tenths(value) == tenths(aim) else f", {_WITHIN}")
    return f"{verb} {apart(value, aim)} {position.value} that"


_ENDED = {"cancelled": "", "diverged": "It broke down: ", "failed": "It failed: "}


def _ending(now: Moment) -> str:
    """That a run missed its target, was stopped, broke down or failed; '' for all others, and before its end."""
    if not now.at_end:
        return ""
    return f" {now.outcome.reason}" if now.missed else early_words(now.outcome)


def early_words(outcome: Outcome) -> str:
    """' Stopped by you at step 9.', ' It broke down: …' for a run that did not end by itself; '' for all others."""
    return f" {_ENDED[outcome.state]}{outcome.reason}" if outcome.state in _ENDED and outcome.reason else ""


# Runs that lie on one another.


def one_path(runs: Sequence[tuple[str, Sequence[Point]]]) -> str:
    """A sentence for each group of `runs` (name, points) that no chart can tell apart; "" where there is no such group.

    Runs of a group were evaluated at the same steps, and at each their accuracies on the forget set and on what should be kept
    are the same.
    """
    groups: list[list[tuple[str, Sequence[Point]]]] = []
    for run in (run for run in runs if run[1]):
        home = next((group for group in groups if _is_near(group[0][1], run[1])), None)
        groups.append([run]) if home is None else home.append(run)
    told = [[name for name, _ in group] for group in groups if len(group) > 1]
    return " ".join(
        f"{listed(names)} take one path: wherever they were evaluated, their accuracies on the forget set and on what should be "
        f"kept differ by at most {apart(SAME, 0.0)}, so in the chart they lie on one another."
        for names in told
    )


def _is_near(one: Sequence[Point], other: Sequence[Point]) -> bool:
    if [point.step for point in one] != [point.step for point in other]:
        return False
    keys = ("forget", utility_key(one[0].accuracies))
    return all(_same(a.accuracies.get(key), b.accuracies.get(key)) for a, b in zip(one, other, strict=True) for key in keys)


def _same(one: float | None, other: float | None) -> bool:
    return one is not None and other is not None and side(one, other) is Side.SAME


# Is the person still found?


@dataclass(frozen=True)
class Hiding:
    """How well a forgotten person is found (mAP): now, by the original and by the retrained model (None: none is stored).

    `people`: how many were forgotten; `searches`: how many queries stand behind each mAP; `same_features`: the run changed
    nothing that a search looks at.
    """

    now: float
    before: float
    aim: float | None
    people: int
    searches: int
    same_features: bool

    @property
    def beside_before(self) -> Side:
        """Where the mAP now lies beside that of the original: BELOW where the person is harder to find than before."""
        return side(self.now, self.before)

    @property
    def beside_aim(self) -> Side | None:
        """Where the mAP now lies beside the retrained model's; None where no such model is stored.

        ABOVE: the person is easier to find than for a model that never saw them.
        """
        return None if self.aim is None else side(self.now, self.aim)


def hiding(problem: Problem, now: Found, before: Found, retrained: Found | None) -> Hiding | None:
    """The numbers behind `search_verdict`; None where no image of the person is left to search with."""
    if now.person is None or before.person is None:
        return None
    aim = retrained.person.map if retrained and retrained.person else None
    same = now.embedded.backbone == before.embedded.backbone
    return Hiding(now.person.map, before.person.map, aim, len(problem.split.classes), now.person.queries, same)


def search_verdict(problem: Problem, now: Found, before: Found, retrained: Found | None, title: str, outcome: Outcome) -> str:
    """Is the person still found? Sentences with numbers: before and after, beside the retrained model, and at what price."""
    person, unseen = hiding(problem, now, before, retrained), _moved(before.unseen.map, now.unseen.map)
    if person is None:
        return f"{title}: mAP of unseen people {unseen}. {now.why}{early_words(outcome)}"
    who = "person" if person.people == 1 else "people"
    aim = "" if person.aim is None else f" (retrained {percent(person.aim)})"
    text = f"{title}: mAP of the forgotten {who} {_moved(person.before, person.now)}{aim}; mAP of unseen people {unseen}. "
    return text + hiding_words(person) + early_words(outcome) + weight_of_one(person.searches, "searches")


def hiding_words(person: Hiding) -> str:
    """Whether the person has become harder to find, and how hard to find they are beside a model that never saw them."""
    who = "The person is" if person.people == 1 else "The people are"
    if person.same_features:
        text = "The features are bit-identical to the original's: a search never asks the head, so nobody became harder to find."
    else:
        text = f"{who} {_search_words(person.now, person.before, 'before')}."
    if person.aim is None:
        return f"{text} No retrained model is stored to say how hard to find they should be."
    return f"{text} {who} {_search_words(person.now, person.aim, 'for a model that never saw them')}."


def _search_words(value: float, other: float, than: str) -> str:
    position = side(value, other)
    if position is Side.SAME:
        return f"as easy to find as {than}"
    return f"{apart(value, other)} of mAP {'easier' if position is Side.ABOVE else 'harder'} to find than {than}"


def _moved(before: float, now: float) -> str:
    return f"{100 * before:.1f} → {percent(now)}"


def side_by_side_verdict(rows: Sequence[ScopeRow], known: Mapping[str, Mapping[str, float]]) -> str:
    """Which of the changes in `rows` made the person harder to find than for the retrained model, and at what price."""
    same = [f"{row['scope']} with batch norm in {row['bn']} mode" for row in rows if row["same_features"]]
    text = f"At scope {listed(same)} every feature, and so every rank, stays bit for bit what it was. " if same else ""
    searched = [row for row in rows if "person_map" in row]
    if not searched or "person_map" not in known["original"]:
        return text + "No image of this person is left to search with, so nobody can say whether they became harder to find."
    before, aim = known["original"]["person_map"], known.get("retrained", {}).get("person_map")
    if aim is None:
        return text + "No retrained model is stored for this person, so nobody can say how hard to find they should be."
    if side(before, aim) is not Side.ABOVE:
        how = "less well" if side(before, aim) is Side.BELOW else "no better"
        text += f"The original model finds this person {how} ({percent(before)}) than the retrained one already. "
    harder = [row for row in searched if {side(row["person_map"], other) for other in (aim, before)} == {Side.BELOW}]
    if not harder:
        least = min(searched, key=lambda row: row["person_map"])
        return text + (
            f"None of these changes made the person harder to find than for the retrained model (mAP {percent(aim)}); the lowest "
            f"mAP is {_setting(least)}."
        )
    changes = sorted(tenths(row["map"]) - tenths(known["original"]["map"]) for row in harder)
    price = " to ".join(dict.fromkeys(change(moved / 1000) for moved in (changes[0], changes[-1])))
    which = "; ".join(_setting(row) for row in harder)
    return text + (
        f"Harder to find than for the retrained model (mAP {percent(aim)}): {which}. There the mAP of unseen people changes by "
        f"{price} points."
    )


def two_steps(rows: Sequence[ScopeRow], known: Mapping[str, Mapping[str, float]]) -> tuple[str, str] | None:
    """What changing the head alone does to a search, and what changing all layers does; None where `rows` do not say both."""
    by_scope = {row["scope"]: row for row in rows if row["bn"] == "eval" and "person_map" in row}
    before, aim = known["original"].get("person_map"), known.get("retrained", {}).get("person_map")
    if not {"head", "all"} <= by_scope.keys() or before is None:
        return None
    head, layers = by_scope["head"], by_scope["all"]
    named = f"The network now names {percent(head['forget'])} of the person's images." if "forget" in head else ""
    if head["same_features"]:
        search = f"Every feature stays bit for bit what it was, so a search finds the person as before: mAP {percent(before)}."
    else:
        search = f"The person is {_search_words(head['person_map'], before, 'before')}."
    now = layers["person_map"]
    moved = f"mAP of the person {_moved(before, now)}, of unseen people {_moved(known['original']['map'], layers['map'])}. "
    moved += f"The person is {_search_words(now, before, 'before')}"
    if aim is not None:
        moved += f", and {_search_words(now, aim, 'for a model that never saw them')} ({percent(aim)})"
    return f"{named} {search}".strip(), f"{moved}."


def _setting(row: ScopeRow) -> str:
    broken = ", broke down" if row.get("state") == "diverged" else ""
    return f"{row['scope']}, {row['bn']} ({percent(row['person_map'])}{broken})"
