"""What can be taken away from runs: a link, a name, files, Python, and the model itself as the start of a second request."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from imu_core import figures
from imu_core.glossary import help_text
from imu_core.records.run import Trajectory
from imu_core.report import exports
from pages.session import links, session_runs
from pages.session.address import address
from pages.sidebar import problem_choice
from pages.widgets import link_box, run_link
from pages.widgets.text import plain

LOOKED_AT = ("cam", "layer", "opacity")  # what a link to Re-identify says besides problem and settings


def view(page: str) -> dict[str, Any]:
    """Parameters of a link besides problem and settings: on Unlearn step and attack switch, on Re-identify those of the maps."""
    state = st.session_state
    if page != "unlearn":
        return {name: words for name, words in links.shown().items() if name in LOOKED_AT}
    at, last = state.get("unlearn_at"), state.get("unlearn_last")
    query: dict[str, Any] = {"step": at} if at is not None and at != last else {}
    return query | ({} if state.get("measure", True) else {"measure": "false"})


def link(items: list[session_runs.Kept], page: str = "unlearn") -> None:
    """Write the address of what is shown, and name the runs whose settings differ too much to be in it.

    While only the examples are shown, which everybody sees, the address holds what is chosen in the form.
    """
    item, at = closer(items), ", at this step" if page == "unlearn" else ""
    if item.is_example:
        words = {name: given for name, given in links.shown().items() if name in st.query_params or name in run_link.NAMED}
        query = run_link.about(item.problem.describe()) | words | view(page)
        return link_box.write(address(page, query), f"Opens this page with the same problem and choices{at}")
    others = [other for other in items if other is not item and other.trajectory]
    records = [other.trajectory for other in others]
    shown = run_link.together(item.trajectory, page, records)[1]
    left = [plain(other.name) for other in others if other.config not in shown]
    note = f"Not in it, as their settings differ: {', '.join(left)}. Look closer at one of them for a link of its own."
    return link_box.write(
        run_link.link(item.trajectory, page, records, **view(page)),
        f"Opens this page with the same problem and the settings of these runs{at}",
        [note] if left else [],
    )


def _closer_key(items: list[session_runs.Kept]) -> str:
    return f"closer_{len(items)}_{items[0].name}"


def closer(items: list[session_runs.Kept]) -> session_runs.Kept:
    """The one of `items` that is looked at closely; the first, until the visitor chooses."""
    chosen = st.session_state.get(_closer_key(items))
    return next((item for item in items if item.name == chosen), items[0])


def look_closer(items: list[session_runs.Kept]) -> session_runs.Kept:
    """Let the visitor choose one of `items`; returns it."""
    names = [item.name for item in items]
    st.segmented_control("Look closer at", names, default=names[0], key=_closer_key(items), required=True)
    session_runs.tell_apart(items)
    return closer(items)


def take_away(item: session_runs.Kept, items: list[session_runs.Kept], reference: dict[str, float] | None) -> None:
    """Draw what can be done with one run: rename, remove, download in every form, repeat in Python, forget something more."""
    record = dataclasses.replace(item.trajectory, metrics=item.measured)
    stem = "".join(c if c.isalnum() else "-" for c in item.name).strip("-").lower() or "run"
    one, two, three = st.columns([3, 3, 2], vertical_alignment="bottom")
    with one:
        if not item.is_example:
            key = f"name_{item.job.id}"
            st.session_state.setdefault(key, item.name)
            st.text_input("Name of the run", key=key, max_chars=60, on_change=_rename, args=(item, key))
    with two, st.container(horizontal=True):
        _file("JSON", exports.to_json(record), f"{stem}.json", "application/json", item)
        _file("CSV", exports.to_csv(record), f"{stem}.csv", "text/csv", item)
        shown = [other.shown for other in items if other.shown]
        _file("PNG of the charts", lambda: figures.png(shown, reference), "runs.png", "image/png", item)
        model = lambda: exports.to_safetensors(item.run.model(), record)  # noqa: E731
        if not item.lacks_model:
            _file("Model (safetensors)", model, f"{stem}.safetensors", "application/octet-stream", item)
    with three:
        if not item.is_example:
            st.button(
                "Remove this run",
                on_click=session_runs.remove,
                args=(item,),
                key=f"remove_{item.job.id}",
                help="From this list; what is stored of it stays on the page Runs.",
            )
    left, right = st.columns(2)
    with left:
        st.caption("Python that repeats it exactly")
        st.code(exports.to_snippet(record), language="python", wrap_lines=True)
    with right:
        if item.job.state == "done":
            st.button("Forget something else from this model", on_click=_continue, args=(record,))
            st.caption(help_text("second_request"))


def _rename(item: session_runs.Kept, key: str) -> None:
    session_runs.rename(item, st.session_state[key])
    st.session_state[key] = item.name


def _file(label: str, make: Any, name: str, mime: str, item: session_runs.Kept) -> DeltaGenerator | bool:
    """A file, or what makes it when asked: Streamlit may drop that when another visitor leaves, so small ones are made here."""
    return st.download_button(label, make, name, mime, key=f"{label}_{item.job.id}_{item.name}", on_click="ignore")


def _continue(record: Trajectory) -> None:
    """Start the next problem from this run: its request and settings join the history, and another class is proposed."""
    about = record.problem
    history = [[step["forget"], step["config"]] for step in about["history"]]
    history.append([about["forget"], record.config.changed()])
    st.session_state.after = json.dumps(history)
    gone = {request for request, _ in history}
    st.session_state.forget = next(name for name in problem_choice.suggestions(about["dataset"]) if name not in gone)
