"""`info`: what is here, and what can be asked for."""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Iterator, Mapping
from importlib import metadata
from typing import Annotated, Any

import torch
import typer

from imu_core import data, methods, runtime
from imu_core.cli import app
from imu_core.cli.speaking import JsonFile, Plugins, card_line, check_writable, load_plugins, speaking, write_json
from imu_core.models import MODELS, brought, checkpoints
from imu_core.problems.forget import GRAMMAR
from imu_core.records.run import RunConfig
from imu_core.records.shapes import Card

_PACKAGES = ("torch", "torchvision", "numpy", "scikit-learn", "streamlit", "plotly")

_INFO_EXAMPLES = """\b
Example:
  python -m imu_core info --json info.json
  python -m imu_core info --method ssd

Folders are set by IMU_HOME (trained models, features) and IMU_DATA (downloaded datasets)."""


@app.command("info", epilog=_INFO_EXAMPLES)
@speaking
def info_command(
    method: Annotated[str | None, typer.Option(help="The card of one method: what it sees, its settings, its traps.")] = None,
    plugin: Plugins = None,
    json_file: JsonFile = None,
) -> None:
    """What is here: versions, folders, datasets, trained models and references, methods, presets, forget requests."""
    check_writable(json_file)
    load_plugins(plugin)
    if method is not None:
        methods.find(method)
        typer.echo("\n".join(_card(method)))
        write_json(json_file, _method_facts(method))
        return
    facts = _facts()
    for title, lines in _info_sections(facts):
        typer.echo(title)
        for line in lines:
            typer.echo(f"  {line}")
    write_json(json_file, facts)


def _facts() -> dict[str, Any]:
    shipped, made = checkpoints.folders()
    return {
        "versions": {"imu_core": metadata.version("imu-core"), "python": platform.python_version(), **_versions()},
        "threads": torch.get_num_threads(),
        "folders": {"shipped": str(shipped), "made": str(made), "home": str(runtime.home()), "data": str(runtime.data_folder())},
        "datasets": {name: {"title": source.title, "here": source.is_here()} for name, source in data.DATASETS.items()},
        "models": [card for dataset, model in _known() for card in _cards(dataset, model)],
        "architectures": list(MODELS),
        "methods": {name: _method_facts(name) for name in methods.METHODS},
        "presets": dict(methods.PRESETS),
        "requests": GRAMMAR,
    }


def _known() -> list[tuple[str, str]]:
    """The pairs (dataset, model) of which models may be stored: those of the registries, and those that somebody brought."""
    return [*((dataset, model) for dataset in data.DATASETS for model in MODELS), *brought.everything()]


def _versions() -> dict[str, str]:
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def _cards(dataset: str, model: str) -> list[Card]:
    return [{"path": str(stored.path), **stored.card} for stored in checkpoints.listing(dataset, model)]


def _method_facts(name: str) -> dict[str, Any]:
    method = methods.METHODS[name]
    return {
        "title": method.title,
        "source": method.source,
        "sees": sorted(method.needs(RunConfig(method=name))),
        "head": method.head,
        "wide": method.wide,
        "uses": list(method.uses),
        "parameters": [dataclasses.asdict(p) for p in method.parameters],
        "note": method.note,
    }


def _info_sections(facts: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    yield "Versions", [f"{name} {version}" for name, version in facts["versions"].items()]
    yield "Folders", [f"{name:<8} {path}" for name, path in facts["folders"].items()]
    yield "Datasets", [f"{name:<14} {d['title']}: {'here' if d['here'] else 'not here'}" for name, d in facts["datasets"].items()]
    yield "Trained models", [_model_line(card) for card in facts["models"]] or ["none"]
    yield "Methods and what each sees", [_method_line(name, method) for name, method in facts["methods"].items()]
    yield "Presets", [f"{name:<12} {text}" for name, text in facts["presets"].items()]
    yield "Forget requests", facts["requests"].replace("), ", ")\n").split("\n")


def _method_line(name: str, method: Mapping[str, Any]) -> str:
    return f"{name:<16} {', '.join(method['sees']) or 'nothing'}; {method['source']}"


def _card(name: str) -> Iterator[str]:
    """A method in a few lines, and a line for each of its settings."""
    method = methods.METHODS[name]
    yield f"{method.title} ({name}), {method.family}: {method.source}"
    yield f"  sees {', '.join(sorted(method.needs(RunConfig(method=name)))) or 'nothing'} with its default settings"
    yield f"  scopes: {', '.join(s for s, ok in (('head', method.head), ('last:K', method.wide), ('all', method.wide)) if ok)}"
    if method.classes:
        yield "  whole classes only"
    if method.edit:
        yield "  computed at once, then walked in a straight line"
    if method.note:
        yield f"  {method.note}"
    for p in method.parameters:
        allowed = ", ".join(map(str, p.choices)) if p.choices else f"{p.low:g} to {p.high:g}"
        allowed = "true, false" if isinstance(p.default, bool) else allowed
        yield f"  --set {p.name}={p.default}  ({allowed})  {p.help}"
    if method.uses:
        yield f"  also uses {', '.join(method.uses)}"


def _model_line(card: Card) -> str:
    role = "original" if card["role"] == "original" else f"retrained without {card['request']}"
    seed = f", seed {card['seed']}" if card["seed"] else ""
    return f"{card['dataset']}/{card['model']} {role}{seed}: {card_line(card)}"
