"""The command line, `python -m imu_core`: what the pages show, as numbers, JSON and CSV.

Progress goes to stderr, results to stdout. Exit codes: 0 done (also where a run diverged: that is a result), 1 the run
failed, 2 an argument cannot be used, 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import os
import platform
import shlex
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, Protocol

import torch
import typer
from torch import Tensor

from imu_core import data, methods, runtime, weights
from imu_core import influence as head_influence
from imu_core.errors import ConfigError, ImuError
from imu_core.forget import GRAMMAR
from imu_core.influence import ranking
from imu_core.measurement import Measurement, model_accuracies
from imu_core.models import MODELS, checkpoints
from imu_core.problem import NOTHING, original
from imu_core.problem import problem as make_problem
from imu_core.records import Influence, Point, Problem, RunConfig, finite, scope_blocks
from imu_core.reference import retrained, target
from imu_core.training import Recipe, Training, recipe_for
from imu_core.unlearning import Run, unlearn

app = typer.Typer(
    help="Machine unlearning on equal terms: train, look at influence, forget, and compare with the retrained model.",
    epilog="""\b
Start with:
  python -m imu_core info
  python -m imu_core run --forget class:Sandal
  python -m imu_core run --help""",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

_MOST_SEED = 2**31 - 1
_LARGEST_SHARE = 0.05  # "the top 5 %"
_RETRAINED = "retrained"  # what --stop-at may say instead of a number
_PACKAGES = ("torch", "torchvision", "numpy", "scikit-learn", "streamlit", "plotly")

ProblemName = Annotated[str, typer.Option("--problem", help=f"Dataset: {', '.join(data.DATASETS)}.")]
ModelName = Annotated[str, typer.Option("--model", help=f"Architecture: {', '.join(MODELS)}.")]
Forget = Annotated[str, typer.Option("--forget", metavar="REQUEST", help=f"What to forget: {GRAMMAR}.")]
ProblemSeed = Annotated[
    int,
    typer.Option(
        "--problem-seed", metavar="INTEGER", min=0, max=_MOST_SEED, help="Draws random requests that name no seed of their own."
    ),
]
JsonFile = Annotated[Path | None, typer.Option("--json", metavar="FILE", dir_okay=False, help="Write the result as JSON, whole.")]
Damping = Annotated[float | None, typer.Option(help="Added to the diagonal of the head Hessian, absolute; from 0.")]
Estimator = Annotated[str | None, typer.Option(help=f"Curvature of the influence: {', '.join(head_influence.ESTIMATORS)}.")]
Psi = Annotated[str | None, typer.Option(help=f"Shapes scores into weights: {', '.join(weights.PSI)}.")]


class Cancellable(Protocol):
    """Work that ends at its next step once `cancel` was called."""

    def cancel(self) -> None:
        """Ask it to stop."""


def _say(text: str) -> None:
    typer.echo(text, err=True)


def _speaking(command: Callable[..., None]) -> Callable[..., None]:
    """`command`, with what goes wrong said in a sentence on stderr and never shown as a traceback."""

    @functools.wraps(command)
    def spoken(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except ImuError as error:
            _say(str(error))
            raise typer.Exit(2) from None
        except OSError as error:
            _say(f"{error.filename or 'A file'} cannot be used: {error.strerror or error}.")
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            _say("Stopped by you.")
            raise typer.Exit(130) from None

    return spoken


@contextmanager
def _stoppable(work: Cancellable) -> Iterator[None]:
    """Ctrl-C asks `work` to stop at its next step; a second Ctrl-C ends the program at once."""

    def stop(*_: object) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _say("Stopping; press Ctrl-C again to end at once.")
        work.cancel()

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _percent(fraction: float) -> str:
    return f"{fraction * 100:.1f} %"


def _write_json(path: Path | None, content: Mapping[str, Any]) -> None:
    if path is not None:
        text = json.dumps(finite(dict(content)), indent=1, allow_nan=False, ensure_ascii=False) + "\n"
        runtime.write_whole(path, lambda part: part.write_text(text, encoding="utf-8"))
        typer.echo(f"Written: {path}")


def _check_writable(*paths: Path | None) -> None:
    """Find out before the work, not after it, that a result has nowhere to go."""
    for path in filter(None, paths):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"{path} cannot be written: its folder cannot be made ({error.strerror}).") from error
        if not os.access(path.parent, os.W_OK):
            raise ConfigError(f"{path} cannot be written: nothing may be written into its folder. Name another.")


def _choice(option: str, value: str | None, allowed: Sequence[str]) -> None:
    if value is not None and value not in allowed:
        raise ConfigError(f"--{option} is {value!r}; allowed are {', '.join(allowed)}.")


def _fetch(dataset: str) -> None:
    """Download `dataset` where it is not here yet, with a line a tenth of the way."""
    if data.is_here(dataset):
        return
    _say(f"{dataset} is not on this machine yet. {data.source(dataset).verb}ing it.")
    said = -1
    for fraction, name in data.download(dataset):
        if int(10 * fraction) > said:
            said = int(10 * fraction)
            _say(f"  {fraction:4.0%}  {name}")


def _load(values: Mapping[str, Any]) -> Problem:
    """The problem that the options name; says so first, since reading a model's features the first time takes seconds."""
    _say(f"Reading {values['problem']}, {values['model']} and its features.")
    return make_problem(values["problem"], model=values["model"], forget=values["forget"], seed=values["problem_seed"])


# ---------------------------------------------------------------------------------------------------------------- run


_RUN_EXAMPLES = """\b
Examples:
  python -m imu_core run --forget class:Sandal --method imu --json out.json
  python -m imu_core run --forget class:Sandal --method ga --stop-at 0.05
  python -m imu_core run --method imu --control permuted
  python -m imu_core run --forget random:10%,seed=0 --preset "five epochs"
  python -m imu_core run --method npo --scope last:2 --epochs 3 --no-metrics
  python -m imu_core run --method imu --save unlearned.safetensors

Fractions are 0 to 1. The JSON holds the config, every point of the trajectory, seconds by phase, and the final metrics.
Exit codes: 0 done or diverged, 1 failed, 2 an argument cannot be used, 130 stopped by Ctrl-C."""


@app.command("run", short_help="Forget, and compare with the retrained model.", epilog=_RUN_EXAMPLES)
@_speaking
def run_command(
    context: typer.Context,
    problem: ProblemName = "fashion",
    model: ModelName = "small_resnet",
    forget: Forget = "class:Sandal",
    problem_seed: ProblemSeed = 0,
    method: Annotated[str, typer.Option(help=f"How to unlearn: {', '.join(methods.METHODS)}.")] = "imu",
    scope: Annotated[str, typer.Option(help="What may change: head, last:K (head and last K blocks), all.")] = "head",
    preset: Annotated[str, typer.Option(help=f"Where settings start: {', '.join(methods.PRESETS)}.")] = "gentle",
    seed: Annotated[int, typer.Option(help="Of the run: order of the batches, controls, augmentation.")] = 0,
    learning_rate: Annotated[float | None, typer.Option(help="Step of SGD; normalised: the length of each step.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the forget set, 0 to 500.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Samples a step.")] = None,
    optimizer: Annotated[str | None, typer.Option(help="sgd, or normalised: every step equally long.")] = None,
    momentum: Annotated[float | None, typer.Option(help="Of SGD, 0 to 0.999.")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="Of SGD, 0 to 1.")] = None,
    schedule: Annotated[str | None, typer.Option(help="Of the learning rate: constant, one_cycle.")] = None,
    augment: Annotated[bool | None, typer.Option(help="Flip images at random (then even the head runs on images).")] = None,
    bn: Annotated[str | None, typer.Option(help="Batch-norm statistics: eval (stay), train (drift).")] = None,
    stop_at: Annotated[
        str | None, typer.Option(metavar="FRACTION", help="Forget accuracy to stop at, or retrained, or none.")
    ] = None,
    eval_every: Annotated[int | None, typer.Option(help="Steps between evaluations.")] = None,
    estimator: Estimator = None,
    damping: Damping = None,
    psi: Psi = None,
    top: Annotated[float | None, typer.Option(help="Share of the positive scores kept, above 0 to 1.")] = None,
    clip_quantile: Annotated[str | None, typer.Option(metavar="FRACTION", help="Clip weights at it, or none.")] = None,
    control: Annotated[str | None, typer.Option(help=f"Instead of influence: {', '.join(weights.CONTROLS)}.")] = None,
    update_every: Annotated[str | None, typer.Option(metavar="EPOCHS", help="Scores again: 0 never, k, or iteration.")] = None,
    weight_norm: Annotated[str | None, typer.Option(help="Weights normalised over: batch, dataset, mean1.")] = None,
    l1: Annotated[float | None, typer.Option(help="L1 penalty on the head, 0 to 10.")] = None,
    beta: Annotated[float | None, typer.Option(help="NPO's inverse temperature.")] = None,
    metrics: Annotated[bool, typer.Option(help="Measure membership and divergence at the end (seconds).")] = True,
    save: Annotated[Path | None, typer.Option(metavar="FILE", dir_okay=False, help="Unlearned model as safetensors.")] = None,
    json_file: JsonFile = None,
) -> None:
    """Make a trained model forget, and compare it with the model that never saw the forgotten data.

    Settings come from --preset; every option given on the command line overrides it. The same seed gives the same bits.
    """
    if save is not None and save.suffix != ".safetensors":
        raise ConfigError(f"--save is {str(save)!r}; the name of the file must end in .safetensors.")
    _check_writable(save, json_file)
    config = _config(context.params)
    asked = _load(context.params)
    work = unlearn(asked, _with_target(config, asked, stop_at))
    _follow(work)
    measured, ended = _measure(work) if metrics and work.outcome.state in ("done", "diverged") else ({}, work.outcome.state)
    _summarise(work, measured)
    if save is not None and work.outcome.state != "failed":
        _save_model(work, save)
    _write_json(json_file, dataclasses.replace(work.trajectory, metrics=measured).to_dict())
    raise typer.Exit({"failed": 1, "cancelled": 130}.get(ended, 0))


def _config(values: Mapping[str, Any]) -> RunConfig:
    """The preset, with every setting that was given on the command line put over it."""
    method = methods.find(values["method"])
    scope_blocks(values["scope"])
    _choice("estimator", values["estimator"], list(head_influence.ESTIMATORS))
    _choice("psi", values["psi"], list(weights.PSI))
    _choice("control", values["control"], weights.CONTROLS)
    start = methods.preset(values["preset"], values["method"], values["scope"], values["seed"])
    given = {f.name: values[f.name] for f in dataclasses.fields(RunConfig) if values.get(f.name) is not None}
    for name in ("stop_at", "clip_quantile"):
        if name in given:
            given[name] = _fraction_or_none(name, given[name])
    if given.get("update_every", "").isdecimal():
        given["update_every"] = int(given["update_every"])
    _warn_of_idle(method, given)
    return dataclasses.replace(start, **given)


def _fraction_or_none(name: str, text: str) -> float | None:
    if text == "none" or (name, text) == ("stop_at", _RETRAINED):
        return None
    try:
        return float(text)
    except ValueError:
        words = f", {_RETRAINED} or none" if name == "stop_at" else ", or none"
        raise ConfigError(f"--{name.replace('_', '-')} is {text!r}; it must be a number from 0 to 1{words}.") from None


def _with_target(config: RunConfig, problem: Problem, stop_at: str | None) -> RunConfig:
    """`config` with the accuracy at which to stop, where that is read from the retrained reference."""
    if stop_at == _RETRAINED:
        reference = retrained(problem)
        if reference is None:
            raise ConfigError(f"No retrained reference is stored to stop at. Train it with: {_train_command(problem)}")
        return dataclasses.replace(config, stop_at=reference.accuracies["forget"])
    aim = target(problem) if stop_at is None and config.stop_at is not None else None
    if aim is None:
        return config
    _say(
        f"Note: the preset stops at {_percent(config.stop_at)}, which suits whole classes. These samples are no class: stopping "
        f"at {_percent(aim[0])} instead, {aim[1]}. Another target: --stop-at FRACTION."
    )
    return dataclasses.replace(config, stop_at=aim[0])


def _warn_of_idle(method: methods.Method, given: Mapping[str, Any]) -> None:
    """Say which of the given settings change nothing for this method."""
    special = {name for known in methods.METHODS.values() for name in known.uses}
    idle = sorted(name.replace("_", "-") for name in given if name in special and name not in method.uses)
    if idle:
        _say(f"Note: {method.title} does not use --{', --'.join(idle)}.")


def _follow(work: Run) -> None:
    """Run it to its end; a line on stderr about once a second."""
    said = -math.inf
    with _stoppable(work):
        for point in work:
            if time.monotonic() - said > 1.0:
                said = time.monotonic()
                _say(_progress_line(point, work.steps))


def _progress_line(point: Point, steps: int) -> str:
    found = "  ".join(f"{name} {_percent(value)}" for name, value in point.accuracies.items())
    return f"step {point.step}/{steps}  {found}" + ("" if point.full else "  (subsets)")


def _measure(work: Run) -> tuple[dict[str, Any], str]:
    """(final metrics of a finished run, how the measuring ended); what was measured before a Ctrl-C or an error stays."""
    measurement = Measurement(work)
    try:
        with _stoppable(measurement):
            for fraction, what in measurement:
                _say(f"measuring {fraction:.0%}: {what}")
    except ImuError as error:
        _say(f"Not everything could be measured: {error}")
    return measurement.result, measurement.outcome.state


def _save_model(work: Run, path: Path) -> None:
    from imu_core.exports import to_safetensors  # it brings pandas along, which takes a moment

    content = to_safetensors(work.model(), work.trajectory)
    runtime.write_whole(path, lambda part: part.write_bytes(content))
    typer.echo(f"Written: {path}")


def _summarise(work: Run, measured: Mapping[str, Any]) -> None:
    if not work.points:
        _say(f"{work.method.title} {work.outcome.state}: {work.outcome.reason}")
        return
    reference = retrained(work.problem)
    typer.echo(_sentence(work, reference.accuracies if reference else None))
    typer.echo(f"How it ended: {work.outcome.state}. {work.outcome.reason}")
    for line in (*_metric_lines(work, measured), _effort_line(work)):
        typer.echo(line)
    if reference is None:
        typer.echo(f"Nothing is stored to compare with. Train the retrained reference with: {_train_command(work.problem)}")


def _sentence(work: Run, reference: Mapping[str, float] | None) -> str:
    """The run in one line. Only where whole classes go is the forget accuracy a success on its own account."""
    problem, last = work.problem, work.points[-1]
    before = model_accuracies(problem, (problem.train.logits, problem.test.logits))
    classes = bool(problem.split.gone_classes)
    kept, title = ("test_other", "other classes") if classes else ("test", "test")

    def change(name: str, compare: bool) -> str:
        retrained_is = f" (retrained: {_percent(reference[name])})" if reference and compare else ""
        return f"{_percent(before[name])} -> {_percent(last.accuracies[name])}{retrained_is}"

    forget = f"forget {change('forget', not classes)}" if classes else f"forget set {change('forget', True)}"
    subset = "" if last.full else " (on subsets)"
    return f"{work.method.title}: {forget}, {title} {change(kept, True)}{subset}, {last.step:,} steps, {last.seconds:.2f} s"


def _metric_lines(work: Run, measured: Mapping[str, Any]) -> Iterator[str]:
    if not work.problem.split.gone_classes:
        yield "Samples of every class were forgotten, not a class: the aim is what the retrained model does, not 0 %."
    titles = {"original": "original", "run": work.method.title, "retrained": "retrained"}
    attack = measured.get("membership", {})
    if attack:
        found = ", ".join(f"{titles[name]} {_percent(value)}" for name, value in attack.items())
        yield f"Membership attack, forget samples judged never seen: {found} (nearest the retrained model is best)"
    distance = measured.get("divergence", {})
    if distance:
        found = ", ".join(f"{titles[name]} {sets['test']['js']:.4f}" for name, sets in distance.items())
        yield f"Distance from the retrained model on the test set, JS in nats: {found} (lower is better)"


def _effort_line(work: Run) -> str:
    phases = ", ".join(f"{name} {seconds:.3f} s" for name, seconds in work.phases.items())
    sets = ", ".join(f"{name} {size:,}" for name, size in work.sizes.items())
    return f"It saw: {', '.join(sorted(work.granted)) or 'nothing'}. Seconds: {phases}. Samples: {sets}."


def _train_command(problem: Problem) -> str:
    request = shlex.quote(problem.split.request)
    return f"python -m imu_core train --problem {problem.dataset.name} --model {problem.model_name} --forget {request}"


# -------------------------------------------------------------------------------------------------------------- train


_TRAIN_EXAMPLES = """\b
Examples:
  python -m imu_core train --problem fashion --model lenet5
  python -m imu_core train --model small_resnet --forget class:Sandal
  python -m imu_core train --model small_resnet --forget outliers:5% --out assets/models

Every epoch is saved as it ends: stopped with Ctrl-C or killed, the same command goes on from there, to the same bits.
A retrained reference takes the recipe of the stored original unless told otherwise. Runs and pages compare with seed 0."""


@app.command("train", short_help="Train a model or a retrained reference.", epilog=_TRAIN_EXAMPLES)
@_speaking
def train_command(
    context: typer.Context,
    problem: ProblemName = "fashion",
    model: ModelName = "small_resnet",
    forget: Annotated[str | None, typer.Option(metavar="REQUEST", help=f"Leave this out: {GRAMMAR}.")] = None,
    problem_seed: ProblemSeed = 0,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training set, 1 to 1000.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak of the one-cycle schedule.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Samples a step.")] = None,
    seed: Annotated[int, typer.Option(metavar="INTEGER", min=0, max=_MOST_SEED, help="Of weights, order and flips.")] = 0,
    out: Annotated[Path | None, typer.Option(metavar="FOLDER", file_okay=False, help="Where models go.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Train although it is stored already.")] = False,
    json_file: JsonFile = None,
) -> None:
    """Train the original model, or with --forget the retrained reference that never saw those samples."""
    _check_writable(json_file, out and out / "model")
    training = _training(context.params)
    stored = checkpoints.find(training.dataset, model, training.removed, seed)
    if stored is not None and not again:
        typer.echo(f"{_what(training)} is trained already: {_card_line(stored.card)}. Train it again with --again.")
    else:
        stored = _train(training, out)
    typer.echo(f"Checkpoint: {stored.path}")
    _write_json(json_file, {"path": str(stored.path), **stored.card})


def _training(values: Mapping[str, Any]) -> Training:
    """The training that the options ask for; nothing has run yet."""
    given = {name: values[name] for name in ("epochs", "learning_rate", "batch_size") if values[name] is not None}
    if values["forget"] is None:
        _fetch(values["problem"])
        dataset, removed, request = data.load(values["problem"]), NOTHING, ""
        recipe = recipe_for(values["model"], values["problem"])
    else:
        asked = _load(values)
        dataset, removed, request = asked.dataset, asked.split.removed, asked.split.request
        recipe = Recipe(**original(dataset, values["model"]).card["recipe"])
    return Training(dataset, values["model"], removed, values["seed"], dataclasses.replace(recipe, **given), request)


def _train(training: Training, out: Path | None) -> checkpoints.Checkpoint:
    """Train to the end and store it; Ctrl-C ends the program with what is finished on disk."""
    _say(f"Training {_what(training)} on {len(training.kept):,} samples for {training.recipe.epochs} epochs.")
    with _stoppable(training):
        for number, point in enumerate(training):
            resumed = number == 0 and point.step > 1
            _say(_epoch_line(point, training) + (f"  (resumed after epoch {point.step - 1})" if resumed else ""))
    if training.outcome.state != "done":
        _say(training.outcome.reason)
        raise typer.Exit(130 if training.outcome.state == "cancelled" else 1)
    _say("Saving.")
    stored = training.save(out)
    typer.echo(f"Trained {_what(training)}: {_card_line(stored.card)}.")
    found = checkpoints.find(training.dataset, training.model_name, training.removed)
    if found is None or found.path != stored.path:
        folders = " and ".join(map(str, checkpoints.folders()))
        instead = f"use {found.path}" if found else f"look in {folders} for a model of seed 0"
        _say(f"Note: this file is not what runs and pages use: they {instead}.")
    return stored


def _epoch_line(point: Point, training: Training) -> str:
    found = "  ".join(f"{name} {_percent(value)}" for name, value in point.accuracies.items())
    each = training.seconds / training.epoch
    pace = f"{each:.1f} s each, {training.time_left:.0f} s left"
    return f"epoch {point.step}/{training.recipe.epochs}  loss {point.loss:.3f}  {found}  {pace}"


def _what(training: Training) -> str:
    without = f" without {training.request}" if training.request else ""
    return f"{training.model_name} on {training.dataset.name}{without}"


def _card_line(card: Mapping[str, Any]) -> str:
    found = ", ".join(f"{name} {_percent(value)}" for name, value in card["accuracies"].items())
    return f"{found}, {card['recipe']['epochs']} epochs, {card['seconds']:.0f} s"


# ---------------------------------------------------------------------------------------------------------- influence


_INFLUENCE_EXAMPLES = """\b
Examples:
  python -m imu_core influence --forget class:Sandal --top 10
  python -m imu_core influence --forget random:10% --estimator kfac --damping 0.001 --csv scores.csv
  python -m imu_core influence --forget hardest:100 --psi tanh --json scores.json

A positive score is helpful: without the sample the loss of the forget set would rise. Weights keep positive scores alone
and sum to 1; they are what IMU multiplies each sample's loss with."""


@app.command("influence", short_help="Which samples carry the most influence.", epilog=_INFLUENCE_EXAMPLES)
@_speaking
def influence_command(
    context: typer.Context,
    problem: ProblemName = "fashion",
    model: ModelName = "small_resnet",
    forget: Forget = "class:Sandal",
    problem_seed: ProblemSeed = 0,
    estimator: Estimator = "diagonal",
    damping: Damping = 1e-2,
    psi: Psi = "sqrt",
    top: Annotated[int, typer.Option(metavar="INTEGER", min=1, help="Rows shown at each end.")] = 5,
    csv_file: Annotated[Path | None, typer.Option("--csv", metavar="FILE", dir_okay=False, help="All samples as CSV.")] = None,
    json_file: JsonFile = None,
) -> None:
    """Show which samples of the forget set carry the most influence on the model's head, and how uneven that is."""
    _check_writable(csv_file, json_file)
    _choice("estimator", estimator, list(head_influence.ESTIMATORS))
    _choice("psi", psi, list(weights.PSI))
    asked = _load(context.params)
    found = _scores(asked, estimator, damping)
    held = weights.sample_weights(found, psi=psi)
    rows = _influence_rows(asked, found, held)
    facts = _influence_facts(asked, found, psi, held)
    _show_influence(rows, facts, top)
    if csv_file is not None:
        from imu_core.exports import scores_csv

        runtime.write_whole(csv_file, lambda part: part.write_text(scores_csv(asked, found, held), encoding="utf-8"))
        typer.echo(f"Written: {csv_file}")
    _write_json(json_file, {**facts, "samples": rows})


def _scores(problem: Problem, estimator: str, damping: float) -> Influence:
    index, head = problem.split.forget, problem.head
    Z, labels = problem.train.Z[index], problem.train.labels[index]
    return head_influence.head_scores(
        Z, labels, head.weight, head.bias, total=len(problem.dataset.train), estimator=estimator, damping=damping
    )


def _influence_rows(problem: Problem, found: Influence, held: Tensor) -> list[dict[str, Any]]:
    """One row a forget sample, the largest score first."""
    names, index = problem.dataset.class_names, problem.split.forget
    order = found.scores.argsort(descending=True, stable=True).tolist()
    return [
        {
            "rank": rank + 1,
            "id": int(index[i]),
            "class": names[int(problem.train.labels[index[i]])],
            "score": float(found.scores[i]),
            "weight": float(held[i]),
            "loss": float(found.losses[i]),
            "gradient_norm": float(found.gradient_norms[i]),
        }
        for rank, i in enumerate(order)
    ]


def _influence_facts(problem: Problem, found: Influence, psi: str, held: Tensor) -> dict[str, Any]:
    return {
        "problem": problem.describe(),
        "estimator": found.estimator,
        "damping": found.damping,
        "psi": psi,
        "forget": len(held),
        "total": found.total,
        "seconds": found.seconds,
        "residual": found.residual,
        "iterations": found.iterations,
        "positive_share": float((found.scores > 0).double().mean()),
        "top_share_of_scores": ranking.held_by_top(found.scores, _LARGEST_SHARE),
        "top_share_of_weights": ranking.held_by_top(held, _LARGEST_SHARE),
        "spearman_to_exact": _spearman_to_exact(problem, found),
    }


def _spearman_to_exact(problem: Problem, found: Influence) -> float | None:
    """Rank correlation of the scores with those of the exact head Hessian; None where there is nothing to rank."""
    try:
        exact = found if found.estimator == "exact" else _scores(problem, "exact", found.damping)
    except ImuError as error:
        _say(f"No comparison with exact: {error}")
        return None
    value = ranking.spearman(found.scores, exact.scores)
    return value if math.isfinite(value) else None


def _show_influence(rows: Sequence[Mapping[str, Any]], facts: Mapping[str, Any], top: int) -> None:
    samples = f"{facts['problem']['forget']}, {len(rows):,} of {facts['total']:,} samples"
    how = f"{facts['estimator']}, damping {facts['damping']:g}, psi {facts['psi']}, {facts['seconds']:.3f} s"
    typer.echo(f"{samples}: {how}")
    typer.echo(f"{'rank':>6} {'id':>7}  {'class':<12} {'score':>11} {'weight':>9} {'loss/nats':>10}")
    cut = len(rows) > 2 * top
    for row in rows[:top] if cut else rows:
        typer.echo(_influence_line(row))
    if cut:
        typer.echo(f"{'...':>6}")
        for row in rows[-top:]:
            typer.echo(_influence_line(row))
    rank = facts["spearman_to_exact"]
    typer.echo(f"Positive scores: {_percent(facts['positive_share'])} of the samples.")
    typer.echo(
        f"The {_LARGEST_SHARE * 100:g} % with the largest scores hold {_percent(facts['top_share_of_scores'])} "
        f"of all positive score and {_percent(facts['top_share_of_weights'])} of all weight."
    )
    typer.echo(f"Spearman correlation with exact: {'not defined' if rank is None else f'{rank:.3f}'}.")


def _influence_line(row: Mapping[str, Any]) -> str:
    return (
        f"{row['rank']:>6} {row['id']:>7}  {row['class']:<12} {row['score']:>+11.3e} {row['weight']:>9.3%} {row['loss']:>10.4f}"
    )


# --------------------------------------------------------------------------------------------------------------- info


_INFO_EXAMPLES = """\b
Example:
  python -m imu_core info --json info.json

Folders are set by IMU_HOME (trained models, features) and IMU_DATA (downloaded datasets)."""


@app.command("info", short_help="What is here, and what can be asked for.", epilog=_INFO_EXAMPLES)
@_speaking
def info_command(json_file: JsonFile = None) -> None:
    """What is here: versions, folders, datasets, trained models and references, methods, presets, forget requests."""
    facts = _facts()
    for title, lines in _info_sections(facts):
        typer.echo(title)
        for line in lines:
            typer.echo(f"  {line}")
    _write_json(json_file, facts)


def _facts() -> dict[str, Any]:
    shipped, made = checkpoints.folders()
    return {
        "versions": {"imu_core": metadata.version("imu-core"), "python": platform.python_version(), **_versions()},
        "threads": torch.get_num_threads(),
        "folders": {"shipped": str(shipped), "made": str(made), "home": str(runtime.home()), "data": str(runtime.data_folder())},
        "datasets": {name: {"title": source.title, "here": source.is_here()} for name, source in data.DATASETS.items()},
        "models": [card for dataset in data.DATASETS for model in MODELS for card in _cards(dataset, model)],
        "architectures": list(MODELS),
        "methods": {name: _method_facts(name) for name in methods.METHODS},
        "presets": dict(methods.PRESETS),
        "requests": GRAMMAR,
    }


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def _cards(dataset: str, model: str) -> list[dict[str, Any]]:
    return [{"path": str(stored.path), **stored.card} for stored in checkpoints.listing(dataset, model)]


def _method_facts(name: str) -> dict[str, Any]:
    method = methods.METHODS[name]
    return {
        "title": method.title,
        "source": method.source,
        "sees": sorted(method.needs(RunConfig(method=name))),
        "head": method.head,
        "uses": list(method.uses),
    }


def _info_sections(facts: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    yield "Versions", [f"{name} {version}" for name, version in facts["versions"].items()]
    yield "Folders", [f"{name:<8} {path}" for name, path in facts["folders"].items()]
    yield "Datasets", [f"{name:<14} {d['title']}: {'here' if d['here'] else 'not here'}" for name, d in facts["datasets"].items()]
    yield "Trained models", [_model_line(card) for card in facts["models"]] or ["none"]
    yield "Methods and what each sees", [_method_line(name, method) for name, method in facts["methods"].items()]
    yield "Presets", [f"{name:<12} {text}" for name, text in facts["presets"].items()]
    yield "Forget requests", facts["requests"].replace("), ", ")\n").split("\n")


def _method_line(name: str, method: Mapping[str, Any]) -> str:
    return f"{name:<10} {', '.join(method['sees']) or 'nothing'}; {method['source']}"


def _model_line(card: Mapping[str, Any]) -> str:
    role = "original" if card["role"] == "original" else f"retrained without {card['request']}"
    seed = f", seed {card['seed']}" if card["seed"] else ""
    return f"{card['dataset']}/{card['model']} {role}{seed}: {_card_line(card)}"
