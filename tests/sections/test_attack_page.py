"""The page Attack as Streamlit runs it, without a browser, and the figures and sentences it is made of."""

from __future__ import annotations

import html
import math
import re
import types
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest
from test_pages import (  # noqa: F401
    APP,
    PATIENCE,
    finish,
    has_button,
    healthy,
    nothing_left_running,
    press,
    rerun,
    visit,
    wait_until,
    words,
)

import imu_core
from imu_core import data
from imu_core.errors import ConfigError
from imu_core.evaluation import attacks
from imu_core.evaluation.measurement import run_logits, threshold_sides
from imu_core.evaluation.probe import Probe
from imu_core.evaluation.relearning import Relearn
from imu_core.evaluation.shadow_models import ShadowAttack
from imu_core.figures import attack as figures
from imu_core.figures import style_of
from imu_core.jobs import Job
from imu_core.methods import preset
from imu_core.metrics import METRICS, thresholds
from imu_core.metrics.registry import numbers
from imu_core.problems.subsets import same_kind
from imu_core.records.run import Problem, RunConfig
from pages.sections.attack import jobs as attack_jobs
from pages.sections.attack import scores
from pages.sections.attack import words as attack_words
from pages.session import session_runs, visitor
from pages.widgets.bound import EVERYTHING

# A case is a whole run of a page; the default run takes three of each kind.
pytestmark = [pytest.mark.usefixtures("tiny"), pytest.mark.sample(3, reason="a case is a whole run of a page")]
TINY = {"dataset": "tiny", "model": "lenet5", "forget": "class:Sandal"}
RANDOM = {**TINY, "forget": "random:40,seed=1"}
QUICK = preset("gentle", "imu")


def kept(problem: Problem, config: RunConfig = QUICK, name: str = "Mine", steps: int | None = None) -> session_runs.Kept:
    """A run of the visitor that has ended; cancelled after `steps` points where that is given."""

    def make() -> Any:
        run = imu_core.unlearn(problem, config)
        if steps is None:
            return run
        points = iter(run)
        for _ in range(steps):
            next(points)
        run.cancel()
        list(points)
        return run

    job = Job(name, make)
    job.run()
    return session_runs.Kept(name, job, problem, config)


def with_runs(items: list[session_runs.Kept], **query: Any) -> AppTest:
    """A visitor of the attack page who has made `items` before."""
    at = AppTest.from_file(APP, default_timeout=PATIENCE)
    at.query_params.update({**TINY, **query})
    at.session_state["runs"] = items
    at.session_state.attack_part = EVERYTHING
    at.switch_page("pages/attack.py")
    return healthy(at.run())


def wait(at: AppTest, item: session_runs.Kept) -> AppTest:
    """Wait for every attack on `item`, then let the page see the end."""
    wait_until(lambda: all(job.finished for job in attack_jobs.jobs(item).values()), "the attacks end")
    return rerun(at)


def metrics(at: AppTest) -> dict[str, str]:
    return {metric.label.split(" (")[0]: metric.value for metric in at.metric}


def captions(at: AppTest) -> list[list[str]]:
    """The captions under the pictures, a list a strip."""
    return [
        [html.unescape(c) for c in re.findall(r"<figcaption>(.*?)</figcaption>", block.proto.body)]
        for block in at.main.get("html")
        if "<figure" in block.proto.body
    ]


def table(at: AppTest) -> Any:
    """The table of all attacks, by the name of the attack."""
    found = at.table[0].value
    return found.assign(Attack=found["Attack"].str.extract(r"\[(.*)\]\(")[0]).set_index("Attack")


def titles(at: AppTest) -> set[str]:
    return {value.value for value in at.subheader}


@pytest.fixture
def item(lenet: Problem) -> session_runs.Kept:
    return kept(lenet)


# ----------------------------------------------------------------------------------------------------------- the threshold


def losses(problem: Problem, item: session_runs.Kept) -> tuple[np.ndarray, np.ndarray]:
    """−ln p of the forget set and of the test images of its kind under the run's model, written out."""
    found = []
    for logits, index, labels in (
        (run_logits(item.run)[0], problem.split.forget, problem.train.labels),
        (run_logits(item.run)[1], same_kind(problem), problem.test.labels),
    ):
        z = logits[index].double().numpy()
        p = np.exp(z - z.max(1, keepdims=True))
        found.append(-np.log(p[np.arange(len(p)), labels[index].numpy()] / p.sum(1)))
    return found[0], found[1]


def test_it_opens_on_the_examples() -> None:
    at = visit("attack", **TINY)
    assert at.title[0].value == "Did it really forget?"
    assert not at.warning
    said = words(at)
    assert "Finished examples" in said
    assert "An attacker who takes everything with a loss of at" in said
    assert "No retrained model is stored: held-out samples of the same kind" in said
    assert at.button_group(key="attacked").options == ["IMU", "GA", "NPO"]
    assert len(titles(at)) == 5
    assert not visitor.queue().active(at.session_state["owner"])


PARTS = {
    "answers": "Do its answers give it away?",
    "features": "Is it still in the features?",
    "relearning": "How soon does it come back?",
    "shadows": "Can an expert tell?",
    "numbers": "All attacks in numbers",
}


@pytest.mark.parametrize("part", PARTS)
def test_one_part_is_shown_at_a_time_and_stands_in_the_link(part: str, item: session_runs.Kept) -> None:
    at = with_runs([item])
    at.session_state.attack_part = part
    at.run()
    assert not at.exception
    headings = [element.value for element in at.subheader]
    assert headings == [PARTS[part]]
    at.session_state.attack_part = EVERYTHING
    at.run()
    assert len(at.subheader) == len(PARTS)


def test_the_first_part_is_shown_to_begin_with(item: session_runs.Kept) -> None:
    at = AppTest.from_file(APP, default_timeout=PATIENCE)
    at.query_params.update(TINY)
    at.session_state["runs"] = [item]
    at.switch_page("pages/attack.py")
    healthy(at.run())
    assert [element.value for element in at.subheader] == [PARTS["answers"]]


def test_the_numbers_are_those_of_counting(lenet: Problem, item: session_runs.Kept) -> None:
    at = with_runs([item], loss_at="1.5")
    forget, others = losses(lenet, item)
    side = max((np.less_equal, np.greater_equal), key=lambda side: side(forget, 1.5).mean() - side(others, 1.5).mean())
    fpr, tpr = side(others, 1.5).mean(), side(forget, 1.5).mean()
    auc = np.mean(forget[:, None] < others) + np.mean(forget[:, None] == others) / 2
    percent = [f"{100 * value:.1f} %" for value in (fpr, 1 - tpr, (1 + tpr - fpr) / 2, auc)]
    assert list(metrics(at).values()) == percent
    caught, missed = (int(re.search(rf"\*\*{title}: (\d+) of 40", words(at)).group(1)) for title in ("Caught", "Missed"))
    assert (caught, missed) == (int(side(forget, 1.5).sum()), 40 - int(side(forget, 1.5).sum()))
    shown = captions(at)
    assert [len(strip) for strip in shown] == [min(8, n) for n in (caught, missed) if n]
    assert all(text.startswith("Sandal<br>") and text.endswith(" nats") for strip in shown for text in strip)


def test_the_threshold_starts_where_most_is_given_away(lenet: Problem, item: session_runs.Kept) -> None:
    at = with_runs([item])
    best = max(thresholds.accuse(*losses(lenet, item), t).balanced_accuracy for t in np.arange(0, 20, 0.01))
    assert metrics(at)["Balanced accuracy"] == f"{100 * best:.1f} %"


@pytest.mark.parametrize("score", scores.SCALES)
def test_the_threshold_moves_everything(item: session_runs.Kept, score: str) -> None:
    at = with_runs([item], attack_by=scores.SCALES[score].title)
    slider = at.slider(key=f"{score}_at")
    assert slider.min <= slider.value <= slider.max
    found = []
    for value in (slider.min, slider.max):
        at.slider(key=f"{score}_at").set_value(value)
        rerun(at)
        found.append((metrics(at)["False positives"], metrics(at)["False negatives"]))
        assert f"Caught: {40 - round(0.4 * float(found[-1][1][:-2]))} of 40" in words(at)
        assert scores.SCALES[score].write(value) in words(at)
    assert {"0.0 %", "100.0 %"} == {rate for pair in found for rate in pair}


def test_worst_case_takes_the_score_and_the_threshold(lenet: Problem, item: session_runs.Kept) -> None:
    at = with_runs([item], attack_by="Logit margin")
    at.slider(key="margin_at").set_value(at.slider(key="margin_at").max)
    at = rerun(at)
    assert metrics(at)["Balanced accuracy"] == "50.0 %"
    at = press(at, "Worst case")
    up, down, _ = threshold_sides(lenet, run_logits(item.run), None)
    worst = thresholds.worst_case(up, down)
    assert at.session_state["attack_by"] == worst.score
    right = float(metrics(at)["Balanced accuracy"][:-2])
    assert right == pytest.approx(50 + 50 * worst.advantage, abs=1.3)  # a sample of 40 may lie between two places
    assert f"right in {50 + 50 * worst.advantage:.1f} %" in words(at)


def test_another_run_starts_at_its_own_worst_place(lenet: Problem) -> None:
    items = [kept(lenet, name="One"), kept(lenet, RunConfig(epochs=2, learning_rate=0.02), name="Two")]
    at = with_runs(items, loss_at="0.5")
    assert at.slider(key="loss_at").value == 0.5
    at.button_group(key="attacked").set_value("Two")
    at = rerun(at)
    pair = scores.sides(lenet, items[1], scores.HELD_OUT)
    ends = scores.span("loss", np.concatenate([pair[0]["loss"], pair[1]["loss"]]), 10)
    assert at.slider(key="loss_at").value == pytest.approx(scores.best("loss", pair, ends).threshold)
    assert "one that was never trained on" in words(at)


def test_settings_come_from_the_link(lenet: Problem) -> None:
    items = [kept(lenet, name="One"), kept(lenet, name="Two")]
    query = {"attacked": "Two", "attack_by": "Entropy", "entropy_at": "0.25", "relearn_data": "all images", "shadow_pairs": "8"}
    at = with_runs(items, **query)
    assert at.button_group(key="attacked").value == "Two"
    assert at.slider(key="entropy_at").value == 0.25
    assert at.button_group(key="relearn_data").value == "all"
    assert at.button_group(key="shadow_pairs").value == 8
    assert "0.250 nats" in words(at)


@pytest.mark.parametrize(
    "query",
    [
        {"attacked": "nobody", "attack_by": "zebra", "tell_from": "a hat"},
        {"loss_at": "1e9"},
        {"loss_at": "nan"},
        {"loss_at": "many", "relearn_data": "none", "relearn_scope": "feet", "shadow_pairs": "7"},
        {"attacked": "", "attack_by": "", "loss_at": "", "relearn_data": "", "relearn_scope": "", "shadow_pairs": ""},
    ],
    ids=str,
)
def test_a_bad_link_gets_the_defaults(item: session_runs.Kept, query: dict[str, str]) -> None:
    at = with_runs([item], **query)
    assert at.slider(key="loss_at").value == with_runs([item]).slider(key="loss_at").value
    assert "**Caught:" in words(at)


def test_with_a_retrained_model_both_comparisons_can_be_had() -> None:
    at = visit("attack", dataset="fashion", model="small_resnet")
    assert at.button_group(key="tell_from").options == ["retrained model", "held-out images"]
    assert "for one of the retrained model" in words(at)
    at.button_group(key="tell_from").set_value("held-out images")
    at = rerun(at)
    assert "for one that was never trained on" in words(at)
    assert any(metric.delta == "of 500 held-out images" or "500 held-out" in str(metric.proto) for metric in at.metric)


def test_random_samples_are_never_called_forgotten(tiny: object) -> None:
    at = visit("attack", **RANDOM)
    said = words(at)
    assert "the aim is the retrained model's figure, not a low one" in said
    assert at.button_group(key="attack_by").value == "margin"
    assert "forgot" not in said.replace("glossary?term=probe_forgotten", "")


def test_a_request_that_cannot_be_met_gets_a_sentence(tiny: object) -> None:
    at = visit("attack", **{**TINY, "forget": "class:Hat"})
    assert len(at.warning) == 1
    assert at.slider  # the page keeps the problem that could be had


# ------------------------------------------------------------------------------------------------------------ whose run it is


def test_failed_runs_are_named_and_the_rest_attacked(lenet: Problem) -> None:
    def broken() -> Any:
        raise ConfigError("This cannot run.")

    job = Job("Bad", broken)
    job.run()
    bad = session_runs.Kept("Bad", job, lenet, QUICK)
    at = with_runs([bad, kept(lenet, name="Good")])
    assert at.button_group(key="attacked").options == ["Good"]
    assert "Bad left no model to attack\\: This cannot run." in words(at)
    at = with_runs([bad])
    assert at.button_group(key="attacked").options == ["IMU", "GA", "NPO"]


def test_a_stopped_run_can_be_attacked(lenet: Problem) -> None:
    item = kept(lenet, RunConfig(epochs=50, batch_size=8), "Stopped", steps=3)
    assert item.job.state == "cancelled"
    at = with_runs([item])
    assert at.button_group(key="attacked").options == ["Stopped"]
    assert "**Caught:" in words(at)


def test_a_run_that_lost_its_numbers_gets_a_sentence(lenet: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    item = kept(lenet)
    item.cache["logits"] = tuple(part * math.nan for part in run_logits(item.run))
    at = with_runs([item])
    assert [w.value.startswith("Logits hold values that are not numbers") for w in at.warning] == [True]


def test_a_run_that_goes_on_is_shown_and_not_attacked(lenet: Problem) -> None:
    config = RunConfig(scope="all", epochs=500, batch_size=1, learning_rate=1e-6)
    job = Job("Long", lambda: imu_core.unlearn(lenet, config), owner="somebody")
    visitor.queue().submit(job)
    wait_until(lambda: bool(job.snapshot()), "the run begins")
    at = with_runs([session_runs.Kept("Long", job, lenet, config)])
    assert has_button(at, "Stop")
    assert at.button_group(key="attacked").options == ["IMU", "GA", "NPO"]
    job.cancel()
    wait_until(lambda: job.finished, "the run stops")
    assert rerun(at).button_group(key="attacked").options == ["Long"]


# ------------------------------------------------------------------------------------------------------------ the long attacks


def test_the_probe_runs_as_a_job_and_says_what_it_found(lenet: Problem, item: session_runs.Kept) -> None:
    at = wait(press(with_runs([item]), "Train fresh heads"), item)
    expected = Probe(lenet, {"original": lenet.model, "unlearned": item.run.model()})
    list(expected)
    found = expected.numbers
    said = words(at)
    assert f"brings back **{100 * found['unlearned']['probe_forgotten']:.1f} %** of Sandal" in said
    assert f"random weights {100 * found['untrained']['probe_forgotten']:.1f} %" in said
    assert "this is the original's number" in said
    assert any("New images of what was forgotten" in chart.proto.spec for chart in at.get("plotly_chart"))
    row = table(at).loc["Linear probe, forgotten"]
    assert (row["Mine"], row["Original"], row["Retrained"]) == (f"{100 * found['unlearned']['probe_forgotten']:.1f} %",) * 2 + (
        "–",
    )
    assert not has_button(at, "Train fresh heads")
    assert has_button(at, "Relearn")


def test_a_stopped_attack_keeps_its_curve_and_can_be_started_again(
    item: session_runs.Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = press(with_runs([item]), "Train fresh heads")
    (job,) = attack_jobs.jobs(item).values()
    job.cancel()
    wait_until(lambda: job.finished, "the probe stops")
    at = rerun(at)
    if job.state == "cancelled":  # else it was faster than Stop
        assert ":gray-badge[:material/block: cancelled] Stopped by you" in words(at)
        assert not at.error
        at = wait(press(at, "Train fresh heads again"), item)
    assert "A fresh head brings back" in words(at)


def test_an_attack_that_cannot_be_made_says_why(item: session_runs.Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise ConfigError("Not with this one.")

    monkeypatch.setattr(attack_jobs, "Probe", refused)
    at = wait(press(with_runs([item]), "Train fresh heads"), item)
    assert [error.value for error in at.error] == ["Not with this one."]
    assert has_button(at, "Train fresh heads again")


@pytest.mark.parametrize(("data", "scope"), [("forget set", "as the run"), ("all images", "last:1")])
def test_relearning_takes_data_and_scope(lenet: Problem, item: session_runs.Kept, data: str, scope: str) -> None:
    at = wait(press(with_runs([item], relearn_data=data, relearn_scope=scope), "Relearn"), item)
    (work,) = (job.work for job in attack_jobs.jobs(item).values())
    own = "head" if scope == "as the run" else scope
    pool = 40 if data == "forget set" else 400
    assert (work.scope, len(work._pool)) == (own, pool)
    assert f"Mine needs **{work.result['words']['run']}** to recognise" in words(at)
    assert ("Steps to relearn" in table(at).index) == (data == "forget set")
    assert work.result["steps"] == finished(Relearn(lenet, item.run, data=data.split()[0], scope=own)).result["steps"]


def finished(attack: attacks.Attack) -> Any:
    list(attack)
    return attack


@pytest.mark.slow(reason="trains many heads; the attack itself is tested where it stands")
def test_shadow_heads_before_and_after(lenet: Problem, item: session_runs.Kept) -> None:
    at = wait(press(with_runs([item], shadow_pairs="8"), "Train shadow heads"), item)
    expected = finished(ShadowAttack(lenet, QUICK, shadows=8)).result
    shown = metrics(at)
    assert shown["AUC"] == f"{100 * expected['auc']:.1f} %"  # the last of the two
    assert shown["Caught at 1 % false alarms ↓"] == f"{100 * expected['tpr_at_1_fpr']:.1f} %"
    said = words(at)
    assert "This attack covers the head only. 8 pairs of heads" in said
    row = table(at).loc["Shadow heads: AUC of the attack"]
    assert (row["Original"], row["Mine"]) == (f"{expected['before']['auc']:.3f}", f"{expected['auc']:.3f}")


def test_shadow_heads_refuse_wide_runs_with_a_sentence(lenet: Problem) -> None:
    item = kept(lenet, RunConfig(scope="last:1", epochs=1))
    at = with_runs([item])
    assert not has_button(at, "Train shadow heads")
    assert any("shadow heads repeat runs with scope 'head'" in info.value.replace("\\", "") for info in at.info)


def test_the_examples_of_the_default_problem_are_attacked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = imu_core.problem("fashion", model="lenet5", forget="class:Bag")
    assert next(iter(data.DATASETS)) == "fashion"
    at = visit("attack", dataset="fashion", model="lenet5", forget="class:Bag")
    item = session_runs.examples(problem)[0]
    assert set(attack_jobs.jobs(item)) == {attack_jobs.PROBE, attack_jobs.relearn_key("forget", attack_jobs.AS_RUN)}
    at = wait(at, item)
    assert "A fresh head brings back" in words(at)
    assert "IMU needs **" in words(at)
    again = dict(attack_jobs.jobs(item))
    other = visit("attack", dataset="fashion", model="lenet5", forget="class:Bag")
    assert attack_jobs.jobs(item) == again
    assert "A fresh head brings back" in words(other)


def test_only_the_owner_can_stop_an_attack(lenet: Problem) -> None:
    (item, *_) = session_runs.examples(lenet)
    item.cache.pop("attacks", None)
    jobs = attack_jobs.jobs(item)
    job = jobs[attack_jobs.PROBE] = Job("Probe", lambda: Probe(lenet, {"original": lenet.model}), owner="somebody else")
    try:
        assert not has_button(visit("attack", **TINY), "Stop")
        job.owner = "me"
        at = AppTest.from_file(APP, default_timeout=PATIENCE)
        at.query_params.update(TINY)
        at.session_state["owner"] = "me"
        at.session_state.attack_part = EVERYTHING
        at.switch_page("pages/attack.py")
        assert has_button(healthy(at.run()), "Stop")
    finally:
        jobs.clear()


# ------------------------------------------------------------------------------------------------------------------ the table


def test_the_table_knows_the_thresholds_at_once(lenet: Problem, item: session_runs.Kept) -> None:
    found = table(with_runs([item]))
    up, down, _ = threshold_sides(lenet, run_logits(item.run), None)
    before = threshold_sides(lenet, (lenet.train.logits, lenet.test.logits), None)
    assert list(found.index) == [
        "AUC by loss",
        "AUC by entropy",
        "Worst-case attack advantage",
        "True positives at 1 % false positives",
    ]
    for score in ("loss", "entropy"):
        row = found.loc[f"AUC by {score}"]
        assert row["Mine"] == f"{thresholds.curve(up[score], down[score], low=True).auc:.3f}"
        assert row["Original"] == f"{thresholds.curve(before[0][score], before[1][score], low=True).auc:.3f}"
        assert row["Good"] == "≈\u00a050\u00a0%"
    assert found.loc["Worst-case attack advantage", "Mine"] == f"{thresholds.worst_case(up, down).advantage:.3f}"
    assert found.loc["Worst-case attack advantage", "Good"] == "↓"
    assert set(found["Asked about"]) == {"40 forget, 20 held-out images"}
    assert all(found["What it asks"].str.len() > 20)


def test_the_membership_attacks_join_the_table(item: session_runs.Kept) -> None:
    at = press(with_runs([item]), "Measure the membership attacks")
    at = finish(at)
    found = table(at)
    assert not has_button(at, "Measure the membership attacks")
    measured = item.measured["membership"]
    row = found.loc["Judged never seen (SVC confidence attack)"]
    assert (row["Original"], row["Mine"]) == (f"{measured['original']:.3f}", f"{measured['run']:.3f}")
    assert row["Good"] == "≈ retrained"
    assert found.loc["Logistic attack on the loss, accuracy", "Asked about"] == "40 forget, 20 test"
    titles = {metric.title for key, metric in METRICS.items() if metric.attack and key in numbers(item.measured)}
    assert {METRICS[key].title for key in ("membership", "logistic", "zrf")} <= titles <= set(found.index)


# ------------------------------------------------------------------------------------------------------- figures and sentences


@pytest.mark.parametrize("accuses", thresholds.Accuses)
def test_the_histograms_are_mirrored_and_count_everybody(accuses: thresholds.Accuses) -> None:
    rng = np.random.default_rng(0)
    up, down = (figures.Side(name, rng.uniform(0, 4, n), "#000") for name, n in (("up", 200), ("down", 50)))
    chart = figures.mirrored(up, down, 1.0, accuses, (0.0, 4.0), "Loss, nats")
    above, below = chart.data
    assert sum(above.y) == pytest.approx(100)
    assert sum(below.y) == pytest.approx(-100)
    assert list(above.x) == list(below.x)
    assert sum(row[0] for row in above.customdata) == 200
    full = [x for x, opacity in zip(above.x, above.marker.opacity, strict=True) if opacity == 1.0]
    assert all((x <= 1.0) == (accuses is thresholds.Accuses.AT_MOST) for x in full)
    assert len(full) == (15 if accuses is thresholds.Accuses.AT_MOST else 45)
    assert list(chart.layout.yaxis.tickvals) == [-t for t in reversed(chart.layout.yaxis.tickvals)]
    assert not any("-" in text for text in chart.layout.yaxis.ticktext)
    assert (chart.layout.margin.l, chart.layout.margin.r) == (58, 14)
    assert list(chart.layout.xaxis.range) == [0.0, 4.0]


def test_curves_are_drawn_by_who_they_are() -> None:
    style = style_of("imu")
    result = {
        name: [{"step": s, "forgotten": 0.1 * s, "others": 0.5} for s in range(3)]
        for name in ("original", "unlearned", "retrained")
    }
    chart = figures.probe(result, "My run", style, "New images")
    assert [line.name for line in chart.data] == ["Original"] * 2 + ["My run"] * 2 + ["Retrained"] * 2
    assert list(chart.data[0].y) == pytest.approx([0, 10, 20])
    assert chart.data[2].line.color == style.colour
    assert chart.data[4].line.dash == "dash"
    found = {"target": 0.9, "curves": {"run": [{"step": 0, "forget": 0.2}], "random head": [{"step": 0, "forget": 0.1}]}}
    chart = figures.relearning(found, "My run", style)
    assert [line.name for line in chart.data] == ["My run", "Random head"]
    assert chart.layout.shapes[0].y0 == 90
    assert figures.relearning({"target": 0.9, "curves": {}}, "My run", style).data == ()


def accused(score: str, accuses: str, advantage: float = 0.6) -> str:
    found = thresholds.Accusation(1.0, accuses, 0.0, 1 - advantage)
    return attack_words.threshold_verdict("IMU", score, scores.RETRAINED, found, 0.1)


@pytest.mark.parametrize(
    ("score", "accuses", "said"),
    [
        ("loss", "at most", "more familiar than to a model that never saw them: something is left"),
        ("loss", "at least", "less familiar than to a model that never saw them: too much forgetting"),
        ("confidence", "at least", "more familiar"),
        ("margin", "at most", "less familiar"),
        ("entropy", "at most", "surer about these images than the retrained model is."),
        ("entropy", "at least", "less sure"),
    ],
)
def test_the_verdict_knows_both_directions(score: str, accuses: str, said: str) -> None:
    text = accused(score, accuses)
    assert said in text
    assert f"of {accuses} **1.00" in text
    assert "right in **80.0 %** of cases; guessing is right in 50.0 %" in text


def test_chance_is_called_chance() -> None:
    assert "no more than chance can do with this many images (up to 55.0 % in 19 of 20 cases)" in accused("loss", "at most", 0.08)


def test_small_percentages_are_not_called_zero() -> None:
    scale = scores.SCALES["confidence"]
    assert (scale.write(0.0), scale.write(0.0001), scale.write(12.345)) == ("0.00 %", "< 0.01 %", "12.35 %")
    assert scores.SCALES["margin"].write(-1.5) == "−1.50 nats"


@pytest.mark.parametrize(
    ("own", "aim", "said"), [(0.96, 0.9, "6.0 points more"), (0.8, 0.9, "10.0 points less"), (0.9, 0.9, "no diff")]
)
def test_the_probe_is_judged_by_the_retrained_model(lenet: Problem, own: float, aim: float, said: str) -> None:
    numbers = {name: {"probe_forgotten": value} for name, value in (("unlearned", own), ("retrained", aim), ("untrained", 0.5))}
    work = types.SimpleNamespace(numbers=numbers, sizes={"forgotten": 500})
    assert said in attack_words.probe_verdict(lenet, QUICK, "IMU", work)
    wide = attack_words.probe_verdict(lenet, RunConfig(scope="all"), "IMU", work)
    assert "changed the head alone" not in wide
