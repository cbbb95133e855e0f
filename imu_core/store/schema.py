"""The tables of the database of runs: made on first use, brought up to date in place, refused where they are something else.

Version 1 had no visitors; version 2 knows whose a run is. A database of version 1 is brought to 2 when it is opened: its runs
belong to nobody. The version of the database is not that of the records in it (`stored.SCHEMA`), which stayed as they were.
"""

from __future__ import annotations

from typing import TypedDict

import sqlalchemy as sql

from imu_core.errors import StoreError
from imu_core.records.shapes import Metrics, Settings

VERSION = 2
_ADDED = {2: ("visitor", "unlisted")}  # version → columns of `runs` that came with it

TABLES = sql.MetaData()
VERSIONS = sql.Table("imu_schema", TABLES, sql.Column("version", sql.Integer, primary_key=True))
RUNS = sql.Table(
    "runs",
    TABLES,
    sql.Column("id", sql.String(32), primary_key=True),
    sql.Column("key", sql.String(64), nullable=False, index=True),
    sql.Column("created", sql.Double, nullable=False, index=True),
    sql.Column("name", sql.String(200), nullable=False),
    sql.Column("deleted", sql.Double),
    sql.Column("method", sql.Text, nullable=False),
    sql.Column("dataset", sql.Text, nullable=False),
    sql.Column("model_name", sql.Text, nullable=False),
    sql.Column("forget", sql.Text, nullable=False),
    sql.Column("problem_seed", sql.BigInteger, nullable=False),
    sql.Column("seed", sql.BigInteger, nullable=False),
    sql.Column("scope", sql.Text, nullable=False),
    sql.Column("settings", sql.JSON, nullable=False),
    sql.Column("state", sql.String(20), nullable=False),
    sql.Column("seconds", sql.Double, nullable=False),
    sql.Column("accuracies", sql.JSON, nullable=False),
    sql.Column("metrics", sql.JSON, nullable=False),
    sql.Column("trajectory", sql.LargeBinary, nullable=False),
    sql.Column("parameters", sql.LargeBinary),
    sql.Column("visitor", sql.String(64), index=True),  # a hash of the id that a browser keeps; nothing: nobody's
    sql.Column("unlisted", sql.Double),  # when its visitor took it off the list of the pages; nothing: it is on it
)
TAGS = sql.Table(
    "tags",
    TABLES,
    sql.Column("run_id", sql.ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    sql.Column("tag", sql.String(40), primary_key=True, index=True),
)
STOPS = sql.Table("stops", TABLES, sql.Column("sweep", sql.String(32), primary_key=True))


def names(connection: sql.Connection) -> set[str]:
    """The names of the tables that the database has now."""
    return set(sql.inspect(connection).get_table_names())


def found(connection: sql.Connection) -> list[int]:
    """The schema versions that are written in the database: exactly one, unless it is damaged."""
    return list(connection.execute(sql.select(VERSIONS.c.version)).scalars())


def create(connection: sql.Connection) -> None:
    """Make the tables where there are none; of several processes that come at once the first one does."""
    TABLES.create_all(connection)
    if not found(connection):
        connection.execute(sql.insert(VERSIONS).values(version=VERSION))


def is_old(versions: list[int]) -> bool:
    """Whether `upgrade` can bring a database of these versions up to date."""
    return len(versions) == 1 and 1 <= versions[0] < VERSION


def upgrade(connection: sql.Connection) -> None:
    """Add what later versions brought, in one transaction; a second process waits for the first and finds nothing to do."""
    versions = list(connection.execute(sql.select(VERSIONS.c.version).with_for_update()).scalars())
    if not is_old(versions):
        return
    here = {column["name"] for column in sql.inspect(connection).get_columns(RUNS.name)}
    quote = connection.dialect.identifier_preparer.quote
    for version in range(versions[0] + 1, VERSION + 1):
        for name in _ADDED[version]:
            if name not in here:
                kind = RUNS.c[name].type.compile(connection.dialect)
                connection.execute(sql.DDL(f"ALTER TABLE {quote(RUNS.name)} ADD COLUMN {quote(name)} {kind}"))
    for index in RUNS.indexes:
        index.create(connection, checkfirst=True)
    connection.execute(sql.update(VERSIONS).values(version=VERSION))


def check(versions: list[int], place: str) -> None:
    """Raise StoreError unless `versions`, those of the database at `place`, are the one that this program reads."""
    if versions == [VERSION]:
        return
    age = "a newer" if any(version > VERSION for version in versions) else "another"
    raise StoreError(
        f"{place} was written by {age} version of this program (schema {', '.join(map(str, versions)) or 'missing'}; this one "
        f"reads {VERSION}). Use that version, or name another database in IMU_DATABASE_URL."
    )


class RunRow(TypedDict):
    """A row of the table of runs, by column."""

    id: str
    key: str
    created: float
    name: str
    deleted: float | None
    method: str
    dataset: str
    model_name: str
    forget: str
    problem_seed: int
    seed: int
    scope: str
    settings: Settings
    state: str
    seconds: float
    accuracies: dict[str, float]
    metrics: Metrics
    trajectory: bytes
    parameters: bytes | None
    visitor: str | None
    unlisted: float | None
