"""A run on a visitor's list, whether it goes on, has ended or was brought back from the database."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from imu_core import figures
from imu_core.jobs import Job
from imu_core.progress import Task
from imu_core.records.run import Problem, RunConfig, Trajectory
from imu_core.records.shapes import Metrics
from imu_core.store.restored import NO_MODEL, RestoredRun

if TYPE_CHECKING:
    from imu_core.figures.scene import Flips
    from imu_core.unlearning.run import Run

SMALL = ("attacks", "found", "distances")  # what stays of `Kept.cache` when the run becomes light


@dataclass(eq=False)
class Kept:
    """A run on this visitor's list: its name, its job, and the job that measures it afterwards."""

    name: str
    job: Job
    problem: Problem
    config: RunConfig
    measuring: Job | None = None
    is_example: bool = False
    stored: str = ""  # the id of its record in the database, once it is written
    trouble: str = ""  # why it could not be written
    is_removed: bool = False  # its visitor took it off the list
    flips: list[Flips] = field(default_factory=list)  # what its model said of the pictures on the wall, step by step
    on_record: Metrics = field(default_factory=dict)  # what was measured of a run that was restored
    cache: dict[str, Any] = field(default_factory=dict)
    swap: Callable[[Kept], None] | None = None  # puts what the database holds in place of the run, where that is all of it

    @property
    def owner(self) -> str:
        """The name of the visitor whose run it is."""
        return self.job.owner

    @property
    def run(self) -> Run | RestoredRun | None:
        """The run itself, once its worker has built it."""
        return self.job.work

    @property
    def trajectory(self) -> Trajectory | None:
        """Its record so far; None while it is queued."""
        return self.run.trajectory if self.run else None

    @property
    def shown(self) -> figures.Shown | None:
        """What the charts draw; None while there is nothing to draw."""
        record = self.trajectory
        if record is None or not record.points:
            return None
        return figures.Shown(self.name, record, figures.style_of(self.config.method, self.config.control))

    @property
    def measured(self) -> Metrics:
        """Membership and divergence, as far as they are measured."""
        work = self.measuring.work if self.measuring else None
        return work.result if isinstance(work, Task) else self.on_record  # of a run that failed nothing is measured

    @property
    def is_measured(self) -> bool:
        """Whether nothing is left to measure: it was done, here or before the run was restored."""
        return self.measuring.state == "done" if self.measuring else bool(self.on_record.get("attacks"))

    @property
    def can_be_measured(self) -> bool:
        """Whether measuring it would tell more than is known, and nobody has asked for that yet."""
        return not (self.measuring or self.is_measured or self.lacks_model)

    @property
    def lacks_model(self) -> str:
        """Why its model cannot be asked, in a sentence; empty where it can."""
        return "" if getattr(self.run, "keeps_model", True) else NO_MODEL

    def lighten(self) -> bool:
        """Replace the run by its record, where the database holds all of it; it answers as before.

        Returns whether nothing is left to do: False where a job still works with the run, so that it must be tried again.
        """
        busy = [job for job in (self.job, self.measuring, *self.cache.get("attacks", {}).values()) if job and not job.finished]
        if isinstance(self.run, RestoredRun):
            self.drop_answers()
        elif self.run and self.stored and not busy and self.swap:
            self.swap(self)
        return not busy

    @property
    def is_on_record(self) -> bool:
        """Whether the database holds all that is known of it, so that it can be fetched from there again."""
        return bool(self.stored) and isinstance(self.job.work, RestoredRun) and not self.cache.get("attacks")

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        """The value cached under `key`, or `make()`, which is then cached; safe beside `drop_answers` in another thread."""
        cache = self.cache
        if key not in cache:
            cache[key] = make()
        return cache[key]

    def drop_answers(self) -> None:
        """Forget what its model answered, and whatever else is large and soon made again.

        A new dictionary takes the place of the old one, so that nothing is taken from a page that is just being drawn.
        """
        self.cache = {key: value for key, value in self.cache.items() if key in SMALL}
