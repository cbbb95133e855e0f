"""The connection to the database of runs: its first use, its errors as sentences, and which runs somebody's rights reach."""

from __future__ import annotations

import contextlib
import copy
import os
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

import sqlalchemy as sql
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from imu_core import runtime
from imu_core.access.rights import OWNER, Rights
from imu_core.errors import ImuError, StoreError
from imu_core.store import database, schema
from imu_core.store.queries import RUNS, SIZE, attach, chunks, exceeds, limits_in_words, size_of, tags_of
from imu_core.store.schema import RunRow
from imu_core.store.stored import (
    Stored,
    stored_run,
)


def default_url() -> str:
    """The address of the database of runs: IMU_DATABASE_URL, else runs.sqlite in `runtime.home()`."""
    return os.environ.get("IMU_DATABASE_URL") or f"sqlite:///{runtime.home() / 'runs.sqlite'}"


class Connected:
    """A database of runs at `url`, made on first use, as somebody with `rights` reaches it."""

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

    def seen_by(self, rights: Rights) -> Self:
        """A view of this database for somebody with `rights`: its calls see only what they may see, and change what they may."""
        view = copy.copy(self)
        view._rights = rights
        return view

    def close(self) -> None:
        """Give up every connection; the store opens new ones when it is used again."""
        self._engine.dispose()

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
        row = connection.execute(sql.select(RUNS).where(condition, self._visible())).mappings().first()
        if row is None:
            raise StoreError(missing)
        return stored_run(dict(row), tags_of(connection, [row["id"]])[row["id"]])

    def _change(self, run_ids: Sequence[str], **values: Any) -> None:
        with self._writing() as connection:
            self._demand(connection, run_ids)
            for part in chunks(run_ids):
                connection.execute(sql.update(RUNS).where(RUNS.c.id.in_(part), self._changeable()).values(values))

    # What these rights reach; every statement above goes through it.

    def _visible(self) -> sql.ColumnElement[bool]:
        return sql.true() if self._rights.sees_all else self._own()

    def _changeable(self) -> sql.ColumnElement[bool]:
        return sql.true() if self._rights.changes_all else self._own()

    def _own(self) -> sql.ColumnElement[bool]:
        """Whose `visitor` this is; nobody has no runs of their own."""
        return RUNS.c.visitor == self._rights.visitor if self._rights.visitor else sql.false()

    def _whose(self, own: bool | None) -> Iterator[sql.ColumnElement[bool]]:
        if own is not None:
            yield self._own() if own else sql.or_(RUNS.c.visitor.is_(None), sql.not_(self._own()))

    def _newest(self, connection: sql.Connection, key: str, reached: sql.ColumnElement[bool]) -> Mapping[str, Any] | None:
        has = RUNS.c.parameters.is_not(None).label("has_parameters")
        query = sql.select(RUNS.c.id, RUNS.c.state, RUNS.c.metrics, has)
        query = query.where(RUNS.c.key == key, RUNS.c.deleted.is_(None), reached)
        return connection.execute(query.order_by(RUNS.c.created.desc(), RUNS.c.id).limit(1)).mappings().first()

    def _demand(self, connection: sql.Connection, run_ids: Sequence[str]) -> None:
        """StoreError unless every one of `run_ids` is there for these rights, and may be changed."""
        seen: dict[str, bool] = {}
        for part in chunks(run_ids):
            query = sql.select(RUNS.c.id, sql.case((self._changeable(), 1), else_=0))
            seen |= dict(map(tuple, connection.execute(query.where(RUNS.c.id.in_(part), self._visible()))))
        missing = [str(run_id)[:40] for run_id in run_ids if run_id not in seen]
        if missing:
            raise StoreError(f"There is no run {', '.join(map(repr, missing[:3]))}. Nothing was changed.")
        if not all(seen.values()):
            raise StoreError("Only whoever made a run may change it, and one of these is not yours. Nothing was changed.")

    def _insert(self, connection: sql.Connection, row: RunRow, tags: Sequence[str]) -> None:
        self._make_room(connection, row)
        connection.execute(sql.insert(RUNS).values({**row, "visitor": self._rights.visitor}))
        attach(connection, row["id"], tags)

    def _take_in(self, connection: sql.Connection, row: RunRow, tags: Sequence[str]) -> str:
        query = sql.select(RUNS.c.id, RUNS.c.key).where(self._changeable())
        copies = (RUNS.c.key == row["key"]) & (RUNS.c.created == row["created"]) & self._own()
        here = connection.execute(query.where(RUNS.c.id == row["id"])).mappings().first()
        here = here or connection.execute(query.where(copies).limit(1)).mappings().first()  # of another's run that it once was
        if here is not None and here["key"] == row["key"]:
            connection.execute(sql.update(RUNS).where(RUNS.c.id == here["id"]).values(deleted=None))
            return here["id"]
        if connection.execute(sql.select(RUNS.c.id).where(RUNS.c.id == row["id"])).first() is not None:
            row = row | {"id": uuid.uuid4().hex}
        self._insert(connection, row | {"unlisted": time.time()}, tags)
        return row["id"]

    def _make_room(self, connection: sql.Connection, row: RunRow) -> None:
        """Remove for good what this visitor deleted, oldest first, until `row` fits; StoreError where that is not enough."""
        most = (self._rights.most_runs, self._rights.most_bytes)
        if most == (None, None):
            return
        query = sql.select(RUNS.c.id, SIZE, RUNS.c.deleted).where(self._own()).order_by(RUNS.c.deleted)
        runs = connection.execute(query).all()
        number, size = 1 + len(runs), size_of(row) + sum(run[1] for run in runs)
        for run_id, freed, deleted in runs:
            if deleted is not None and exceeds(number, size, *most):
                connection.execute(sql.delete(RUNS).where(RUNS.c.id == run_id))
                number, size = number - 1, size - freed
        if exceeds(number, size, *most):
            raise StoreError(
                f"A visitor of this server may keep {limits_in_words(*most)} in its database, and this run would be more. "
                "Export what you need and delete some of your runs on the page Runs."
            )
