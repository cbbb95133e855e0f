"""The end of a process whose jobs still work: it cancels them, waits for them briefly, and ends as it was told to."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg
from websockets.sync.client import connect

from imu_core.jobs import Job, JobQueue

SCRIPT = Path(__file__).with_name("working.py")


@contextmanager
def started(*command: str) -> Iterator[subprocess.Popen[str]]:
    """Python with that command line; it has ended afterwards."""
    where = {"cwd": SCRIPT.parents[2], "env": {**os.environ, "PYTHONPATH": str(SCRIPT.parents[2])}}
    process = subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **where)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.slow(reason="starts programs; that jobs are cancelled and the exit code are tested without")
def test_a_script_that_ends_while_its_jobs_work_ends_well() -> None:
    with started(str(SCRIPT)) as process:
        said, _ = process.communicate(timeout=300)
    assert (process.returncode, said.splitlines()) == (0, ["working", "ended: cancelled cancelled cancelled"])


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.slow(reason="starts a server; the default run ends a script in the same way")
def test_a_server_that_is_told_to_end_while_it_works_ends_well(sign: signal.Signals) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with started("-m", "streamlit", "run", str(SCRIPT), "--server.port", str(port)) as process:
        assert any("URL:" in line for line in process.stdout), "the server did not start"
        urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=300).close()
        with connect(f"ws://127.0.0.1:{port}/_stcore/stream", subprotocols=["streamlit"], max_size=None) as page:
            visit = BackMsg()
            visit.rerun_script.query_string = ""
            page.send(visit.SerializeToString())
            assert any(line == "working\n" for line in process.stdout), "the page did not run"
            process.send_signal(sign)
            said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert said.split("\n")[-2] == "ended: cancelled cancelled cancelled"


def test_a_closed_queue_cancels_what_it_has_and_what_comes() -> None:
    queue = JobQueue(workers=1)
    queue.close()
    job = queue.submit(Job("late", lambda: iter([1])))
    assert (job.state, job.items) == ("cancelled", [])


STUCK = """
import re, sys
print("said", __name__, *sys.argv[1:], flush=True)
re.match("(a+)+$", "a" * 60 + "b")  # minutes inside C, without letting go of the interpreter
"""
PARENT = """
import subprocess, sys, time
from imu_core import ending
child = subprocess.Popen(ending.command(sys.argv[1], "some", "words"))
print("child", child.pid, flush=True)
time.sleep(600)
"""


def test_a_child_runs_as_a_script_and_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    child = tmp_path / "child.py"
    child.write_text(STUCK)
    with started("-c", PARENT, str(child)) as parent:
        said = sorted(parent.stdout.readline().split() for _ in range(2))
        assert said[1] == ["said", "__main__", "some", "words"]
        parent.kill()
        assert parent.stdout.read() == "", "the pipe is closed once both have ended"
