"""`sweep`: many runs at once, each stored as it ends; stopped or killed, the same command goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from imu_core.cli import app
from imu_core.cli.runs import heading, line
from imu_core.cli.speaking import (
    JsonFile,
    Name,
    Plugins,
    Settings,
    Tags,
    assignments,
    check_writable,
    fetch,
    load_plugins,
    say,
    speaking,
    stoppable,
    write_csv,
    write_json,
)
from imu_core.experiments.sweep import Cell, Sweep, cells, plugin_files, read_spec
from imu_core.experiments.sweep_table import table
from imu_core.store.stored import Measure

_EXAMPLES = """\b
Examples:
  python -m imu_core sweep --methods imu,ga,npo --forget class:Sandal --forget class:Bag --seeds 0-4
  python -m imu_core sweep --methods npo --set beta=0.5,1,2 --scope head,last:1 --dry-run
  python -m imu_core sweep sweep.yaml --workers 4 --csv results.csv
  python -m imu_core sweep sweep.yaml --cluster tcp://host:8786

A file says the same in YAML (options override it):
  methods: [imu, ga, npo]
  forget: ["class:Sandal", "random:10%"]
  seeds: 0-4
  settings: {stop_at: [0.02, 0.1]}
  overrides: {npo: {beta: [0.5, 1]}}

What is stored already is not run again: stopped with Ctrl-C or killed, the same command goes on where it was. Exit codes: 0
done, 1 a run failed, 2 an argument cannot be used, 130 stopped by Ctrl-C."""


def _option(name: str, words: str, metavar: str = "LIST") -> Any:
    return Annotated[str | None, typer.Option(name, metavar=metavar, help=words)]


@app.command("sweep", epilog=_EXAMPLES)
@speaking
def sweep_command(
    context: typer.Context,
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", dir_okay=False, help="The sweep in YAML.")] = None,
    problem: _option("--problem", "Data sets, separated by commas.") = None,
    model: _option("--model", "Architectures.") = None,
    method: _option("--methods", "Methods, such as imu,ga.") = None,
    forget: Annotated[list[str] | None, typer.Option("--forget", metavar="REQUEST", help="What to forget; repeatable.")] = None,
    seed: _option("--seeds", "Seeds of the runs, such as 0-4 or 0,3.") = None,
    problem_seed: _option("--problem-seeds", "Seeds of the problems.") = None,
    scope: _option("--scope", "Scopes, such as head,last:1.") = None,
    preset: _option("--preset", "Where settings start.") = None,
    settings: Settings = None,
    plugins: Plugins = None,
    measure: Annotated[str | None, typer.Option(help=f"Of each run: {', '.join(Measure)}. full takes seconds a run.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes on this machine; one a core unless said.")] = None,
    cluster: Annotated[str | None, typer.Option(metavar="ADDRESS", help="A Dask scheduler instead, tcp://host:port.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Store the changed parameters too.")] = False,
    retry: Annotated[bool, typer.Option("--retry", help="Try runs again that are stored as failed.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would run and how long that may take, and stop.")] = False,
    name: Name = "",
    tags: Tags = None,
    csv_file: Annotated[Path | None, typer.Option("--csv", metavar="FILE", dir_okay=False, help="One row a run.")] = None,
    json_file: JsonFile = None,
) -> None:
    """Run every combination of problems, methods, scopes, seeds and settings, and store each run as it ends."""
    check_writable(csv_file, json_file)
    spec = _spec(context.params)
    work = _sweep(spec, context.params)
    plan = work.plan()
    say(plan.words())
    if dry_run:
        for cell in work.cells:
            typer.echo(f"{cell.title}  {_settings(cell)}")
        return
    _follow(work)
    runs = work.results
    typer.echo(heading())
    for run in runs:
        typer.echo(line(run))
    rows = table(runs)
    write_csv(csv_file, rows)
    write_json(json_file, {"outcome": vars(work.outcome), "total": len(work.cells), "runs": rows})
    say(work.outcome.reason)
    failed = work.outcome.state == "failed" or any(run.state == "failed" for run in runs)
    raise typer.Exit(130 if work.outcome.state == "cancelled" else int(failed))


def _spec(values: Mapping[str, Any]) -> dict[str, Any]:
    """The file's description with the options put over it; what it needs is fetched first."""
    spec = read_spec(values["file"] or {})
    for part in ("problem", "model", "method", "scope", "preset"):
        if values[part] is not None:
            spec[part] = [piece.strip() for piece in values[part].split(",")]
    for part in ("forget", "seed", "problem_seed", "measure", "name", "tags"):
        if values[part]:
            spec[part] = values[part]
    grid: dict[str, Any] = {name: text.split(",") for name, text in assignments(values["settings"]).items()}
    spec["settings"] = {**(spec.get("settings") or {}), **grid}
    spec["plugins"] = [*plugin_files(spec), *map(str, values["plugins"] or ())]
    for dataset in _texts(spec.get("problem", ())):
        fetch(dataset)
    return spec


def _texts(value: Any) -> Sequence[str]:
    return [piece for piece in ([value] if isinstance(value, str) else value) if isinstance(piece, str)]


def _sweep(spec: Mapping[str, Any], values: Mapping[str, Any]) -> Sweep:
    load_plugins([Path(file) for file in spec["plugins"]])
    say("Checking names and reading the models' features.")
    return Sweep(
        cells(spec),
        workers=values["workers"],
        cluster=values["cluster"],
        measure=spec.get("measure", "quick"),
        name=str(spec.get("name") or ""),
        tags=_texts(spec.get("tags") or ()),
        plugins=spec["plugins"],
        keep=values["keep"],
        retry=values["retry"],
    )


def _settings(cell: Cell) -> str:
    changed = {k: v for k, v in cell.config.changed().items() if k not in ("method", "scope", "seed", "options")}
    return " ".join(f"{name}={value}" for name, value in (changed | cell.config.options).items())


def _follow(work: Sweep) -> None:
    """A line on stderr for every run that ends; Ctrl-C stops the sweep, and the workers hear of it from us alone."""
    with stoppable(work):
        for fraction, words in work:
            say(f"{fraction:4.0%}  {words}")
