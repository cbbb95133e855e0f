"""What visitors run is stored: by the one keeper of this server, whose thread writes while pages go on.

Pages reach the database through `view` alone: it shows and changes what the visitor who looks at the page may see and change.
"""

from __future__ import annotations

import streamlit as st

from imu_core.access import rights
from imu_core.records.run import Problem, Trajectory
from imu_core.store.keeper import Keeper
from imu_core.store.restored import RestoredRun
from imu_core.store.runs import Store, default_url, save_run
from pages.session import visitor
from pages.session.kept import Kept

STORED_STATES = ("done", "diverged", "cancelled")


@st.cache_resource(show_spinner=False)
def keeper() -> Keeper:
    """The one keeper of this server, for the runs of all visitors."""
    return Keeper(Store, default_url)


def view() -> Store:
    """The database as the visitor who looks at this page may see and change it; StoreError where it cannot be used."""
    return keeper().store().seen_by(rights.of_visitor(visitor.owner()))


def keep(into: Keeper, item: Kept) -> None:
    """Store the finished run of `item` with what is measured of it; failed ones and those without a point are left out."""

    def write(store: Store) -> None:
        run = item.run
        if not item.stored and run is not None and run.points and run.outcome.state in STORED_STATES:
            measured = item.measured if item.measuring and item.measuring.finished else {}  # else it is still growing
            item.stored, item.trouble = save_run(store, run, measured, item.name), ""
            if item.is_removed:
                store.unlist(item.stored)

    into.write(item, write)


def complete(into: Keeper, item: Kept) -> None:
    """Put the measurement of `item`, as far as it came, into its record."""
    measured = dict(item.measured)
    if measured:
        into.write(item, lambda store: store.complete(item.stored, measured) if item.stored else None)


def rename(into: Keeper, item: Kept) -> None:
    """Give the record of `item` the name it has now."""
    into.write(item, lambda store: store.rename(item.stored, item.name) if item.stored else None)


def unlist(into: Keeper, item: Kept) -> None:
    """Take the record of `item` off its visitor's list; it stays stored."""
    into.write(item, lambda store: store.unlist(item.stored) if item.stored else None)


def restored(into: Keeper, problem: Problem, trajectory: Trajectory, run_id: str, owner: str, keeps_model: bool) -> RestoredRun:
    """The stored run `run_id` of `owner` as a finished run; what was kept of its model is fetched when it is asked for."""
    url = default_url()

    def parameters() -> bytes | None:
        return into.store(url).seen_by(rights.of_visitor(owner)).get(run_id).parameters if keeps_model else None

    return RestoredRun(problem, trajectory, parameters, keeps_model)


def lighten(into: Keeper, item: Kept) -> None:
    """Put what the database holds in place of the finished run of `item`, where that is all of it; what it cached goes too."""

    def swap(store: Store) -> None:
        if store.keeps_parameters(item.stored):
            path = store.trajectories([item.stored])[item.stored]
            item.on_record, item.measuring = item.measured, None  # a measurement holds the run
            item.job.work = restored(into, item.problem, path, item.stored, item.owner, True)
            item.job.items.clear()
            item.drop_answers()

    into.write(item, swap)
