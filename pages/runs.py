"""Runs: everything that was ever run and ended, to search, open, compare, name, tag, delete, export and import."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import streamlit as st

from imu_core import runtime
from imu_core.errors import ImuError
from imu_core.figures import markers
from imu_core.glossary import help_text
from imu_core.store.keeper import Curve
from imu_core.store.runs import Store, Summary
from pages.sections.runs import actions, importing, record
from pages.session import keeper as session_keeper
from pages.session import links, session_runs, stored
from pages.sidebar import navigation
from pages.widgets import apart as widgets_apart
from pages.widgets import bound, tables
from pages.widgets.tables import Columns, Row
from pages.widgets.text import plain

PAGE_SIZE = 50
FILTERS = ("search", "only_method", "only_problem", "only_state", "only_tag")
SWEEP = "python -m imu_core sweep --methods imu,ga,npo --seeds 0-4 --tag mine"


def filters(store: Store) -> dict[str, Any]:
    """Draw the search box and the four filters, which are in the link; returns keyword arguments for `Store.search`."""
    used = store.used()
    common: dict[str, Any] = {"index": None, "placeholder": "any"}
    one, two, three, four, five = st.columns([4, 3, 4, 2, 2])
    with one:
        text = bound.text_input(
            "Search",
            key="search",
            type="search",
            max_chars=200,
            placeholder="a name, a method, a tag",
            help="Every word must occur in the name, the request, the method, the model, the data set or a tag.",
        )
    titles = {name: stored.known_title(name) for name in used["method"]}
    problems = {problem: stored.problem_title(problem) for problem in used["problem"]}
    choose = bound.selectbox
    with two:
        method = choose("Method", list(titles), format_func=titles.get, key="only_method", help=help_text("method"), **common)
    with three:
        shown = list(problems)
        problem = choose("Problem", shown, format_func=problems.get, key="only_problem", help=help_text("request"), **common)
    with four:
        state = choose("State", list(used["state"]), key="only_state", help="How the run ended.", **common)
    with five:
        tag = choose("Tag", list(store.tags()), key="only_tag", help=help_text("tags"), **common)
    return {"text": text or "", "method": method, "problem": problem, "state": state, "tags": [tag] if tag else []}


def clear_filters() -> None:
    """Callback: empty all filters, so that all runs are listed again."""
    for key in FILTERS:
        st.session_state[key] = "" if key == "search" else None


def row(run: Summary, curve: Curve, apart: str = "") -> Row:
    """One line of the table; `apart` tells the run from others of its name."""
    forget = run.accuracies.get("forget")
    return {
        "Mark": markers.picture(stored.style_of(run)),
        "Name": " · ".join(part for part in (stored.title_of(run), apart) if part),
        "Method": stored.method_title(run),
        "Forget": None if forget is None else 100 * forget,
        "Path": curve.forget or None,
        "Change": curve.change,
        "When": datetime.fromtimestamp(run.created, UTC).astimezone(stored.zone()),
        "Problem": stored.problem_title((run.dataset, run.model_name, run.forget, run.problem_seed)),
        "State": run.state,
        "Tags": ", ".join(run.tags),
        "Scope": run.scope,
        "Seconds": run.seconds,
    }


def columns() -> Columns:
    """The columns of the table by name, with width, format, unit and direction."""
    make = st.column_config
    change = "Test accuracy at the end less that before, points: on the other classes where whole classes go, else on all."
    return {
        "Mark": make.ImageColumn("", width=38),
        "Name": make.TextColumn(width=90),
        "Method": make.TextColumn(width=70),
        "Forget": make.NumberColumn(
            "Forget, %", format="%.1f", width=68, help="Forget accuracy at the end. " + help_text("forget")
        ),
        "Path": make.LineChartColumn(
            "by step", width=75, y_min=0, y_max=100, color="gray", help="Forget accuracy by step, 0 to 100 %."
        ),
        "Change": make.NumberColumn("Change ↑", format="%+.1f", width=72, help=change),
        "When": make.DatetimeColumn(format="D MMM, HH:mm", width=105),
        "Problem": make.TextColumn(width=120),
        "State": make.TextColumn(width=72, help="How the run ended."),
        "Tags": make.TextColumn(width=60, help=help_text("tags")),
        "Scope": make.TextColumn(width=55, help=help_text("scope")),
        "Seconds": make.NumberColumn(format="%.2f", width=70, help="What the run took, without the attacks on its result."),
    }


def listed(wanted: dict[str, Any]) -> None:
    """Draw the table of the runs that fit the filters `wanted`, a page at a time, and what can be done with the chosen rows."""
    keeper, store = session_keeper.keeper(), session_keeper.view()
    total = store.count(**wanted)
    if not total:
        st.markdown("No stored run fits. Try fewer words, or another choice.")
        st.button("Show all runs", on_click=clear_filters)
        return
    pages = -(-total // PAGE_SIZE)
    page = min(st.session_state.get("list_page") or 1, pages)
    runs = store.search(**wanted, limit=PAGE_SIZE, offset=(page - 1) * PAGE_SIZE)
    above = st.container()
    curves = keeper.curves(store, runs)
    told = widgets_apart.words(
        [widgets_apart.One(stored.title_of(run), run.settings | {"scope": run.scope}, run.id) for run in runs]
    )
    rows = [row(run, curves[run.id], apart) for run, apart in zip(runs, told, strict=True)]
    _, high = tables.fitted(rows, columns())
    event = tables.draw(
        rows,
        columns(),
        height=min(38 + (high or 36) * len(runs), 660),
        on_select="rerun",
        selection_mode="multi-row",
        key=f"table_{actions.signature(runs)}",
        alt=f"{len(runs)} stored runs, newest first",
    )
    with above:
        actions.bar(store, [runs[n] for n in event["selection"]["rows"] if n < len(runs)])
    if pages > 1:
        st.pagination(pages, key="list_page")
    many = f"{total:,} runs" if total != 1 else "One run"
    st.caption(f"{many}, newest first. Forget accuracy and change are those at the end; scope says which layers could change.")


def nothing_yet() -> None:
    """Write what will appear here, and where to begin."""
    st.markdown(
        "Nothing is stored yet. Every run that you finish or stop on the page Unlearn or Re-identify appears here by itself, "
        "with its settings, every step and its figures, and stays when you close the browser."
    )
    st.page_link("pages/unlearn.py", label="Make a model forget", icon=":material/ink_eraser:", query_params={})
    if (runtime.ASSETS / "results" / "methods.json").exists():
        st.page_link("pages/compare.py", label="Look at the record of all methods, which ships with this program")


def not_stored() -> None:
    """Name the runs of this visitor that could not be stored, with a button that tries again; nothing where all are."""
    lost = [item for item in session_runs.kept() if item.trouble]
    if lost:
        names = ", ".join(plain(item.name) for item in lost[:5])
        st.warning(f"Not everything could be stored ({names}): {plain(lost[0].trouble)}")
        st.button("Store them now", on_click=actions.store_again, args=(lost,))


st.title("Runs")
st.markdown(
    "Everything that ran here and ended, also what was stopped. Find a run again, look at it, compare it, take it with you."
)
navigation.hand_over()
actions.go_on()
session_keeper.keeper().settle()
try:
    start = links.word("run")
    actions.said()
    if start:
        record.show(start)
        st.stop()
    store = session_keeper.view()
    not_stored()
    if store.count():
        listed(filters(store))
    else:
        nothing_yet()
    importing.row()
    st.caption(f"Many runs at once come from the command line and are stored here too, with the tags you give them: `{SWEEP}`")
except ImuError as error:
    session_keeper.keeper().reopen()
    st.warning(f"The stored runs cannot be shown. {plain(error)} Everything else works without them.")
