"""Metrics against scikit-learn, SciPy and slow loops; and what is measured after a run."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import entropy, ttest_rel, wasserstein_distance
from sklearn.metrics import roc_auc_score
from sklearn.svm import SVC
from torch.nn import functional as F

import imu_core
from imu_core.errors import DataError, ImuError
from imu_core.evaluation.measurement import Measurement, attack_membership, divergences
from imu_core.glossary import TERMS
from imu_core.metrics import METRICS, divergence, gaps, intervals, lira, membership, neighbour, retrieval, thresholds
from imu_core.metrics.zrf import zrf
from imu_core.records.run import Features, Problem, RunConfig, Split

LOGITS = hnp.arrays(np.float64, (6, 4), elements=st.floats(-30, 30))


def probabilities(logits: np.ndarray) -> np.ndarray:
    e = np.exp(logits - logits.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


# Divergence.


@given(LOGITS, LOGITS)
def test_divergences_equal_scipy(one: np.ndarray, other: np.ndarray) -> None:
    p, q = probabilities(one), probabilities(other)
    assert divergence.kl(one, other) == pytest.approx(entropy(p, q, axis=1).mean(), rel=1e-9, abs=1e-12)
    m = (p + q) / 2  # by hand, because scipy's jensenshannon takes a root, which is nan where rounding leaves less than nothing
    half = (entropy(p, m, axis=1) + entropy(q, m, axis=1)) / 2
    assert divergence.js(one, other) == pytest.approx(half.mean(), rel=1e-6, abs=1e-12)
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


MORE = (divergence.activation_distance, divergence.agreement, divergence.w1_classes)


@given(LOGITS, LOGITS)
def test_more_divergences_equal_a_loop(one: np.ndarray, other: np.ndarray) -> None:
    one, other = one.round(), other.round()  # ties are ties then, and the first of them counts
    p, q = probabilities(one), probabilities(other)
    distances = [math.sqrt(sum((a - b) ** 2 for a, b in zip(x, y, strict=True))) for x, y in zip(p, q, strict=True)]
    first, second = ([max(range(4), key=row.__getitem__) for row in rows] for rows in (one, other))
    assert divergence.activation_distance(one, other) == pytest.approx(sum(distances) / 6, rel=1e-9, abs=1e-12)
    assert divergence.agreement(one, other) == pytest.approx(sum(a == b for a, b in zip(first, second, strict=True)) / 6)
    places = sum(abs(a - b) for a, b in zip(sorted(first), sorted(second), strict=True)) / 6
    assert divergence.w1_classes(one, other) == pytest.approx(places)


@given(LOGITS, LOGITS, st.permutations(range(6)))
def test_the_order_of_samples_does_not_matter(one: np.ndarray, other: np.ndarray, order: list[int]) -> None:
    for measure in (divergence.kl, divergence.js, divergence.w1, *MORE):
        assert measure(one[order], other[order]) == pytest.approx(measure(one, other), rel=1e-9, abs=1e-12)


def test_only_the_w1_of_class_numbers_depends_on_the_order_of_the_classes() -> None:
    one, other = np.eye(3)[[0, 0]], np.eye(3)[[1, 1]]
    swapped = [0, 2, 1]
    assert (divergence.w1_classes(one, other), divergence.w1_classes(one[:, swapped], other[:, swapped])) == (1.0, 2.0)
    assert divergence.w1(one, other) == pytest.approx(divergence.w1(one[:, swapped], other[:, swapped]))


def test_equal_and_opposite_models_reach_the_limits() -> None:
    one, other = torch.tensor([[500.0, -500.0]]), torch.tensor([[-500.0, 500.0]])
    assert [measure(one, one) for measure in MORE] == [0.0, 1.0, 0.0]
    assert [measure(one, other) for measure in MORE] == pytest.approx([math.sqrt(2), 0.0, 1.0])


@pytest.mark.parametrize("measure", [divergence.kl, divergence.js, divergence.w1, *MORE, zrf])
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


def logits_of(seed: int, n: int, push: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (n, 4) whose true class gets `push` more than the others on average, and the labels."""
    g = torch.Generator().manual_seed(seed)
    labels = torch.randint(4, (n,), generator=g)
    return torch.randn(n, 4, generator=g) + push * F.one_hot(labels, 4), labels


def slow_feature(feature: str, logits: torch.Tensor, label: int) -> list[float]:
    p = probabilities(logits.double().numpy()[None])[0].tolist()
    others = [value for c, value in enumerate(p) if c != label]
    return {
        "correctness": [float(max(range(4), key=p.__getitem__) == label)],
        "confidence": [p[label]],
        "entropy": [-sum(value * math.log(value) for value in p)],
        "modified_entropy": [-(1 - p[label]) * math.log(p[label]) - sum(value * math.log(1 - value) for value in others)],
        "probabilities": p,
    }[feature]


@pytest.mark.parametrize("feature", membership.FEATURES)
def test_svc_equals_a_plain_svc_on_features_by_a_loop(feature: str) -> None:
    sets = logits_of(0, 60, 3.0), logits_of(1, 60, 1.0), logits_of(2, 40, 1.5)
    x = [[slow_feature(feature, z, int(y)) for z, y in zip(*pair, strict=True)] for pair in sets]
    attack = SVC(C=3, gamma="auto", kernel="rbf").fit(np.float32(x[0] + x[1]), [1] * 60 + [0] * 60)
    expected = float(np.mean(attack.predict(np.float32(x[2])) == 0))
    found = membership.svc(*sets[0], *sets[1], *sets[2], feature=feature)
    assert found == pytest.approx(expected, abs=1e-9)
    assert 0 < found < 1


@pytest.mark.parametrize("feature", membership.FEATURES)
def test_every_feature_says_one_for_never_seen(feature: str) -> None:
    member, nonmember = logits_of(0, 100, 12.0), logits_of(1, 100, -6.0 if feature == "correctness" else 0.0)
    looks_new, looks_known = logits_of(2, 50, -6.0 if feature == "correctness" else 0.0), logits_of(3, 50, 12.0)
    assert membership.svc(*member, *nonmember, *looks_new, feature=feature) > 0.9
    assert membership.svc(*member, *nonmember, *looks_known, feature=feature) < 0.1


def test_svc_on_confidence_is_the_attack_of_the_tables() -> None:
    sets = logits_of(0, 60, 3.0), logits_of(1, 60, 1.0), logits_of(2, 40, 1.5)
    plain = [F.softmax(z.float(), 1).gather(1, y[:, None])[:, 0] for z, y in sets]
    assert membership.svc(*sets[0], *sets[1], *sets[2]) == membership.svc_confidence(*plain)


def test_the_order_of_the_forget_set_does_not_matter_to_the_attack() -> None:
    member, nonmember, (z, y) = logits_of(0, 60, 3.0), logits_of(1, 60, 1.0), logits_of(2, 40, 1.5)
    for feature in membership.FEATURES:
        forward = membership.svc(*member, *nonmember, z, y, feature=feature)
        assert membership.svc(*member, *nonmember, z.flip(0), y.flip(0), feature=feature) == forward


@pytest.mark.parametrize("sure", [20.0, 40.0, 100.0, 700.0])
def test_modified_entropy_keeps_its_digits_where_probabilities_round_to_one(sure: float) -> None:
    """Sure of class 0: p_1 = p_2 = e / (1 + 2e) with e = exp(-sure), too small for 1 - p_0 to be taken in floats."""
    z = torch.tensor([[sure, 0.0, 0.0]], dtype=torch.float64)
    e = math.exp(-sure)
    small, rest = e / (1 + 2 * e), 2 * e / (1 + 2 * e)
    right = rest * math.log1p(2 * e) - 2 * small * math.log1p(-small)
    wrong = (1 - small) * (sure + math.log1p(2 * e)) - (1 - rest) * math.log(rest) - small * math.log1p(-small)
    assert float(membership.modified_entropy(z, torch.tensor([0]))) == pytest.approx(right, rel=1e-9)
    assert float(membership.modified_entropy(z, torch.tensor([1]))) == pytest.approx(wrong, rel=1e-9)
    assert right < 1e-7 < sure < wrong


@pytest.mark.parametrize("shapes", [((3,), 3), ((3, 4), 2), ((0, 4), 0), ((3, 1), 3)])
def test_an_attack_on_what_does_not_fit_is_refused(shapes: tuple) -> None:
    good, wrong = logits_of(0, 5, 1.0), (torch.zeros(shapes[0]), torch.zeros(shapes[1]).long())
    for call in (lambda: membership.svc(*wrong, *good, *good), lambda: membership.svc(*good, *good, *wrong)):
        with pytest.raises(DataError, match="expected"):
            call()


def test_an_attack_refuses_what_it_does_not_know() -> None:
    good = logits_of(0, 5, 1.0)
    with pytest.raises(DataError, match="correctness"):
        membership.svc(*good, *good, *good, feature="shoe size")
    with pytest.raises(DataError, match="not numbers"):
        membership.svc(good[0] * math.nan, good[1], *good, *good)
    with pytest.raises(DataError, match="Labels run from"):
        membership.svc(good[0], good[1] + 9, *good, *good)
    impossible = torch.tensor([[0.0, -torch.inf]]), torch.tensor([1])
    with pytest.raises(DataError, match="infinite"):
        membership.svc(*impossible, *impossible, *impossible, feature="modified_entropy")
    with pytest.raises(DataError, match="does not fit together"):
        membership.svc(*good, *good, torch.zeros(2, 3), torch.zeros(2).long(), feature="probabilities")


def test_the_logistic_attack_guesses_where_there_is_nothing_and_wins_where_there_is() -> None:
    same = [membership.logistic(draws(seed, 300, 0, 1), draws(seed + 50, 300, 0, 1)) for seed in range(4)]
    assert np.mean(same) == pytest.approx(0.5, abs=0.05)
    assert membership.logistic(draws(0, 50, 0, 1), draws(1, 50, 2, 3)) == 1.0
    assert membership.logistic(draws(0, 50, 2, 3), draws(1, 50, 0, 1)) == 1.0


def test_the_logistic_attack_is_balanced_and_repeats() -> None:
    """Unbalanced, the answer "test" alone would be right in 95 of 100 cases."""
    few, many = draws(0, 40, 0, 1), draws(1, 800, 0, 1)
    found = [membership.logistic(few, many, seed) for seed in range(4)]
    assert 0.3 < np.mean(found) < 0.65
    assert membership.logistic(few, many, 3) == found[3]
    assert len(set(found)) > 1


@pytest.mark.parametrize("wrong", [[1.0] * 4, [[1.0] * 9], [math.nan] * 9, [math.inf] * 9], ids=str)
def test_losses_that_cannot_be_attacked_are_refused(wrong: list) -> None:
    with pytest.raises(DataError, match="at least 5"):
        membership.logistic(wrong, [1.0] * 9)
    assert membership.logistic([1.0, 1.1, 1.2, 1.3, 1.4], [2.0, 2.1, 2.2, 2.3, 2.4]) <= 1.0  # the fewest there may be


def test_training_privacy_learns_from_one_half_and_asks_the_other() -> None:
    member, other = draws(0, 90, 0.4, 1.0), draws(1, 60, 0.1, 0.9)
    x = np.concatenate([member[:30].numpy(), other[:30].numpy()])[:, None]
    attack = SVC(C=3, gamma="auto", kernel="rbf").fit(x, [1] * 30 + [0] * 30)
    recalls = np.mean(attack.predict(member[30:, None].numpy()) == 1), np.mean(attack.predict(other[30:, None].numpy()) == 0)
    assert membership.training_privacy(member, other) == pytest.approx(np.mean(recalls))
    assert membership.training_privacy(draws(0, 100, 0.9, 1.0), draws(1, 100, 0.0, 0.5)) == 1.0
    with pytest.raises(DataError, match="too few"):
        membership.training_privacy([0.5], [0.5, 0.4])


# Thresholds.

VALUES = st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=12)  # few values: many ties


@given(VALUES, VALUES, st.booleans())
def test_a_curve_equals_counting(positives: list[float], negatives: list[float], low: bool) -> None:
    found = thresholds.curve(positives, negatives, low)
    for t, fpr, fnr in zip(found.thresholds, found.fpr, found.fnr, strict=True):
        accused = [[(v <= t if low else v >= t) for v in side] for side in (positives, negatives)]
        assert fpr == pytest.approx(np.mean(accused[1]))
        assert fnr == pytest.approx(1 - np.mean(accused[0]))
        assert found.at(float(t)) == (fpr, fnr)
    assert (found.fpr[0], found.fnr[0], found.fpr[-1], found.fnr[-1]) == (0.0, 1.0, 1.0, 0.0)
    y = [1] * len(positives) + [0] * len(negatives)
    assert found.auc == pytest.approx(roc_auc_score(y, [(-v if low else v) for v in positives + negatives]))
    pairs = [(p < n) if low else (p > n) for p in positives for n in negatives]
    ties = [p == n for p in positives for n in negatives]
    assert found.auc == pytest.approx(np.mean(pairs) + np.mean(ties) / 2)


@given(VALUES, VALUES, st.floats(-4, 4), st.booleans())
def test_any_threshold_can_be_asked_about(positives: list[float], negatives: list[float], t: float, low: bool) -> None:
    fpr, fnr = thresholds.curve(positives, negatives, low).at(t)
    assert fpr == pytest.approx(np.mean([(v <= t if low else v >= t) for v in negatives]))
    assert fnr == pytest.approx(1 - np.mean([(v <= t if low else v >= t) for v in positives]))


@given(VALUES, VALUES)
def test_the_best_threshold_is_the_best_there_is(positives: list[float], negatives: list[float]) -> None:
    found = thresholds.curve(positives, negatives)
    balanced = [1 - sum(found.at(t)) / 2 for t in np.arange(-4, 4.5, 0.5)]
    assert found.best_balanced_accuracy == pytest.approx(max(balanced))
    assert 1 - sum(found.at(found.best_threshold)) / 2 == pytest.approx(max(balanced))
    assert found.tpr_at(0.25) == pytest.approx(max(1 - found.at(t)[1] for t in np.arange(-4, 4.5, 0.5) if found.at(t)[0] <= 0.25))


def test_a_score_may_be_infinite() -> None:
    """The loss of a class that a mask made impossible is."""
    found = thresholds.curve([1.0, 2.0], [3.0, math.inf], low=True)
    assert (found.auc, found.best_threshold, found.best_balanced_accuracy) == (1.0, 2.0, 1.0)


@pytest.mark.parametrize("wrong", [[], [[1.0]], [math.nan]], ids=str)
def test_scores_that_are_no_list_of_numbers_are_refused(wrong: list) -> None:
    for sides in ((wrong, [1.0]), ([1.0], wrong)):
        with pytest.raises(DataError, match=("positives", "negatives")[sides[0] == [1.0]]):
            thresholds.curve(*sides)


def test_scores_equal_a_loop() -> None:
    z, y = logits_of(0, 20, 1.0)
    found = thresholds.scores(z, y)
    assert list(found) == ["loss", "confidence", "margin", "entropy"]
    for i in range(20):
        p = probabilities(z[i].double().numpy()[None])[0]
        true = p[int(y[i])]
        expected = {"loss": -math.log(true), "confidence": true, "margin": math.log(true / (1 - true)), "entropy": entropy(p)}
        assert {name: values[i] for name, values in found.items()} == pytest.approx(expected)
    assert thresholds.scores([[800.0, 0.0]], [0])["margin"][0] == 800.0  # where the probability is 1 in any float


def test_too_little_and_too_much_forgetting_are_both_seen() -> None:
    """Positives under the unlearned model, negatives under the retrained one: the same samples, other models."""
    retrained = thresholds.scores(*logits_of(0, 300, 2.0))
    for push, side in ((5.0, "known"), (-2.0, "suspiciously unknown")):
        unlearned = thresholds.scores(*logits_of(1, 300, push))
        auc = {
            name: thresholds.curve(unlearned[name], retrained[name], name in thresholds.LOW).auc for name in ("loss", "margin")
        }
        assert auc["loss"] == pytest.approx(auc["margin"])
        assert (auc["loss"] > 0.8) == (side == "known")
        assert (auc["loss"] < 0.2) == (side != "known")
        assert thresholds.worst_case(unlearned, retrained).advantage > 0.6


def test_a_model_that_never_saw_the_set_gives_little_more_than_chance_away() -> None:
    pairs = [[thresholds.scores(*logits_of(seed + 2 * i, 400, 2.0)) for seed in (0, 1)] for i in range(10)]
    found = [thresholds.worst_case(*pair) for pair in pairs]
    assert np.mean([case.advantage for case in found]) < found[0].chance
    assert np.mean([case.tpr_at_1_fpr for case in found]) < 0.05
    assert np.mean([thresholds.curve(a["margin"], b["margin"]).auc for a, b in pairs]) == pytest.approx(0.5, abs=0.02)


@given(VALUES, VALUES, VALUES, VALUES)
def test_the_worst_case_equals_trying_everything(a: list[float], b: list[float], c: list[float], d: list[float]) -> None:
    positives, negatives = {"loss": a, "margin": c}, {"loss": b, "margin": d}
    found = thresholds.worst_case(positives, negatives)
    rates = [
        (np.mean(np.array(positives[name]) >= t), np.mean(np.array(negatives[name]) >= t))
        for name in positives
        for t in np.arange(-4, 4.5, 0.5)
    ]
    assert found.advantage == pytest.approx(max(abs(tpr - fpr) for tpr, fpr in rates))
    compare = np.less_equal if found.accuses == "at most" else np.greater_equal
    tpr, fpr = (np.mean(compare(side[found.score], found.threshold)) for side in (positives, negatives))
    assert (found.fpr, 1 - found.fnr, found.advantage) == pytest.approx((fpr, tpr, tpr - fpr))


@given(VALUES, VALUES, st.lists(st.floats(-4, 4), min_size=1, max_size=5))
def test_an_accusation_takes_the_better_side(positives: list[float], negatives: list[float], candidates: list[float]) -> None:
    def rates(t: float, low: bool) -> tuple[float, float]:
        tpr, fpr = (np.mean([(v <= t if low else v >= t) for v in side]) for side in (positives, negatives))
        return fpr, 1 - tpr

    for t in candidates:
        found = thresholds.accuse(positives, negatives, t)
        assert found.advantage == pytest.approx(max(1 - sum(rates(t, low)) for low in (True, False)))
        assert (found.threshold, found.fpr, found.fnr) == pytest.approx((t, *rates(t, found.accuses == "at most")))
        assert found.balanced_accuracy == pytest.approx(1 - (found.fpr + found.fnr) / 2)
    best = thresholds.best_accusation(positives, negatives, candidates)
    assert best.advantage == pytest.approx(max(thresholds.accuse(positives, negatives, t).advantage for t in candidates))
    assert best == thresholds.accuse(positives, negatives, best.threshold)


def test_the_best_accusation_at_the_samples_is_the_worst_case() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.normal(0.4, 1, 150), rng.normal(size=100)
    worst = thresholds.worst_case({"margin": a}, {"margin": b})
    found = thresholds.best_accusation(a, b, np.concatenate([a, b]))
    assert found.advantage == pytest.approx(worst.advantage)
    assert (found.accuses, found.fpr, found.fnr) == (worst.accuses, pytest.approx(worst.fpr), pytest.approx(worst.fnr))


@pytest.mark.parametrize("wrong", [[], [math.nan], [[0.0]]], ids=str)
def test_an_accusation_needs_numbers(wrong: list) -> None:
    for arguments in ((wrong, [0.0], [0.0]), ([0.0], wrong, [0.0]), ([0.0], [0.0], wrong)):
        with pytest.raises(DataError):
            thresholds.best_accusation(*arguments)


def test_chance_is_what_one_score_reaches_in_one_of_twenty_cases() -> None:
    rng = np.random.default_rng(0)
    cases = [thresholds.worst_case({"margin": rng.normal(size=150)}, {"margin": rng.normal(size=100)}) for _ in range(400)]
    assert 0.015 < np.mean([case.advantage > case.chance for case in cases]) < 0.08


def test_the_worst_case_needs_the_same_scores_on_both_sides() -> None:
    for pair in (({}, {}), ({"loss": [1.0]}, {"margin": [1.0]})):
        with pytest.raises(DataError, match="the same on both sides"):
            thresholds.worst_case(*pair)


# Gaps, ZRF, the nearest class, shadows.

RUN = {"forget": 0.1, "retain": 0.9, "test": 0.7, "membership": 0.8}
AIM = {"forget": 0.0, "retain": 1.0, "test": 0.9, "membership": 1.0}


def test_gaps_by_hand() -> None:
    assert gaps.average_gap(RUN, AIM) == pytest.approx((0.1 + 0.1 + 0.2 + 0.2) / 4)
    assert gaps.tug_of_war(RUN, AIM) == pytest.approx(0.9 * 0.9 * 0.8)
    assert gaps.tug_of_war_membership(RUN, AIM) == pytest.approx(0.8 * 0.9 * 0.8)


def test_where_classes_go_test_accuracy_is_that_of_the_others() -> None:
    run, aim = {**RUN, "test_other": 0.6}, {**AIM, "test_other": 0.6}
    assert gaps.average_gap(run, aim) == pytest.approx((0.1 + 0.1 + 0.2) / 4)
    assert gaps.average_gap(run, AIM) == gaps.average_gap(RUN, AIM)


@given(*[st.fixed_dictionaries({name: st.floats(0, 1) for name in RUN})] * 2)
def test_gaps_keep_their_bounds_and_symmetry(one: dict, other: dict) -> None:
    for measure, best in ((gaps.average_gap, 0.0), (gaps.tug_of_war, 1.0), (gaps.tug_of_war_membership, 1.0)):
        assert 0 <= measure(one, other) <= 1
        assert measure(one, other) == measure(other, one)
        assert measure(one, one) == best


@pytest.mark.parametrize("wrong", [{}, {**RUN, "retain": 90.0}, {**RUN, "test": math.nan}], ids=["none", "percent", "nan"])
def test_gaps_need_fractions(wrong: dict) -> None:
    with pytest.raises(DataError, match="the run"):
        gaps.average_gap(wrong, AIM)
    with pytest.raises(DataError, match="the retrained model"):
        gaps.tug_of_war(AIM, wrong)


@given(LOGITS, LOGITS)
def test_zrf_equals_the_published_code_and_the_definition(one: np.ndarray, other: np.ndarray) -> None:
    p, q = (torch.tensor(one).softmax(1), torch.tensor(other).softmax(1))
    m = (p + q) / 2
    published = 1 - 0.5 * (F.kl_div(p.log(), m, reduction="none") + F.kl_div(q.log(), m, reduction="none")).mean()
    found = zrf(one, other)
    assert found.zrf == pytest.approx(float(published), rel=1e-6, abs=1e-9)
    assert found.zrf_js == pytest.approx(1 - divergence.js(one, other))
    assert 1 - math.log(2) - 1e-9 <= found.zrf_js <= 1 + 1e-9


def test_zrf_is_one_for_noise_and_lower_for_knowledge() -> None:
    noise = torch.zeros(10, 4)
    known = logits_of(0, 10, 9.0)[0]
    assert zrf(noise, noise) == (1.0, 1.0)
    assert zrf(known, noise).zrf_js < 0.8


def clusters(n: int, gone_like: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of a model over classes 0 to 3 in clusters; samples of class 3 look like class `gone_like`."""
    g = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 4
    seen_as = torch.where(labels == 3, gone_like, labels)
    return 6.0 * F.one_hot(seen_as, 4) + torch.randn(n, 4, generator=g), labels


def test_the_forgotten_class_goes_where_it_looks_to_belong() -> None:
    for like in (0, 1, 2):
        t = neighbour.shares(*clusters(200, like), (3,))
        assert t.sum() == pytest.approx(1.0)
        assert (int(t.argmax()), t[3]) == (like, 0.0)
        assert t[like] > 0.9


def test_the_column_of_the_forgotten_class_and_the_order_of_samples_do_not_matter() -> None:
    z, y = clusters(200, 1)
    t = neighbour.shares(z, y, (3,))
    loud = z.clone()
    loud[:, 3] = 50.0 * ((y == 0) | (y == 3))  # taken into account, it would call the forgotten samples class 0
    assert np.array_equal(neighbour.shares(loud, y, (3,)), t)
    order = torch.randperm(200, generator=torch.Generator().manual_seed(6))
    assert neighbour.shares(z[order], y[order], (3,)) == pytest.approx(t, abs=0.021)
    assert neighbour.shares(z.double() * 7 - 3, y, (3,)) == pytest.approx(t, abs=0.021)  # columns are standardised


def test_the_gap_is_taken_at_the_class_the_retrained_model_chooses() -> None:
    one, other = neighbour.shares(*clusters(200, 0), (3,)), neighbour.shares(*clusters(200, 2), (3,))
    z, y = clusters(200, 2)
    nearest = neighbour.nearest_class(z[y == 3] + 99 * F.one_hot(torch.tensor(3), 4), (3,))
    assert nearest == 2
    found = neighbour.compare(one, other, nearest)
    assert found.neighbour_gap == pytest.approx(abs(one[2] - other[2]))
    assert found.neighbour_tv == pytest.approx(sum(abs(a - b) for a, b in zip(one, other, strict=True)) / 2)
    assert found.neighbour_tv > 0.9
    assert neighbour.compare(one, one, 2) == (2, 0.0, 0.0)


def test_the_nearest_class_test_needs_something_to_compare() -> None:
    z, y = clusters(40, 0)
    for call in (
        lambda: neighbour.shares(z, y[:3], (3,)),
        lambda: neighbour.shares(z[y != 3], y[y != 3], (3,)),
        lambda: neighbour.shares(z[y > 1], y[y > 1], (3,)),
        lambda: neighbour.shares(z * math.nan, y, (3,)),
        lambda: neighbour.compare(np.zeros(3), np.zeros(4), 0),
        lambda: neighbour.compare(np.zeros(3), np.zeros(3), 3),
    ):
        with pytest.raises(DataError):
            call()


def slow_lira(a: np.ndarray, b: np.ndarray) -> tuple[list[float], list[float]]:
    """Likelihood ratios of both worlds by scipy's normal density, one sample and one shadow at a time."""
    from scipy.stats import norm

    shadows, n = a.shape
    found: tuple[list[float], list[float]] = ([], [])
    for k in range(shadows):
        rest = [j for j in range(shadows) if j != k]
        mean = [[sum(world[j, x] for j in rest) / len(rest) for x in range(n)] for world in (a, b)]
        squares = [(w[j, x] - mean[i][x]) ** 2 for i, w in enumerate((a, b)) for j in rest for x in range(n)]
        deviation = math.sqrt(sum(squares) / len(squares))
        for world, out in zip((a, b), found, strict=True):
            out.extend(
                norm.logpdf(world[k, x], mean[0][x], deviation) - norm.logpdf(world[k, x], mean[1][x], deviation)
                for x in range(n)
            )
    return found


def worlds(shift: float, shadows: int = 8, n: int = 25, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    base = 5 * rng.normal(size=n)  # samples differ more than worlds do: without means of their own nothing is found
    return base + shift + rng.normal(size=(shadows, n)), base + rng.normal(size=(shadows, n))


@pytest.mark.parametrize("shift", [0.0, 0.7, 3.0])
def test_the_shadow_attack_equals_a_slow_one(shift: float) -> None:
    a, b = worlds(shift)
    positives, negatives = slow_lira(a, b)
    found = lira.u_lira(a, b)
    assert found.auc == pytest.approx(roc_auc_score([1] * 200 + [0] * 200, positives + negatives))
    assert found.balanced_accuracy == pytest.approx((np.mean(np.array(positives) > 0) + np.mean(np.array(negatives) < 0)) / 2)
    assert found.tpr_at_1_fpr == pytest.approx(np.mean(np.array(positives) > sorted(negatives)[-3]))  # two of 200 may be accused
    assert found.shadows == 8


def test_unlearned_like_never_trained_is_private_and_a_shift_is_found() -> None:
    nothing = np.mean([lira.u_lira(*worlds(0.0, seed=seed))[:3] for seed in range(20)], 0)
    assert nothing == pytest.approx([0.5, 0.5, 0.01], abs=0.02)
    for shift in (-3.0, 3.0):  # too little and too much forgetting
        found = lira.u_lira(*worlds(shift, shadows=16))
        assert min(found.auc, found.balanced_accuracy) > 0.9


def test_shadows_and_samples_can_be_reordered() -> None:
    a, b = worlds(1.0)
    rng = np.random.default_rng(3)
    pairs, samples = rng.permutation(8), rng.permutation(25)
    assert lira.u_lira(a[pairs][:, samples], b[pairs][:, samples]) == pytest.approx(lira.u_lira(a, b))


def test_margins_that_never_change_give_nothing_away() -> None:
    assert lira.u_lira(np.ones((3, 4)), np.ones((3, 4))) == (0.5, 0.5, 0.0, 3)


@pytest.mark.parametrize(
    "wrong", [np.ones((1, 4)), np.ones(4), np.ones((3, 0)), np.ones((3, 5)), np.full((3, 4), np.inf)], ids=str
)
def test_margins_that_do_not_fit_are_refused(wrong: np.ndarray) -> None:
    with pytest.raises(DataError, match="Margins of shapes"):
        lira.u_lira(wrong, np.ones((3, 4)) if wrong.shape != (1, 4) else wrong)


# Chance.


@given(*[hnp.arrays(np.float64, 7, elements=st.floats(-1, 1))] * 2)
def test_a_paired_comparison_equals_scipy(a: np.ndarray, b: np.ndarray) -> None:
    assume(np.std(a - b) > 1e-6)
    found, expected = intervals.paired(a, b), ttest_rel(a, b)
    low, high = expected.confidence_interval(0.95)
    assert (found.mean, found.p) == pytest.approx((np.mean(a - b), expected.pvalue), abs=1e-9)
    assert (found.mean - found.half, found.mean + found.half) == pytest.approx((low, high))
    assert (found.seen is intervals.Seen.NOT_SEEN) == (low <= 0 <= high)
    assert intervals.paired(b, a)[1:] == pytest.approx(found[1:])


def test_a_paired_comparison_in_words() -> None:
    assert intervals.paired([1.0], [0.0]).seen == "one pair: nothing can be said about chance"
    assert intervals.paired([], []).seen == "no pair: nothing can be said about chance"
    assert intervals.paired([1.0, math.nan], [0.0, 1.0]).n == 1
    assert intervals.paired([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])[1:] == (0.0, 1.0, 3)
    assert intervals.paired([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]).seen == "no difference seen"
    assert intervals.paired([2.0, 3.0, 4.0], [1.0, 2.0, 3.0])[:3] == (1.0, 0.0, 0.0)
    assert intervals.paired([2.0, 3.0, 4.0], [1.0, 2.0, 3.0]).seen == "a difference is seen"
    with pytest.raises(DataError, match="same length"):
        intervals.paired([1.0, 2.0], [1.0])


@given(st.lists(st.floats(0, 1), min_size=0, max_size=8), st.floats(0.001, 0.2))
def test_holm_equals_stepping_down(p_values: list[float], alpha: float) -> None:
    adjusted = intervals.holm(p_values)
    order, rejected = sorted(range(len(p_values)), key=p_values.__getitem__), set()
    for place, i in enumerate(order):  # Holm's own words: reject in order until one is not small enough
        if p_values[i] * (len(p_values) - place) > alpha:
            break
        rejected.add(i)
    assert {i for i, p in enumerate(adjusted) if p <= alpha} == rejected
    assert all(p <= q <= 1 for p, q in zip(p_values, adjusted, strict=True))


@pytest.mark.parametrize("wrong", [[1.2], [-0.1], [math.nan], [[0.5]]], ids=str)
def test_what_is_no_p_value_is_refused(wrong: list) -> None:
    with pytest.raises(DataError, match="from 0 to 1"):
        intervals.holm(wrong)


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
    allowed = {"higher", "lower", "nearest the retrained reference", "nearest 50 %", "nearest 1"}
    assert {metric.direction(class_wise) for metric in METRICS.values() for class_wise in (True, False)} <= allowed
    assert METRICS["forget"].direction(class_wise=True) == "lower"
    assert METRICS["forget"].direction(class_wise=False) == "nearest the retrained reference"
    assert all(metric.title and metric.unit for metric in METRICS.values())


@pytest.mark.parametrize("name", [name for name, metric in METRICS.items() if metric.better.startswith("nearest ")])
def test_the_glossary_says_nearest_what(name: str) -> None:
    words = f"{TERMS[name].short} {TERMS[name].text}".lower()
    assert METRICS[name].better.removesuffix(" reference") in words


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
        run._workspace.head.weight.fill_(torch.nan)
    measurement = Measurement(run)
    with contextlib.suppress(ImuError):
        list(measurement)
    assert measurement.outcome.state in ("done", "failed")
    assert measurement.outcome.state == "done" or measurement.outcome.reason.endswith(".")
