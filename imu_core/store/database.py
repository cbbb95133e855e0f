"""The connection to the database of runs: its address, its locks, and what it says when it fails, as sentences.

SQLite and PostgreSQL are tested; of both, one writer at a time changes anything.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import sqlalchemy as sql
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError

from imu_core import runtime
from imu_core.errors import StoreError, cut

WAIT = 30.0  # seconds for which a writer waits for the others, and a finished run for a server that is away
PAUSE = 0.5  # seconds between two tries to reach it
_CONNECT = 10  # seconds for which one try may take
_WRITERS = 0x696D75  # of all locks of a PostgreSQL server, the one that this program's writers take
_AWAY = ("08", "57P")  # SQL's signs for a connection that broke, and for a server that shuts down or starts
# (SQL's signs, words of the message where there are none, the sentence)
_SENTENCES = (
    (("55P03", "57014"), ("locked",), "The database {place} is busy: another program held it for {wait:g} seconds. Try again."),
    (
        (),
        ("not a database", "malformed"),
        "{place} is no database, or is damaged ({message}). Name another file, or restore a copy of it.",
    ),
    (
        ("25006", "42501"),
        ("readonly",),
        "{place} may not be written ({message}). Name a place that may, in IMU_DATABASE_URL.",
    ),
    (
        ("3D000",),
        ('database "',),
        "{place} does not exist on that server ({message}). Make it there first (createdb), or name another in IMU_DATABASE_URL.",
    ),
    (
        ("28",),
        ("authentication", "password", "role", "pg_hba"),
        "The server of {place} does not let this user in ({message}). Check the user and the password in IMU_DATABASE_URL.",
    ),
)


class Unusable(StoreError):
    """The database itself failed. `away`: it is a server that does not answer now, and may later."""

    def __init__(self, text: str, away: bool = False) -> None:
        super().__init__(text)
        self.away = away


def shown(url: sql.URL) -> str:
    """The address as people may see it: a file by its name, a server without the password."""
    kind = url.get_backend_name()
    return url.database or "" if kind == "sqlite" else url.set(drivername=kind).render_as_string(hide_password=True)


def parsed(url: str) -> sql.URL:
    """The address `url`, whole and absolute; StoreError where it is none, or names a database in memory."""
    try:
        address = sql.make_url(url)
    except (ArgumentError, ValueError, AttributeError) as error:  # a port that is no number; no text at all
        raise StoreError(
            "The address of the database cannot be read. It looks like sqlite:////folder/runs.sqlite or "
            "postgresql://user@host/name; see IMU_DATABASE_URL."
        ) from error
    if address.drivername in ("postgresql", "postgres"):
        return address.set(drivername="postgresql+psycopg")  # the third psycopg; by that name SQLAlchemy means the second
    if address.get_backend_name() != "sqlite":
        return address
    if not address.database or address.database == ":memory:":
        raise StoreError("A database in memory is lost with its process. Name a file: sqlite:////folder/runs.sqlite.")
    is_uri = address.database.startswith("file:")
    path = unquote(urlsplit(address.database).path) if is_uri else address.database
    try:
        path = Path(path).expanduser().absolute()  # worker processes may stand elsewhere
        runtime.target(path)
    except (OSError, ValueError, RuntimeError) as error:  # an unknown user is the last
        reason = getattr(error, "strerror", None) or error
        raise StoreError(
            f"{cut(str(path), 200, 60)} is no place for a database: {reason}. Name a file, in IMU_DATABASE_URL."
        ) from error
    return address if is_uri else address.set(database=str(path))


def engine(url: sql.URL) -> sql.Engine:
    """Connections to the database at `url`, not yet opened; `execution_options(writes=True)` makes a transaction a writer's."""
    kind = url.get_backend_name()
    sqlite = kind == "sqlite"
    options = {"sqlite": {"timeout": WAIT}, "postgresql": {"connect_timeout": _CONNECT}}
    if sqlite and not url.database.startswith("file:"):
        try:
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"The folder of {cut(url.database, 200, 60)} cannot be made: {error.strerror}. Name another place."
            ) from error
    try:
        made = sql.create_engine(url, pool_pre_ping=not sqlite, connect_args=options.get(kind, {}))
    except (NoSuchModuleError, ImportError) as error:
        how = "pip install 'imu-core[postgres]'" if kind == "postgresql" else "Install it"
        raise StoreError(f"No driver for the database {shown(url)} is installed ({error}). {how}, or use SQLite.") from error
    except Exception as error:  # drivers read what stands behind the ? of an address in their own ways
        raise StoreError(
            f"The address of the database {shown(url)} cannot be used ({str(error)[:120]}). Check IMU_DATABASE_URL."
        ) from error
    if sqlite:
        sql.event.listen(made, "connect", _open_sqlite)
        sql.event.listen(made, "begin", _begin_sqlite)
    if kind == "postgresql":
        sql.event.listen(made, "begin", _begin_postgresql)
    return made


def _open_sqlite(connection: Any, _: Any) -> None:
    """Transactions are begun by us; readers never wait for the writer (WAL); a writer waits for its turn."""
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {int(1000 * WAIT)}")
    cursor.execute("PRAGMA foreign_keys = ON")
    _write_ahead(cursor)
    cursor.close()


def _write_ahead(cursor: Any) -> None:
    """Switch the file to WAL, once in its life; SQLite does not wait its turn for this one, so we do."""
    end = time.monotonic() + WAIT
    while cursor.execute("PRAGMA journal_mode").fetchone()[0] not in ("wal", "memory"):
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
        except Exception as error:
            if "locked" not in str(error):
                raise
        if time.monotonic() > end:
            return
        time.sleep(0.01)


def _begin_sqlite(connection: sql.Connection) -> None:
    """A writer takes the lock at once: one that read first and then wants to write could only fail."""
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _begin_postgresql(connection: sql.Connection) -> None:
    """One writer at a time, as in SQLite: two that look for a run and do not find it must not both store it."""
    if connection.get_execution_options().get("writes", False):
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = {int(1000 * WAIT)}")
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITERS})")


def _state(error: DBAPIError) -> str:
    """The five signs by which SQL databases name an error; empty where the driver has none, as for a server not reached."""
    return getattr(error.orig, "sqlstate", None) or ""


def is_away(url: sql.URL, error: DBAPIError) -> bool:
    """Whether `error` says that the database server at `url` cannot be reached now and may be back later; never for a file."""
    if url.get_backend_name() == "sqlite":
        return False
    if error.connection_invalidated or _state(error).startswith(_AWAY):
        return True
    message = str(error.orig)  # before a connection stands, its library tells in words alone
    connecting = isinstance(error, OperationalError) and not _state(error)
    return connecting and ("FATAL" not in message or "the database system is" in message)


def sentence(url: sql.URL, error: DBAPIError) -> str:
    """A sentence that says what failed and what to do about it."""
    place = shown(url)
    message = " ".join((str(error.orig).strip() or type(error.orig).__name__).split())[:200]
    if is_away(url, error):
        return f"The server of {place} does not answer ({message}). Start it, or check IMU_DATABASE_URL; then try again."
    for states, signs, words in _SENTENCES:
        if _state(error).startswith(states) if _state(error) else any(sign in message for sign in signs):
            return words.format(place=place, message=message, wait=WAIT)
    return f"The database {place} cannot be used: {message}. Check IMU_DATABASE_URL."
