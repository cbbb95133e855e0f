"""What the model of a run says to every image: known at once, or asked while a bar stands in its place."""

from __future__ import annotations

from typing import Any

from imu_core.evaluation.measurement import Asking, known_logits
from pages.session.kept import Kept
from pages.widgets import waited


def answers(item: Kept) -> Any:
    """Logits of the run's model as (training set, test set); None where they have not been computed yet. Draws nothing."""
    if (known := item.cache.get("logits")) is not None:
        return known
    work = waited.known(_asking(item))
    logits = work.logits if work else known_logits(item.run)
    return item.once("logits", lambda: logits) if logits else None


def logits(item: Kept) -> Any:
    """Logits as `answers` gives them, computed first where they are missing: None meanwhile, with a bar on the page."""
    if answers(item) is None:
        make = lambda: Asking(item.problem, item.run.model())  # noqa: E731
        waited.work(_asking(item), f"{item.name} is asked about every image", make)
    return answers(item)


def is_asked(item: Kept) -> bool:
    """Whether the `logits` of the run are known, or their computation was begun."""
    return answers(item) is not None or waited.is_asked(_asking(item))


def _asking(item: Kept) -> str:
    return f"asking {item.job.id}"
