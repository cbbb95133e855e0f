"""Which folders of the machine a page may read, and that nothing is said of the others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from imu_core.access import rules
from imu_core.errors import ClosedError


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with IMU_DATA, a folder that the owner lists, and a secret one."""
    for name in ("data/mine", "listed/inner", "secret/pictures"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.setenv("IMU_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("IMU_FOLDERS", f"{tmp_path / 'listed'}{os.pathsep}{os.pathsep}{tmp_path / 'missing'}")
    monkeypatch.delenv("IMU_PUBLIC", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def serving(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work is done for a page."""
    monkeypatch.setattr(rules, "_SERVING", [lambda: True])


@pytest.mark.parametrize(
    "path", ["data", "data/", "data/mine", "data/not-there", "listed/inner/..", "./listed", "secret/../data", "data/mine/x.png"]
)
def test_the_data_folder_and_listed_ones_are_open(machine: Path, path: str) -> None:
    assert rules.allowed(path)
    assert rules.allowed(f"{machine}/{path}")


@pytest.mark.parametrize(
    "path",
    ["secret", "secret/", "secret/pictures", "data/../secret", "data/..", ".", "/", "", "~", "~nobody-of-that-name/x", "listed2",
     "datax", "data/\0", "x" * 5000, "nothing/here", "DATA\n"],
)  # fmt: skip
def test_everything_else_is_closed(machine: Path, path: str) -> None:
    assert not rules.allowed(path)


def test_links_are_followed_whenever_it_is_asked(machine: Path) -> None:
    inner = machine / "data" / "mine"
    assert rules.allowed(inner)
    inner.rmdir()
    inner.symlink_to(machine / "secret")  # swapped
    assert not rules.allowed(inner)
    assert not rules.allowed(inner / "pictures")
    (machine / "to-data").symlink_to(machine / "data")
    assert rules.allowed(machine / "to-data")
    (machine / "data" / "round").symlink_to(machine / "data" / "round")
    assert not rules.allowed(machine / "data" / "round")


def test_a_public_app_reads_nothing(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for value, public in (("1", True), ("true", True), ("yes?", True), ("0", False), ("", False), ("off", False), ("No", False)):
        monkeypatch.setenv("IMU_PUBLIC", value)
        assert rules.is_public() is public
        assert rules.allowed("data") is not public


def test_only_pages_are_checked_and_the_words_say_nothing(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rules.check("secret")  # a command
    for name in ("_SERVING", "_WHO"):  # the pages' own answers stand again after the test
        monkeypatch.setattr(rules, name, [])
    answers = iter([True])
    rules.serve_when(lambda: next(answers, False))
    with pytest.raises(ClosedError):
        rules.check("secret")
    rules.check("secret")


@pytest.mark.usefixtures("serving")
def test_a_closed_folder_that_exists_is_like_one_that_does_not(machine: Path) -> None:
    said = set()
    for path in ("secret", "not-there", "secret/pictures", "/", "/etc", "/var/x", "\0"):
        with pytest.raises(ClosedError) as caught:
            rules.check(path)
        said.add(str(caught.value))
    assert len(said) == 1
    assert str(machine) not in said.pop()
    rules.check("data/not-there")
