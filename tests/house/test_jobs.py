"""Jobs: an iterator in a worker thread that can be watched, stopped, and that never takes its neighbours down."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterator

import pytest

import imu_core
from imu_core.errors import DataError
from imu_core.jobs import FINISHED, STATES, Job, JobQueue
from imu_core.records.outcome import Outcome
from imu_core.records.run import Problem, RunConfig


class Steps:
    """An iterable like a run: it waits for `go` before every item, can be cancelled, and has an outcome."""

    def __init__(self, count: int = 3, ending: str = "done") -> None:
        self.count, self.ending = count, ending
        self.outcome = Outcome("queued")
        self.go, self.stopped = threading.Semaphore(0), threading.Event()

    def cancel(self) -> None:
        self.stopped.set()
        self.go.release(100)

    def __iter__(self) -> Iterator[int]:
        self.outcome = Outcome("running")
        for number in range(self.count):
            self.go.acquire(timeout=20)
            if self.stopped.is_set():
                self.outcome = Outcome("cancelled", f"Stopped after {number}.")
                return
            yield number
        self.outcome = Outcome(self.ending, "because")


@pytest.fixture
def workers() -> JobQueue:
    return JobQueue(workers=1)


def wait_until(condition: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(2000):
        if condition():
            return
        pause.wait(0.005)
    pytest.fail("it did not happen within ten seconds")


def test_a_job_collects_what_its_iterator_yields(workers: JobQueue) -> None:
    job = workers.submit(Job("count", lambda: iter([1, 2, 3]), owner="me"))
    assert job.wait()
    assert (job.state, job.reason, job.snapshot()) == ("done", "", [1, 2, 3])
    assert job.seconds >= 0


def test_a_snapshot_stays_as_it_is(workers: JobQueue) -> None:
    work = Steps()
    job = workers.submit(Job("count", lambda: work))
    work.go.release()
    wait_until(lambda: len(job.items) == 1)
    early = job.snapshot()
    work.go.release(5)
    assert job.wait()
    assert (early, job.snapshot()) == ([0], [0, 1, 2])


@pytest.mark.parametrize("ending", FINISHED)
def test_the_outcome_of_the_work_decides_the_state(ending: str, workers: JobQueue) -> None:
    work = Steps(0, ending)
    job = workers.submit(Job("count", lambda: work))
    assert job.wait()
    assert (job.state, job.reason) == (ending, "because")


def test_a_running_job_stops_at_its_next_step(workers: JobQueue) -> None:
    work = Steps(1000)
    job = workers.submit(Job("count", lambda: work))
    work.go.release(2)
    wait_until(lambda: len(job.items) == 2)
    job.cancel()
    job.cancel()  # twice is as good as once
    assert job.wait()
    assert (job.state, job.reason, job.snapshot()) == ("cancelled", "Stopped after 2.", [0, 1])


def test_work_that_cannot_be_cancelled_is_left_at_its_next_item(workers: JobQueue) -> None:
    started, go = threading.Event(), threading.Event()

    def numbers() -> Iterator[int]:
        for number in range(1000):
            started.set()
            go.wait(20)
            yield number

    job = workers.submit(Job("count", numbers))
    assert started.wait(10)
    job.cancel()
    assert job.state == "stopping"
    go.set()
    assert job.wait()
    assert (job.state, job.snapshot()) == ("cancelled", [0])


def test_a_queued_job_that_is_stopped_never_starts(workers: JobQueue) -> None:
    first, made = Steps(1), []
    running = workers.submit(Job("first", lambda: first))
    waiting = workers.submit(Job("second", lambda: made.append(1) or iter([1])))
    wait_until(lambda: running.state == "running")
    assert waiting.state == "queued"
    assert workers.ahead_of(waiting) == 1
    waiting.cancel()
    assert waiting.state == "cancelled"
    assert waiting.reason
    first.go.release()
    assert running.wait()
    assert workers.submit(Job("third", lambda: iter([]))).wait()  # the worker has passed the second one
    assert made == []
    assert waiting.snapshot() == []


def test_a_stop_while_the_work_is_being_built_counts(workers: JobQueue) -> None:
    building, go, work = threading.Event(), threading.Event(), Steps(1000)

    def build() -> Steps:
        building.set()
        go.wait(20)
        return work

    job = workers.submit(Job("slow", build))
    assert building.wait(10)
    job.cancel()
    go.set()
    assert job.wait()
    assert (job.state, job.snapshot()) == ("cancelled", [])


def test_a_sentence_of_the_engine_is_the_reason(workers: JobQueue) -> None:
    def refuse() -> Iterator[int]:
        raise DataError("There is no such class.")

    job = workers.submit(Job("bad", refuse))
    assert job.wait()
    assert (job.state, job.reason) == ("failed", "There is no such class.")


def test_a_defect_is_a_sentence_too_and_the_next_job_runs(workers: JobQueue) -> None:
    def defect() -> Iterator[int]:
        yield 1
        raise ZeroDivisionError("division by zero")

    job = workers.submit(Job("bad", defect))
    following = workers.submit(Job("good", lambda: iter([7])))
    assert following.wait()
    assert (job.state, job.snapshot()) == ("failed", [1])
    assert "ZeroDivisionError" in job.reason
    assert "report" in job.reason
    assert (following.state, following.snapshot()) == ("done", [7])


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_nothing_that_work_raises_ends_the_worker(workers: JobQueue, error: type[BaseException]) -> None:
    def leave() -> Iterator[int]:
        yield 1
        raise error

    jobs = [workers.submit(Job("bad", leave)) for _ in range(6)]  # more than there are workers
    following = workers.submit(Job("good", lambda: iter([7])))
    assert following.wait()
    assert all(job.wait() and job.state == "failed" for job in jobs)
    assert following.state == "done"


def test_after_runs_once_the_work_is_finished(workers: JobQueue) -> None:
    seen: list[list[int]] = []
    job = workers.submit(Job("count", lambda: iter([1, 2]), after=lambda job: seen.append(job.snapshot())))
    assert job.wait()
    assert seen == [[1, 2]]


def test_after_is_left_out_when_the_work_failed(workers: JobQueue) -> None:
    seen: list[int] = []
    work = Steps(0, "failed")
    job = workers.submit(Job("count", lambda: work, after=lambda job: seen.append(1)))
    assert job.wait()
    assert seen == []


def test_an_error_in_after_is_a_failure_with_a_sentence(workers: JobQueue) -> None:
    def after(job: Job) -> None:
        raise DataError("The disk is full.")

    job = workers.submit(Job("count", lambda: iter([1]), after=after))
    assert job.wait()
    assert (job.state, job.reason) == ("failed", "The disk is full.")


def test_the_queue_lists_unfinished_jobs_by_owner(workers: JobQueue) -> None:
    works = [Steps(1), Steps(1)]
    mine, other = (workers.submit(Job("x", lambda w=w: w, owner=o)) for w, o in zip(works, ("me", "other"), strict=True))
    assert workers.active("me") == [mine]
    assert workers.active() == [mine, other]
    assert (workers.ahead_of(mine), workers.ahead_of(other)) == (0, 1)
    for work in works:
        work.go.release()
    assert mine.wait()
    assert other.wait()
    assert workers.active() == []


def test_a_queue_lets_go_of_what_has_ended(workers: JobQueue) -> None:
    """Whoever comes last leaves nothing behind: nobody may submit another job for hours."""

    class Work(list):
        """A list that can be watched."""

    work = Work(range(3))
    job, alive = Job("large", lambda work=work: work), weakref.ref(work)
    assert workers.submit(job).wait()
    del job, work
    wait_until(lambda: alive() is None)
    ended = Job("never started", list)
    ended.cancel()
    alive = weakref.ref(workers.submit(ended))
    del ended
    wait_until(lambda: alive() is None)


def test_states_are_the_ones_that_are_documented(workers: JobQueue) -> None:
    assert set(FINISHED) < set(STATES)
    work = Steps(1)
    job = Job("x", lambda: work)
    assert job.state == "queued"
    assert job.seconds == 0.0
    assert not job.wait(0.02)


def test_a_run_is_a_job(lenet: Problem, workers: JobQueue) -> None:
    job = workers.submit(Job("imu", lambda: imu_core.unlearn(lenet, RunConfig(epochs=1, batch_size=16))))
    assert job.wait()
    assert job.state == "done"
    assert [point.step for point in job.snapshot()] == [0, 1, 2, 3]


def test_a_run_that_is_stopped_keeps_a_valid_prefix(lenet: Problem, workers: JobQueue) -> None:
    config = RunConfig(epochs=500, batch_size=1, learning_rate=1e-4)
    job = workers.submit(Job("imu", lambda: imu_core.unlearn(lenet, config)))
    wait_until(lambda: len(job.items) >= 3)
    job.cancel()
    assert job.wait()
    assert job.state == "cancelled"
    assert job.work.trajectory.points == tuple(job.snapshot())


def test_jobs_of_one_owner_wait_for_each_other_and_for_nobody_else() -> None:
    """One visitor's clicks must not take every worker."""
    queue = JobQueue(workers=3)
    works = [Steps(1) for _ in range(3)]
    owners = ("me", "me", "other")
    mine, later, others = (queue.submit(Job("x", lambda w=w: w, owner=o)) for w, o in zip(works, owners, strict=True))
    wait_until(lambda: mine.state == others.state == "running")
    assert later.state == "queued"
    works[2].go.release()
    assert others.wait()
    assert later.state == "queued"
    works[0].go.release()
    assert mine.wait()
    works[1].go.release()
    assert later.wait()
    assert later.snapshot() == [0]


def test_a_stopped_job_in_the_queue_does_not_hold_its_owner_up() -> None:
    queue, first = JobQueue(workers=1), Steps(1)
    running = queue.submit(Job("first", lambda: first, owner="me"))
    stopped = queue.submit(Job("second", lambda: iter([1]), owner="me"))
    third = queue.submit(Job("third", lambda: iter([3]), owner="me"))
    stopped.cancel()
    first.go.release()
    assert running.wait()
    assert third.wait()
    assert (stopped.snapshot(), third.snapshot()) == ([], [3])


def test_one_worker_is_kept_free_for_runs() -> None:
    """Trainings take minutes; whoever presses Run must not wait for them."""
    queue, works = JobQueue(workers=2), [Steps(1) for _ in range(3)]
    slow = [queue.submit(Job("x", lambda w=w: w, owner=str(i), kind="training")) for i, w in enumerate(works)]
    wait_until(lambda: slow[0].state == "running")
    quick = queue.submit(Job("x", lambda: iter([1]), owner="me", kind="run"))
    assert quick.wait()
    assert [job.state for job in slow] == ["running", "queued", "queued"]
    for work in works:
        work.go.release()
    assert all(job.wait() for job in slow)


def test_a_single_worker_does_everything() -> None:
    queue = JobQueue(workers=1)
    jobs = [queue.submit(Job("x", lambda: iter([1]), kind=kind)) for kind in ("training", "measurement", "run")]
    assert all(job.wait() for job in jobs)


def test_measurements_wait_for_all_runs_of_their_owner() -> None:
    """A worker that is free would measure the first result at once, and the owner's other runs would wait for that."""
    queue = JobQueue(workers=3)
    others = [Steps(1) for _ in range(os.cpu_count() or 1)]
    blocking = [queue.submit(Job("b", lambda w=w: w, quick=True, owner=str(n))) for n, w in enumerate(others)]
    wait_until(lambda: all(job.state == "running" for job in blocking))
    order: list[str] = []
    noted = {"after": lambda job: order.append(job.title), "owner": "me"}
    measuring = queue.submit(Job("measured", lambda: iter([1]), kind="measure", **noted))
    assert measuring.wait(10), "nothing of this owner is going on"
    run = queue.submit(Job("run", lambda: iter([1]), quick=True, **noted))
    late = queue.submit(Job("late", lambda: iter([1]), kind="measure", **noted))
    assert queue.submit(Job("other", lambda: iter([1]), kind="measure", owner="you")).wait(10)  # a worker is free, then
    assert (run.state, late.state) == ("queued", "queued")
    for work in others:
        work.go.release()
    assert late.wait(10)
    assert order == ["measured", "run", "late"]
    queue.close()
