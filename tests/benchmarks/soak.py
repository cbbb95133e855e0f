"""A class of twenty on one server for ten minutes, two of them real browsers. Prints a table; exit 1 where anything went wrong.

    make soak                                          the whole of it
    .venv/bin/python tests/benchmarks/soak.py --visitors 10 --minutes 1 --browsers 0

First every visitor presses Run at once (IMU, GA and NPO, another class each): how long until each has all three results? Then all
of them run, change pages, leave and return until the time is over. In the end every run in the database is compared with the same
run computed alone in this process, point by point. The server's memory and threads are compared with those after another class of
as many, which has come and gone before: what one visitor leaves behind varies from start to start, and a class leaves more.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from playwright.async_api import ConsoleMessage, async_playwright
from visitors import Visitor

import imu_core
from imu_core.access.cookie import COOKIE, new_id
from imu_core.store.runs import Store

ROOT = Path(__file__).resolve().parents[2]
CLASSES = ("T-shirt", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Boot")
METHODS = ("IMU", "GA", "NPO")
OTHER_PAGES = ("", "influence", "compare", "attack", "runs", "paper", "glossary", "docs")
ALONE, EMPTY, LEFT = "one visitor has left", "a class has left", "all have left"  # the last two are compared
BEFORE = 90.0  # seconds that the class before them stays
PATIENCE = 300.0  # seconds until a wait is given up
RELEASED = 120.0  # seconds after which whoever left counts as away
QUIET, LONGEST = 20.0, 900.0  # seconds without work that count as the end of what was in line, and that are waited for it at most
IDLE = 0.1  # of one core is no work: the housekeeping needs about a twentieth
MISSING = "() => [...document.images].filter(i => i.complete && !i.naturalWidth && i.getClientRects().length).map(i => i.src)"
CHROMIUM = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]


@dataclass
class Report:
    """What was seen: seconds to all three results, bytes and messages of a run, how often visitors came back, what went wrong."""

    at_once: list[float] = field(default_factory=list)
    later: list[float] = field(default_factory=list)
    messages: list[int] = field(default_factory=list)
    bytes: list[int] = field(default_factory=list)
    returns: int = 0
    pages: int = 0
    wrong: list[str] = field(default_factory=list)


# ------------------------------------------------------------------------------------------------------------------ the server


@contextmanager
def server(home: Path) -> Iterator[tuple[int, int]]:
    """The app on a free port, one thread an operation, as two cores want it: (port, process id)."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "IMU_HOME": str(home), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port)]
    log = (home / "server.log").open("w")
    with log, subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log) as app:
        try:
            for _ in range(600):
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=1).read()
                    break
                except OSError:
                    time.sleep(0.1)
            yield port, app.pid
        finally:
            app.terminate()


def state_of(process: int) -> tuple[float, int]:
    """(resident memory in MB, threads) of a process and all its children, as Linux tells."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    memory, threads = 0.0, 0
    for number in [process, *map(int, children)]:
        fields = dict(line.split(":", 1) for line in Path(f"/proc/{number}/status").read_text().splitlines())
        memory, threads = memory + int(fields["VmRSS"].split()[0]) / 1024, threads + int(fields["Threads"])
    return memory, threads


# ---------------------------------------------------------------------------------------------------------------- the visitors


def query_of(number: int, attack: bool) -> str:
    """The problem of a visitor."""
    return f"forget=class:{CLASSES[number % len(CLASSES)]}".replace(" ", "%20") + ("" if attack else "&measure=false")


def has_results(visitor: Visitor) -> bool:
    """Whether all three runs of the visitor have ended and their sentences stand on the page."""
    texts = visitor.texts()
    ended = sum("really" in text for text in texts) >= len(METHODS)
    return ended and not visitor.is_running and not any("Until you press Run" in text for text in texts)


class Pupil:
    """One of the class: a browser (its cookie) with one window at a time."""

    def __init__(self, address: str, number: int, report: Report) -> None:
        self.address, self.number, self.report = address, number, report
        self.cookie = f"{COOKIE}={new_id()}"
        self.draw = random.Random(number)
        self.window: Visitor | None = None

    async def open(self) -> None:
        """Open Unlearn and wait until it stands."""
        self.window = Visitor(self.address, "unlearn", query_of(self.number, attack=self.number % 10 == 9), cookie=self.cookie)
        await self.window.open()
        if not await self.window.until(lambda: self.window.finished > 0 and self.window.has("button", "Run"), PATIENCE):
            self.report.wrong.append(f"visitor {self.number}: the page did not come")

    async def run(self, seconds: list[float]) -> None:
        """Press Run, and wait for all three results."""
        window, start = self.window, time.monotonic()
        before, runs = (window.messages, window.bytes), window.finished
        await window.press("Run")
        if not await window.until(lambda: window.finished > runs and has_results(window), PATIENCE):
            self.report.wrong.append(f"visitor {self.number}: no results after {PATIENCE:.0f} s")
            return
        seconds.append(time.monotonic() - start)
        self.report.messages.append(window.messages - before[0])
        self.report.bytes.append(window.bytes - before[1])

    async def go_to(self, page: str) -> None:
        """Change to another page and wait until it stands."""
        runs = self.window.finished
        await self.window.go_to(page)
        if not await self.window.until(lambda: self.window.finished > runs, PATIENCE):
            self.report.wrong.append(f"visitor {self.number}: {page or 'start'} did not come")

    async def wander(self) -> None:
        """Look at two other pages, and leave."""
        for page in self.draw.sample(OTHER_PAGES, 2):
            await self.go_to(page)
            self.report.pages += 1
            await asyncio.sleep(self.draw.uniform(2, 8))

    async def leave(self) -> None:
        """Close the window; what went wrong in it is on record."""
        self.report.wrong += [f"visitor {self.number}: {text}" for text in self.window.exceptions]
        self.report.wrong += [f"visitor {self.number}: Cached ForwardMsg MISS" for _ in self.window.misses]
        await self.window.close()

    async def come_back(self) -> None:
        """Open Unlearn again, and find what was run here before."""
        await self.open()
        found = await self.window.until(lambda: has_results(self.window), PATIENCE)
        self.report.returns += 1
        if not found:
            self.report.wrong.append(f"visitor {self.number}: came back and did not find the runs")

    async def stay(self, until: float) -> None:
        """Run, wander, leave and return until the time is over."""
        while time.monotonic() < until:
            await asyncio.sleep(self.draw.uniform(3, 15))
            await self.wander()
            await self.leave()
            await asyncio.sleep(self.draw.uniform(1, 10))
            await self.come_back()
            await self.run(self.report.later)
        await self.leave()


def complaints(message: ConsoleMessage) -> list[str]:
    """What a console says is wrong, with the address it came from.

    Two kinds of 404 are no faults. Streamlit forgets a page's pictures and downloads as soon as the page is left, and a browser
    that has just asked for one is told so; no picture may be missing on the page that is looked at, which `MISSING` finds. And
    Streamlit's own page looks for its server below the address that was opened before it looks at the root.
    """
    where, text = message.location.get("url", ""), message.text
    is_left = ("/media/" in where and "404" in text) or "Download Button source error - 404" in text
    is_search = where.endswith(("/unlearn/_stcore/health", "/unlearn/_stcore/host-config")) and "404" in text
    return [f"{text[:200]} {where[:200]}"] if message.type == "error" and not (is_left or is_search) else []


async def browser(playwright: object, address: str, number: int, until: float, report: Report) -> None:
    """A real Chromium that does the same with the mouse."""
    chromium = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM)
    page = await chromium.new_page(viewport={"width": 1280, "height": 720})
    page.set_default_timeout(PATIENCE * 1000)
    page.on("console", lambda message: report.wrong.extend(f"browser {number}: {text}" for text in complaints(message)))
    while time.monotonic() < until:
        await page.goto(f"{address}/unlearn?{query_of(number, attack=False)}")
        await page.get_by_role("button", name="Run", exact=True).click()
        start = time.monotonic()
        await page.get_by_text("Until you press Run").wait_for(state="detached")
        await page.get_by_text("really").nth(len(METHODS) - 1).wait_for()
        report.later.append(time.monotonic() - start)
        for name in ("Compare", "Influence"):
            await page.get_by_test_id("stSidebarNav").get_by_role("link", name=name).click()
            await page.wait_for_timeout(5000)
            report.pages += 1
            report.wrong += [f"browser {number}: no picture at {url}" for url in await page.evaluate(MISSING)]
        report.wrong += [f"browser {number}: {await e.inner_text()}" for e in await page.get_by_test_id("stException").all()]
        report.wrong += [f"browser {number}: connection error"] * await page.get_by_text("Connection error").count()
    await chromium.close()


async def lesson(port: int, process: int, asked: argparse.Namespace, report: Report) -> list[tuple[str, float, int]]:
    """Everything in its order; (when, MB, threads) by the way."""
    address, states = f"127.0.0.1:{port}", []
    socket_address = f"ws://{address}/_stcore/stream"

    def note(when: str) -> None:
        states.append((when, *state_of(process)))

    async def note_alone(when: str) -> None:
        """The same once nobody is here, and served files: threads end when the next one is asked for."""
        await asyncio.sleep(RELEASED)
        await ended(process)
        await asyncio.to_thread(lambda: urllib.request.urlopen(f"http://{address}/", timeout=60).read())
        note(when)

    first = Pupil(socket_address, 0, report)  # all pages of each class once: all that is kept for everybody is there
    for number in range(len(CLASSES)):
        first.number = number
        await first.open()
        await first.run([])
        for page in OTHER_PAGES:
            await first.go_to(page)
        if number == len(CLASSES) - 1:
            note("one visitor, with an attack")
        await first.leave()
    await note_alone(ALONE)
    others = [Pupil(socket_address, number, Report()) for number in range(asked.visitors)]
    for pupil in others:
        await pupil.open()
    await asyncio.gather(*(pupil.run([]) for pupil in others))
    until = time.monotonic() + BEFORE
    await asyncio.gather(*(pupil.stay(until) for pupil in others))
    report.wrong += [text for pupil in others for text in pupil.report.wrong]
    await note_alone(EMPTY)
    pupils = [Pupil(socket_address, number, report) for number in range(asked.visitors)]
    for pupil in pupils:
        await pupil.open()
    await asyncio.sleep(5)
    note(f"{asked.visitors} pages open")
    report.messages.clear(), report.bytes.clear()
    await asyncio.gather(*(pupil.run(report.at_once) for pupil in pupils))
    note("all have run once")
    until = time.monotonic() + 60 * asked.minutes
    async with async_playwright() as playwright:
        browsers = (browser(playwright, f"http://{address}", n, until, report) for n in range(asked.browsers))
        watch = asyncio.create_task(_highest(process, states))
        await asyncio.gather(*(pupil.stay(until) for pupil in pupils), *browsers)
        watch.cancel()
    await note_alone(LEFT)
    return states


async def ended(process: int) -> None:
    """Wait until what was in line for those who left has ended: until the server has done next to nothing for a while."""
    until, ticks = time.monotonic() + LONGEST, os.sysconf("SC_CLK_TCK")
    while time.monotonic() < until:
        before = processor_ticks(process)
        await asyncio.sleep(QUIET)
        if processor_ticks(process) - before < IDLE * QUIET * ticks:
            return


def processor_ticks(process: int) -> int:
    """Clock ticks of processor time that a process has used, as Linux tells."""
    return sum(map(int, Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:13]))


async def _highest(process: int, states: list[tuple[str, float, int]]) -> None:
    states.append(("at most", *state_of(process)))
    while True:
        await asyncio.sleep(2)
        memory, threads = state_of(process)
        states[-1] = ("at most", max(memory, states[-1][1]), max(threads, states[-1][2]))


# ----------------------------------------------------------------------------------------------------------------- the results


def compared(home: Path) -> tuple[int, list[str]]:
    """How many stored runs there are, and which differ from the same run computed alone, in any figure of any point."""
    torch.set_num_threads(1)  # as the server: another number of threads may round otherwise
    store = Store(f"sqlite:///{home}/runs.sqlite")
    alone: dict[str, list[object]] = {}
    runs, wrong = store.search(limit=None), []
    for found in runs:
        record = store.get(found.id).trajectory
        about = record.problem
        key = json.dumps([about["dataset"], about["model"], about["forget"], about["seed"], record.config.changed()])
        if key not in alone:
            problem = imu_core.problem(about["dataset"], model=about["model"], forget=about["forget"], seed=about["seed"])
            run = imu_core.unlearn(problem, record.config)
            alone[key] = [(point.step, point.accuracies, point.loss) for point in run]
        if [(point.step, point.accuracies, point.loss) for point in record.points] != alone[key]:
            wrong.append(f"run {found.id} ({found.method}, {about['forget']}) differs from the same run alone")
    return len(runs), wrong


def quantiles(seconds: list[float]) -> str:
    """Median and most, in words."""
    if not seconds:
        return "none"
    return f"{statistics.median(seconds):.1f} s (median), {max(seconds):.1f} s (most), {len(seconds)} times"


def printed(asked: argparse.Namespace, report: Report, states: list[tuple[str, float, int]], runs: int) -> None:
    """The table."""
    rows = [
        (f"all three results, {asked.visitors} at once", quantiles(report.at_once)),
        ("all three results, later", quantiles(report.later)),
        ("a run until its results", f"{statistics.median(report.messages or [0]):.0f} messages, "
         f"{statistics.median(report.bytes or [0]) / 1000:.0f} kB (median)"),
        ("pages changed, visitors come back", f"{report.pages}, {report.returns}"),
        ("stored runs, equal to those alone", f"{runs}, {runs - sum('differs' in text for text in report.wrong)}"),
        *((f"memory, threads: {when}", f"{memory:.0f} MB, {threads}") for when, memory, threads in states),
        ("went wrong", f"{len(report.wrong)}"),
    ]  # fmt: skip
    width = max(len(name) for name, _ in rows)
    print("\n".join(f"{name:<{width}}  {text}" for name, text in rows))
    for text, count in Counter(re.sub(r"^(visitor|browser) \d+: ", "", text) for text in report.wrong).most_common():
        print(f"{count:5} x {text}")


def main() -> int:
    """Run the lesson and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--visitors", type=int, default=18, help="visitors without a screen")
    parser.add_argument("--browsers", type=int, default=2, help="real Chromiums beside them")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--home", type=Path, default=ROOT / "build" / "soak-home")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the server ends with it
    asked.home.mkdir(parents=True, exist_ok=True)
    for old in asked.home.glob("runs.sqlite*"):
        old.unlink()
    os.environ["IMU_HOME"] = str(asked.home)
    report = Report()
    with server(asked.home) as (port, process):
        states = asyncio.run(lesson(port, process, asked, report))
    runs, wrong = compared(asked.home)
    report.wrong += wrong
    first, last = (next(numbers for when, *numbers in states if when == name) for name in (EMPTY, LEFT))
    for what, before, after in zip(("memory (MB)", "threads"), first, last, strict=True):
        if after > 1.1 * before:
            report.wrong.append(f"{what} grew from {before:.0f} to {after:.0f}")
    printed(asked, report, states, runs)
    return int(bool(report.wrong))


if __name__ == "__main__":
    sys.exit(main())
