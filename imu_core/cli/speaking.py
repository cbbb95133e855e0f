"""What the commands share: options that mean the same everywhere, and how commands speak, write files and stop."""

from __future__ import annotations

import csv
import functools
import io
import json
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Protocol

import typer

from imu_core import data, methods, runtime
from imu_core.data import notes
from imu_core.errors import ConfigError, DiskError, ImuError, cut
from imu_core.models import MODELS
from imu_core.problems.forget import GRAMMAR
from imu_core.problems.problem import prepare
from imu_core.problems.problem import problem as make_problem
from imu_core.records.outcome import State
from imu_core.records.run import Problem, finite
from imu_core.records.shapes import Card
from imu_core.report.numbers import percent
from imu_core.settings import RUN, Setting


def option(about: Setting, *names: str, **more: Any) -> Any:
    """Typer's option for the setting `about`; its help says what the setting does and what is allowed.

    What is not allowed is refused where the settings are put together, in the sentence that pages, links and files give too.
    """
    return typer.Option(*names, help=f"{about.help} Allowed: {about.allowed}.", **more)


ProblemName = Annotated[str, typer.Option("--problem", help=f"Dataset: {', '.join(data.DATASETS)}.")]
ModelName = Annotated[
    str | None,
    typer.Option("--model", help=f"Architecture: {', '.join(MODELS)}. By default the usual one of the dataset."),
]
Forget = Annotated[
    str | None,
    typer.Option("--forget", metavar="REQUEST", help=f"What to forget: {GRAMMAR}. By default class:Sandal."),
]
ProblemSeed = Annotated[int, option(RUN["problem_seed"], "--problem-seed", metavar="INTEGER")]
JsonFile = Annotated[Path | None, typer.Option("--json", metavar="FILE", dir_okay=False, help="Write the result as JSON, whole.")]
Damping = Annotated[float | None, option(RUN["damping"])]
Estimator = Annotated[str | None, option(RUN["estimator"])]
Psi = Annotated[str | None, option(RUN["psi"])]

Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="A setting by name, also one that only this method has; repeatable."),
]
Plugins = Annotated[
    list[Path] | None,
    typer.Option("--plugin", metavar="FILE", help="Python file with methods of your own; it is run. Repeatable."),
]
Name = Annotated[str, typer.Option("--name", help="What the stored run is called.")]
Tags = Annotated[list[str] | None, typer.Option("--tag", metavar="WORD", help="A tag of the stored run; repeatable.")]


class Cancellable(Protocol):
    """Work that ends at its next step once `cancel` was called."""

    def cancel(self) -> None:
        """Ask the work to stop."""


def say(text: str) -> None:
    """Write `text`, cut where it is long, to stderr, where progress and notes go."""
    typer.echo(cut(text), err=True)


def speaking(command: Callable[..., None]) -> Callable[..., None]:
    """`command`, wrapped: an ImuError, OSError or Ctrl-C ends in a sentence on stderr and an exit code, not in a traceback."""

    @functools.wraps(command)
    def spoken(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except ImuError as error:
            say(str(error))
            raise typer.Exit(1 if isinstance(error, DiskError) else 2) from None
        except OSError as error:
            say(cut(f"{error.filename or 'A file'} cannot be used: {error.strerror or error}."))
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            say("Stopped by you.")
            raise typer.Exit(130) from None

    return spoken


def exit_code(state: State) -> int:
    """What a command ends with whose work ended in `state`: 1 failed, 130 stopped by Ctrl-C, else 0."""
    return {"failed": 1, "cancelled": 130}.get(state, 0)


@contextmanager
def stoppable(work: Cancellable) -> Iterator[None]:
    """Inside the `with` block, Ctrl-C asks `work` to stop at its next step; a second Ctrl-C ends the program at once."""

    def stop(*_: object) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        say("Stopping; press Ctrl-C again to end at once.")
        work.cancel()

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def write_json(path: Path | None, content: Mapping[str, Any]) -> None:
    """Write `content` as strict JSON (nan becomes null) to `path`, whole or not at all. Without a path nothing happens."""
    if path is not None:
        text = json.dumps(finite(dict(content)), indent=1, allow_nan=False, ensure_ascii=False) + "\n"
        runtime.write_whole(path, lambda part: part.write_text(text, encoding="utf-8"))
        typer.echo(f"Written: {path}")


def write_csv(path: Path | None, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write `rows` as CSV to `path`, whole or not at all, with every column that any row has. Without a path nothing happens."""
    if path is not None:
        text = io.StringIO()
        writer = csv.DictWriter(text, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        runtime.write_whole(path, lambda part: part.write_text(text.getvalue(), encoding="utf-8"))
        typer.echo(f"Written: {path}")


def assignments(given: Sequence[str] | None) -> dict[str, str]:
    """["beta=0.5"] → {"beta": "0.5"}; ConfigError for a text without an equals sign, or a name given twice."""
    settings: dict[str, str] = {}
    for text in given or ():
        name, equals, value = text.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or not name or name in settings:
            raise ConfigError(f"--set is {text[:60]!r}; it must be NAME=VALUE, such as beta=0.5, and each name once.")
        settings[name] = value.strip()
    return settings


def load_plugins(files: Sequence[Path] | None) -> None:
    """Make the methods of installed packages and of `files` known; ConfigError where a file cannot be loaded."""
    methods.load_plugins(files or ())


def check_writable(*paths: Path | None) -> None:
    """ConfigError where no file can be written to one of `paths`. Call it before the work, so that no result is lost after it."""
    for path in filter(None, paths):
        try:
            runtime.check_place(path)
        except OSError as error:
            raise ConfigError(f"{cut(str(path), 200, 60)} cannot be written: {error.strerror}. Name another file.") from error


def fetch(dataset: str) -> None:
    """Download `dataset` where it is not on this machine yet, with a line of progress for every tenth.

    Of images in a folder it also says what was left out and what is there twice.
    """
    if not data.is_here(dataset):
        say(f"{dataset} is not on this machine yet. {data.source(dataset).verb}ing it.")
        say_tenths(data.download(dataset))
    if dataset.startswith((data.FOLDER, data.MARKET)):
        for note in notes.about(data.load(dataset)):
            say(f"Note: {note}")


def say_tenths(steps: Iterable[tuple[float, str]]) -> None:
    """Go through `steps`, which yield (fraction done, what is done), and write a line to stderr for every tenth."""
    tenth = -1
    for fraction, words in steps:
        if int(10 * fraction) > tenth:
            tenth = int(10 * fraction)
            say(f"  {fraction:4.0%}  {words}")


def load(values: Mapping[str, Any]) -> Problem:
    """The problem that the options name. Lines on stderr come first: reading a model's features the first time takes seconds."""
    RUN["problem_seed"].check(values["problem_seed"], "--problem-seed")
    dataset, usual = values["problem"], data.usual(values["problem"])
    model, forget = (usual[n] if values[name] is None else values[name] for n, name in enumerate(("model", "forget")))
    say(f"Reading {dataset}, {model} and its features.")
    say_tenths(prepare(dataset, model=model))
    problem = make_problem(dataset, model=model, forget=forget, seed=values["problem_seed"])
    for note in notes.before(problem):
        say(f"Note: {note}")
    return problem


def card_line(card: Card) -> str:
    """Accuracies, epochs and seconds of a trained model, in one line."""
    accuracies = ", ".join(f"{name} {percent(value)}" for name, value in card["accuracies"].items())
    if "brought" in card:
        return f"{accuracies}, brought as {card['brought']['architecture']}"
    return f"{accuracies}, {card['recipe']['epochs']} epochs, {card['seconds']:.0f} s"
