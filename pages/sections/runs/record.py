"""One stored run in detail: what it was, how it went, its figures beside the original and the retrained model, its files."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import streamlit as st

from imu_core import figures
from imu_core.depth import utility_key
from imu_core.errors import ImuError, StoreError
from imu_core.figures import paths
from imu_core.glossary import TERMS
from imu_core.metrics import METRICS
from imu_core.records.run import Trajectory
from imu_core.report import exports
from imu_core.report.numbers import phase_words, signed
from imu_core.report.verdicts import percent
from imu_core.store.restored import drawable
from imu_core.store.runs import Store, Stored
from pages.sections.runs import actions
from pages.session import keeper, stored
from pages.session.address import address
from pages.sidebar import reopen
from pages.widgets import progress, tables
from pages.widgets.text import plain
from pages.widgets.theme import NO_BAR, light_or_dark


def show(start: str) -> None:
    """Draw the run whose id begins with `start`; where there is none, a sentence that says so."""
    store = keeper.view()
    st.button("All runs", on_click=actions.close_record)
    try:
        run = store.get(store.resolve(start))
    except StoreError:
        st.warning(f"There is no stored run “{plain(start[:40])}”. It may have been removed for good, or be in another database.")
        return
    except ImuError as error:
        st.warning(plain(error))
        return
    if run.deleted is not None:
        st.info("This run was deleted. Bring it back to look at it.")
        st.button("Bring it back", on_click=actions.restore, args=([run.id],), type="primary")
        return
    st.header(plain(stored.title_of(run)), anchor=False)
    facts(run)
    record = drawable(run.trajectory)
    take_away(store, run, record)
    if record.points:
        charts(run, record)
    table(run)
    settings(run)
    repeat(run)


def facts(run: Stored) -> None:
    """Write which method ran on which problem, when, how it ended, and with what result."""
    record, now = run.trajectory, datetime.fromtimestamp(run.created, stored.zone())
    problem = stored.problem_title((run.dataset, run.model_name, run.forget, run.problem_seed))
    after = "".join(f", after {step['forget'][:40]}" for step in record.problem["history"])
    saw = f" · its method saw {', '.join(record.saw)}" if record.saw else ""
    tags = "".join(f" :gray-badge[{plain(tag)}]" for tag in run.tags)
    st.markdown(
        f"{progress.MARKS[run.state]} **{plain(stored.method_title(run))}**, scope {run.scope} · "
        f"{plain(problem + after)} · {now:%d %B %Y, %H:%M}{tags}"
    )
    st.markdown(sentence(run, record))
    phases = phase_words(record.phases)
    steps = f"{record.points[-1].step:,} steps, " if record.points else ""
    st.caption(plain(f"{steps}{phases}{saw}. {record.outcome.reason}"))


def sentence(run: Stored, record: Trajectory) -> str:
    """What happened, in a sentence with numbers."""
    drawn = drawable(record).points
    if not drawn:
        return "Nothing was computed that could be shown."
    first, last = drawn[0].accuracies, drawn[-1].accuracies
    key = utility_key(last)
    where = "other classes" if key == "test_other" else "test set"
    change = signed(100 * (last[key] - first[key]))
    text = (
        f"Of the forget set {percent(first['forget'])} were recognised before and {percent(last['forget'])} at "
        f"the end; the accuracy on the {where} changed by {change} points"
    )
    aim = stored.reference_of(run)
    if aim is None:
        return text + ". How the retrained model does was not measured with this run."
    return text + (
        f". The retrained model recognises {percent(aim['forget'])} and changed by "
        f"{signed(100 * (aim[key] - first[key]))} points."
    )


def charts(run: Stored, record: Trajectory) -> None:
    """Draw two charts: accuracies by step, and the run's path in the plane of test against forget accuracy."""
    shown, reference = [stored.shown(run, record)], stored.reference_of(run)
    for column, name, draw, alt in zip(
        st.columns(2, gap="large"),
        ("by_step", "plane"),
        (paths.by_step, paths.plane),
        ("Forget accuracy and test accuracy by step", "Test accuracy against forget accuracy, the path of the run"),
        strict=True,
    ):
        with column:
            st.plotly_chart(draw(shown, None, reference, light_or_dark()), key=f"record_{name}", config=NO_BAR, alt=alt)


def table(run: Stored) -> None:
    """Draw every figure on record beside those of the original and the retrained model, with its direction."""
    models = {"Original": "original", "This run": "run", "Retrained": "retrained"}
    numbers = {title: stored.numbers_of(run.metrics, model) for title, model in models.items()}
    own = {key: value for key, value in run.accuracies.items() if value is not None and key in METRICS}
    numbers["This run"] = {**own, **numbers["This run"]}
    keys = [key for key in METRICS if key in numbers["This run"]]
    class_wise = "test_other" in own
    rows = [
        {
            "Figure": METRICS[key].title + (f", {METRICS[key].unit}" if METRICS[key].unit in ("nats", "steps") else ""),
            **{title: stored.written(key, values.get(key)) for title, values in numbers.items()},
            "Good": stored.direction(key, class_wise),
            "Samples": stored.samples(run, key),
        }
        for key in keys
    ]
    st.subheader("Figures")
    if not rows:
        st.caption("Nothing was measured.")
        return
    shown = [title for title in ("Figure", "Original", "This run", "Retrained", "Good", "Samples") if any(r[title] for r in rows)]
    right = {title: st.column_config.Column(alignment="right") for title in (*models, "Samples")}
    lines = [{title: row[title] for title in shown} for row in rows]
    tables.draw(lines, right, alt="Every figure of this run", height="content")
    if run.depth != "full":
        st.caption("The result was not attacked: switch that on at Unlearn, or give `--measure full` to a sweep.")


def settings(run: Stored) -> None:
    """Draw a table of every setting that is not at its default, with what it means."""
    st.subheader("Settings")
    given = {**run.settings, **(run.settings.get("options") or {})}
    rows = [
        {"Setting": name, "Value": str(value), "What it is": TERMS[name].short if name in TERMS else ""}
        for name, value in given.items()
        if name != "options"
    ]
    tables.draw(rows, alt="Settings that differ from their default", height="content")
    st.caption("Every other setting is at its default.")


def take_away(store: Store, run: Stored, record: Trajectory) -> None:
    """Draw the buttons that run it again, compare it, name and tag it, download its files, delete it."""
    stem = "".join(c if c.isalnum() and c.isascii() else "-" for c in stored.title_of(run)).strip("-").lower() or "run"
    with st.container(horizontal=True, vertical_alignment="center", key="record_bar"):
        st.button("Open in Unlearn", on_click=actions.open_settings, args=(run.id,), type="primary")
        st.button("Compare", on_click=actions.compare, args=([run.id],))
        actions.naming(run)
        actions.tagging([run])
        actions.export(store, [run.id])
        _file("CSV of all steps", lambda: exports.to_csv(run.trajectory), f"{stem}.csv", "text/csv")
        if record.points:
            shown = [figures.Shown(stored.title_of(run), record, stored.style_of(run))]  # a picture knows no HTML
            _file("PNG of the charts", lambda: figures.png(shown, stored.reference_of(run)), f"{stem}.png", "image/png")
        if run.parameters is not None:
            _file("Changed parameters", lambda: run.parameters, f"{stem}.safetensors", "application/octet-stream")
        st.button("Delete", on_click=actions.delete, args=([run.id],))


def repeat(run: Stored) -> None:
    """Write the Python that repeats the run, and the links to it."""
    st.subheader("Again")
    left, right = st.columns(2)
    with left:
        st.caption("Python that repeats it exactly")
        st.code(exports.to_snippet(run.trajectory), language="python", wrap_lines=True)
    with right:
        links(run)


def links(run: Stored) -> None:
    """Write the address of this record, and that of the page that can run it again."""
    st.caption("Link to this record")
    st.code(address("runs", {"run": run.id}), language=None, wrap_lines=True)
    st.caption("Link that restores its problem and its settings")
    try:
        st.code(reopen.way_back(run, run.trajectory)[1], language=None, wrap_lines=True)
    except ImuError as error:
        st.caption(plain(error))


def _file(label: str, make: Any, name: str, mime: str) -> None:
    st.download_button(label, make, name, mime, key=f"file_{label}", on_click="ignore")
