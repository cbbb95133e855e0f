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

from imu_core.errors import ConfigError
from imu_core.methods.base import STREAMS, Method
from imu_core.methods.registry import METHODS

GROUP = "imu_core.methods"
_LOADED: set[Path] = set()


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
    except Exception as error:
        warnings.warn(f"{what} cannot be used: {error}", stacklevel=3)


def _load_file(path: Path) -> None:
    path = path.expanduser().resolve()
    if path in _LOADED:
        return
    if not path.is_file():
        raise ConfigError(f"{path} is no file; --plugin takes a Python file that registers a method.")
    before = set(METHODS)
    try:
        runpy.run_path(str(path), run_name=f"imu_plugin_{path.stem}")
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(f"{path.name} cannot be loaded: {type(error).__name__}: {error}") from error
    if set(METHODS) == before:
        raise ConfigError(f"{path.name} registers no method: call imu_core.methods.register(name, Method(...)) in it.")
    _LOADED.add(path)


__all__ = ["GROUP", "load_plugins", "register"]
