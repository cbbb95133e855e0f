"""Whose a run is: an older database is brought up to date, and nobody reaches another's runs through the store."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy
from test_store import PROBLEM, made

from imu_core.access.rights import Rights
from imu_core.errors import ImuError, StoreError
from imu_core.store import database, schema
from imu_core.store.runs import Store
from imu_core.store.stored import columns

ADDED = ("visitor", "unlisted")
ME, YOU = "a" * 64, "b" * 64
CLOSED = {"sees_all": False, "changes_all": False}
ABOUT = (PROBLEM["dataset"], PROBLEM["model"], PROBLEM["forget"], PROBLEM["seed"])


@pytest.fixture
def store(address: Callable[[], str]) -> Store:
    return Store(address())


@pytest.fixture
def mine(store: Store) -> Store:
    """The database as visitor ME of a public server has it."""
    return store.seen_by(Rights(ME, **CLOSED))


@pytest.fixture
def yours(store: Store) -> Store:
    """The same as visitor YOU has it."""
    return store.seen_by(Rights(YOU, **CLOSED))


# An older database.


@pytest.fixture
def old(address: Callable[[], str]) -> str:
    """The address of a database as the first version made it, with three runs in it."""
    url = address()
    tables = sqlalchemy.MetaData()
    kept = [c for c in schema.RUNS.c if c.name not in ADDED]
    kinds = [sqlalchemy.Column(c.name, c.type, primary_key=c.primary_key, nullable=c.nullable) for c in kept]
    runs = sqlalchemy.Table("runs", tables, *kinds)
    for table in (schema.TAGS, schema.STOPS, schema.VERSIONS):
        table.to_metadata(tables)
    with sqlalchemy.create_engine(database.parsed(url)).begin() as connection:
        tables.create_all(connection)
        connection.execute(tables.tables["imu_schema"].insert().values(version=1))
        for seed in range(3):
            row = columns(made(seed), f"old {seed}")
            connection.execute(runs.insert().values({name: row[name] for name in row if name not in ADDED}))
    return url


def test_a_database_of_the_first_version_is_brought_up_to_date_in_place(old: str) -> None:
    store = Store(old)
    assert sorted(run.name for run in store.search()) == ["old 0", "old 1", "old 2"]
    assert {run.visitor for run in store.search()} == {None}, "what was there belongs to nobody"
    assert store.integrity() == []
    mine = store.seen_by(Rights(ME, **CLOSED))
    mine.add(made(seed=9))
    assert (mine.count(), store.count(), Store(store.url).count()) == (1, 4, 4)
    with store._engine.begin() as connection:
        assert schema.found(connection) == [schema.VERSION]
        assert any("visitor" in index["name"] for index in sqlalchemy.inspect(connection).get_indexes("runs"))


def test_many_open_an_old_database_at_once(old: str) -> None:
    counts: list[int] = []
    threads = [threading.Thread(target=lambda: counts.append(Store(old).count())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [3] * 8


def test_half_an_upgrade_is_finished(old: str) -> None:
    """As it may be left by a database that cannot undo a change of its tables."""
    with sqlalchemy.create_engine(database.parsed(old)).begin() as connection:
        connection.execute(sqlalchemy.text("ALTER TABLE runs ADD COLUMN visitor VARCHAR(64)"))
    assert Store(old).search()[0].unlisted is None


# Nobody reaches another's.

READING: dict[str, Callable[[Store, str], Any]] = {
    "get": lambda store, run_id: store.get(run_id),
    "resolve": lambda store, run_id: store.resolve(run_id[:8]),
    "export": lambda store, run_id: store.export([run_id]),
}
CHANGING: dict[str, Callable[[Store, str], Any]] = {
    "rename": lambda store, run_id: store.rename(run_id, "taken"),
    "tag": lambda store, run_id: store.tag(run_id, ["taken"]),
    "delete": lambda store, run_id: store.delete(run_id),
    "restore": lambda store, run_id: store.restore(run_id),
    "complete": lambda store, run_id: store.complete(run_id, {"x": 1.0}),
    "unlist": lambda store, run_id: store.unlist(run_id),
}
LISTING: dict[str, Callable[[Store, str], Any]] = {
    "search": lambda store, _: store.search(),
    "deleted": lambda store, _: store.search(deleted=True),
    "count": lambda store, _: store.count(),
    "used": lambda store, _: any(store.used().values()),
    "tags": lambda store, _: store.tags(),
    "trajectories": lambda store, run_id: store.trajectories([run_id]),
    "latest": lambda store, run_id: store.latest([store.seen_by(Rights()).get(run_id).key]),
    "find": lambda store, run_id: store.find(store.seen_by(Rights()).get(run_id).key),
}


@pytest.mark.parametrize("do", [*READING.values(), *CHANGING.values()], ids=[*READING, *CHANGING])
@pytest.mark.parametrize("whose", ["another's", "nobody's"])
def test_on_a_public_server_no_id_opens_anothers_run(
    store: Store, mine: Store, yours: Store, whose: str, do: Callable[[Store, str], Any]
) -> None:
    run_id = (yours if whose == "another's" else store).add(made(), name="secret", tags=["private"])
    before = store.get(run_id)
    with pytest.raises(StoreError) as refused:
        do(mine, run_id)
    assert "secret" not in str(refused.value)
    with pytest.raises(StoreError) as missing:
        do(mine, absent := "0" * 32)
    words = str(refused.value).replace(run_id, "").replace(run_id[:8], "")
    assert words == str(missing.value).replace(absent, "").replace(absent[:8], ""), "the words do not tell whether it exists"
    after = store.get(run_id)
    assert (after.name, after.tags, after.deleted, after.metrics, after.unlisted) == (
        before.name, before.tags, None, before.metrics, None,
    )  # fmt: skip


@pytest.mark.parametrize("do", LISTING.values(), ids=LISTING)
def test_on_a_public_server_nothing_lists_anothers_runs(mine: Store, yours: Store, do: Callable[[Store, str], Any]) -> None:
    deleted = yours.add(made(seed=1), tags=["private"])
    yours.delete(deleted)
    run_id = yours.add(made(), tags=["private"])
    assert not do(mine, run_id)
    assert do(yours, run_id)


def test_purging_leaves_what_others_deleted(store: Store, mine: Store, yours: Store) -> None:
    theirs, own = yours.add(made()), mine.add(made(seed=1))
    yours.delete(theirs)
    mine.delete(own)
    assert mine.purge() == 1
    assert store.get(theirs).deleted is not None


def test_an_import_takes_over_nothing(store: Store, mine: Store, yours: Store) -> None:
    run_id = yours.add(made(), name="theirs")
    text = yours.export([run_id])
    yours.delete(run_id)
    first, again = mine.import_(text)[0], mine.import_(text)[0]
    assert first == again != run_id
    assert store.get(run_id).deleted is not None, "the other's stays deleted"
    assert [run.id for run in mine.search()] == [first]


def test_exports_do_not_say_whose_a_run_is(mine: Store, store: Store) -> None:
    run_id = mine.add(made())
    assert store.get(run_id).visitor == ME
    assert ME not in mine.export([run_id])


def test_a_repeat_does_not_write_into_anothers_record(mine: Store, yours: Store) -> None:
    assert yours.add(made(), once=True) != mine.add(made(), once=True)


def test_who_may_see_all_may_not_change_all(store: Store, yours: Store) -> None:
    looking = store.seen_by(Rights(ME, sees_all=True, changes_all=False))
    run_id = yours.add(made(), name="theirs")
    assert looking.get(run_id).name == "theirs"
    for do in CHANGING.values():
        with pytest.raises(StoreError, match="not yours"):
            do(looking, run_id)
    assert store.get(run_id).name == "theirs"


def test_nobody_has_no_runs_of_their_own(store: Store) -> None:
    store.add(made())
    assert store.seen_by(Rights(None, **CLOSED)).count() == 0
    assert store.count(own=True) == 0
    assert store.count(own=False) == 1


def test_own_runs_and_others_are_told_apart(store: Store, yours: Store) -> None:
    me = store.seen_by(Rights(ME))
    own, theirs, nobodys = me.add(made()), yours.add(made(seed=1)), store.add(made(seed=2))
    assert [run.id for run in me.search(own=True, problem=ABOUT)] == [own]
    assert {run.id for run in me.search(own=False)} == {theirs, nobodys}
    me.unlist(own)
    assert me.search(own=True, listed=True) == []
    assert me.count(own=True) == 1


# Limits.


def test_who_keeps_too_many_runs_is_told_the_limit(store: Store) -> None:
    mine = store.seen_by(Rights(ME, **CLOSED, most_runs=2))
    kept = [mine.add(made(seed)) for seed in range(2)]
    with pytest.raises(StoreError, match="2 runs"):
        mine.add(made(2))
    text = Store(store.url).export([store.add(made(5))])
    with pytest.raises(StoreError, match="2 runs"):
        mine.import_(text)
    mine.delete(kept[0])
    assert mine.add(made(3))
    with pytest.raises(ImuError):
        store.get(kept[0])  # what was deleted made room
    assert store.seen_by(Rights(YOU, **CLOSED, most_runs=2)).add(made(4)), "another's limit is their own"


def test_who_keeps_too_many_bytes_is_told_the_limit(store: Store) -> None:
    size = 3 * 2**20
    mine = store.seen_by(Rights(ME, **CLOSED, most_bytes=2 * size + 2**19))
    for seed in range(2):
        mine.add(made(seed), parameters=bytes(size))
    with pytest.raises(StoreError, match=r"6 MB|7 MB"):
        mine.add(made(2), parameters=bytes(size))
    assert mine.add(made(3))


def test_the_owner_has_no_limit_and_no_visitor(store: Store) -> None:
    assert dataclasses.astuple(store.rights) == (None, True, True, None, None)
