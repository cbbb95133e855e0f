"""`look`: where a model looks, before and after, layer by layer."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

import typer

from imu_core.cli import app
from imu_core.cli.speaking import JsonFile, ProblemSeed, check_writable, load, option, speaking, write_json
from imu_core.errors import DataError
from imu_core.evaluation import saliency
from imu_core.methods import METHODS, PRESETS
from imu_core.methods import preset as make_preset
from imu_core.problems.forget import GRAMMAR
from imu_core.settings import RUN
from imu_core.unlearning.run import unlearn

_LOOK_EXAMPLES = """\b
Examples:
  python -m imu_core look --forget identity:0005
  python -m imu_core look --forget identity:0011 --scope all --cam layercam

A share is the part of a map's heat on hair, clothes, logo, bag and shoes; maps that are zero everywhere are left out and
counted. Intervals are 95 % over images; a change is paired."""


@app.command("look", epilog=_LOOK_EXAMPLES)
@speaking
def look_command(
    context: typer.Context,
    problem: Annotated[str, typer.Option("--problem", help="A set of people whose cues are known.")] = "people",
    model: Annotated[str, typer.Option("--model", help="Architecture.")] = "reid_resnet18",
    forget: Annotated[str, typer.Option("--forget", metavar="REQUEST", help=f"Whom to forget: {GRAMMAR}.")] = "identity:0005",
    problem_seed: ProblemSeed = 0,
    method: Annotated[str, typer.Option(help=f"One of {', '.join(METHODS)}.")] = "imu",
    preset: Annotated[str, typer.Option(help=f"One of {', '.join(PRESETS)}.")] = "gentle",
    scope: Annotated[str, option(RUN["scope"])] = RUN["scope"].default,
    bn: Annotated[str, option(RUN["bn"])] = RUN["bn"].default,
    cam: Annotated[str, typer.Option(help=f"One of {', '.join(saliency.CAMS)}.")] = "gradcam",
    json_file: JsonFile = None,
) -> None:
    """Forget, then measure at every layer how much of the heat falls on what identifies a person, before and after."""
    check_writable(json_file)
    config = dataclasses.replace(make_preset(preset, method, scope), bn=bn, eval_every=1000)
    case = load(context.params)
    run = unlearn(case, config)
    for _ in run:
        pass
    after, rows = run.model(), []
    typer.echo(f"{'layer':<10} {'group':<10} {'before':>14} {'after':>14} {'change':>14} {'cues':>6} {'zero maps':>10}")
    for layer in saliency.layers(case.model, case.dataset.train.images[:1]):
        for group in saliency.GROUPS:
            rows.append(_shares(saliency.look(case, after, group, layer=layer, method=cam), layer, group))
            typer.echo(_share_line(rows[-1]))
    last = run.points[-1].accuracies
    typer.echo(f"Percent, {rows[-1]['images']} images a group. {last['forget']:.1%} of the forget set is still recognised.")
    write_json(json_file, {"problem": case.describe(), "config": config.changed(), "cam": cam, "rows": rows})


def _shares(maps: saliency.Looked, layer: str, group: str) -> dict[str, Any]:
    measured = maps.on_cues()
    if measured is None:
        raise DataError(
            "This set does not say where its cues are, so no share can be measured. Take the people: --problem people."
        )
    *means, area = measured
    named = zip(("before", "after", "change"), means, strict=True)
    shares = {name: {"mean": mean.mean, "half": mean.half, "n": mean.n} for name, mean in named}
    return {"layer": layer, "group": group, "images": len(maps.images), "area": area, "empty": maps.empty(), **shares}


def _share_line(row: dict[str, Any]) -> str:
    cells = "".join(
        f" {100 * row[name]['mean']:>7.1f} ± {100 * row[name]['half']:>4.1f}" for name in ("before", "after", "change")
    )
    return f"{row['layer']:<10} {row['group']:<10}{cells} {100 * row['area']:>6.1f} {row['empty'][0]:>5} {row['empty'][1]:>4}"
