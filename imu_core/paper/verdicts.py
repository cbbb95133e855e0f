"""Whether our numbers agree with what the paper claims, in sentences made from the numbers alone."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

from scipy import stats

from imu_core.metrics.intervals import Paired, Seen, paired
from imu_core.paper.experiment import Claim
from imu_core.paper.published import COLUMNS, Table, Value
from imu_core.paper.shapes import RowRecord
from imu_core.report.numbers import between, percent, signed, signed_interval

SMALL = 0.5  # points: a printed difference without any ± that is below this counts as none
CLOSE = 0.005  # forget accuracy: how far from the depth a run may end and still be compared, unless told otherwise
Rows = Mapping[str, RowRecord]  # our rows by key


class Verdict(StrEnum):
    """How a difference of ours lies beside the paper's; the value is its name on record."""

    AGREES = "agrees"
    SAME_WAY = "same direction"
    NOT_SEEN = "not seen"
    OPPOSITE = "opposite"
    NEW = "new"
    UNSURE = "cannot tell"
    OPEN = "open"


AGREES, SAME_WAY, NOT_SEEN, OPPOSITE, NEW, UNSURE, OPEN = Verdict
_WORDS = {
    AGREES: "Agrees.",
    SAME_WAY: "The same direction, another size.",
    NOT_SEEN: "Not seen here.",
    OPPOSITE: "The opposite here.",
    NEW: "A difference here that the paper does not have.",
    UNSURE: "Cannot tell: the interval holds both the paper's difference and none.",
    OPEN: "Open: one forget set says nothing about chance.",
}


def judge(claim: Claim, table: Table, rows: Rows, strays: Mapping[str, str] | None = None) -> dict[str, str] | None:
    """{verdict, lead, words} on a claim, or None where its lines have no runs.

    It compares the paper's difference with ours, paired over requests: on the paper's layers, then on the same ones. `strays`
    are the rows that did not end at the table's depth, as `strays_of` finds them.
    """
    strays = strays_of(rows.values()) if strays is None else strays
    own = difference(rows, claim.ours, claim.column)
    theirs, sure = printed(table, claim)
    if own is None:
        return _half_known(claim, table, rows, strays)
    short = off_depth(rows, claim.ours, strays)
    verdict = OPEN if short else compare(theirs, sure, own)
    words = f"{_paper_has(claim, theirs, sure)} Here {_titles(rows, claim.ours)}: {_measured(own)}."
    fair = difference(rows, claim.fair, claim.column)
    if fair is not None:
        words += _reason(own, fair, _titles(rows, claim.fair))
    elif verdict in (NOT_SEEN, OPPOSITE, NEW, UNSURE) and not claim.equal:
        words += " All runs here take steps of one length and stop at one depth; in the paper each row has its own."
    equal = difference(rows, claim.equal, claim.column)
    words += f" Under equal weights ({_titles(rows, claim.equal)}): {_measured(equal)}." if equal else ""
    lead = "Not comparable." if short else _WORDS[verdict]
    return {"verdict": verdict, "lead": lead, "words": words + off_depth(rows, (*claim.ours, *claim.fair), strays)}


def _titles(rows: Rows, pair: Sequence[str]) -> str:
    return " against ".join(rows[key]["title"] for key in pair)


def _half_known(claim: Claim, table: Table, rows: Rows, strays: Mapping[str, str]) -> dict[str, str] | None:
    """What can be said before the paper's own layers were run: the same two on the same layers."""
    fair = difference(rows, claim.fair, claim.column)
    if fair is None:
        return None
    paper, ours = _paper_has(claim, *printed(table, claim)), _titles(rows, claim.fair)
    words = f"{paper} On the same layers here, {ours}: {_measured(fair)}."
    lead = "Open: the paper's own layers have not been run here."
    return {"verdict": OPEN, "lead": lead, "words": words + off_depth(rows, claim.fair, strays)}


def strays_of(rows: Iterable[RowRecord], target: float | None = None, close: float = CLOSE) -> dict[str, str]:
    """Row key → how it missed the depth: runs that did not get there, or that ended further than `close` from `target`."""
    strays = {}
    for row in (row for row in rows if "runs" in row):
        ends = [100 * each["forget"] for each in row["each"].values() if "forget" in each]
        if row["reached"] < row["runs"]:
            broken = f", {row['diverged']} broke" if row.get("diverged") else ""
            strays[row["key"]] = f"got there in {row['reached']} of {row['runs']} runs{broken}"
        elif target is not None and any(abs(end - 100 * target) > 100 * close + 1e-9 for end in ends):
            strays[row["key"]] = f"ended at {between(min(ends), max(ends))} %"
    return strays


def off_depth(rows: Rows, keys: Iterable[str], strays: Mapping[str, str]) -> str:
    """A sentence, to follow others, on those of `keys` whose rows did not end at the depth; "" where all did."""
    late = [f"{rows[key]['title']} {strays[key]}" for key in dict.fromkeys(keys) if key in rows and key in strays]
    return f" Not at one depth, though: {'; '.join(late)}." if late else ""


def compare(theirs: float, sure: bool | None, own: Paired) -> Verdict:
    """The verdict on two differences in points: the paper's (`sure`: beyond its ±; None: it has none) and our paired one."""
    if own.n < 2:
        return OPEN
    claimed = abs(theirs) >= SMALL if sure is None else sure
    seen = own.seen is Seen.SEEN
    if not claimed:
        return NEW if seen and abs(own.mean - theirs) > own.half else AGREES
    if not seen:
        return UNSURE if abs(own.mean - theirs) <= own.half else NOT_SEEN
    if own.mean * theirs < 0:
        return OPPOSITE
    return AGREES if abs(own.mean - theirs) <= own.half else SAME_WAY


def difference(rows: Rows, pair: Sequence[str], column: str) -> Paired | None:
    """Our paired difference of two rows over the requests both have, in the paper's unit; None where a row is missing."""
    if not pair or not all(key in rows for key in pair):
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


def _paper_has(claim: Claim, gap: float, sure: bool | None) -> str:
    how = {True: "", False: ", within its own ±", None: ", printed without ±"}[sure]
    column = COLUMNS[claim.column].title.lower()
    return f"The paper has {signed(gap, 2)} points of {column} for “{claim.paper[0]}” against “{claim.paper[1]}”{how}."


def _measured(own: Paired) -> str:
    if own.n < 2:
        return f"{signed(own.mean, 2)} points on a single forget set"
    words = "" if own.seen is Seen.SEEN else f", {own.seen}"
    return f"{signed_interval(own.mean, own.half, 2)} points over {own.n} forget sets{words}"


def _reason(own: Paired, fair: Paired, titles: str) -> str:
    """What the same two on the same layers say about where a difference comes from."""
    text = f" On the same layers ({titles}): {_measured(fair)}"
    if min(own.n, fair.n) < 2:
        return f"{text}."
    seen, fair_seen = (gap.seen is Seen.SEEN for gap in (own, fair))
    if not seen:
        return f"{text}."
    if not fair_seen and abs(own.mean - fair.mean) <= fair.half:
        return f"{text}; that interval holds the whole difference too, so this cannot tell the layers from the method."
    if not fair_seen:
        return f"{text}; so here it is the layers that make the difference, not the method."
    share = fair.mean / own.mean
    if share <= 0:
        return f"{text}; so here the layers make more than the whole difference."
    if share >= 1:
        return f"{text}; so here the method makes the whole difference."
    return f"{text}; so here {percent(share, 0)} of the difference is the method's and the rest that of the layers."
