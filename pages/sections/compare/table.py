"""All runs of a problem in one table, coloured by their distance from the retrained model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from imu_core.depth import at_depth, utility_key
from imu_core.figures import compare as charts
from imu_core.glossary import help_text
from imu_core.metrics import METRICS
from imu_core.problems.reference import Reference
from imu_core.records.run import Problem
from imu_core.records.shapes import Metrics
from imu_core.report.numbers import percent, signed
from pages.sections.compare import compared, front
from pages.sections.compare import depth as compare_depth
from pages.sections.compare.compared import Compared
from pages.session import session_runs
from pages.widgets import progress, tables
from pages.widgets.tables import Columns, Row
from pages.widgets.theme import light_or_dark

ORIGINAL, RETRAINED = "Original", "Retrained"
AT_DEPTH = "Change at equal depth"
# column → (key in METRICS, factor, decimals, the distance that has the strongest colour)
COLUMNS: dict[str, tuple[str, float, int, float]] = {
    "Forget, %": ("forget", 100, 1, 20.0),
    "Change, points": ("", 100, 1, 5.0),
    AT_DEPTH: ("", 100, 1, 5.0),
    "Judged never seen": ("membership", 1, 2, 0.5),
    "Average gap": ("average_gap", 1, 3, 0.2),
    "Tug of war": ("tug_of_war", 1, 3, 0.2),
    "KL, nats": ("kl", 1, 3, 1.0),
    "JS, nats": ("js", 1, 3, 0.2),
    "Agreement, %": ("agreement", 100, 1, 20.0),
}
OF_THE_RETRAINED = {"average_gap": 0.0, "tug_of_war": 1.0, "kl": 0.0, "js": 0.0, "agreement": 1.0}  # by definition
PATH = "Forget by step"
LABELS = {
    "Change, points": "Change",
    AT_DEPTH: "At equal depth",
    "KL, nats": "KL",
    "JS, nats": "JS",
}  # where the help has the unit


def section(problem: Problem, items: list[Compared], reference: Reference | None) -> None:
    """Draw the controls, the table of the chosen runs with its files, and the plane."""
    chosen, depth = compare_depth.controls(items, reference)
    original = compared.first_sight(problem, reference)
    known = {item.key: compared.numbers(problem, item, reference) for item in chosen}
    rows = _rows(chosen, known, original, reference, depth)
    _table(problem, rows, depth)
    compared.tell_apart(chosen)
    _measure_offer(items)
    decimals = {name: places for name, (_, _, places, _) in COLUMNS.items()} | {"Seconds": 2, "MB": 0}
    plain = [{name: value for name, value in row.items() if name != PATH} for row in rows]
    compared.files(plain, "runs", f"Runs on {problem.split.request[:60]}, {problem.dataset.name}", decimals)
    st.subheader("What nobody beats", anchor=False)
    front.plane(problem, chosen, original, reference)


def _rows(
    items: Sequence[Compared],
    known: Mapping[str, Mapping[str, float]],
    original: dict[str, float],
    reference: Reference | None,
    depth: float,
) -> list[Row]:
    """The retrained model first, then the original, then the runs; what is not known is None."""
    key = utility_key(original)
    measured = next((dict(item.measured) for item in items if item.measured), {})
    rows = []
    if reference:
        numbers = reference.accuracies | OF_THE_RETRAINED | _membership(measured, "retrained")
        change = reference.accuracies[key] - original[key]
        rows.append(_row(RETRAINED, numbers, change, change, "its own depth", {"Saw": "all but the forget set", "Scope": "all"}))
    rows.append(
        _row(ORIGINAL, original | _membership(measured, "original"), 0.0, None, "", {"Saw": "everything", "Scope": "all"})
    )
    for item in items:
        at, config = at_depth(item.trajectory, depth), item.trajectory.config
        about = {"Saw": " + ".join(item.trajectory.saw).replace("_", " "), "Scope": config.scope}
        change = known[item.key].get(key, math.nan) - original[key]  # an imported record may lack it
        deep = at.accuracies.get(key, math.nan) - original[key] if at.reached else None
        rows.append(_row(item.name, known[item.key], change, deep, _how(at), about, item))
    return rows


def _membership(measured: Metrics, model: str) -> dict[str, float]:
    membership = measured.get("membership", {}).get(model)
    return {} if membership is None else {"membership": membership}


def _how(at: Any) -> str:
    if not at.reached:
        return "not reached"
    return f"step {at.step:.1f}, interpolated" if at.interpolated else f"step {at.step:.0f}"


def _row(
    name: str,
    numbers: Mapping[str, float],
    change: float,
    deep: float | None,
    how: str,
    about: dict[str, str],
    item: Compared | None = None,
) -> Row:
    points = item.trajectory.points if item else ()
    path = [100 * p.accuracies["forget"] for p in points[:: max(1, len(points) // 60)]] or None
    row: Row = {"Run": name, PATH: path, **about}
    for column, (key, factor, places, _) in COLUMNS.items():
        value = numbers.get(key) if key else (deep if column == AT_DEPTH else change)
        row[column] = None if value is None or math.isnan(value) else round(factor * value, places + 2)
    costs = item.trajectory.costs if item else {}
    row["Equal depth at"] = how
    row["Seconds"] = sum(item.trajectory.phases.values()) if item else None
    row["MB"] = costs["peak_bytes"] / 1e6 if costs.get("peak_bytes") is not None else None
    return row


def _table(problem: Problem, rows: list[Row], depth: float) -> None:
    table = pd.DataFrame(rows)
    runs = table[~table["Run"].isin((ORIGINAL, RETRAINED))]
    empty = [name for name in COLUMNS if runs[name].isna().all()]
    table = table.drop(columns=empty)
    shown = {name: COLUMNS[name] for name in COLUMNS if name not in empty}
    styled = table.style.format({name: _form(name, places) for name, (_, _, places, _) in shown.items()}, na_rep="")
    if rows[0]["Run"] == RETRAINED:
        styled = styled.apply(lambda frame: _colours(frame, shown), axis=None)
    tables.draw(
        [{name: value for name, value in row.items() if name not in empty} for row in rows],
        _config(problem, shown),
        styled,
        placeholder="",
        key="compare_table",
        alt="Every run beside the retrained and the original model; the numbers are in the downloads below",
    )
    split = problem.split
    st.caption(
        f"{len(split.forget):,} forget, {len(split.retain):,} retain and {len(problem.test.labels):,} "
        f"test {problem.dataset.noun}. "
        "Changes in points against the original model; KL and JS in nats. ↑ higher is better, ↓ lower, ≈ nearest the retrained "
        f"model. Equal depth: {percent(depth)} forget accuracy; between two evaluated steps it is interpolated. "
        + (
            "Colour: orange below the retrained model, blue above it, none where they agree."
            if rows[0]["Run"] == RETRAINED
            else ""
        )
    )


def _form(name: str, places: int) -> Any:
    if name.startswith("Change"):
        return lambda value: "" if pd.isna(value) else signed(value)
    return lambda value: "" if pd.isna(value) else f"{value:.{places}f}"


def _colours(table: pd.DataFrame, shown: Mapping[str, tuple[str, float, int, float]]) -> pd.DataFrame:
    """The ground of every number, by its distance from the first row's."""
    css, theme = pd.DataFrame("", table.index, table.columns), light_or_dark()
    for name, (_, _, _, strongest) in shown.items():
        aim = table[name].iloc[0]
        for row in range(1, len(table)):
            tone = charts.shade((table[name].iloc[row] - aim) / strongest, theme) if pd.notna(aim) else ""
            css.loc[css.index[row], name] = f"background-color: {tone}" if tone and pd.notna(table[name].iloc[row]) else ""
    return css


def _config(problem: Problem, shown: Mapping[str, tuple[str, float, int, float]]) -> Columns:
    column, number = st.column_config.Column, st.column_config.NumberColumn
    path = st.column_config.LineChartColumn(
        PATH, y_min=0, y_max=100, width=90, help="Forget accuracy over its steps, 0 to 100 %."
    )
    config: Columns = {"Run": column("Run", pinned=True), PATH: path}
    for name, (key, _, _, _) in shown.items():
        better = METRICS[key].direction(bool(problem.split.classes)) if key else "higher"
        arrow = {"higher": "↑", "lower": "↓"}.get(better, "≈")
        term = key or ("depth" if name == AT_DEPTH else "test_other" if problem.split.classes else "test")
        config[name] = number(f"{LABELS.get(name, name)} {arrow}", help=f"{help_text(term)} Good: {better}.")
    config["Saw"] = column("Saw", help=help_text("sees"))
    config["Seconds"] = number("Seconds ↓", format="%.2f", help="What the run itself took, without its measurement.")
    config["MB"] = number("MB ↓", format="%.0f", help="By how much the process grew at most while it ran, other runs included.")
    return config


def _measure_offer(items: Sequence[Compared]) -> None:
    """Where runs of this visit were not attacked yet: a button that does it behind the page."""
    left = [i.kept for i in items if i.kept and i.kept.can_be_measured and "membership" not in i.measured]
    going = [i.kept for i in items if i.kept and i.kept.measuring and not i.kept.measuring.finished]
    if going:
        progress.watch_all([item.measuring for item in going], "compare_stop_measuring")
    elif left:
        with st.container(horizontal=True, vertical_alignment="center"):
            if st.button("Attack these runs too", key="compare_measure") and progress.has_room(len(left)):
                for item in left:
                    session_runs.measure_later(item)
                st.rerun()
            st.caption(f"Membership and average gap of {len(left)} runs are not measured yet: some seconds a run.")
