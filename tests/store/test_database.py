"""A database server that is away, refuses, or comes back: sentences, and no finished run is lost."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from postgres import PASSWORD, Postgres
from test_store import made

from imu_core import runtime
from imu_core.errors import StoreError
from imu_core.store import database
from imu_core.store.runs import Store


def test_addresses_of_postgresql_mean_the_driver_that_comes_with_it() -> None:
    for given in ("postgresql://me@host/runs", "postgres://me@host/runs", "postgresql+psycopg://me@host/runs"):
        assert database.parsed(given).drivername == "postgresql+psycopg"
    assert database.shown(database.parsed("postgresql://me:secret@host/runs")) == "postgresql://me:***@host/runs"


def test_what_a_postgresql_server_refuses_is_a_sentence(postgres: Postgres) -> None:
    name = postgres.name()
    assert Store(postgres.at(name, password=PASSWORD)).count() == 0
    wrong = {
        "does not let this user in": postgres.at(name, password="secret"),
        "Check the user": postgres.at(name).replace("//imu@", "//nobody@"),
        "createdb": postgres.at("elsewhere"),
        "does not answer": "postgresql://me:secret@127.0.0.1:9/runs",
        "Start it": f"postgresql://me@/runs?host={postgres.folder / 'nowhere'}",
    }
    for words, url in wrong.items():
        with pytest.raises(StoreError, match=words) as caught:
            Store(url)
        assert "secret" not in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_database_of_postgresql_that_may_only_be_read_is_said(postgres: Postgres) -> None:
    store = Store(postgres.create())
    store.add(made())
    reader = Store(f"{store.url}&options=-c%20default_transaction_read_only%3Don")
    assert reader.count() == 1
    with pytest.raises(StoreError, match="may not be written"):
        reader.delete(reader.search()[0].id)


def test_a_finished_run_waits_for_a_postgresql_server_that_comes_back(postgres: Postgres) -> None:
    store, ids = Store(postgres.create()), []
    first = store.add(made())
    postgres.stop("immediate")
    try:
        with pytest.raises(StoreError, match="does not answer"):
            store.count()
        thread = threading.Thread(target=lambda: ids.append(store.add(made(seed=1))))
        thread.start()
    finally:
        postgres.start()
    thread.join(100)
    assert {run.id for run in store.search()} == {first, *ids}
    assert (len(ids), store.integrity()) == (1, [])


def test_a_finished_run_that_no_postgresql_server_takes_can_be_imported(
    postgres: Postgres, fresh_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "WAIT", 0.05)
    store = Store(postgres.create())
    postgres.stop("immediate")
    try:
        with pytest.raises(StoreError, match=r"is not lost: .* runs import") as caught:
            store.add(made(), name="mine", tags=["talk"])
    finally:
        postgres.start()
    (file,) = (runtime.home() / "unstored").glob("*.json")
    assert str(file) in str(caught.value)
    (run_id,) = store.import_(file.read_text())
    run = store.get(run_id)
    assert (run.name, run.tags, run.trajectory.to_dict()) == ("mine", ("talk",), made().to_dict())
    assert json.loads(store.export([run_id])) == json.loads(file.read_text())
