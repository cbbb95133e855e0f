"""Rankings: the runs on the Pareto front, runs that differ by their seed alone, and the record of all methods in words."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from enum import Enum, auto
from pathlib import Path
from typing import Any

import numpy as np

from imu_core import runtime
from imu_core.depth import SAME
from imu_core.errors import DataError
from imu_core.experiments.standing import Change, Standing, Standings
from imu_core.methods import METHODS
from imu_core.metrics.intervals import Mean, holm, mean_interval
from imu_core.records.run import RunConfig
from imu_core.report.numbers import points, signed_interval

RECORD = runtime.ASSETS / "results" / "methods.json"
LARGEST = 20 * 2**20  # bytes of a record
TOLERANCE = 0.01  # how near the retrained model's mean change counts as "keeps up with it"
LEVEL = 0.05
_ASCENTS = ("imu", "ga", "npo")  # families
_TEXTS, _NUMBERS = (
    ("key", "method", "title", "scope", "setting"),
    ("runs", "reached", "forget", "change", "seconds", "peak_bytes"),
)


def front(depths: Sequence[float], utilities: Sequence[float]) -> list[bool]:
    """For each point, whether it is on the Pareto front: no other is at least as good in both numbers and better in one.

    `depths` are better lower, `utilities` better higher; equal points stand or fall together. A point with a nan is never on it.
    """
    x, y = np.asarray(depths, np.float64), np.asarray(utilities, np.float64)
    if x.shape != y.shape or x.ndim != 1:
        raise DataError(f"{x.shape} depths and {y.shape} utilities; the front needs two lists of the same length.")
    as_good = (x[None] <= x[:, None]) & (y[None] >= y[:, None])
    better = (x[None] < x[:, None]) | (y[None] > y[:, None])
    return (~(as_good & better).any(1) & ~np.isnan(x) & ~np.isnan(y)).tolist()


def by_settings(configs: Sequence[RunConfig]) -> list[list[int]]:
    """Positions of runs whose settings are equal but for the seed, group by group, in order of first appearance."""
    groups: dict[str, list[int]] = {}
    for number, config in enumerate(configs):
        groups.setdefault(repr(dataclasses.replace(config, seed=0)), []).append(number)
    return list(groups.values())


def over_seeds(values: Sequence[float]) -> Mean:
    """Mean of one number over seeds with half its 95 % t-interval; a single run has no interval (nan)."""
    return mean_interval(values)


# The record of all methods.


def load(path: Path | None = None) -> Standings | None:
    """The record that `python -m imu_core table --json` wrote to `path` (by default the one that ships).

    None where there is no such file, DataError where it holds something else.
    """
    path = path or RECORD
    if not path.exists():
        return None
    try:
        record = json.loads(runtime.read_text(path, LARGEST))
        rows = record["rows"]
        good = isinstance(record["command"], str) and isinstance(record["plan"], dict) and all(_is_row(row) for row in rows)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):  # of more than LARGEST bytes, too
        good = False
    if not good:
        raise DataError(f"{path.name} is no record of methods. Make one with: python -m imu_core table --json {path.name}")
    return record


def _is_row(row: Any) -> bool:
    texts = all(isinstance(row[name], str) for name in _TEXTS) and all(isinstance(name, str) for name in row["saw"])
    return texts and all(isinstance(row[name], (int, float)) and math.isfinite(row[name]) for name in _NUMBERS)


def scopes(record: Standings) -> list[str]:
    """The scopes of a record in their order."""
    return list(dict.fromkeys(row["scope"] for row in record["rows"]))


def got_there(row: Standing) -> bool:
    """Whether every run of the row reached the depth; if one did not, the row's change is the price of less forgetting."""
    return row["reached"] == row["runs"]


def ranked(record: Standings, scope: str) -> list[Standing]:
    """The rows of one scope: those that always reached the depth, best first, then the others, those that came furthest first."""
    mine = [row for row in record["rows"] if row["scope"] == scope]
    return sorted(mine, key=lambda r: (not got_there(r), -r["change"] if got_there(r) else -r["reached"] / max(1, r["runs"])))


def findings(record: Standings, scope: str) -> list[str]:
    """What the numbers of one scope show, in sentences, the most important first; each sentence is backed by the numbers."""
    rows = [row for row in ranked(record, scope) if got_there(row)]
    if not rows:
        return ["No method reached that depth in every run, so nothing can be said about the price of it."]
    sentences = [_best_without_retain(rows), _keeping_up(rows, record), _against_ascent(rows), _worth_of_weights(rows)]
    return [text for text in sentences if text]


def _half(row: Change) -> float:
    value = row.get("half")
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else math.nan


class Apart(Enum):
    """Whether the intervals of two rows leave a gap between them; UNKNOWN where a row has none."""

    YES, NO, UNKNOWN = auto(), auto(), auto()


def apart(one: Change, other: Change) -> Apart:
    """Whether two rows' changes differ by more than the sum of their half intervals; UNKNOWN where an interval is missing."""
    reach = _half(one) + _half(other)
    if math.isnan(reach):
        return Apart.UNKNOWN
    return Apart.YES if abs(one["change"] - other["change"]) > reach else Apart.NO


def written(row: Change) -> str:
    """'−1.2 ± 0.3 points', from a row's `change` and `half`."""
    return f"{signed_interval(100 * row['change'], 100 * _half(row))} points"


def is_ascent(row: Standing) -> bool:
    """Whether the row is a gradient ascent that sees the forget set alone; IMU is one of them, its controls are not."""
    method = METHODS.get(row["method"])
    return method is not None and method.family in _ASCENTS and list(row["saw"]) == ["forget"] and not row.get("control")


def _best_without_retain(rows: Sequence[Standing]) -> str:
    alone = [row for row in rows if list(row["saw"]) == ["forget"] and not row.get("control")]
    ascents = [row for row in alone if is_ascent(row)]
    others = [row for row in alone if not is_ascent(row)]
    if not ascents or not others:
        return ""
    best, rival = (max(group, key=lambda r: r["change"]) for group in (others, ascents))
    if abs(best["change"] - rival["change"]) <= SAME:
        return (
            f"Of the methods that see the forget set alone, the best ascent and the best other keep the same, to within "
            f"{points(SAME)}: {rival['title']} ({written(rival)}) and {best['title']} ({written(best)})."
        )
    if best["change"] < rival["change"]:
        return (
            f"Of the methods that see the forget set alone, {rival['title']} keeps most ({written(rival)}); the best that is no "
            f"ascent is {best['title']} ({written(best)})."
        )
    how = {
        Apart.YES: "and their intervals do not meet", Apart.NO: "but their intervals overlap",
        Apart.UNKNOWN: "but not every interval is known",
    }[apart(best, rival)]  # fmt: skip
    return (
        f"**{best['title']} sees nothing but the forget set and keeps more than every ascent:** {written(best)}, against "
        f"{written(rival)} for {rival['title']}, the best of {len(ascents)} ascents, {how}.{_paired(best)}"
    )


def _paired(row: Standing) -> str:
    """The test of one row against the baseline, which is sharper than two intervals beside each other."""
    against = row.get("against") or {}
    if _p(row) is None or not all(isinstance(against.get(k), (int, float)) for k in ("mean", "half")):
        return ""
    difference = written({"change": against["mean"], "half": against["half"]})
    return f" Set by set it is {difference} against GA, taken as one test by itself."


def _keeping_up(rows: Sequence[Standing], record: Standings) -> str:
    reference, methods = record.get("reference") or {}, [row for row in rows if not row.get("control")]
    if not reference:
        return ""
    near = [row for row in methods if row["change"] >= reference["change"] - TOLERANCE]
    text = (
        f"{len(near)} of {len(methods)} methods that always reach the depth {'ends' if len(near) == 1 else 'end'} at most "
        f"{100 * TOLERANCE:g} point below the "
        f"retrained model ({written(reference)})"
    )
    blind = [row for row in near if "retain" not in row["saw"]]
    return text + (f"; {len(blind)} of these never read the retain set." if near else ".")


def _against_ascent(rows: Sequence[Standing]) -> str:
    """The paired tests against the baseline, corrected for how many they are: one in twenty would be wrong by itself."""
    tested = [row for row in rows if _p(row) is not None and not row.get("control")]
    if not tested:
        return ""
    seen = holm([_p(row) for row in tested]) <= LEVEL
    more, less, same = (
        [row["title"] for s, row in zip(seen, tested, strict=True) if verdict == (s * (1 if row["against"]["mean"] > 0 else -1))]
        for verdict in (1, -1, 0)
    )
    return (
        f"Against GA on the same forget sets and seeds, {_counted(more)} of {len(tested)} {_keep(more)} more, "
        f"{_counted(less)} {_keep(less)} less, "
        f"and for {_counted(same)} no difference is seen (paired t-tests, Holm's correction, {100 * LEVEL:g} %)."
    )


def _keep(names: Sequence[str]) -> str:
    return "keeps" if len(names) == 1 else "keep"


def _counted(names: Sequence[str]) -> str:
    """'6 (GA, NPO, IMU, RL and others)'."""
    listed = f" ({', '.join(names[:4])}{' and others' if len(names) > 4 else ''})" if names else ""
    return f"{len(names)}{listed}"


def _p(row: Standing) -> float | None:
    value = (row.get("against") or {}).get("p")
    return value if isinstance(value, (int, float)) and 0.0 <= value <= 1.0 else None


def _worth_of_weights(rows: Sequence[Standing]) -> str:
    """IMU beside itself with its weights shuffled: what the influence is worth."""
    known = {row["key"]: row for row in rows}
    if not {"imu", "imu-permuted"} <= known.keys():
        return ""
    own, shuffled = known["imu"], known["imu-permuted"]
    better = own["change"] > shuffled["change"]
    words = {
        Apart.YES: f"and the intervals do not meet: the weights {'help' if better else 'do harm'} in these runs",
        Apart.NO: "so these runs show no worth of the weights",
        Apart.UNKNOWN: "and without intervals nobody can say whether that is chance",
    }[apart(own, shuffled)]
    return f"IMU: {written(own)}; with its weights dealt out at random: {written(shuffled)}, {words}."


def plan_words(record: Standings, scope: str) -> str:
    """What the numbers of one scope were computed on, in a sentence; what the record does not say is left out."""
    plan = record["plan"]
    seeds = dict(pair for pair in plan.get("seeds", []) if isinstance(pair, list) and len(pair) == 2).get(scope)
    sets = len(plan.get("requests", []))
    parts = [
        f"{sets} forget set{'s' if sets != 1 else ''}" if sets else "",
        f"{seeds} seed{'s' if seeds != 1 else ''}" if seeds else "",
    ]
    text = f"{plan.get('dataset', '?')}, {plan.get('model', '?')}; " + ", ".join(part for part in parts if part)
    return text + (f"; every method at {100 * plan['target']:g} % forget accuracy" if "target" in plan else "")
