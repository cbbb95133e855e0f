"""Which runs a sweep means: a grid of names and settings from a mapping or a YAML file, checked before anything runs."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from imu_core import data, methods, runtime
from imu_core.errors import ConfigError, cut
from imu_core.models import MODELS, known
from imu_core.parsing import from_yaml
from imu_core.problems.problem import problem as make_problem
from imu_core.records.run import RunConfig
from imu_core.records.shapes import About, Json, Value
from imu_core.settings import RUN
from imu_core.store.stored import Measure, run_key

_DEFAULTS: dict[str, Value] = {
    "problem": "fashion",
    "model": "",  # the usual one of the data set
    "forget": "",
    "problem_seed": 0,
    "method": "imu",
    "scope": "head",
    "preset": "gentle",
    "seed": 0,
}
_SINGULAR = {f"{name}s": name for name in _DEFAULTS}
_OTHERS = ("settings", "overrides", "name", "tags", "measure", "plugins")
_FIELDS = {f.name for f in dataclasses.fields(RunConfig)} - {"method", "scope", "seed", "options"}
_MOST_CELLS, _MOST_SEEDS, _LONGEST_FILE = 20_000, 10_000, 1_000_000


@dataclass(frozen=True)
class Cell:
    """One run of a sweep, as names and settings, small enough to send anywhere; `forget` is spelt as a split's `request` is."""

    dataset: str
    model: str
    forget: str
    problem_seed: int
    config: RunConfig

    def describe(self) -> About:
        """The problem as `Problem.describe` words it."""
        return {
            "dataset": self.dataset,
            "model": self.model,
            "forget": self.forget,
            "seed": self.problem_seed,
            "history": [],
        }

    @property
    def key(self) -> str:
        """The key under which the store finds this run."""
        return run_key(self.describe(), self.config)

    @property
    def title(self) -> str:
        """The run in a few words."""
        return f"{self.config.method} ({self.config.scope}), {self.forget[:60]}, seed {self.config.seed}"


# A grid, from text.


def read_spec(spec: Mapping[str, Json] | Path | str) -> dict[str, Json]:
    """A sweep's description from a mapping or a YAML file, with the names of its parts checked.

    problem, model, forget, problem_seed, method, scope, preset, seed take one value or a list (their plurals are understood;
    seeds may be written 0-4); `settings` maps settings to values or lists; `overrides` does so for single methods. name,
    tags, measure and plugins go to the Sweep. ConfigError names what is not known.
    """
    given = _load_yaml(Path(spec)) if isinstance(spec, (str, Path)) else spec
    if not isinstance(given, Mapping):
        raise ConfigError("A sweep is a mapping: methods, forget, seeds and so on, each with a value or a list.")
    named: dict[str, Json] = {}
    for name, value in given.items():
        known = _SINGULAR.get(name, name)
        if known not in _DEFAULTS and known not in _OTHERS:
            allowed = ", ".join([*_DEFAULTS, *_OTHERS])
            raise ConfigError(f"A sweep has no part called {str(name)[:40]!r}; its parts are {allowed}.")
        if known in named:
            raise ConfigError(f"The sweep names {known} twice; keep one of {known} and {known}s.")
        named[known] = value
    checked_measure(named.get("measure", Measure.QUICK))
    return named


def checked_measure(value: Any) -> Measure:
    """`value` as a `Measure`, which says how far runs are measured; ConfigError where it is none."""
    try:
        return Measure(value)
    except ValueError:
        raise ConfigError(f"measure is {str(value)[:40]!r}; allowed are {', '.join(Measure)}.") from None


def _load_yaml(path: Path) -> Any:
    try:
        return from_yaml(runtime.read_text(path, _LONGEST_FILE))
    except OSError as error:
        raise ConfigError(f"{cut(str(path), 200, 60)} cannot be read: {error.strerror}. A sweep is a page of text.") from error
    except ValueError as error:  # no UTF-8, too
        reason = "it is no text in UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
        raise ConfigError(
            f"{cut(str(path), 200, 60)} is not YAML as it is read here: {reason}. Write lines such as: methods: [imu, ga]"
        ) from error


def cells(spec: Mapping[str, Json] | Path | str) -> list[Cell]:
    """Every run that `spec` (see `read_spec`) describes, each once; runs on one problem follow each other.

    Names, requests and settings are checked before anything runs: an ImuError says what is allowed. A setting
    that a method does not use is left out for it, so that a grid over it repeats no run; so are combinations that make no
    sense (a method at a scope or on a request it does not support), unless nothing else is left.
    """
    description = _DEFAULTS | read_spec(spec)
    load_plugins(plugin_files(description))
    axes = {name: _values(name, description[name]) for name in _DEFAULTS}
    _check_names(axes)
    problems = list(itertools.product(axes["problem"], axes["model"], axes["forget"], axes["problem_seed"]))
    runs = list(itertools.product(axes["method"], axes["scope"], axes["preset"], axes["seed"]))
    _check_number(len(problems) * len(runs))
    configs = [config for run in runs for config in _configs(*run, description, axes["method"])]
    _check_number(len(problems) * len(configs))
    by_key: dict[str, Cell] = {}
    for dataset, model, forget, seed in problems:
        problem, refused = make_problem(dataset, model=model or None, forget=forget or None, seed=seed), None
        for config in configs:
            try:
                methods.find(config.method).check(config.scope, problem.split)
            except ConfigError as error:
                refused = error
                continue
            cell = Cell(dataset, problem.model_name, problem.split.request, seed, config)
            by_key.setdefault(cell.key, cell)
    if not by_key and refused:
        raise refused
    return list(by_key.values())


@lru_cache(maxsize=16)
def load_plugins(files: tuple[str, ...]) -> None:
    """Make the methods of installed packages and of `files` known in this process."""
    methods.load_plugins(files)


def _check_number(count: int) -> None:
    if count > _MOST_CELLS:
        raise ConfigError(f"These are {count:,} runs and more; a sweep may have {_MOST_CELLS:,}. Ask for fewer.")


def plugin_files(spec: Mapping[str, Json]) -> tuple[str, ...]:
    """The files with methods of one's own that a checked `spec` names."""
    return tuple(str(file) for file in _listed("plugins", spec["plugins"])) if spec.get("plugins") else ()


def _values(name: str, given: Any) -> list[Any]:
    values = list(given) if isinstance(given, (list, tuple)) else [given]
    if not values:
        raise ConfigError(f"{name} is an empty list; give at least one value, or leave it out.")
    if name in ("seed", "problem_seed"):
        return list(dict.fromkeys(number for value in values for number in _seeds(name, value)))
    wrong = [value for value in values if not isinstance(value, str)]
    if wrong:
        raise ConfigError(f"{name} is {str(wrong[0])[:40]!r}; it must be a text. Put quotes around it.")
    return list(dict.fromkeys(values))


def _seeds(name: str, value: Any) -> list[int]:
    """The numbers that 3, "0-4" or "0,2,5-7" mean."""
    seeds: list[int] = []
    for piece in str(value).split(","):
        match = re.fullmatch(r"\s*(\d{1,10})(?:\s*-\s*(\d{1,10}))?\s*", piece)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if isinstance(value, (bool, float)) or last < first or last > RUN["seed"].high or last - first >= _MOST_SEEDS:
            raise ConfigError(f"{name} is {str(value)[:40]!r}; write whole numbers and ranges, such as 0-4 or 0,3.")
        seeds.extend(range(first, last + 1))
    return seeds


def _check_names(axes: Mapping[str, Sequence[str]]) -> None:
    for name in axes["problem"]:
        if not data.is_here(name):
            raise ConfigError(f"The data set {name} is not on this machine. Fetch it on a page, or with: run --problem {name}")
    for name in axes["model"]:
        if name and not known(name):
            raise ConfigError(f"There is no model called {name[:40]!r}. Known models: {', '.join(MODELS)}.")
    for name in axes["method"]:
        methods.find(name)


def _configs(
    method: str, scope: str, preset: str, seed: int, description: Mapping[str, Json], everyone: Sequence[str]
) -> list[RunConfig]:
    """The grid of settings over one method's preset."""
    start = methods.preset(preset, method, scope, seed)
    overrides = _named(description.get("overrides"), "overrides")
    for name in overrides:
        if name not in everyone:
            raise ConfigError(f"overrides name {str(name)[:40]!r}, which is not among the methods: {', '.join(everyone)}.")
    common, own = _named(description.get("settings"), "settings"), _named(overrides.get(method), f"overrides of {method}")
    grid = {name: value for name, value in common.items() if _uses(method, name, everyone)}
    _check_unused({name: value for name, value in common.items() if name not in grid}, everyone)
    for name, value in own.items():
        if not _uses(method, name, everyone):
            raise ConfigError(f"{methods.find(method).title} does not use {name}. Take it out of its overrides.")
        grid[name] = value
    choices = [[(name, parse_value(v)) for v in _listed(name, value)] for name, value in grid.items()]
    if math.prod(map(len, choices)) > _MOST_CELLS:
        raise ConfigError(f"These settings make {math.prod(map(len, choices)):,} combinations; {_MOST_CELLS:,} are allowed.")
    return [with_settings(start, dict(choice)) for choice in itertools.product(*choices)]


def _check_unused(given: Mapping[str, Json], everyone: Sequence[str]) -> None:
    """ConfigError where a setting is used by none of the methods, or cannot have the value that it is given."""
    for name, value in given.items():
        if not any(_uses(method, name, everyone) for method in everyone):
            raise ConfigError(
                f"None of the methods ({', '.join(everyone)}) uses {name}. Take it out, or add a method that does: "
                f"{', '.join(n for n in methods.METHODS if _uses(n, name, [*everyone, n]))}."
            )
        for one in _listed(name, value):
            if name in _FIELDS:
                dataclasses.replace(RunConfig(), **{name: parse_value(one)})


def _named(value: Any, what: str) -> dict[str, Json]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ConfigError(f"{what} is {str(value)[:40]!r}; it must map names to values, such as learning_rate: [0.01, 0.1].")
    return {str(name).replace("-", "_") if what != "overrides" else str(name): inner for name, inner in value.items()}


def _listed(name: str, value: Any) -> list[Any]:
    values = list(value) if isinstance(value, (list, tuple)) else [value]
    if not values or any(isinstance(v, (list, tuple, dict)) for v in values):
        raise ConfigError(f"{name} must be a value or a list of values.")
    return values


def _uses(method: str, name: str, everyone: Sequence[str]) -> bool:
    """Whether `name` changes what `method` does; ConfigError where it is a setting of none of the methods."""
    declaration = methods.find(method)
    if name in _FIELDS:
        special = {n for known in methods.METHODS.values() for n in known.uses}
        return name not in special or name in declaration.uses
    own = {n: {p.name for p in methods.find(n).parameters} for n in {method, *everyone}}
    if not any(name in names for names in own.values()):
        listed = sorted(_FIELDS | set().union(*own.values()))
        raise ConfigError(f"There is no setting called {name[:40]!r}. Known settings: {', '.join(listed)}.")
    return name in own[method]


def parse_value(value: Any) -> Any:
    """A setting as people write it: text that is a JSON number, true, false or null becomes that, none becomes None."""
    if not isinstance(value, str):
        return value
    if value.strip().lower() == "none":
        return None
    try:
        parsed = json.loads(value)
    except (ValueError, RecursionError):
        return value
    return value if isinstance(parsed, (dict, list)) else parsed


def with_settings(config: RunConfig, values: Mapping[str, Value]) -> RunConfig:
    """`config` with settings by name: common ones as they are, a method's own ones in `options`; ConfigError for bad ones."""
    common = {name: value for name, value in values.items() if name in _FIELDS}
    own = {name: value for name, value in values.items() if name not in _FIELDS}
    changed = dataclasses.replace(config, **common, options={**config.options, **own})
    methods.find(config.method).options(changed)
    return changed
