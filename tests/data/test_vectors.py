"""Points and tables: what is drawn, what is kept, what a file may hold; and that the engine takes them like images."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import imu_core
from imu_core import data, methods, runtime
from imu_core.access import rules
from imu_core.cli import app
from imu_core.data.vectors import drawn, points, tables
from imu_core.errors import CheckpointError, ClosedError, ConfigError, DataError
from imu_core.influence.scoring import forget_scores
from imu_core.models import FOR_VECTORS, checkpoints, construct
from imu_core.problems.problem import NOTHING
from imu_core.problems.reference import retrained
from imu_core.records import data as records
from imu_core.records.run import Problem, RunConfig

KINDS = [points.PREFIX + kind for kind in points.KINDS]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IMU_HOME", str(tmp_path / "home"))
    data.load.cache_clear()
    return tmp_path / "home"


# Points.


@pytest.mark.parametrize("name", KINDS)
def test_points_lie_in_the_square_and_are_the_same_every_time(name: str) -> None:
    kind = name.removeprefix(points.PREFIX)
    one, other = points.load(kind), points.load(kind)
    assert one.hash == other.hash
    assert (len(one.train), len(one.test)) == (points.TRAIN, points.TEST)
    assert one.holds_vectors
    assert one.noun == "points"
    for part in (one.train, one.test):
        assert part.images.dtype == torch.float32
        assert part.images.shape[1:] == (2,)
        assert float(part.images.abs().max()) <= 1
        assert sorted(part.labels.unique().tolist()) == list(range(len(one.class_names)))
    assert torch.allclose(one.train.images.mean(0), torch.tensor(one.mean), atol=1e-5)
    assert len({data.load(each).hash for each in KINDS}) == len(KINDS)


@pytest.mark.parametrize("name", KINDS)
def test_each_proposed_request_can_be_had_and_the_first_is_the_usual_one(name: str) -> None:
    proposed = data.source(name).requests
    assert imu_core.problem(name).split.request == proposed[0]
    for request in proposed:
        assert len(imu_core.problem(name, forget=request).split.forget)


def test_neighbouring_ids_of_a_moon_are_neighbouring_points() -> None:
    tip = points.load("moons").train.images[70:100]
    assert float(torch.cdist(tip, tip).max()) < 1.0
    assert int(points.load("moons").train.labels[70:100].sum()) == 0


# Drawn.

DRAWN = [(round(x / 10, 1), round(y / 10, 1), int(x > 0)) for x in (-4, -3, 3, 4) for y in (-2, 0, 2)]


def test_drawn_points_come_back_under_a_name_that_their_content_decides(home: Path) -> None:
    name = drawn.keep(DRAWN)
    assert name == drawn.keep(json.loads(json.dumps(DRAWN)))
    assert name != drawn.keep([*DRAWN[:-1], (0.9, 0.9, 1)])
    dataset = data.load(name)
    assert dataset.train.images.tolist() == [pytest.approx(point[:2], abs=1e-6) for point in DRAWN]
    assert dataset.train.labels.tolist() == [point[2] for point in DRAWN]
    nearest = torch.cdist(dataset.test.images, dataset.train.images).min(1).values
    assert 0.02 < float(nearest.mean()) < 0.2


def test_a_class_that_nobody_drew_is_left_out_and_the_others_keep_their_names(home: Path) -> None:
    name = drawn.keep([(x, y, 2 * label) for x, y, label in DRAWN])
    dataset = data.load(name)
    assert dataset.class_names == ("A", "C")
    assert sorted(dataset.train.labels.unique().tolist()) == [0, 1]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([], "0 points of 0 classes"),
        (DRAWN[:7], "Draw at least 8"),
        ([(x, y, 0) for x, y, _ in DRAWN], "two classes"),
        ([*[(x, y, 0) for x, y, _ in DRAWN], (0.0, 0.0, 1)], "Class B has one alone"),
        ([*DRAWN, (1.5, 0.0, 0)], "from -1 to 1"),
        ([*DRAWN, (math.nan, 0.0, 0)], "from -1 to 1"),
        ([*DRAWN, (0.0, 0.0, 4)], "from 0 to 3"),
        ([*DRAWN, (0.0, 0.0, True)], "from 0 to 3"),
        ([*DRAWN, (0.0, 0.0)], "from -1 to 1"),
        ([*DRAWN, "x"], "from -1 to 1"),
        ("nothing", "from -1 to 1"),
        ({"a": 1}, "from -1 to 1"),
        (None, "from -1 to 1"),
        (DRAWN * 60, "at most 600"),
    ],
)
def test_points_that_cannot_be_kept_get_a_sentence(given: Any, words: str, home: Path) -> None:
    with pytest.raises(DataError, match=words):
        drawn.keep(given)
    assert not (home / "points").exists()


def test_points_of_another_machine_and_damaged_ones_get_a_sentence(home: Path) -> None:
    with pytest.raises(DataError, match="not on this machine"):
        data.load("points:drawn-0123456789abcdef")
    name = drawn.keep(DRAWN)
    (home / "points" / f"{name.removeprefix(points.PREFIX)}.json").write_text("[[")
    with pytest.raises(DataError, match="not on this machine"):
        data.load(name)


def test_only_the_last_sets_stay_and_their_networks_with_them(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawn, "MOST_KEPT", 2)
    names = []
    for n in range(4):
        names.append(drawn.keep([*DRAWN, (n / 10, 0.9, 1)]))
        (home / "models" / runtime.place(names[-1])).mkdir(parents=True)
        kept = home / "points" / f"{names[-1].removeprefix(points.PREFIX)}.json"
        os.utime(kept, (n, n))
    drawn.keep(DRAWN)
    left = sorted(path.name for path in (home / "points").iterdir())
    assert len(left) == 2
    assert (home / "models" / runtime.place(names[3])).exists()
    assert not (home / "models" / runtime.place(names[0])).exists()


# Tables.


@pytest.mark.parametrize("name", tables.SHIPPED)
def test_shipped_tables_hold_what_their_titles_say(name: str) -> None:
    dataset = tables.load(name)
    rows, columns = len(dataset.train) + len(dataset.test), dataset.train.images.shape[1]
    assert f"{rows:,} rows of {columns} " in tables.SHIPPED[name][0]
    assert dataset.noun == "rows"
    shares = [torch.bincount(part.labels).double() / len(part) for part in (dataset.train, dataset.test)]
    assert torch.allclose(*shares, atol=0.02)


def table(folder: Path, text: str) -> str:
    path = folder / "own.csv"
    path.write_text(text, encoding="utf-8")
    return f"{tables.PREFIX}{path}"


ROWS = "".join(f"{n},{n * 0.5},{'yes' if n % 2 else 'no'}\n" for n in range(30))


def test_a_csv_file_is_a_data_set(tmp_path: Path) -> None:
    name = table(tmp_path, f"a,b,class\n{ROWS}\n")
    dataset = data.load(name)
    assert dataset.class_names == ("no", "yes")
    assert len(dataset.train) + len(dataset.test) == 30
    assert torch.equal(dataset.train.images[:, 1], dataset.train.images[:, 0] * 0.5)
    assert torch.equal(dataset.train.images[:, 0].long() % 2, dataset.train.labels)
    assert imu_core.problem(name, model="logistic").split.request == "random:10%,seed=0"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "0 columns"),
        ("a\n1\n", "1 columns"),
        ("a,class\n1,x\n", "at least 12 rows"),
        (f"a,b,class\n{ROWS}1,2\n", "Line 32 of own.csv has 2 cells"),
        (f"a,b,class\n{ROWS}1,,x\n", "Line 32 of own.csv has a cell that is no finite number"),
        (f"a,b,class\n{ROWS}1,inf,x\n", "no finite number"),
        (f"a,b,class\n{ROWS}1,2,\n", "names no class"),
        (f"a,b,class\n{ROWS}1,2,rare\n", "the smallest with 1"),
        ("a,b,class\n" + "1,2,same\n" * 20, "1 classes"),
        ("a,b,class\n" + "1" * 200_000 + ",2,x\n", "CSV|finite"),
    ],
)
def test_a_table_that_cannot_be_used_gets_a_sentence(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=words):
        data.load(table(tmp_path, text))


def test_a_table_that_is_no_text_or_no_file_gets_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_bytes(b"\xff\xfe\x00a,b")
    with pytest.raises(DataError, match="no CSV file in UTF-8"):
        data.load(f"{tables.PREFIX}{tmp_path}/own.csv")
    for wrong in ("nowhere.csv", str(tmp_path), "", "a\0b", "/dev/zero"):
        with pytest.raises(DataError, match="There is no table"):
            data.load(f"{tables.PREFIX}{wrong}")


def test_a_page_reads_no_table_that_its_owner_has_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = table(tmp_path, f"a,b,class\n{ROWS}")
    data.load(name)
    monkeypatch.setattr(rules, "is_serving", lambda: True)
    for asked in (name, f"{tables.PREFIX}{tmp_path}/nowhere.csv"):
        with pytest.raises(ClosedError):
            data.check_folder(asked)
        with pytest.raises(ClosedError):
            data.load(asked)
    monkeypatch.setenv("IMU_FOLDERS", str(tmp_path))
    data.check_folder(name)
    assert len(data.load(name).train)


# The engine.


@pytest.mark.parametrize("model", FOR_VECTORS)
def test_networks_for_vectors_refuse_images_and_the_others_refuse_vectors(model: str) -> None:
    with pytest.raises(ConfigError, match=f"{model} takes vectors"):
        construct(model, 2, (1, 28, 28), (0.0,), (1.0,))
    with pytest.raises(ConfigError, match="small_resnet takes images"):
        construct("small_resnet", 2, (2,), (0.0, 0.0), (1.0, 1.0))
    with pytest.raises(ConfigError, match="takes images"):
        imu_core.problem("points:moons", model="lenet5")


def test_a_network_of_points_is_trained_when_it_is_first_needed(home: Path) -> None:
    dataset = data.load("points:blobs")
    assert checkpoints.find(dataset, "mlp", NOTHING) is None
    problem = imu_core.problem("points:blobs")
    assert checkpoints.find(dataset, "mlp", NOTHING) is not None
    reference = retrained(problem)
    assert reference is not None
    assert reference.accuracies["forget"] < 0.1
    assert reference.accuracies["test_other"] > 0.9
    assert not (home / "features").exists()  # they are sooner computed than read


def test_a_large_table_is_trained_when_it_is_asked_for_and_not_by_a_page(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = table(tmp_path, f"a,b,class\n{ROWS}")
    monkeypatch.setattr(records, "_AT_ONCE", 10)
    with pytest.raises(CheckpointError, match="No mlp is trained"):
        imu_core.problem(name)
    monkeypatch.undo()
    monkeypatch.setenv("IMU_HOME", str(home))
    problem = imu_core.problem(name)
    monkeypatch.setattr(records, "_AT_ONCE", 10)
    assert retrained(problem) is None  # a page offers the training, with progress and Stop


@pytest.fixture(scope="module")
def blobs() -> Problem:
    return imu_core.problem("points:blobs")


FITTING = [
    (name, scope)
    for name, method in methods.METHODS.items()
    for scope in ("head", "last:1", "all")
    if (method.head if scope == "head" else method.wide)
]


@pytest.mark.sample(12, reason="every method at every scope; the same methods are tested on images")
@pytest.mark.parametrize(("name", "scope"), FITTING)
def test_every_method_unlearns_points(name: str, scope: str, blobs: Problem) -> None:
    run = imu_core.unlearn(blobs, methods.preset("five epochs", name, scope))
    for _ in run:
        pass
    if name == "boundary_shrink":  # its attack is as small as for pixels, and the blobs lie apart
        assert "larger epsilon" in run.outcome.reason
        return
    assert run.outcome.state in ("done", "diverged")
    assert run.points[0].accuracies["forget"] == 1.0 or methods.METHODS[name].from_scratch


def test_the_head_over_features_and_the_whole_network_take_the_same_steps(blobs: Problem) -> None:
    config = RunConfig("ga", epochs=5, batch_size=16, learning_rate=0.05)
    ends = []
    for more in ({}, {"augment": True}):  # augmentation flips images; it takes the long way round
        run = imu_core.unlearn(blobs, RunConfig(**{**vars(config), **more}))
        for _ in run:
            pass
        ends.append(run.state())
    assert all(torch.allclose(ends[0][name], ends[1][name], atol=1e-5) for name in ends[0])


def test_scores_of_points_are_those_of_a_plain_float64_loop(blobs: Problem) -> None:
    Z, y = blobs.train.Z[blobs.split.forget].double(), blobs.train.labels[blobs.split.forget]
    Z = torch.cat([Z, torch.ones(len(Z), 1, dtype=torch.float64)], 1)
    W = torch.cat([blobs.head.weight, blobs.head.bias[:, None]], 1).detach().double()
    P = (Z @ W.T).softmax(1) - torch.nn.functional.one_hot(y, len(W))
    g = torch.einsum("nc,nd->ncd", P, Z).flatten(1)
    mean, diagonal = g.mean(0), g.square().mean(0)
    oracle = (g @ (mean / (diagonal + 1e-2))) / len(blobs.dataset.train)
    assert torch.allclose(forget_scores(blobs).scores.double(), oracle, rtol=1e-3, atol=1e-9)


def test_a_run_on_points_from_the_command_line(home: Path, tmp_path: Path) -> None:
    out = tmp_path / "run.json"
    result = CliRunner().invoke(app, ["run", "--problem", "points:moons", "--epochs", "20", "--json", str(out)])
    assert result.exit_code == 0, result.output
    record = json.loads(out.read_text())
    assert record["problem"]["model"] == "mlp"
    assert record["problem"]["forget"] == "ids:70-99"
    assert record["sizes"]["forget"] == 30
    assert record["metrics"]["membership"]


def test_influence_and_training_of_points_from_the_command_line(home: Path) -> None:
    for words in (["influence", "--problem", "points:outlier"], ["train", "--problem", "points:circles", "--model", "logistic"]):
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 0, result.output


def test_the_outlier_has_a_larger_score_than_any_other_point() -> None:
    from imu_core.figures.ground import influences

    shares = influences(imu_core.problem("points:outlier"))
    assert int(shares.argmax()) == 0
    assert float(np.sort(shares.numpy())[-2]) < 1.0
