"""How fast the engine and the pages are, side by side in one run: make bench, or python tests/benchmarks/bench.py --help.

Everything is a median or the best of repetitions; what is compared is interleaved, so that a busy machine slows both sides
alike, and the larger stages say the seconds of the processor beside those of the clock. Nothing is asserted: the table says
what was measured, what it is compared with, and what the goal was. Each part is written as it ends, with the load beside it;
`--only` measures some parts again, `--missing` those that a stopped run has left.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch: beside another job, threads that spin cost a hundredfold

import stages
import tables
import torch
from stages import Row

import imu_core
from imu_core.influence import ESTIMATORS, head_scores
from imu_core.records.run import Problem, RunConfig
from imu_core.report import marked

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = Path("/usr/bin/chromium")
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PAGES = {name: name for name in stages.INTERACTIONS if name != "start"} | {"start": ""}
FIVE_EPOCHS = {"scope": "head", "epochs": 5, "batch_size": 256, "schedule": "constant"}


def interleaved(works: dict[str, Callable[[], float]], repeats: int) -> dict[str, float]:
    """Median of what each of `works` returns (seconds), all of them once a round; the first round only warms up."""
    found: dict[str, list[float]] = {name: [] for name in works}
    for number in range(repeats + 1):
        for name, work in works.items():
            seconds = work()
            if number:
                found[name].append(seconds)
    return {name: median(seconds) for name, seconds in found.items()}


def timed(work: Callable[[], object]) -> float:
    """Wall seconds of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


# --------------------------------------------------------------------------------------------------------------- engine


def whole_run(problem: Problem, config: RunConfig) -> imu_core.Run:
    """A run taken to its end."""
    run = imu_core.unlearn(problem, config)
    for _ in run:
        pass
    return run


def own_seconds(problem: Problem, config: RunConfig) -> float:
    """Seconds a method itself takes, influence included: the run without the judging, which is the same for every method."""
    phases = whole_run(problem, config).phases
    return phases["prepare"] + phases["steps"]


def bench_methods(problem: Problem, repeats: int) -> Iterator[Row]:
    """IMU against GA with identical settings: whole runs judged at every step, and what the methods take themselves."""
    configs = {name: RunConfig(method=name, **FIVE_EPOCHS) for name in ("ga", "imu", "npo")}
    sides = {
        "whole run, judged every step": lambda config: timed(lambda: whole_run(problem, config)),
        "method alone, without judging": lambda config: own_seconds(problem, config),
    }
    for title, measure in sides.items():
        found = interleaved({name: lambda c=c, m=measure: m(c) for name, c in configs.items()}, repeats)
        for name, seconds in found.items():
            goal = "goal at most 1.25; the paper reports 2" if name == "imu" else ""
            yield Row("5 epochs, head", f"{name}: {title}", seconds, repeats, seconds / found["ga"], "ga", goal)


def bench_influence(problem: Problem, repeats: int) -> Iterator[Row]:
    """The influence pass alone, each estimator on the same forget set."""
    index, head = problem.split.forget, problem.head
    Z, labels, total = problem.train.Z[index], problem.train.labels[index], len(problem.dataset.train)

    def work(name: str) -> float:
        return timed(lambda: head_scores(Z, labels, head.weight, head.bias, total=total, estimator=name))

    found = interleaved({name: lambda n=name: work(n) for name in ESTIMATORS}, repeats)
    size = f"{len(index):,} samples, {Z.shape[1]} features"
    for name, seconds in found.items():
        yield Row("influence", name, seconds, repeats, seconds / found["diagonal"], "diagonal", size)


def bench_accuracies(problem: Problem, repeats: int) -> Iterator[Row]:
    """Five epochs on the head, with the accuracies on all of forget, retain and test at every epoch."""
    batches = -(-len(problem.split.forget) // FIVE_EPOCHS["batch_size"])
    configs = {name: RunConfig(method=name, eval_every=batches, **FIVE_EPOCHS) for name in ("ga", "imu")}
    found = interleaved({name: lambda c=c: timed(lambda: whole_run(problem, c)) for name, c in configs.items()}, repeats)
    points = whole_run(problem, configs["imu"]).points
    note = f"{len(points)} points, each on {', '.join(f'{n} {s:,}' for n, s in sizes(problem).items())}; goal below 1 s"
    for name, seconds in found.items():
        yield Row("5 epochs, judged each", name, seconds, repeats, seconds / found["ga"], "ga", note if name == "imu" else "")


def sizes(problem: Problem) -> dict[str, int]:
    """Samples behind each accuracy."""
    return {"forget": len(problem.split.forget), "retain": len(problem.split.retain), "test": len(problem.test.labels)}


# ---------------------------------------------------------------------------------------------------------------- pages


@contextmanager
def server() -> Iterator[str]:
    """The app on a free port of this machine, for as long as the block lasts; yields its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.address", "127.0.0.1", "--server.port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        wait_until_healthy(address, process)
        yield address
    finally:
        process.terminate()
        process.wait(timeout=20)


def wait_until_healthy(address: str, process: subprocess.Popen[bytes]) -> None:
    """Return once the server answers; RuntimeError when it ends or stays silent for a minute."""
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/_stcore/health", timeout=2):
                return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError("the app did not start")


HEADING = '[data-testid="stMain"] h1, [data-testid="stMain"] h2'
QUIET = '[data-testid="stApp"][data-test-script-state="notRunning"]'
CURVES = ".stage .curves canvas"  # what a visitor sees move
CHANGED = "([canvas, before]) => canvas.toDataURL() !== before"


def bench_pages(repeats: int) -> Iterator[Row]:
    """First paint of each page in a warm server, and the time from the click on Run to the first point that moves."""
    reason = missing_browser()
    if reason:
        yield Row("pages", "not measured", None, 0, note=reason)
        return
    from playwright.sync_api import Error, sync_playwright

    try:
        with server() as address, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=CHROMIUM_ARGUMENTS)
            page = browser.new_page(viewport={"width": 1400, "height": 900})
            for name, path in PAGES.items():
                yield from attempt(lambda n=name, p=path: paint(page, n, f"{address}/{p}", repeats), f"{name} page", Error)
            yield from attempt(lambda: click_to_move(page, f"{address}/unlearn", repeats), "Run to first moving point", Error)
            browser.close()
    except (RuntimeError, Error) as error:
        yield Row("pages", "not measured", None, 0, note=first_line(error))


def missing_browser() -> str:
    """Why the pages cannot be measured here, or nothing."""
    if not (ROOT / "app.py").exists():
        return "there is no app.py"
    if not CHROMIUM.exists():
        return f"{CHROMIUM} is missing"
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        return "playwright is not installed"
    return ""


def attempt(measure: Callable[[], list[Row]], what: str, error_type: type[Exception]) -> list[Row]:
    """The rows of `measure`, or one that says why there are none."""
    try:
        return measure()
    except error_type as error:
        return [Row("pages", what, None, 0, note=first_line(error))]


def first_line(error: Exception) -> str:
    """What went wrong, in a line."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def paint(page: Any, name: str, address: str, repeats: int) -> list[Row]:
    """Seconds from navigation to the page's heading, and to the end of its script; the first visit only warms up."""
    heading, quiet = [], []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        page.goto(address, wait_until="commit")
        page.wait_for_selector(HEADING, timeout=60_000)
        heading.append(time.perf_counter() - start)
        page.wait_for_selector(QUIET, timeout=60_000)
        quiet.append(time.perf_counter() - start)
    return [
        Row("pages", f"{name}: first paint, warm", median(heading[1:]), repeats, note=f"cold {heading[0]:.2f} s"),
        Row("pages", f"{name}: complete, warm", median(quiet[1:]), repeats, note=f"cold {quiet[0]:.2f} s"),
    ]


def click_to_move(page: Any, address: str, repeats: int) -> list[Row]:
    """Seconds from the click on Run to the first change that a visitor sees; the first click only warms up."""
    found = []
    for number in range(repeats + 1):
        page.goto(f"{address}?run_seed={number + 1}&measure=false")  # a seed of its own, or the end looks like the example
        page.wait_for_selector(HEADING, timeout=60_000)
        page.wait_for_selector(QUIET, timeout=60_000)
        page.wait_for_timeout(1500)  # charts draw themselves after the script has ended
        curves = page.locator(CURVES).element_handle()
        before = curves.evaluate("canvas => canvas.toDataURL()")
        start = time.perf_counter()
        page.get_by_role("button", name="Run", exact=True).click(timeout=10_000)
        page.wait_for_function(CHANGED, arg=[curves, before], timeout=30_000, polling="raf")
        found.append(time.perf_counter() - start)
    return [Row("pages", "unlearn: Run to first moving point", median(found[1:]), repeats, note="goal below 1 s")]


# ---------------------------------------------------------------------------------------------------------------- table


SECTION = "bench"  # of the document that the tables are written into
COMMAND = "make bench"


def show(row: Row) -> None:
    """Print one line of the table."""
    ratio = "" if row.ratio is None else f"{row.ratio:.2f} x {row.against}"
    more = [f"{duration(row.processor)} of processor"] if row.processor is not None else []
    more += [f"{row.bytes / 1e6:,.0f} MB"] if row.bytes is not None else []
    more += [f"Spearman {row.spearman:.6f}"] if row.spearman is not None else []
    note = "; ".join([*more, row.note])
    print(
        f"{row.part:<22} {row.what:<42} {duration(row.seconds):>10} {row.repeats or '':>4}  {ratio:<18} {note}".rstrip(),
        flush=True,
    )


def duration(seconds: float | None) -> str:
    """0.0123 to '12.3 ms', 12.3 to '12.30 s'."""
    return "-" if seconds is None else f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def processor() -> str:
    """What the machine calls its processor."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def environment() -> dict[str, Any]:
    """What the figures depend on."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "load": round(os.getloadavg()[0], 1),
    }


def small(options: argparse.Namespace) -> Problem:
    """The problem of the parts that measure what the embedded set takes."""
    return imu_core.problem("fashion", model="small_resnet", forget=options.forget)


PARTS: dict[str, Callable[[argparse.Namespace], Iterator[Row]]] = {
    "methods": lambda o: bench_methods(small(o), o.repeats),
    "influence": lambda o: bench_influence(small(o), o.repeats),
    "evaluation": lambda o: bench_accuracies(small(o), o.repeats),
    "scopes": lambda o: stages.bench_scopes(o.visits),
    "libraries": lambda o: stages.bench_libraries(),
    "curves": lambda o: stages.bench_curves(),
    "server": lambda o: stages.bench_server(o.visits),
    "features": lambda o: stages.bench_features(),
    "pages": lambda o: bench_pages(o.visits),
    "full": lambda o: stages.bench_full(),
}


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line of the benchmark."""
    parser = argparse.ArgumentParser(description="Measure the engine and the pages, side by side; print a table.")
    parser.add_argument("--repeats", type=int, default=15, help="repetitions of each small engine measurement (default 15)")
    parser.add_argument("--visits", type=int, default=5, help="warm visits of each page, runs at each scope (default 5)")
    parser.add_argument("--forget", default="class:Sandal", help="forget request on the embedded set (default class:Sandal)")
    parser.add_argument("--only", default=",".join(PARTS), help=f"parts to measure (default all: {','.join(PARTS)})")
    parser.add_argument("--missing", action="store_true", help="leave out the parts that the JSON file holds already")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write each part as it ends; other parts in the file stay")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw the curves as a PNG")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help=f"put the tables into its section {SECTION}")
    options = parser.parse_args(arguments)
    unknown = set(options.only.split(",")) - set(PARTS)
    if unknown:
        parser.error(f"--only names {', '.join(sorted(unknown))}; the parts are {', '.join(PARTS)}")
    return options


def measure(part: str, options: argparse.Namespace) -> dict[str, Any]:
    """One part: its rows, printed as they are measured, and what they depend on."""
    about, rows = environment(), []
    print(", ".join(f"{name} {value}" for name, value in about.items()))
    for row in PARTS[part](options):
        rows.append(asdict(row))
        show(row)
    return {**about, "load_after": round(os.getloadavg()[0], 1), "rows": rows}


def main() -> None:
    """Measure, print, and write what was asked for."""
    options = parse()
    kept = json.loads(options.json.read_text()).get("parts", {}) if options.json and options.json.exists() else {}
    print(f"{'part':<22} {'what':<42} {'seconds':>10} {'n':>4}  {'ratio':<18} note")
    for part in options.only.split(","):
        if options.missing and part in kept:
            continue
        kept[part] = measure(part, options)
        if options.json:
            text = json.dumps({"command": COMMAND, "parts": {p: kept[p] for p in PARTS if p in kept}}, indent=1) + "\n"
            imu_core.runtime.write_whole(options.json, lambda file, text=text: file.write_text(text))
    if options.picture and "curves" in kept:
        stages.picture(kept["curves"]["rows"], options.picture)
    if options.markdown:
        marked.put(options.markdown, SECTION, tables.markdown(kept))


if __name__ == "__main__":
    main()
