"""Every setting at every door: a value below, at and above its range meets the same range and the same sentence."""

from __future__ import annotations

import dataclasses
import inspect
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from streamlit.testing.v1 import AppTest
from typer.testing import CliRunner

from imu_core.cli import app
from imu_core.errors import ConfigError, ImuError
from imu_core.experiments import grid
from imu_core.glossary import TERMS
from imu_core.influence import head_scores
from imu_core.methods import METHODS
from imu_core.records.data import Dataset
from imu_core.records.run import Influence, RunConfig
from imu_core.settings import INFLUENCE, RUN, TRAINING, Setting
from imu_core.store import exchange
from imu_core.store.stored import FORMAT, SCHEMA
from imu_core.training.recipes import Recipe
from imu_core.weights import sample_weights

OF_RUN = [about for about in RUN.values() if about.name != "problem_seed"]
OWN = [(name, p) for name, method in METHODS.items() for p in method.parameters]
WIDGETS = {f"own_{a.name}": a for a in RUN.values() if a.pattern is None} | {f"own_{n}_{p.name}": p for n, p in OWN}
RECORD = {
    "problem": {"dataset": "fashion", "model": "lenet5", "forget": "class:Bag", "seed": 0, "history": []},
    "points": [],
    "phases": {},
    "outcome": {"state": "done", "reason": "Done."},
    "sizes": {},
    "saw": [],
    "metrics": {},
    "environment": {},
}


def is_number(about: Setting) -> bool:
    return not (about.switch or about.choices or about.pattern is not None)


def outside(about: Setting) -> list[Any]:
    """Values that a setting refuses: around its range, or another word."""
    if not is_number(about):
        return [""] if about.pattern == "" else ["zebra"]
    low = about.low if about.above else about.low - 1
    high = about.high if about.below else about.high + 1
    return [int(v) if about.whole else v for v in (low, high) if math.isfinite(v)]


def inside(about: Setting) -> list[Any]:
    """Both ends of its range, or every choice."""
    if about.switch:
        return [False, True]
    if about.pattern is not None:
        return list(about.offered)
    values = list(about.choices) or [int(v) if about.whole else v for v in about.ends if math.isfinite(v)]
    return [*values, *about.words, *(None,) * about.optional]


def numbers_of(about: Setting) -> str:
    """What is said of its range everywhere; a command may add what its option takes besides."""
    return about.allowed.partition(", or ")[0] if is_number(about) else about.allowed


SETTING = pytest.mark.parametrize("about", OF_RUN, ids=lambda about: about.name)
RANGED = pytest.mark.parametrize("about", [a for a in OF_RUN if a.name != "method"], ids=lambda about: about.name)


# The tables themselves.


@pytest.mark.parametrize(
    "about", [*RUN.values(), *INFLUENCE.values(), *TRAINING.values(), *(p for _, p in OWN)], ids=lambda a: a.name
)
def test_a_setting_takes_its_range_and_names_it_for_anything_else(about: Setting) -> None:
    assert about.label
    assert about.help[-1] in ".?"
    assert about.check(about.default) == about.default
    for value in (*inside(about), *about.offered):
        assert about.check(value) == value
    for value in (v for v in (*outside(about), math.nan, [], {}) if v != ""):
        with pytest.raises(ConfigError) as caught:
            about.check(value, "this")
        assert str(caught.value).startswith("this is ")
        assert str(caught.value).endswith(f"{about.allowed}.")


def test_the_tables_hold_every_setting_and_no_other() -> None:
    assert {f.name for f in dataclasses.fields(RunConfig)} - {"options"} == set(RUN) - {"problem_seed"}
    assert {f.name for f in dataclasses.fields(Recipe)} == set(TRAINING) - {"seed"}
    for kind, table in ((RunConfig, RUN), (Recipe, TRAINING)):
        assert all(getattr(kind, name) == table[name].default for name in table if hasattr(kind, name))
    for call, table in ((head_scores, INFLUENCE), (sample_weights, INFLUENCE)):
        taken = {name: p.default for name, p in inspect.signature(call).parameters.items() if name in table}
        assert {name: table[name].default for name in taken} == taken
    assert head_scores.__kwdefaults__["damping"] == 1e-2, "the contract"


@pytest.mark.parametrize("about", RUN.values(), ids=lambda about: about.name)
def test_the_glossary_says_what_the_setting_says(about: Setting) -> None:
    assert TERMS[about.name].short == about.help


# The doors.


def by_python(name: str, value: Any) -> Any:
    return getattr(RunConfig(**{name: value}), name)


def by_import(name: str, value: Any) -> Any:
    run = {"id": "0" * 32, "created": 1.0, "name": "", "tags": [], "trajectory": RECORD | {"config": {name: value}}}
    text = json.dumps({"format": FORMAT, "schema": SCHEMA, "runs": [run]})
    ((row, _),) = exchange.from_text(text)
    return row["settings"].get(name, RUN[name].default)


@SETTING
@pytest.mark.parametrize("door", [by_python, by_import])
def test_python_and_imports(about: Setting, door: Callable[[str, Any], Any]) -> None:
    for value in inside(about):
        assert door(about.name, value) == value
    for value in outside(about) if about.name != "method" else [7]:
        with pytest.raises(ImuError) as caught:
            door(about.name, value)
        assert f"{about.allowed}." in str(caught.value)


@RANGED
def test_sweep_files(about: Setting, tmp_path: Path, tiny: Dataset) -> None:
    method = next((name for name, known in METHODS.items() if about.name in known.uses), "imu")
    part = {about.name: 0} if about.name in ("scope", "seed") else {"settings": {about.name: 0}}

    def by_file(value: Any) -> Any:
        spec = {"problem": "tiny", "model": "lenet5", "method": method, **part}
        spec |= {about.name: value} if "settings" not in part else {"settings": {about.name: value}}
        file = tmp_path / "sweep.yaml"
        file.write_text(yaml.safe_dump(spec))
        return getattr(grid.cells(file)[0].config, about.name)

    for value in inside(about):
        assert by_file(value) == value
    for value in outside(about):
        with pytest.raises(ImuError) as caught:
            by_file(value)
        if about.name != "seed":  # of which a file may name many at once: 0-4
            assert f"{about.allowed}." in str(caught.value)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """What a command says on stderr; where its settings are right it gets as far as its data, and says "reached"."""

    def reached(*_: Any) -> None:
        raise ConfigError("reached")

    for module in ("run", "influence"):
        monkeypatch.setattr(f"imu_core.cli.{module}.load", reached)
    monkeypatch.setattr("imu_core.cli.train.fetch", lambda _: None)
    monkeypatch.setattr("imu_core.cli.train.checkpoints.find", reached)

    def call(name: str, setting: str, value: Any) -> str:
        result = CliRunner().invoke(app, [name, f"--{setting.replace('_', '-')}", "none" if value is None else str(value)])
        assert result.exit_code == 2
        return result.stderr

    return call


ON_COMMAND_LINE = [
    *(("run", about) for about in OF_RUN if not about.switch and about.name != "method"),
    *(("influence", INFLUENCE[name]) for name in ("estimator", "damping", "psi")),
    *(("train", TRAINING[name]) for name in ("epochs", "learning_rate", "batch_size", "gradient_penalty", "seed")),
]


@pytest.mark.sample(10, reason="a command is run for each; the table itself is tested whole")
@pytest.mark.parametrize(("name", "about"), ON_COMMAND_LINE, ids=lambda part: getattr(part, "name", part))
def test_the_command_line(name: str, about: Setting, command: Callable[..., str]) -> None:
    typed = [v for v in inside(about) if v is not None or about.name in ("stop_at", "clip_quantile")]
    for value in typed:
        told = command(name, about.name, value)  # notes may come first; more samples a step than there are is another matter
        assert told.endswith("reached\n") or (about.name == "batch_size" and value == about.high and "samples" in told)
    for value in outside(about):
        assert f" {numbers_of(about)}" in command(name, about.name, value)


@pytest.mark.parametrize(("name", "about"), ON_COMMAND_LINE, ids=lambda part: getattr(part, "name", part))
def test_help_says_what_is_allowed(name: str, about: Setting) -> None:
    shown = " ".join(CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "200"}).stdout.split())
    assert about.help in shown
    assert f"Allowed: {numbers_of(about)}" in shown


# Widgets, and links to them.


def form() -> None:
    """Every setting of a run, and every own one of a method, as a widget."""
    from types import SimpleNamespace

    import streamlit as st

    from imu_core.methods import METHODS
    from imu_core.settings import RUN
    from pages.session import answered, links
    from pages.widgets import bound

    links.read(SimpleNamespace(url_path="unlearn"))
    with answered.answered():
        values = {f"own_{a.name}": bound.setting(a, key=f"own_{a.name}") for a in RUN.values() if a.pattern is None}
        for name, method in METHODS.items():
            for p in method.parameters:
                values[f"own_{name}_{p.name}"] = bound.setting(p, key=f"own_{name}_{p.name}", help=p.help)
        st.session_state.drawn = values


def choices() -> None:
    """The choices of the page Influence, and those above the form of a run."""
    from types import SimpleNamespace

    from pages.sections.influence.controls import controls
    from pages.session import answered, links
    from pages.widgets import run_form

    links.read(SimpleNamespace(url_path="unlearn"))
    with answered.answered():
        controls()
        run_form.settings(None)


def drawn(of: Callable[[], None] = form, **query: Any) -> AppTest:
    at = AppTest.from_function(of, default_timeout=200)
    at.query_params.update({name: str(value) for name, value in query.items()})
    at.run()
    assert not at.exception
    return at


def notes(at: AppTest) -> str:
    return "\n".join(m.value for m in at.main.markdown if m.value.startswith("- **")).replace("\\", "")


@pytest.fixture(scope="module")
def plain() -> AppTest:
    return drawn()


def test_widgets_have_the_ends_the_labels_and_the_defaults(plain: AppTest) -> None:
    assert not notes(plain)
    assert plain.session_state.drawn == {key: about.default for key, about in WIDGETS.items()}
    for key, about in WIDGETS.items():
        kind = "toggle" if about.switch else "number_input" if is_number(about) and not about.words else "selectbox"
        widget = getattr(plain, kind)(key=key)
        assert widget.label == about.label
        assert about.help in widget.help
        if kind == "number_input":
            assert (widget.min, widget.max) == about.ends
        if kind == "selectbox":
            offered = [*(["none"] if about.optional else []), *map(str, about.offered or about.choices)]
            assert widget.options == offered


def ways(of: Callable[[Setting], list[Any]]) -> Iterator[dict[str, Any]]:
    """Queries that give every widget's first value of `of`, its second, and so on."""
    listed = {key: of(about) for key, about in WIDGETS.items()}
    for number in range(2):
        yield {
            key: "none" if values[-1 - number] is None else values[-1 - number]
            for key, values in listed.items()
            if number < len(values)
        }


def test_links_take_what_is_in_range() -> None:
    for query in ways(lambda about: [v for v in inside(about) if not (about.words and v not in about.offered)]):
        at = drawn(**query)
        assert not notes(at)
        assert {k: str(at.session_state.drawn[k]).lower() for k in query} == {k: str(v).lower() for k, v in query.items()}


def test_links_name_the_range_of_what_is_outside() -> None:
    for query in ways(outside):
        at = drawn(**query)
        assert {key: at.session_state.drawn[key] for key in query} == {key: WIDGETS[key].default for key in query}
        told = notes(at)
        for key in query:
            about = WIDGETS[key]
            listed = ["none"] * about.optional + [str(v) for v in about.offered or about.choices]
            allowed = ", ".join(listed) if about.choices or about.words else about.allowed
            line = next(line for line in told.splitlines() if line.startswith(f"- **{key}="))
            assert f"Allowed: {allowed}." in line


def test_the_choices_of_the_pages_have_the_same_ranges() -> None:
    at = drawn(choices)
    for name in ("estimator", "psi"):
        assert at.segmented_control(key=name).options == list(RUN[name].choices)
        assert at.segmented_control(key=name).value == RUN[name].default
    assert at.select_slider(key="damping").value == RUN["damping"].default
    seed, target = at.number_input(key="run_seed"), at.number_input(key="target")
    assert (seed.min, seed.max) == RUN["seed"].ends
    assert (target.min / 100, target.max / 100, target.value) == (*RUN["stop_at"].ends, None)
    told = notes(drawn(choices, damping=1e6 + 1, estimator="zebra", run_seed=-1, target=101, scope="last:0"))
    for name in ("damping", "estimator", "seed"):
        assert f"Allowed: {RUN[name].allowed}." in told
    assert "Allowed: a number from 0 to 100." in told, "percent"
    assert f"Allowed: {', '.join(RUN['scope'].offered)}." in told
    assert not notes(drawn(choices, damping=1e6, estimator="dual", run_seed=2**31 - 1, target=100, scope="last:2"))


# Trainings and influence estimates, called as functions.


@pytest.mark.parametrize("about", [a for a in TRAINING.values() if a.name != "seed"], ids=lambda about: about.name)
def test_recipes(about: Setting) -> None:
    for value in inside(about):
        assert getattr(Recipe(**{about.name: value}), about.name) == value
    for value in outside(about):
        with pytest.raises(ConfigError) as caught:
            Recipe(**{about.name: value})
        assert str(caught.value).endswith(f"{about.allowed}.")


def scored(**settings: Any) -> Influence:
    g = torch.Generator().manual_seed(0)
    return head_scores(torch.randn(30, 4, generator=g), torch.arange(30) % 3, torch.randn(3, 4, generator=g), **settings)


@pytest.mark.parametrize("name", ["estimator", "damping", "total", "rtol", "psi", "top", "clip_quantile", "control"])
def test_influence_estimates_and_weights(name: str) -> None:
    about = INFLUENCE[name]
    of_weights = name in inspect.signature(sample_weights).parameters
    call = (lambda **given: sample_weights(scored(), **given)) if of_weights else scored
    for value in outside(about):
        with pytest.raises(ConfigError) as caught:
            call(**{name: value})
        assert str(caught.value).endswith(f"{about.allowed}.")
    for value in inside(about) if of_weights else inside(about)[-1:]:
        call(**{name: value})
