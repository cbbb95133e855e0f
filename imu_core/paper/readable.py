"""The paper's tables beside ours as Markdown: assets/docs/paper_tables.md, made from the records and from nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from imu_core.paper.published import COLUMNS, FIGURES, SOURCE, TABLES, Value
from imu_core.paper.record import COMMAND, NOT_MADE, command, ids, label
from imu_core.paper.shapes import Figure, RowRecord, TableRecord, TablesRecord
from imu_core.records.shapes import MeanRecord
from imu_core.report.numbers import interval, percent

OURS = {"w1": "W1 of outputs", "gap": "Average gap, points"}  # columns the paper does not have: heading
_KINDS = {"classes": "Whole classes", "random": "Random samples"}
_FACTORS = {"w1": (1.0, 4), "gap": (100.0, 2)}


def markdown(records: Sequence[TablesRecord]) -> str:
    """Every table of every record: "here / paper" in each cell; 95 % intervals here, the paper's own ± there."""
    head = [
        "# The paper's tables again",
        "",
        f"Made by `{COMMAND}`; do not edit. Each cell has our figure, then the paper's ({SOURCE}). Ours: mean ± half a 95 % "
        "t-interval over forget sets, seeds of a set averaged first; (3) behind it: over so many sets only. The paper's ± is "
        "not explained there. Rows marked * are ours alone: the same rivals on IMU's layers, and controls whose weights are "
        "uniform, permuted or random. Run times are one core's for the method alone, without reading features and without "
        "judging, some of them beside other work.",
        "",
        "The membership attack, and with it the average gap, is that of seed 0, on at most 1,000 samples a side. W_dist is the "
        "distance of predicted class numbers on the test images of the other classes, as the authors' code has it; the paper "
        "says it is over the retain set, and some of its printed values (3.59, 4.04, 4.80) are larger than that code can give.",
        "",
    ]
    body = [line for record in records for line in _record(record)]
    return "\n".join([*head, *(body or ["Nothing has been run yet."])]) + "\n"


def _record(record: TablesRecord) -> list[str]:
    lines = [f"## {record['dataset']}, {record['model']}", "", f"`{command(record)}`", ""]
    for name in (*ids(), *NOT_MADE):
        if name in NOT_MADE:
            lines += [f"### {label(name)}: {TABLES[name].title}", "", f"- Missing: {NOT_MADE[name]}", ""]
        elif name in record["tables"]:
            lines += _table(name, record["tables"][name])
        elif name in FIGURES:
            lines += _figure(name, record["figures"].get(name))
    return lines


def _table(name: str, table: TableRecord) -> list[str]:
    published = TABLES[name]
    lines = [f"### {label(name)}: {published.title}", ""]
    if table["rows"]:
        lines += [_setting(table), "", *rows(name, with_unrun(name, table["rows"])), ""]
    lines += [f"- {item['lead']} {item['words']}".replace("-  ", "- ") for item in table["sentences"]]
    lines += [f"- {table['note']}"] if table.get("note") else []
    lines += [f"- Missing: {text}" for text in table["missing"]]
    return [*lines, ""]


def _setting(table: TableRecord) -> str:
    return (
        f"{len(table['requests'])} forget sets of {table['dataset']} ({table['model']}); a run stops at the first step at which "
        f"at most {percent(table['target'], 2)} of the forget set is recognised."
    )


def rows(name: str, listed: Sequence[RowRecord]) -> list[str]:
    """The lines of one Markdown table."""
    printed = TABLES[name].rows
    shown = [c for c in (*COLUMNS, *OURS) if any(c in row["values"] for row in listed)]
    titles = [f"{COLUMNS[c].title}, {COLUMNS[c].unit}" if c in COLUMNS else OURS[c] for c in shown]
    lines = [f"| | layers | sets | got there | {' | '.join(titles)} |", "|---|---|--:|--:|" + "--:|" * len(shown)]
    for row in listed:
        theirs = printed.get(row["paper"], {})
        sets = max((value["n"] for value in row["values"].values()), default=0)
        cells = [f"{_here(row['values'].get(c), c, sets)}{_there(theirs.get(c), c)}" for c in shown]
        mark = "" if row["paper"] in printed else " *"
        scope = row.get("scope", "")
        lines.append(f"| {row['title']}{mark} | {scope} | {sets} | {_got_there(row)} | {' | '.join(cells)} |")
    return lines


def with_unrun(name: str, listed: Sequence[RowRecord]) -> list[RowRecord]:
    """`listed`, then a row without values of ours for every row of the paper that has none of ours beside it."""
    known = {row["paper"] for row in listed}
    left = [key for key in TABLES[name].rows if key not in known]
    titles = {"original": "Original model", "retrained": "Retrained model"}
    empty = [{"key": f"unrun-{key}", "title": f"{titles.get(key, key)} (not run)", "paper": key, "values": {}} for key in left]
    return [dict(row) for row in listed] + empty


def _got_there(row: RowRecord) -> str:
    return f"{row['reached']}/{row['runs']}" if "runs" in row else ""


def _here(value: MeanRecord | None, column: str, sets: int) -> str:
    if value is None:
        return "–"
    fewer = f" ({value['n']})" if value["n"] < sets else ""
    factor, decimals = (COLUMNS[column].factor, COLUMNS[column].decimals) if column in COLUMNS else _FACTORS[column]
    half = "" if value["half"] is None else f" ± {factor * value['half']:.{decimals}f}"
    return f"{factor * value['mean']:.{decimals}f}{half}{fewer}"


def _there(value: Value | None, column: str) -> str:
    if value is None:
        return ""
    decimals = 0 if column == "seconds" else 2
    return f" / {value.mean:.{decimals}f}" + ("" if value.spread is None else f" ± {value.spread:.{decimals}f}")


def _figure(name: str, by_kind: Figure | None) -> list[str]:
    published = FIGURES[name]
    lines = [f"### {label(name)}: {published.title}", "", f"The paper ({published.where}): {published.says}.", ""]
    if not by_kind:
        return [*lines, "- Missing: not run yet.", ""]
    return [*lines, *(f"- {text}" for text in told(name, by_kind)), ""]


def told(name: str, by_kind: Figure) -> list[str]:
    """A sentence on our figure for each kind of forget set (`by_kind`: kind → figure), made from the numbers.

    A kind is left out where its figure is from before all numbers that the sentence needs were measured.
    """
    return [_TOLD[name](kind, figure) for kind, figure in by_kind.items() if _is_whole(name, figure)]


def _is_whole(name: str, figure: Figure) -> bool:
    if name == "figure1":
        return "span" in figure["numbers"]
    return name != "figure6" or "mean" in figure["numbers"]["imu"]


def _share(value: MeanRecord) -> str:
    half = None if value["half"] is None else 100 * value["half"]
    return f"{interval(100 * value['mean'], half)} %"


def _number(value: MeanRecord) -> str:
    return interval(value["mean"], value["half"], 3)


def _spread(kind: str, figure: Figure) -> str:
    numbers = figure["numbers"]
    wide = numbers["top"]["mean"] > 3 * 0.05
    verdict = "Agrees: a few samples carry much." if wide else "Not seen here: no few samples dominate."
    smoothing = figure.get("smoothing", 0.0)
    why = f" A likely reason: the network is trained with label smoothing {smoothing:g}, under which no residual p − y vanishes."
    return (
        f"{verdict} {_KINDS[kind]}, {numbers['top']['n']} forget sets: the first 5 % of samples hold {_share(numbers['top'])} "
        f"of the sum of positive scores, and {_share(numbers['positive'])} of samples have one. The scores span a factor of "
        f"{numbers['span']['mean']:.1f} (1st to 99th percentile); they act like equal weights on {_share(numbers['raw'])} of the "
        f"samples, their square roots on {_share(numbers['even'])}. Rank correlation of score and loss: "
        f"{_number(numbers['with_loss'])}."
        f"{why if smoothing and not wide else ''}"
    )


def _epochs(kind: str, figure: Figure) -> str:
    imu, ga = figure["numbers"]["imu"], figure["numbers"]["ga"]
    name, what = _CHANGES[kind]
    told, control = imu[name], ga[name]
    return (
        f"{_direction(told)}. {_KINDS[kind]}, {told[0]['n']} forget sets: the {what} goes from {_share(told[0])} to "
        f"{_share(told[-1])} in {len(told) - 1} epochs, while the forget accuracy goes from {_share(imu['forget'][0])} to "
        f"{_share(imu['forget'][-1])}. Under GA it goes to {_share(control[-1])}, at a forget accuracy of "
        f"{_share(ga['forget'][-1])}. The order of the samples afterwards has rank correlation {_number(imu['alike'][-1])} with "
        f"that before.{_settled(imu['mean']) if kind == 'classes' else ''}"
    )


_CHANGES = {"classes": ("even", "evenness of the weights"), "random": ("positive", "share of samples that help")}
_FULL_ALREADY, _SETTLED = 0.95, 0.1
_PRINTED = 0.0005  # correlations that are no further apart are printed the same


def _direction(told: Sequence[MeanRecord]) -> str:
    """Whether a share rises, as the paper says of both kinds."""
    change = told[-1]["mean"] - told[0]["mean"]
    if told[0]["half"] is None or told[-1]["half"] is None:
        return "Open, for one forget set says nothing about chance"
    if abs(change) <= sum(value["half"] or 0.0 for value in (told[0], told[-1])):
        return "Not seen here"
    if change > 0:
        return "Agrees"
    return "The opposite here" + (", from a start that could hardly rise" if told[0]["mean"] > _FULL_ALREADY else "")


def _settled(means: Sequence[MeanRecord]) -> str:
    """Whether the mean score stands still after the epochs that the paper names."""
    after = int(FIGURES["figure6"].numbers["settled"])
    change = means[-1]["mean"] / means[after]["mean"] - 1.0
    verdict = "Settled by then" if abs(change) <= _SETTLED else "Not settled by then"
    return f" {verdict}: from epoch {after} to {len(means) - 1} the mean score changes by {100 * change:+.0f} %."


def _full(kind: str, figure: Figure) -> str:
    own, theirs = figure["spearman"], FIGURES["figure2"].numbers["spearman"]
    near = abs(own["mean"] - theirs) <= max(own["half"] or 0.0, _PRINTED)
    verdict = "Agrees" if near else ("Lower here" if own["mean"] < theirs else "Higher here")
    seconds = figure.get("seconds", {})
    times = seconds["layers exact"] / max(seconds["head exact"], 1e-9) if seconds else None
    cost = f" All layers take {times:,.0f} times as long." if times else ""
    why = " The paper does not say which samples it took, nor how it went through all layers; here with Gauss-Newton products."
    diagonal = f" With the diagonal on both sides, as the authors' code has it: {_number(figure['diagonal'])}." if seconds else ""
    sizes = figure.get("sizes", {"curvature": 0, "samples": 0})
    of = f" The curvature is that of {sizes['curvature']:,} of {sizes['samples']:,} forget samples."
    cost = cost if sizes["curvature"] >= sizes["samples"] else of + cost
    return (
        f"{verdict}. {_KINDS.get(kind, kind)}, {own['n']} forget set{'s' if own['n'] > 1 else ''}: rank correlation of the "
        f"scores by the head and through all layers {_number(own)}, {theirs:g} in the paper.{diagonal}{cost}{'' if near else why}"
    )


_TOLD = {"figure1": _spread, "figure2": _full, "figure6": _epochs}
