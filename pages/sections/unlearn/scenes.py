"""What the stage of Unlearn plays: the runs shown, and once they have ended what they say of the images to forget."""

from __future__ import annotations

from imu_core.errors import ImuError
from imu_core.figures.scene import Flips, Scene, Wall, flips_of, scene
from imu_core.records.run import Problem
from imu_core.records.shapes import Json
from imu_core.report.verdicts import verdict_of_all
from pages.session import session_runs
from pages.session.kept import Kept
from pages.stage.stage import Look

LOOK = Look(panels=("wall", "curves", "plane"), height=340, columns=3, tile=64, pictures=12)


def data(problem: Problem, items: list[Kept], reference: dict[str, float] | None, growing: bool) -> dict[str, Json]:
    """The scene of `items`, those that have points; while they are `growing` without sentences and pictures."""
    if growing:
        return scene([item.shown for item in items], reference).data()
    key = ("scene", reference is None, *((item.name, id(item.run)) for item in items))
    return items[0].once(key, lambda: _whole(problem, items, reference).data())


def _whole(problem: Problem, items: list[Kept], reference: dict[str, float] | None) -> Scene:
    runs = [(item.name, item.trajectory) for item in items]
    wall, flips = _wall(problem, items)
    return scene(
        [item.shown for item in items], reference, lambda step: verdict_of_all(runs, problem, reference, step), wall, flips
    )


def _wall(problem: Problem, items: list[Kept]) -> tuple[Wall | None, list[list[Flips]]]:
    """The wall, and what each of `items` says of its images; None where no run kept that."""
    try:
        wall = session_runs.wall(problem)
        flips = [item.flips or flips_of(item.trajectory.points, problem, wall) for item in items]
    except ImuError:  # images that can no longer be read
        return None, []
    return (wall, flips) if any(flips) else (None, [])
