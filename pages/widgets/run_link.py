"""What a link must say so that the form of settings shows certain runs again: found by trying, so that it cannot differ."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from imu_core.methods import METHODS, PRESETS
from imu_core.records.run import RunConfig, Trajectory
from imu_core.records.shapes import About, Settings, Value
from pages.session.address import address
from pages.widgets import run_form, run_settings

NAMED = ("methods", "preset", "scope", "run_seed")  # what a link says of a form, also where that is how the form begins
WHOLE = ("class:", "identity:")  # requests whose runs stop where their preset says


Query = dict[str, Value | list[str]]  # parameters of a link


@dataclass(frozen=True)
class Form:
    """The form, filled in: keys of `run_form.choices`, preset, scope, where runs stop (0 to 1), seed, and one's own settings."""

    names: tuple[str, ...]
    kind: str
    scope: str
    stop: float | None
    seed: int
    mode: str = run_form.FREE
    own: dict[str, Settings] = field(default_factory=dict)

    def config(self, name: str) -> RunConfig:
        """The settings of the run that the button Run would start for the choice `name`."""
        made = run_form.config(name, self.kind, self.scope, self.stop, self.seed, self.own)
        return made if self.mode == run_form.FREE else dataclasses.replace(made, bn=self.mode)

    def query(self) -> Query:
        """The form as parameters of a link; an empty word empties a widget that would begin with something."""
        words, named = {True: [], False: []}, run_form.choices()
        for name in self.names:
            words[name in run_form.CONTROL_RUNS or run_form.sees_little(name)].append(named[name])
        query: Query = {"methods": words[True] or ""}
        query |= {"more": words[False]} if words[False] else {}
        query |= {"preset": self.kind, "scope": self.scope, "run_seed": self.seed}
        query |= {"target": repr(run_form.as_percent(self.stop))} if self.stop is not None else {}
        query |= {"mode": self.mode} if self.mode != run_form.FREE else {}
        return query | (self._own() if self.kind == run_form.OWN else {})

    def _own(self) -> Query:
        methods = run_form.methods_of(list(self.names))
        shared, query = self.own[methods[0]], {}
        for name in run_settings.drawn(methods):
            if shared[name] != getattr(run_settings.START, name):
                query[f"own_{name}"] = _word(shared[name])
        for method in methods:
            start = run_settings.own_start(method, self.scope)
            chosen = METHODS[method].options(RunConfig(method, options=self.own[method]["options"]))
            query |= {f"own_{method}_{name}": _word(value) for name, value in chosen.items() if value != start[name]}
        return query


def _word(value: Any) -> Any:
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else value


def name_of(config: RunConfig) -> str:
    """The word for the method of `config` among the choices: IMU with other weights has one of its own, where there is one."""
    names = [name for name, control in run_form.CONTROL_RUNS.items() if control == config.control]
    return names[0] if names and config.method == "imu" else config.method


def alike(one: RunConfig, other: RunConfig) -> bool:
    """Whether two runs have equal settings; those that their method does not use do not count."""
    return _own_fields(one) == _own_fields(other)


def _own_fields(config: RunConfig) -> Settings:
    fields = {*run_settings.drawn([config.method]), "method", "scope", "seed"}
    fields |= {"stop_at"} if METHODS[config.method].forgets else set()
    return {name: getattr(config, name) for name in fields} | {"options": METHODS[config.method].options(config)}


def form_of(
    configs: Sequence[RunConfig], whole: bool = True, modes: Sequence[str] = (run_form.FREE,)
) -> tuple[Form, list[RunConfig]]:
    """(a form that shows the first of `configs` and as many of the others as one form can, the configs that it shows).

    Settings equal to a preset's go by its name. `whole`: whether whole classes are forgotten, which decides where runs stop.
    """
    for kinds in (tuple(PRESETS), (run_form.OWN,)):
        tried = [(form, shown) for form, shown in _tried(configs, kinds, whole, modes) if configs[0] in shown]
        if tried:
            break
    form, shown = max(tried, key=lambda pair: len(pair[1]))
    return dataclasses.replace(form, names=tuple(dict.fromkeys(name_of(config) for config in shown))), shown


def _tried(
    configs: Sequence[RunConfig], kinds: Sequence[str], whole: bool, modes: Sequence[str]
) -> Iterator[tuple[Form, list[RunConfig]]]:
    """Every way to fill in the form for the first of `configs`, and which of them it shows."""
    first = configs[0]
    stops = list(dict.fromkeys([None, *(config.stop_at for config in configs)]))
    for kind, mode, stop in itertools.product(kinds, modes, stops):
        if kind == "gentle" and stop is None and not whole and len(stops) > 1:
            continue  # the page would choose where to stop by the retrained model that is stored there
        own = _shared(configs) if kind == run_form.OWN else {}
        form = Form((), kind, first.scope, stop, first.seed, mode if kind != run_form.OWN else run_form.FREE, own)
        yield form, [config for config in configs if alike(form.config(name_of(config)), config)]


def _shared(configs: Sequence[RunConfig]) -> dict[str, Settings]:
    """One's own settings by method: the common ones of the first run that has each, and the options of the method."""
    common: dict[str, Value] = {}
    for config in configs:
        common = {name: getattr(config, name) for name in run_settings.drawn([config.method])} | common
    if "control" in common:  # what the name of a choice says, the form need not
        common["control"] = next((c.control for c in configs if name_of(c) == c.method), None)
    own: dict[str, Settings] = {}
    for config in configs:
        own.setdefault(config.method, {**common, "options": dict(config.options)})
    return own


def link(trajectory: Trajectory, page: str = "unlearn", others: Sequence[Trajectory] = (), **view: Any) -> str:
    """The address of `page` with the run's problem and settings, those of `others` as far as one form holds them, and `view`."""
    return address(page, about(trajectory.problem) | together(trajectory, page, others)[0].query() | view)


def about(problem: About) -> Query:
    """A problem's record as parameters of a link: the sidebar's."""
    history = [[step["forget"], step["config"]] for step in problem["history"]]
    query: Query = {name: problem[name] for name in ("dataset", "model", "forget", "seed")}
    return query | ({"after": json.dumps(history)} if history else {})


def together(trajectory: Trajectory, page: str, others: Sequence[Trajectory]) -> tuple[Form, list[RunConfig]]:
    """`form_of` for the runs `trajectory` and `others` on one problem, for the form on `page`."""
    whole = trajectory.problem["forget"].startswith(WHOLE)
    modes = run_form.MODES if page == "reidentify" else (run_form.FREE,)
    return form_of([trajectory.config, *(other.config for other in others)], whole, modes)
