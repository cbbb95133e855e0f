"""Forget requests: what each kind chooses, how it is written down, and that any other text gets a sentence."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import made_features
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.ensemble import IsolationForest

from imu_core.errors import DataError
from imu_core.problems import forget
from imu_core.records.data import Dataset, ImageSet
from imu_core.records.run import Features, Split

N = 60
NAMES = ("Red", "Green", "Dark Blue")


def made_dataset(n: int = N) -> Dataset:
    images = ImageSet(torch.zeros(n, 1, 1, 1, dtype=torch.uint8), torch.arange(n) % 3)
    return Dataset("colours", "Colours", images, images, NAMES, (0.5,), (0.5,))


COLOURS = made_dataset()
FEATURES = made_features(N, 4, 3)


def ask(request: str, earlier: Split | None = None, seed: int = 0, features: Features = FEATURES) -> Split:
    return forget.split(request, COLOURS, features, seed, earlier)


def check_split(found: Split, n: int = N) -> None:
    """Disjoint, complete, ascending, int64, and something on both sides."""
    parts = (found.forget, found.retain, found.earlier)
    assert torch.equal(torch.cat(parts).sort().values, torch.arange(n))
    for part in parts:
        assert part.dtype == torch.int64
        assert bool((part.diff() > 0).all())
    assert len(found.forget)
    assert len(found.retain)


# What each kind chooses, and its canonical text.


@pytest.mark.parametrize(
    ("request_", "canonical", "classes"),
    [
        ("class:Red", "class:Red", (0,)),
        ("  CLASS : green ", "class:Green", (1,)),
        ("class:dark blue", "class:Dark Blue", (2,)),
        ("class:DARK BLUE + red", "class:Red+Dark Blue", None),
        ("class:red+RED", "class:Red", (0,)),
    ],
)
def test_classes_are_found_whatever_their_case(request_: str, canonical: str, classes: tuple[int, ...] | None) -> None:
    if classes is None:  # two of three classes leave only one
        with pytest.raises(DataError, match="two classes"):
            ask(request_)
        return
    found = ask(request_)
    check_split(found)
    assert (found.request, found.classes, found.gone_classes) == (canonical, classes, classes)
    assert found.forget.tolist() == [i for i in range(N) if i % 3 == classes[0]]


def test_two_classes_of_the_tiny_set(lenet: SimpleNamespace) -> None:
    found = forget.split("class:Bag+sandal", lenet.dataset, lenet.train)
    assert (found.request, found.classes) == ("class:Sandal+Bag", (5, 8))
    assert set(lenet.train.labels[found.forget].tolist()) == {5, 8}
    assert not {5, 8} & set(lenet.train.labels[found.retain].tolist())


def test_random_count_and_share() -> None:
    count, share = ask("random:6,seed=4"), ask(" Random : 10% , seed = 4")
    assert (count.request, share.request) == ("random:6,seed=4", "random:10%,seed=4")
    assert torch.equal(count.forget, share.forget)
    assert len(count.forget) == 6
    assert count.classes == ()


def test_random_without_a_seed_uses_the_problems() -> None:
    assert ask("random:6", seed=4).request == "random:6,seed=4"
    assert torch.equal(ask("random:6", seed=4).forget, ask("random:6,seed=4", seed=9).forget)
    assert not torch.equal(ask("random:6", seed=4).forget, ask("random:6", seed=5).forget)


def test_random_reaches_every_sample() -> None:
    seen = {i for seed in range(60) for i in ask(f"random:10,seed={seed}").forget.tolist()}
    assert seen == set(range(N))


@pytest.mark.parametrize(("request_", "size"), [("random:12.5%", 8), ("random:2.5 %", 2), ("hardest:50%", 30), ("easiest:1", 1)])
def test_shares_are_rounded_to_whole_samples(request_: str, size: int) -> None:
    assert len(ask(request_).forget) == size


@settings(max_examples=200)
@example(12_345_001)
@given(st.integers(1, 99_999_999))
def test_the_canonical_text_of_a_share_asks_for_the_same_samples(millionths: int) -> None:
    """Six decimals are read, so six must be written: 12.345001 % of 10,000 are 1,235 samples, 12.345 % are 1,234."""
    dataset, features = made_dataset(10_000), made_features(10_000, 1, 3)
    try:
        found = forget.split(f"random:{millionths / 1e6:.6f}%", dataset, features)
    except DataError:
        return  # less than half a sample, or everything
    again = forget.split(found.request, dataset, features)
    assert torch.equal(found.forget, again.forget)


def test_ids_with_ranges() -> None:
    found = ask("ids: 23, 4,8 ,15 - 17, 16,,")
    check_split(found)
    assert found.forget.tolist() == [4, 8, 15, 16, 17, 23]
    assert found.request == "ids:4,8,15-17,23"


def test_ids_of_a_whole_class_are_that_class() -> None:
    found = ask(forget.ids_request(list(range(0, N, 3))))
    assert found.classes == (0,)
    assert torch.equal(found.removed, ask("class:Red").removed)


def test_ids_of_a_whole_class_and_more_are_no_class() -> None:
    assert ask(forget.ids_request([*range(0, N, 3), 1])).classes == ()


@given(st.lists(st.integers(0, N - 1), min_size=1, max_size=20))
def test_ids_request_and_split_are_inverse(ids: list[int]) -> None:
    text = forget.ids_request(ids)
    found = ask(text)
    check_split(found)
    assert found.forget.tolist() == sorted(set(ids))
    assert found.request == text


def test_ids_request_writes_neighbours_as_a_range() -> None:
    assert forget.ids_request([6, 4, 5, 9, 9, 11, 12]) == "ids:4-6,9,11-12"


def test_hardest_and_easiest_equal_sorting_by_loss() -> None:
    order = np.argsort(FEATURES.losses.numpy(), kind="stable")
    assert ask("easiest:7").forget.tolist() == sorted(order[:7])
    assert ask("hardest:7").forget.tolist() == sorted(order[-7:])


def test_equal_losses_are_taken_in_order() -> None:
    same = Features(FEATURES.Z, FEATURES.labels, torch.zeros(N, 3))
    assert ask("hardest:5", features=same).forget.tolist() == [0, 1, 2, 3, 4]


def test_outliers_equal_sorting_by_the_isolation_forest() -> None:
    Z = FEATURES.Z.clone()
    Z[[7, 31]] += 25.0  # two that anyone would call strange
    scores = IsolationForest(random_state=0).fit(Z.numpy()).score_samples(Z.numpy())
    found = ask("outliers:6", features=Features(Z, FEATURES.labels, FEATURES.logits))
    assert found.forget.tolist() == sorted(np.argsort(scores, kind="stable")[:6])
    assert {7, 31} <= set(found.forget.tolist())
    assert found.request == "outliers:6"


@pytest.mark.parametrize("request_", ["class:Red", "random:10", "ids:3-9", "outliers:5", "hardest:20%", "easiest:3"])
def test_every_kind_splits_into_two_disjoint_sets_and_repeats_itself(request_: str) -> None:
    found = ask(request_)
    check_split(found)
    again = ask(found.request, seed=99)
    assert again.request == found.request
    assert torch.equal(again.forget, found.forget)


# A second request.


def test_what_is_gone_belongs_to_neither_set() -> None:
    first = ask("class:Red")
    second = ask("random:10%", earlier=first)
    check_split(second)
    assert torch.equal(second.earlier, first.forget)
    assert len(second.forget) == 4  # a tenth of the 40 that are left
    assert second.gone_classes == (0,)
    third = ask("ids:0-9", earlier=second)
    check_split(third)
    assert torch.equal(third.removed, torch.cat([first.forget, second.forget, third.forget]).unique())


def test_asking_again_for_what_is_gone_is_a_sentence() -> None:
    with pytest.raises(DataError, match="already gone"):
        ask("class:Red", earlier=ask("class:Red"))


def test_the_last_two_classes_stay() -> None:
    with pytest.raises(DataError, match="two classes must remain"):
        ask("class:Green", earlier=ask("class:Red"))


# What is refused, and how.


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "Write class:NAME"),
        ("   ", "Write class:NAME"),
        (None, "Write class:NAME"),
        (7, "Write class:NAME"),
        ("sandals", "Write class:NAME"),
        ("colour:red", "Write class:NAME"),
        ("class:", "names nothing"),
        ("class:Purple", "Red, Green, Dark Blue"),
        ("class:Red+", "Red, Green, Dark Blue"),
        ("class:Red+Green+Dark Blue", "two classes must remain"),
        ("random:0", "1 to 59"),
        ("random:0%", "1 to 59"),
        ("random:60", "1 to 59"),
        ("random:100%", "below 100%"),
        ("random:200%", "below 100%"),
        ("random:-5", "number of samples"),
        ("random:ten", "number of samples"),
        ("random:5,seed=x", "seed=3"),
        ("random:5,5", "seed=3"),
        ("random:0.0000001%", "share"),
        ("ids:60", "0 to 59"),
        ("ids:9-3", "ranges such as"),
        ("ids:-3", "ranges such as"),
        ("ids:1;2", "ranges such as"),
        ("ids:,,", "names no sample"),
        ("ids:0-59", "two classes must remain"),
        ("ids:0-999999999", "0 to 59"),
        ("outliers:60", "1 to 59"),
        ("hardest:x", "number of samples"),
        ("easiest:1.5", "number of samples"),
    ],
)
def test_a_request_that_cannot_be_met_says_what_is_allowed(text: object, words: str) -> None:
    with pytest.raises(DataError) as caught:
        ask(text)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "text", ["class:" + "x" * 59_000, "random:" + "9" * 59_000, "ids:" + "9" * 59_000, "random:1" + " " * 20_000 + "x"]
)
def test_long_text_is_refused_in_a_short_sentence(text: str) -> None:
    with pytest.raises(DataError) as caught:
        ask(text)
    assert len(str(caught.value)) < 600


def test_long_text_is_read_where_it_makes_sense() -> None:
    assert ask("ids:" + "1," * 29_000).request == "ids:1"


def test_text_beyond_the_limit_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(DataError, match="60,000"):
        ask("ids:" + "1," * 5_000_000)


KINDS = st.sampled_from(["class:", "random:", "ids:", "outliers:", "hardest:", "easiest:", ""])
BODIES = st.text() | st.text("0123456789%,.-+= sedRGabc", max_size=12)


@settings(max_examples=500)
@given(KINDS, BODIES)
def test_any_text_gives_a_split_or_a_sentence(kind: str, body: str) -> None:
    with contextlib.suppress(DataError):  # nothing else may come out
        found = ask(kind + body)
        check_split(found)
        assert ask(found.request).request == found.request
