"""The commands about people: write the synthetic set, judge a run by searching, all scopes side by side."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

from imu_core import explain, reidentification
from imu_core.cli import JsonFile, ProblemSeed, _check_writable, _load, _say, _speaking, _stoppable, _write_json, app
from imu_core.data import people
from imu_core.errors import DataError
from imu_core.forget import GRAMMAR
from imu_core.methods import METHODS, PRESETS
from imu_core.methods import preset as make_preset
from imu_core.reidentification import Found, SideBySide
from imu_core.unlearning import unlearn

_PEOPLE_EXAMPLES = """\b
Example:
  python -m imu_core people --out people
  IMU_DATA=. python -m imu_core train --problem market:people --model reid_resnet18

Nobody in these images exists: they are drawn from a seed. Folders and names are Market-1501's; `cues` holds the masks of
what tells one person from another."""


@app.command("people", short_help="Write the synthetic people in Market-1501's layout.", epilog=_PEOPLE_EXAMPLES)
@_speaking
def people_command(
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", file_okay=False, help="A new or empty folder.")],
    seed: Annotated[int, typer.Option(metavar="INTEGER", min=0, max=2**31 - 1, help="Draws everybody and every shot.")] = 0,
) -> None:
    """Draw 225 made-up pedestrians and write them as Market-1501 is laid out: bounding_box_train, bounding_box_test, query."""
    _check_writable(out / "any")
    said = 0
    for fraction, _ in people.write(out, seed):
        if int(10 * fraction) > said:
            said = int(10 * fraction)
            _say(f"  {fraction:4.0%}")
    typer.echo(f"{people.count():,} images of made-up people are in {out}.")


_REID_EXAMPLES = """\b
Examples:
  python -m imu_core reid --forget identity:0005
  python -m imu_core reid --forget identity:0011 --method ga --json scopes.json

mAP and rank-k follow Market-1501's protocol. The person's own queries come from cameras that were kept out of training."""


@app.command("reid", short_help="Which scope makes a person harder to find?", epilog=_REID_EXAMPLES)
@_speaking
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
    _check_writable(json_file)
    asked = _load(context.params)
    known = reidentification.references(asked)
    work = SideBySide(asked, method, preset)
    work.configs()  # names that do not exist are said before anything runs
    typer.echo(_HEADING)
    for name, found in known.items():
        typer.echo(_line(name, "", found.numbers()))
    with _stoppable(work):
        shown = 0
        for _ in work:
            for row in work.rows[shown:]:
                typer.echo(_row(row))
            shown = len(work.rows)
    if work.outcome.state != "done":
        _say(work.outcome.reason)
        raise typer.Exit(130)
    numbers = {name: found.numbers() for name, found in known.items()}
    typer.echo(_queries(known["original"]))
    typer.echo(
        f"Raw pixels, without a network: {100 * reidentification.pixels_alone(asked.dataset).map:.1f} % mAP of unseen people."
    )
    typer.echo(reidentification.side_by_side_verdict(work.rows, numbers))
    _write_json(json_file, reidentification.as_record(work, known))


_LOOK_EXAMPLES = """\b
Examples:
  python -m imu_core look --forget identity:0005
  python -m imu_core look --forget identity:0011 --scope all --cam layercam

A share is the part of a map's heat on hair, clothes, logo, bag and shoes; maps that are zero everywhere are left out and
counted. Intervals are 95 % over images; a change is paired."""


@app.command("look", short_help="Where a model looks, before and after.", epilog=_LOOK_EXAMPLES)
@_speaking
def look_command(
    context: typer.Context,
    problem: Annotated[str, typer.Option("--problem", help="A set of people whose cues are known.")] = "people",
    model: Annotated[str, typer.Option("--model", help="Architecture.")] = "reid_resnet18",
    forget: Annotated[str, typer.Option("--forget", metavar="REQUEST", help=f"Whom to forget: {GRAMMAR}.")] = "identity:0005",
    problem_seed: ProblemSeed = 0,
    method: Annotated[str, typer.Option(help=f"One of {', '.join(METHODS)}.")] = "imu",
    preset: Annotated[str, typer.Option(help=f"One of {', '.join(PRESETS)}.")] = "gentle",
    scope: Annotated[str, typer.Option(help="head, last:K or all.")] = "head",
    bn: Annotated[str, typer.Option(help="Batch norm while unlearning: eval or train.")] = "eval",
    cam: Annotated[str, typer.Option(help=f"One of {', '.join(explain.CAMS)}.")] = "gradcam",
    json_file: JsonFile = None,
) -> None:
    """Forget, then measure at every layer how much of the heat falls on what identifies a person, before and after."""
    _check_writable(json_file)
    config = dataclasses.replace(make_preset(preset, method, scope), bn=bn, eval_every=1000)
    asked = _load(context.params)
    run = unlearn(asked, config)
    for _ in run:
        pass
    after, rows = run.model(), []
    typer.echo(f"{'layer':<10} {'group':<10} {'before':>14} {'after':>14} {'change':>14} {'cues':>6} {'zero maps':>10}")
    for layer in explain.layers(asked.model, asked.dataset.train.images[:1]):
        for group in explain.GROUPS:
            rows.append(_shares(explain.look(asked, after, group, layer=layer, method=cam), layer, group))
            typer.echo(_share_line(rows[-1]))
    last = run.points[-1].accuracies
    typer.echo(f"Percent, {rows[-1]['images']} images a group. {last['forget']:.1%} of the forget set is still recognised.")
    _write_json(json_file, {"problem": asked.describe(), "config": config.changed(), "cam": cam, "rows": rows})


def _shares(found: explain.Looked, layer: str, group: str) -> dict[str, Any]:
    measured = found.on_cues()
    if measured is None:
        raise DataError(
            "This set does not say where its cues are, so no share can be measured. Take the people: --problem people."
        )
    *means, area = measured
    named = zip(("before", "after", "change"), means, strict=True)
    shares = {name: {"mean": mean.mean, "half": mean.half, "n": mean.n} for name, mean in named}
    return {"layer": layer, "group": group, "images": len(found.images), "area": area, "empty": found.empty(), **shares}


def _share_line(row: dict[str, Any]) -> str:
    cells = "".join(
        f" {100 * row[name]['mean']:>7.1f} ± {100 * row[name]['half']:>4.1f}" for name in ("before", "after", "change")
    )
    return f"{row['layer']:<10} {row['group']:<10}{cells} {100 * row['area']:>6.1f} {row['empty'][0]:>5} {row['empty'][1]:>4}"


_COLUMNS = {
    "map": "mAP",
    "rank1": "rank-1",
    "rank5": "rank-5",
    "person_map": "person",
    "person_rank1": "rank-1",
    "test_other": "others",
}
_HEADING = f"{'scope':<10} {'bn':<6}" + "".join(f"{title:>8}" for title in _COLUMNS.values()) + "   features     drift  seconds"


def _line(scope: str, mode: str, values: dict[str, Any]) -> str:
    cells = "".join(f"{100 * values[key]:>8.1f}" if key in values else f"{'':>8}" for key in _COLUMNS)
    return f"{scope:<10} {mode:<6}{cells}"


def _row(row: dict[str, Any]) -> str:
    same = "identical" if row["same_features"] else "changed"
    return f"{_line(row['scope'], row['bn'], row)}   {same:<10} {row['drift']:>7.3f} {row['seconds']:>8.1f}"


def _queries(found: Found) -> str:
    mine = f"{found.person.queries} queries of the person" if found.person else found.why
    return f"Percent. {found.unseen.queries} queries of unseen people; {mine}."
