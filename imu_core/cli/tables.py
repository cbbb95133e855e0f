"""`tables`: the IMU paper's tables and figures again, beside its own numbers; resumable, at most an hour unless asked."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from imu_core import runtime
from imu_core.cli import app
from imu_core.cli.speaking import check_writable, exit_code, fetch, say, speaking, stoppable, write_json
from imu_core.errors import CheckpointError
from imu_core.experiments.comparison import default_url
from imu_core.paper import record as records
from imu_core.paper.readable import markdown
from imu_core.paper.shapes import TablesRecord
from imu_core.paper.work import MINUTES, Reproduction
from imu_core.report.numbers import duration, seconds

_EXAMPLES = """\b
Examples:
  python -m imu_core tables --dry-run
  python -m imu_core tables
  python -m imu_core tables --full --workers 4
  python -m imu_core tables --problem fashion --model small_resnet --head-only
  python -m imu_core tables --stored

It is resumable: what has ended is kept, and the same command goes on from there."""


@app.command("tables", epilog=_EXAMPLES)
@speaking
def tables_command(
    problem: Annotated[str, typer.Option(help="Dataset.")] = "cifar10",
    model: Annotated[str, typer.Option(help="Architecture; resnet18 where a GPU has trained one.")] = "airbench",
    full: Annotated[bool, typer.Option("--full", help="Do not stop after the minutes.")] = False,
    minutes: Annotated[float, typer.Option(min=0.01, max=100_000, help="After how many it stops by itself.")] = MINUTES,
    head_only: Annotated[bool, typer.Option("--head-only", help="Leave out the rows where other layers move.")] = False,
    sets: Annotated[int | None, typer.Option(min=1, help="At most so many forget sets of each kind; all unless said.")] = None,
    workers: Annotated[int, typer.Option(min=1, max=256, help="Processes.")] = os.cpu_count() or 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would cost and end.")] = False,
    stored: Annotated[bool, typer.Option("--stored", help="Run nothing: the tables of what is finished already.")] = False,
    json_file: Annotated[Path, typer.Option("--json", dir_okay=False, help="Where the tables go.")] = records.PATH,
    readable: Annotated[Path | None, typer.Option("--markdown", dir_okay=False, help="The same to read.")] = None,
) -> None:
    """Run what the tables of the paper ask for, most telling first, and put the results beside the paper's."""
    check_writable(json_file, readable)
    before = records.load(json_file)
    fetch(problem)
    say(f"Reading {problem}, {model} and its features.")
    work = _work(problem, model, workers, None if full else minutes, wide=not head_only, sets=sets)
    if not stored:
        _say_cost(work, workers, None if full else minutes)
    if dry_run:
        return
    if not stored:
        _follow(work)
    say("Reading the runs and making the figures.")
    old = next((r for r in before if (r["dataset"], r["model"]) == (problem, model)), {"figures": {}})
    record = work.record(old["figures"] if stored and old["figures"] else work.figures())
    made = records.as_json(records.merged(before, record))
    write_json(json_file, made)
    _write_markdown(readable, markdown(made["records"]))  # from what the file holds, so that both say the same
    _say_missing(record)
    raise typer.Exit(exit_code(work.outcome.state))


def _work(problem: str, model: str, workers: int, minutes: float | None, **more: Any) -> Reproduction:
    try:
        return Reproduction(problem, model, default_url(), workers, minutes, **more)
    except CheckpointError as error:
        instead = "python -m imu_core tables --problem fashion --model small_resnet"
        raise CheckpointError(f"{error} On the set that ships the tables can be made at once: {instead}") from error


def _say_cost(work: Reproduction, workers: int, minutes: float | None) -> None:
    """Write to stderr, before anything is done, what there is to do and how long it may take, stage by stage."""
    planned = work.plan()
    for stage, total, todo, cost in planned:
        rest = f"{todo} to do, about {duration(cost / workers)}" if todo else "all stored"
        say(f"  {stage.name}: {total} runs, {rest}")
    left = work.comparisons()
    if left:
        say(f"  Figure 2: {left} comparisons through all layers to do, some minutes each, one after the core and the others last")
    total = sum(cost for *_, cost in planned) / workers
    if not total and not left:
        say("Every run is stored already.")
        return
    limit = "" if minutes is None or 60 * minutes >= total else f" It stops after {minutes:g} minutes; --full goes to the end."
    say(f"About {duration(total)} on {workers} workers in all, by stored runs of the same kind or by timing here.{limit}")


def _follow(work: Reproduction) -> None:
    began = time.perf_counter()
    with stoppable(work):
        for fraction, words in work:
            say(f"{fraction:4.0%}  {words}")
    say(f"{work.outcome.state}: {work.outcome.reason} {seconds(time.perf_counter() - began, 0)} this time.")


def _write_markdown(path: Path | None, text: str) -> None:
    if path is not None:
        runtime.write_whole(path, lambda part: part.write_text(text, encoding="utf-8"))
        typer.echo(f"Written: {path}")


def _say_missing(record: TablesRecord) -> None:
    for name, table in record["tables"].items():
        done = sum(row["role"] != "model" for row in table["rows"])
        typer.echo(
            f"{records.label(name)}: {done} rows" + (f", {len(table['missing'])} things missing" if table["missing"] else "")
        )
        for item in table["sentences"][:1]:
            typer.echo(f"  {item['words']}")
