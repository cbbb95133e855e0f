"""A run on record: what the store keeps of it, its parameters as bytes, and the checks of whatever comes from outside."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
import time
import uuid
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from imu_core.errors import DataError
from imu_core.models import hashes
from imu_core.parsing import from_json
from imu_core.records.run import Problem, RunConfig, Trajectory, finite
from imu_core.records.shapes import About, Metrics, Settings
from imu_core.store.reading import LONGEST_NAME, mapping_of, read_trajectory, text_of
from imu_core.store.schema import RunRow

if TYPE_CHECKING:
    from imu_core.unlearning.run import Run

SCHEMA = 1  # of the records and of exported files; another one is refused. `schema.VERSION` is that of the database
FORMAT = "imu_core runs"
LARGEST_PARAMETERS = 8 * 2**20  # bytes
LONGEST_TAG, MOST_TAGS = 40, 20
_LARGEST_RECORD = 64 * 2**20  # bytes of one trajectory, unpacked
_BASE = "base"  # names, inside stored parameters, the original they were made from


class Measure(StrEnum):
    """How much of a run was measured, or is to be, from least to most; records and sweeps hold these words."""

    NONE = "none"
    QUICK = "quick"  # accuracies, distances
    MEMBERSHIP = "membership"  # a quick SVC too
    FULL = "full"  # all attacks

    @property
    def level(self) -> int:
        """0 for none, to 3 for full."""
        return list(Measure).index(self)


@dataclass(frozen=True, eq=False)
class Summary:
    """A stored run without its points: enough for a list, a table or a chart of final numbers.

    `key` is equal for runs of the same problem and settings, `id` is this run's alone. `created` and `deleted` are
    seconds since 1970 (`deleted` is None for a run that is not deleted); `settings` are those that are not at their default;
    `seconds` is what the run took without its measurement; `accuracies` are those of the last point, fractions; `metrics` is
    what `Measurement.result` held; `visitor` stands for whoever made it (None: nobody, as for a command), `unlisted` is when
    they took it off their list (None: it is on it).
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
    settings: Settings
    state: str
    seconds: float
    accuracies: dict[str, float]
    metrics: Metrics
    visitor: str | None
    unlisted: float | None
    has_parameters: bool

    @property
    def depth(self) -> Measure:
        """How much of the run was measured."""
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
    """A copy of the original model of `problem` with the stored `parameters` put in, in eval mode.

    DataError where they were made from another original or do not fit.
    """
    tensors, base = read_parameters(parameters)
    if base != hashes.state_hash(problem.model):
        raise DataError("The original model is no longer the one this run started from. Run it again.")
    model = copy.deepcopy(problem.model)
    _fill(model, tensors)
    return model.eval().requires_grad_(False)


def depth(metrics: Metrics) -> Measure:
    """How much of a run was measured, by the `metrics` on its record."""
    parts = [metrics.get(name) for name in ("accuracies", "membership", "attacks")]
    return list(Measure)[sum(isinstance(part, dict) and "run" in part for part in parts)]


def knows_reference(metrics: Metrics) -> bool:
    """Whether `metrics` were taken beside a retrained model."""
    accuracies = metrics.get("accuracies")
    return isinstance(accuracies, dict) and "retrained" in accuracies


def run_key(problem: About, config: RunConfig) -> str:
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
    """The tensors of the unlearned model that differ from the original, as safetensors bytes; None from 8 MB on.

    A head-only run changes two of them. The file names the original, so that it is never laid over another.
    """
    before, after = run.problem.model.state_dict(), run.state()
    changed = {name: t.detach().cpu().contiguous() for name, t in after.items() if not _same(t, before[name])}
    if sum(t.numel() * t.element_size() for t in changed.values()) >= LARGEST_PARAMETERS:
        return None
    content = save_tensors(changed, {_BASE: hashes.state_hash(run.problem.model)})
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
) -> RunRow:
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


def unpack(content: bytes, metrics: Metrics) -> Trajectory:
    """The trajectory that `pack` wrote, with its metrics; DataError when it is damaged."""
    try:
        text = zlib.decompressobj().decompress(content, _LARGEST_RECORD)
        values = from_json(text.decode())
    except (zlib.error, ValueError) as error:
        raise DataError("Its record is damaged: it cannot be unpacked.") from error
    return read_trajectory({**mapping_of(values, "record"), "metrics": metrics})


def clean_name(name: str) -> str:
    """`name` without spaces around it; DataError for more than 200 characters or ones that cannot be printed."""
    return text_of(name.strip() if isinstance(name, str) else name, "The name", LONGEST_NAME)


def clean_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """`tags` sorted, without empty or equal ones; DataError for long, many or unprintable ones, and for commas."""
    if isinstance(tags, str) or not isinstance(tags, Iterable):
        raise DataError(f"Tags are {str(tags)[:40]!r}; give a list of words.")
    labels = sorted({text_of(tag, "A tag", LONGEST_TAG).strip() for tag in tags} - {""})
    if any("," in tag for tag in labels):
        raise DataError("A tag holds a comma; commas stand between tags.")
    if len(labels) > MOST_TAGS:
        raise DataError(f"A run may carry {MOST_TAGS} tags; these are {len(labels)}.")
    return tuple(labels)


# Text: out, and back in with nothing taken on trust.


def stored_run(row: RunRow, tags: tuple[str, ...]) -> Stored:
    """The run that a row of the table holds, with its path unpacked (and taken out of `row`) and its `tags`."""
    trajectory = unpack(row.pop("trajectory"), row["metrics"])
    return Stored(**row, tags=tags, has_parameters=row["parameters"] is not None, trajectory=trajectory)
