"""The shape of the record of all methods: a row for every method and scope, and what they were compared on."""

from __future__ import annotations

from typing import NotRequired, TypedDict


class Change(TypedDict):
    """A mean change of accuracy, a fraction, with half its 95 % interval."""

    change: float
    half: float


class Against(TypedDict):
    """The paired difference to the baseline: mean, half its interval, p, and what is seen (a `Seen`)."""

    mean: float
    half: float
    p: float
    words: str


class Standing(Change):
    """One entry at one scope; `comparison.row` says what each name holds."""

    key: str
    method: str
    control: str | None
    title: str
    scope: str
    saw: list[str]
    value: float
    oracle: float
    setting: str
    runs: int
    reached: int
    forget: float
    worst: float
    seconds: float
    peak_bytes: float
    kl_test: float | None
    kl_forget: float | None
    diverged: int
    failed: int
    against: NotRequired[Against]


class PlanRecord(TypedDict, total=False):
    """What was compared: `seeds` are pairs of a scope and how many seeds it had."""

    dataset: str
    model: str
    requests: list[str]
    seeds: list[list[str | int]]
    target: float
    budget: int
    baseline: str


class Standings(TypedDict, total=False):
    """The whole record, as `imu table --json` writes it."""

    command: str
    plan: PlanRecord
    rows: list[Standing]
    reference: dict[str, float]
