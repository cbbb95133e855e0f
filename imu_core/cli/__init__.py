"""The command line, `python -m imu_core`: what the pages show, as numbers, JSON and CSV.

Progress goes to stderr, results to stdout. Exit codes: 0 done (also where a run diverged: that is a result), 1 the run
failed, 2 an argument cannot be used, 130 stopped by Ctrl-C. What a command needs is loaded when it is used, so that `--help`
comes at once.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command_from_info, get_group_from_info

from imu_core.errors import cut

# Name → (file in this folder, what it does in short), in the order in which --help lists them.
COMMANDS = {
    "run": ("run", "Forget, and compare with the retrained model."),
    "sweep": ("sweep", "Many runs, stored as they end; goes on where it was."),
    "runs": ("runs", "Stored runs: list, show, export, import, delete, restore."),
    "table": ("table", "All methods on equal terms, at every scope."),
    "tables": ("tables", "The IMU paper's tables again, beside its numbers."),
    "train": ("train", "Train a model or a retrained reference."),
    "own": ("own", "A model of your own: bring, list, delete."),
    "influence": ("influence", "Which samples carry the most influence."),
    "reid": ("people", "Which scope makes a person harder to find?"),
    "people": ("people", "Write the synthetic people in Market-1501's layout."),
    "look": ("look", "Where a model looks, before and after."),
    "info": ("info", "What is here, and what can be asked for."),
    "app": ("serve", "Start the pages: open them in a browser."),
}


class _Later(TyperCommand):
    """A command by its name alone; its file is loaded once it is used."""

    def make_context(self, info_name: str | None, args: list[str], *given: Any, **more: Any) -> typer.Context:
        """The context that the command itself makes, once its file is loaded."""
        return self._loaded().make_context(info_name, args, *given, **more)

    def _loaded(self) -> Any:
        importlib.import_module(f"imu_core.cli.{COMMANDS[self.name][0]}")
        settings = {"pretty_exceptions_short": True, "rich_markup_mode": None}
        for info in app.registered_commands:
            if info.name == self.name:
                return get_command_from_info(info, **settings)
        group = next(info for info in app.registered_groups if info.name == self.name)
        return get_group_from_info(group, suggest_commands=True, **settings)


class _Commands(TyperGroup):
    """The group of all commands. An argument that cannot be one ends in a sentence, and long arguments are cut in sentences."""

    def __init__(self, **settings: Any) -> None:
        later = {name: _Later(name, short_help=words, help=words) for name, (_, words) in COMMANDS.items()}
        super().__init__(**settings | {"commands": later})

    def list_commands(self, ctx: typer.Context) -> list[str]:
        """The names of the commands, in the order of `COMMANDS`."""
        return list(self.commands)

    def make_context(self, info_name: str | None, args: list[str], *given: Any, **more: Any) -> typer.Context:
        """The context that Typer makes; BadParameter where an argument holds a null byte."""
        with _short():
            if any("\0" in argument for argument in args):
                raise typer.BadParameter("an argument holds a null byte, which no name or number has. Leave it out.")
            return super().make_context(info_name, args, *given, **more)

    def invoke(self, ctx: typer.Context) -> Any:
        """What Typer returns. It reads the arguments of the command itself here, so sentences about them are cut here too."""
        with _short():
            return super().invoke(ctx)


@contextmanager
def _short() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if hasattr(error, "format_message"):  # what click, or Typer's own copy of it, says of an argument
            error.message = cut(str(error.message), 600, 150)
        raise


app = typer.Typer(
    cls=_Commands,
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


@app.callback()
def _any() -> None:
    pass  # so that Typer makes a group before it knows any command
