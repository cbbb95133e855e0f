"""Finished runs in a database: SQLite by default, any URL by IMU_DATABASE_URL; many processes and threads at once.

Every call is one transaction. Deleting hides a run and can be undone; only `purge` removes it for good.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import sqlalchemy as sql

from imu_core.errors import ImuError, StoreError
from imu_core.records.run import Trajectory, finite
from imu_core.records.shapes import Metrics
from imu_core.store import database
from imu_core.store.connection import Connected, default_url
from imu_core.store.exchange import from_text, set_aside, to_text
from imu_core.store.queries import (
    LIGHT,
    PROBLEM,
    RUNS,
    STOPS,
    TAGS,
    attach,
    chunks,
    conditions,
    file_problems,
    is_deleted,
    is_stopped_by,
    says_more,
    tags_of,
)
from imu_core.store.reading import STATES
from imu_core.store.schema import RunRow
from imu_core.store.stored import (
    LARGEST_PARAMETERS,
    Stored,
    Summary,
    changed_parameters,
    clean_name,
    clean_tags,
    columns,
    read_parameters,
    run_key,
    unpack,
)

if TYPE_CHECKING:
    from imu_core.unlearning.run import Run

__all__ = ["Store", "Stored", "Summary", "changed_parameters", "default_url", "run_key", "save_run"]


class Store(Connected):
    """The database of runs at `url` (SQLAlchemy's form; None: `default_url()`); made on first use.

    Safe to share between threads; every process makes its own. StoreError, a sentence, where the database cannot be used. It
    may do everything; `seen_by` makes the view of one visitor, where nothing else can be reached.
    """

    # One run.

    def add(
        self,
        trajectory: Trajectory,
        *,
        name: str = "",
        tags: Iterable[str] = (),
        parameters: bytes | None = None,
        once: bool = False,
    ) -> str:
        """Keep a finished run and return its id.

        `parameters` are safetensors bytes below 8 MB (`changed_parameters` makes them). With `once`, a run with the same key
        that is stored and not deleted is returned instead; it takes over what it lacked (a fuller measurement, an ending
        after a failure or a Stop), so that a repeated sweep leaves one record a run.
        """
        if trajectory.outcome.state not in STATES:
            raise StoreError(f"This run is {trajectory.outcome.state}; only a finished run can be stored.")
        if parameters is not None and len(parameters) >= LARGEST_PARAMETERS:
            raise StoreError(f"The parameters have {len(parameters):,} bytes; less than {LARGEST_PARAMETERS:,} are stored.")
        row, labels = columns(trajectory, name, parameters), clean_tags(tags)
        return self._patiently(row, labels, once)

    def _keep(self, row: RunRow, labels: Sequence[str], once: bool) -> str:
        with self._writing() as connection:
            if connection.execute(sql.select(RUNS.c.id).where(RUNS.c.id == row["id"])).first() is not None:
                return row["id"]  # the server went away before it could say so
            same = self._newest(connection, row["key"], self._changeable()) if once else None
            if same is None:
                self._insert(connection, row, labels)
                return row["id"]
            if says_more(row, same):
                fresh = {k: v for k, v in row.items() if k not in ("id", "created", "name", "deleted", "visitor", "unlisted")}
                connection.execute(sql.update(RUNS).where(RUNS.c.id == same["id"]).values(fresh))
            return same["id"]

    def _patiently(self, row: RunRow, labels: Sequence[str], once: bool) -> str:
        """`_keep`, again and again while the server is away; what cannot be kept at all lies in a file that can be imported."""
        end = time.monotonic() + database.WAIT
        while True:
            try:
                return self._keep(row, labels, once)
            except database.Unusable as error:
                if error.away and time.monotonic() < end:
                    time.sleep(database.PAUSE)
                elif self._rights.visitor is not None:
                    raise  # the run is on the visitor's page; files of the server are not theirs
                else:
                    raise database.Unusable(f"{error} {set_aside(row, labels)}", error.away) from error

    def get(self, run_id: str) -> Stored:
        """The run with that id, deleted or not; StoreError where there is none."""
        with self._reading() as connection:
            return self._whole(connection, RUNS.c.id == run_id, f"There is no run {str(run_id)[:40]!r}.")

    def resolve(self, start: str) -> str:
        """The id that begins with `start` (at least four characters); StoreError where none or several do."""
        if not isinstance(start, str) or len(start) < 4:
            raise StoreError(f"{str(start)[:40]!r} is too short for an id; give at least its first four characters.")
        with self._reading() as connection:
            query = sql.select(RUNS.c.id).where(RUNS.c.id.startswith(start, autoescape=True), self._visible()).limit(2)
            ids = connection.execute(query).scalars().all()
        if len(ids) != 1:
            raise StoreError(f"{'Several runs begin' if ids else 'No run begins'} with {start[:40]!r}.")
        return ids[0]

    def find(self, key: str) -> Stored | None:
        """The newest run with that key that is not deleted, or None."""
        with self._reading() as connection:
            same = self._newest(connection, key, self._visible())
            return self._whole(connection, RUNS.c.id == same["id"], "") if same is not None else None

    def keeps_parameters(self, run_id: str) -> bool:
        """Whether there is such a run, and the parameters it changed are with it."""
        query = sql.select(RUNS.c.id).where(RUNS.c.id == run_id, RUNS.c.parameters.is_not(None), self._visible())
        with self._reading() as connection:
            return connection.execute(query).first() is not None

    def rename(self, run_id: str, name: str) -> None:
        """Call the run `name` (an empty text takes the name away)."""
        self._change([run_id], name=clean_name(name))

    def tag(self, run_id: str, tags: Iterable[str]) -> None:
        """Give the run exactly these tags, whatever it carried before."""
        labels = clean_tags(tags)
        with self._writing() as connection:
            self._demand(connection, [run_id])
            connection.execute(sql.delete(TAGS).where(TAGS.c.run_id == run_id))
            attach(connection, run_id, labels)

    def delete(self, *run_ids: str) -> None:
        """Hide runs; `restore` brings them back until `purge` removes them."""
        self._change(run_ids, deleted=time.time())

    def restore(self, *run_ids: str) -> None:
        """Bring deleted runs back."""
        self._change(run_ids, deleted=None)

    def unlist(self, *run_ids: str) -> None:
        """Take runs off the list of the pages that run things; they stay stored, and can still be searched."""
        self._change(run_ids, unlisted=time.time())

    def complete(self, run_id: str, metrics: Metrics) -> None:
        """Replace the metrics in the record of that run by `metrics`, which were measured later."""
        self._change([run_id], metrics=finite(dict(metrics)))

    # Many runs.

    def search(
        self,
        text: str = "",
        *,
        method: str | None = None,
        tags: Iterable[str] = (),
        state: str | None = None,
        problem: Sequence[Any] | None = None,
        deleted: bool = False,
        own: bool | None = None,
        listed: bool = False,
        limit: int | None = 100,
        offset: int = 0,
    ) -> list[Summary]:
        """Runs that fit, newest first.

        Every word of `text` must occur in the name, request, method, model, data set or a tag; every one of `tags` must be
        there. `problem` is (data set, model, request, seed). `deleted` lists the deleted ones instead of the others; `own`
        those of this visitor alone, or (False) everybody else's; `listed` leaves out what was taken off the list.
        """
        query = sql.select(*LIGHT, RUNS.c.parameters.is_not(None).label("has_parameters"))
        query = query.where(self._visible(), *conditions(text, method, tags, state, problem, deleted), *self._whose(own))
        query = query.where(RUNS.c.unlisted.is_(None)) if listed else query
        query = query.order_by(RUNS.c.created.desc(), RUNS.c.id)
        with self._reading() as connection:
            rows = connection.execute(query.limit(limit).offset(offset)).mappings().all()
            labels = tags_of(connection, [row["id"] for row in rows])
        return [Summary(**row, tags=labels[row["id"]]) for row in rows]

    def count(
        self,
        text: str = "",
        *,
        method: str | None = None,
        tags: Iterable[str] = (),
        state: str | None = None,
        problem: Sequence[Any] | None = None,
        deleted: bool = False,
        own: bool | None = None,
    ) -> int:
        """How many runs `search` finds in all."""
        where = [self._visible(), *conditions(text, method, tags, state, problem, deleted), *self._whose(own)]
        with self._reading() as connection:
            return connection.execute(sql.select(sql.func.count()).select_from(RUNS).where(*where)).scalar_one()

    def used(self, *, deleted: bool = False) -> dict[str, dict[Any, int]]:
        """What runs can be searched by: method | state | problem → each one in use → its number of runs.

        A problem is as `search` takes it. The most frequent come first. `deleted` counts the deleted runs instead of the others.
        """
        columns = {"method": (RUNS.c.method,), "state": (RUNS.c.state,), "problem": PROBLEM}
        counts: dict[str, dict[Any, int]] = {}
        with self._reading() as connection:
            for name, group in columns.items():
                number = sql.func.count()
                query = sql.select(*group, number).where(is_deleted(deleted), self._visible())
                counted = [tuple(row) for row in connection.execute(query.group_by(*group))]
                rows = sorted(counted, key=lambda row: (-row[-1], row))  # servers sort texts each in their own way
                counts[name] = {row[0] if len(group) == 1 else row[:-1]: row[-1] for row in rows}
        return counts

    def trajectories(self, run_ids: Sequence[str]) -> dict[str, Trajectory]:
        """Run id → trajectory, without metrics and parameters; damaged and missing runs are left out."""
        trajectories: dict[str, Trajectory] = {}
        with self._reading() as connection:
            for part in chunks(run_ids):
                query = sql.select(RUNS.c.id, RUNS.c.trajectory).where(RUNS.c.id.in_(part), self._visible())
                for run_id, content in connection.execute(query):
                    with contextlib.suppress(ImuError):
                        trajectories[run_id] = unpack(content, {})
        return trajectories

    def latest(self, keys: Sequence[str]) -> dict[str, Summary]:
        """Key → the newest run with that key; keys without a run that is stored and not deleted are left out."""
        summaries: dict[str, Summary] = {}
        query = sql.select(*LIGHT, RUNS.c.parameters.is_not(None).label("has_parameters"))
        query = query.where(RUNS.c.deleted.is_(None), self._visible())
        with self._reading() as connection:
            for part in chunks(keys):
                ordered = query.where(RUNS.c.key.in_(part)).order_by(RUNS.c.created, RUNS.c.id.desc())
                rows = connection.execute(ordered).mappings().all()
                labels = tags_of(connection, [row["id"] for row in rows])
                summaries |= {row["key"]: Summary(**row, tags=labels[row["id"]]) for row in rows}
        return summaries

    def tags(self) -> dict[str, int]:
        """Every tag in use with the number of runs that carry it."""
        query = sql.select(TAGS.c.tag, sql.func.count()).join(RUNS).where(RUNS.c.deleted.is_(None), self._visible())
        query = query.group_by(TAGS.c.tag)
        with self._reading() as connection:
            return dict(sorted((tag, number) for tag, number in connection.execute(query)))

    def purge(self, older: float = 0.0) -> int:
        """Remove for good what was deleted more than `older` seconds ago; returns how many runs that were."""
        with self._writing() as connection:
            gone = sql.delete(RUNS).where(RUNS.c.deleted.is_not(None), RUNS.c.deleted <= time.time() - older)
            return connection.execute(gone.where(self._changeable())).rowcount

    def export(self, run_ids: Iterable[str]) -> str:
        """The runs as JSON text with everything, parameters in base64; `import_` reads it back."""
        return to_text(self.get(run_id) for run_id in run_ids)

    def import_(self, text: str) -> list[str]:
        """Take in what `export` wrote, all of it or nothing; returns the ids in order.

        A run that is here already (same id, same key) is not stored twice; if it was deleted, it is back. Where another run, or
        another's, has its id, it gets a new one. DataError in a sentence for a text that is no export or was tampered with.
        """
        runs = from_text(text)
        with self._writing() as connection:
            return [self._take_in(connection, row, labels) for row, labels in runs]

    def integrity(self) -> list[str]:
        """What is wrong with the database, in sentences; an empty list when everything in it can be read."""
        with self._reading() as connection:
            problems = list(file_problems(connection)) if self._is_sqlite else []
            query = sql.select(RUNS.c.id).where(self._visible()).order_by(RUNS.c.created)
            for run_id in connection.execute(query).scalars().all():
                try:
                    run = self._whole(connection, RUNS.c.id == run_id, "it vanished")
                    if run.parameters is not None:
                        read_parameters(run.parameters)
                except ImuError as error:
                    problems.append(f"Run {run_id}: {error}")
        return problems

    # Signs that the workers of a sweep look for: the database is the one thing that all of them share.

    def ask_to_stop(self, sweep: str) -> None:
        """Tell every worker of that sweep to stop."""
        with self._writing() as connection:
            if not is_stopped_by(connection, sweep):
                connection.execute(sql.insert(STOPS).values(sweep=sweep))

    def is_stopped(self, sweep: str) -> bool:
        """Whether somebody asked that sweep to stop."""
        with self._reading() as connection:
            return is_stopped_by(connection, sweep)

    def forget_stop(self, sweep: str) -> None:
        """Remove the sign to stop of a sweep that has ended: no worker looks for it any more."""
        with self._writing() as connection:
            connection.execute(sql.delete(STOPS).where(STOPS.c.sweep == sweep))


def save_run(store: Store, run: Run, measured: Metrics, name: str = "", tags: Iterable[str] = ()) -> str:
    """Keep a finished `run` with what was measured of it and the parameters it changed; returns the id."""
    if run.outcome.state not in STATES:
        raise StoreError(f"This run is {run.outcome.state}; only a finished run can be stored.")
    trajectory = dataclasses.replace(run.trajectory, metrics=dict(measured))
    parameters = changed_parameters(run) if run.outcome.state != "failed" else None
    return store.add(trajectory, name=name, tags=tags, parameters=parameters)
