"""Every method that ships, by name: what the modules of `families` declare in their METHODS. A new one is a file there."""

from __future__ import annotations

import importlib
import pkgutil

from imu_core import glossary
from imu_core.errors import ConfigError
from imu_core.methods import families
from imu_core.methods.base import Method

_FIRST = ("imu", "ga", "npo")  # in every list; the others stand as their files do


def _declared() -> dict[str, Method]:
    """The methods of all modules of `families` by name; a ConfigError where two have one name."""
    declared: dict[str, Method] = {}
    for module in pkgutil.iter_modules(families.__path__, f"{families.__name__}."):
        own: dict[str, Method] = importlib.import_module(module.name).METHODS
        if twice := declared.keys() & own.keys():
            raise ConfigError(f"{module.name} declares {', '.join(sorted(twice))}, which another file does too.")
        declared |= own
    return {name: declared[name] for name in (*_FIRST, *declared)}


METHODS: dict[str, Method] = _declared()
for _name, _method in METHODS.items():
    glossary.add(_method.explained().term(_name))


def find(name: str) -> Method:
    """The method called `name`, or a ConfigError that lists the names there are."""
    if name not in METHODS:
        raise ConfigError(f"There is no method called {name!r}. Known methods: {', '.join(METHODS)}.")
    return METHODS[name]
