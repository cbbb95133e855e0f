"""The runs of one visitor: put in line, found again, named, removed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import streamlit as st

from imu_core import preset, retrained, unlearn
from imu_core.caches import SharedCache
from imu_core.evaluation.measurement import Measurement
from imu_core.figures.scene import Wall, flips_of, wall_of
from imu_core.jobs import Job
from imu_core.methods import METHODS
from imu_core.problems.reference import target
from imu_core.records.run import Problem, RunConfig
from imu_core.unlearning.sequence import remember
from pages.session import keeper, restored, visitor
from pages.session.kept import Kept
from pages.widgets import apart, progress
from pages.widgets.text import plain

WHOLE = 3  # finished runs of a visitor that stay in memory as they are; of older ones the record
EXAMPLES = ("imu", "ga", "npo")


def kept() -> list[Kept]:
    """Every run of this visitor, oldest first: those of this visit, and those that were brought back from the database."""
    return visitor.theirs("runs", list)


def own(problem: Problem) -> list[Kept]:
    """The visitor's runs on `problem`, oldest first, also those of an earlier visit."""
    restored.bring_back(problem, kept(), title_of)
    return [item for item in kept() if item.problem.describe() == problem.describe()]


def of(problem: Problem) -> list[Kept]:
    """The visitor's runs on `problem`; where there are none, the finished examples."""
    return own(problem) or examples(problem)


def wall(problem: Problem) -> Wall:
    """The images of the forget set that a stage shows, with the weights that IMU begins with; drawn once for everybody."""
    about = (problem.dataset.hash, problem.model_name, problem.split.request, problem.seed, str(problem.history))
    known = _walls.get(about)
    if known is None:
        known = _walls[about] = wall_of(problem)
    return known


_walls: SharedCache[tuple[Any, ...], Wall] = SharedCache(60)


def examples(problem: Problem) -> list[Kept]:
    """Finished runs of IMU, GA and NPO with the gentle preset on the head, made once; so the page never opens empty."""
    about = (problem.dataset.name, problem.model_name, problem.split.request, problem.seed, str(problem.history), target(problem))
    known = _examples.get(about)
    if known is None:
        known = []
        progress.run_here(_making(problem, known), "examples")
        _examples[about] = known
    return list(known)


_examples: SharedCache[tuple[Any, ...], list[Kept]] = SharedCache(30)  # by problem, for everybody; nobody changes them


def _making(problem: Problem, items: list[Kept]) -> Iterator[tuple[float, str]]:
    aim = target(problem)
    for number, name in enumerate(EXAMPLES):
        config = preset("gentle", name)
        config = dataclasses.replace(config, stop_at=aim[0]) if aim else config
        run = unlearn(problem, config)
        for point in run:
            share = point.step / run.steps if run.steps else 1.0
            yield (number + share) / len(EXAMPLES), f"{METHODS[name].title}, a finished example"
        job = Job(METHODS[name].title, lambda run=run: run)
        job.run()
        items.append(Kept(METHODS[name].title, job, problem, config, is_example=True))


def tell_apart(items: list[Kept]) -> None:
    """Draw, under a choice of `items`, a line that tells apart those that share a name."""
    apart.caption([apart.One(item.name, item.config.changed(), item.stored or f"job {item.job.id}") for item in items])


def title_of(config: RunConfig) -> str:
    """What a run is called before anybody names it, such as "IMU", "GA (all)", "IMU (permuted)"."""
    about = ", ".join(part for part in (config.control, config.scope if config.scope != "head" else "") if part)
    return f"{METHODS[config.method].title} ({about})" if about else METHODS[config.method].title


def _free_name(title: str) -> str:
    taken = {item.name for item in kept()}
    return title if title not in taken else next(f"{title} {n}" for n in range(2, 10_000) if f"{title} {n}" not in taken)


def rename(item: Kept, name: str) -> None:
    """Give `item` another name; an empty one changes nothing, a taken one gets a number."""
    wanted = name.strip()
    if wanted and wanted != item.name:
        item.name = _free_name(wanted)
        keeper.rename(keeper.keeper(), item)


def submit(problem: Problem, configs: list[RunConfig], measure: bool) -> bool:
    """Queue one run for each config, one after another, and behind them their measurements; each run is stored as it ends.

    Returns whether they are queued: not where that would be too many jobs at once, which the page then says.
    """
    if not progress.has_room(len(configs) * (2 if measure else 1)):
        return False
    visitor.shelf(visitor.owner()).lighten(WHOLE)
    added = [_made(problem, config) for config in configs]
    kept().extend(added)
    st.session_state.newest = added[0].name
    for item in added:
        visitor.queue().submit(item.job)
    for item in added if measure else []:
        measure_later(item)
    return True


def _made(problem: Problem, config: RunConfig) -> Kept:
    name, into = _free_name(title_of(config)), keeper.keeper()

    def ended(job: Job) -> None:
        if job.work.outcome.state == "done":
            remember(job.work)
        item.flips = flips_of(job.work.points, problem, wall(problem))
        job.work.drop_samples()  # pages ask only the examples for them
        job.items[:] = job.work.points
        keeper.keep(into, item)

    title = f"{name} · {problem.split.request[:30]}"
    quick = config.scope == "head" and METHODS[config.method].needs(config) <= {"forget"}
    job = Job(title, lambda: unlearn(problem, config), quick=quick, owner=visitor.owner(), after=ended)
    item = Kept(name, job, problem, config, swap=lambda item: keeper.lighten(into, item))
    return item


def going(items: list[Kept]) -> None:
    """Draw those of `items` that have not finished, side by side: state, progress, Stop. Call in a fragment that runs again."""
    with st.container(horizontal=True, gap="medium"):
        for item in items:
            if not item.job.finished:
                with st.container(width=250, gap="xsmall"):
                    fraction, text = progress.of(item.job)
                    st.markdown(f"{progress.MARKS[item.job.state]} {plain(item.name)}")
                    st.progress(fraction, text=text)
                    progress.stop_button(item.job, f"stop-{item.job.id}")


def measure_later(item: Kept) -> bool:
    """Queue the membership attack and the distances for `item`; nothing is measured where the run failed.

    Returns whether it is queued: not where its visitor has too many jobs already, which the page then says.
    """

    def make() -> Any:
        run = item.run
        return Measurement(run) if run and run.points and run.outcome.state != "failed" else ()

    into = keeper.keeper()
    after = lambda _: keeper.complete(into, item)  # noqa: E731
    job = Job(f"Measuring {item.name}", make, kind="measure", owner=visitor.owner(), after=after)
    if accepted := progress.put_in_line(job):
        item.measuring = job
    return accepted


def newest(items: list[Kept]) -> int | None:
    """The place among `items` of the first run that Run made last; None where it is not among them."""
    return next((n for n, item in enumerate(items) if item.name == st.session_state.get("newest")), None)


def remove(item: Kept) -> None:
    """Stop `item` if it runs, and take it off the list for good; what is stored of it stays on the page Runs."""
    item.job.cancel()
    if item.measuring:
        item.measuring.cancel()
    item.is_removed = True
    kept()[:] = [other for other in kept() if other is not item]
    keeper.unlist(keeper.keeper(), item)


def reference_of(problem: Problem) -> dict[str, float] | None:
    """Accuracies of the stored retrained reference, or None."""
    reference = retrained(problem)
    return reference.accuracies if reference else None
