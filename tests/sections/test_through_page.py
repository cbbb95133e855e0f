"""Influence through all layers on the page Influence, as Streamlit runs it."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest
from test_pages import (  # noqa: F401
    TINY,
    button,
    has_button,
    healthy,
    nothing_left_running,
    press,
    rerun,
    shown_ids,
    visit,
    wait_until,
    words,
)

from imu_core.evaluation import agreement
from imu_core.evaluation.agreement import Agreement
from imu_core.influence import ESTIMATORS
from imu_core.records.run import Problem
from pages.sections.influence import through
from pages.session import visitor

LAYERS = {"influence_part": "All layers"}
GO = "Compute through all layers"


def job_of(at: AppTest) -> object:
    (job,) = at.session_state["through_jobs"].values()
    return job


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Comparisons are kept in a folder of this test, where none is yet."""
    path_of = agreement._path
    monkeypatch.setattr(agreement, "_path", lambda *about: tmp_path / path_of(*about).name)


def few(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Let the page take `count` forget samples for the curvature, so that the test does not wait."""
    monkeypatch.setattr(through, "MOST", count)


def test_the_head_is_what_a_visitor_sees_first(lenet: Problem) -> None:
    at = visit("influence", **TINY, influence_part="")
    assert at.segmented_control(key="influence_part").value == "scores"
    assert not has_button(at, GO)


def test_it_is_computed_with_progress_and_shown(lenet: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    few(monkeypatch, 10)
    at = visit("influence", **TINY, **LAYERS)
    assert "0.992" in words(at)
    press(at, GO)
    job = job_of(at)
    assert any(active is job for active in visitor.queue().active(at.session_state["owner"])) or job.finished
    wait_until(lambda: job.finished, "influence through all layers")
    assert job.state == "done", job.reason
    rerun(at)
    found = job.work.found
    shown = {metric.label: metric.value for metric in at.metric}
    assert shown["Same order"] == f"{found.agreed('head exact').spearman:.3f}"
    assert agreement.verdict(found) in words(at)
    assert "curvature of 10 forget samples" in words(at)
    rows = at.main.dataframe[0].value.set_index("Scores")
    assert list(rows.index) == list(agreement.KINDS)
    assert rows.loc["layers exact", "Spearman"] == "1.000"
    assert not has_button(at, GO)

    positions = [1, 5, 20]  # what a lasso in this chart leaves behind, as in the others
    at.session_state["chosen"] = positions
    assert sorted(shown_ids(rerun(at))) == sorted(int(lenet.split.forget[p]) for p in positions)
    for chart in ("ranks", "discrepancy"):
        at.segmented_control(key="through_chart").set_value(chart)
        healthy(rerun(at))

    other = visit("influence", **TINY, **LAYERS)  # another visitor finds it on the disk
    assert {metric.label: metric.value for metric in other.metric}["Same top tenth"] == shown["Same top tenth"]


def test_it_can_be_stopped_and_says_so(lenet: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    few(monkeypatch, 11)
    monkeypatch.setattr(Agreement, "working", _endless)
    at = press(visit("influence", **TINY, **LAYERS), GO)
    job = job_of(at)
    wait_until(lambda: bool(job.snapshot()), "the first progress")
    rerun(at)
    at.main.button(key=f"stop-{job.id}").click()
    rerun(at)
    wait_until(lambda: job.finished, "it stops")
    assert job.state == "cancelled"
    rerun(at)
    assert ":gray-badge[:material/block: cancelled] Stopped by you" in words(at)
    assert not at.error
    assert button(at, GO)


def _endless(work: Agreement) -> object:
    """The gradients of the forget samples again and again."""
    while True:
        yield from work._work._gradients()


def test_a_solve_that_fails_is_a_sentence(lenet: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    few(monkeypatch, 12)
    made = Agreement._layers

    def short(work: Agreement) -> object:
        found = made(work)
        found._most = 1
        return found

    monkeypatch.setattr(Agreement, "_layers", short)
    at = press(visit("influence", **TINY, **LAYERS), GO)
    wait_until(lambda: job_of(at).finished, "it fails")
    rerun(at)
    assert "The solve stopped" in words(at)
    assert button(at, GO)


@pytest.mark.parametrize("query", [{"influence_part": "zebra"}, {"influence_part": ""}, {"through_chart": "zebra", **LAYERS}])
def test_a_wrong_link_falls_back(lenet: Problem, query: dict[str, str]) -> None:
    at = visit("influence", **TINY, **query)
    assert not at.warning
    assert {"Top 5 % hold", "Ranks like exact"} <= {metric.label for metric in at.metric}
    assert has_button(at, GO) == ("through_chart" in query)


def test_scores_are_held_against_leaving_samples_out(lenet: Problem) -> None:
    at = visit("influence", **TINY, influence_part="Is it true?")
    if not at.main.dataframe:  # it takes longer than the page waits at once
        (job,) = [job for job in visitor.queue().active(at.session_state["owner"]) if "Leaving" in job.title]
        wait_until(lambda: job.finished, "samples are left out")
        rerun(at)
    rows = at.main.dataframe[0].value.set_index("Foretold by")
    assert set(rows.index) == {*ESTIMATORS, "IMU's own score (diagonal)", "the plain loss"}
    assert rows.loc["the plain loss", "LDS"] == "–"
    at.segmented_control(key="truth_by").set_value("diagonal")
    healthy(rerun(at))
    assert "**On this forget set IMU" not in words(at)
    at.segmented_control(key="influence_part").set_value("scores")
    assert "**On this forget set IMU" in words(rerun(at)), "from then on it is the first sentence of the page"


def test_a_prediction_is_asked_who_taught_it(lenet: Problem) -> None:
    at = visit("influence", **TINY, influence_part="Ask a prediction")
    if "Pushed it to say" not in words(at):  # it takes longer than the page waits at once
        (job,) = [job for job in visitor.queue().active(at.session_state["owner"]) if "taught" in job.title]
        wait_until(lambda: job.finished, "the head is trained again")
        rerun(at)
    wrong = (lenet.test.logits.argmax(1) != lenet.test.labels).nonzero().flatten()
    assert at.number_input(key="ask").value == int(wrong[0]), "a wrong answer has the most telling teachers"
    assert "and is wrong: it is" in words(at).replace("\\", "")
    assert "Held it back from" in words(at)
    at.number_input(key="ask").set_value(3)
    healthy(rerun(at))
    assert "Trained to its optimum the head" in words(at) or visitor.queue().active(at.session_state["owner"])


@pytest.mark.parametrize("word", ["-1", "zebra", "1e9"])
def test_a_test_sample_that_is_none_is_said(lenet: Problem, word: str) -> None:
    assert f"ask={word}" in words(visit("influence", **TINY, influence_part="Ask a prediction", ask=word)).replace("\\", "")
