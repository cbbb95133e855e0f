"""Small shared fixtures: 400 images of Fashion-MNIST under the models that ship, so that no test has to train or wait."""

from __future__ import annotations

import atexit
import functools
import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy
from hypothesis import settings

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: beside another job, threads that spin cost a hundredfold
os.environ["IMU_DEVICE"] = "cpu"  # a GPU would give other bits each time
if "IMU_HOME" not in os.environ:  # never write into the cache folder of whoever runs the tests
    os.environ["IMU_HOME"] = tempfile.mkdtemp(prefix="imu-tests-")
    atexit.register(shutil.rmtree, os.environ["IMU_HOME"], ignore_errors=True)
if "PYTEST_XDIST_WORKER" in os.environ:  # workers that share nothing cannot disturb each other
    os.environ["IMU_HOME"] = str(Path(os.environ["IMU_HOME"]) / os.environ["PYTEST_XDIST_WORKER"])

import numpy as np
import torch
from postgres import Postgres, missing, running
from streamlit.components.v2 import manifest_scanner
from streamlit.runtime.pages_manager import PagesManager
from streamlit.testing.v1 import app_test

import imu_core
from imu_core import data, runtime
from imu_core.data import market, people
from imu_core.data.people.look import look
from imu_core.models import checkpoints, hashes
from imu_core.problems.problem import NOTHING
from imu_core.records.data import Dataset, ImageSet, Source
from imu_core.records.run import Features, Problem, RunConfig
from imu_core.store.runs import Store

settings.register_profile("house", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("house")

TINY = {"train": 400, "test": 200}


@pytest.fixture(scope="session", autouse=True)
def served() -> Iterator[None]:
    """A server remembers that `st.navigation` was called once; AppTest forgets it before every run, unless it asks elsewhere."""

    class Manager(PagesManager):
        pass

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(app_test, "PagesManager", Manager)
        patch.setattr(PagesManager, "uses_pages_directory", False)
        yield


class Failures:
    """Names every failure as it happens, so that a run that is broken off has named those before."""

    def __init__(self, terminal: Any) -> None:
        self._terminal = terminal

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """One line: which test, and the first line of what went wrong."""
        if report.failed:
            crash = getattr(report.longrepr, "reprcrash", None)
            why = (crash.message if crash else report.longreprtext).strip().partition("\n")[0]
            self._terminal.ensure_newline()
            self._terminal.write_line(f"FAILED {report.nodeid} ({report.when}): {why}", red=True)


@pytest.hookimpl(tryfirst=True)  # before pytest leaves out what is slow
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow what needs a PostgreSQL server, and of a test under sample(n, reason) all but n cases, spread evenly."""
    groups: dict[str, list[pytest.Item]] = {}
    for item in items:
        values = getattr(item, "callspec", NO_CASE).params.values()
        if "postgres" in item.fixturenames or any(isinstance(value, str) and value == "postgresql" for value in values):
            item.add_marker(pytest.mark.slow(reason="starts a server; the default run shows the same of SQLite"))
        if item.get_closest_marker("sample") and not item.get_closest_marker("slow"):
            groups.setdefault(item.nodeid.partition("[")[0], []).append(item)
    for cases in groups.values():
        mark = cases[0].get_closest_marker("sample")
        count = min(mark.args[0], len(cases))
        taken = {number * len(cases) // count for number in range(count)}
        for number, case in enumerate(cases):
            if number not in taken:
                case.add_marker(pytest.mark.slow(**mark.kwargs))


@pytest.hookimpl(trylast=True)  # not before pytest has its terminal
def pytest_configure(config: pytest.Config) -> None:
    """Only where somebody reads along: workers report to the process that started them."""
    terminal = config.pluginmanager.getplugin("terminalreporter")
    if terminal:
        config.pluginmanager.register(Failures(terminal))


NO_CASE = SimpleNamespace(params={})


@pytest.fixture(scope="session", autouse=True)
def components_are_looked_for_once() -> Iterator[None]:
    """Streamlit reads what every installed package says of itself whenever a page is tested: half of the time of such a test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest_scanner, "scan_component_manifests", functools.cache(manifest_scanner.scan_component_manifests))
        yield


COMPANIONS = ("initial", "statistics", "importances")


@pytest.fixture(scope="session")
def shipped() -> Dataset:
    """The data set that ships."""
    return data.load("fashion")


@pytest.fixture(scope="session")
def tiny(shipped: Dataset) -> Iterator[Dataset]:
    """Its first 400 and 200 images (balanced) as a data set of its own, called "tiny", with both original models on disk."""
    parts = [
        ImageSet(whole.images[:size].clone(), whole.labels[:size].clone())
        for whole, size in ((shipped.train, TINY["train"]), (shipped.test, TINY["test"]))
    ]
    dataset = Dataset("tiny", "Tiny-MNIST", *parts, shipped.class_names, shipped.mean, shipped.std)
    for model in ("lenet5", "small_resnet"):
        original = checkpoints.find(shipped, model, NOTHING)
        assert original is not None, f"assets/models/fashion/{model} is missing"
        path = runtime.home() / "models" / "tiny" / model / "original.safetensors"
        for kind in COMPANIONS:
            checkpoints.save(path.with_name(f"original.{kind}.safetensors"), original.companion(kind))
        card = {**original.card, "dataset": "tiny", "data_hash": dataset.hash}
        checkpoints.save(path, checkpoints.read_tensors(original.path), card)
    data.DATASETS["tiny"] = Source("Tiny", lambda: dataset)
    yield dataset
    del data.DATASETS["tiny"]


@pytest.fixture(scope="session")
def lenet(tiny: Dataset) -> Problem:
    """Forget the 40 sandals of the tiny set; no batch norm in this model."""
    return imu_core.problem("tiny", model="lenet5", forget="class:Sandal")


@pytest.fixture(scope="session")
def resnet(tiny: Dataset) -> Problem:
    """Forget the 40 sandals of the tiny set; this model has batch norm."""
    return imu_core.problem("tiny", model="small_resnet", forget="class:Sandal")


FEW = {"training": 12, "unseen": range(151, 157)}


def few_people() -> list[market.Named]:
    """The first 12 training identities of the people that ship, six unseen ones, a few distractors and junk."""
    wanted = {*range(1, FEW["training"] + 1), *FEW["unseen"]}
    found = []
    for identity in sorted(wanted):
        person = look(np.random.default_rng([0, people._LOOK, identity]))
        for camera, number in itertools.product(range(6), range(people.SHOTS)):
            rng = np.random.default_rng([0, people._SHOT, identity, camera, number])
            training = identity <= FEW["training"]
            folder = "bounding_box_train" if training else "bounding_box_test" if number else "query"
            found.append(people._named(folder, identity, camera, number, people.take(person, camera, rng)))
    for identity, number in itertools.product((0, -1), range(6)):
        rng = np.random.default_rng([0, people._DISTRACTOR, number])
        found.append(people._named("bounding_box_test", identity, number, number, people.take(look(rng), number, rng)))
    return found


def register_people(name: str, crowd: bool = False) -> Dataset:
    """Twelve people of the set that ships, as data set `name`, with the original model cut to them.

    A `crowd` has a retrained model that never saw 0005 as well, and only a single image of 0012.
    """
    drawn = [item for item in few_people() if not (crowd and item.name.startswith("0012") and "_c1s1_001201_00" not in item.name)]
    dataset = market.assemble(name, f"People called {name}", *market.reordered(drawn), key=name, synthetic=True)
    shipped = runtime.ASSETS / "models" / "people" / "reid_resnet18"
    files = {"original": shipped / "original.safetensors"}
    if crowd:
        files["retrained"] = next(shipped.glob("retrained-identity-0005-*.safetensors"))
    for role, path in files.items():
        state = checkpoints.read_tensors(path)
        for part in ("head.weight", "head.bias"):  # identities 1 to 12 are the first twelve classes
            state[part] = state[part][: FEW["training"]].clone()
        removed = (dataset.train.labels == 4).nonzero()[:, 0] if role == "retrained" else NOTHING
        card = {**checkpoints.at(path).card, "dataset": name, "data_hash": dataset.hash}
        card["removed_hash"] = hashes.removed_hash(removed)
        checkpoints.save(runtime.home() / "models" / name / "reid_resnet18" / f"{role}.safetensors", state, card)
    data.DATASETS[name] = Source(name, lambda: dataset, people=True)
    return dataset


@pytest.fixture(scope="session")
def few() -> Iterator[Dataset]:
    """Twelve people, as a data set called "few", without any retrained model."""
    yield register_people("few")
    del data.DATASETS["few"]


@pytest.fixture(scope="session")
def person(few: Dataset) -> Problem:
    """Forget person 0005 of the few."""
    return imu_core.problem("few", model="reid_resnet18", forget="identity:0005")


@pytest.fixture(scope="session")
def cheap() -> Callable[..., RunConfig]:
    """A RunConfig of three batches an epoch on the tiny problem; plain SGD unless told otherwise."""

    def config(**changes: object) -> RunConfig:
        return RunConfig(**{"epochs": 2, "batch_size": 16, "optimizer": "sgd", "learning_rate": 0.05, **changes})

    return config


@pytest.fixture
def fresh_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty IMU_HOME for this test alone."""
    monkeypatch.setenv("IMU_HOME", str(tmp_path))
    monkeypatch.delenv("IMU_DATA", raising=False)
    return tmp_path


def same_bits(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Whether two state dictionaries hold the same names and the same bytes (0.0 and -0.0 differ, nan equals itself)."""
    return one.keys() == other.keys() and all(
        one[name].numpy().tobytes() == tensor.numpy().tobytes() and one[name].dtype == tensor.dtype
        for name, tensor in other.items()
    )


def made_features(n: int, d: int, classes: int, seed: int = 0) -> Features:
    """Features with labels that repeat 0 … classes-1, and random logits; for requests that only read losses or features."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % classes
    return Features(torch.randn(n, d, generator=generator), labels, torch.randn(n, classes, generator=generator))


@pytest.fixture(scope="session", autouse=True)
def patient_pages() -> Iterator[None]:
    """A page run without a browser waits for what it needs, in place of a bar: nobody would let it tick."""
    from pages.sidebar import history
    from pages.widgets import waited

    with pytest.MonkeyPatch.context() as patch:
        for module in (history, waited):
            patch.setattr(module, "PATIENCE", 300.0)
        yield


# One browser and one running app for all browser tests, whichever file they are in.


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """Debian's Chromium, headless."""
    from test_browser import open_chromium

    yield from open_chromium()


@pytest.fixture(scope="session")
def server(chromium: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The app on a free port, after its very first visit."""
    from test_browser import serve_app

    yield from serve_app(chromium, tmp_path_factory)


@pytest.fixture
def visitor(server: Any, chromium: Any) -> Iterator[Any]:
    """A browser window of its own; nothing may go wrong in its console."""
    from test_browser import visitor_at

    with visitor_at(server.address, chromium) as visitor:
        yield visitor


# The database of runs: what holds for SQLite holds for a real PostgreSQL server.


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server of this session alone; skipped where Debian's package or psycopg is missing, unless it is required."""
    reason = missing()
    if reason and os.environ.get("IMU_REQUIRE_POSTGRES"):
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)
    with running() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], str]:
    """Makes the address of one more empty database, in a file and on a server."""
    numbers = itertools.count()
    if request.param == "postgresql":
        server = request.getfixturevalue("postgres")
        return server.create
    return lambda: f"sqlite:///{tmp_path / f'runs-{next(numbers)}.sqlite'}"


@pytest.fixture
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """The database that pages write to, of this test alone; on a PostgreSQL server where the test asks for one."""
    server = getattr(request, "param", "sqlite") == "postgresql"
    url = request.getfixturevalue("postgres").create() if server else f"sqlite:///{tmp_path / 'runs.sqlite'}"
    monkeypatch.setenv("IMU_DATABASE_URL", url)
    yield Store(url)
    written()


def written() -> None:
    """Wait until everything that pages have to write is written."""
    from pages.session import keeper

    assert keeper.keeper().settle(300.0)


def tamper(store: Store, statement: str, **values: Any) -> None:
    """Change the database of `store` behind its back."""
    with store._engine.begin() as connection:
        connection.execute(sqlalchemy.text(statement), values)
