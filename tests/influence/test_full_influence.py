"""Influence through all layers against explicit Jacobians and dense solves in float64, against the head's closed form, and by
stepping the parameters."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn
from torch.func import functional_call, jacrev
from torch.nn import functional as F

import imu_core
from imu_core import figures
from imu_core.errors import ConfigError, ConvergenceError, DataError, ImuError
from imu_core.evaluation import agreement
from imu_core.evaluation.agreement import Agreement
from imu_core.figures import agreement as charts
from imu_core.influence import FULL_ESTIMATORS, FullInfluence, full_scores, head_scores, ranking
from imu_core.influence.solvers import conjugate_gradients
from imu_core.metrics.intervals import spearman_interval
from imu_core.models.architectures.airbench import Airbench
from imu_core.models.architectures.thin_resnets import ResNet20
from imu_core.models.head import trainable
from imu_core.records.data import Dataset
from imu_core.records.run import Problem

N, C = 24, 4


class Tiny(nn.Module):
    """Everything the real networks have, small: convolution, batch norm, ReLU, max pooling, SiLU, a block in a row, a head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2))
        self.blocks = nn.ModuleList([nn.Sequential(nn.Conv2d(3, 3, 3, bias=False), nn.BatchNorm2d(3), nn.SiLU())])
        self.head = nn.Linear(3, C)

    def features(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return x.amax((2, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


def sets(size: int, seed: int) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    return torch.rand(size, 1, 8, 8, generator=g, dtype=torch.float64), torch.randint(C, (size,), generator=g)


@pytest.fixture(scope="module")
def tiny_net() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Tiny().double()
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):  # running statistics that are not those of any batch
                module.running_mean.normal_(0.0, 0.3)
                module.running_var.uniform_(0.5, 2.0)
    return model.train()  # as a training leaves it: the scores must not depend on that


OWN, QUERY, CURVATURE = sets(N, 1), sets(10, 2), sets(17, 3)


# The oracle: explicit Jacobians, every matrix built.


def opened(model: nn.Module, scope: str) -> dict[str, Tensor]:
    chosen = {id(p) for p in trainable(model, scope)}
    return {name: p.detach().clone() for name, p in model.named_parameters() if id(p) in chosen}


def frozen(model: nn.Module) -> nn.Module:
    return copy.deepcopy(model).eval()


def jacobians(model: nn.Module, x: Tensor, scope: str) -> tuple[Tensor, Tensor]:
    """(logits (n, C), J (n, C, P))."""
    network, parameters = frozen(model), opened(model, scope)
    found = jacrev(lambda p: functional_call(network, p, (x,)))(parameters)
    J = torch.cat([part.flatten(2) for part in found.values()], 2)
    return network(x).detach(), J.detach()


def dense_scores(
    model: nn.Module, scope: str, estimator: str, damping: float, query: tuple = OWN, curvature: tuple = OWN
) -> tuple[Tensor, Tensor]:
    """(scores, per-sample gradients)."""

    def gradients(pair: tuple[Tensor, Tensor]) -> Tensor:
        z, J = jacobians(model, pair[0], scope)
        return torch.einsum("nc,ncp->np", z.softmax(1) - F.one_hot(pair[1], C), J)

    own, g = gradients(OWN), gradients(query).mean(0)
    if estimator == "exact":
        z, J = jacobians(model, curvature[0], scope)
        S = torch.stack([torch.diag(p) - torch.outer(p, p) for p in z.softmax(1)])
        H = torch.einsum("nap,nab,nbq->pq", J, S, J) / len(z)
    elif estimator == "diagonal":
        H = torch.diag(gradients(curvature).square().mean(0))
    else:
        return own @ g / N, own
    return own @ torch.linalg.solve(H + damping * torch.eye(len(g), dtype=g.dtype), g) / N, own


def relative(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


@pytest.mark.parametrize("separate", [False, True], ids=["one set", "separate sets"])
@pytest.mark.parametrize("scope", ["head", "last:1", "all"])
@pytest.mark.parametrize("estimator", FULL_ESTIMATORS)
def test_scores_equal_explicit_jacobians_and_a_dense_solve(
    tiny_net: nn.Module, estimator: str, scope: str, separate: bool
) -> None:
    others = {"query": QUERY, "curvature": CURVATURE} if separate else {}
    found = full_scores(tiny_net, *OWN, scope=scope, estimator=estimator, damping=1e-2, double=True, chunk=7, **others)
    expected, gradients = dense_scores(tiny_net, scope, estimator, 1e-2, **others)
    assert relative(found.scores, expected) < 1e-6
    assert relative(found.gradient_norms, gradients.norm(dim=1)) < 1e-10
    assert torch.allclose(found.losses, F.cross_entropy(frozen(tiny_net)(OWN[0]), OWN[1], reduction="none"))
    assert (found.scope, found.estimator, found.total) == (scope, estimator, N)


def test_layers_below_the_head_matter(tiny_net: nn.Module) -> None:
    """Else the comparisons above could not tell the scopes apart."""
    one, other, third = (dense_scores(tiny_net, scope, "exact", 1e-2)[0] for scope in ("head", "last:1", "all"))
    assert relative(one, third) > 0.01
    assert relative(other, third) > 0.01


@pytest.mark.parametrize("damping", [1.0, 1e-2, 1e-4])
def test_scope_head_is_the_closed_form_of_the_head(tiny_net: nn.Module, damping: float) -> None:
    network = frozen(tiny_net)
    Z = network.features(OWN[0]).detach()
    head = head_scores(Z, OWN[1], network.head.weight, network.head.bias, estimator="exact", damping=damping, total=99)
    full = full_scores(tiny_net, *OWN, scope="head", damping=damping, total=99, double=True)
    assert relative(full.scores, head.scores) < 1e-6
    assert relative(full.gradient_norms, head.gradient_norms) < 1e-10


@pytest.mark.parametrize("name", ["lenet", "resnet"])
def test_scope_head_is_the_closed_form_on_models_that_ship(request: pytest.FixtureRequest, name: str) -> None:
    problem: Problem = request.getfixturevalue(name)
    index, head = problem.split.forget[:12], problem.head
    images, labels = problem.dataset.train.images[index], problem.train.labels[index]
    closed = head_scores(problem.train.Z[index], labels, head.weight, head.bias, estimator="exact").scores
    assert relative(full_scores(problem.model, images, labels, scope="head").scores, closed) < 1e-3  # float32, rtol 1e-4
    assert relative(full_scores(problem.model, images, labels, scope="head", double=True).scores, closed) < 1e-4  # Z is float32


@pytest.mark.parametrize("kind", [Airbench, ResNet20])
def test_other_architectures_go_through_as_well(kind: type[nn.Module]) -> None:
    """Their gradient norms are those of autograd on the model as it is; scores are finite, a sample is helpful to itself."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = kind(C, (3, 32, 32), (0.5,) * 3, (0.2,) * 3).eval()
        x, y = torch.rand(3, 3, 32, 32), torch.tensor([0, 1, 2])
    found = full_scores(model, x, y, damping=1.0)
    F.cross_entropy(model(x[:1]), y[:1]).backward()
    norm = math.sqrt(sum(float(p.grad.double().square().sum()) for p in model.parameters()))
    assert float(found.gradient_norms[0]) == pytest.approx(norm, rel=1e-4)
    assert float(found.scores.sum()) > 0  # N Σ s = n g' (H + λI)⁻¹ g


# Properties.


def test_permuting_samples_permutes_scores(tiny_net: nn.Module) -> None:
    order = torch.randperm(N, generator=torch.Generator().manual_seed(4))
    plain = full_scores(tiny_net, *OWN, double=True)
    moved = full_scores(tiny_net, OWN[0][order], OWN[1][order], double=True)
    assert relative(moved.scores, plain.scores[order]) < 1e-6


def test_the_chunk_matters_only_in_the_last_bits_and_the_same_call_gives_the_same_bits(tiny_net: nn.Module) -> None:
    plain = full_scores(tiny_net, *OWN, double=True)
    assert torch.equal(full_scores(tiny_net, *OWN, double=True).scores, plain.scores)
    for chunk in (1, 5, 1000):
        assert relative(full_scores(tiny_net, *OWN, double=True, chunk=chunk).scores, plain.scores) < 1e-6


def test_float32_is_near_float64(tiny_net: nn.Module) -> None:
    single, double = full_scores(tiny_net, *OWN), full_scores(tiny_net, *OWN, double=True)
    assert 0 < single.residual <= 1e-3
    assert 0 < double.residual <= 1e-8
    assert relative(single.scores, double.scores) < 1e-3


def test_the_usual_residual_leaves_nearly_every_rank(lenet: Problem) -> None:
    index = lenet.split.forget
    given = (lenet.model, lenet.dataset.train.images[index], lenet.train.labels[index])
    single, double = full_scores(*given, damping=1e-3), full_scores(*given, damping=1e-3, double=True)
    assert single.iterations < double.iterations
    assert ranking.spearman(single.scores, double.scores) > 0.999


def test_float32_keeps_its_digits_where_the_model_is_sure(tiny_net: nn.Module) -> None:
    """p (1 − p) and p − y of a sure sample are differences of nearly equal numbers, of which float32 keeps little."""
    sure = copy.deepcopy(tiny_net)
    with torch.no_grad():
        sure.head.weight.mul_(40.0)
        sure.head.bias.mul_(40.0)
    images, _ = sets(N, 7)
    logits = sure(images).detach()
    labels = logits.argmax(1)
    single, double = (full_scores(sure, images, labels, damping=1e-3, double=d, rtol=1e-4) for d in (False, True))
    assert float(logits.softmax(1).amax(1).median()) > 0.999
    assert single.iterations <= double.iterations + 2
    assert relative(single.scores, double.scores) < 1e-3
    assert relative(single.gradient_norms, double.gradient_norms) < 1e-4


def test_total_divides_and_much_damping_leaves_the_gradient(tiny_net: nn.Module) -> None:
    gradient = full_scores(tiny_net, *OWN, estimator="gradient", double=True).scores
    assert torch.allclose(full_scores(tiny_net, *OWN, estimator="gradient", total=10 * N, double=True).scores * 10, gradient)
    for estimator in ("exact", "diagonal"):
        found = full_scores(tiny_net, *OWN, estimator=estimator, damping=1e6, double=True).scores
        assert relative(found * 1e6, gradient) < 1e-3, estimator


def test_the_model_is_left_as_it_was(tiny_net: nn.Module) -> None:
    before = {name: tensor.clone() for name, tensor in tiny_net.state_dict().items()}
    full_scores(tiny_net, *OWN)
    assert all(torch.equal(before[name], tensor) for name, tensor in tiny_net.state_dict().items())
    assert tiny_net.training
    assert all(p.requires_grad and p.grad is None for p in tiny_net.parameters())


def test_bytes_are_the_images_in_0_to_1(tiny_net: nn.Module) -> None:
    images = (OWN[0] * 255).to(torch.uint8)
    found = full_scores(tiny_net, images, OWN[1], estimator="gradient", double=True)
    assert (
        relative(found.scores, full_scores(tiny_net, images.float() / 255, OWN[1], estimator="gradient", double=True).scores)
        < 1e-6
    )


# Reality: a network that is fitted with all its parameters, samples weighted down, fitted again.


def test_removing_samples_moves_the_query_loss_as_the_scores_say() -> None:
    """A small network with decay λ on all parameters: the minimum moves as (H + λI)⁻¹ g predicts, where the fit is good.

    The sum Σ_kept CE / N + λ/2 ‖θ‖² is fitted from the old minimum on, so that the same minimum is followed.
    """
    lam, g = 0.02, torch.Generator().manual_seed(0)
    y = torch.arange(60) % 3
    x = (
        torch.randn(60, 1, 2, 2, generator=g, dtype=torch.float64) * 0.6
        + torch.eye(3, 4, dtype=torch.float64)[y].view(60, 1, 2, 2) * 2
    )
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()
    start = torch.randn(sum(p.numel() for p in model.parameters()), generator=g, dtype=torch.float64)

    def network(theta: Tensor) -> dict[str, Tensor]:
        sizes = [p.numel() for p in model.parameters()]
        return {n: part.view(p.shape) for (n, p), part in zip(model.named_parameters(), theta.split(sizes), strict=True)}

    def losses(theta: Tensor) -> Tensor:
        return F.cross_entropy(functional_call(model, network(theta), (x,)), y, reduction="none")

    def fit(theta: Tensor, kept: Tensor) -> Tensor:
        theta = theta.clone().requires_grad_()
        solver = torch.optim.LBFGS([theta], max_iter=200, tolerance_grad=1e-9, tolerance_change=0, line_search_fn="strong_wolfe")

        def objective() -> Tensor:
            solver.zero_grad()
            value = (losses(theta) * kept).sum() / 60 + lam / 2 * theta.square().sum()
            value.backward()
            return value

        solver.step(objective)
        return theta.detach()

    theta = fit(start, torch.ones(60, dtype=torch.float64))
    model.load_state_dict(network(theta))
    scores = full_scores(model, x, y, damping=lam, double=True).scores
    actual = []
    for i in range(12):
        kept = torch.ones(60, dtype=torch.float64)
        kept[i] = 0.0
        actual.append(float((losses(fit(theta, kept)) - losses(theta)).mean()))
    assert stats.spearmanr(scores[:12], actual).statistic > 0.8
    assert 0.5 < np.polyfit(scores[:12].numpy(), actual, 1)[0] < 2.0


# Running it: progress, Stop, refusals.


def test_progress_only_grows_and_ends_at_1(tiny_net: nn.Module) -> None:
    work = FullInfluence(tiny_net, *OWN, estimators=("diagonal", "exact"), chunk=5)
    assert work.influence is None
    seen = list(work)
    fractions = [fraction for fraction, _ in seen]
    assert fractions == sorted(fractions)
    assert seen[-1] == (1.0, "done")
    assert any("iteration" in words and "residual" in words for _, words in seen)
    assert work.outcome.state == "done"
    assert list(work.influences) == ["diagonal", "exact"]
    assert work.influence is work.influences["exact"]


def test_it_stops_in_the_middle_of_a_product(tiny_net: nn.Module) -> None:
    work = FullInfluence(tiny_net, *OWN, chunk=5)
    words = []
    for _, text in work:
        words.append(text)
        if "iteration 1" in text:
            work.cancel()
    assert "iteration 1" in words[-1]
    assert sum("iteration 1" in text for text in words) == 1
    assert (work.outcome.state, work.influence) == ("cancelled", None)


def test_too_few_iterations_are_a_sentence_and_no_scores(tiny_net: nn.Module) -> None:
    work = FullInfluence(tiny_net, *OWN, damping=1e-6, max_iterations=2)
    list(work)
    assert work.outcome.state == "failed"
    assert "relative residual" in work.outcome.reason
    assert work.influence is None
    with pytest.raises(ConvergenceError):
        full_scores(tiny_net, *OWN, damping=1e-6, max_iterations=2)


@pytest.mark.parametrize(
    ("changes", "kind", "word"),
    [
        ({"estimator": "kfac"}, ConfigError, "diagonal"),
        ({"damping": -1.0}, ConfigError, "damping"),
        ({"damping": True}, ConfigError, "damping"),
        ({"rtol": math.nan}, ConfigError, "rtol"),
        ({"total": 0}, ConfigError, "total"),
        ({"chunk": 0}, ConfigError, "chunk"),
        ({"max_iterations": 2.5}, ConfigError, "max_iterations"),
        ({"scope": "tail"}, ConfigError, "last:K"),
        ({"labels": OWN[1][:5]}, DataError, "Shapes"),
        ({"labels": OWN[1].double()}, DataError, "whole numbers"),
        ({"labels": OWN[1] + 1}, DataError, f"0 to {C - 1}"),
        ({"images": OWN[0][0]}, DataError, "n, channels"),
        ({"images": OWN[0][:0], "labels": OWN[1][:0]}, DataError, "at least 1"),
        ({"images": torch.full_like(OWN[0], torch.nan), "estimator": "gradient"}, DataError, "finite"),
        ({"query": (OWN[0], OWN[1][:3])}, DataError, "query"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_sentence(
    tiny_net: nn.Module, changes: dict, kind: type[ImuError], word: str
) -> None:
    given = {"images": OWN[0], "labels": OWN[1], **changes}
    with pytest.raises(kind, match=word):
        full_scores(tiny_net, **given)


def test_a_solve_that_ran_out_does_not_ask_again() -> None:
    """Products are what costs: as many as iterations, and one to check."""
    asked = []
    M = torch.diag(torch.linspace(1, 2, 12, dtype=torch.float64))

    def product(v: Tensor) -> Tensor:
        asked.append(v)
        return M @ v

    _, residual, iterations = conjugate_gradients(product, torch.ones(12, dtype=torch.float64))
    assert residual <= 1e-8
    assert len(asked) == iterations + 1


# The comparison.


def test_the_interval_covers_the_true_correlation() -> None:
    """Normal pairs with r = 0.8 have Spearman's ρ = 6/π asin(r/2); nineteen of twenty intervals hold it."""
    rng, truth = np.random.default_rng(0), 6 / np.pi * np.arcsin(0.4)
    inside = 0
    for _ in range(300):
        a, b = rng.multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], 60).T
        low, high = spearman_interval(stats.spearmanr(a, b).statistic, 60)
        inside += low <= truth <= high
    assert 0.92 <= inside / 300 <= 0.98


def test_the_interval_at_its_edges() -> None:
    assert spearman_interval(1.0, 50) == (1.0, 1.0)
    assert all(map(math.isnan, (*spearman_interval(0.5, 3), *spearman_interval(math.nan, 50))))
    low, high = spearman_interval(0.9, 50)
    assert low < 0.9 < high < 1
    assert spearman_interval(0.9, 500)[0] > low


def test_overlap_and_discrepancy() -> None:
    one, other = torch.tensor([4.0, 3.0, 2.0, 1.0]), torch.tensor([4.0, 1.0, 2.0, 3.0])
    assert ranking.overlap(one, other, 0.5) == 0.5
    assert ranking.overlap(one, one, 0.1) == 1.0  # at least one sample
    assert ranking.overlap(one, -one, 0.5) == 0.0
    found = ranking.discrepancy(torch.tensor([1.0, -1.0, 3.0]), torch.tensor([2.0, 2.0, 0.0]))
    assert found[:2].tolist() == [0.5, 1.5]
    assert math.isnan(found[2])


def test_the_comparison_on_a_problem(lenet: Problem, fresh_home: Path) -> None:
    work = Agreement(lenet, curvature=15)
    assert agreement.stored(lenet, curvature=15) is None
    fractions = [fraction for fraction, _ in work]
    assert fractions == sorted(fractions)
    assert work.outcome.state == "done", work.outcome
    found, index, head = work.found, lenet.split.forget, lenet.head
    assert found.curvature == 15
    images, labels = lenet.dataset.train.images, lenet.train.labels
    some = index[torch.from_numpy(np.linspace(0, 39, 15).astype(np.int64))]
    part = {"total": 400, "damping": 1e-2}
    full = full_scores(lenet.model, images[index], labels[index], curvature=(images[some], labels[some]), **part)
    assert torch.equal(found.scores["layers exact"].scores, full.scores)
    closed = head_scores(
        lenet.train.Z[index], labels[index], head.weight, head.bias,
        curvature=(lenet.train.Z[some], labels[some]), estimator="exact", **part,
    )  # fmt: skip
    assert torch.equal(found.scores["head exact"].scores, closed.scores)
    agreed = found.agreed("head exact")
    assert agreed.spearman == pytest.approx(stats.spearmanr(closed.scores, full.scores).statistic)
    assert agreed.low < agreed.spearman < agreed.high
    itself = found.agreed("layers exact")
    assert (itself.spearman, itself.discrepancy, set(itself.overlap.values())) == (pytest.approx(1.0), 0.0, {1.0})
    rows = found.rows()
    assert [row.scores for row in rows] == list(agreement.KINDS)
    assert rows[-1].iterations > 0 < rows[-1].residual <= 1e-3
    assert f"{agreed.spearman:.3f}" in agreement.verdict(found)

    again = agreement.stored(lenet, curvature=15)  # kept on disk, and read back to the bit
    assert all(torch.equal(again.scores[kind].scores, found.scores[kind].scores) for kind in agreement.KINDS)
    assert again.rows() == rows
    assert agreement.stored(lenet) is None  # another curvature set is another comparison
    assert agreement.stored(lenet, damping=0.1, curvature=15) is None
    for path in (fresh_home / "influence").iterdir():
        path.write_text("{")  # damaged: it is computed again
    assert agreement.stored(lenet, curvature=15) is None

    for theme in figures.INK:
        drawn = charts.scores(found, index.numpy(), theme)
        assert np.allclose(drawn.data[-1].x, found.scores["layers exact"].scores)
        assert np.allclose(drawn.data[-1].y, found.scores["head exact"].scores)
        assert list(drawn.data[-1].customdata) == index.tolist()
    drawn = charts.ranks(found, index.numpy())
    assert sorted(drawn.data[-1].x) == list(range(1, 41))
    drawn = charts.discrepancies(found, index.numpy())
    assert np.nanmedian(drawn.data[-1].y) == pytest.approx(100 * agreed.discrepancy)


def test_a_stopped_comparison_keeps_nothing(lenet: Problem, fresh_home: Path) -> None:
    work = Agreement(lenet, curvature=15)
    for _ in work:
        work.cancel()
    assert work.outcome.state == "cancelled"
    assert work.found is None
    assert not (fresh_home / "influence").exists()


@pytest.mark.parametrize("curvature", [0, -1, 2.5, True])
def test_a_wrong_number_of_curvature_samples_is_refused(lenet: Problem, curvature: object) -> None:
    with pytest.raises(ConfigError, match="curvature"):
        Agreement(lenet, curvature=curvature)  # type: ignore[arg-type]


def test_a_single_sample_has_nothing_to_rank(tiny: Dataset) -> None:
    work = Agreement(imu_core.problem("tiny", model="lenet5", forget="ids:5"))
    list(work)
    assert "nothing to rank" in agreement.verdict(work.found)
