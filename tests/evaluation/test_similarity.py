"""How alike two models are, against slow obvious computations; fronts, records and tables with their failure cases."""

from __future__ import annotations

import copy
import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import same_bits
from torch import Tensor, nn

from imu_core import figures, unlearn
from imu_core.errors import DataError
from imu_core.evaluation import similarity
from imu_core.evaluation.measurement import run_logits
from imu_core.evaluation.similarity import LayerSimilarity, cka, frame, gram, prediction_matrix, turned
from imu_core.experiments import leaderboard
from imu_core.figures import all_methods
from imu_core.figures import compare as charts
from imu_core.models.head import blocks, find_head
from imu_core.records.run import Problem, RunConfig
from imu_core.report import exports

# ---------------------------------------------------------------------------------------------------------------- layers


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def slow_hsic(K: np.ndarray, L: np.ndarray) -> float:
    """The unbiased estimate written out as sums over distinct indices (Song et al. 2012, equation 4)."""
    n = len(K)

    def mean(size: int, term: Any) -> float:
        found = [term(*chosen) for chosen in itertools.permutations(range(n), size)]
        return sum(found) / len(found)

    return (
        mean(2, lambda i, j: K[i, j] * L[i, j])
        + mean(4, lambda i, j, q, r: K[i, j] * L[q, r])
        - 2 * mean(3, lambda i, j, q: K[i, j] * L[i, q])
    )


def test_cka_is_the_ratio_of_unbiased_estimates() -> None:
    x, y = random(7, 3), random(7, 5, seed=1)
    K, L = (v.numpy() @ v.numpy().T for v in (x, y))
    expected = slow_hsic(K, L) / math.sqrt(slow_hsic(K, K) * slow_hsic(L, L))
    assert cka(gram(x), gram(y)) == pytest.approx(expected, abs=1e-12)


def test_cka_of_a_thing_with_itself_is_one_and_sees_no_rotation_nor_scale() -> None:
    x = random(30, 6)
    turn = torch.linalg.qr(random(6, 6, seed=2)).Q
    assert cka(gram(x), gram(x.clone())) == 1.0
    assert cka(gram(x), gram(3.5 * x @ turn + 100.0)) == pytest.approx(1.0, abs=1e-10)


def test_cka_of_unrelated_activations_is_near_zero_even_with_more_features_than_samples() -> None:
    x, y = random(40, 4000), random(40, 4000, seed=3)
    assert abs(cka(gram(x), gram(y))) < 0.1
    centred = [v - v.mean(0) for v in (x, y)]
    K, L = (v @ v.T for v in centred)
    standard = float((K * L).sum() / (torch.linalg.norm(K) * torch.linalg.norm(L)))
    assert standard > 0.5  # what the unbiased estimate is there for


def test_cka_without_variation_or_samples() -> None:
    assert math.isnan(cka(gram(torch.ones(9, 4)), gram(random(9, 4))))
    with pytest.raises(DataError, match="at least 4"):
        cka(gram(random(3, 2)), gram(random(3, 2)))
    with pytest.raises(DataError, match="shapes"):
        cka(gram(random(5, 2)), gram(random(6, 2)))


@pytest.fixture(scope="module")
def head_run(resnet: Problem) -> Any:
    run = unlearn(resnet, RunConfig(method="ga", epochs=1, batch_size=16, learning_rate=0.5))
    list(run)
    return run


def disturbed(problem: Problem, block: int) -> nn.Module:
    """A copy of the original with noise in one block."""
    model = copy.deepcopy(problem.model)
    with torch.no_grad():
        for number, parameter in enumerate(blocks(model)[block].parameters()):
            noise = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number))
            parameter.add_(0.3 * noise * parameter.std().nan_to_num())
    return model


def test_a_run_on_the_head_is_told_from_a_wider_one(resnet: Problem, head_run: Any) -> None:
    count = len(blocks(resnet.model))
    assert similarity.identical_blocks(head_run.model(), resnet.model) == count - 1
    assert similarity.same_below_head(head_run.model(), resnet.model)
    assert similarity.identical_blocks(disturbed(resnet, 2), resnet.model) == 2
    assert not similarity.same_below_head(disturbed(resnet, 2), resnet.model)
    assert similarity.identical_blocks(resnet.model, resnet.model) == count


def test_layers_below_an_untouched_prefix_are_exactly_one(resnet: Problem, head_run: Any) -> None:
    before = {k: v.clone() for k, v in resnet.model.state_dict().items()}
    hooks = sum(len(m._forward_hooks) for m in resnet.model.modules())
    work = LayerSimilarity(resnet, {"a": head_run.model(), "b": disturbed(resnet, 2)}, most=60)
    told = list(work)
    assert work.outcome.state == "done"
    assert [share for share, _ in told] == sorted(share for share, _ in told)
    assert told[-1][0] == 1.0
    assert work.layers == ("stem", "blocks.0", "blocks.1", "blocks.2", "head")
    a, b = (work.values[name]["original"] for name in "ab")
    assert a[:4] == [1.0] * 4
    assert a[4] < 1.0
    assert b[:2] == pytest.approx([1.0, 1.0], abs=1e-12)
    assert b[2] < 0.999
    assert work.identical["a"] == 4
    assert work.identical["b"] == 2
    assert same_bits(before, resnet.model.state_dict())
    assert sum(len(m._forward_hooks) for m in resnet.model.modules()) == hooks


def test_layers_by_hand(resnet: Problem) -> None:
    """The activations are those of the network's own blocks: the last ones are its logits."""
    images = resnet.dataset.test.images[:30]
    found = [values for _, values in similarity.block_outputs(resnet.model, images)][-1]
    assert torch.allclose(found["head"], resnet.test.logits[:30], atol=1e-4)
    pooled = found["blocks.2"].reshape(30, -1, 7, 7).mean((2, 3))
    assert torch.allclose(pooled, resnet.test.Z[:30], atol=1e-4)


def test_layers_can_be_stopped(resnet: Problem) -> None:
    work = LayerSimilarity(resnet, {"a": disturbed(resnet, 0)}, most=101)
    next(steps := iter(work))
    work.cancel()
    list(steps)
    assert work.outcome.state == "cancelled"
    assert "a" not in work.values


def test_outputs_are_those_of_the_run(resnet: Problem, head_run: Any) -> None:
    mine, own = similarity.outputs(resnet, head_run.model()), run_logits(head_run)
    assert all(torch.equal(a, b) for a, b in zip(mine, own, strict=True))
    wide = disturbed(resnet, 3)
    head = find_head(wide)
    features = similarity.sample_features(resnet, wide, torch.arange(20))
    assert torch.allclose(similarity.outputs(resnet, wide)[0][:20], head(features), atol=1e-4)
    assert torch.equal(similarity.sample_features(resnet, head_run.model(), torch.arange(20)), resnet.train.Z[:20])


# --------------------------------------------------------------------------------------------------------------- answers


def test_class_accuracies_against_a_loop() -> None:
    logits, labels = random(50, 4), torch.arange(50) % 3  # class 3 has no samples
    found = similarity.class_accuracies(logits, labels, 4)
    for c in range(3):
        mine = [int(logits[i].argmax()) == c for i in range(50) if int(labels[i]) == c]
        assert found[c] == sum(mine) / len(mine)
    assert math.isnan(found[3])


def test_class_changes_of_the_original_are_zero(resnet: Problem) -> None:
    changes = similarity.class_changes(resnet, (resnet.train.logits, resnet.test.logits))
    assert changes.shape == (10,)
    assert np.abs(changes).max() == 0.0


def test_prediction_matrix_against_a_loop() -> None:
    one, other = random(60, 5), random(60, 5, seed=4)
    expected = np.zeros((5, 5), int)
    for a, b in zip(one.argmax(1).tolist(), other.argmax(1).tolist(), strict=True):
        expected[a, b] += 1
    found = prediction_matrix(one, other)
    assert (found == expected).all()
    assert (prediction_matrix(other, one) == expected.T).all()
    with pytest.raises(DataError, match="shapes"):
        prediction_matrix(one, other[:, :4])


def test_a_large_matrix_is_cut_to_where_the_two_differ() -> None:
    whole = np.diag(np.full(30, 100))
    whole[7, 21] = 5
    counts, names = similarity.as_table(whole, tuple(f"c{n}" for n in range(30)), 4)
    assert {"c7", "c21"} <= set(names)
    assert counts.shape == (4, 4)
    assert counts[names.index("c7"), names.index("c21")] == 5
    same, every = similarity.as_table(whole[:3, :3], ("a", "b", "c"))
    assert same.shape == (3, 3)
    assert every == ["a", "b", "c"]


# ----------------------------------------------------------------------------------------------------------------- frame


def test_the_frame_holds_the_principal_components() -> None:
    x = random(80, 6) @ torch.diag(torch.tensor([9.0, 5.0, 2.0, 1.0, 0.5, 0.1], dtype=torch.float64))
    found = frame(x)
    values, vectors = np.linalg.eigh(np.cov(x.numpy().T))
    for axis, share, column in zip(found.axes.numpy(), found.share, (-1, -2), strict=True):
        assert abs(axis @ vectors[:, column]) == pytest.approx(1.0, abs=1e-10)
        assert share == pytest.approx(values[column] / values.sum(), abs=1e-12)
        assert axis[np.abs(axis).argmax()] > 0
    assert found.shows(x) == pytest.approx(sum(found.share), abs=1e-12)
    assert np.abs(found.place(x).mean(0)).max() < 1e-10
    assert np.allclose(found.place(x[5:9]), found.place(x)[5:9])


@pytest.mark.filterwarnings("error")
def test_samples_in_one_place_have_a_frame_without_a_share() -> None:
    assert frame(torch.ones(5, 3)).share == (0.0, 0.0)


@pytest.mark.parametrize("bad", [random(2, 5), random(9, 1), random(9, 4) * math.nan, random(4, 3, 2)])
def test_a_frame_needs_something_to_span(bad: Tensor) -> None:
    with pytest.raises(DataError, match="a plane needs"):
        frame(bad)


def test_turning_undoes_a_rotation_and_keeps_distances() -> None:
    x, rows = random(40, 5), torch.arange(40) < 30
    turn = torch.linalg.qr(random(5, 5, seed=9)).Q
    moved = x @ turn + 7.0
    assert torch.allclose(turned(moved, x, rows), x, atol=1e-9)
    other = random(40, 5, seed=5)
    after = turned(other, x, rows)
    before, now = ((v[:, None] - v[None]).square().sum(2).sqrt() for v in (other, after))
    assert torch.allclose(before, now, atol=1e-9)
    assert float((after - x)[rows].square().sum()) < float((other - x)[rows].square().sum())


def test_an_embedding_measures_in_the_whole_space() -> None:
    base, ids = random(40, 5), torch.arange(40)
    is_forget = ids < 10
    moved = base.clone()
    moved[3] += torch.tensor([0.0, 0.0, 3.0, 4.0, 0.0])
    turn = torch.linalg.qr(random(5, 5, seed=6)).Q
    found = similarity.embedding(ids, is_forget, {"original": base, "a": moved, "retrained": base @ turn}, ("retrained",))
    assert found.lengths["a"][3] == pytest.approx(5.0)
    assert found.lengths["a"].sum() == pytest.approx(5.0)
    assert found.lengths["retrained"].max() < 1e-9
    assert np.allclose(found.places["retrained"], found.places["original"])
    assert found.is_forget.sum() == 10


def test_centred_logits_say_the_same() -> None:
    logits = random(9, 4) + 30.0
    assert torch.allclose(similarity.centred(logits).softmax(1), logits.softmax(1))
    assert torch.allclose(similarity.centred(logits + random(9, 1, seed=7)), similarity.centred(logits))


def test_samples_come_from_both_sets(resnet: Problem) -> None:
    ids, is_forget = similarity.sample_ids(resnet, 15, 25)
    assert int(is_forget.sum()) == 15
    assert len(ids) == len(set(ids.tolist())) == 40
    assert set(ids[is_forget].tolist()) <= set(resnet.split.forget.tolist())
    assert set(ids[~is_forget].tolist()) <= set(resnet.split.retain.tolist())


# ------------------------------------------------------------------------------------------------------------- standings


def test_the_front_against_a_loop() -> None:
    generator = np.random.default_rng(0)
    x, y = generator.integers(0, 6, 40) / 5, generator.integers(0, 6, 40) / 5
    expected = [not any(a <= x[i] and b >= y[i] and (a < x[i] or b > y[i]) for a, b in zip(x, y, strict=True)) for i in range(40)]
    assert leaderboard.front(x, y) == expected
    assert 0 < sum(expected) < 40
    assert leaderboard.front([0.1, 0.1], [0.5, 0.5]) == [True, True]
    assert leaderboard.front([0.1, math.nan], [0.5, 0.9]) == [True, False]
    assert leaderboard.front([], []) == []
    with pytest.raises(DataError, match="same length"):
        leaderboard.front([0.1], [0.1, 0.2])


def test_runs_are_grouped_by_all_but_their_seed() -> None:
    configs = [RunConfig(seed=0), RunConfig(method="ga"), RunConfig(seed=3), RunConfig(seed=3, options={"x": 1})]
    assert leaderboard.by_settings(configs) == [[0, 2], [1], [3]]


def a_row(key: str, change: float, half: float = 0.002, **other: Any) -> dict[str, Any]:
    """A row of a record as `comparison.row` writes it; `p` and `mean` are those of its test against GA."""
    method, _, control = key.partition("-")
    against = {"mean": other.pop("mean", 0.01), "half": 0.001, "p": other.pop("p", 1e-6), "words": "a difference is seen"}
    values = {
        "key": key, "method": method, "control": control or None, "title": key.upper(), "scope": "head", "saw": ["forget"],
        "value": 0.1, "oracle": 0.1, "setting": "learning_rate", "runs": 4, "reached": 4, "forget": 0.02, "change": change,
        "half": half, "worst": change, "seconds": 0.5, "peak_bytes": 1e6, "kl_test": 0.1, "kl_forget": 0.1, "diverged": 0,
        "failed": 0,
    }  # fmt: skip
    return values | ({} if key == "ga" else {"against": against}) | other


def a_record(*rows: dict[str, Any]) -> dict[str, Any]:
    """A record of `rows`, by hand."""
    plan = {"dataset": "fashion", "model": "small_resnet", "requests": ["class:Sandal", "class:Bag"], "seeds": [["head", 2]]}
    reference = {"change": -0.001, "half": 0.001, "n": 2}
    return {
        "command": "python -m imu_core table --scope head",
        "plan": plan | {"target": 0.02},
        "reference": reference,
        "rows": [*rows],
    }


def test_the_first_finding_follows_the_numbers() -> None:
    rows = a_row("ga", -0.03), a_row("npo", -0.02), a_row("salun", 0.0, saw=["forget", "retain"])
    apart = leaderboard.findings(a_record(*rows, a_row("delete", -0.004)), "head")[0]
    assert apart.startswith("**DELETE sees nothing but the forget set and keeps more than every ascent")
    assert "−0.4 ± 0.2" in apart
    assert "−2.0 ± 0.2 points for NPO, the best of 2 ascents, and their intervals do not meet" in apart
    assert apart.endswith("Set by set it is +1.0 ± 0.1 points against GA, taken as one test by itself.")
    near = leaderboard.findings(a_record(*rows, a_row("delete", -0.019)), "head")[0]
    assert "intervals overlap" in near
    same = leaderboard.findings(a_record(*rows, a_row("delete", -0.0205)), "head")[0]
    assert "keep the same, to within 0.1 points: NPO (−2.0 ± 0.2 points) and DELETE (−2.1 ± 0.2 points)" in same
    behind = leaderboard.findings(a_record(*rows, a_row("delete", -0.06)), "head")[0]
    assert behind.startswith("Of the methods that see the forget set alone, NPO keeps most")
    unknown = leaderboard.findings(a_record(*rows, a_row("delete", -0.004, math.nan)), "head")[0]
    assert "not every interval is known" in unknown, "without an interval nothing is apart, and nothing overlaps"


def test_a_method_that_does_not_get_there_wins_nothing() -> None:
    idle = a_row("delete", 0.0, reached=3)
    record = a_record(a_row("ga", -0.03), idle)
    assert [row["key"] for row in leaderboard.ranked(record, "head")] == ["ga", "delete"]
    assert not any("DELETE" in text for text in leaderboard.findings(record, "head"))
    assert "No method reached" in leaderboard.findings(a_record(idle), "head")[0]
    assert leaderboard.findings(a_record(idle), "all") == leaderboard.findings(a_record(), "all")


def test_the_tests_against_the_baseline_are_corrected_for_their_number() -> None:
    rows = [a_row("ga", -0.03)] + [a_row(key, -0.02, p=0.02) for key in ("npo", "simnpo", "imu")]
    text = next(t for t in leaderboard.findings(a_record(*rows), "head") if t.startswith("Against GA"))
    assert "0 of 3 keep more, 0 keep less, and for 3 (NPO, SIMNPO, IMU) no difference is seen" in text
    rows[1]["against"] |= {"p": 0.001}
    rows[2]["against"] |= {"p": 0.0001, "mean": -0.01}
    rows[3]["against"] |= {"p": 0.06}
    text = next(t for t in leaderboard.findings(a_record(*rows), "head") if t.startswith("Against GA"))
    assert "1 (NPO) of 3 keeps more, 1 (SIMNPO) keeps less, and for 1 (IMU)" in text


def test_what_the_weights_are_worth() -> None:
    both = a_row("imu", -0.02), a_row("imu-permuted", -0.021)
    assert "show no worth of the weights" in leaderboard.findings(a_record(*both), "head")[-1]
    both[1]["change"] = -0.2
    assert "the intervals do not meet: the weights help" in leaderboard.findings(a_record(*both), "head")[-1]
    both[1]["change"] = 0.2
    assert "the intervals do not meet: the weights do harm" in leaderboard.findings(a_record(*both), "head")[-1]
    both[1]["half"] = math.nan
    assert "nobody can say whether that is chance" in leaderboard.findings(a_record(*both), "head")[-1]


def test_how_many_keep_up_with_the_retrained_model() -> None:
    rows = a_row("ga", -0.03), a_row("delete", -0.005), a_row("salun", 0.002, saw=["forget", "retain"])
    text = next(t for t in leaderboard.findings(a_record(*rows), "head") if "retrained" in t)
    assert text.startswith(
        "2 of 3 methods that always reach the depth end at most 1 point below the retrained model (−0.1 ± 0.1 "
    )
    assert text.endswith("1 of these never read the retain set.")


def test_the_plan_in_words() -> None:
    words = leaderboard.plan_words(a_record(), "head")
    assert words == "fashion, small_resnet; 2 forget sets, 2 seeds; every method at 2 % forget accuracy"


def test_a_record_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "methods.json"
    assert leaderboard.load(path) is None
    record = a_record(a_row("ga", -0.03))
    path.write_text(json.dumps(record))
    assert leaderboard.load(path) == record


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"rows": [], "command": 3, "plan": {}}', json.dumps(a_record({"key": "ga"})), "[" * 100_000,
             json.dumps(a_record(a_row("ga", math.nan)))],
    ids=["empty", "list", "nothing", "number for a command", "half a row", "deep", "nan"],
)  # fmt: skip
def test_something_else_is_no_record(tmp_path: Path, text: str) -> None:
    path = tmp_path / "methods.json"
    path.write_text(text)
    with pytest.raises(DataError, match="no record of methods"):
        leaderboard.load(path)


# --------------------------------------------------------------------------------------------------------------- figures


def test_standings_draw_every_row_once_in_order() -> None:
    rows = [a_row("delete", -0.004), a_row("ga", -0.03), a_row("npo", -0.001, math.nan, reached=1)]
    figure = all_methods.standings(rows, a_record()["reference"])
    drawn = [name for trace in figure.data for name in trace.y if name]
    assert drawn == list(figure.layout.yaxis.categoryarray)
    assert "1/4" in drawn[-1]
    faint = next(trace for trace in figure.data if trace.name == "Did not always get there")
    assert faint.opacity < 0.5
    assert list(faint.x) == [-0.1]
    assert all_methods.standings(rows, {}).data[0].name == "Reached the depth every time"


def test_a_row_far_from_all_stands_at_the_edge_with_its_number() -> None:
    rows = [a_row(key, -0.01 - 0.001 * n) for n, key in enumerate(("delete", "ga", "npo", "rl", "simnpo"))]
    figure = all_methods.standings([*rows, a_row("imu", -0.7)], {})
    low = figure.layout.xaxis.range[0]
    assert -5 < low < -1.4
    marks = figure.data[0]
    assert min(marks.x) >= low
    assert "−70.00" in marks.text[-1]
    assert set(marks.text[:-1]) == {""}
    assert marks.x[0] == pytest.approx(-1.0)


def test_the_original_gets_a_panel_of_its_own_where_it_is_far() -> None:
    who = charts.Who("IMU", figures.style_of("imu"))
    ends = [charts.Place(who, 0.02, 0.88, on_front=True), charts.Place(who, 0.01, 0.87, 0.01, 0.02, 3, True)]
    far = charts.front_plane(ends, (1.0, 0.89), (0.0, 0.88), "Test")
    near = charts.front_plane([*ends, charts.Place(who, 0.9, 0.88)], (1.0, 0.89), (0.0, 0.88), "Test")
    assert "xaxis2" in far.to_dict()["layout"]
    assert "xaxis2" not in near.to_dict()["layout"]
    assert [t.name for t in far.data].count("Pareto front") == 1
    assert list(next(t for t in far.data if t.name == "Pareto front").x) == [1.0, 2.0]
    assert next(t for t in far.data if t.error_y.visible).error_y.array[0] == pytest.approx(2.0)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_shades_grow_with_the_distance_and_stay_readable(theme: str) -> None:
    def light(colour: str) -> float:
        channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return float(np.dot([0.2126, 0.7152, 0.0722], linear))

    ink = light(figures.INK[theme])
    for sign in (-1, 1):
        tones = [light(charts.shade(sign * v, theme)) for v in (0.0, 0.1, 0.4, 1.0, 9.0)]
        steps = np.diff(tones[:4])
        assert (steps < 0).all() if theme == "light" else (steps > 0).all()
        assert tones[3] == tones[4]
        for tone in tones:
            high, low = max(tone, ink), min(tone, ink)
            assert (high + 0.05) / (low + 0.05) >= 4.5
    assert charts.shade(-1, theme) != charts.shade(1, theme)
    assert charts.shade(math.nan, theme) == ""


def test_two_runs_of_one_method_are_told_apart() -> None:
    first, second = (charts.Who(name, figures.style_of("imu")) for name in ("IMU", "IMU 2"))
    assert charts.told_apart(first, second).style != first.style
    assert charts.told_apart(first, charts.Who("GA", figures.style_of("ga"))).style == figures.style_of("ga")


def test_class_changes_keep_the_forgotten_apart_and_cut_many_classes() -> None:
    values = np.zeros(40)
    values[[3, 17]] = -1.0, 0.2
    figure = charts.class_changes(
        [f"c{n}" for n in range(40)], {"A": values, "B": values / 2}, {"A": figures.style_of("imu")}, [3]
    )
    assert list(figure.data[0].x) == ["c3"]
    assert figure.data[1].x[0] == "c17"
    assert len(figure.data[1].x) == 12
    every = charts.class_changes(["a", "b"], {"A": np.array([math.nan, 0.1])}, {}, [])
    assert list(every.data[0].x) == ["a", "b"]


# ---------------------------------------------------------------------------------------------------------------- tables


def test_latex_escapes_everything_a_visitor_may_type() -> None:
    nasty = "a_b & 50% $x$ #1 {y} ~ ^ \\input{z} <b> | [q]\nnew\x07"
    text = exports.table_latex([{"Run": nasty, "Forget, % ↓": 1.25, "n": 3}, {"Run": "B", "Forget, % ↓": None, "n": -4}], nasty)
    body = text.split(r"\midrule")[1].split(r"\bottomrule")[0]
    assert r"a\_b \& 50\% \$x\$ \#1 \{y\} \textasciitilde{} \textasciicircum{} \textbackslash{}input\{z\}" in body
    assert "{[}q{]} new" in body
    assert r"B & -- & $-4$ \\" in body
    assert r"Run & Forget, \% $\downarrow$ & n \\" in text
    assert r"\begin{tabular}{lrr}" in text
    assert "\x07" not in text
    for rule in ("toprule", "midrule", "bottomrule"):
        assert text.count(f"\\{rule}") == 1
    assert all(line.count("&") - line.count(r"\&") == 2 for line in body.strip().splitlines())


def test_numbers_have_the_decimals_asked_for() -> None:
    text = exports.table_latex([{"a": 1.23456, "b": 2.0, "c": math.nan, "d": 1234}], decimals={"a": 3})
    assert r"1.235 & 2.0 & -- & 1,234 \\" in text


def test_csv_and_json_keep_what_is_there() -> None:
    rows = [{"Run": "a,b", "x": 0.1}, {"Run": "c", "y": math.inf}]
    assert exports.table_csv(rows).splitlines()[0] == "Run,x,y"
    assert '"a,b",0.1,' in exports.table_csv(rows)
    assert json.loads(exports.table_json(rows)) == [{"Run": "a,b", "x": 0.1}, {"Run": "c", "y": None}]
    assert exports.table_csv([]).strip() == '""' or exports.table_csv([]).strip() == ""
