"""The machine: the torchvision guard in a fresh interpreter, whole-file writes, generators, folders."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from imu_core import runtime

ROOT = Path(__file__).resolve().parents[2]


def fresh_python(code: str, **environment: str) -> str:
    """Standard output of `code` in an interpreter of its own."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow(reason="a new interpreter")
def test_torchvision_imports_in_a_fresh_interpreter() -> None:
    """Its wheel may be linked against another build of torch; models and datasets must work all the same, twice."""
    printed = fresh_python(
        "from imu_core import runtime\n"
        "first = runtime.import_torchvision(); second = runtime.import_torchvision()\n"
        "import torch, torchvision\n"
        "from torchvision import datasets, models, transforms\n"
        "out = models.resnet18()(torch.zeros(2, 3, 32, 32))\n"
        "print(first is second is torchvision, tuple(out.shape), datasets.FashionMNIST.__name__)"
    )
    assert printed.split("\n")[0] == "True (2, 1000) FashionMNIST"


@pytest.mark.slow(reason="a new interpreter")
def test_the_guard_repairs_an_import_that_stops_at_a_missing_operator() -> None:
    """The failure is staged, so that the guard is tested beside a torchvision that imports by itself as well."""
    printed = fresh_python(
        "import importlib, torch\n"
        "from imu_core import runtime\n"
        "real, calls = importlib.import_module, []\n"
        "def staged(name):\n"
        "    calls.append(name)\n"
        "    if len(calls) == 1: raise RuntimeError('operator torchvision::nms does not exist')\n"
        "    return 'imported'\n"
        "runtime.importlib.import_module = staged\n"
        "print(runtime.import_torchvision(), len(calls), torch.ops.torchvision.nms is not None)"
    )
    assert printed.split("\n")[0] == "imported 2 True"


def test_another_failure_of_the_import_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(runtime.importlib, "import_module", broken)
    with pytest.raises(RuntimeError, match="out of memory"):
        runtime.import_torchvision()


def test_importing_the_engine_leaves_torchvision_and_streamlit_alone() -> None:
    printed = fresh_python("import sys, imu_core; print([m for m in ('torchvision', 'streamlit') if m in sys.modules])")
    assert printed.strip() == "[]"


# Whole files.


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "folder" / "file.txt"
    runtime.write_whole(target, lambda path: path.write_text("old"))

    def half(path: Path) -> None:
        path.write_text("ne")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        runtime.write_whole(target, half)
    assert target.read_text() == "old"
    assert [path.name for path in target.parent.iterdir()] == ["file.txt"]


def test_a_first_write_that_fails_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        runtime.write_whole(tmp_path / "file.txt", lambda path: 1 / 0)
    assert list(tmp_path.iterdir()) == []


def test_what_is_written_can_be_read_by_others(tmp_path: Path) -> None:
    runtime.write_whole(tmp_path / "file.txt", lambda path: path.write_text("x"))
    assert (tmp_path / "file.txt").stat().st_mode & 0o777 == 0o644


# Generators.


def numbers(*key: int) -> list[float]:
    return torch.rand(4, generator=runtime.generator(*key)).tolist()


def test_the_same_stream_gives_the_same_numbers() -> None:
    assert numbers(3, 1, 4) == numbers(3, 1, 4)


def test_different_streams_give_different_numbers() -> None:
    keys = [(seed, *stream) for seed in range(6) for stream in [(), (0,), (1,), (2,), (0, 0), (0, 1), (1, 0), (41, 7)]]
    assert len({tuple(numbers(*key)) for key in keys}) == len(keys)


def test_streams_are_not_correlated() -> None:
    draws = torch.stack([torch.randn(2000, generator=runtime.generator(0, 41, epoch)) for epoch in range(8)])
    correlation = torch.corrcoef(draws) - torch.eye(8)
    assert float(correlation.abs().max()) < 0.12  # five standard errors


def test_the_global_generator_is_left_alone() -> None:
    before = torch.random.get_rng_state()
    numbers(1, 2)
    assert torch.equal(before, torch.random.get_rng_state())


# Folders and threads.


def test_folders_follow_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMU_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("IMU_DATA", raising=False)
    assert runtime.home() == tmp_path / "home"
    assert runtime.data_folder() == tmp_path / "home" / "data"
    monkeypatch.setenv("IMU_DATA", str(tmp_path / "sets"))
    assert runtime.data_folder() == tmp_path / "sets"
    assert (tmp_path / "sets").is_dir()


def test_without_an_environment_the_users_cache_is_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IMU_HOME", raising=False)
    monkeypatch.setattr(runtime.platformdirs, "user_cache_dir", lambda name: str(tmp_path / name))
    assert runtime.home() == tmp_path / "imu"


def test_threads_are_limited() -> None:
    assert runtime.limit_threads(1) == torch.get_num_threads() == 1
    assert runtime.limit_threads() <= 2
