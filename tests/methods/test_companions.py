"""Statistics that are not stored beside the original, because it is large: made when they are asked for, once, and stoppable."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from imu_core import runtime
from imu_core.errors import Cancelled
from imu_core.methods import METHODS, workspace
from imu_core.methods.workspace import Workspace
from imu_core.models import checkpoints, hashes
from imu_core.models.head import head_name
from imu_core.records.run import Problem, RunConfig
from imu_core.training import statistics
from imu_core.unlearning.run import unlearn


@pytest.fixture
def bare(lenet: Problem, monkeypatch: pytest.MonkeyPatch) -> Iterator[Problem]:
    """A problem whose original has no companions, as those of more than a million parameters."""
    monkeypatch.setattr(checkpoints.Checkpoint, "has", lambda self, kind: False)
    yield lenet
    for kept in (runtime.home() / "companions").glob(f"{hashes.state_hash(lenet.model)}-*"):
        kept.unlink()


def companion(problem: Problem, kind: str, **settings: object) -> dict[str, torch.Tensor]:
    return Workspace(problem, RunConfig(**settings)).companion(kind)


def test_class_statistics_come_from_the_cached_features(bare: Problem) -> None:
    """Equal to those of the images, until the cached features are others."""
    expected = statistics.class_statistics(bare.model, bare.dataset.train)
    found = companion(bare, "statistics", scope="all")
    for name, tensor in expected.items():
        assert torch.allclose(found[name], tensor, rtol=1e-4, atol=1e-5), name
    doubled = dataclasses.replace(bare, train=dataclasses.replace(bare.train, Z=2 * bare.train.Z))
    assert torch.allclose(companion(doubled, "statistics", scope="all")["mean"], 2 * found["mean"])


def test_on_the_head_only_its_own_importances_are_made(bare: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = statistics.importances(bare.model, bare.dataset.train)
    monkeypatch.setattr(workspace, "importances", lambda *args, **settings: pytest.fail("images are read"))
    found, head = companion(bare, "importances", scope="head"), head_name(bare.model)
    assert set(found) == {f"{k}.{head}.{p}" for k in ("fisher", "absolute") for p in ("weight", "bias")} | {"batch_size"}
    for name, tensor in found.items():
        assert torch.allclose(expected[name], tensor, rtol=1e-3, atol=1e-9), name


def test_those_of_all_layers_are_kept_and_read_again(bare: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    first = companion(bare, "importances", scope="all")
    expected = statistics.importances(bare.model, bare.dataset.train)
    assert set(first) == set(expected)
    assert all(torch.allclose(first[name], t, rtol=1e-4) for name, t in expected.items())
    monkeypatch.setattr(workspace, "importances", lambda *args, **settings: pytest.fail("made twice"))
    again = companion(bare, "importances", scope="all")
    assert all(torch.equal(again[name], t) for name, t in first.items())


def test_visitors_who_ask_at_once_share_one_computation(bare: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    made, both = [], threading.Barrier(2)

    def counted(*args: object, **settings: object) -> dict[str, torch.Tensor]:
        made.append(1)
        return statistics.importances(*args, **settings)

    def ask() -> dict[str, torch.Tensor]:
        both.wait(30)
        return companion(bare, "importances", scope="all")

    monkeypatch.setattr(workspace, "importances", counted)
    with ThreadPoolExecutor(2) as pool:
        one, other = (job.result() for job in [pool.submit(ask), pool.submit(ask)])
    assert made == [1]
    assert set(one) == set(other)


def stopping_after(looks: int) -> Iterator[None]:
    yield from [None] * looks
    raise Cancelled("Stopped by you.")


def test_stop_ends_the_computation_and_the_next_one_starts_anew(bare: Problem) -> None:
    looks = stopping_after(1)
    with pytest.raises(Cancelled):
        Workspace(bare, RunConfig(scope="all"), lambda: next(looks)).companion("importances")
    assert len(companion(bare, "importances", scope="all")) > 3


def test_who_waits_for_another_can_be_stopped(bare: Problem) -> None:
    looks = stopping_after(2)
    name = f"{hashes.state_hash(bare.model)}-{bare.dataset.hash}.importances.lock"
    path = runtime.home() / "companions" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with workspace.FileLock(path), pytest.raises(Cancelled):
        Workspace(bare, RunConfig(scope="all"), lambda: next(looks)).companion("importances")
    with pytest.raises(StopIteration):  # it looked three times, at the last of which it was told to stop
        next(looks)


@pytest.mark.parametrize(("method", "scope"), [("ssd", "head"), ("ssd", "all"), ("lfssd", "head"), ("scar", "all")])
def test_methods_that_need_them_run(method: str, scope: str, bare: Problem) -> None:
    assert "statistics" in METHODS[method].needs(RunConfig(method=method, scope=scope))
    run = unlearn(bare, RunConfig(method=method, scope=scope, epochs=1))
    list(run)
    assert run.outcome.state == "done", run.outcome.reason


def test_scar_waits_for_no_importances(bare: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workspace, "batch_importances", lambda *args: pytest.fail("nobody asked for it"))
    run = unlearn(bare, RunConfig(method="scar", scope="all", epochs=1))
    list(run)
    assert run.outcome.state == "done", run.outcome.reason
