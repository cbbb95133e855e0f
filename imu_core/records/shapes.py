"""The shapes of the JSON objects that stand in files: the names of their fields and the type of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias, TypedDict

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
Value: TypeAlias = bool | int | float | str | None
Settings: TypeAlias = "dict[str, Value | dict[str, Value]]"  # of a run; a method's own ones lie in `options`
History: TypeAlias = "Sequence[tuple[str, Settings]]"  # (request, settings) of every run that came before, oldest first


class Earlier(TypedDict):
    """A request that came before, and the settings of the run that forgot it."""

    forget: str
    config: Settings


class About(TypedDict):
    """A problem by names: enough to make it again."""

    dataset: str
    model: str
    forget: str
    seed: int
    history: list[Earlier]


class Metrics(TypedDict, total=False):
    """What was measured of a run: model ("run", "original", "retrained") → numbers; `Measurement` says what each part holds."""

    accuracies: dict[str, dict[str, float]]
    membership: dict[str, float]
    attacks: dict[str, dict[str, float]]
    divergence: dict[str, dict[str, dict[str, float]]]  # model → set → distance
    gaps: dict[str, dict[str, float]]
    worst_case: dict[str, dict[str, float | str]]
    zrf: dict[str, dict[str, float]]
    neighbour: dict[str, dict[str, float]]
    retrieval: dict[str, dict[str, float]]
    drift: dict[str, float]  # by layer
    seconds: dict[str, float]  # by part


class MeanRecord(TypedDict):
    """A mean over forget sets, half its 95 % interval (None for a single set), and how many there are."""

    mean: float
    half: float | None
    n: int


class ScopeRow(TypedDict, total=False):
    """One run of a re-identification `SideBySide`: its settings, accuracies (fractions) and `Found.numbers`.

    `drift` is how far its batch-norm statistics went, the largest of all layers; `same_features`: whether the backbone is
    bit-identical to the original's.
    """

    scope: str
    bn: str
    state: str
    steps: int
    seconds: float
    forget: float
    test: float
    test_other: float
    map: float
    rank1: float
    rank5: float
    person_map: float
    person_rank1: float
    person_rank5: float
    drift: float
    same_features: bool


class ScopeRecord(TypedDict):
    """A `SideBySide` as it ships in a file: its rows, the references' numbers, and the problem, model and data behind them."""

    command: str
    problem: About
    method: str
    preset: str
    references: dict[str, dict[str, float]]
    rows: list[ScopeRow]
    model_hash: str
    data_hash: str


class Brought(TypedDict, total=False):
    """The part of a `Card` that only brought models have: where the model came from, and how it did in the test."""

    architecture: str
    normalisation: str
    mean: list[float]
    std: list[float]
    head: str
    file: str
    sha256: str
    notes: list[str]
    matched: str
    classes: list[str]
    expected: float | None
    correct: int
    tested: int
    sentence: str
    left_out: list[dict[str, Json]]
    copies: dict[str, int]


class Card(TypedDict, total=False):
    """What lies beside a stored model: what it is, how it was trained, and what it reaches."""

    format: int
    role: str
    dataset: str
    data_hash: str
    model: str
    parameters: int
    seed: int
    request: str
    removed: int
    removed_hash: str
    command: str
    recipe: dict[str, Value]
    accuracies: dict[str, float]
    seconds: float
    stored: str
    versions: dict[str, str]
    brought: Brought
