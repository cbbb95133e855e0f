"""Whether our numbers agree with the paper's, in sentences made from the numbers alone."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from scipy import stats

from imu_core.metrics.intervals import Paired, paired
from imu_core.paper.experiment import CLASSES, Claim, Experiment
from imu_core.paper.published import COLUMNS, Table, Value

SMALL = 0.5  # points: a printed difference without any ± that is below this counts as none
Rows = Mapping[str, Mapping[str, Any]]  # our rows by key

AGREES, SAME_WAY, NOT_SEEN, OPPOSITE, NEW, OPEN = "agrees", "same direction", "not seen", "opposite", "new", "open"


def sentences(
    experiment: Experiment, table: Table, rows: Sequence[Mapping[str, Any]], target: float | None = None
) -> list[dict[str, str]]:
    """[{verdict, lead, words}]: one for each claim whose rows are there, one for the controls, one for the figures themselves.

    `target` is the forget accuracy at which the runs stopped: unless classes go, it is held against the retrained models'.
    """
    known = {row["key"]: row for row in rows}
    found = [judge(claim, table, known) for claim in experiment.claims]
    found += [_controls(experiment, known), _levels(table, rows), _start(table, known)]
    found += [] if target is None or experiment.kind == CLASSES else [_depth(target, known)]
    return [{"lead": "", **item} for item in found if item]


def judge(claim: Claim, table: Table, rows: Rows) -> dict[str, str] | None:
    """The paper's difference beside ours, paired over requests: on the paper's layers, then on the same ones."""
    own = difference(rows, claim.ours, claim.column)
    theirs, sure = printed(table, claim)
    if own is None:
        return _half_known(claim, table, rows, theirs, sure)
    short = _short_of(rows, claim.ours)
    verdict = OPEN if short else compare(theirs, sure, own)
    names = [rows[key]["title"] for key in claim.ours]
    words = f"{_said(table, claim, theirs, sure)} Here {names[0]} against {names[1]}: {_measured(own)}."
    fair = difference(rows, claim.fair, claim.column) if claim.fair else None
    if fair is not None:
        words += _reason(own, fair, [rows[key]["title"] for key in claim.fair])
    elif verdict in (NOT_SEEN, OPPOSITE, NEW):
        words += " All runs here take steps of one length and stop at one depth; in the paper each row has its own."
    lead = "Not comparable." if short else _words_of(verdict)
    return {"verdict": verdict, "lead": lead, "words": words + _short_of(rows, {*claim.ours, *claim.fair})}


def _half_known(claim: Claim, table: Table, rows: Rows, theirs: float, sure: bool | None) -> dict[str, str] | None:
    """What can be said before the paper's own layers were run: the same two on the same layers."""
    fair = difference(rows, claim.fair, claim.column) if claim.fair else None
    if fair is None:
        return None
    names = [rows[key]["title"] for key in claim.fair]
    words = f"{_said(table, claim, theirs, sure)} On the same layers here, {names[0]} against {names[1]}: {_measured(fair)}."
    lead = "Open: the paper's own layers have not been run here."
    return {"verdict": OPEN, "lead": lead, "words": words + _short_of(rows, claim.fair)}


def _short_of(rows: Rows, keys: Iterable[str]) -> str:
    """Which of the rows did not always get to the depth: their accuracy is the price of less forgetting."""
    late = [rows[key] for key in sorted(keys) if key in rows and rows[key]["reached"] < rows[key]["runs"]]
    if not late:
        return ""
    listed = ", ".join(f"{row['title']} in {row['reached']} of {row['runs']} runs" for row in late)
    return f" Not at one depth, though: it was reached by {listed}."


def compare(theirs: float, sure: bool | None, own: Paired) -> str:
    """One word for two differences in points: the paper's (`sure`: seen beyond its ±; None: it has none) and our paired one."""
    if own.n < 2:
        return OPEN
    claimed = abs(theirs) >= SMALL if sure is None else sure
    seen = abs(own.mean) > own.half
    if not claimed:
        return NEW if seen else AGREES
    if not seen:
        return NOT_SEEN
    if own.mean * theirs < 0:
        return OPPOSITE
    return AGREES if abs(own.mean - theirs) <= own.half else SAME_WAY


def difference(rows: Rows, pair: Sequence[str], column: str) -> Paired | None:
    """Our paired difference of two rows over the requests both have, in the paper's unit; None where a row is missing."""
    if not all(key in rows for key in pair):
        return None
    one, other = (rows[key]["each"] for key in pair)
    shared = [r for r in one if r in other and column in one[r] and column in other[r]]
    factor = COLUMNS[column].factor
    if not shared:
        return None
    return paired([factor * one[r][column] for r in shared], [factor * other[r][column] for r in shared])


def printed(table: Table, claim: Claim) -> tuple[float, bool | None]:
    """(the paper's difference, whether it lies beyond chance by the paper's own ±; None where it prints none)."""
    one, other = (table.rows[name][claim.column] for name in claim.paper)
    gap = one.mean - other.mean
    halves = [interval(value, table.runs) for value in (one, other)]
    if None in halves:
        return gap, None
    return gap, abs(gap) > math.hypot(*halves)


def interval(value: Value, runs: int | None) -> float | None:
    """Half the 95 % t-interval of a printed mean, its ± taken for the standard deviation over `runs`; None without one."""
    if value.spread is None or runs is None or runs < 2:
        return None
    return float(stats.t.ppf(0.975, runs - 1)) * value.spread / math.sqrt(runs)


def _words_of(verdict: str) -> str:
    return {
        AGREES: "Agrees.",
        SAME_WAY: "The same direction, another size.",
        NOT_SEEN: "Not seen here.",
        OPPOSITE: "The opposite here.",
        NEW: "A difference here that the paper does not have.",
        OPEN: "Open: one forget set says nothing about chance.",
    }[verdict]


def _said(table: Table, claim: Claim, gap: float, sure: bool | None) -> str:
    how = {True: "", False: ", within its own ±", None: ", printed without ±"}[sure]
    column = COLUMNS[claim.column].title.lower()
    return f"The paper has {signed(gap)} points of {column} for “{claim.paper[0]}” against “{claim.paper[1]}”{how}."


def signed(value: float) -> str:
    """+1.23, −0.50, ±0.00."""
    rounded = round(value, 2)
    return "±0.00" if rounded == 0 else f"{'−' if rounded < 0 else '+'}{abs(rounded):.2f}"


def _measured(own: Paired) -> str:
    if own.n < 2:
        return f"{signed(own.mean)} points on a single forget set"
    words = "" if abs(own.mean) > own.half else ", no difference seen"
    return f"{signed(own.mean)} ± {own.half:.2f} points over {own.n} forget sets{words}"


def _reason(own: Paired, fair: Paired, names: Sequence[str]) -> str:
    """What the same two on the same layers say about where a difference comes from."""
    text = f" On the same layers ({names[0]} against {names[1]}): {_measured(fair)}"
    if min(own.n, fair.n) < 2:
        return f"{text}."
    seen, fair_seen = (abs(found.mean) > found.half for found in (own, fair))
    if not seen:
        return f"{text}."
    if not fair_seen:
        return f"{text}; so here it is the layers that make the difference, not the method."
    share = fair.mean / own.mean
    if share <= 0:
        return f"{text}; so here the layers make more than the whole difference."
    if share >= 1:
        return f"{text}; so here the method makes the whole difference."
    return f"{text}; so here {100 * share:.0f} % of the difference is the method's and the rest that of the layers."


def _controls(experiment: Experiment, rows: Rows) -> dict[str, str] | None:
    """IMU's rows beside themselves with the weights dealt out at random."""
    pairs = [(key, f"{key}-permuted") for key in (line.key for line in experiment.lines) if f"{key}-permuted" in rows]
    pairs += [(f"imu@{scope}", f"imu-permuted@{scope}") for scope in ("last:1", "last:2", "last:3", "all")]
    judged = [(one, found) for one, other in pairs if (found := difference(rows, (one, other), "test")) and found.n > 1]
    if not judged:
        return None
    seen = [(rows[key]["title"], found) for key, found in judged if abs(found.mean) > found.half]
    head = f"Weights dealt out at random, on the same layers, {len(judged)} comparison{'s' if len(judged) > 1 else ''}: "
    if not seen:
        widest = max((found for _, found in judged), key=lambda found: abs(found.mean))
        return {
            "verdict": NOT_SEEN,
            "words": f"{head}no difference seen in test accuracy (at most {signed(widest.mean)} ± {widest.half:.2f} points).",
        }
    listed = "; ".join(f"{title} {signed(found.mean)} ± {found.half:.2f} points" for title, found in seen[:3])
    more = f" and {len(seen) - 3} others" if len(seen) > 3 else ""
    return {
        "verdict": NEW,
        "words": f"{head}a difference in test accuracy for {len(seen)}: {listed}{more}, each a test by itself.",
    }


def _levels(table: Table, rows: Sequence[Mapping[str, Any]]) -> dict[str, str] | None:
    """How many of the printed accuracies lie inside our intervals, and which is furthest away."""
    inside, told = 0, []
    for row in rows:
        for column, value in table.rows.get(row["paper"], {}).items():
            own = row["values"].get(column)
            if column in ("forget", "retain", "test") and own and own["half"] is not None:
                mean, half = (COLUMNS[column].factor * own[name] for name in ("mean", "half"))
                inside += abs(mean - value.mean) <= half
                told.append((abs(mean - value.mean), row["title"], column, mean, half, value.mean))
    if not told:
        return None
    _, title, column, mean, half, theirs = max(told)
    words = (
        f"{inside} of {len(told)} printed accuracies lie inside our 95 % intervals. Furthest apart: {title}, "
        f"{COLUMNS[column].title.lower()}: {mean:.1f} ± {half:.1f} % here, {theirs:.1f} % in the paper."
    )
    return {"verdict": AGREES if inside == len(told) else OPEN, "words": words}


def _start(table: Table, rows: Rows) -> dict[str, str] | None:
    """That the original models are not the same one, with their test accuracies."""
    theirs, own = table.rows.get("original"), rows.get("original", {}).get("values", {}).get("test")
    if theirs is None or own is None:
        return None
    gap = 100 * own["mean"] - theirs["test"].mean
    if abs(gap) < SMALL:
        return None
    words = (
        f"The networks differ: the original model here has {100 * own['mean']:.1f} % test accuracy, the paper's "
        f"{theirs['test'].mean:.1f} %, so levels cannot be the same; differences can."
    )
    return {"verdict": OPEN, "words": words}


def _depth(target: float, rows: Rows) -> dict[str, str] | None:
    """How deep the runs went beside the retrained models, which recognise some of what they never saw."""
    own = rows.get("retrained", {}).get("values", {}).get("forget")
    if own is None:
        return None
    mean, half, many = 100 * own["mean"], 100 * (own["half"] or 0.0), own["n"] > 1
    gap = 100 * target - mean
    where = "as deep as" if abs(gap) <= half else "less deep than" if gap > 0 else "deeper than"
    who = f"retrained models of {own['n']} forget sets" if many else "the retrained model of one forget set"
    known = f"have {mean:.1f} ± {half:.1f} %" if many else f"has {mean:.1f} %"
    words = f"Runs stop at {100 * target:.1f} % forget accuracy, {where} retraining: {who} {known}."
    return {"verdict": AGREES if where == "as deep as" else OPEN, "words": words}
