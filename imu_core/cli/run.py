"""`run`: make a trained model forget, and compare with the retrained model."""

from __future__ import annotations

import dataclasses
import math
import shlex
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from imu_core import methods, runtime
from imu_core.cli import app
from imu_core.cli.speaking import (
    Damping,
    Estimator,
    Forget,
    JsonFile,
    ModelName,
    Name,
    Plugins,
    ProblemName,
    ProblemSeed,
    Psi,
    Settings,
    Tags,
    assignments,
    check_writable,
    exit_code,
    load,
    load_plugins,
    option,
    say,
    speaking,
    stoppable,
    write_json,
)
from imu_core.errors import ConfigError, ImuError
from imu_core.evaluation.measurement import Measurement
from imu_core.experiments.sweep import parse_value, with_settings
from imu_core.problems.reference import retrained, target
from imu_core.records.run import Point, Problem, RunConfig, scope_blocks
from imu_core.records.shapes import Metrics
from imu_core.report.numbers import percent
from imu_core.report.summary import effort_line, metric_lines, sentence
from imu_core.settings import RUN, Setting
from imu_core.store.runs import Store, save_run
from imu_core.unlearning.run import Run, unlearn

_RETRAINED = "retrained"  # what --stop-at may say instead of a number
_STOP_AT = dataclasses.replace(RUN["stop_at"], words=(_RETRAINED,))

_RUN_EXAMPLES = """\b
Examples:
  python -m imu_core run --forget class:Sandal --method imu --json out.json
  python -m imu_core run --forget class:Sandal --method ga --stop-at 0.05
  python -m imu_core run --method imu --control permuted
  python -m imu_core run --forget random:10%,seed=0 --preset "five epochs"
  python -m imu_core run --method npo --scope last:2 --epochs 3 --no-metrics
  python -m imu_core run --method imu --save unlearned.safetensors
  python -m imu_core run --method npo --set beta=0.5 --store --name "softer NPO" --tag talk

Fractions are 0 to 1. The JSON holds the config, every point of the trajectory, seconds by phase, and the final metrics.
Exit codes: 0 done or diverged, 1 failed, 2 an argument cannot be used, 130 stopped by Ctrl-C."""


@app.command("run", epilog=_RUN_EXAMPLES)
@speaking
def run_command(
    context: typer.Context,
    problem: ProblemName = "fashion",
    model: ModelName = None,
    forget: Forget = None,
    problem_seed: ProblemSeed = 0,
    method: Annotated[str, typer.Option(help=f"How to unlearn: {', '.join(methods.METHODS)}.")] = "imu",
    scope: Annotated[str, option(RUN["scope"])] = RUN["scope"].default,
    preset: Annotated[str, typer.Option(help=f"Where settings start: {', '.join(methods.PRESETS)}.")] = "gentle",
    seed: Annotated[int, option(RUN["seed"])] = RUN["seed"].default,
    learning_rate: Annotated[float | None, option(RUN["learning_rate"])] = None,
    epochs: Annotated[int | None, option(RUN["epochs"])] = None,
    batch_size: Annotated[int | None, option(RUN["batch_size"])] = None,
    optimizer: Annotated[str | None, option(RUN["optimizer"])] = None,
    momentum: Annotated[float | None, option(RUN["momentum"])] = None,
    weight_decay: Annotated[float | None, option(RUN["weight_decay"])] = None,
    schedule: Annotated[str | None, option(RUN["schedule"])] = None,
    augment: Annotated[bool | None, option(RUN["augment"])] = None,
    bn: Annotated[str | None, option(RUN["bn"])] = None,
    stop_at: Annotated[str | None, option(_STOP_AT, metavar="FRACTION")] = None,
    eval_every: Annotated[int | None, option(RUN["eval_every"])] = None,
    estimator: Estimator = None,
    damping: Damping = None,
    psi: Psi = None,
    top: Annotated[float | None, option(RUN["top"])] = None,
    clip_quantile: Annotated[str | None, option(RUN["clip_quantile"], metavar="FRACTION")] = None,
    control: Annotated[str | None, option(RUN["control"])] = None,
    update_every: Annotated[str | None, option(RUN["update_every"], metavar="EPOCHS")] = None,
    weight_norm: Annotated[str | None, option(RUN["weight_norm"])] = None,
    l1: Annotated[float | None, option(RUN["l1"])] = None,
    beta: Annotated[float | None, option(RUN["beta"])] = None,
    metrics: Annotated[bool, typer.Option(help="Measure membership and divergence at the end (seconds).")] = True,
    save: Annotated[Path | None, typer.Option(metavar="FILE", dir_okay=False, help="Unlearned model as safetensors.")] = None,
    settings: Settings = None,
    plugins: Plugins = None,
    store: Annotated[bool, typer.Option("--store", help="Keep the run in the database (see: runs).")] = False,
    name: Name = "",
    tags: Tags = None,
    json_file: JsonFile = None,
) -> None:
    """Make a trained model forget, and compare it with the model that never saw the forgotten data.

    Settings come from --preset; every option given on the command line overrides it. The same seed gives the same bits.
    """
    if save is not None and save.suffix != ".safetensors":
        raise ConfigError(f"--save is {str(save)!r}; the name of the file must end in .safetensors.")
    check_writable(save, json_file)
    database, config = Store() if store else None, _config(context.params)
    case = load(context.params)
    work = unlearn(case, _with_target(config, case, stop_at or _own_target(settings)))
    _follow(work)
    measured, ended = _measure(work) if metrics and work.outcome.state in ("done", "diverged") else ({}, work.outcome.state)
    _summarise(work, measured)
    if save is not None and work.outcome.state != "failed":
        _save_model(work, save)
    if database is not None:
        typer.echo(f"Stored: {save_run(database, work, measured, name, tags or ())}")
    write_json(json_file, dataclasses.replace(work.trajectory, metrics=measured).to_dict())
    raise typer.Exit(exit_code(ended))


def _config(values: Mapping[str, Any]) -> RunConfig:
    """The preset, with every setting that was given on the command line put over it."""
    load_plugins(values["plugins"])
    method, chosen = methods.find(values["method"]), assignments(values["settings"])
    scope_blocks(values["scope"])
    for name in ("estimator", "psi", "control"):
        if values[name] is not None:
            RUN[name].check(values[name], f"--{name}")
    start = methods.preset(values["preset"], values["method"], values["scope"], values["seed"])
    given = {f.name: values[f.name] for f in dataclasses.fields(RunConfig) if values.get(f.name) is not None}
    for about in (_STOP_AT, RUN["clip_quantile"]):
        if about.name in given:
            given[about.name] = _fraction_or_none(about, given[about.name])
    if given.get("update_every", "").isdecimal():
        given["update_every"] = int(given["update_every"])
    _warn_of_idle(method, given | chosen)
    return with_settings(dataclasses.replace(start, **given), {name: parse_value(text) for name, text in chosen.items()})


def _own_target(settings: Sequence[str] | None) -> str | None:
    """The text behind `--set stop_at=`, a target of the user's own that the request does not change; None without it."""
    return assignments(settings).get("stop_at")


def _fraction_or_none(about: Setting, text: str) -> float | None:
    """The fraction that `text` says; None for "none", and for "retrained", which is read from the retrained model later."""
    given: Any = None if text == "none" else text
    with suppress(ValueError, TypeError):
        given = float(given)
    checked = about.check(given, f"--{about.name.replace('_', '-')}")
    return None if checked == _RETRAINED else checked


def _with_target(config: RunConfig, problem: Problem, stop_at: str | None) -> RunConfig:
    """`config` with the target that `stop_at` or the forget set asks for; ConfigError where a needed reference is missing."""
    if stop_at == _RETRAINED:
        reference = retrained(problem)
        if reference is None:
            raise ConfigError(f"No retrained reference is stored to stop at. Train it with: {_train_command(problem)}")
        return dataclasses.replace(config, stop_at=reference.accuracies["forget"])
    aim = target(problem) if stop_at is None and config.stop_at is not None else None
    if aim is None:
        return config
    say(
        f"Note: the preset stops at {percent(config.stop_at)}, which suits whole classes. The forget set is none: stopping "
        f"at {percent(aim[0])} instead, {aim[1]}. Another target: --stop-at FRACTION."
    )
    return dataclasses.replace(config, stop_at=aim[0])


def _warn_of_idle(method: methods.Method, given: Mapping[str, Any]) -> None:
    """Say which of the given settings change nothing for this method."""
    special = {name for known in methods.METHODS.values() for name in known.uses}
    idle = sorted(name.replace("_", "-") for name in given if name in special and name not in method.uses)
    if idle:
        say(f"Note: {method.title} does not use --{', --'.join(idle)}.")


def _follow(work: Run) -> None:
    """Iterate the run to its end, with a line on stderr about once a second."""
    last_line_at = -math.inf
    with stoppable(work):
        for point in work:
            if time.monotonic() - last_line_at > 1.0:
                last_line_at = time.monotonic()
                say(_progress_line(point, work.steps))


def _progress_line(point: Point, steps: int) -> str:
    accuracies = "  ".join(f"{name} {percent(value)}" for name, value in point.accuracies.items())
    return f"step {point.step}/{steps}  {accuracies}" + ("" if point.full else "  (subsets)")


def _measure(work: Run) -> tuple[Metrics, str]:
    """(final metrics of a finished run, how the measuring ended); what was measured before a Ctrl-C or an error stays."""
    measurement = Measurement(work)
    try:
        with stoppable(measurement):
            for fraction, what in measurement:
                say(f"measuring {fraction:.0%}: {what}")
    except ImuError as error:
        say(f"Not everything could be measured: {error}")
    return measurement.result, measurement.outcome.state


def _save_model(work: Run, path: Path) -> None:
    from imu_core.report.exports import to_safetensors  # it brings pandas along, which takes a moment

    content = to_safetensors(work.model(), work.trajectory)
    runtime.write_whole(path, lambda part: part.write_bytes(content))
    typer.echo(f"Written: {path}")


def _summarise(work: Run, measured: Metrics) -> None:
    if not work.points:
        say(f"{work.method.title} {work.outcome.state}: {work.outcome.reason}")
        return
    reference = retrained(work.problem)
    typer.echo(sentence(work, reference.accuracies if reference else None))
    typer.echo(f"How it ended: {work.outcome.state}. {work.outcome.reason}")
    for line in (*metric_lines(work, measured), effort_line(work)):
        typer.echo(line)
    if reference is None:
        typer.echo(f"Nothing is stored to compare with. Train the retrained reference with: {_train_command(work.problem)}")


def _train_command(problem: Problem) -> str:
    request = shlex.quote(problem.split.request)
    return f"python -m imu_core train --problem {problem.dataset.name} --model {problem.model_name} --forget {request}"
