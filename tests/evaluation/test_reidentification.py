"""Can the person still be found: what a head-only run cannot change, what drift does, and whom the searches are about."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import same_bits

import imu_core
from imu_core import data, runtime
from imu_core.cli import app
from imu_core.errors import DataError
from imu_core.evaluation import reidentification, scopes
from imu_core.evaluation.measurement import Measurement
from imu_core.evaluation.scopes import SideBySide
from imu_core.metrics import METRICS
from imu_core.models import checkpoints, hashes, networks
from imu_core.models.head import find_head
from imu_core.problems.problem import NOTHING
from imu_core.records.data import Dataset
from imu_core.records.run import Problem, RunConfig
from imu_core.unlearning.run import Run


def finished(problem: Problem, **settings: object) -> Run:
    run = imu_core.unlearn(problem, RunConfig(**{"epochs": 3, "learning_rate": 0.05, "eval_every": 1000, **settings}))
    list(run)
    assert run.outcome.state in ("done", "diverged")
    return run


# What a head-only run cannot change, and what drift does.


@pytest.mark.parametrize("method", ["imu", "ga", "npo"])
def test_a_head_run_in_eval_mode_leaves_every_rank_as_it_was(person: Problem, method: str) -> None:
    run = finished(person, method=method, epochs=20, learning_rate=0.5)
    assert run.points[-1].accuracies["forget"] < run.points[0].accuracies["forget"]
    before, after = reidentification.judge(person, person.model), reidentification.judge(person, run.model())
    for name in ("query", "gallery", "test"):
        assert getattr(before.embedded, name).numpy().tobytes() == getattr(after.embedded, name).numpy().tobytes()
    assert before.numbers() == after.numbers()
    assert set(reidentification.drift(person.model, run.model()).values()) == {0.0}


@pytest.mark.slow(reason="embeds a set of people again")
def test_the_features_are_really_computed_again(person: Problem) -> None:
    """The cache is by backbone; without it a head-only run gives the same bits as well."""
    model = finished(person).model()
    reidentification._EMBEDDED.clear()
    one = reidentification.embed(person.model, person.dataset)
    reidentification._EMBEDDED.clear()
    other = reidentification.embed(model, person.dataset)
    assert one is not other
    assert one.query.numpy().tobytes() == other.query.numpy().tobytes()


@pytest.mark.slow(reason="a run over images; the command compares both modes in the default run")
def test_training_mode_drifts_and_changes_the_search(person: Problem) -> None:
    run = finished(person, bn="train", epochs=10)
    moved = reidentification.drift(person.model, run.model())
    assert len(moved) == 20
    assert min(moved.values()) > 0
    before, after = reidentification.judge(person, person.model), reidentification.judge(person, run.model())
    assert not torch.equal(before.embedded.query, after.embedded.query)
    trained = {n for n, p in run.model().named_parameters() if not torch.equal(p, dict(person.model.named_parameters())[n])}
    assert trained == {"head.weight", "head.bias"}  # no gradient reached anything else


def test_drift_is_measured_in_standard_deviations(person: Problem) -> None:
    model = copy.deepcopy(person.model)
    layer = model.layer1[0].bn1
    layer.running_mean += 2.0 * (layer.running_var + layer.eps).sqrt()
    moved = reidentification.drift(person.model, model)
    assert moved["layer1.0.bn1"] == pytest.approx(2.0, rel=1e-5)
    assert sum(value > 0 for value in moved.values()) == 1


# Who is searched for, and where.


def test_the_person_is_searched_for_in_held_out_cameras(person: Problem) -> None:
    asked = reidentification.queries_of(person)
    people = person.dataset.people
    assert people.test.ids[asked].tolist() == [5] * 8
    assert not set(people.test.cameras[asked].tolist()) & set(people.train.cameras[people.train.ids == 5].tolist())
    gallery = reidentification.person_gallery(people)
    assert len(gallery) == len(people.gallery) + len(people.test)
    assert {0, -1, 5, 151} <= set(gallery.ids.tolist())


def test_numbers_equal_an_explicit_loop_over_features(person: Problem) -> None:
    found, people = reidentification.judge(person, person.model), person.dataset.people
    z, gallery = found.embedded, reidentification.person_gallery(people)
    Z = torch.cat([z.gallery, z.test]).double().numpy()
    precisions, firsts = [], []
    for at in reidentification.queries_of(person).tolist():
        distance = np.sqrt(((Z - z.test[at].double().numpy()) ** 2).sum(1))
        order = [int(i) for i in np.argsort(distance, kind="stable") if gallery.ids[i] != -1]
        order = [i for i in order if not (gallery.ids[i] == 5 and gallery.cameras[i] == people.test.cameras[at])]
        hits = [int(gallery.ids[i]) == 5 for i in order]
        precisions.append(np.mean([sum(hits[: k + 1]) / (k + 1) for k in range(len(hits)) if hits[k]]))
        firsts.append(hits.index(True))
    assert found.person.map == pytest.approx(np.mean(precisions))
    assert found.person.first.tolist() == [f + 1 for f in firsts]
    assert found.numbers()["person_rank1"] == pytest.approx(np.mean([f == 0 for f in firsts]))


def test_a_rank_list_follows_the_protocol_and_knows_the_place_before(person: Problem) -> None:
    after = finished(person, bn="train", epochs=10).model()
    old, new = (reidentification.embed(model, person.dataset) for model in (person.model, after))
    for forgotten in (True, False):
        asked = reidentification.search(person, old, new, forgotten)
        at = asked.positions[0]
        before, now = asked.nearest(at)
        assert [hit.before for hit in before] == list(range(1, 11))
        for hit in (*before, *now):
            same_person = asked.gallery.ids[hit.position] == asked.shown.ids[at]
            assert hit.same == bool(same_person)
            assert asked.gallery.ids[hit.position] != -1
            assert not (same_person and asked.gallery.cameras[hit.position] == asked.shown.cameras[at])
        assert [hit.distance for hit in now] == sorted(hit.distance for hit in now)
        places = {hit.position: place for place, hit in enumerate(before, 1)}
        assert all(hit.before == places[hit.position] for hit in now if hit.position in places)


def test_a_request_that_is_no_person_says_so(few: Dataset) -> None:
    problem = imu_core.problem("few", model="reid_resnet18", forget="random:10%,seed=1")
    found = reidentification.judge(problem, problem.model)
    assert found.person is None
    assert "names no whole person" in found.why
    assert set(found.numbers()) == {"map", "rank1", "rank5"}


def without(person: Problem, keep: torch.Tensor) -> Problem:
    """The problem with only those held-out images of everybody that `keep` says."""
    people = person.dataset.people
    index = keep.nonzero()[:, 0]
    test = people.test.take(index)
    images = dataclasses.replace(person.dataset.test, images=test.images, labels=person.dataset.test.labels[index])
    dataset = dataclasses.replace(
        person.dataset, test=images, people=dataclasses.replace(people, test=test), key=f"few-{len(index)}"
    )
    return dataclasses.replace(person, dataset=dataset)


def test_a_person_without_held_out_images_cannot_be_searched_for(person: Problem) -> None:
    people = person.dataset.people
    problem = without(person, people.test.ids != 5)
    found = reidentification.judge(problem, problem.model)
    assert found.person is None
    assert "0005" in found.why
    assert found.why.startswith("0005: 16 images from fewer than four cameras")
    assert "no image is left to search with" in found.why


def test_a_person_with_one_image_cannot_be_found_again(person: Problem) -> None:
    people = person.dataset.people
    mine = (people.test.ids == 5).nonzero()[:, 0]
    problem = without(person, (people.test.ids != 5) | (torch.arange(len(people.test)) == mine[0]))
    found = reidentification.judge(problem, problem.model)
    assert found.person is None
    assert "Only one camera outside training saw 0005" in found.why


def test_classes_are_no_people(lenet: Problem) -> None:
    with pytest.raises(DataError, match="shows no identities"):
        reidentification.judge(lenet, lenet.model)


# Side by side.


@pytest.fixture(scope="module")
def side_by_side(person: Problem) -> SideBySide:
    work = SideBySide(person, "ga")
    fractions = [fraction for fraction, _ in work]
    assert fractions == sorted(fractions)
    return work


@pytest.mark.slow(reason="six runs over images; the command makes them in the default run")
def test_six_runs_are_shown_side_by_side(side_by_side: SideBySide) -> None:
    rows = side_by_side.rows
    assert side_by_side.outcome.state == "done"
    assert [(row["scope"], row["bn"]) for row in rows] == [
        (scope, mode) for scope in ("head", "last:1", "all") for mode in ("eval", "train")
    ]
    assert [row["same_features"] for row in rows] == [True, False, False, False, False, False]
    assert [row["drift"] > 0 for row in rows] == [False, True] * 3
    assert all(row["forget"] <= 0.02 for row in rows)
    assert {"map", "rank1", "rank5", "person_map", "person_rank1", "test_other"} <= set(rows[0])


def test_stopping_keeps_the_finished_rows(person: Problem) -> None:
    work = SideBySide(person, "ga")
    for fraction, _ in work:
        if fraction > 0:
            work.cancel()
    assert work.outcome.state == "cancelled"
    assert len(work.rows) == 1


@pytest.mark.slow(reason="six runs over images; the command makes them in the default run")
def test_the_record_can_be_written_and_belongs_to_its_model(side_by_side: SideBySide, person: Problem) -> None:
    record = scopes.as_record(side_by_side, reidentification.references(person))
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert record["command"].startswith("python -m imu_core reid --problem few")
    assert record["model_hash"] == hashes.state_hash(person.model)


@pytest.mark.slow(reason="six runs over images; the command makes them in the default run")
def test_stored_rows_are_shown_only_for_the_model_they_were_made_with(
    side_by_side: SideBySide, person: Problem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "ASSETS", tmp_path)
    record = scopes.as_record(side_by_side, reidentification.references(person))
    people = [person.dataset.class_names[c] for c in person.split.classes]
    path = scopes._stored_path(person.model_name, people, "ga")
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(record))
    assert scopes.stored_rows(person, "ga") == record
    assert scopes.stored_rows(person, "imu") is None
    path.write_text(json.dumps({**record, "model_hash": "another"}))
    assert scopes.stored_rows(person, "ga") is None
    path.write_text("{damaged")
    assert scopes.stored_rows(person, "ga") is None


# In a measurement.


def test_a_measurement_of_people_includes_the_search(person: Problem) -> None:
    measurement = Measurement(finished(person))
    fractions = [fraction for fraction, _ in measurement]
    assert fractions == sorted(fractions)
    found = measurement.result["retrieval"]
    assert set(found) == {"original", "run"}
    assert found["run"] == found["original"]
    assert set(found["run"]) <= set(METRICS)
    assert set(measurement.result["drift"].values()) == {0.0}


# What ships.


WHOLE_SET = pytest.mark.slow(reason="embeds the whole set of people")


@pytest.fixture(scope="module")
def shipped_people() -> Problem:
    return imu_core.problem("people", model="reid_resnet18", forget="identity:0005")


@WHOLE_SET
def test_the_shipped_network_finds_unseen_people(shipped_people: Problem) -> None:
    found = reidentification.references(shipped_people)
    assert found["original"].unseen.map >= 0.6
    assert found["original"].unseen.cmc[0] >= 0.85
    assert found["retrained"].unseen.map >= 0.6
    card = checkpoints.find(shipped_people.dataset, "reid_resnet18", NOTHING).card
    hits = shipped_people.test.logits.argmax(1) == shipped_people.test.labels
    assert float(hits.double().mean()) == pytest.approx(card["accuracies"]["test"], abs=0.005)


@WHOLE_SET
def test_three_retrained_references_ship_and_each_file_is_small(shipped_people: Problem) -> None:
    folder = runtime.ASSETS / "models" / "people" / "reid_resnet18"
    assert all(path.stat().st_size <= 6_000_000 for path in folder.glob("*.safetensors"))
    for name in ("0005", "0011", "0020"):
        problem = dataclasses.replace(
            shipped_people, split=imu_core.problems.forget.split(f"identity:{name}", shipped_people.dataset, shipped_people.train)
        )
        reference = imu_core.retrained(problem)
        assert reference is not None
        assert reference.accuracies["forget"] == 0.0
        assert reference.accuracies["test_forgotten"] == 0.0
        assert reference.accuracies["test_other"] > 0.9


@WHOLE_SET
def test_stored_scopes_belong_to_the_shipped_network(shipped_people: Problem) -> None:
    stored = scopes.stored_rows(shipped_people, "imu")
    assert stored is not None
    assert len(stored["rows"]) == 6
    assert stored["references"]["original"] == pytest.approx(
        reidentification.judge(shipped_people, shipped_people.model).numbers(), abs=0.02
    )


# Networks and training.


@pytest.mark.parametrize("name", ["reid_resnet18", "reid_resnet50"])
@pytest.mark.parametrize("channels", [1, 3])
def test_networks_take_people_and_faces(few: Dataset, name: str, channels: int) -> None:
    from imu_core.records.data import ImageSet

    images = torch.zeros(2, channels, 128, 64, dtype=torch.uint8)
    dataset = dataclasses.replace(
        few, train=ImageSet(images, torch.tensor([0, 1])), mean=(0.5,) * channels, std=(0.2,) * channels
    )
    model = networks.build(name, dataset).eval()
    with torch.no_grad():
        assert model(images.float()).shape == (2, 12)
    assert find_head(model).in_features == (256 if name == "reid_resnet18" else 2048)
    assert same_bits(model.state_dict(), networks.build(name, dataset).state_dict())


@pytest.mark.slow(reason="a large network")
def test_resnet50_looks_at_256_by_128(few: Dataset) -> None:
    from imu_core.evaluation import saliency

    model = networks.build("reid_resnet50", few).eval()
    sizes = saliency.layers(model, few.train.images[:1])
    assert sizes["layer4.2"] == (8, 4)
    assert sizes["stem"] == (64, 32)


# The command line.


def test_the_command_writes_people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from conftest import few_people
    from typer.testing import CliRunner

    from imu_core.data import people

    drawn = few_people()[:30]
    monkeypatch.setattr(people, "shots", lambda seed: iter(drawn))
    monkeypatch.setattr(people, "count", lambda: len(drawn))
    result = CliRunner().invoke(app, ["people", "--out", str(tmp_path / "new")])
    assert result.exit_code == 0
    assert len(list((tmp_path / "new" / "bounding_box_train").glob("*.jpg"))) == 30
    again = CliRunner().invoke(app, ["people", "--out", str(tmp_path / "new")])
    assert again.exit_code == 2
    assert "not empty" in again.output


@pytest.mark.slow(reason="six runs and searches; the search itself is tested beside it")
def test_the_command_compares_scopes(few: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.testing import CliRunner

    monkeypatch.setattr(scopes, "SCOPES", ("head",))
    target = tmp_path / "scopes.json"
    base = ["reid", "--problem", "few"]
    result = CliRunner().invoke(app, [*base, "--forget", "identity:3", "--method", "npo", "--json", str(target)])
    assert result.exit_code == 0, result.output
    rows = json.loads(target.read_text())["rows"]
    assert len(rows) == 2
    assert all(math.isfinite(row["person_map"]) for row in rows)
    assert "identical" in result.output
    assert "Raw pixels, without a network" in result.output
    wrong = CliRunner().invoke(app, [*base, "--forget", "identity:99"])
    assert wrong.exit_code == 2
    assert "There is no identity '99'" in wrong.output
    assert CliRunner().invoke(app, [*base, "--method", "magic"]).exit_code == 2
    assert CliRunner().invoke(app, ["reid", "--problem", "fashion", "--model", "lenet5", "--forget", "class:Bag"]).exit_code == 2


def test_data_registry_names_people() -> None:
    assert [name for name, source in data.DATASETS.items() if source.people and name != "few"] == ["people", "faces", "market"]
