"""Scores to weights: every step of the recipe against its formula, and the controls."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from imu_core.errors import ConfigError, DataError
from imu_core.records.run import Influence
from imu_core.weights import CONTROLS, PSI, effective_share, sample_weights

TOTAL = 1000
FORMULAS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "sqrt": np.sqrt,
    "identity": lambda v: v,
    "tanh": np.tanh,
    "softmax": np.exp,
}
SCORES = st.lists(st.floats(-5, 5, allow_subnormal=False), min_size=1, max_size=40).filter(lambda v: max(v) > 1e-6)


def influence(scaled: object, losses: object = None, norms: object = None) -> Influence:
    """An Influence whose N·s are `scaled`."""
    values = torch.as_tensor(scaled, dtype=torch.float64)
    other = [torch.ones_like(values) if t is None else torch.as_tensor(t, dtype=torch.float64) for t in (losses, norms)]
    return Influence(values / TOTAL, *other, "diagonal", 1e-2, TOTAL)


@pytest.fixture
def mixed() -> Influence:
    """Twelve samples, eight of them helpful, with losses and gradient norms in other orders."""
    g = torch.Generator().manual_seed(0)
    scaled = torch.tensor([3.0, -1.0, 0.5, 0.0, 2.0, 0.1, -0.2, 1.0, 0.7, 4.0, -3.0, 0.05])
    return influence(scaled, torch.rand(12, generator=g), torch.rand(12, generator=g))


def by_hand(scaled: Tensor, psi: str, top: float = 1.0, clip_quantile: float | None = None) -> np.ndarray:
    values = scaled.double().numpy()
    ranked = [i for i in sorted(range(len(values)), key=lambda i: (-values[i], i)) if values[i] > 0]
    kept = ranked[: max(1, math.ceil(round(top * len(ranked), 9)))]
    weights = np.zeros(len(values))
    weights[kept] = FORMULAS[psi](values[kept])
    if clip_quantile is not None:
        weights[kept] = np.minimum(weights[kept], np.quantile(weights[kept], clip_quantile))
    return weights / weights.sum()


@pytest.mark.parametrize("clip_quantile", [None, 0.0, 0.5, 0.93, 1.0])
@pytest.mark.parametrize("top", [1.0, 0.5, 0.3, 0.01])
@pytest.mark.parametrize("psi", FORMULAS)
def test_weights_equal_the_formula(mixed: Influence, psi: str, top: float, clip_quantile: float | None) -> None:
    found = sample_weights(mixed, psi=psi, top=top, clip_quantile=clip_quantile)
    assert np.allclose(found.numpy(), by_hand(mixed.scores * TOTAL, psi, top, clip_quantile), rtol=1e-10, atol=1e-15)


def test_every_psi_is_tested() -> None:
    assert set(PSI) == set(FORMULAS)


@given(SCORES, st.sampled_from(sorted(PSI)), st.floats(0.01, 1.0), st.none() | st.floats(0.0, 1.0))
def test_weights_are_a_distribution_over_helpful_samples(scaled: list, psi: str, top: float, clip: float | None) -> None:
    weights = sample_weights(influence(scaled), psi=psi, top=top, clip_quantile=clip)
    assert weights.shape == (len(scaled),)
    assert weights.dtype == torch.float64
    assert bool((weights >= 0).all())
    assert float(weights.sum()) == pytest.approx(1.0)
    assert not bool(weights[torch.tensor(scaled, dtype=torch.float64) <= 0].any())


@given(SCORES)
def test_a_larger_score_never_weighs_less(scaled: list) -> None:
    for psi in PSI:
        weights = sample_weights(influence(scaled), psi=psi)[torch.tensor(scaled, dtype=torch.float64).argsort()]
        assert bool((weights.diff() >= -1e-15).all()), psi


@pytest.mark.parametrize("psi", ["tanh", "softmax"])
def test_psi_acts_on_n_times_s(psi: str) -> None:
    """At the scale of s itself tanh is the identity and softmax uniform, so these ψ would do nothing."""
    scaled = torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64)
    weights = sample_weights(influence(scaled), psi=psi)
    assert not torch.allclose(weights, scaled / scaled.sum(), atol=0.02)
    assert not torch.allclose(weights, torch.full((3,), 1 / 3, dtype=torch.float64), atol=0.02)


def test_softmax_of_huge_scores_does_not_overflow() -> None:
    weights = sample_weights(influence([1e5, 1e5 - 1.0, 5.0]), psi="softmax")
    e = math.exp(-1.0)
    assert weights.tolist() == pytest.approx([1 / (1 + e), e / (1 + e), 0.0])


@pytest.mark.parametrize(("top", "kept"), [(0.07, 7), (0.55, 55), (0.1, 10), (0.101, 11), (1e-9, 1), (1.0, 100)])
def test_top_keeps_the_share_it_names(top: float, kept: int) -> None:
    """Rounded up, but 7 % of 100 are 7, although 0.07 * 100 is 7.000000000000001 in floating point."""
    assert int((sample_weights(influence(torch.arange(1.0, 101.0)), top=top) > 0).sum()) == kept


def test_top_breaks_ties_by_position() -> None:
    assert sample_weights(influence([1.0, 2.0, 2.0, 2.0]), top=0.5).tolist() == [0.0, 0.5, 0.5, 0.0]


def test_clipping_lowers_only_the_largest(mixed: Influence) -> None:
    plain, clipped = (sample_weights(mixed, clip_quantile=q) for q in (None, 0.5))
    assert float(clipped.max()) < float(plain.max())
    assert int((clipped == clipped.max()).sum()) == 4  # the upper half of eight


# Controls.


def test_uniform_is_one_nth_for_everybody_helpful_or_not(mixed: Influence) -> None:
    assert torch.equal(sample_weights(mixed, control="uniform", top=0.1), torch.full((12,), 1 / 12, dtype=torch.float64))


def test_uniform_needs_no_positive_score() -> None:
    assert sample_weights(influence([-1.0, -2.0]), control="uniform").tolist() == [0.5, 0.5]


@pytest.mark.parametrize("seed", range(5))
def test_permuted_are_the_same_weights_on_other_samples(mixed: Influence, seed: int) -> None:
    own, permuted = sample_weights(mixed), sample_weights(mixed, control="permuted", seed=seed)
    assert torch.equal(permuted.sort().values, own.sort().values)
    assert not torch.equal(permuted, own)


def test_permuted_reaches_every_sample(mixed: Influence) -> None:
    hit = sum(sample_weights(mixed, control="permuted", seed=seed) > 0 for seed in range(40))
    assert bool((hit > 0).all())


@pytest.mark.parametrize(("control", "field"), [("loss", "losses"), ("gradient_norm", "gradient_norms")])
def test_loss_and_gradient_norm_take_the_place_of_the_scores(mixed: Influence, control: str, field: str) -> None:
    found = sample_weights(mixed, control=control, psi="tanh", top=0.5, clip_quantile=0.9)
    assert np.allclose(found.numpy(), by_hand(getattr(mixed, field), "tanh", 0.5, 0.9))


def test_random_weights_reach_every_sample_and_ignore_the_scores(mixed: Influence) -> None:
    found = sample_weights(mixed, control="random")
    assert bool((found > 0).all())
    assert torch.equal(found, sample_weights(influence([-1.0] * 12), control="random"))


@pytest.mark.parametrize("control", [None, *CONTROLS])
def test_the_seed_decides_the_draw_and_nothing_else(mixed: Influence, control: str | None) -> None:
    torch.manual_seed(1)
    one = sample_weights(mixed, control=control, seed=3)
    state = torch.random.get_rng_state()
    torch.manual_seed(2)
    assert torch.equal(one, sample_weights(mixed, control=control, seed=3))
    is_drawn = control in ("permuted", "random")
    assert torch.equal(one, sample_weights(mixed, control=control, seed=4)) is not is_drawn
    torch.manual_seed(1)
    assert torch.equal(state, torch.random.get_rng_state())  # the global generator is never touched


# What is refused.


@pytest.mark.parametrize(
    "settings",
    [
        {"control": "magic"},
        {"psi": "cube"},
        {"top": 0.0},
        {"top": 1.01},
        {"top": float("nan")},
        {"clip_quantile": -0.1},
        {"clip_quantile": 1.1},
        {"clip_quantile": float("nan")},
    ],
)
def test_settings_outside_their_range_are_named(mixed: Influence, settings: dict) -> None:
    ((name, value),) = settings.items()
    with pytest.raises(ConfigError, match=name) as caught:
        sample_weights(mixed, **settings)
    assert str(value) in str(caught.value)


@pytest.mark.parametrize("scaled", [[-1.0, -2.0], [0.0, 0.0], [-1.0, 0.0]])
def test_no_positive_score_is_a_sentence_with_a_way_out(scaled: list[float]) -> None:
    with pytest.raises(DataError, match="uniform"):
        sample_weights(influence(scaled))


@pytest.mark.parametrize("wrong", [{"scores": (3, 2)}, {"scores": ()}, {"losses": (4,)}, {"gradient_norms": (3, 1)}, {}], ids=str)
@pytest.mark.parametrize("control", [None, "uniform", "loss"])
def test_shapes_that_do_not_fit_are_refused(wrong: dict[str, tuple[int, ...]], control: str | None) -> None:
    n = 3 if wrong else 0  # the last case: no sample at all
    parts = {name: torch.ones(wrong.get(name, (n,))) for name in ("scores", "losses", "gradient_norms")}
    with pytest.raises(DataError, match=r"expected \(n,\) three times"):
        sample_weights(Influence(**parts, estimator="diagonal", damping=1e-2, total=TOTAL), control=control)


# The effective share.


def test_effective_share_of_equal_and_of_lonely_weights() -> None:
    assert effective_share(torch.full((8,), 0.125)) == pytest.approx(1.0)
    assert effective_share(torch.tensor([0.0, 0.0, 1.0, 0.0])) == pytest.approx(0.25)
    assert effective_share(torch.tensor([0.5, 0.5, 0.0, 0.0])) == pytest.approx(0.5)


@given(SCORES)
def test_effective_share_does_not_depend_on_scale(scaled: list) -> None:
    weights = sample_weights(influence(scaled))
    assert effective_share(weights * 7.0) == pytest.approx(effective_share(weights))
    assert 0 < effective_share(weights) <= 1 + 1e-12
