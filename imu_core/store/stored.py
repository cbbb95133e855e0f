"""A run on record: what the store keeps of it, its parameters as bytes, and the checks of whatever comes from outside."""

from __future__ import annotations

import base64
import binascii
import copy
import dataclasses
import hashlib
import json
import math
import re
import time
import uuid
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from imu_core.errors import ConfigError, DataError
from imu_core.models import checkpoints
from imu_core.parsing import from_json
from imu_core.records import Outcome, Point, Problem, RunConfig, Trajectory, finite

if TYPE_CHECKING:
    from imu_core.unlearning.run import Run

SCHEMA = 1  # of the records and of exported files; another one is refused. `schema.VERSION` is that of the database
FORMAT = "imu_core runs"
STATES = ("done", "cancelled", "diverged", "failed")
LARGEST_PARAMETERS = 8 * 2**20  # bytes
LONGEST_NAME, LONGEST_TAG, MOST_TAGS = 200, 40, 20
_LONGEST_TEXT = 70_000  # characters of a text inside a record: a forget request may have 60,000
_LARGEST_IMPORT = 256 * 2**20  # characters
_LARGEST_RECORD = 64 * 2**20  # bytes of one trajectory, unpacked
_MOST_RUNS, _MOST_POINTS, _MOST_NUMBERS = 10_000, 100_000, 100_000
_DEEPEST = 12
_SCALARS = ("step", "epoch", "seconds", "loss", "accuracies", "weights", "full")  # of a point
# Control characters, halves of surrogate pairs and marks that turn text around break databases, terminals and readers.
_HIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_BASE = "base"  # names, inside stored parameters, the original they were made from


@dataclass(frozen=True, eq=False)
class Summary:
    """A stored run without its points: enough for a list, a table or a chart of final numbers.

    `key` is the same for the same run, `id` is this one's alone. `created` and `deleted` are seconds since 1970 (`deleted` is
    None for a run that is not); `settings` are those that are not at their default; `seconds` is what the run took without
    its measurement; `accuracies` are those of the last point, fractions; `metrics` is what `Measurement.result` held; `visitor`
    stands for whoever made it (nobody: a command), `unlisted` is when they took it off their list.
    """

    id: str
    key: str
    created: float
    name: str
    tags: tuple[str, ...]
    deleted: float | None
    method: str
    dataset: str
    model_name: str
    forget: str
    problem_seed: int
    seed: int
    scope: str
    settings: dict[str, Any]
    state: str
    seconds: float
    accuracies: dict[str, float]
    metrics: dict[str, Any]
    visitor: str | None
    unlisted: float | None
    has_parameters: bool

    @property
    def depth(self) -> str:
        """How far it was measured: none, quick (accuracies, distances), membership (a quick SVC too) or full (all attacks)."""
        return depth(self.metrics)


@dataclass(frozen=True, eq=False)
class Stored(Summary):
    """A stored run with everything: the whole trajectory, and the parameters where they were kept (safetensors bytes)."""

    trajectory: Trajectory
    parameters: bytes | None

    def model(self, problem: Problem) -> nn.Module | None:
        """The unlearned model, rebuilt from the original of `problem` in eval mode; None where no parameters were kept.

        DataError where `problem` is another one or its original has been trained anew since.
        """
        if self.parameters is None:
            return None
        if problem.describe() != self.trajectory.problem:
            raise DataError(f"This run belongs to another problem: {self.forget} on {self.dataset}/{self.model_name}.")
        return rebuilt(problem, self.parameters)


def rebuilt(problem: Problem, parameters: bytes) -> nn.Module:
    """The original of `problem` with stored `parameters` laid over it, in eval mode; DataError where they belong to another."""
    tensors, base = read_parameters(parameters)
    if base != checkpoints.state_hash(problem.model):
        raise DataError("The original model is no longer the one this run started from. Run it again.")
    model = copy.deepcopy(problem.model)
    _fill(model, tensors)
    return model.eval().requires_grad_(False)


def depth(metrics: Mapping[str, Any]) -> str:
    """How far `metrics` go: none, quick, membership or full."""
    parts = [metrics.get(name) for name in ("accuracies", "membership", "attacks")]
    return ("none", "quick", "membership", "full")[sum(isinstance(part, dict) and "run" in part for part in parts)]


def knows_reference(metrics: Mapping[str, Any]) -> bool:
    """Whether `metrics` were taken beside a retrained model."""
    accuracies = metrics.get("accuracies")
    return isinstance(accuracies, dict) and "retrained" in accuracies


def run_key(problem: Mapping[str, Any], config: RunConfig) -> str:
    """64 hex digits that stand for a run: SHA-256 of its problem (as `Problem.describe` words it), config and schema.

    Settings at their default are left out, so that a setting added later leaves the keys of older runs as they are; 1 and
    1.0 are the same number. What is measured after a run is no part of it.
    """
    default = dataclasses.asdict(RunConfig())
    settings = {name: value for name, value in dataclasses.asdict(config).items() if value != default.get(name)}
    content = _plain({"problem": problem, "config": settings | {"method": config.method}, "schema": SCHEMA})
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


# Parameters.


def changed_parameters(run: Run) -> bytes | None:
    """The tensors of the unlearned model that differ from the original, as safetensors bytes; None above 8 MB.

    A head-only run changes two of them. The file names the original, so that it is never laid over another.
    """
    before, after = run.problem.model.state_dict(), run.state()
    changed = {name: t.detach().cpu().contiguous() for name, t in after.items() if not _same(t, before[name])}
    if sum(t.numel() * t.element_size() for t in changed.values()) >= LARGEST_PARAMETERS:
        return None
    content = save_tensors(changed, {_BASE: checkpoints.state_hash(run.problem.model)})
    return content if len(content) < LARGEST_PARAMETERS else None


def _same(one: Tensor, other: Tensor) -> bool:
    """Whether both hold the same bytes: -0.0 is not 0.0 here, and nan is itself."""
    return torch.equal(one.reshape(-1).view(torch.uint8), other.reshape(-1).view(torch.uint8))


def read_parameters(content: bytes) -> tuple[dict[str, Tensor], str]:
    """(tensors by name, hash of the original) of stored parameters; DataError when they are no safetensors or too large."""
    if len(content) >= LARGEST_PARAMETERS:
        raise DataError(f"The parameters have {len(content):,} bytes; less than {LARGEST_PARAMETERS:,} are allowed.")
    try:
        tensors = load_tensors(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError("The parameters are damaged: they are no safetensors.") from error
    return tensors, str((header.get("__metadata__") or {}).get(_BASE, ""))


def _fill(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    own = model.state_dict()
    wrong = [name for name, t in tensors.items() if name not in own or (own[name].shape, own[name].dtype) != (t.shape, t.dtype)]
    if wrong:
        raise DataError(f"The parameters do not fit {type(model).__name__}: {', '.join(sorted(wrong)[:3])}.")
    model.load_state_dict(dict(tensors), strict=False)


# What goes into the database, and comes out of it.


def columns(
    trajectory: Trajectory,
    name: str = "",
    parameters: bytes | None = None,
    run_id: str | None = None,
    created: float | None = None,
) -> dict[str, Any]:
    """The row that stands for `trajectory`: what is searched in columns, the points compressed."""
    problem, config = trajectory.problem, trajectory.config
    return {
        "id": run_id or uuid.uuid4().hex,
        "key": run_key(problem, config),
        "created": time.time() if created is None else created,
        "name": clean_name(name),
        "deleted": None,
        "method": config.method,
        "dataset": problem["dataset"],
        "model_name": problem["model"],
        "forget": problem["forget"],
        "problem_seed": problem["seed"],
        "seed": config.seed,
        "scope": config.scope,
        "settings": config.changed(),
        "state": trajectory.outcome.state,
        "seconds": float(sum(trajectory.phases.values())),
        "accuracies": finite(dict(trajectory.points[-1].accuracies)) if trajectory.points else {},
        "metrics": finite(dict(trajectory.metrics)),
        "trajectory": pack(trajectory),
        "parameters": parameters,
        "visitor": None,
        "unlisted": None,
    }


def pack(trajectory: Trajectory) -> bytes:
    """`trajectory` without its metrics (they have a column of their own) as compressed JSON."""
    content = trajectory.to_dict() | {"metrics": {}}
    return zlib.compress(json.dumps(finite(content), separators=(",", ":"), allow_nan=False).encode())


def unpack(content: bytes, metrics: dict[str, Any]) -> Trajectory:
    """The trajectory that `pack` wrote, with its metrics; DataError when it is damaged."""
    try:
        text = zlib.decompressobj().decompress(content, _LARGEST_RECORD)
        values = from_json(text.decode())
    except (zlib.error, ValueError) as error:
        raise DataError("Its record is damaged: it cannot be unpacked.") from error
    return read_trajectory({**_mapping(values, "record"), "metrics": metrics})


def clean_name(name: str) -> str:
    """`name` without spaces around it; DataError for more than 200 characters or ones that cannot be printed."""
    return _text(name.strip() if isinstance(name, str) else name, "The name", LONGEST_NAME)


def clean_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """The set of `tags` in order of the alphabet, without empty ones; DataError for long, many or unprintable ones."""
    if isinstance(tags, str) or not isinstance(tags, Iterable):
        raise DataError(f"Tags are {str(tags)[:40]!r}; give a list of words.")
    found = sorted({_text(tag, "A tag", LONGEST_TAG).strip() for tag in tags} - {""})
    if any("," in tag for tag in found):
        raise DataError("A tag holds a comma; commas stand between tags.")
    if len(found) > MOST_TAGS:
        raise DataError(f"A run may carry {MOST_TAGS} tags; these are {len(found)}.")
    return tuple(found)


# Text: out, and back in with nothing taken on trust.


def to_text(runs: Iterable[Stored]) -> str:
    """`runs` with everything, parameters in base64, as JSON that `from_text` reads back."""
    listed = [
        {
            "id": run.id,
            "key": run.key,
            "created": run.created,
            "name": run.name,
            "tags": list(run.tags),
            "trajectory": run.trajectory.to_dict(),
            "parameters": None if run.parameters is None else base64.b64encode(run.parameters).decode(),
        }
        for run in runs
    ]
    return json.dumps({"format": FORMAT, "schema": SCHEMA, "runs": listed}, allow_nan=False, ensure_ascii=False) + "\n"


def from_text(text: str) -> list[tuple[dict[str, Any], tuple[str, ...]]]:
    """(row, tags) of every run in exported `text`; DataError in a sentence for anything that is not what `to_text` writes.

    Names of methods, data sets and models may be unknown here. Keys are computed anew, never believed.
    """
    if not isinstance(text, str) or len(text) > _LARGEST_IMPORT:
        raise DataError(f"At most {_LARGEST_IMPORT // 2**20} MB of text can be imported at once. Export fewer runs at a time.")
    try:
        content = from_json(text)
    except ValueError as error:
        raise DataError(f"This is no export of runs: it is not JSON as it is read here ({str(error)[:120]}).") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise DataError("This is no export of runs. Make one with: python -m imu_core runs export")
    if content.get("schema") != SCHEMA:
        raise DataError(f"This export has schema {str(content.get('schema'))[:20]}; this version reads {SCHEMA}.")
    runs = content.get("runs")
    if not isinstance(runs, list) or len(runs) > _MOST_RUNS:
        raise DataError(f"An export holds a list of at most {_MOST_RUNS:,} runs.")
    return [_numbered(number, len(runs), run) for number, run in enumerate(runs, 1)]


def _numbered(number: int, total: int, run: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    try:
        return _read_run(run)
    except (DataError, ConfigError) as error:
        raise DataError(f"Run {number} of {total} cannot be imported, so none was. {str(error)[:500]}") from error


def _read_run(run: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    run = _mapping(run, "A run")
    run_id = _text(run.get("id"), "Its id", 32)
    if len(run_id) != 32 or set(run_id) - set("0123456789abcdef"):
        raise DataError("Its id is not 32 hexadecimal digits.")
    created = _number(run.get("created"), "created", 0, 2**40)
    tags = run.get("tags")
    if not isinstance(tags, list):
        raise DataError("Its tags are no list.")
    row = columns(read_trajectory(run.get("trajectory")), run.get("name"), _from_base64(run), run_id, created)
    return row, clean_tags(tags)


def _from_base64(run: Mapping[str, Any]) -> bytes | None:
    encoded = run.get("parameters")
    if encoded is None:
        return None
    if not isinstance(encoded, str) or len(encoded) > LARGEST_PARAMETERS * 4 // 3 + 4:
        raise DataError("Its parameters are no base64 text, or too large.")
    try:
        content = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise DataError("Its parameters are no base64 text.") from error
    read_parameters(content)
    return content


def read_trajectory(values: Any) -> Trajectory:
    """The trajectory that `Trajectory.to_dict` wrote, every type and size checked; DataError or ConfigError otherwise."""
    values = _mapping(values, "The record")
    missing = sorted({f.name for f in dataclasses.fields(Trajectory)} - {"costs", "images"} - set(values))
    if missing:
        raise DataError(f"The record lacks {', '.join(missing)}.")
    points, saw = values["points"], values["saw"]
    if not isinstance(points, list) or len(points) > _MOST_POINTS:
        raise DataError(f"points must be a list of at most {_MOST_POINTS:,}.")
    if not isinstance(saw, list) or len(saw) > 20:
        raise DataError("saw must be a short list of names.")
    return Trajectory(
        _config(values["config"]),
        _problem(values["problem"]),
        tuple(_point(point) for point in points),
        _named(values["phases"], "phases", lambda v, w: _number(v, w, 0, 1e12)),
        _outcome(values["outcome"]),
        _named(values["sizes"], "sizes", _whole),
        tuple(_text(name, "saw", 40) for name in saw),
        _metrics(values["metrics"]),
        _named(values["environment"], "environment", lambda v, w: _text(v, w, LONGEST_NAME)),
        _named(values.get("costs", {}), "costs", _maybe_number),
        _named(values.get("images", {}), "images", _whole),
    )


def _config(values: Any) -> RunConfig:
    values = _mapping(values, "config")
    if not all(isinstance(name, str) for name in values):
        raise DataError("config holds names that are no text.")
    config = RunConfig.from_dict(dict(values))
    _text(config.method, "method", 60)
    for name, value in config.options.items():
        _text(name, "The name of an option", 60)
        _text(value if isinstance(value, str) else "", "An option", LONGEST_NAME)
    return config


def _problem(values: Any) -> dict[str, Any]:
    values = _mapping(values, "problem")
    history = values.get("history")
    if not isinstance(history, list) or len(history) > 100:
        raise DataError("history must be a list of at most 100 earlier requests.")
    steps = [_mapping(step, "history") for step in history]
    return {
        "dataset": _text(values.get("dataset"), "dataset", 1000, filled=True),
        "model": _text(values.get("model"), "model", 100, filled=True),
        "forget": _text(values.get("forget"), "forget", _LONGEST_TEXT, filled=True),
        "seed": _whole(values.get("seed"), "seed"),
        "history": [
            {
                "forget": _text(step.get("forget"), "forget", _LONGEST_TEXT, filled=True),
                "config": _config(step.get("config")).changed(),
            }
            for step in steps
        ],
    }


def _point(values: Any) -> Point:
    values = _mapping(values, "A point")
    if set(values) != set(_SCALARS):
        raise DataError(f"A point must hold {', '.join(_SCALARS)}.")
    if not isinstance(values["full"], bool):
        raise DataError("full must be true or false.")
    loss, weights = values["loss"], values["weights"]
    return Point(
        _whole(values["step"], "step"),
        _number(values["epoch"], "epoch", 0, 1e9),
        _number(values["seconds"], "seconds", 0, 1e12),
        None if loss is None else _number(loss, "loss", -math.inf, math.inf),
        _named(values["accuracies"], "accuracies", lambda v, w: None if v is None else _number(v, w, 0, 1)),
        None if weights is None else _named(weights, "weights", _maybe_number),
        full=values["full"],
    )


def _outcome(values: Any) -> Outcome:
    values = _mapping(values, "outcome")
    if values.get("state") not in STATES:
        raise DataError(f"Its state is {str(values.get('state'))[:40]!r}; a stored run is {', '.join(STATES)}.")
    _text(values.get("reason"), "reason", _LONGEST_TEXT, lines=True)
    return Outcome.from_dict(values)


def _metrics(values: Any) -> dict[str, Any]:
    left = [_MOST_NUMBERS]
    _check_tree(_mapping(values, "metrics"), left, 0)
    return dict(values)


def _check_tree(value: Any, left: list[int], level: int) -> None:
    """DataError for a tree too deep, too large, or with leaves that are no number, text, true, false or nothing."""
    left[0] -= 1
    if level > _DEEPEST or left[0] < 0:
        raise DataError(f"metrics are nested deeper than {_DEEPEST} levels or hold more than {_MOST_NUMBERS:,} values.")
    if isinstance(value, dict):
        for name, inner in value.items():
            _text(name, "A name in metrics", LONGEST_NAME)
            _check_tree(inner, left, level + 1)
    elif isinstance(value, list):
        for inner in value:
            _check_tree(inner, left, level + 1)
    elif isinstance(value, str):
        _text(value, "A text in metrics", _LONGEST_TEXT, lines=True)
    elif value is not None and not isinstance(value, bool):
        _number(value, "A value in metrics", -math.inf, math.inf)


def _mapping(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise DataError(f"{what} must be a mapping of names to values.")
    return value


def _named(value: Any, what: str, read: Callable[[Any, str], Any]) -> dict[str, Any]:
    if len(_mapping(value, what)) > 1000:
        raise DataError(f"{what} hold more than 1,000 names.")
    return {_text(name, what, LONGEST_NAME): read(inner, what) for name, inner in value.items()}


def _number(value: Any, what: str, low: float, high: float) -> float:
    good = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not good or not low <= value <= high or not abs(value) < 2**1000:
        raise DataError(f"{what} is {str(value)[:40]}; it must be a number from {low:g} to {high:g}.")
    return value


def _maybe_number(value: Any, what: str) -> float | None:
    return None if value is None else _number(value, what, -math.inf, math.inf)


def _whole(value: Any, what: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**31:
        raise DataError(f"{what} is {str(value)[:40]}; it must be a whole number from 0 to {2**31 - 1}.")
    return value


def _text(value: Any, what: str, longest: int, *, filled: bool = False, lines: bool = False) -> str:
    if not isinstance(value, str) or len(value) > longest or (filled and not value):
        raise DataError(f"{what} must be a text of {'1' if filled else '0'} to {longest:,} characters.")
    if _HIDDEN.search(value.replace("\n", "").replace("\t", "") if lines else value):
        raise DataError(f"{what} holds characters that cannot be shown.")
    return value
