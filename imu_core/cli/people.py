"""`reid`: every scope and batch-norm mode, judged by searching for the person. `people`: write the synthetic set."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from imu_core.cli import app
from imu_core.cli.speaking import (
    JsonFile,
    ProblemSeed,
    check_writable,
    exit_code,
    load,
    option,
    say,
    speaking,
    stoppable,
    write_json,
)
from imu_core.data import people
from imu_core.evaluation import reidentification, scopes
from imu_core.evaluation.reidentification import Found
from imu_core.evaluation.scopes import SideBySide
from imu_core.methods import METHODS, PRESETS
from imu_core.problems.forget import GRAMMAR
from imu_core.records.shapes import ScopeRow
from imu_core.report.numbers import percent
from imu_core.report.verdicts import side_by_side_verdict
from imu_core.settings import RUN

_REID_EXAMPLES = """\b
Examples:
  python -m imu_core reid --forget identity:0005
  python -m imu_core reid --forget identity:0011 --method ga --json scopes.json

mAP and rank-k follow Market-1501's protocol. The person's own queries come from cameras that were kept out of training."""


@app.command("reid", epilog=_REID_EXAMPLES)
@speaking
def reid_command(
    context: typer.Context,
    problem: Annotated[
        str, typer.Option("--problem", help="A set of people: people, faces, market, or market:FOLDER.")
    ] = "people",
    model: Annotated[str, typer.Option("--model", help="Architecture.")] = "reid_resnet18",
    forget: Annotated[str, typer.Option("--forget", metavar="REQUEST", help=f"Whom to forget: {GRAMMAR}.")] = "identity:0005",
    problem_seed: ProblemSeed = 0,
    method: Annotated[str, typer.Option(help=f"One of {', '.join(METHODS)}.")] = "imu",
    preset: Annotated[str, typer.Option(help=f"One of {', '.join(PRESETS)}.")] = "gentle",
    json_file: JsonFile = None,
) -> None:
    """Forget at three scopes and in both batch-norm modes, and search for the person with every result."""
    check_writable(json_file)
    case = load(context.params)
    known = reidentification.references(case)
    work = SideBySide(case, method, preset)
    typer.echo(_HEADING)
    for name, search in known.items():
        typer.echo(_line(name, "", search.numbers()))
    with stoppable(work):
        shown = 0
        for _ in work:
            for row in work.rows[shown:]:
                typer.echo(_row(row))
            shown = len(work.rows)
    if work.outcome.state != "done":
        say(work.outcome.reason)
        raise typer.Exit(exit_code(work.outcome.state))
    numbers = {name: search.numbers() for name, search in known.items()}
    typer.echo(_queries(known["original"]))
    typer.echo(f"Raw pixels, without a network: {percent(reidentification.pixels_alone(case.dataset).map)} mAP of unseen people.")
    typer.echo(side_by_side_verdict(work.rows, numbers))
    write_json(json_file, scopes.as_record(work, known))


_COLUMNS = {
    "map": "mAP",
    "rank1": "rank-1",
    "rank5": "rank-5",
    "person_map": "person",
    "person_rank1": "rank-1",
    "test_other": "others",
}
_HEADING = f"{'scope':<10} {'bn':<6}" + "".join(f"{title:>8}" for title in _COLUMNS.values()) + "   features     drift  seconds"


def _line(scope: str, mode: str, values: dict[str, float] | ScopeRow) -> str:
    cells = "".join(f"{100 * values[key]:>8.1f}" if key in values else f"{'':>8}" for key in _COLUMNS)
    return f"{scope:<10} {mode:<6}{cells}"


def _row(row: ScopeRow) -> str:
    same = "identical" if row["same_features"] else "changed"
    return f"{_line(row['scope'], row['bn'], row)}   {same:<10} {row['drift']:>7.3f} {row['seconds']:>8.1f}"


def _queries(search: Found) -> str:
    mine = f"{search.person.queries} queries of the person" if search.person else search.why
    return f"Percent. {search.unseen.queries} queries of unseen people; {mine}."


_SEED = dataclasses.replace(RUN["seed"], help="Draws everybody and every shot.")
_PEOPLE_EXAMPLES = """\b
Example:
  python -m imu_core people --out people
  IMU_DATA=. python -m imu_core train --problem market:people --model reid_resnet18

Nobody in these images exists: they are drawn from a seed. Folders and names are Market-1501's; `cues` holds the masks of
what tells one person from another."""


@app.command("people", epilog=_PEOPLE_EXAMPLES)
@speaking
def people_command(
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", file_okay=False, help="A new or empty folder.")],
    seed: Annotated[int, option(_SEED, metavar="INTEGER")] = _SEED.default,
) -> None:
    """Draw 225 made-up pedestrians and write them as Market-1501 is laid out: bounding_box_train, bounding_box_test, query."""
    check_writable(out / "any")
    _SEED.check(seed, "--seed")
    tenth = 0
    for fraction, _ in people.write(out, seed):
        if int(10 * fraction) > tenth:
            tenth = int(10 * fraction)
            say(f"  {fraction:4.0%}")
    typer.echo(f"{people.count():,} images of made-up people are in {out}.")
