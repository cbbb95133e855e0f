"""A public server below a path, in a real Chromium: the cookie, a reload, another browser, a restart, and the memory it takes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_browser import HEADINGS, IN_FULL_RUN, PATIENCE, ROOT, _wait_for, expect, free_port

from imu_core.access.cookie import COOKIE
from imu_core.store.runs import Store

pytestmark = IN_FULL_RUN
LARGEST = 1_000_000  # KB of a fresh server with the default page open
EXAMPLE = "Until you press Run"
HERE = "unlearn?model=lenet5&measure=false&methods=GA"


def started(port: int, log: Path, database: str) -> subprocess.Popen:
    """`imu app --public`, as somebody starts it elsewhere on this machine."""
    command = [sys.executable, "-m", "imu_core", "app", "--public", "--port", str(port), "--base-path", "imu"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "IMU_DATABASE_URL": database}
    with log.open("a") as output:
        process = subprocess.Popen(command, cwd=log.parent, stdout=output, stderr=subprocess.STDOUT, env=environment)
    _wait_for(process, f"http://127.0.0.1:{port}/imu/_stcore/health", log)
    return process


def resident(process: subprocess.Popen) -> int:
    """KB of memory that a process takes now."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status).group(1))


def opened(page: Any, address: str) -> Any:
    page.goto(address)
    expect(page.get_by_role("heading", name=HEADINGS["unlearn"], exact=True)).to_be_visible()
    page.locator('[data-testid="stApp"][data-test-script-state="notRunning"]').wait_for()
    expect(page.get_by_text("What happened", exact=True)).to_be_visible()  # below the charts: all of it is there
    return page


@pytest.fixture
def browser(chromium: Any) -> Any:
    """Makes browsers that know nothing of each other."""
    contexts: list[Any] = []

    def make() -> Any:
        contexts.append(chromium.new_context())
        contexts[-1].set_default_timeout(PATIENCE)
        return contexts[-1]

    yield make
    for context in contexts:
        context.close()


def test_a_visitor_of_a_public_server_finds_their_work_again_and_nobody_elses(browser: Callable[[], Any], tmp_path: Path) -> None:
    port, log, database = free_port(), tmp_path / "log.txt", f"sqlite:///{tmp_path / 'runs.sqlite'}"
    address, process = f"http://127.0.0.1:{port}/imu", started(port, log, database)
    try:
        me = browser()
        page = me.new_page()
        page.goto(address)
        expect(page.get_by_role("heading", name=HEADINGS[""], exact=True)).to_be_visible()
        page.locator('[data-testid="stApp"][data-test-script-state="notRunning"]').wait_for()
        assert resident(process) < LARGEST
        more = page.locator("a[href*='glossary?term=']").first
        assert more.evaluate("link => link.href").startswith(f"{address}/glossary?term=")
        (cookie,) = [c for c in me.cookies() if c["name"] == COOKIE]
        assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Lax", "/imu")

        expect(opened(page, f"{address}/{HERE}").get_by_text(EXAMPLE)).to_be_visible()
        page.get_by_role("button", name="Run", exact=True).click()
        expect(page.get_by_text(EXAMPLE)).to_have_count(0)
        expect(page.get_by_role("button", name="Remove this run").or_(page.get_by_text("Name and export")).first).to_be_visible()
        page.reload()
        expect(opened(page, page.url).get_by_text(EXAMPLE)).to_have_count(0)
        assert cookie["value"] not in page.content() + page.url + log.read_text()

        other = browser().new_page()
        expect(opened(other, f"{address}/{HERE}").get_by_text(EXAMPLE)).to_be_visible()
        (run,) = Store(database).search()
        assert run.visitor is not None
        assert cookie["value"] not in run.visitor
        other.goto(f"{address}/runs?run={run.id}")
        expect(other.get_by_text("There is no stored run")).to_be_visible()

        process.terminate()
        assert process.wait(60) == 0
        process = started(port, log, database)
        expect(opened(page, f"{address}/{HERE}").get_by_text(EXAMPLE)).to_have_count(0)
    finally:
        process.kill()
        process.wait()
