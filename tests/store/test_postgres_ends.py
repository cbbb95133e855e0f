"""The tests' PostgreSQL server ends with the process that started it, and what an earlier one left is found."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import postgres
import pytest

STARTED = """
import sys; sys.path.insert(0, {here!r})
import postgres
with postgres.running() as server:
    print(server.folder, flush=True)
    input()
"""


@pytest.fixture
def begun(postgres: object, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable]:
    """Starts a process with a server of its own, and says where that is."""
    with tempfile.TemporaryDirectory(dir="/tmp") as place:  # a socket's path is short, and its user may enter it
        Path(place).chmod(0o755)
        monkeypatch.setenv("TMPDIR", place)
        monkeypatch.setattr(tempfile, "tempdir", None)
        processes = []

        def begin() -> tuple[subprocess.Popen[str], Path]:
            command = [sys.executable, "-c", STARTED.format(here=str(Path(__file__).resolve().parents[1]))]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            processes.append(process)
            return process, Path(process.stdout.readline().strip())

        yield begin
        for process in processes:
            process.kill()
            process.communicate()


def server_of(folder: Path) -> Path:
    return Path("/proc") / (folder / "data" / "postmaster.pid").read_text().split()[0]


def wait_until_gone(*paths: Path) -> None:
    end = time.monotonic() + 60
    while any(path.exists() for path in paths) and time.monotonic() < end:
        time.sleep(0.1)
    assert not [path for path in paths if path.exists()]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_it_ends_with_a_process_that_is_killed(begun: Callable, how: int) -> None:
    process, folder = begun()
    server = server_of(folder)
    assert server.exists()
    process.send_signal(how)
    wait_until_gone(server, folder)


def test_what_an_earlier_process_left_is_ended_and_what_is_in_use_is_not(
    begun: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    process, used = begun()
    monkeypatch.setattr(postgres, "_END", "exit")
    with postgres.running() as left:
        monkeypatch.undo()
        folder, server = left.folder, server_of(left.folder)
        monkeypatch.setattr(left, "stop", lambda how: None)
    assert server.exists(), "nobody has ended it"
    monkeypatch.setattr(tempfile, "tempdir", str(folder.parent))
    postgres.end_stale()
    wait_until_gone(server, folder)
    assert server_of(used).exists()
    process.communicate("\n", timeout=60)
    assert not used.exists()
