"""Finished runs that come back from the database: this visitor's own onto their list; and those of others that are offered."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import streamlit as st

from imu_core.errors import ImuError
from imu_core.glossary import help_text
from imu_core.jobs import Job
from imu_core.methods import METHODS
from imu_core.records.run import Problem, RunConfig, Trajectory
from imu_core.store.restored import drawable
from imu_core.store.runs import Store, Summary
from pages.session import keeper, stored, visitor
from pages.session.kept import Kept

LISTED = 20  # runs a problem that come back; older ones are on the page Runs
LOOKED_THROUGH = 500  # of the newest runs on a problem, to find them
OFFERED = 100  # other stored runs on a problem to choose from, the newest
RETRY = 20.0  # seconds until a database that could not be read is asked again
Namer = Callable[[RunConfig], str]
_LOG = logging.getLogger(__name__)


def bring_back(problem: Problem, runs: list[Kept], name_of: Namer) -> None:
    """Put the visitor's stored runs on `problem` onto their list `runs`: once a problem, and again after each change of records.

    What was deleted on the page Runs leaves the list, what was renamed there has its new name. A database that cannot be read,
    or is slow, changes nothing; it is asked again later.
    """
    shelf, key = visitor.shelf(visitor.owner()), str(problem.describe())
    looked = shelf.things.setdefault("looked", {})
    with shelf.lock:
        if looked.get(key, -1.0) >= shelf.things.get("changed", 0.0) or looked.get(f"try {key}", 0.0) > time.monotonic():
            return
        now = time.monotonic()
        looked[f"try {key}"] = now + RETRY
        try:
            records = keeper.keeper().ask(visitor.owner(), lambda store: _mine(store, problem, {i.stored for i in runs}))
        except ImuError:
            return
        except Exception:
            _LOG.exception("stored runs could not be brought back")
            return
        if records is not None:
            looked[key] = now
            looked.pop(f"try {key}")
            _merge(problem, runs, *records, name_of)


def changed() -> None:
    """Note that records of this visitor were deleted, restored, named or imported; `bring_back` then reads the database again."""
    visitor.shelf(visitor.owner()).things["changed"] = time.monotonic()


Found = tuple[list[Summary], dict[str, Trajectory]]


def about_of(problem: Problem) -> tuple[str, str, str, int]:
    """(data set, model, forget request, seed) of `problem`, by which the database finds its runs."""
    about = problem.describe()
    return about["dataset"], about["model"], about["forget"], about["seed"]


def _mine(store: Store, problem: Problem, here: set[str]) -> Found:
    """The visitor's runs on this problem, newest first, and the paths of those that are to be shown and are not `here`."""
    summaries = store.search(problem=about_of(problem), own=True, listed=True, limit=LOOKED_THROUGH)
    fresh = [run.id for run in summaries if run.id not in here and is_showable(run)]
    return summaries, fitting(store, problem, fresh[:LISTED])


def fitting(store: Store, problem: Problem, ids: list[str]) -> dict[str, Trajectory]:
    """The trajectories, by id, of the runs `ids` that can be drawn and are about `problem` with the same earlier requests."""
    paths = {run_id: drawable(path) for run_id, path in store.trajectories(ids).items()}
    return {run_id: path for run_id, path in paths.items() if path.points and path.problem == problem.describe()}


def is_showable(run: Summary) -> bool:
    """Whether `run` ended in a state that is stored (`STORED_STATES`), by a method that this program knows."""
    return run.method in METHODS and run.state in keeper.STORED_STATES


def _merge(problem: Problem, runs: list[Kept], summaries: list[Summary], paths: dict[str, Trajectory], name_of: Namer) -> None:
    about, known = problem.describe(), {run.id: run for run in summaries}
    if len(summaries) < LOOKED_THROUGH:  # all of them: what is not among them was deleted
        runs[:] = [i for i in runs if not i.stored or i.stored in known or i.problem.describe() != about or not i.job.finished]
    for item in runs:
        if item.stored in known and known[item.stored].name:
            item.name = known[item.stored].name
    older = [restored(problem, run, paths[run.id], name_of) for run in reversed(summaries) if run.id in paths]
    runs[:0] = older
    _tell_apart(runs)


def _tell_apart(runs: list[Kept]) -> None:
    """A name is that of one run: pages choose by it."""
    taken: set[str] = set()
    for item in runs:
        names = (item.name, *(f"{item.name} {n}" for n in range(2, len(runs) + 2)))
        item.name = next(name for name in names if name not in taken)
        taken.add(item.name)


def restored(problem: Problem, run: Summary, path: Trajectory, name_of: Namer) -> Kept:
    """The stored `run` with its `path` as a finished one of this visitor."""
    owner = visitor.owner()
    work = keeper.restored(keeper.keeper(), problem, path, run.id, owner, run.has_parameters)
    name = run.name or name_of(path.config)
    job = Job(f"{name} · {problem.split.request[:30]}", lambda: work, owner=owner)
    job.run()
    return Kept(name, job, problem, path.config, stored=run.id, on_record=run.metrics)


def others(problem: Problem) -> dict[str, Summary]:
    """Stored runs on `problem` by id that this visitor may see and that are not on their list, newest first.

    Empty where the database cannot be read, or is slow.
    """
    here, owner = {item.stored for item in visitor.theirs("runs", list)}, visitor.owner()
    try:
        summaries = keeper.keeper().ask(owner, lambda store: store.search(problem=about_of(problem), limit=OFFERED)) or []
    except ImuError:
        return {}
    return {run.id: run for run in summaries if run.id not in here and is_showable(run)}


def box(label: str, offered: dict[str, Summary], **more: Any) -> str | None:
    """Draw a box to choose one of the `offered` runs; returns the id of the chosen one, None at first."""
    return st.selectbox(
        label, list(offered), None, format_func=lambda run_id: described(offered[run_id]), help=help_text("stored_run"),
        placeholder=f"{len(offered):,} on this problem" if len(offered) < OFFERED else f"the newest {OFFERED:,}", **more,
    )  # fmt: skip


def described(run: Summary) -> str:
    """A stored run in one line: name, scope, seed, when it ran, tags, start of its id."""
    when = datetime.fromtimestamp(run.created, stored.zone())
    tags = "".join(f" #{tag}" for tag in run.tags)
    return f"{stored.title_of(run)} · {run.scope}, seed {run.seed} · {when:%d %b, %H:%M}{tags} · {run.id[:4]}"
