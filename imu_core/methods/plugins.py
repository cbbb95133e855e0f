"""Methods from elsewhere: entry points of installed packages, and Python files that are named.

A package declares  [project.entry-points."imu_core.methods"]  bounded = "mypackage.unlearning:BOUNDED"  with a `Method` there.
A file calls `register("bounded", Method(...))`; it is named by `--plugin FILE`, or in the environment variable IMU_METHODS
(several, separated as in PATH). Both run with all rights of this program: load only what you trust.
"""

from __future__ import annotations

import os
import re
import runpy
import warnings
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path

from imu_core import runtime
from imu_core.errors import ConfigError, cut
from imu_core.methods.base import STREAMS, Method
from imu_core.methods.registry import METHODS

GROUP = "imu_core.methods"
_LOADED: set[Path] = set()
_FOREIGN: set[str] = set()
_LONGEST_FILE = 10_000_000  # bytes


def register(name: str, method: Method) -> None:
    """Add `method` to the registry as `name`; ConfigError where the name is taken or the method is not well formed."""
    if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9_]{0,30}", name):
        raise ConfigError(
            f"A method cannot be called {name!r}: small letters, digits and underscores, a letter first, at most 31."
        )
    if not isinstance(method, Method):
        raise ConfigError(f"{name} is a {type(method).__name__}; it must be an imu_core.methods.Method.")
    if METHODS.get(name, method) is not method:
        raise ConfigError(f"There is a method called {name!r} already; choose another name.")
    if not callable(method.start) or not callable(method.needs):
        raise ConfigError(f"{name}: start and needs must be functions; `needs('forget')` makes one.")
    if isinstance(method.stream, str) and method.stream not in STREAMS:
        raise ConfigError(f"{name}: stream is {method.stream!r}; allowed are {', '.join(STREAMS)}.")
    METHODS[name] = method
    _FOREIGN.add(name)


def load_plugins(files: Sequence[str | Path] = ()) -> list[str]:
    """Load what installed packages and IMU_METHODS offer, and `files`; the names that were new. A file loads once.

    A damaged file that was asked for is a ConfigError; a damaged package or environment is a warning, so that it stops nobody.
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
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # sys.exit, too
        warnings.warn(cut(f"{what} cannot be used: {said(error)}"), stacklevel=3)


def is_foreign(name: str) -> bool:
    """Whether the method `name` came from a package or a file, so that its faults are not this program's."""
    return name in _FOREIGN


def said(error: BaseException) -> str:
    """Its kind and its words; some errors of other people cannot even be printed."""
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
    except (ConfigError, KeyboardInterrupt):
        raise
    except BaseException as error:  # sys.exit, too: a file of methods may not end the program
        raise ConfigError(f"{path.name} cannot be loaded: {said(error)}") from error
    if set(METHODS) == before:
        raise ConfigError(f"{path.name} registers no method: call imu_core.methods.register(name, Method(...)) in it.")
    _LOADED.add(path)


__all__ = ["GROUP", "is_foreign", "load_plugins", "register", "said"]
