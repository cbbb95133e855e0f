"""Methods from elsewhere: entry points of installed packages, and Python files that are named.

A package declares  [project.entry-points."imu_core.methods"]  bounded = "mypackage.unlearning:BOUNDED"  with a `Method` there.
A file calls `register("bounded", Method(...))`; it is named by `--plugin FILE`, or in the environment variable IMU_METHODS
(several, separated as in PATH). Both run with all rights of this program: load only what you trust.
"""

from __future__ import annotations

import os
import re
import runpy
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from imu_core import glossary, runtime
from imu_core.errors import ConfigError, cut, told
from imu_core.methods.base import SEES, STREAMS, Method, Parameter
from imu_core.methods.card import Card, Look
from imu_core.methods.registry import METHODS
from imu_core.records.run import RunConfig

GROUP = "imu_core.methods"
_LOADED: set[Path] = set()
_FOREIGN: dict[str, Method] = {}  # as they were given
_LONGEST_FILE = 10_000_000  # bytes


def register(name: str, method: Method) -> None:
    """Add `method` to the registry as `name`; ConfigError where the name is taken or the method is not well formed.

    Its `needs` and `stream` are called at once with default settings; their answers are checked now and at every later call.
    """
    if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9_]{0,30}", name):
        raise ConfigError(
            f"A method cannot be called {name!r}: small letters, digits and underscores, a letter first, at most 31."
        )
    if not isinstance(method, Method):
        raise ConfigError(f"{name} is a {type(method).__name__}; it must be an imu_core.methods.Method.")
    if name in METHODS:
        if method in (METHODS[name], _FOREIGN.get(name)):
            return
        raise ConfigError(f"There is a method called {name!r} already; choose another name.")
    _check_fields(name, method)
    METHODS[name] = _guarded(name, method)
    _FOREIGN[name] = method
    glossary.add(method.explained().term(name))


def _check_fields(name: str, method: Method) -> None:
    """A ConfigError where a field of `method` is none of its kind."""
    if not callable(method.start) or not callable(method.needs):
        raise ConfigError(f"{name}: start and needs must be functions; `needs('forget')` makes one.")
    if not callable(method.stream) and method.stream not in STREAMS:
        raise ConfigError(f"{name}: stream is {told(method.stream)}; allowed are {', '.join(STREAMS)}.")
    for field in ("title", "family", "source", "strength", "note"):
        if not isinstance(getattr(method, field), str):
            raise ConfigError(f"{name}: {field} is {told(getattr(method, field))}; it must be a text.")
    if not isinstance(method.uses, tuple) or not set(method.uses) <= {setting.name for setting in fields(RunConfig)}:
        raise ConfigError(f"{name}: uses is {told(method.uses)}; it must be a tuple of settings of RunConfig.")
    if not isinstance(method.parameters, tuple) or not all(isinstance(own, Parameter) for own in method.parameters):
        raise ConfigError(f"{name}: parameters is {told(method.parameters)}; it must be a tuple of imu_core.methods.Parameter.")
    for field, kind in (("look", Look), ("card", Card)):
        if not isinstance(getattr(method, field), kind | None):
            raise ConfigError(
                f"{name}: {field} is {told(getattr(method, field))}; it must be None or an imu_core.methods.{kind.__name__}."
            )
    for field in ("gentle", "authors", "fixed"):
        if not isinstance(getattr(method, field), Mapping):
            raise ConfigError(f"{name}: {field} is {told(getattr(method, field))}; it must be a dict of settings of RunConfig.")


def _guarded(name: str, method: Method) -> Method:
    """`method`, whose `needs` and `stream` answer well or raise a ConfigError that names it; they have answered once."""

    def needs(config: RunConfig) -> frozenset[str]:
        names = _answer(name, "needs", lambda: frozenset(method.needs(config)))
        if not names <= set(SEES):
            raise ConfigError(f"{name}, a method from elsewhere, needs {told(set(names))}; allowed are {', '.join(SEES)}.")
        return names

    def stream(config: RunConfig) -> str:
        choice = _answer(name, "stream", lambda: method.stream_for(config))
        if not isinstance(choice, str) or choice not in STREAMS:
            raise ConfigError(
                f"{name}, a method from elsewhere, has the stream {told(choice)}; allowed are {', '.join(STREAMS)}."
            )
        return choice

    made = replace(method, needs=needs, stream=stream if callable(method.stream) else method.stream)
    usual = RunConfig(method=name)
    made.needs(usual), made.stream_for(usual), _answer(name, "parameters", lambda: method.options(usual))
    return made


def _answer(name: str, what: str, ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except BaseException as error:  # sys.exit, too: a method may not end the program
        if is_ctrl_c(error):
            raise
        raise ConfigError(
            f"{name}, a method from elsewhere, fails when it is asked for its {what} ({said(error)}). Mend it, or leave it out."
        ) from error


def is_ctrl_c(error: BaseException) -> bool:
    """Whether `error` is Ctrl-C: a KeyboardInterrupt in the main thread. In any other thread a method raised it by itself."""
    return isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread()


def load_plugins(files: Sequence[str | Path] = ()) -> list[str]:
    """Load methods of installed packages, of IMU_METHODS and of `files`; returns the names that are new. A file loads once.

    A damaged one of `files` raises ConfigError; a damaged package or file of IMU_METHODS only warns, so that it stops nobody.
    """
    before = set(METHODS)
    for entry in metadata.entry_points(group=GROUP):
        if entry.name not in METHODS:
            _or_warn(f"The method {entry.name!r} of {entry.value}", lambda e=entry: register(e.name, e.load()))
    for name in filter(None, os.environ.get("IMU_METHODS", "").split(os.pathsep)):
        _or_warn(f"The file {name} in IMU_METHODS", lambda n=name: _load_file(Path(n)))
    for name in files:
        _load_file(Path(name))
    return [name for name in METHODS if name not in before]


def _or_warn(what: str, load: Callable[[], None]) -> None:
    try:
        load()
    except BaseException as error:  # sys.exit, too
        if is_ctrl_c(error):
            raise
        warnings.warn(cut(f"{what} cannot be used: {said(error)}"), stacklevel=3)


def is_foreign(name: str) -> bool:
    """Whether the method `name` came from a package or a file, so that its faults are not this program's."""
    return name in _FOREIGN


def said(error: BaseException) -> str:
    """Type and message of `error`, or the type alone: some errors of other people cannot even be printed."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:
        return type(error).__name__


def _load_file(path: Path) -> None:
    try:
        path = path.expanduser().resolve()
        if path in _LOADED:
            return
        runtime.read_bytes(path, _LONGEST_FILE)
    except (OSError, ValueError, RuntimeError) as error:  # a null byte; links in a circle
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"{cut(str(path), 200, 60)} is no file that can be read ({reason}); --plugin takes a Python file that registers a "
            "method."
        ) from error
    before = set(METHODS)
    try:
        runpy.run_path(str(path), run_name=f"imu_plugin_{path.stem}")
    except ConfigError:
        raise
    except BaseException as error:  # sys.exit, too: a file of methods may not end the program
        if is_ctrl_c(error):
            raise
        raise ConfigError(f"{path.name} cannot be loaded: {said(error)}") from error
    if set(METHODS) == before:
        raise ConfigError(f"{path.name} registers no method: call imu_core.methods.register(name, Method(...)) in it.")
    _LOADED.add(path)


__all__ = ["GROUP", "is_ctrl_c", "is_foreign", "load_plugins", "register", "said"]
