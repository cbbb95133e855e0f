"""What is said of a table: each claim, then the controls, the depth, the length of runs and the levels; made from the numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from imu_core.depth import SAME
from imu_core.metrics.intervals import Seen
from imu_core.paper.experiment import CLASSES, SUBCLASSES, Experiment, Line
from imu_core.paper.published import COLUMNS, Table
from imu_core.paper.shapes import RowRecord
from imu_core.paper.verdicts import AGREES, CLOSE, NEW, NOT_SEEN, OPEN, SMALL, Rows, difference, judge, strays_of
from imu_core.report.numbers import between, interval, percent, signed_interval

FEW = 3  # forget sets: intervals over no more are so wide that a printed figure inside one says nothing
_COARSE = 0.02  # how far from the depth a run on a few hundred samples may end, which each step moves further
_LISTED = 4  # rows that a sentence names
_SAME = ("forget", "retain", "test")  # what must be equal for two rows to be the same


def sentences(
    experiment: Experiment, table: Table, rows: Sequence[RowRecord], target: float | None = None
) -> list[dict[str, str]]:
    """What is said of our table, as [{verdict, lead, words}]; `target` is the forget accuracy at which its runs stopped."""
    known = {row["key"]: row for row in rows}
    strays = strays_of(rows, target, _COARSE if experiment.kind == SUBCLASSES else CLOSE)
    remarks = [judge(claim, table, known, strays) for claim in experiment.claims]
    remarks.append(_against("Weights dealt out at random", _dealt(experiment, known), known, strays))
    remarks.append(_against("Equal weights (GA)", _equal(experiment, known), known, strays))
    remarks += [_twins(experiment, known), _lengths(experiment, known), _off(known, strays)]
    remarks += [] if target is None or experiment.kind == CLASSES else [_depth(target, known)]
    remarks += [_levels(table, rows), _start(table, known)] if experiment.same_task else []
    return [{"lead": "", **item} for item in remarks if item]


# The controls.


def _weighted(experiment: Experiment) -> list[Line]:
    """The lines whose weights are those of IMU itself."""
    return [line for line in experiment.lines if line.method == "imu" and "control" not in dict(line.settings)]


def _dealt(experiment: Experiment, rows: Rows) -> list[tuple[str, str]]:
    """(line, the same with its weights dealt out at random): its own control, or that of IMU where the scores come anew."""
    pairs = []
    for line in _weighted(experiment):
        own = "imu-permuted" + line.key.removeprefix("imu") if line.scope != "head" else f"{line.key}-permuted"
        anew = {name for name, _ in line.settings} <= {"update_every"} and line.scope == "head"
        pairs.append((line.key, own if own in rows or not anew else "imu-permuted"))
    return pairs


def _equal(experiment: Experiment, rows: Rows) -> list[tuple[str, str]]:
    return [(line.key, "ga" if line.scope == "head" else f"ga@{line.scope}") for line in _weighted(experiment)]


def _against(who: str, pairs: Iterable[tuple[str, str]], rows: Rows, strays: Mapping[str, str]) -> dict[str, str] | None:
    """IMU's rows minus their controls, in test accuracy; rows that are not at the depth are left out."""
    fair = [pair for pair in pairs if not {*pair} & strays.keys()]
    judged = [(one, gap) for one, other in fair if (gap := difference(rows, (one, other), "test")) and gap.n > 1]
    if not judged:
        return None
    seen = [(rows[key]["title"], gap) for key, gap in judged if gap.seen is Seen.SEEN]
    head = f"{who}, on the same layers, {len(judged)} comparison{'s' if len(judged) > 1 else ''}: "
    if not seen:
        reach = max(abs(gap.mean) + gap.half for _, gap in judged)
        return {
            "verdict": NOT_SEEN,
            "words": f"{head}{Seen.NOT_SEEN} in test accuracy; the intervals reach {reach:.2f} points.",
        }
    listed = "; ".join(f"{title} {signed_interval(gap.mean, gap.half, 2)} points" for title, gap in seen[:_LISTED])
    more = f" and {len(seen) - _LISTED} others" if len(seen) > _LISTED else ""
    alone = "; each a test by itself" if len(judged) > 1 else ""
    words = f"{head}a difference in test accuracy, IMU minus control, for {len(seen)}: {listed}{more}{alone}."
    return {"verdict": NEW, "words": words}


def _twins(experiment: Experiment, rows: Rows) -> dict[str, str] | None:
    """Rows that cannot be told from GA in any forget set: their weights are equal in effect."""
    if "ga" not in rows:
        return None
    lines = [line.key for line in experiment.lines if line.method == "imu" and line.key in rows and line.scope == "head"]
    same = [rows[key]["title"] for key in lines if _is_same(rows[key]["each"], rows["ga"]["each"])]
    if not same:
        return None
    listed, title = "; ".join(same), rows["ga"]["title"]
    words = f"The same as {title} to the last digit, in every forget set: {listed}. So their weights are equal."
    return {"verdict": OPEN, "words": words}


def _is_same(one: Mapping[str, Mapping[str, float]], other: Mapping[str, Mapping[str, float]]) -> bool:
    shared = [request for request in one if request in other]
    return len(shared) > 1 and all(one[r].get(name) == other[r].get(name) for r in shared for name in _SAME)


# Where the runs ended, and after how long.


def _off(rows: Rows, strays: Mapping[str, str]) -> dict[str, str] | None:
    if not strays:
        return None
    listed = "; ".join(f"{rows[key]['title']} {words}" for key, words in strays.items())
    return {"verdict": OPEN, "words": f"Not at the depth of the others, so not compared: {listed}."}


def _depth(target: float, rows: Rows) -> dict[str, str] | None:
    """How deep the runs went beside the retrained models, which recognise some of what they never saw."""
    own = rows.get("retrained", {}).get("values", {}).get("forget")
    if own is None:
        return None
    mean, half, many = 100 * own["mean"], 100 * (own["half"] or 0.0), own["n"] > 1
    gap = round(100 * target - mean, 2)
    same = abs(gap) <= max(half, 100 * SAME)
    where = "as deep as" if same else "less deep than" if gap > 0 else "deeper than"
    who = f"retrained models of {own['n']} forget sets" if many else "the retrained model of one forget set"
    known = f"have {interval(mean, half)} %" if many else f"has {mean:.1f} %"
    words = f"Runs stop at {percent(target)} forget accuracy, {where} retraining: {who} {known}."
    return {"verdict": AGREES if same else OPEN, "words": words}


def _lengths(experiment: Experiment, rows: Rows) -> dict[str, str] | None:
    """How many epochs runs last whose steps were made short for that."""
    epochs = {line.epochs for line in experiment.lines if line.epochs}
    lasted = [row["epochs"] for row in rows.values() if row.get("epochs")]
    if not epochs or not lasted:
        return None
    words = f"Runs last {between(min(lasted), max(lasted))} epochs on average, by row; the paper's {epochs.pop()}."
    return {"verdict": OPEN, "words": words}


# Levels.


def _levels(table: Table, rows: Sequence[RowRecord]) -> dict[str, str] | None:
    """How many of the printed accuracies of runs lie inside our intervals, and which accuracy is furthest away."""
    inside, told = [], []
    for row in rows:
        for column, value in table.rows.get(row["paper"], {}).items():
            own = row["values"].get(column)
            if column in ("forget", "retain", "test") and own and own["half"] is not None:
                mean, half = (COLUMNS[column].factor * own[name] for name in ("mean", "half"))
                inside += [abs(mean - value.mean) <= half] if own["n"] > FEW and row["role"] != "model" else []
                told.append((abs(mean - value.mean), row["title"], column, mean, half, value.mean))
    if not told:
        return None
    _, title, column, mean, half, theirs = max(told)
    many = f"{sum(inside)} of {len(inside)} printed accuracies lie inside our 95 % intervals over more than {FEW} forget sets. "
    words = (
        f"{many if inside else ''}Furthest apart: {title}, {COLUMNS[column].title.lower()}: {interval(mean, half)} % here, "
        f"{theirs:.1f} % in the paper."
    )
    return {"verdict": AGREES if inside and all(inside) else OPEN, "words": words}


def _start(table: Table, rows: Rows) -> dict[str, str] | None:
    """That the original models are not the same one, with their test accuracies."""
    theirs, own = table.rows.get("original"), rows.get("original", {}).get("values", {}).get("test")
    if theirs is None or own is None:
        return None
    gap = 100 * own["mean"] - theirs["test"].mean
    if abs(gap) < SMALL:
        return None
    words = (
        f"The networks differ: the original model here has {percent(own['mean'])} test accuracy, the paper's "
        f"{theirs['test'].mean:.1f} %, so levels cannot be the same; differences can."
    )
    return {"verdict": OPEN, "words": words}
