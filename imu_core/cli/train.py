"""`train`: an original model, or a retrained reference that never saw what must be forgotten."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from imu_core import data
from imu_core.cli import app
from imu_core.cli.speaking import (
    JsonFile,
    ModelName,
    ProblemName,
    ProblemSeed,
    card_line,
    check_writable,
    exit_code,
    fetch,
    load,
    option,
    say,
    speaking,
    stoppable,
    write_json,
)
from imu_core.errors import ConfigError
from imu_core.models import checkpoints
from imu_core.models.outside import is_brought
from imu_core.problems.forget import GRAMMAR
from imu_core.problems.problem import NOTHING, original
from imu_core.records.run import Point
from imu_core.report.numbers import percent
from imu_core.settings import TRAINING
from imu_core.training.loop import Training
from imu_core.training.recipes import Recipe, recipe_for

_TRAIN_EXAMPLES = """\b
Examples:
  python -m imu_core train --problem fashion --model lenet5
  python -m imu_core train --model small_resnet --forget class:Sandal
  python -m imu_core train --model small_resnet --forget outliers:5% --out assets/models

Every epoch is saved as it ends: stopped with Ctrl-C or killed, the same command goes on from there, to the same bits.
A retrained reference takes the recipe of the stored original unless told otherwise. Runs and pages compare with seed 0."""


@app.command("train", epilog=_TRAIN_EXAMPLES)
@speaking
def train_command(
    context: typer.Context,
    problem: ProblemName = "fashion",
    model: ModelName = None,
    forget: Annotated[str | None, typer.Option(metavar="REQUEST", help=f"Leave this out: {GRAMMAR}.")] = None,
    problem_seed: ProblemSeed = 0,
    epochs: Annotated[int | None, option(TRAINING["epochs"])] = None,
    learning_rate: Annotated[float | None, option(TRAINING["learning_rate"])] = None,
    batch_size: Annotated[int | None, option(TRAINING["batch_size"])] = None,
    gradient_penalty: Annotated[float | None, option(TRAINING["gradient_penalty"])] = None,
    seed: Annotated[int, option(TRAINING["seed"], metavar="INTEGER")] = TRAINING["seed"].default,
    out: Annotated[Path | None, typer.Option(metavar="FOLDER", file_okay=False, help="Where models go.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Train although it is stored already.")] = False,
    json_file: JsonFile = None,
) -> None:
    """Train the original model, or with --forget the retrained reference that never saw those samples."""
    check_writable(json_file, out and out / "model")
    training = _training({**context.params, "model": data.usual(problem)[0] if model is None else model})
    stored = checkpoints.find(training.dataset, training.model_name, training.removed, seed)
    if stored is not None and not again:
        typer.echo(f"{_what(training)} is trained already: {card_line(stored.card)}. Train it again with --again.")
    else:
        stored = _train(training, out)
    typer.echo(f"Checkpoint: {stored.path}")
    write_json(json_file, {"path": str(stored.path), **stored.card})


def _training(values: Mapping[str, Any]) -> Training:
    """The training that the options ask for; nothing has run yet."""
    names = ("epochs", "learning_rate", "batch_size", "gradient_penalty")
    given = {name: values[name] for name in names if values[name] is not None}
    if values["forget"] is None:
        if is_brought(values["model"]):
            raise ConfigError(
                f"{values['model']} was brought, not trained here. Its references can be trained: add --forget REQUEST."
            )
        fetch(values["problem"])
        dataset, removed, request = data.load(values["problem"]), NOTHING, ""
        recipe = recipe_for(values["model"], values["problem"])
    else:
        problem = load(values)
        dataset, removed, request = problem.dataset, problem.split.removed, problem.split.request
        recipe = Recipe(**original(dataset, values["model"]).card["recipe"])
    return Training(dataset, values["model"], removed, values["seed"], dataclasses.replace(recipe, **given), request)


def _train(training: Training, out: Path | None) -> checkpoints.Checkpoint:
    """Train to the end and store it; Ctrl-C ends the program with what is finished on disk."""
    say(f"Training {_what(training)} on {len(training.kept):,} samples for {training.recipe.epochs} epochs.")
    with stoppable(training):
        for number, point in enumerate(training):
            resumed = number == 0 and point.step > 1
            say(_epoch_line(point, training) + (f"  (resumed after epoch {point.step - 1})" if resumed else ""))
    if training.outcome.state != "done":
        say(training.outcome.reason)
        raise typer.Exit(exit_code(training.outcome.state) or 1)
    say("Saving.")
    stored = training.save(out)
    typer.echo(f"Trained {_what(training)}: {card_line(stored.card)}.")
    checkpoint_in_use = checkpoints.find(training.dataset, training.model_name, training.removed)
    if checkpoint_in_use is None or checkpoint_in_use.path != stored.path:
        folders = " and ".join(map(str, checkpoints.folders()))
        instead = f"use {checkpoint_in_use.path}" if checkpoint_in_use else f"look in {folders} for a model of seed 0"
        say(f"Note: this file is not what runs and pages use: they {instead}.")
    return stored


def _epoch_line(point: Point, training: Training) -> str:
    accuracies = "  ".join(f"{name} {percent(value)}" for name, value in point.accuracies.items())
    each = training.seconds / training.epoch
    pace = f"{each:.1f} s each, {training.time_left:.0f} s left"
    return f"epoch {point.step}/{training.recipe.epochs}  loss {point.loss:.3f}  {accuracies}  {pace}"


def _what(training: Training) -> str:
    without = f" without {training.request}" if training.request else ""
    return f"{training.model_name} on {training.dataset.name}{without}"
