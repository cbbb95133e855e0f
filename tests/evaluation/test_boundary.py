"""What a network says everywhere in the plane, against loops; and the three scenes keep what they promise."""

from __future__ import annotations

import base64
import math
import zlib

import numpy as np
import pytest
import torch
from torch import nn

import imu_core
from imu_core.errors import DataError
from imu_core.evaluation.boundary import SIDE, Watched, check_plane, everywhere, grid
from imu_core.figures.ground import LEVELS, boundary, distances, ground, influences
from imu_core.influence.scoring import forget_scores
from imu_core.methods import preset
from imu_core.problems.reference import retrained, retrained_model
from imu_core.records.run import Problem, RunConfig
from imu_core.report.boundary import distance_words
from imu_core.unlearning.run import Run


@pytest.fixture(scope="module", params=["points:blobs", "points:ascent"])
def plane(request: pytest.FixtureRequest) -> Problem:
    return imu_core.problem(request.param)


def watched(problem: Problem, scope: str = "all", **settings: float) -> Watched:
    """A run of GA with every step judged, at its end."""
    config = RunConfig("ga", scope, epochs=6, batch_size=16, learning_rate=0.05, eval_every=1, **settings)
    made = Watched(Run(problem, config), retrained_model(problem))
    for _ in made:
        pass
    return made


def test_the_grid_goes_row_by_row_from_the_top_left() -> None:
    assert grid(2).tolist() == [[-0.5, 0.5], [0.5, 0.5], [-0.5, -0.5], [0.5, -0.5]]


def test_everywhere_is_the_model_at_each_place(plane: Problem) -> None:
    logits, middles = everywhere(plane.model, 5), [(2 * n + 1) / 5 - 1 for n in range(5)]
    for row, up in enumerate(reversed(middles)):
        for column, across in enumerate(middles):
            alone = plane.model(torch.tensor([[across, up]]))[0]
            assert torch.allclose(logits[row, column], alone, atol=1e-5)


@pytest.mark.parametrize("scope", ["head", "all"])
def test_each_moment_is_the_run_as_it_was_then(scope: str, plane: Problem) -> None:
    made = watched(plane, scope)
    assert sorted(made.moments) == [point.step for point in made.run.points]
    assert torch.allclose(made.moments[0].logits, everywhere(plane.model), atol=1e-5)
    assert torch.allclose(made.moments[made.run.points[-1].step].logits, everywhere(made.run.model()), atol=1e-5)
    middle = made.run.points[len(made.run.points) // 2].step
    again = Run(plane, made.run.config)
    for point in again:
        if point.step == middle and scope == "all":
            assert torch.allclose(made.moments[middle].logits, everywhere(again.model()), atol=1e-5)
    ends, aim = dict(made.run.model().named_parameters()), dict(retrained_model(plane).named_parameters())
    oracle = math.sqrt(sum(float((ends[name].double() - aim[name].double()).square().sum()) for name in aim))
    assert made.moments[made.run.points[-1].step].apart == pytest.approx(oracle, rel=1e-5)


def test_without_a_retrained_network_there_is_no_distance(plane: Problem) -> None:
    made = Watched(Run(plane, RunConfig("ga", epochs=1)), None)
    for _ in made:
        pass
    assert all(math.isnan(moment.apart) for moment in made.moments.values())
    assert distances(made) == []


def test_images_have_no_boundary_to_draw(lenet: Problem) -> None:
    with pytest.raises(DataError, match="no points of the plane"):
        check_plane(lenet)
    with pytest.raises(DataError, match="no points of the plane"):
        check_plane(imu_core.problem("table:wine", model="logistic"))


class Line(nn.Module):
    """Class 0 to the left of x = 0.25, class 1 to the right of it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.stack([0.25 - x[:, 0], x[:, 0] - 0.25], 1)


def test_the_boundary_of_a_straight_line_is_that_line() -> None:
    logits = Line()(grid(24)).view(24, 24, 2)
    (path,) = boundary(logits)
    assert all(across == pytest.approx(0.25, abs=1e-3) for across, _ in path)
    ups = [up for _, up in path]
    assert (min(ups), max(ups)) == pytest.approx((-23 / 24, 23 / 24), abs=1e-3)


def test_a_boundary_lies_where_the_two_largest_logits_are_equal(plane: Problem) -> None:
    paths = boundary(everywhere(plane.model, 96))
    assert paths
    for across, up in [spot for path in paths for spot in path][::5]:
        first, second = plane.model(torch.tensor([[across, up]]))[0].sort(descending=True).values[:2].tolist()
        spread = float(everywhere(plane.model, 8).std())
        assert first - second < 0.15 * spread


@pytest.mark.parametrize("shape", [(4, 4), (4, 5, 2), (4, 4, 1)])
def test_logits_of_another_shape_get_a_sentence(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="side, side, classes"):
        boundary(torch.zeros(shape))


def test_a_film_holds_class_and_sureness_of_every_cell_at_every_point(plane: Problem) -> None:
    made = watched(plane)
    (film,) = ground(plane, [made]).films
    changes = np.frombuffer(zlib.decompress(base64.b64decode(film)), np.uint8).reshape(len(made.run.points), SIDE, SIDE)
    cells = np.cumsum(changes, axis=0, dtype=np.uint8)
    classes = len(plane.dataset.class_names)
    for point, frame in zip(made.run.points, cells, strict=True):
        p = made.moments[point.step].logits.double().softmax(-1)
        assert np.array_equal(frame // LEVELS, p.argmax(-1).numpy())
        sure = (p.max(-1).values.numpy() - 1 / classes) / (1 - 1 / classes) * (LEVELS - 1)
        assert np.abs(frame % LEVELS - sure).max() <= 0.51


def test_points_are_told_with_their_mark_and_their_influence(plane: Problem) -> None:
    told = np.array(ground(plane, []).points)
    marked = np.flatnonzero(told[:, 3])
    assert marked.tolist() == plane.split.forget.tolist()
    assert told[:, :2] == pytest.approx(plane.dataset.train.images.numpy(), abs=1e-3)
    scores = forget_scores(plane).scores.abs().double()
    shares = influences(plane)[plane.split.forget].double()
    assert torch.allclose(shares / shares.max(), scores / scores.max(), rtol=1e-3, atol=1e-6)


# What the scenes promise (`imu_core.data.vectors.points.KINDS`).


def gentle(problem: Problem, method: str, passes: int = 100) -> Watched:
    run = Run(problem, RunConfig(**{**vars(preset("gentle", method, "all")), "stop_at": None, "epochs": passes, "eval_every": 1}))
    made = Watched(run, retrained_model(problem))
    for _ in made:
        pass
    return made


@pytest.mark.parametrize("method", ["imu", "ga", "npo"])
def test_ascent_comes_nearer_to_the_retrained_network_first_and_ends_further_away_than_it_began(method: str) -> None:
    apart = distances(gentle(imu_core.problem("points:ascent"), method))
    assert min(apart) < 0.7 * apart[0]
    assert apart[-1] > apart[0]


def test_unlearning_the_poison_closes_the_hole_and_going_on_does_harm() -> None:
    problem = imu_core.problem("points:poisoned")
    test = [point.accuracies["test"] for point in gentle(problem, "imu").run.points]
    assert max(test) > test[0] + 0.03
    assert test[-1] < max(test) - 0.03
    assert retrained(problem).accuracies["test"] > test[0] + 0.03


def test_the_boundary_reaches_out_for_the_outlier() -> None:
    problem = imu_core.problem("points:outlier")
    assert problem.train.logits[0].argmax() == problem.train.labels[0]
    assert retrained(problem).accuracies["forget"] == 0.0


# Words.


@pytest.mark.parametrize(
    ("apart", "words"),
    [
        ([], ""),
        ([1.0], ""),
        ([1.0, math.nan], ""),
        ([1.12, 0.6], "GA is 0.60 from the retrained network, after 1.12 at first."),
        ([1.12, 1.12], "GA is 1.12 from the retrained network, as near as 1.12 at first."),
        (
            [1.12, 0.4, 0.9],
            "GA is 0.90 from the retrained network: past the nearest it came (1.12 at first, 0.40 at its nearest).",
        ),
        (
            [1.12, 0.4, 3.0],
            "GA is 3.00 from the retrained network: further than where it began (1.12 at first, 0.40 at its nearest).",
        ),
    ],
)
def test_the_distance_in_words(apart: list[float], words: str) -> None:
    assert distance_words("GA", apart) == words
