"""`table`: every method at every scope it supports, on equal terms, as Markdown and JSON."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated

import typer

from imu_core import data
from imu_core.cli import app
from imu_core.cli.speaking import JsonFile, check_writable, exit_code, option, say, speaking, stoppable, write_json
from imu_core.experiments.comparison import BASELINE, TARGET, Comparison, Plan, default_url, entries, estimate
from imu_core.experiments.standing import PlanRecord, Standing
from imu_core.metrics.intervals import Seen
from imu_core.report import marked
from imu_core.report.numbers import megabytes, seconds
from imu_core.settings import RUN

SECTION = "table"  # of the document that the table is written into
_EXAMPLES = """\b
Examples:
  python -m imu_core table --dry-run
  python -m imu_core table --markdown assets/docs/results.md --json assets/results/methods.json
  python -m imu_core table --scope head --methods imu,ga,npo --forget class:Sandal --forget class:Bag

It is resumable: what has ended is kept, and the same command goes on from there."""


@app.command("table", epilog=_EXAMPLES)
@speaking
def table_command(
    problem: Annotated[str, typer.Option(help="Dataset.")] = "fashion",
    model: Annotated[str, typer.Option(help="Architecture.")] = "small_resnet",
    methods: Annotated[str, typer.Option(help="Names separated by commas; empty: every method.")] = "",
    forget: Annotated[list[str] | None, typer.Option(help="A request, repeatable; empty: each class.")] = None,
    scope: Annotated[list[str] | None, typer.Option(help="A scope, repeatable; empty: head, last:1 and all.")] = None,
    seeds: Annotated[int, typer.Option(min=1, max=100, help="Seeds at head scope; wider scopes have one.")] = 3,
    target: Annotated[float, option(RUN["stop_at"])] = TARGET,
    workers: Annotated[int, typer.Option(min=1, max=256, help="Processes.")] = os.cpu_count() or 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would cost and end.")] = False,
    stored: Annotated[bool, typer.Option("--stored", help="Run nothing: the table of what is finished already.")] = False,
    markdown_file: Annotated[
        Path | None, typer.Option("--markdown", "--readme", metavar="FILE", dir_okay=False, help="Put the table in its place.")
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Compare all methods: same scope, same search, same depth, all classes, with intervals."""
    check_writable(json_file, markdown_file)
    RUN["stop_at"].check(target, "--target")
    if markdown_file is not None:
        marked.section(markdown_file, SECTION)  # a file without a place for it is said before anything runs
    names = data.load(problem).class_names
    plan = Plan(
        problem,
        model,
        tuple(forget or [f"class:{names[(5 + k) % len(names)]}" for k in range(len(names))]),
        tuple((s, seeds if s == "head" else 1) for s in scope or ("head", "last:1", "all")),
        tuple(entries([m.strip() for m in methods.split(",")] if methods else None)),
        target,
    )
    work = Comparison(plan, default_url(), workers)
    say(_cost(work, plan, workers))
    if dry_run:
        return
    began = time.perf_counter()
    with stoppable(work):
        for fraction, words in () if stored else work:
            say(f"{fraction:4.0%}  {words}")
    rows, reference = work.rows(), work.reference()
    command = "make table"
    text = markdown(rows, reference, plan)
    typer.echo(text)
    say(f"{work.outcome.state}: {work.outcome.reason} {seconds(time.perf_counter() - began, 0)} this time.")
    if rows:
        missing = [f"{e.key} ({s})" for e, s in work.pairs if (e.key, s) not in {(r["key"], r["scope"]) for r in rows}]
        if missing:
            say(f"Not finished: {', '.join(missing)}.")
        write_json(
            json_file, {"command": command, "missing": missing, "plan": _describe(plan), "reference": reference, "rows": rows}
        )
        if markdown_file is not None:
            marked.put(markdown_file, SECTION, text)
            typer.echo(f"Written: {markdown_file}")
    raise typer.Exit(exit_code(work.outcome.state))


def _cost(work: Comparison, plan: Plan, workers: int) -> str:
    searches = sum(len(cells) for cells in work.searching().values())
    seeds = dict(plan.seeds)
    runs = sum(len(plan.requests) * seeds[s] for _, s in work.pairs)
    minutes = estimate(plan, workers) / 60
    return (
        f"{len(work.pairs)} entries and scopes: {searches} runs to search ({plan.budget} values each, {plan.requests[0]}, "
        f"seed 0), {runs} to compare. At most about {minutes:.0f} minutes on {workers} workers from the beginning; what is "
        "stored is not repeated."
    )


def _describe(plan: Plan) -> PlanRecord:
    return {
        "dataset": plan.dataset, "model": plan.model, "requests": list(plan.requests),
        "seeds": [list(pair) for pair in plan.seeds], "target": plan.target, "budget": plan.budget, "baseline": BASELINE,
    }  # fmt: skip


def markdown(rows: list[Standing], reference: dict[str, float], plan: Plan) -> str:
    """The comparison as Markdown, a table for each scope. Intervals are 95 % t-intervals over the requests.

    Methods that reached the target in every run come first, the best of them at the top, then the others.
    """
    parts = []
    for scope, seeds in plan.seeds:
        mine = sorted((r for r in rows if r["scope"] == scope), key=lambda r: (r["reached"] < r["runs"], -r["change"]))
        if not mine:
            continue
        parts.append(
            f"**Scope `{scope}`**: {len(plan.requests)} forget sets, {seeds} seed{'s' if seeds > 1 else ''}, each stopped at "
            f"{100 * plan.target:g} % forget accuracy.\n\n"
            "| method | sees | got there | forget, % | change, points | against GA | value (oracle's) | seconds | MB |\n"
            "|---|---|--:|--:|--:|---|--:|--:|--:|"
        )
        if reference:
            change, half = 100 * reference["change"], 100 * reference["half"]
            parts.append(f"| *retrained* | | | | {change:+.2f} ± {half:.2f} | | | | |")
        always = [r for r in mine if r["reached"] == r["runs"]]
        parts += [_line(r) for r in always]
        if len(always) < len(mine):
            parts += ["| *did not always get there:* | | | | | | | | |", *(_line(r) for r in mine[len(always) :])]
        parts.append("")
    return "\n".join(parts)


def _line(r: Standing) -> str:
    sees = " + ".join(name.replace("_", " ") for name in r["saw"])
    against = r.get("against")
    words = "" if against is None else f"{100 * against['mean']:+.2f} ± {100 * against['half']:.2f}"
    words += f", {Seen.NOT_SEEN}" if against and against["words"] == Seen.NOT_SEEN else ""
    return (
        f"| {r['title']} | {sees} | {r['reached']}/{r['runs']} | {100 * r['forget']:.1f} | {100 * r['change']:+.2f} ± "
        f"{100 * r['half']:.2f} | {words} | {r['value']:g} ({r['oracle']:g}) | {r['seconds']:.1f} | "
        f"{megabytes(r['peak_bytes'])} |"
    )
