"""`people`: write the synthetic set in Market-1501's layout."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from imu_core.cli.speaking import app, check_writable, say, speaking
from imu_core.data import people

_PEOPLE_EXAMPLES = """\b
Example:
  python -m imu_core people --out people
  IMU_DATA=. python -m imu_core train --problem market:people --model reid_resnet18

Nobody in these images exists: they are drawn from a seed. Folders and names are Market-1501's; `cues` holds the masks of
what tells one person from another."""


@app.command("people", short_help="Write the synthetic people in Market-1501's layout.", epilog=_PEOPLE_EXAMPLES)
@speaking
def people_command(
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", file_okay=False, help="A new or empty folder.")],
    seed: Annotated[int, typer.Option(metavar="INTEGER", min=0, max=2**31 - 1, help="Draws everybody and every shot.")] = 0,
) -> None:
    """Draw 225 made-up pedestrians and write them as Market-1501 is laid out: bounding_box_train, bounding_box_test, query."""
    check_writable(out / "any")
    said = 0
    for fraction, _ in people.write(out, seed):
        if int(10 * fraction) > said:
            said = int(10 * fraction)
            say(f"  {fraction:4.0%}")
    typer.echo(f"{people.count():,} images of made-up people are in {out}.")
