"""Who taught an answer: the scores are those of `head_scores`, and what comes of taking samples away is that of slow refits."""

from __future__ import annotations

import pytest
import torch
from test_leaving_out import drawn, slowly

from imu_core.errors import DataError
from imu_core.influence import head_scores
from imu_core.influence.queries import AskedWithout

L2 = 1e-2


def asked(n: int = 200, seed: int = 0, **more: object) -> tuple[AskedWithout, tuple[torch.Tensor, ...], torch.Tensor]:
    Z, y, W, b = drawn(n, seed=seed)
    query = drawn(1, seed=77)[0][0]
    work = AskedWithout(Z, y, W, b, query, 1, damping=L2, **more)
    for _ in work:
        pass
    assert work.outcome.state == "done", work.outcome.reason
    return work, (Z, y, W, b), query


def test_scores_are_influence_on_the_answer_and_removal_is_really_done() -> None:
    work, (Z, y, W, b), query = asked()
    expected = head_scores(Z, y, W, b, query=(query[None], torch.tensor([1])), estimator="exact", damping=L2).scores
    assert torch.equal(work.scores, expected)
    found, order = work.found, expected.argsort(descending=True, stable=True)
    whole = torch.full((len(y),), 1 / len(y), dtype=torch.float64)
    for place, k in list(enumerate(found.removed))[::2]:
        weights = whole.clone()
        weights[order[:k]] = 0
        theta = slowly(Z, y, len(W), weights, L2)
        probabilities = (theta[:, :-1] @ query.double() + theta[:, -1]).softmax(0)
        assert float(found.helpful[place]) == pytest.approx(float(probabilities[1]), abs=1e-5)
        assert int(found.becomes[place]) == int(probabilities.argmax())


def test_the_most_helpful_matter_more_than_random_ones_of_the_same_classes() -> None:
    found = asked()[0].found
    last = len(found.removed) - 1
    assert found.helpful[last] < found.random[last] - 0.05
    assert found.helpful[last] < found.before
    assert found.helpful[0] <= found.before + 1e-9


def test_what_is_needed_is_the_first_size_that_changes_the_answer() -> None:
    found = asked()[0].found
    changed = [k for k, now in zip(found.removed, found.becomes.tolist(), strict=True) if now != 1]
    assert found.needed == (changed[0] if changed else None)


def test_the_control_takes_as_many_of_each_class() -> None:
    work, (_, y, *_), _ = asked()
    removed = work.scores.argsort(descending=True)[:20]
    alike = work._alike(removed, torch.Generator().manual_seed(3))
    assert torch.equal(y[removed].bincount(minlength=3), y[alike].bincount(minlength=3))
    assert len(alike.unique()) == 20


def test_it_can_be_stopped_and_a_class_that_is_none_is_refused() -> None:
    Z, y, W, b = drawn()
    work = AskedWithout(Z, y, W, b, Z[0], 0, damping=L2)
    for _ in work:
        work.cancel()
    assert (work.outcome.state, work.found) == ("cancelled", None)
    with pytest.raises(DataError, match="from 0 to 2"):
        AskedWithout(Z, y, W, b, Z[0], 3)
