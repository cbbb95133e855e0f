"""`runs`: the database of runs: list, show, export, import, delete, restore, check."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from imu_core import runtime
from imu_core.cli import app
from imu_core.cli.speaking import JsonFile, check_writable, say, speaking, write_csv, write_json
from imu_core.errors import DataError, cut
from imu_core.experiments.sweep_table import table
from imu_core.report.numbers import percent
from imu_core.store.runs import Store, Summary, default_url

_LARGEST = 256 << 20  # bytes of an import

_EXAMPLES = """\b
Examples:
  python -m imu_core runs list --text sandal --tag talk
  python -m imu_core runs show 3f9a
  python -m imu_core runs export 3f9a 77c1 --out runs.json
  python -m imu_core runs import runs.json
  python -m imu_core runs delete 3f9a        (runs restore 3f9a brings it back)
  python -m imu_core runs check

The database is runs.sqlite in the folder IMU_HOME, or whatever IMU_DATABASE_URL names."""

runs_app = typer.Typer(
    help="Stored runs: list, show, name, tag, export, import, delete, restore, check.",
    epilog=_EXAMPLES,
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(runs_app, name="runs")

RunId = Annotated[str, typer.Argument(metavar="ID", help="An id, or its first characters (at least four).")]
RunIds = Annotated[list[str], typer.Argument(metavar="ID...", help="Ids, or their first characters (at least four).")]


@runs_app.command("list", short_help="What is stored, newest first.")
@speaking
def list_command(
    text: Annotated[str, typer.Option(help="Words in the name, request, method, model, data set or tags.")] = "",
    method: Annotated[str | None, typer.Option(help="Runs of this method alone.")] = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", metavar="WORD", help="Runs with this tag; repeatable.")] = None,
    deleted: Annotated[bool, typer.Option("--deleted", help="The deleted ones instead.")] = False,
    limit: Annotated[int, typer.Option(metavar="INTEGER", min=1, max=100_000, help="At most so many.")] = 50,
    csv_file: Annotated[Path | None, typer.Option("--csv", metavar="FILE", dir_okay=False, help="One row a run.")] = None,
    json_file: JsonFile = None,
) -> None:
    """List stored runs, newest first."""
    check_writable(csv_file, json_file)
    store, wanted = Store(), {"text": text, "method": method, "tags": tag or (), "deleted": deleted}
    runs = store.search(**wanted, limit=limit)
    if runs:
        typer.echo(heading())
    for run in runs:
        typer.echo(line(run))
    typer.echo(f"{len(runs):,} of {store.count(**wanted):,} runs{' that were deleted' if deleted else ''} in {store.place}.")
    write_csv(csv_file, table(runs))
    write_json(json_file, {"runs": table(runs)})


def heading() -> str:
    """The titles of the columns in the lines that `line` writes."""
    return f"{'id':<8}  {'when':<16}  {'method':<12} {'scope':<7} {'state':<9} {'forget':>7} {'test':>7} {'seconds':>8}  what"


def line(run: Summary) -> str:
    """A stored run in one line: accuracies in percent, seconds without its measurement."""
    when = datetime.fromtimestamp(run.created).strftime("%Y-%m-%d %H:%M")
    numbers = " ".join(f"{_cell(run.accuracies.get(place)):>7}" for place in ("forget", "test"))
    what = f"{run.forget[:40]} on {run.dataset}/{run.model_name}, seed {run.seed}"
    extra = "".join(f"  {part}" for part in (run.name, " ".join(f"#{tag}" for tag in run.tags)) if part)
    start = f"{run.id[:8]}  {when}  {run.method:<12} {run.scope:<7} {run.state:<9} {numbers} {run.seconds:>8.2f}"
    return f"{start}  {what}{extra}"


def _cell(fraction: float | None) -> str:
    return "" if fraction is None else percent(fraction)


@runs_app.command("show", short_help="One run: what it was, how it ended, its numbers.")
@speaking
def show_command(run_id: RunId, json_file: JsonFile = None) -> None:
    """Show one stored run; --json writes its whole record."""
    check_writable(json_file)
    store = Store()
    run = store.get(store.resolve(run_id))
    for name, value in _facts(run):
        typer.echo(f"{name:<10} {value}")
    record = run.trajectory.to_dict()
    write_json(json_file, {"id": run.id, "key": run.key, "name": run.name, "tags": list(run.tags), **record})


def _facts(run: Any) -> list[tuple[str, str]]:
    given = ", ".join(f"{name}={value}" for name, value in run.settings.items())
    accuracies = ", ".join(f"{name} {percent(value)}" for name, value in run.accuracies.items() if value is not None)
    size = f"{len(run.parameters):,} bytes" if run.parameters is not None else "not stored"
    deleted = [("deleted", datetime.fromtimestamp(run.deleted).isoformat(" ", "seconds"))] if run.deleted else []
    return [
        ("id", run.id),
        ("name", run.name or "none"),
        ("tags", ", ".join(run.tags) or "none"),
        ("created", datetime.fromtimestamp(run.created).isoformat(" ", "seconds")),
        *deleted,
        ("problem", f"{run.dataset}/{run.model_name}, {run.forget}, seed {run.problem_seed}"),
        ("settings", given),
        ("outcome", f"{run.state}. {run.trajectory.outcome.reason}"),
        ("points", f"{len(run.trajectory.points):,}"),
        ("seconds", f"{run.seconds:.3f}"),
        ("accuracy", accuracies or "none"),
        ("measured", run.depth),
        ("parameters", size),
    ]


@runs_app.command("export", short_help="Runs with everything, as JSON.")
@speaking
def export_command(
    run_ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID...]", help="All that are not deleted, unless named.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", dir_okay=False, help="Else to stdout.")] = None,
) -> None:
    """Write runs with their trajectories, metrics and parameters, so that `runs import` can read them elsewhere."""
    check_writable(out)
    store = Store()
    ids = [store.resolve(start) for start in run_ids] if run_ids else [run.id for run in store.search(limit=None)]
    text = store.export(ids)
    if out is None:
        typer.echo(text, nl=False)
        return
    runtime.write_whole(out, lambda part: part.write_text(text, encoding="utf-8"))
    say(f"{len(ids):,} runs written: {out}")


@runs_app.command("import", short_help="Take in exported runs, all or none.")
@speaking
def import_command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `runs export` wrote; - reads stdin.")],
) -> None:
    """Take in what `runs export` wrote. Everything is checked first; nothing is stored if anything is wrong."""
    try:
        content = sys.stdin.buffer.read(_LARGEST + 1) if str(file) == "-" else runtime.read_bytes(file, _LARGEST)
        if len(content) > _LARGEST:
            raise DataError(f"What comes in has more than {_LARGEST >> 20} MiB. Export fewer runs at once.")
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{cut(str(file), 200, 60)} is no text in UTF-8, so it is no export of runs.") from error
    ids = Store().import_(text)
    for run_id in ids:
        typer.echo(run_id)
    say(f"{len(ids):,} runs are here now.")


@runs_app.command("delete", short_help="Hide runs; restore brings them back.")
@speaking
def delete_command(run_ids: RunIds) -> None:
    """Delete runs. They are hidden, and `runs restore` brings them back until `runs purge`."""
    store = Store()
    ids = [store.resolve(start) for start in run_ids]
    store.delete(*ids)
    typer.echo(f"Deleted: {', '.join(ids)}. Undo: python -m imu_core runs restore {' '.join(run_id[:8] for run_id in ids)}")


@runs_app.command("restore", short_help="Bring deleted runs back.")
@speaking
def restore_command(run_ids: RunIds) -> None:
    """Bring deleted runs back."""
    store = Store()
    ids = [store.resolve(start) for start in run_ids]
    store.restore(*ids)
    typer.echo(f"Restored: {', '.join(ids)}.")


@runs_app.command("purge", short_help="Remove deleted runs for good.")
@speaking
def purge_command(
    older: Annotated[float, typer.Option("--older", metavar="DAYS", min=0, help="Deleted longer ago than this.")] = 30.0,
) -> None:
    """Remove for good what was deleted more than --older days ago. This cannot be undone."""
    typer.echo(f"{Store().purge(older * 86_400):,} runs removed for good.")


@runs_app.command("name", short_help="Call a run something.")
@speaking
def name_command(run_id: RunId, name: Annotated[str, typer.Argument(help="Empty to take the name away.")]) -> None:
    """Give a stored run a name."""
    store = Store()
    store.rename(store.resolve(run_id), name)


@runs_app.command("tag", short_help="Give a run these tags and no others.")
@speaking
def tag_command(run_id: RunId, tags: Annotated[list[str] | None, typer.Argument(metavar="[WORD...]")] = None) -> None:
    """Replace the tags of a stored run."""
    store = Store()
    store.tag(store.resolve(run_id), tags or ())


@runs_app.command("check", short_help="Can everything in the database be read?")
@speaking
def check_command() -> None:
    """Check the database file and every record in it; exit code 1 when something is wrong."""
    store = Store(default_url())
    problems = store.integrity()
    for problem in problems:
        typer.echo(problem)
    typer.echo(f"{store.count():,} runs in {store.place}: {'all can be read' if not problems else f'{len(problems)} problems'}.")
    raise typer.Exit(int(bool(problems)))
