"""How well models find people, before unlearning and after each run: there at once, or a bar stands in its place."""

from __future__ import annotations

from typing import Any

from imu_core.evaluation import reidentification
from imu_core.evaluation.reidentification import Found, Searching
from imu_core.models import checkpoints
from imu_core.records.run import Problem
from pages.session.kept import Kept
from pages.widgets import waited


def references(problem: Problem) -> dict[str, Found] | None:
    """How well the models "original" and (where stored) "retrained" find people; None meanwhile, with a bar on the page."""
    stored = checkpoints.find(problem.dataset, problem.model_name, problem.split.removed)
    key = f"references {problem.describe()} {stored and stored.path}"
    title = "People are looked for before unlearning"
    work = waited.work(key, title, lambda: reidentification.searching_references(problem))
    return work.found if work else None


def searched(problem: Problem, items: list[Kept]) -> bool:
    """Whether it is known how well the models of all `items` find people (see `found`); else it is computed, with a bar."""
    missing = {item.name: item for item in items if "found" not in item.cache}
    if missing:
        models = {name: network(item) for name, item in missing.items()}
        key = f"searching {[item.job.id for item in missing.values()]}"
        work = waited.work(key, "People are looked for after unlearning", lambda: Searching(problem, models))
        for name, judged in work.found.items() if work else ():
            missing[name].cache["found"] = judged
    return all("found" in item.cache for item in items)


def network(item: Kept) -> Any:
    """The run's model, built once."""
    return item.once("model", item.run.model)


def found(item: Kept) -> Found:
    """How well the run's model finds people, once it was `searched`."""
    return item.cache["found"]
