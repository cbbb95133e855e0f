"""Finished runs in a database: SQLite by default, any URL by IMU_DATABASE_URL; many processes and threads at once.

Every call is one transaction. Deleting hides a run and can be undone; only `purge` removes it for good.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import json
import os
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import sqlalchemy as sql
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from imu_core import runtime
from imu_core.access.rights import OWNER, Rights
from imu_core.errors import ImuError, StoreError
from imu_core.records import Trajectory, finite
from imu_core.store import database, schema
from imu_core.store.stored import (
    LARGEST_PARAMETERS,
    STATES,
    Stored,
    Summary,
    changed_parameters,
    clean_name,
    clean_tags,
    columns,
    depth,
    from_text,
    knows_reference,
    read_parameters,
    run_key,
    to_text,
    unpack,
)

if TYPE_CHECKING:
    from imu_core.unlearning.run import Run

__all__ = ["Store", "Stored", "Summary", "changed_parameters", "default_url", "run_key", "save_run"]

_CHUNK = 500  # values in one IN (…)
_DEPTHS = ("none", "quick", "membership", "full")

_RUNS, _TAGS, _STOPS = schema.RUNS, schema.TAGS, schema.STOPS
_HEAVY = ("trajectory", "parameters")
_SIZE = (
    sql.func.length(_RUNS.c.trajectory)
    + sql.func.coalesce(sql.func.length(_RUNS.c.parameters), 0)
    + sql.func.length(sql.cast(_RUNS.c.metrics, sql.Text))
)
_LIGHT = [column for column in _RUNS.c if column.name not in _HEAVY]
_PROBLEM = (_RUNS.c.dataset, _RUNS.c.model_name, _RUNS.c.forget, _RUNS.c.problem_seed)
_SEARCHED = (_RUNS.c.name, _RUNS.c.forget, _RUNS.c.method, _RUNS.c.model_name, _RUNS.c.dataset)


def default_url() -> str:
    """Where runs are kept: IMU_DATABASE_URL, else runs.sqlite in `runtime.home()`."""
    return os.environ.get("IMU_DATABASE_URL") or f"sqlite:///{runtime.home() / 'runs.sqlite'}"


class Store:
    """The database of runs at `url` (SQLAlchemy's form; None: `default_url()`); made on first use.

    Safe to share between threads; every process makes its own. StoreError, a sentence, where the database cannot be used. It
    may do everything; `seen_by` makes the view of one visitor, where nothing else can be reached.
    """

    def __init__(self, url: str | None = None) -> None:
        self._rights = OWNER
        self._url = database.parsed(url or default_url())
        self._engine = database.engine(self._url)
        try:
            with self._speaking():
                self._prepare()
        except ImuError:
            raise
        except (TypeError, ValueError, OSError) as error:  # what stands behind the ? of an address goes to the driver as it is
            raise StoreError(
                f"The address of the database cannot be used ({str(error)[:120]}). Check IMU_DATABASE_URL."
            ) from error

    @property
    def url(self) -> str:
        """The whole address, password included: for another process, not for people."""
        return self._url.render_as_string(hide_password=False)

    @property
    def place(self) -> str:
        """The address as people may see it."""
        return database.shown(self._url)

    @property
    def rights(self) -> Rights:
        """What can be seen, changed and kept through this store."""
        return self._rights

    def seen_by(self, rights: Rights) -> Store:
        """This database as somebody with `rights` has it: every call works on what they may see, and changes what they may."""
        view = copy.copy(self)
        view._rights = rights
        return view

    def close(self) -> None:
        """Give up every connection; the store opens new ones when it is used again."""
        self._engine.dispose()

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

    def _keep(self, row: Mapping[str, Any], labels: Sequence[str], once: bool) -> str:
        with self._writing() as connection:
            if connection.execute(sql.select(_RUNS.c.id).where(_RUNS.c.id == row["id"])).first() is not None:
                return row["id"]  # the server went away before it could say so
            same = self._newest(connection, row["key"], self._changeable()) if once else None
            if same is None:
                self._insert(connection, row, labels)
                return row["id"]
            if _says_more(row, same):
                fresh = {k: v for k, v in row.items() if k not in ("id", "created", "name", "deleted", "visitor", "unlisted")}
                connection.execute(sql.update(_RUNS).where(_RUNS.c.id == same["id"]).values(fresh))
            return same["id"]

    def _patiently(self, row: Mapping[str, Any], labels: Sequence[str], once: bool) -> str:
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
                    raise database.Unusable(f"{error} {_set_aside(row, labels)}", error.away) from error

    def get(self, run_id: str) -> Stored:
        """The run with that id, deleted or not; StoreError where there is none."""
        with self._reading() as connection:
            return self._whole(connection, _RUNS.c.id == run_id, f"There is no run {str(run_id)[:40]!r}.")

    def resolve(self, start: str) -> str:
        """The id that begins with `start` (at least four characters); StoreError where none or several do."""
        if not isinstance(start, str) or len(start) < 4:
            raise StoreError(f"{str(start)[:40]!r} is too short for an id; give at least its first four characters.")
        with self._reading() as connection:
            query = sql.select(_RUNS.c.id).where(_RUNS.c.id.startswith(start, autoescape=True), self._visible()).limit(2)
            found = connection.execute(query).scalars().all()
        if len(found) != 1:
            raise StoreError(f"{'Several runs begin' if found else 'No run begins'} with {start[:40]!r}.")
        return found[0]

    def find(self, key: str) -> Stored | None:
        """The newest run with that key that is not deleted, or None."""
        with self._reading() as connection:
            same = self._newest(connection, key, self._visible())
            return self._whole(connection, _RUNS.c.id == same["id"], "") if same is not None else None

    def keeps_parameters(self, run_id: str) -> bool:
        """Whether there is such a run, and the parameters it changed are with it."""
        query = sql.select(_RUNS.c.id).where(_RUNS.c.id == run_id, _RUNS.c.parameters.is_not(None), self._visible())
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
            connection.execute(sql.delete(_TAGS).where(_TAGS.c.run_id == run_id))
            _attach(connection, run_id, labels)

    def delete(self, *run_ids: str) -> None:
        """Hide runs; `restore` brings them back until `purge` removes them."""
        self._change(run_ids, deleted=time.time())

    def restore(self, *run_ids: str) -> None:
        """Bring deleted runs back."""
        self._change(run_ids, deleted=None)

    def unlist(self, *run_ids: str) -> None:
        """Take runs off the list of the pages that run things; they stay stored, and can still be searched."""
        self._change(run_ids, unlisted=time.time())

    def complete(self, run_id: str, metrics: Mapping[str, Any]) -> None:
        """Put what was measured later into the record of that run, in place of what it held."""
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
        query = sql.select(*_LIGHT, _RUNS.c.parameters.is_not(None).label("has_parameters"))
        query = query.where(self._visible(), *_conditions(text, method, tags, state, problem, deleted), *self._whose(own))
        query = query.where(_RUNS.c.unlisted.is_(None)) if listed else query
        query = query.order_by(_RUNS.c.created.desc(), _RUNS.c.id)
        with self._reading() as connection:
            rows = connection.execute(query.limit(limit).offset(offset)).mappings().all()
            labels = _tags_of(connection, [row["id"] for row in rows])
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
        conditions = [self._visible(), *_conditions(text, method, tags, state, problem, deleted), *self._whose(own)]
        with self._reading() as connection:
            return connection.execute(sql.select(sql.func.count()).select_from(_RUNS).where(*conditions)).scalar_one()

    def used(self, *, deleted: bool = False) -> dict[str, dict[Any, int]]:
        """What runs can be searched by: method, state and problem (as `search` takes it), each with its number of runs.

        The most frequent come first. `deleted` counts the deleted runs instead of the others.
        """
        columns = {"method": (_RUNS.c.method,), "state": (_RUNS.c.state,), "problem": _PROBLEM}
        found: dict[str, dict[Any, int]] = {}
        with self._reading() as connection:
            for name, group in columns.items():
                number = sql.func.count()
                query = sql.select(*group, number).where(_is_deleted(deleted), self._visible())
                counted = [tuple(row) for row in connection.execute(query.group_by(*group))]
                rows = sorted(counted, key=lambda row: (-row[-1], row))  # servers sort texts each in their own way
                found[name] = {row[0] if len(group) == 1 else row[:-1]: row[-1] for row in rows}
        return found

    def trajectories(self, run_ids: Sequence[str]) -> dict[str, Trajectory]:
        """The trajectories of those runs, without metrics and parameters; damaged and missing ones are left out."""
        found: dict[str, Trajectory] = {}
        with self._reading() as connection:
            for part in _chunks(run_ids):
                query = sql.select(_RUNS.c.id, _RUNS.c.trajectory).where(_RUNS.c.id.in_(part), self._visible())
                for run_id, content in connection.execute(query):
                    with contextlib.suppress(ImuError):
                        found[run_id] = unpack(content, {})
        return found

    def latest(self, keys: Sequence[str]) -> dict[str, Summary]:
        """The newest run of each of `keys` that is stored and not deleted."""
        found: dict[str, Summary] = {}
        query = sql.select(*_LIGHT, _RUNS.c.parameters.is_not(None).label("has_parameters"))
        query = query.where(_RUNS.c.deleted.is_(None), self._visible())
        with self._reading() as connection:
            for part in _chunks(keys):
                ordered = query.where(_RUNS.c.key.in_(part)).order_by(_RUNS.c.created, _RUNS.c.id.desc())
                rows = connection.execute(ordered).mappings().all()
                labels = _tags_of(connection, [row["id"] for row in rows])
                found |= {row["key"]: Summary(**row, tags=labels[row["id"]]) for row in rows}
        return found

    def tags(self) -> dict[str, int]:
        """Every tag in use with the number of runs that carry it."""
        query = sql.select(_TAGS.c.tag, sql.func.count()).join(_RUNS).where(_RUNS.c.deleted.is_(None), self._visible())
        query = query.group_by(_TAGS.c.tag)
        with self._reading() as connection:
            return dict(sorted((tag, number) for tag, number in connection.execute(query)))

    def purge(self, older: float = 0.0) -> int:
        """Remove for good what was deleted more than `older` seconds ago; returns how many runs that were."""
        with self._writing() as connection:
            gone = sql.delete(_RUNS).where(_RUNS.c.deleted.is_not(None), _RUNS.c.deleted <= time.time() - older)
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
            problems = list(_file_problems(connection)) if self._is_sqlite else []
            query = sql.select(_RUNS.c.id).where(self._visible()).order_by(_RUNS.c.created)
            for run_id in connection.execute(query).scalars().all():
                try:
                    run = self._whole(connection, _RUNS.c.id == run_id, "it vanished")
                    if run.parameters is not None:
                        read_parameters(run.parameters)
                except ImuError as error:
                    problems.append(f"Run {run_id}: {error}")
        return problems

    # Signs that the workers of a sweep look for: the database is the one thing that all of them share.

    def ask_to_stop(self, sweep: str) -> None:
        """Tell every worker of that sweep to stop."""
        with self._writing() as connection:
            if not _is_stopped(connection, sweep):
                connection.execute(sql.insert(_STOPS).values(sweep=sweep))

    def is_stopped(self, sweep: str) -> bool:
        """Whether somebody asked that sweep to stop."""
        with self._reading() as connection:
            return _is_stopped(connection, sweep)

    def forget_stop(self, sweep: str) -> None:
        """The sweep has ended: nobody looks for its sign any more."""
        with self._writing() as connection:
            connection.execute(sql.delete(_STOPS).where(_STOPS.c.sweep == sweep))

    # Below: connections, and the first use of a database.

    @property
    def _is_sqlite(self) -> bool:
        return self._url.get_backend_name() == "sqlite"

    @contextlib.contextmanager
    def _speaking(self) -> Iterator[None]:
        """What the database says, as a sentence."""
        try:
            yield
        except DBAPIError as error:
            raise database.Unusable(database.sentence(self._url, error), database.is_away(self._url, error)) from error
        except SQLAlchemyError as error:
            raise database.Unusable(f"The database {self.place} cannot be used: {str(error)[:200]}") from error

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sql.Connection]:
        with self._speaking(), self._engine.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sql.Connection]:
        with self._speaking(), self._engine.execution_options(writes=True).begin() as connection:
            yield connection

    def _prepare(self) -> None:
        """Make the tables where there are none, bring old ones up to date, refuse another schema or something else."""
        with self._reading() as connection:
            names = schema.names(connection)
        if "imu_schema" not in names and {"runs", "tags"} & names:
            raise StoreError(f"{self.place} is a database of something else. Name another file or another database.")
        if "imu_schema" not in names:
            with self._writing() as connection:  # several processes may come here at once: the first one makes them
                schema.create(connection)
        with self._reading() as connection:
            versions = schema.found(connection)
        if schema.is_old(versions):
            with self._writing() as connection:
                schema.upgrade(connection)
                versions = schema.found(connection)
        schema.check(versions, self.place)

    def _whole(self, connection: sql.Connection, condition: sql.ColumnElement[bool], missing: str) -> Stored:
        row = connection.execute(sql.select(_RUNS).where(condition, self._visible())).mappings().first()
        if row is None:
            raise StoreError(missing)
        return _stored(dict(row), _tags_of(connection, [row["id"]])[row["id"]])

    def _change(self, run_ids: Sequence[str], **values: Any) -> None:
        with self._writing() as connection:
            self._demand(connection, run_ids)
            for part in _chunks(run_ids):
                connection.execute(sql.update(_RUNS).where(_RUNS.c.id.in_(part), self._changeable()).values(values))

    # What these rights reach; every statement above goes through it.

    def _visible(self) -> sql.ColumnElement[bool]:
        return sql.true() if self._rights.sees_all else self._own()

    def _changeable(self) -> sql.ColumnElement[bool]:
        return sql.true() if self._rights.changes_all else self._own()

    def _own(self) -> sql.ColumnElement[bool]:
        """Whose `visitor` this is; nobody has no runs of their own."""
        return _RUNS.c.visitor == self._rights.visitor if self._rights.visitor else sql.false()

    def _whose(self, own: bool | None) -> Iterator[sql.ColumnElement[bool]]:
        if own is not None:
            yield self._own() if own else sql.or_(_RUNS.c.visitor.is_(None), sql.not_(self._own()))

    def _newest(self, connection: sql.Connection, key: str, reached: sql.ColumnElement[bool]) -> Mapping[str, Any] | None:
        has = _RUNS.c.parameters.is_not(None).label("has_parameters")
        query = sql.select(_RUNS.c.id, _RUNS.c.state, _RUNS.c.metrics, has)
        query = query.where(_RUNS.c.key == key, _RUNS.c.deleted.is_(None), reached)
        return connection.execute(query.order_by(_RUNS.c.created.desc(), _RUNS.c.id).limit(1)).mappings().first()

    def _demand(self, connection: sql.Connection, run_ids: Sequence[str]) -> None:
        """StoreError unless every one of `run_ids` is there for these rights, and may be changed."""
        seen: dict[str, bool] = {}
        for part in _chunks(run_ids):
            query = sql.select(_RUNS.c.id, sql.case((self._changeable(), 1), else_=0))
            seen |= dict(map(tuple, connection.execute(query.where(_RUNS.c.id.in_(part), self._visible()))))
        missing = [str(run_id)[:40] for run_id in run_ids if run_id not in seen]
        if missing:
            raise StoreError(f"There is no run {', '.join(map(repr, missing[:3]))}. Nothing was changed.")
        if not all(seen.values()):
            raise StoreError("Only whoever made a run may change it, and one of these is not yours. Nothing was changed.")

    def _insert(self, connection: sql.Connection, row: Mapping[str, Any], tags: Sequence[str]) -> None:
        self._make_room(connection, row)
        connection.execute(sql.insert(_RUNS).values({**row, "visitor": self._rights.visitor}))
        _attach(connection, row["id"], tags)

    def _take_in(self, connection: sql.Connection, row: dict[str, Any], tags: Sequence[str]) -> str:
        query = sql.select(_RUNS.c.id, _RUNS.c.key).where(self._changeable())
        copies = (_RUNS.c.key == row["key"]) & (_RUNS.c.created == row["created"]) & self._own()
        here = connection.execute(query.where(_RUNS.c.id == row["id"])).mappings().first()
        here = here or connection.execute(query.where(copies).limit(1)).mappings().first()  # of another's run that it once was
        if here is not None and here["key"] == row["key"]:
            connection.execute(sql.update(_RUNS).where(_RUNS.c.id == here["id"]).values(deleted=None))
            return here["id"]
        if connection.execute(sql.select(_RUNS.c.id).where(_RUNS.c.id == row["id"])).first() is not None:
            row = row | {"id": uuid.uuid4().hex}
        self._insert(connection, row | {"unlisted": time.time()}, tags)
        return row["id"]

    def _make_room(self, connection: sql.Connection, row: Mapping[str, Any]) -> None:
        """Remove for good what this visitor deleted, oldest first, until `row` fits; StoreError where that is not enough."""
        most = (self._rights.most_runs, self._rights.most_bytes)
        if most == (None, None):
            return
        query = sql.select(_RUNS.c.id, _SIZE, _RUNS.c.deleted).where(self._own()).order_by(_RUNS.c.deleted)
        kept = connection.execute(query).all()
        number, size = 1 + len(kept), _size(row) + sum(run[1] for run in kept)
        for run_id, freed, deleted in kept:
            if deleted is not None and _exceeds(number, size, *most):
                connection.execute(sql.delete(_RUNS).where(_RUNS.c.id == run_id))
                number, size = number - 1, size - freed
        if _exceeds(number, size, *most):
            raise StoreError(
                f"A visitor of this server may keep {_limits(*most)} in its database, and this run would be more. "
                "Export what you need and delete some of your runs on the page Runs."
            )


def _stored(row: dict[str, Any], tags: tuple[str, ...]) -> Stored:
    trajectory = unpack(row.pop("trajectory"), row["metrics"])
    return Stored(**row, tags=tags, has_parameters=row["parameters"] is not None, trajectory=trajectory)


def _set_aside(row: Mapping[str, Any], tags: Sequence[str]) -> str:
    """Write a run that the database did not take into a file of its own; returns the sentence that says where."""
    path = runtime.home() / "unstored" / f"{row['id']}.json"
    text = to_text([_stored(dict(row), tuple(tags))])
    try:
        runtime.write_whole(path, lambda part: part.write_text(text, encoding="utf-8"))
    except OSError as error:
        return f"The run that had ended could not be written to {path} either ({error.strerror})."
    return f"The run that had ended is not lost: python -m imu_core runs import {path}"


def save_run(store: Store, run: Run, measured: Mapping[str, Any], name: str = "", tags: Iterable[str] = ()) -> str:
    """Keep a finished `run` with what was measured of it and the parameters it changed; returns the id."""
    if run.outcome.state not in STATES:
        raise StoreError(f"This run is {run.outcome.state}; only a finished run can be stored.")
    trajectory = dataclasses.replace(run.trajectory, metrics=dict(measured))
    parameters = changed_parameters(run) if run.outcome.state != "failed" else None
    return store.add(trajectory, name=name, tags=tags, parameters=parameters)


def _says_more(new: Mapping[str, Any], old: Mapping[str, Any]) -> bool:
    def rank(row: Mapping[str, Any], parameters: bool) -> tuple[bool, int, bool, bool]:
        metrics = row["metrics"]
        return row["state"] in ("done", "diverged"), _DEPTHS.index(depth(metrics)), knows_reference(metrics), parameters

    return rank(new, new["parameters"] is not None) > rank(old, old["has_parameters"])


def _attach(connection: sql.Connection, run_id: str, tags: Sequence[str]) -> None:
    if tags:
        connection.execute(sql.insert(_TAGS), [{"run_id": run_id, "tag": tag} for tag in tags])


def _size(row: Mapping[str, Any]) -> int:
    return len(row["trajectory"]) + len(row["parameters"] or b"") + len(json.dumps(row["metrics"]))


def _exceeds(number: int, size: int, most_runs: int | None, most_bytes: int | None) -> bool:
    return (most_runs is not None and number > most_runs) or (most_bytes is not None and size > most_bytes)


def _limits(most_runs: int | None, most_bytes: int | None) -> str:
    runs = [] if most_runs is None else [f"{most_runs:,} runs"]
    return " of ".join([*runs, *([] if most_bytes is None else [f"{most_bytes / 2**20:,.0f} MB in all"])])


def _is_deleted(deleted: bool) -> sql.ColumnElement[bool]:
    return _RUNS.c.deleted.is_not(None) if deleted else _RUNS.c.deleted.is_(None)


def _conditions(
    text: str, method: str | None, tags: Iterable[str], state: str | None, problem: Sequence[Any] | None, deleted: bool
) -> Iterator[sql.ColumnElement[bool]]:
    yield _is_deleted(deleted)
    if method is not None:
        yield _RUNS.c.method == method
    if state is not None:
        yield _RUNS.c.state == state
    if problem is not None:
        yield from (column == value for column, value in zip(_PROBLEM, problem, strict=True))
    for tag in clean_tags(tags):
        yield sql.exists().where(_TAGS.c.run_id == _RUNS.c.id, _TAGS.c.tag == tag)
    for word in str(text)[:500].split()[:20]:
        tagged = sql.exists().where(_TAGS.c.run_id == _RUNS.c.id, _TAGS.c.tag.icontains(word, autoescape=True))
        yield sql.or_(tagged, *(column.icontains(word, autoescape=True) for column in _SEARCHED))


def _tags_of(connection: sql.Connection, run_ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {run_id: [] for run_id in run_ids}
    for part in _chunks(run_ids):
        for run_id, tag in connection.execute(sql.select(_TAGS).where(_TAGS.c.run_id.in_(part))):
            found[run_id].append(tag)
    return {run_id: tuple(sorted(tags)) for run_id, tags in found.items()}


def _chunks(values: Sequence[str]) -> Iterator[list[str]]:
    for start in range(0, len(values), _CHUNK):
        yield list(values[start : start + _CHUNK])


def _is_stopped(connection: sql.Connection, sweep: str) -> bool:
    return connection.execute(sql.select(_STOPS.c.sweep).where(_STOPS.c.sweep == sweep)).first() is not None


def _file_problems(connection: sql.Connection) -> Iterator[str]:
    found = connection.exec_driver_sql("PRAGMA integrity_check").scalars().all()
    yield from (f"The file: {said}" for said in found if said != "ok")
    for table, row, *_ in connection.exec_driver_sql("PRAGMA foreign_key_check"):
        yield f"The file: row {row} of {table} belongs to no run."
