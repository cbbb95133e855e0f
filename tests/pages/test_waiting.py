"""Waiting is shown: what is done, how far it is, how long it goes on, and a Stop."""

from __future__ import annotations

import ast
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from test_pages import TINY, finish, has_button, press, press_run, rerun, runs_of, visit, wait_until

from imu_core import influence, unlearn
from imu_core.evaluation import reidentification, saliency
from imu_core.evaluation.measurement import Asking, Measurement, known_logits, run_logits
from imu_core.jobs import Job
from imu_core.progress import Task
from imu_core.records.run import Problem, RunConfig
from pages.session import visitor
from pages.sidebar import history
from pages.widgets import progress, waited


@pytest.mark.parametrize(
    ("seconds", "fraction", "said"),
    [
        (10, 0.5, ", about 10 s left"),
        (30, 0.1, ", about 4 min left"),  # 270 s
        (0.5, 0.5, ""),  # as good as over
        (60, 0.01, ""),  # nobody knows yet
        (60, 1.0, ""),
    ],
)
def test_how_long_it_goes_on(seconds: float, fraction: float, said: str) -> None:
    assert progress.still(seconds, fraction) == said


@pytest.mark.parametrize("scope", ["head", "all"])
def test_a_model_is_asked_in_parts_with_the_same_answers(lenet: Problem, scope: str) -> None:
    run = unlearn(lenet, RunConfig(method="ga", scope=scope, epochs=1, batch_size=40))
    list(run)
    unasked: Any = SimpleNamespace(logits=None, config=run.config, problem=run.problem, model=run.model)
    known, work = known_logits(unasked), Asking(lenet, run.model())
    fractions = [fraction for fraction, _ in work]
    assert bool(known) == (scope == "head")
    assert all(torch.equal(a, b) for a, b in zip(work.logits, run_logits(unasked), strict=True)) or scope == "head"
    assert len(fractions) > 1
    assert fractions == sorted(fractions)
    assert fractions[-1] == pytest.approx(1)


def test_attacks_on_results_have_a_bar_and_a_stop(tiny: object, monkeypatch: pytest.MonkeyPatch) -> None:
    def endless(self: Measurement) -> Iterator[tuple[float, str]]:
        while True:
            self._raise_if_cancelled()
            yield 0.5, "an attack that goes on"
            time.sleep(0.02)

    monkeypatch.setattr(Measurement, "working", endless)
    at = visit("unlearn", **TINY, methods="GA", measure="true")
    press_run(at)
    wait_until(lambda: runs_of(at)[0].job.finished and runs_of(at)[0].measuring.items, "the attack goes on")
    rerun(at)
    bars = [element.proto.text for element in at.main.get("progress")]
    assert any("an attack that goes on" in text and "1 of 1 to go" in text for text in bars), bars
    press(at, "Stop measuring")
    finish(at)
    assert runs_of(at)[0].measuring.state == "cancelled"
    assert not has_button(rerun(at), "Stop measuring")


# ------------------------------------------------------------------------------------------- what a page cannot be drawn without

ROOT = Path(__file__).resolve().parents[2]


FILES = [ROOT / "app.py", *sorted((ROOT / "pages").rglob("*.py"))]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_page_turns_a_spinner(path: Path) -> None:
    """A spinner says neither how far it is nor how to stop it: what takes half a second or less needs nothing, the rest a bar.

    A function that Streamlit caches shows a spinner by itself, unless it is told not to; `queue` is made at once.
    """
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        assert called not in ("st.spinner", "st.status"), f"{path.name}:{node.lineno}"
        if called in ("st.cache_resource", "st.cache_data"):
            quiet = [word for word in node.keywords if word.arg == "show_spinner" and ast.unparse(word.value) == "False"]
            assert quiet, f"{path.name}:{node.lineno} shows a spinner"


@pytest.fixture
def gated(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Nothing that a page needs goes on before this is set, and no page waits for it."""
    gate = threading.Event()
    for module in (history, waited):
        monkeypatch.setattr(module, "PATIENCE", 0.0)
    for work in (reidentification.Searching, saliency.Looking, influence.Scoring, Asking):
        real = work.working

        def waiting(self: Task, real: Any = real) -> Iterator[tuple[float, str]]:
            while not gate.is_set():
                yield 0.25, "a part that takes long"
                self._raise_if_cancelled()
                time.sleep(0.01)
            yield from real(self)

        monkeypatch.setattr(work, "working", waiting)
    yield gate
    gate.set()


def page_jobs(at: Any) -> list[Job]:
    return list(at.session_state["page_work"].values())


def bars(at: Any) -> list[str]:
    return [element.proto.text for element in at.main.get("progress")]


def settle(at: Any, gate: threading.Event) -> Any:
    """Let the work end, and let the page see it, until it needs nothing more."""
    gate.set()
    for _ in range(5):
        wait_until(lambda: all(job.finished for job in page_jobs(at)), "the page's work ends")
        rerun(at)
        if not bars(at):
            return at
    raise AssertionError(bars(at))


@pytest.mark.slow(reason="a whole search; other waits are shown in the default run")
def test_the_search_for_people_has_a_bar_and_a_stop_and_the_page_is_there(person: Problem, gated: threading.Event) -> None:
    """It takes half a minute where the features of all images are not known yet; the rest of the page is drawn around it."""
    at = visit("reidentify", dataset="few", forget="identity:0005")
    wait_until(lambda: all(job.items for job in page_jobs(at) if job.started), "it has begun")
    rerun(at)
    assert any("a part that takes long" in text for text in bars(at))
    assert has_button(at, "Run")
    assert {element.value for element in at.subheader} >= {"Where it looks", "Which part must change?"}
    first = page_jobs(at)[0]
    at.button(key=f"page-stop-{first.id}").click()
    rerun(at)
    wait_until(lambda: first.finished, first.state)
    rerun(at)
    assert first.state == "cancelled"
    assert not at.error, "one's own Stop is no error"
    press(at, "Begin again")
    at = settle(at, gated)
    assert "mAP of the forgotten person" in " ".join(element.value for element in at.markdown)
    assert not has_button(at, "Begin again")


def test_slow_scores_have_a_bar_and_a_stop(lenet: Problem, gated: threading.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(influence.scoring, "MANY", 10)
    at = visit("influence", **TINY, forget="class:Sandal", estimator="dual")
    (job,) = page_jobs(at)
    assert bars(at)
    assert any(element.label == "Stop" and element.key == f"page-stop-{job.id}" for element in at.button)
    at = settle(at, gated)
    assert at.metric


def test_pictures_of_a_wide_run_have_a_bar_and_a_stop_and_stay(
    lenet: Problem, gated: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = {"preset": "own", "scope": "all", "own_epochs": "1", "methods": "GA", "measure": "false"}
    at = finish(press_run(visit("unlearn", **TINY, forget="class:Sandal", **query)))
    (item,) = runs_of(at)
    monkeypatch.setattr(type(item.run), "logits", None)  # as it is where the last step was judged by a part
    item.cache.pop("logits", None)
    press(rerun(at), "Show pictures")
    assert bars(at)
    assert not has_button(at, "Show pictures"), "it was asked for"
    at = settle(at, gated)
    assert "No longer recognised" in " ".join(element.value for element in at.markdown)
    assert "No longer recognised" in " ".join(element.value for element in rerun(at).markdown), "they stay"


def test_page_work_stands_behind_nobodys_run() -> None:
    """Not behind its owner's either: a run of an hour must not keep a page from being drawn."""
    queue, gate = visitor.queue(), threading.Event()

    def waiting() -> Iterator[int]:
        gate.wait(60)
        yield 1

    runs = [queue.submit(Job(f"run {n}", waiting, owner=f"owner {n % 4}")) for n in range(8)]
    work = queue.submit(Job("page", lambda: iter([1]), kind="page", owner="owner 0"))
    try:
        assert work.wait(60)
        assert queue.ahead_of(work) == 0
    finally:
        gate.set()
    assert all(job.wait() for job in runs)


def test_a_bar_that_is_stopped_waits_to_be_told_to_go_on(tiny: object, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[float] = []

    def slow(*_: Any, **__: Any) -> Iterator[tuple[float, str]]:
        for n in range(3):
            steps.append(n)
            yield n / 3, "features"

    monkeypatch.setattr("pages.sidebar.problem_choice.prepare", slow)
    at = visit("unlearn", **TINY)
    assert steps == [0, 1, 2]
    at.session_state["features"] = True  # what a click on Stop leaves
    rerun(at)
    assert len(steps) == 4, "it does not go on"
    assert not has_button(at, "Run")
    press(at, "Go on")
    assert len(steps) == 7
    assert has_button(at, "Run")
