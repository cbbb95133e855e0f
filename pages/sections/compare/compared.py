"""A run as the page Compare holds it, what is known of it without waiting, and a table as files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from imu_core.errors import DataError
from imu_core.evaluation import measurement, similarity
from imu_core.evaluation.measurement import Asking
from imu_core.figures import style_of
from imu_core.figures.compare import Who
from imu_core.metrics import divergence, gaps
from imu_core.problems.reference import Reference
from imu_core.records.run import Problem, Trajectory
from imu_core.records.shapes import Metrics
from imu_core.report import exports
from imu_core.store.runs import Stored
from pages.session import answers, session_runs
from pages.session import stored as session_stored
from pages.widgets import apart, waited
from pages.widgets.tables import Row

PAIR = ("run_a", "run_b")  # the keys of the two that are looked at closely


@dataclass(eq=False)
class Compared:
    """A finished run, from this visit or from the database, under a name of its own."""

    key: str
    name: str
    trajectory: Trajectory
    measured: Metrics
    kept: session_runs.Kept | None = None
    stored: Stored | None = None
    cache: dict[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The id of its record in the database; empty where it has none."""
        return self.kept.stored if self.kept else self.key

    @property
    def who(self) -> Who:
        """Its name and how it is drawn."""
        config = self.trajectory.config
        return Who(self.name, style_of(config.method, config.control))

    @property
    def last(self) -> dict[str, float]:
        """Accuracies at its end."""
        return self.trajectory.points[-1].accuracies

    @property
    def on_head(self) -> bool:
        """Whether its answers come from stored features at once."""
        return self.trajectory.config.scope == "head" and self.trajectory.config.bn == "eval"

    def model(self, problem: Problem) -> Any:
        """Its network; DataError, a sentence, where it was not kept."""
        if "network" not in self.cache:
            network = self.kept.run.model() if self.kept else self.stored.model(problem)
            if network is None:
                raise DataError(f"The parameters of {self.name} were not kept, so its model cannot be asked. Run it again.")
            self.cache["network"] = network
        return self.cache["network"]

    def logits(self, problem: Problem) -> Any:
        """Its logits for (all training images, all test images); None while these are computed, with a bar on the page."""
        if self.kept:
            return answers.logits(self.kept)
        if "logits" not in self.cache and self.on_head:
            self.cache["logits"] = similarity.outputs(problem, self.model(problem))
        if "logits" not in self.cache:
            model = self.model(problem)
            work = waited.work(f"asking {self.key}", f"{self.name} is asked about every image", lambda: Asking(problem, model))
            if work:
                self.cache["logits"] = work.logits
        return self.cache.get("logits")


def tell_apart(items: Sequence[Compared]) -> None:
    """Draw a line that tells apart those of `items` that share a name; nothing where no two do."""
    ids = [item.id or item.key for item in items]
    ones = zip(items, ids, strict=True)
    apart.caption([apart.One(item.name, item.trajectory.config.changed(), run_id) for item, run_id in ones])


def first_sight(problem: Problem, reference: Reference | None) -> dict[str, float]:
    """Metrics of the original model from its stored outputs: its accuracies, and its distances from `reference` where given."""
    pair = (problem.train.logits, problem.test.logits)
    accuracies = measurement.model_accuracies(problem, pair)
    return accuracies | (_distances(accuracies, pair, reference) if reference else {})


def numbers(problem: Problem, item: Compared, reference: Reference | None) -> dict[str, float]:
    """Every metric of a run that is known without waiting: its last accuracies, what was measured, cheap distances."""
    measured = session_stored.numbers_of(dict(item.measured), "run")
    if reference and "kl" not in measured and item.on_head and (item.kept or item.stored.has_parameters):
        measured = _cheap(problem, item, reference) | measured
    if reference and "tug_of_war" not in measured:
        measured["tug_of_war"] = _tug(item.last, reference.accuracies)
    return {**measured, **{key: value for key, value in item.last.items() if value is not None}}


def _cheap(problem: Problem, item: Compared, reference: Reference) -> dict[str, float]:
    if "distances" not in item.cache:
        try:
            item.cache["distances"] = _distances(item.last, item.logits(problem), reference)
        except DataError:
            item.cache["distances"] = {}  # said where the two are looked at closely
    return item.cache["distances"]


def _distances(accuracies: Mapping[str, float], logits: Any, reference: Reference) -> dict[str, float]:
    pair = (reference.test.logits, logits[1])
    distances = {"kl": divergence.kl(*pair), "js": divergence.js(*pair), "agreement": divergence.agreement(*pair)}
    return distances | {"tug_of_war": _tug(accuracies, reference.accuracies)}


def _tug(own: Mapping[str, float], aim: Mapping[str, float]) -> float:
    try:
        return gaps.tug_of_war(own, aim)
    except DataError:
        return float("nan")


def files(rows: Sequence[Row], stem: str, caption: str, decimals: Mapping[str, int]) -> None:
    """Draw the buttons that download a table: CSV and JSON with full precision, LaTeX with `decimals` a column."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.caption("Take the table with you:", width="content")
        made = {
            "CSV": (lambda: exports.table_csv(rows), "csv", "text/csv"),
            "LaTeX": (lambda: exports.table_latex(rows, caption, decimals), "tex", "application/x-tex"),
            "JSON": (lambda: exports.table_json(rows), "json", "application/json"),
        }
        for label, (make, ending, mime) in made.items():
            st.download_button(label, make, f"{stem}.{ending}", mime, key=f"{stem}_{ending}", on_click="ignore")
