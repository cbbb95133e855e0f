"""Hostile inputs: links, commands, sweep files, imports, database addresses, environment variables, plug-ins.

Each ends in one of our sentences, or is taken rightly: never in a traceback, a hang, a changed device, a folder left behind,
memory or output without bounds. Checkpoints and images have files of their own, test_hostile_*.py.
"""

from __future__ import annotations

import dataclasses
import gc
import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from imu_core import data, methods, runtime
from imu_core.cli import app
from imu_core.errors import ConfigError, DataError, DiskError, ImuError, StoreError
from imu_core.experiments.grid import cells, read_spec
from imu_core.experiments.sweep import Sweep, _client
from imu_core.methods import METHODS, plugins
from imu_core.parsing import from_json, from_yaml
from imu_core.problems import features
from imu_core.records.run import RunConfig
from imu_core.store.runs import Store

# The default run takes three attacks of each kind, spread over the lists.
pytestmark = pytest.mark.sample(3, reason="one attack of many of a kind")
LONGEST = 3_000  # signs of what is said
DIGITS = "9" * 5_001


TINY = ("--problem", "tiny", "--model", "lenet5")
ON_TINY = ("run", "influence", "sweep", "train")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny: Any) -> Path:
    """An empty folder to stand in, with a database of its own beside it, a pipe, a link to a device, one in a circle, a file."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.setenv("IMU_DATABASE_URL", f"sqlite:///{tmp_path}/runs.sqlite")
    monkeypatch.chdir(here)
    os.mkfifo(here / "pipe")
    (here / "device").symlink_to("/dev/full")
    (here / "round").symlink_to(here / "round")
    (here / "file").write_text("mine")
    return here


def inside(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.fixture
def devices() -> Iterator[None]:
    """Devices are afterwards what they were before."""
    before = [os.stat(name) for name in ("/dev/full", "/dev/null", "/dev/zero")]
    yield
    for name, was in zip(("/dev/full", "/dev/null", "/dev/zero"), before, strict=True):
        now = os.stat(name)
        assert stat.S_ISCHR(now.st_mode)
        assert (now.st_rdev, now.st_ino) == (was.st_rdev, was.st_ino)


def said(*arguments: str, stdin: str | bytes | None = None) -> str:
    """What a command says as it refuses: a short sentence and an exit code, never a traceback."""
    command, *options = arguments
    given = TINY if command in ON_TINY and not {"--problem", "--model"} & set(options) else ()
    result = CliRunner().invoke(app, [command, *given, *options], input=stdin)
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(result.exception)
    assert result.exit_code in (1, 2), result.output
    assert "Traceback" not in result.output
    assert 10 < len(result.output) < LONGEST
    assert "\x1b[2J" not in result.output
    return result.output


# ------------------------------------------------------------------------------------------------------- commands: outputs

OUTPUTS = {
    "run --json": ("run", "--no-metrics", "--epochs", "0", "--json"),
    "run --save": ("run", "--no-metrics", "--epochs", "0", "--save"),
    "influence --csv": ("influence", "--csv"),
    "sweep --csv": ("sweep", "--csv"),
    "runs list --csv": ("runs", "list", "--csv"),
    "runs export --out": ("runs", "export", "--out"),
    "info --json": ("info", "--json"),
    "own list --json": ("own", "list", "--json"),
    "train --json": ("train", "--json"),
    "table --json": ("table", "--json"),
}
TARGETS = {
    "a device": "/dev/full",
    "a link to a device": "device",
    "a pipe": "pipe",
    "a file as its folder": "file/x",
    "no folder can be made there": "/proc/nope/x",
    "a long name": "x" * 300,
}


@pytest.mark.usefixtures("devices")
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("command", ["info --json", "runs export --out"])
def test_an_output_that_is_no_file(command: str, target: str, place: Path) -> None:
    before = inside(place)
    assert "cannot be written" in said(*OUTPUTS[command], TARGETS[target])
    assert inside(place) == before


@pytest.mark.usefixtures("devices")
@pytest.mark.parametrize("command", [name for name in OUTPUTS if name not in ("info --json", "runs export --out")])
def test_a_device_is_refused_by_every_option(command: str, place: Path) -> None:
    target = "device.safetensors" if "--save" in command else "device"
    if target != "device":
        (place / target).symlink_to("/dev/full")
    assert "cannot be written" in said(*OUTPUTS[command], target)


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "--forget", "class:zebra", "--json", "a/b/out.json"),
        ("run", "--learning-rate", "nan", "--save", "a/b/out.safetensors"),
        ("train", "--model", "zebra", "--out", "a/b"),
        ("train", "--epochs", "0", "--out", "a/b"),
        ("sweep", "nothing.yaml", "--json", "a/b/out.json"),
        ("influence", "--forget", "nonsense", "--csv", "a/b/c.csv"),
        ("runs", "export", "beef", "--out", "a/b/runs.json"),
        ("own", "bring", "nothing.pt", "--name", "x", "--architecture", "lenet5", "--json", "a/b/x.json"),
        ("table", "--problem", "zebra", "--json", "a/b/t.json"),
    ],
    ids=lambda arguments: " ".join(arguments)[:50],
)
def test_what_fails_leaves_no_folder(arguments: tuple[str, ...], place: Path) -> None:
    before = inside(place)
    said(*arguments)
    assert inside(place) == before


def test_writing_that_fails_leaves_what_was_there(place: Path) -> None:
    def broken(part: Path) -> None:
        part.write_text("half")
        raise OSError(28, "No space left on device")

    before = inside(place)
    for target in ("new/folder/x", "file"):
        with pytest.raises(DiskError, match="No space left"):
            runtime.write_whole(place / target, broken)
    assert inside(place) == before
    assert (place / "file").read_text() == "mine"


def test_a_link_to_a_file_stays_a_link(place: Path) -> None:
    (place / "link").symlink_to("file")
    runtime.write_whole(place / "link", lambda part: part.write_text("new"))
    assert (place / "link").is_symlink()
    assert (place / "file").read_text() == "new"


def test_people_that_cannot_be_written_leave_nothing(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from imu_core.data import people

    def full(folder: Path, shot: Any) -> None:
        (folder / "query").mkdir(parents=True)
        raise OSError(28, "No space left on device", "x.jpg")

    monkeypatch.setattr(people, "_write", full)
    before = inside(place)
    assert "No space left" in said("people", "--out", "new/folder")
    assert inside(place) == before


@pytest.mark.parametrize("error", ["OSError", "SafetensorError"])
def test_a_disk_that_fills_while_features_are_stored(
    error: str, tiny: Any, monkeypatch: pytest.MonkeyPatch, fresh_home: Path
) -> None:
    import torch
    from safetensors import SafetensorError

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device") if error == "OSError" else SafetensorError("No space left on device")

    monkeypatch.setattr(features, "save_file", full)
    with pytest.raises(DiskError, match=r"cannot be written \(No space left"):
        features.keep(torch.nn.Linear(2, 2), "key", torch.zeros(1, 2), torch.zeros(1, 2))
    assert not [path for path in fresh_home.rglob("*") if path.is_file()]


# -------------------------------------------------------------------------------------------------------- commands: inputs

INPUTS = {
    "sweep": ("sweep",),
    "runs import": ("runs", "import"),
    "run --plugin": ("run", "--plugin"),
    "info --plugin": ("info", "--plugin"),
    "table --markdown": ("table", "--markdown"),
    "own bring": ("own", "bring", "--name", "x", "--architecture", "lenet5"),
    "own bring --images": ("own", "bring", "file", "--name", "x", "--architecture", "lenet5", "--images"),
}


@pytest.mark.usefixtures("devices")
@pytest.mark.parametrize("source", ["/dev/zero", "pipe", "round", "missing"])
@pytest.mark.parametrize("command", ["sweep", "runs import", "info --plugin"])
def test_an_input_that_is_no_file(command: str, source: str, place: Path) -> None:
    began = time.monotonic()
    text = said(*INPUTS[command], source)
    assert source in text
    assert time.monotonic() - began < 60, "a pipe was waited for"


@pytest.mark.usefixtures("devices")
@pytest.mark.parametrize("command", [name for name in INPUTS if name not in ("sweep", "runs import", "info --plugin")])
def test_a_pipe_is_waited_for_by_no_option(command: str, place: Path) -> None:
    said(*INPUTS[command], "pipe")


@pytest.mark.parametrize("command", ["sweep", "runs import", "info --plugin"])
def test_a_file_that_is_too_large_is_not_read(command: str, place: Path) -> None:
    with (place / "large").open("wb") as file:
        file.truncate(3 << 30)  # a hole: it takes no room on the disk
    assert "more than" in said(*INPUTS[command], "large")


def test_what_comes_in_by_stdin_is_bounded(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    from imu_core.cli import runs

    monkeypatch.setattr(runs, "_LARGEST", 1000)
    assert "more than" in said("runs", "import", "-", stdin="x" * 5000)
    assert "no text in UTF-8" in said("runs", "import", "-", stdin=b"\xff\xfe" * 10)


ARGUMENTS: list[tuple[str, ...]] = [
    ("run", "--seed", DIGITS),
    ("run", "--seed", "1e400"),
    ("run", "--seed=-1"),
    ("run", "--learning-rate", "1e400"),
    ("run", "--learning-rate", "nan"),
    ("run", "--epochs", "99999999999999999999"),
    ("run", "--batch-size", "0"),
    ("run", "--scope", "last:" + DIGITS),
    ("run", "--method", "x" * 100_000),
    ("run", "--method", "\x1b[2J"),
    ("run", "--forget", "x" * 100_000),
    ("run", "--forget", "class:" + "a+" * 20_000),
    ("run", "--forget", f"random:{DIGITS}%"),
    ("run", "--forget", f"ids:0-{DIGITS}"),
    ("run", "--problem", "y" * 100_000),
    ("run", "--problem", "folder:" + "z" * 10_000),
    ("run", "--problem", "folder:~nobody-of-that-name/x"),
    ("run", "--problem", "market:\x1b[2J"),
    ("run", "--problem", "market:" + "m" * 10_000),
    ("run", "--model", "w" * 100_000),
    ("run", "--set", "beta"),
    ("run", "--set", "x" * 50_000),
    ("run", "--set", f"beta={DIGITS}", "--method", "npo"),
    ("run", "--set", "beta=nan", "--method", "npo"),
    ("run", "--json", "a\0b"),
    ("run", "--stop-at", "9" * 10_000),
    ("influence", "--top", "99999999999999999999"),
    ("influence", "--top", "201"),
    ("influence", "--damping", "nan"),
    ("influence", "--estimator", "b" * 50_000),
    ("reid", "--problem", DIGITS),
    ("look", "--scope", "last:0"),
    ("people", "--out", "file"),
    ("sweep", "--workers", "-5"),
    ("sweep", "--seeds", "0-99999999999"),
    ("sweep", "--seeds", DIGITS),
    ("sweep", "--set", "beta=nan"),
    ("sweep", "--set", "beta=1"),
    ("sweep", "--set", "learning_rate=nan"),
    ("sweep", "--set", "learning_rate=" + ",".join(["1"] * 30_000)),
    ("runs", "show", "../../etc/passwd"),
    ("runs", "show", "x" * 100_000),
    ("runs", "delete", "%" * 40),
    ("runs", "purge", "--older", "nan"),
    ("own", "delete", "../" * 20),
    ("own", "bring", "file", "--name", "../x", "--architecture", "lenet5"),
    ("own", "bring", "file", "--name", "x", "--architecture", "timm:hf_hub:someone/else"),
    ("train", "--model", "q" * 100_000),
    ("z" * 100_000,),
    ("run", "--" + "z" * 100_000),
]


@pytest.mark.parametrize("arguments", ARGUMENTS, ids=lambda arguments: " ".join(arguments)[:40].encode("unicode_escape").decode())
def test_an_argument_that_cannot_be_used(arguments: tuple[str, ...], place: Path) -> None:
    before = inside(place)
    said(*arguments)
    assert inside(place) == before


@pytest.mark.slow(reason="it waits for a cluster that does not answer")
@pytest.mark.parametrize(
    "address", ["file:///etc/passwd", "http://127.0.0.1:1", "nonsense", "tcp://", "inproc://x", "x" * 5000, ""]
)
def test_an_address_that_is_no_cluster(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imu_core.experiments.sweep._PATIENCE", 0.5)
    before = len(clients())
    with pytest.raises(ConfigError, match=r"No Dask scheduler|needs Dask") as caught, _client(address):
        pass
    assert len(str(caught.value)) < 400
    assert len(clients()) <= before, "collected while another begins, half a client waits for that for ever"


def clients() -> list[object]:
    """Dask's clients that are in memory, whole or half made."""
    return [thing for thing in gc.get_objects() if type(thing).__name__ == "Client"]


# ------------------------------------------------------------------------------------------------------------- sweep files

SWEEPS = {
    "a huge number": f"seed: {DIGITS}",
    "a huge hexadecimal number": f"seed: 0x{'f' * 6000}",
    "a huge number in settings": f"settings: {{learning_rate: {DIGITS}}}",
    "nan": "settings: {learning_rate: .nan}",
    "infinity": "settings: {learning_rate: [.inf]}",
    "nan where nobody looks": "settings: {beta: .nan}\nmethods: [imu, npo]",
    "a key twice": "methods: [imu]\nmethods: [ga]",
    "an inner key twice": "settings: {epochs: 1, epochs: 2}",
    "a key in two spellings": "method: imu\nmethods: [ga]",
    "a date that is none": "name: 2026-99-99",
    "aliases without end": "a: &a [x,x,x,x,x,x,x,x,x]\n"
    + "\n".join(f"{b}: &{b} [{','.join(['*' + a] * 9)}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True)),
    "an alias in itself": "methods: &m [*m]",
    "a tag that runs": "methods: !!python/object/apply:os.system ['touch owned']",
    "a tag that fits nothing": "methods: !!omap 5",
    "a binary that is none": "methods: !!binary '%%%'",
    "deep": "[" * 2000,
    "no UTF-8": b"\xff\xfe\x00",
    "a null byte": b"methods: [im\x00u]",
    "a list": "- imu",
    "a number": "7",
    "two documents": "methods: [imu]\n---\nmethods: [ga]",
    "a key that is a list": "? [a]\n: b",
    "a part that is unknown": "x" * 500_000 + ": 1",
    "methods are numbers": "methods: [1, 2]",
    "a model of many letters": f"model: {'x' * 100_000}",
    "many runs": "seeds: 0-9999\nproblem_seeds: 0-9999",
    "a plug-in that is a device": "plugins: [/dev/zero]",
    "a method nobody has": "methods: [zebra]",
}


@pytest.mark.parametrize("name", SWEEPS)
def test_a_sweep_file_that_cannot_be_used(name: str, place: Path) -> None:
    text = SWEEPS[name]
    (place / "sweep.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ImuError) as caught:
        cells(place / "sweep.yaml")
    assert 10 < len(str(caught.value)) < LONGEST
    assert not (place / "owned").exists()


def test_yaml_means_what_it_meant() -> None:
    text = "base: &b {epochs: 1}\nmethods: [imu, ga]\nsettings: {<<: *b, l1: 0.5}\nseeds: 0-4"
    assert from_yaml(text) == {
        "base": {"epochs": 1},
        "methods": ["imu", "ga"],
        "settings": {"epochs": 1, "l1": 0.5},
        "seeds": "0-4",
    }
    assert from_yaml("") is None
    assert read_spec({"methods": ["imu"]}) == {"method": ["imu"]}


# ----------------------------------------------------------------------------------------------------------------- imports

IMPORTS = {
    "nothing": "",
    "no JSON": "{",
    "a list": "[]",
    "a number of many digits": f'{{"format": {DIGITS}}}',
    "nan": '{"format": NaN}',
    "a name twice": '{"format": "imu-runs", "format": "imu-runs"}',
    "deep": "[" * 100_000,
    "another format": '{"format": "zip"}',
    "half a surrogate": '{"format": "\\ud800"}',
    "no runs": '{"format": "FORMAT", "schema": 0, "runs": 5}',
    "a null": "null",
}


@pytest.mark.parametrize("name", IMPORTS)
def test_an_import_that_cannot_be_used(name: str, place: Path) -> None:
    (place / "runs.json").write_text(IMPORTS[name], encoding="utf-8", errors="surrogatepass")
    said("runs", "import", "runs.json")


def test_json_is_read_strictly() -> None:
    assert from_json('{"a": [1, 2.5, null], "b": {"a": true}}') == {"a": [1, 2.5, None], "b": {"a": True}}
    for text in ('{"a": 1, "a": 1}', "[NaN]", "-Infinity", "[" * 100_000, DIGITS):
        with pytest.raises(ValueError, match=r"stands twice|no number|too deeply|digits|Expecting"):
            from_json(text)


# ------------------------------------------------------------------------------------------------------- database addresses

ADDRESSES = [
    "nonsense",
    "sqlite://",
    "sqlite:///:memory:",
    "sqlite:////dev/zero",
    "sqlite:////dev/full",
    "sqlite:///pipe",
    "sqlite:///round",
    "sqlite:///.",
    "sqlite:////tmp/a\0b.sqlite",
    "sqlite:///file:/dev/zero?uri=true",
    "sqlite:///" + "x" * 5_000,
    "sqlite:////proc/nope/x.sqlite",
    "sqlite:///file/x.sqlite",
    "sqlite:///file",
    "sqlite:///new.sqlite?timeout=never",
    "sqlite:///~nobody-of-that-name/x",
    "sqlite+nothing:///x",
    "postgresql://host:port/x",
    f"postgresql://host:{DIGITS}/x",
    "oracle://x",
    "file:///etc/passwd",
    "\x1b[2J://x",
]


@pytest.mark.usefixtures("devices")
@pytest.mark.parametrize("address", ADDRESSES, ids=lambda text: text[:40].encode("unicode_escape").decode())
def test_an_address_that_is_no_database(address: str, place: Path) -> None:
    with pytest.raises(StoreError) as caught:
        Store(address)
    assert len(str(caught.value)) < LONGEST
    assert "\x1b" not in str(caught.value)
    assert (place / "file").read_text() == "mine"


# --------------------------------------------------------------------------------------------------- environment variables

VARIABLES = [
    ("IMU_HOME", "/dev/full"),
    ("IMU_HOME", "/proc/nope"),
    ("IMU_HOME", "x" * 5_000),
    ("IMU_HOME", "~nobody-of-that-name"),
    ("IMU_DEVICE", "x" * 100_000),
    ("IMU_DATABASE_URL", "nonsense"),
]


@pytest.mark.parametrize(("name", "value"), VARIABLES, ids=lambda text: text[:30])
def test_a_variable_that_cannot_be_used(name: str, value: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    asked: dict[str, Callable[[], object]] = {"IMU_DEVICE": runtime.device, "IMU_HOME": runtime.home}
    with pytest.raises(ImuError) as caught:
        asked.get(name, Store)()
    assert len(str(caught.value)) < LONGEST


# --------------------------------------------------------------------------------------------------------------- plug-ins

PLUGINS = {
    "ends the program": "import sys; sys.exit(3)",
    "raises what nobody catches": "class Odd(BaseException): pass\nraise Odd('x' * 100_000)",
    "leaves by os.abort's cousin": "raise SystemExit",
    "closes a generator": "raise GeneratorExit",
    "cannot be printed": "class Odd(Exception):\n    def __str__(self): raise ValueError\nraise Odd",
    "is no Python": "def (",
    "is binary": "\x00\x01",
    "registers nothing": "x = 1",
    "registers nonsense": "import imu_core.methods as m; m.register('x', 5)",
    "takes a name that is taken": "import imu_core.methods as m; m.register('ga', m.METHODS['imu'])",
}


@pytest.fixture
def registry() -> Iterator[None]:
    """Whatever a test registers is gone after it."""
    before, loaded = dict(METHODS), set(plugins._LOADED)
    yield
    METHODS.clear()
    METHODS.update(before)
    plugins._LOADED.clear()
    plugins._LOADED.update(loaded)


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize("name", PLUGINS)
def test_a_plug_in_that_is_no_good(name: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "odd.py").write_text(PLUGINS[name])
    with pytest.raises(ConfigError) as caught:
        methods.load_plugins([place / "odd.py"])
    assert len(str(caught.value)) < LONGEST
    monkeypatch.setenv("IMU_METHODS", str(place / "odd.py"))
    with pytest.warns(UserWarning, match="cannot be used"):
        methods.load_plugins()


@pytest.mark.usefixtures("registry")
def test_ctrl_c_still_ends_a_plug_in(place: Path) -> None:
    (place / "odd.py").write_text("raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        methods.load_plugins([place / "odd.py"])


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize("error", ["SystemExit", "GeneratorExit", "Odd"])
@pytest.mark.parametrize("where", ["start", "step"])
def test_a_method_from_elsewhere_that_ends_the_program_fails_alone(where: str, error: str, lenet: Any, place: Path) -> None:
    from imu_core.unlearning.run import unlearn

    (place / "odd.py").write_text(
        "import imu_core.methods as m\nclass Odd(BaseException): pass\n"
        f"def end(*_): raise {error}(3)\nclass End(m.Objective):\n    __call__ = end\n"
        f"m.register('odd', m.Method('Odd', 'odd', {'end' if where == 'start' else 'lambda v, c: End()'}, "
        "m.needs('forget'), 'nowhere'))\n"
    )
    methods.load_plugins([place / "odd.py"])
    run = unlearn(lenet, RunConfig(method="odd", epochs=1))
    assert not [point for point in run if point.step > 0]
    assert run.outcome.state == "failed"
    assert error in run.outcome.reason


ODD = """
import imu_core.methods as m
class Odd(BaseException): pass
class Alike(KeyboardInterrupt): pass
def end(*_): raise {error}
m.register('odd', m.Method('Odd', 'odd', lambda v, c: m.Objective(), {needs}, 'nowhere', stream={stream}))
"""
ANSWERS = {  # what needs and stream do
    "needs ends": ("end", "'forget'"),
    "stream ends": ("m.needs('forget')", "end"),
    "needs is nonsense": ("lambda c: 7", "'forget'"),
    "needs what there is not": ("lambda c: {'reference', 'x' * 100_000}", "'forget'"),
    "stream is nonsense": ("m.needs('forget')", "lambda c: ['forget']"),
}


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize("error", ["SystemExit(3)", "Odd('x' * 100_000)", "GeneratorExit", "ValueError", "StopIteration"])
@pytest.mark.parametrize("name", ANSWERS)
def test_what_a_method_from_elsewhere_says_of_itself_is_checked(name: str, error: str, place: Path) -> None:
    needs, stream = ANSWERS[name]
    (place / "odd.py").write_text(ODD.format(error=error, needs=needs, stream=stream))
    with pytest.raises(ConfigError, match="odd") as caught:
        methods.load_plugins([place / "odd.py"])
    assert len(str(caught.value)) < LONGEST
    assert "odd" not in METHODS


@pytest.fixture
def moody(place: Path, registry: None) -> Path:
    """A plug-in whose needs ends the program, or whose stream does, unless the settings are the usual ones."""
    (place / "odd.py").write_text(
        "import sys\nimport imu_core.methods as m\nEND = lambda *_: sys.exit(3)\n"
        "needs = lambda c: END() if c.epochs == 7 else frozenset({'forget'})\n"
        "stream = lambda c: END() if c.epochs == 8 else 'forget'\n"
        "m.register('moody', m.Method('Moody', 'odd', lambda v, c: m.METHODS['ga'].start(v, c), needs, 'x', stream=stream))\n"
    )
    return place / "odd.py"


@pytest.mark.parametrize("epochs", [7, 8])
@pytest.mark.usefixtures("lenet")
def test_a_moody_method_is_a_sentence_in_a_command(epochs: int, moody: Path) -> None:
    given = f"--problem tiny --model lenet5 --method moody --plugin {moody} --epochs {epochs} --no-metrics"
    assert "moody, a method from elsewhere, fails" in said("run", *given.split())


@pytest.mark.usefixtures("lenet")
def test_a_moody_method_is_a_sentence_in_a_sweep(moody: Path, place: Path) -> None:
    spec = {"problem": "tiny", "model": "lenet5", "methods": "moody", "settings": {"epochs": [1, 7, 8]}, "plugins": [str(moody)]}
    sweep = Sweep(cells(spec), f"sqlite:///{place}/runs.sqlite", workers=1, measure="none", plugins=[moody])
    words = [words for _, words in sweep]
    assert [run.state for run in sweep.results] == ["done", "failed", "failed"], words


@pytest.mark.usefixtures("lenet", "registry")
def test_a_moody_method_is_a_sentence_on_a_page() -> None:
    """It answers when it is registered, and never again."""
    from streamlit.testing.v1 import AppTest

    answers = iter([frozenset({"forget"})])
    methods.register("moody", dataclasses.replace(METHODS["ga"], title="Moody", needs=lambda config: next(answers)))
    at = AppTest.from_file(str(Path(__file__).parents[2] / "app.py"), default_timeout=120)
    at.query_params.update({"dataset": "tiny", "model": "lenet5", "forget": "class:Bag", "methods": "moody"})
    at.switch_page("pages/unlearn.py").run()
    assert not at.exception, [error.value for error in at.exception]
    assert any("moody, a method from elsewhere, fails" in warning.value for warning in at.warning)


# ----------------------------------------------------------------------------------------------- settings, names, messages

SETTINGS: list[dict[str, Any]] = [
    {"learning_rate": 10**5000},
    {"epochs": 10**400},
    {"seed": -(10**5000)},
    {"top": 10**5000},
    {"eval_every": -(10**5000)},
    {"update_every": "x" * 100_000},
    {"method": ["x"] * 100_000},
    {"options": {"x" * 100_000: 1}},
    {"scope": "last:" + DIGITS},
    {"stop_at": float("nan")},
]


@pytest.mark.parametrize("values", SETTINGS, ids=lambda values: next(iter(values)))
def test_a_setting_that_cannot_be_used(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        RunConfig(**values)
    assert len(str(caught.value)) < LONGEST


@pytest.mark.parametrize("value", [10**5000, 10**400, float("inf"), "x" * 100_000], ids=["5001", "401", "inf", "text"])
def test_an_own_setting_that_cannot_be_used(value: Any) -> None:
    method = next(
        method for method in METHODS.values() if any(not p.choices and not isinstance(p.default, bool) for p in method.parameters)
    )
    parameter = next(p for p in method.parameters if not p.choices and not isinstance(p.default, bool))
    with pytest.raises(ConfigError) as caught:
        parameter.check(value)
    assert len(str(caught.value)) < LONGEST


@pytest.mark.parametrize("name", ["market:/", "market:/etc", "folder:/etc@32", "folder:/dev/zero", "market:\0", "folder:\0"])
def test_a_folder_that_is_none_is_not_listed(name: str) -> None:
    with pytest.raises(DataError) as caught:
        data.load(name)
    for entry in ("passwd", "usr", "proc", "hostname"):
        assert entry not in str(caught.value)


@pytest.mark.parametrize("kind", [DataError, ConfigError, StoreError, DiskError])
def test_no_sentence_is_endless_or_steers_a_terminal(kind: type[ImuError]) -> None:
    text = str(kind("\x1b[2J\u202eevil \ud800" + "x" * 100_000 + " Do that instead."))
    assert len(text) < LONGEST
    assert text.endswith("Do that instead.")
    assert not {"\x1b", "\u202e", "\ud800"} & set(text)


# ------------------------------------------------------------------------------------------------------------------- links

LINKS: dict[str, dict[str, str]] = {
    "1e400": dict.fromkeys(("run_seed", "seed", "target", "own_learning_rate", "own_epochs", "own_npo_beta", "step"), "1e400"),
    "many digits": dict.fromkeys(("run_seed", "seed", "target", "own_learning_rate", "own_epochs", "step"), DIGITS),
    "nan": dict.fromkeys(("run_seed", "seed", "target", "own_learning_rate", "own_epochs", "step"), "nan"),
    "a null byte": dict.fromkeys(("run_seed", "seed", "methods", "preset", "scope", "forget"), "a\x00b"),
    "long": dict.fromkeys(("methods", "more", "preset", "scope", "forget", "own_estimator"), "x" * 3000),
    "another world": {"model": "../../x", "forget": "class:<script>", "methods": "IMU,XYZ", "page": "-1"},
    "the server's root": {"dataset": "market:/"},
    "a device": {"dataset": "folder:/dev/zero@32"},
    "a number in a folder": {"dataset": f"folder:x@{DIGITS}"},
    "300 requests": {"after": json.dumps([["class:Bag", {}]] * 300)},
    "hours": {"after": json.dumps([["class:Bag", {"scope": "all", "epochs": 500}]])},
    "a deep list": {"after": "[" * 3000},
    "a long number before": {"after": f'[["class:Bag", {{"seed": {DIGITS}}}]]'},
}


@pytest.mark.parametrize("name", LINKS)
def test_a_link_that_cannot_be_had(name: str, tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every parameter of one kind at once, on the page that reads most of them."""
    from streamlit.testing.v1 import AppTest

    monkeypatch.delenv("IMU_FOLDERS", raising=False)
    at = AppTest.from_file(str(Path(__file__).parents[2] / "app.py"), default_timeout=120)
    at.query_params.update({"dataset": "tiny", "model": "lenet5", "forget": "class:Bag", "preset": "own", **LINKS[name]})
    at.switch_page("pages/unlearn.py").run()
    assert not at.exception, [error.value for error in at.exception]
    shown = " ".join(str(block.value) for blocks in (at.warning, at.error, at.info, at.caption, at.markdown) for block in blocks)
    assert len(shown) < 20_000
    for entry in ("passwd", "/usr", "/proc", "hostname"):
        assert entry not in shown


# ----------------------------------------------------------------------------------------------------------------- together


@pytest.mark.slow(reason="counts the cases of the full run")
def test_there_are_two_hundred_of_them() -> None:
    """Counted as pytest collects them, in this file and its two sisters; apart, for collecting changes the environment."""
    files = map(str, sorted(Path(__file__).parent.glob("test_hostile*.py")))
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", "", "-p", "no:cacheprovider", *files]
    listed = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]).stdout
    assert sum("::" in line for line in listed.splitlines()) >= 200
