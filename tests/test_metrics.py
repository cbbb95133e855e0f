"""Metrics against scikit-learn, SciPy and slow loops; and what is measured after a run."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy, wasserstein_distance
from sklearn.svm import SVC

import imu_core
from imu_core.errors import DataError, ImuError
from imu_core.measurement import Measurement, attack_membership, divergences
from imu_core.metrics import METRICS, divergence, membership, retrieval
from imu_core.records import Features, Problem, RunConfig, Split

LOGITS = hnp.arrays(np.float64, (6, 4), elements=st.floats(-30, 30))


def probabilities(logits: np.ndarray) -> np.ndarray:
    e = np.exp(logits - logits.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


# Divergence.


@given(LOGITS, LOGITS)
def test_divergences_equal_scipy(one: np.ndarray, other: np.ndarray) -> None:
    p, q = probabilities(one), probabilities(other)
    assert divergence.kl(one, other) == pytest.approx(entropy(p, q, axis=1).mean(), rel=1e-9, abs=1e-12)
    assert divergence.js(one, other) == pytest.approx((jensenshannon(p, q, axis=1) ** 2).mean(), rel=1e-6, abs=1e-12)
    by_class = [wasserstein_distance(p[:, c], q[:, c]) for c in range(p.shape[1])]
    assert divergence.w1(one, other) == pytest.approx(np.mean(by_class), rel=1e-9, abs=1e-12)


@given(LOGITS, LOGITS)
def test_divergences_keep_their_bounds_and_symmetry(one: np.ndarray, other: np.ndarray) -> None:
    assert divergence.kl(one, other) >= -1e-12
    assert -1e-12 <= divergence.js(one, other) <= math.log(2) + 1e-12
    assert 0 <= divergence.w1(one, other) <= 1
    for measure in (divergence.js, divergence.w1):
        assert measure(one, other) == pytest.approx(measure(other, one), rel=1e-9, abs=1e-15)
    for measure in (divergence.kl, divergence.js, divergence.w1):
        assert measure(one, one) == pytest.approx(0.0, abs=1e-12)
        assert measure(one + 5.0, other) == pytest.approx(measure(one, other), rel=1e-6, abs=1e-9)  # only softmax counts


def test_kl_is_taken_from_the_reference() -> None:
    reference, model = np.log([[0.9, 0.1]]), np.log([[0.5, 0.5]])
    assert divergence.kl(reference, model) == pytest.approx(0.9 * math.log(1.8) + 0.1 * math.log(0.2))
    assert divergence.kl(model, reference) == pytest.approx(0.5 * math.log(5 / 9) + 0.5 * math.log(5))


def test_certain_and_opposite_models_reach_the_limits() -> None:
    one, other = torch.tensor([[500.0, -500.0]]), torch.tensor([[-500.0, 500.0]])
    assert divergence.js(one, other) == pytest.approx(math.log(2))
    assert divergence.kl(one, other) == pytest.approx(1000.0)
    assert divergence.w1(one, other) == pytest.approx(1.0)


def test_w1_compares_sets_and_not_samples() -> None:
    logits = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    assert divergence.w1(logits, logits.flip(0)) == 0.0
    assert divergence.kl(logits, logits.flip(0)) > 0.1


def test_a_class_no_model_can_predict_counts_nothing() -> None:
    """A masked logit is -inf in both models: the divergence is that of the other classes, not nan."""
    one, other = torch.tensor([[0.0, 1.0, -torch.inf]]), torch.tensor([[1.0, 0.0, -torch.inf]])
    for measure in (divergence.kl, divergence.js):
        assert measure(one, other) == pytest.approx(measure(one[:, :2], other[:, :2]))


@pytest.mark.parametrize("measure", [divergence.kl, divergence.js, divergence.w1])
@pytest.mark.parametrize("shapes", [((3, 2), (3, 3)), ((3,), (3,)), ((0, 2), (0, 2))])
def test_logits_that_do_not_fit_are_refused(measure: Callable[..., float], shapes: tuple) -> None:
    with pytest.raises(DataError, match="Logits of shapes"):
        measure(*(torch.zeros(shape) for shape in shapes))


# Membership.


def draws(seed: int, n: int, low: float, high: float) -> torch.Tensor:
    return low + (high - low) * torch.rand(n, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("seed", range(3))
def test_svc_confidence_equals_a_plain_svc(seed: int) -> None:
    member, nonmember, forget = draws(seed, 80, 0.5, 1.0), draws(seed + 10, 80, 0.1, 0.9), draws(seed + 20, 50, 0.0, 1.0)
    x = np.concatenate([member.numpy(), nonmember.numpy()]).astype(np.float32).reshape(-1, 1)
    attack = SVC(C=3, gamma="auto", kernel="rbf").fit(x, [1] * 80 + [0] * 80)
    judged = attack.predict(forget.numpy().reshape(-1, 1))
    assert membership.svc_confidence(member, nonmember, forget) == pytest.approx((judged == 0).mean())
    assert 0 < (judged == 0).mean() < 1


def test_one_means_that_every_forgotten_sample_looks_never_seen() -> None:
    member, nonmember = draws(0, 100, 0.9, 1.0), draws(1, 100, 0.0, 0.5)
    assert membership.svc_confidence(member, nonmember, draws(2, 40, 0.0, 0.4)) == 1.0
    assert membership.svc_confidence(member, nonmember, draws(2, 40, 0.92, 1.0)) == 0.0
    assert "NON-member" in membership.ORIENTATION


def test_precision_beyond_float32_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Published numbers come from float32, where samples tie near 1."""
    seen: list[np.ndarray] = []

    class Spy(SVC):
        def fit(self, x: np.ndarray, y: np.ndarray) -> SVC:
            seen.append(x)
            return super().fit(x, y)

    monkeypatch.setattr("sklearn.svm.SVC", Spy)
    near_one = torch.tensor([1 - 1e-9, 1 - 2e-9, 0.5], dtype=torch.float64)
    membership.svc_confidence(near_one, near_one - 0.2, near_one)
    assert seen[0].dtype == np.float32
    assert seen[0][0] == seen[0][1] == 1.0


@pytest.mark.parametrize("wrong", [[], [[0.5, 0.5]], [0.5, 1.5], [-0.1], [math.nan]], ids=str)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_what_is_no_probability_is_refused_by_name(wrong: list, place: int) -> None:
    sets = [torch.tensor([0.1, 0.9])] * 3
    sets[place] = torch.tensor(wrong)
    with pytest.raises(DataError, match=("member", "nonmember", "forget")[place]):
        membership.svc_confidence(*sets)


# Retrieval.


def slow_rank(D: np.ndarray, q_ids: list, g_ids: list, q_cams: list, g_cams: list) -> tuple[float, list[float], int]:
    """mAP, CMC and the number of queries that count, one comparison at a time."""
    gallery = [j for j in range(len(g_ids)) if g_ids[j] != -1]
    precisions, first_hits = [], []
    for i in range(len(q_ids)):
        allowed = [j for j in gallery if not (g_ids[j] == q_ids[i] and g_cams[j] == q_cams[i])]
        ranked = sorted(allowed, key=lambda j: D[i][j])  # sorted() is stable
        hits = [g_ids[j] == q_ids[i] for j in ranked]
        if not any(hits):
            continue
        found = [sum(hits[: k + 1]) / (k + 1) for k in range(len(hits)) if hits[k]]
        precisions.append(sum(found) / len(found))
        first_hits.append(hits.index(True))
    counted = len(precisions)
    cmc = [sum(first <= k for first in first_hits) / counted for k in range(len(gallery))] if counted else []
    return (sum(precisions) / counted if counted else 0.0), cmc, counted


@st.composite
def galleries(draw: st.DrawFn) -> tuple:
    queries, size = draw(st.integers(1, 5)), draw(st.integers(1, 12))
    distances = draw(hnp.arrays(np.float64, (queries, size), elements=st.integers(0, 4)))  # few values: many ties
    ids = st.integers(-1, 3)
    cams = st.integers(1, 3)
    lists = [
        draw(st.lists(kind, min_size=n, max_size=n)) for kind, n in ((ids, queries), (ids, size), (cams, queries), (cams, size))
    ]
    return (distances, *lists)


@given(galleries())
def test_rank_equals_the_slow_loop(sample: tuple) -> None:
    expected_map, cmc, counted = slow_rank(*sample)
    if not counted:
        with pytest.raises(DataError, match="No query"):
            retrieval.rank(*sample)
        return
    found = retrieval.rank(*sample)
    assert found.map == pytest.approx(expected_map)
    assert found.cmc.tolist() == pytest.approx(cmc)
    assert found.queries == counted


def one_query(g_ids: list, g_cams: list, distances: list | None = None, q_id: int = 1) -> retrieval.Ranking:
    return retrieval.rank([distances or list(range(len(g_ids)))], [q_id], g_ids, [1], g_cams)


def test_junk_is_dropped_and_zero_is_an_id_like_any_other() -> None:
    assert one_query([-1, 1], [2, 2]).cmc.tolist() == [1.0]
    assert one_query([0, 1], [2, 2]).cmc.tolist() == [0.0, 1.0]
    assert one_query([0, 1], [2, 2], q_id=0).cmc.tolist() == [1.0, 1.0]


def test_the_same_person_in_the_same_camera_is_removed() -> None:
    assert one_query([1, 2, 1], [1, 1, 2]).map == pytest.approx(1 / 2)
    assert one_query([1, 2, 1], [2, 1, 2]).map == pytest.approx((1 + 2 / 3) / 2)


def test_ties_keep_the_order_of_the_gallery() -> None:
    assert one_query([2, 1], [2, 2], [5, 5]).map == pytest.approx(1 / 2)
    assert one_query([1, 2], [2, 2], [5, 5]).map == 1.0
    many = one_query([2] * 60 + [1] + [2] * 60, [2] * 121, [5] * 121)  # numpy's quicksort keeps the order of a few by chance
    assert many.map == pytest.approx(1 / 61)


def test_a_query_without_a_match_is_not_counted() -> None:
    found = retrieval.rank([[0, 1], [0, 1]], [1, 9], [1, 2], [1, 1], [2, 2])
    assert (found.map, found.queries) == (1.0, 1)


@pytest.mark.parametrize(
    "wrong",
    [
        ([[1.0, 2.0]], [1, 2], [1, 1], [1], [2, 2]),
        ([[1.0, 2.0]], [1], [1], [1], [2, 2]),
        ([[1.0, 2.0]], [1], [1, 1], [1, 1], [2, 2]),
        ([[1.0, 2.0]], [1], [1, 1], [1], [2]),
        ([1.0, 2.0], [1], [1, 1], [1], [2, 2]),
        ([[1.0, math.nan]], [1], [1, 1], [1], [2, 2]),
    ],
)
def test_rankings_that_do_not_fit_are_refused(wrong: tuple) -> None:
    with pytest.raises(DataError):
        retrieval.rank(*wrong)


# The registry, and what is measured after a run.


def test_every_metric_says_which_way_is_good() -> None:
    allowed = {"higher", "lower", "nearest the retrained reference"}
    assert {metric.direction(class_wise) for metric in METRICS.values() for class_wise in (True, False)} <= allowed
    assert METRICS["forget"].direction(class_wise=True) == "lower"
    assert METRICS["forget"].direction(class_wise=False) == "nearest the retrained reference"
    assert all(metric.title and metric.unit for metric in METRICS.values())


@pytest.fixture(scope="module")
def measured(lenet: Problem) -> Measurement:
    run = imu_core.unlearn(lenet, RunConfig(epochs=3, batch_size=16))
    list(run)
    measurement = Measurement(run)
    fractions = [fraction for fraction, _ in measurement]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    return measurement


def test_a_measurement_repeats_the_last_point(measured: Measurement) -> None:
    assert measured.outcome.state == "done"
    for name, value in measured.run.points[-1].accuracies.items():
        assert measured.result["accuracies"]["run"][name] == pytest.approx(value)
    for name, value in measured.run.points[0].accuracies.items():
        assert measured.result["accuracies"]["original"][name] == pytest.approx(value)


def test_without_a_retrained_model_there_is_no_divergence(measured: Measurement) -> None:
    assert set(measured.result["membership"]) == {"original", "run"}
    assert measured.result["divergence"] == {}


def test_a_stopped_measurement_keeps_what_it_has(measured: Measurement) -> None:
    second = Measurement(measured.run)
    for _ in second:
        second.cancel()
    assert second.outcome.state == "cancelled"
    assert "run" not in second.result["membership"]


def made_problem(lenet: Problem, forget: torch.Tensor, classes: tuple[int, ...]) -> Problem:
    n = len(lenet.train.labels)
    retain = torch.tensor([i for i in range(n) if i not in set(forget.tolist())])
    train, test = (Features(torch.zeros(len(p.labels), 1), p.labels, torch.zeros(0)) for p in (lenet.train, lenet.test))
    return Problem(lenet.dataset, "made", lenet.model, train, test, Split("made", forget, retain, classes))


def confident(labels: torch.Tensor, probability: torch.Tensor) -> torch.Tensor:
    """Logits (n, 10) that give the true class `probability` and share the rest."""
    logits = ((1 - probability) / 9).log()[:, None].repeat(1, 10)
    return logits.scatter(1, labels[:, None], probability.log()[:, None])


def test_the_attack_takes_as_many_members_as_non_members_and_leaves_the_forgotten_class_out(lenet: Problem) -> None:
    forget = (lenet.train.labels == 5).nonzero()[:, 0]
    problem = made_problem(lenet, forget, (5,))
    train, test = (draws(s, len(p.labels), 0.3, 1.0) for s, p in ((0, problem.train), (1, problem.test)))
    test[problem.test.labels == 5] = 1e-3  # would decide the attack if it were used
    members, non = train[problem.split.retain][:180], test[problem.test.labels != 5]
    expected = membership.svc_confidence(members, non, train[forget])
    logits = confident(problem.train.labels, train), confident(problem.test.labels, test)
    assert len(non) == 180
    assert attack_membership(problem, logits) == pytest.approx(expected)


def test_divergences_are_taken_set_by_set(lenet: Problem) -> None:
    forget = torch.arange(10)
    problem = made_problem(lenet, forget, ())
    g = torch.Generator().manual_seed(0)
    one, other = ((torch.randn(400, 10, generator=g), torch.randn(200, 10, generator=g)) for _ in range(2))
    found = divergences(problem, one, other)
    assert found["forget"]["kl"] == divergence.kl(one[0][:10], other[0][:10])
    assert found["retain"]["js"] == divergence.js(one[0][10:], other[0][10:])
    assert found["test"]["w1"] == divergence.w1(one[1], other[1])


def test_measuring_a_run_that_lost_its_numbers_ends_with_a_sentence(lenet: Problem) -> None:
    run = imu_core.unlearn(lenet, RunConfig(epochs=0))
    list(run)
    with torch.no_grad():
        run._arena.head.weight.fill_(torch.nan)
    measurement = Measurement(run)
    with contextlib.suppress(ImuError):
        list(measurement)
    assert measurement.outcome.state in ("done", "failed")
    assert measurement.outcome.state == "done" or measurement.outcome.reason.endswith(".")
