"""`own`: bring a checkpoint and images of your own; list and delete what was brought."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from imu_core.cli import app
from imu_core.cli.speaking import JsonFile, check_writable, say, speaking, stoppable, write_json
from imu_core.data import folder
from imu_core.errors import ConfigError
from imu_core.model_import import brought_sets, orders, own
from imu_core.models import MODELS, brought
from imu_core.report.numbers import percent

_EXAMPLES = """\b
Examples:
  python -m imu_core own bring resnet20.th --name stranger --architecture resnet20 --problem cifar10 --expected 91.7
  python -m imu_core own bring flowers.pt --name flowers --architecture torchvision:resnet18 --problem folder:flowers@64
  python -m imu_core own bring flowers.pt --name flowers --architecture timm:resnet26 --images flowers.zip --side 64
  python -m imu_core run --problem cifar10 --model own-stranger --forget class:cat
  python -m imu_core own delete own-stranger --problem cifar10

A checkpoint is safetensors, or a state dict that torch.load(weights_only=True) reads; nothing in it is run. A folder of images
holds train/ and test/ (or val/) with one folder a class, or the classes side by side: a fifth of each then tests."""

own_app = typer.Typer(
    help="A model of your own: bring it, list what was brought, delete it.",
    epilog=_EXAMPLES,
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(own_app, name="own")

Problem = Annotated[str, typer.Option("--problem", help="Dataset: a name of `info`, or folder:PATH@SIDE.")]


@own_app.command("bring", short_help="Check a checkpoint and store it if it fits.")
@speaking
def bring_command(
    context: typer.Context,
    checkpoint: Annotated[Path, typer.Argument(metavar="FILE", help="safetensors, or a state dict of torch.")],
    name: Annotated[str, typer.Option(help="It is called own-NAME afterwards.")],
    architecture: Annotated[str, typer.Option(help=f"{', '.join(MODELS)}, torchvision:NAME or timm:NAME.")],
    problem: Problem = "cifar10",
    images: Annotated[Path | None, typer.Option(metavar="ZIP", dir_okay=False, help="Images, in place of --problem.")] = None,
    side: Annotated[int, typer.Option(help="Side of the unpacked images in pixels.")] = folder.USUAL_SIDE,
    normalisation: Annotated[str, typer.Option(help=f"{', '.join(own.NORMALISATIONS)}, or MEAN,…/STD,….")] = "imagenet",
    head: Annotated[str, typer.Option(metavar="LAYER", help="The head's dotted name, where it is not found.")] = "",
    classes: Annotated[
        str, typer.Option(metavar="A,B,…", help="Class names in the checkpoint's order; quote one with a comma.")
    ] = "",
    expected: Annotated[float | None, typer.Option(metavar="PERCENT", help="Test accuracy it should reach.")] = None,
    json_file: JsonFile = None,
) -> None:
    """Check the accuracy of a stranger's checkpoint, say whether it fits, and store it as own-NAME if it does."""
    check_writable(json_file)
    work = own.Bringing(_order(context.params))
    twentieth = -1
    with stoppable(work):
        for fraction, words in work:
            if int(20 * fraction) > twentieth:
                twentieth = int(20 * fraction)
                say(f"  {fraction:4.0%}  {words}")
    if work.outcome.state != "done" or work.check is None:
        say(work.outcome.reason)
        raise typer.Exit(130)
    _report(work, work.check)
    write_json(json_file, _facts(work, work.check))
    if not work.check.fits:
        raise typer.Exit(1)


def _order(values: Mapping[str, Any]) -> own.Order:
    if values["images"] is not None and not values["images"].is_file():
        raise ConfigError(f"There is no file {str(values['images'])!r}. --images takes a .zip with a folder of images a class.")
    expected = values["expected"]
    return own.Order(
        name=values["name"],
        checkpoint=values["checkpoint"],
        architecture=values["architecture"],
        dataset=values["problem"],
        normalisation=values["normalisation"],
        head=values["head"],
        classes=orders.from_list(values["classes"]),
        expected=None if expected is None else orders.from_percent(expected),
        images=values["images"],
        side=values["side"],
    )


def _report(work: own.Bringing, check: own.Check) -> None:
    typer.echo(check.sentence)
    if check.advice:
        typer.echo(check.advice)
    for note in check.notes:
        typer.echo(note)
    typer.echo(f"Head: {check.head}, {check.features} features, {len(check.class_names)} classes. Matched: {check.matched}.")
    worst = sorted(zip(check.per_class.tolist(), check.class_names, strict=True))
    for label, classes in (("Worst", worst[:3]), ("Best", worst[:-4:-1])):
        typer.echo(f"{label} classes: {', '.join(f'{name} {percent(value)}' for value, name in classes)}")
    if check.fits:
        typer.echo(
            f"Stored as {work.model_name}. Next: python -m imu_core run --problem {work.dataset_name} --model {work.model_name}"
        )
    else:
        typer.echo("Nothing was stored.")


def _facts(work: own.Bringing, check: own.Check) -> dict[str, Any]:
    return {
        "model": work.model_name if check.fits else None,
        "dataset": work.dataset_name,
        "architecture": work.order.architecture,
        "fits": check.fits,
        "accuracy": check.accuracy._asdict(),
        "chance": check.chance,
        "classes": dict(zip(check.class_names, check.per_class.tolist(), strict=True)),
        "head": check.head,
        "matched": check.matched,
        "sentence": check.sentence,
        "advice": check.advice,
        "notes": list(check.notes),
    }


@own_app.command("list", short_help="What was brought.")
@speaking
def list_command(json_file: JsonFile = None) -> None:
    """List the models that were brought to this machine."""
    check_writable(json_file)
    models = [(dataset, model, brought.card(dataset, model)) for dataset, model in brought.everything()]
    for dataset, model, card in models:
        about = card["brought"]
        test = percent(card["accuracies"]["test"])
        typer.echo(
            f"{model} on {dataset}: {about['architecture']}, {test} of {about['tested']:,} test images, from {about['file']}"
        )
    if not models:
        typer.echo("Nothing was brought yet.")
    write_json(json_file, {"models": [card for *_, card in models]})


@own_app.command("delete", short_help="Delete what was brought.")
@speaking
def delete_command(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Such as own-stranger.")],
    problem: Problem = "cifar10",
) -> None:
    """Delete a brought model with its references, and the images that were unpacked for it alone."""
    typer.echo(brought_sets.remove(problem, model))
