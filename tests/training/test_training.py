"""Training: resuming, saving, reloading; checkpoints that are missing or damaged; features on disk; the reference."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import same_bits
from torch import Tensor
from torch.nn import functional as F

import imu_core
from imu_core import data, models, runtime
from imu_core.errors import CheckpointError, ConfigError
from imu_core.methods.workspace import Workspace
from imu_core.models import checkpoints, hashes, networks
from imu_core.models.head import blocks, find_head, head_name, split_head, trainable
from imu_core.models.inference import predict, to_input
from imu_core.problems import features as room
from imu_core.problems import forget
from imu_core.problems.features import compute, features, steps
from imu_core.problems.problem import NOTHING, original, prepare
from imu_core.problems.reference import retrain, retrained, seconds_to_retrain
from imu_core.records.data import Dataset, ImageSet
from imu_core.records.run import Problem, RunConfig
from imu_core.training.loop import _FLIP, _SHUFFLE, Training, shifted
from imu_core.training.recipes import Recipe
from imu_core.training.statistics import class_statistics, importances

SHORT = Recipe(epochs=3, batch_size=64, learning_rate=0.05)


def training(dataset: Dataset, **settings: object) -> Training:
    return Training(dataset, settings.pop("model", "lenet5"), recipe=settings.pop("recipe", SHORT), **settings)


def finished(dataset: Dataset, **settings: object) -> Training:
    made = training(dataset, **settings)
    list(made)
    return made


# The loop.


def test_every_epoch_yields_a_point_and_the_last_is_full(tiny: Dataset, fresh_home: Path) -> None:
    points = list(training(tiny))
    assert [(p.step, p.full) for p in points] == [(1, False), (2, False), (3, True)]
    assert points[-1].loss < points[0].loss
    assert set(points[-1].accuracies) == {"train", "test"}


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(
    tiny: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = []
    for number, seed in enumerate((0, 0, 1)):
        monkeypatch.setenv("IMU_HOME", str(tmp_path / str(number)))
        torch.manual_seed(number)  # the global generator must not matter
        states.append(finished(tiny, seed=seed, recipe=dataclasses.replace(SHORT, epochs=1)).model.state_dict())
    assert same_bits(states[0], states[1])
    assert not same_bits(states[0], states[2])


@pytest.mark.slow(reason="trains twice; a damaged partial file resumes in the default run")
@pytest.mark.parametrize("model", ["lenet5", "small_resnet"])
def test_a_stopped_training_resumes_to_the_same_bits(
    model: str, tiny: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = dataclasses.replace(SHORT, epochs=2, batch_size=80)
    monkeypatch.setenv("IMU_HOME", str(tmp_path / "straight"))
    straight = finished(tiny, model=model, recipe=recipe)
    monkeypatch.setenv("IMU_HOME", str(tmp_path / "stopped"))
    stopped = training(tiny, model=model, recipe=recipe)
    for _ in stopped:
        stopped.cancel()
    assert (stopped.outcome.state, stopped.epoch) == ("cancelled", 1)
    resumed = training(tiny, model=model, recipe=recipe)
    assert [point.step for point in resumed] == [2]
    assert resumed.outcome.state == "done"
    assert same_bits(resumed.model.state_dict(), straight.model.state_dict())


def test_a_stop_in_the_middle_of_an_epoch_falls_back_to_the_last_whole_one(
    tiny: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMU_HOME", str(tmp_path / "straight"))
    straight = finished(tiny)
    monkeypatch.setenv("IMU_HOME", str(tmp_path / "stopped"))
    stopped, step, count = training(tiny), Training._one_step, [0]

    def counted(self: Training, *batch: torch.Tensor) -> float:
        count[0] += 1
        if count[0] == 9:  # six batches an epoch
            self.cancel()
        return step(self, *batch)

    monkeypatch.setattr(Training, "_one_step", counted)
    assert [point.step for point in stopped] == [1]
    monkeypatch.setattr(Training, "_one_step", step)
    assert same_bits(finished(tiny).model.state_dict(), straight.model.state_dict())


def test_the_removed_samples_are_never_trained_on(tiny: Dataset, fresh_home: Path) -> None:
    """Poisoning what is removed changes nothing in the model."""
    removed = (tiny.train.labels == 5).nonzero()[:, 0]
    clean = finished(tiny, removed=removed, recipe=dataclasses.replace(SHORT, epochs=1))
    images = tiny.train.images.clone()
    images[removed] = 255 - images[removed]
    poisoned = dataclasses.replace(tiny, train=ImageSet(images, tiny.train.labels))
    assert set(clean.accuracies) == {"train", "test", "forget"}
    other = finished(poisoned, removed=removed, recipe=dataclasses.replace(SHORT, epochs=1))
    assert same_bits(clean.model.state_dict(), other.model.state_dict())


def one_cycle(step: int, steps: int, largest: float) -> float:
    """Cosine from largest/25 up to `largest` over the first fifth, then down to a ten-thousandth of the start."""
    top, last = 0.2 * (steps + 1) - 1, steps
    low, high, share = (
        (largest / 25, largest, step / top) if step <= top else (largest / 25e4, largest, 1 - (step - top) / (last - top))
    )
    return low + (high - low) * (1 - math.cos(math.pi * share)) / 2


def test_training_equals_a_plain_loop(tiny: Dataset, fresh_home: Path) -> None:
    recipe = Recipe(epochs=2, batch_size=40, learning_rate=0.05)
    made, model = finished(tiny, recipe=recipe), networks.build("lenet5", tiny, 0)
    momentum = {name: 0.0 for name, _ in model.named_parameters()}
    for epoch in range(2):
        order = torch.randperm(400, generator=runtime.generator(0, _SHUFFLE, epoch))
        flips = torch.rand(400, generator=runtime.generator(0, _FLIP, epoch)) < 0.5
        for number in range(10):
            part = slice(40 * number, 40 * number + 40)
            images = to_input(tiny.train.images)[order[part]]
            images[flips[part]] = images[flips[part]].flip(-1)
            loss = F.cross_entropy(model(images), tiny.train.labels[order[part]])
            rate = one_cycle(10 * epoch + number, 20, 0.05)
            for (name, parameter), g in zip(model.named_parameters(), torch.autograd.grad(loss, model.parameters()), strict=True):
                g = g + recipe.weight_decay * parameter.detach()
                momentum[name] = recipe.momentum * momentum[name] + g
                parameter.data -= rate * (g + recipe.momentum * momentum[name])  # Nesterov
    for name, parameter in model.named_parameters():
        assert torch.allclose(made.model.get_parameter(name), parameter, atol=1e-5), name


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5])
def test_very_short_trainings_are_possible(steps: int, tiny: Dataset, fresh_home: Path) -> None:
    assert len(list(training(tiny, recipe=Recipe(epochs=1, batch_size=400 // steps)))) == 1


@pytest.mark.parametrize(
    "wrong",
    [{"epochs": 0}, {"epochs": 1001}, {"epochs": 1.5}, {"learning_rate": 0.0}, {"learning_rate": 11.0}, {"batch_size": 1}],
    ids=str,
)
def test_recipes_outside_their_range_are_named(wrong: dict) -> None:
    ((name, value),) = wrong.items()
    with pytest.raises(ConfigError, match=name) as caught:
        Recipe(**wrong)
    assert str(value) in str(caught.value)


def test_too_few_samples_are_refused(tiny: Dataset, fresh_home: Path) -> None:
    with pytest.raises(ConfigError, match="at least 64"):
        training(tiny, removed=torch.arange(350))


def test_an_unknown_model_lists_the_known_ones(tiny: Dataset) -> None:
    with pytest.raises(ConfigError, match="small_resnet"):
        training(tiny, model="transformer")


# Partial files.


def partial(folder: Path) -> Path:
    (path,) = (folder / "training").iterdir()
    return path


def stop_after_one_epoch(dataset: Dataset) -> None:
    stopped = training(dataset)
    for _ in stopped:
        stopped.cancel()


@pytest.mark.sample(1, reason="whole trainings or runs, several times over")
@pytest.mark.parametrize("content", [b"", b"not a checkpoint", None])
def test_a_damaged_partial_file_only_costs_the_time(
    content: bytes | None, tiny: Dataset, fresh_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_after_one_epoch(tiny)
    path = partial(fresh_home)
    path.write_bytes(path.read_bytes()[:5000] if content is None else content)
    resumed = training(tiny)
    assert [point.step for point in resumed] == [1, 2, 3]
    monkeypatch.setenv("IMU_HOME", str(tmp_path / "straight"))
    assert same_bits(resumed.model.state_dict(), finished(tiny).model.state_dict())


@pytest.mark.sample(1, reason="whole trainings or runs, several times over")
@pytest.mark.parametrize("part", ["optimizer", "schedule", "epoch"])
def test_a_partial_file_that_lacks_a_part_leaves_no_trace(
    part: str, tiny: Dataset, fresh_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The weights of a half-read file must not become the start of a training that claims to be fresh."""
    stop_after_one_epoch(tiny)
    path = partial(fresh_home)
    state = torch.load(path, weights_only=True)
    del state[part]
    torch.save(state, path)
    resumed = training(tiny)
    assert [point.step for point in resumed] == [1, 2, 3]
    monkeypatch.setenv("IMU_HOME", str(tmp_path / "straight"))
    assert same_bits(resumed.model.state_dict(), finished(tiny).model.state_dict())


def test_a_pickle_with_code_in_it_is_not_run(tiny: Dataset, fresh_home: Path, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple:
            return (open, (str(tmp_path / "bang"), "w"))

    stop_after_one_epoch(tiny)
    torch.save({"model": Bomb()}, partial(fresh_home))
    assert len(list(training(tiny))) == 3
    assert not (tmp_path / "bang").exists()


# Saving and loading.


def test_only_a_finished_training_is_saved(tiny: Dataset, fresh_home: Path) -> None:
    with pytest.raises(CheckpointError, match="finished"):
        training(tiny).save()


def test_what_is_saved_is_found_and_computes_the_same(tiny: Dataset, fresh_home: Path) -> None:
    made = finished(tiny)
    saved = made.save()
    assert saved.path == fresh_home / "models" / "tiny" / "lenet5" / "original.safetensors"
    assert not list((fresh_home / "training").iterdir())
    found = checkpoints.find(tiny, "lenet5", NOTHING)
    assert found is not None
    assert found.card == {"format": checkpoints.CARD_FORMAT, **saved.card}
    loaded = networks.load_model(found, tiny)
    assert torch.equal(predict(loaded, tiny.test), predict(made.model, tiny.test))
    assert not loaded.training
    assert not any(p.requires_grad for p in loaded.parameters())
    assert same_bits(found.companion("initial"), networks.build("lenet5", tiny, 0).state_dict())


def test_a_card_tells_how_the_model_was_made(tiny: Dataset, fresh_home: Path) -> None:
    removed = (tiny.train.labels == 5).nonzero()[:, 0]
    saved = finished(tiny, removed=removed, request="class:Sandal").save()
    card = json.loads(saved.path.with_suffix(".json").read_text())
    assert (card["role"], card["removed"], card["request"]) == ("retrained", 40, "class:Sandal")
    assert card["recipe"] == dataclasses.asdict(SHORT)
    assert card["data_hash"] == tiny.hash
    assert card["parameters"] == sum(p.numel() for p in networks.build("lenet5", tiny).parameters())
    assert "--forget 'class:Sandal'" in card["command"]
    assert not saved.path.with_name(f"{saved.path.stem}.initial.safetensors").exists()  # companions belong to originals


def test_float16_is_kept_only_where_accuracy_stays(tiny: Dataset, fresh_home: Path) -> None:
    made = finished(tiny)
    assert made.save().card["stored"] == "float16"
    assert next(iter(checkpoints.read_tensors(made.save().path).values())).dtype == torch.float16
    with torch.no_grad():
        find_head(made.model).weight[0, 0] = 1e6  # becomes infinite in half precision
    made.accuracies = made._evaluate(None)
    saved = made.save()
    state = checkpoints.read_tensors(saved.path)
    assert saved.card["stored"] == "float32"
    assert all(bool(torch.isfinite(tensor).all()) for tensor in state.values())
    assert same_bits(state, made.model.state_dict())


def test_a_write_that_fails_leaves_no_model_behind(tiny: Dataset, fresh_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = finished(tiny)

    def broken(tensors: dict, path: Path) -> None:
        Path(path).write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(checkpoints, "save_file", broken)
    with pytest.raises(OSError, match="disk full"):
        made.save()
    assert checkpoints.find(tiny, "lenet5", NOTHING) is None
    assert not [path for path in (fresh_home / "models").rglob("*") if path.is_file()]


# Checkpoints.


@pytest.fixture
def saved(tiny: Dataset, fresh_home: Path) -> checkpoints.Checkpoint:
    """An untrained LeNet-5 on disk."""
    path = fresh_home / "models" / "tiny" / "lenet5" / "original.safetensors"
    card = {"model": "lenet5", "data_hash": tiny.hash, "removed_hash": "none", "seed": 0}
    checkpoints.save(path, networks.build("lenet5", tiny).state_dict(), card)
    return checkpoints.at(path)


@pytest.mark.parametrize("damage", ["empty", "truncated", "garbage", "missing"])
def test_damaged_tensors_give_a_sentence(damage: str, saved: checkpoints.Checkpoint, tiny: Dataset) -> None:
    content = saved.path.read_bytes()
    if damage == "missing":
        saved.path.unlink()
    else:
        saved.path.write_bytes({"empty": b"", "truncated": content[:-500], "garbage": b"\xff" * 3000}[damage])
    with pytest.raises(CheckpointError, match="cannot be read"):
        networks.load_model(saved, tiny)


def test_tensors_of_another_architecture_give_a_sentence(saved: checkpoints.Checkpoint, tiny: Dataset) -> None:
    checkpoints.save(saved.path, networks.build("small_resnet", tiny).state_dict())
    with pytest.raises(CheckpointError, match="does not fit LeNet5"):
        networks.load_model(saved, tiny)


def test_tensors_of_another_shape_give_a_sentence(tiny: Dataset) -> None:
    state = networks.build("lenet5", tiny).state_dict()
    state["head.weight"] = torch.zeros(9, 84)
    with pytest.raises(CheckpointError, match=r"head\.weight"):
        checkpoints.fill(networks.build("lenet5", tiny), state)


@pytest.mark.parametrize("card", [None, "", "not json", "[1, 2]", '{"format": 99}', "\x00\xff"])
def test_a_missing_or_damaged_card_gives_a_sentence_and_hides_the_model(
    card: str | None, saved: checkpoints.Checkpoint, tiny: Dataset
) -> None:
    beside = saved.path.with_suffix(".json")
    beside.unlink() if card is None else beside.write_bytes(card.encode("latin-1"))
    checkpoints._read_card.cache_clear()
    with pytest.raises(CheckpointError, match=r"original\.json"):
        checkpoints.at(saved.path)
    assert checkpoints.find(tiny, "lenet5", NOTHING) is None


def test_a_card_without_tensors_is_passed_over(saved: checkpoints.Checkpoint, tiny: Dataset) -> None:
    """Whatever was seen before: the file may vanish, and it may come back, while the program runs."""
    assert checkpoints.find(tiny, "lenet5", NOTHING) is not None
    hidden = saved.path.rename(saved.path.with_suffix(".away"))
    assert checkpoints.find(tiny, "lenet5", NOTHING) is None
    hidden.rename(saved.path)
    assert checkpoints.find(tiny, "lenet5", NOTHING) is not None


def test_a_model_is_found_only_on_its_own_data(saved: checkpoints.Checkpoint, tiny: Dataset) -> None:
    changed = dataclasses.replace(tiny, test=ImageSet(tiny.test.images.flip(-1), tiny.test.labels))
    assert checkpoints.find(changed, "lenet5", NOTHING) is None
    assert checkpoints.find(tiny, "small_resnet", NOTHING) is None
    assert checkpoints.find(tiny, "lenet5", torch.tensor([1])) is None
    assert checkpoints.find(tiny, "lenet5", NOTHING, seed=1) is None


def test_removed_samples_are_known_whatever_their_order() -> None:
    one = hashes.removed_hash(torch.tensor([3, 1, 2]))
    assert one == hashes.removed_hash(torch.tensor([1, 2, 3], dtype=torch.int32))
    assert one != hashes.removed_hash(torch.tensor([1, 2]))
    assert hashes.removed_hash(NOTHING) == "none"


def test_the_state_hash_sees_parameters_and_buffers(tiny: Dataset) -> None:
    model = networks.build("small_resnet", tiny)
    before = hashes.state_hash(model)
    assert before == hashes.state_hash(networks.build("small_resnet", tiny))
    model.stem[1].running_mean[0] += 1e-6
    assert hashes.state_hash(model) != before


def test_without_an_original_a_problem_says_how_to_train_it(tiny: Dataset, fresh_home: Path) -> None:
    with pytest.raises(CheckpointError, match="python -m imu_core train --problem tiny --model lenet5"):
        imu_core.problem("tiny", model="lenet5")


@pytest.mark.parametrize("wrong", [{"model": "vgg"}, {"seed": -1}, {"seed": 2**31}, {"seed": 1.5}, {"seed": True}], ids=str)
def test_a_problem_with_impossible_settings_is_refused(wrong: dict, lenet: Problem) -> None:
    ((_, value),) = wrong.items()
    with pytest.raises(ConfigError) as caught:
        imu_core.problem("tiny", **{"model": "lenet5", **wrong})
    assert str(value) in str(caught.value)


# The retrained reference.


def test_the_reference_is_found_by_samples_and_not_by_words(lenet: Problem, fresh_home: Path) -> None:
    assert retrained(lenet) is None
    made = retrain(lenet)
    made.recipe = dataclasses.replace(made.recipe, epochs=1)
    list(made)
    made.save()
    same = dataclasses.replace(
        lenet, split=forget.split(forget.ids_request(lenet.split.forget.tolist()), lenet.dataset, lenet.train)
    )
    for asked in (lenet, same):
        found = retrained(asked)
        assert found is not None
        assert found.card["request"] == "class:Sandal"
        assert found.accuracies["forget"] == pytest.approx(
            float((found.train.logits[asked.split.forget].argmax(1) == 5).double().mean())
        )
    other = dataclasses.replace(lenet, split=forget.split("class:Bag", lenet.dataset, lenet.train))
    assert retrained(other) is None


def test_what_retraining_takes_is_what_the_quickest_stored_training_took(lenet: Problem, fresh_home: Path) -> None:
    assert seconds_to_retrain(lenet) is None
    for name, seconds in {"quick": 7.5, "slow": 10_000.0}.items():
        path = fresh_home / "models" / "tiny" / "lenet5" / f"{name}.safetensors"
        checkpoints.save(path, {"x": torch.zeros(1)}, {"model": "lenet5", "seconds": seconds})
    assert seconds_to_retrain(lenet) == 7.5


def test_the_shipped_reference_for_sandals_is_found_by_their_ids(shipped: Dataset) -> None:
    sandals = (shipped.train.labels == 5).nonzero()[:, 0]
    found = checkpoints.find(shipped, "small_resnet", sandals.flip(0))
    assert found is not None, "assets/models holds no reference for class:Sandal"
    assert (found.card["role"], found.card["removed"]) == ("retrained", 1000)
    assert found.card["accuracies"]["forget"] == 0.0
    assert found.card["accuracies"]["test"] > 0.75


def test_shipped_cards_tell_the_truth_about_their_models(shipped: Dataset) -> None:
    """Test accuracy of the quick model, measured again."""
    found = checkpoints.find(shipped, "lenet5", NOTHING)
    assert found is not None
    logits = predict(networks.load_model(found, shipped), shipped.test)
    accuracy = float((logits.argmax(1) == shipped.test.labels).double().mean())
    assert accuracy == pytest.approx(found.card["accuracies"]["test"], abs=0.002)


# Features.


def test_features_and_head_give_the_logits_of_the_model(resnet: Problem) -> None:
    with torch.no_grad():
        logits = resnet.model(to_input(resnet.dataset.test.images))
    assert torch.allclose(resnet.test.logits, logits, atol=1e-5)
    assert torch.allclose(resnet.head(resnet.test.Z), logits, atol=1e-5)
    losses = F.cross_entropy(logits, resnet.dataset.test.labels, reduction="none")
    assert torch.allclose(resnet.test.losses, losses, atol=1e-4)


def test_chunk_size_does_not_matter(resnet: Problem) -> None:
    Z, logits = compute(resnet.model, resnet.dataset.test.images[:50], chunk=7)
    assert torch.allclose(Z, resnet.test.Z[:50], atol=1e-5)
    assert torch.allclose(logits, resnet.test.logits[:50], atol=1e-4)


@pytest.mark.parametrize("content", [b"", b"damaged", "other tensors"])
def test_damaged_features_on_disk_are_computed_again(content: bytes | str, lenet: Problem, fresh_home: Path) -> None:
    fresh = features(lenet.model, lenet.dataset.test, "key")
    (path,) = (fresh_home / "features").iterdir()
    if isinstance(content, str):
        checkpoints.save(path, {"unknown": torch.zeros(1)})
    else:
        path.unlink()  # a file of its own: cutting the mapped one short would end this process
        path.write_bytes(content)
    again = features(lenet.model, lenet.dataset.test, "key")
    assert torch.equal(again.Z, fresh.Z)
    assert torch.equal(features(lenet.model, lenet.dataset.test, "key").logits, fresh.logits)


def test_features_come_from_disk_the_second_time(lenet: Problem, fresh_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = features(lenet.model, lenet.dataset.test, "key")
    monkeypatch.setattr(room, "split_head", lambda *_: pytest.fail("computed again"))
    assert torch.equal(features(lenet.model, lenet.dataset.test, "key").Z, first.Z)
    with pytest.raises(pytest.fail.Exception, match="computed again"):
        features(lenet.model, lenet.dataset.test, "another key")


def test_features_left_undone_are_gone_on_with_and_no_chunk_is_computed_twice(
    lenet: Problem, fresh_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunks: list[Tensor] = []
    monkeypatch.setattr(room, "to_input", lambda images: chunks.append(images) or to_input(images))
    images, expected = lenet.dataset.test, compute(lenet.model, lenet.dataset.test.images)[0]
    chunks.clear()
    left = steps(lenet.model, images, "key")
    seen = [next(left), next(left)]
    left.close()
    other = steps(lenet.model, images, "key")
    with ThreadPoolExecutor(2) as pool:
        parts = list(pool.map(list, (other, steps(lenet.model, images, "key"))))
    assert len(chunks) == len(images.images.split(len(chunks[0])))
    assert seen == sorted(seen)
    assert all(part == sorted(part) and part[0] > 0 and part[-1] == 1.0 for part in parts)
    assert torch.equal(features(lenet.model, images, "key").Z, expected)
    assert list(steps(lenet.model, images, "key")) == []


def test_what_could_not_be_stored_is_tried_again(lenet: Problem, fresh_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError("no space")

    with monkeypatch.context() as patched:
        patched.setattr(runtime, "write_whole", full)
        with pytest.raises(OSError, match="no space"):
            features(lenet.model, lenet.dataset.test, "key")
    assert len(features(lenet.model, lenet.dataset.test, "key").Z) == len(lenet.dataset.test)


def test_preparing_says_how_far_it_is_and_is_silent_the_second_time(lenet: Problem, fresh_home: Path) -> None:
    said = list(prepare("fashion", model="lenet5"))
    assert [fraction for fraction, _ in said] == sorted(fraction for fraction, _ in said)
    assert said[-1] == (1.0, "Features of 15,000 of 15,000 images, computed once and kept")
    assert list(prepare("fashion", model="lenet5")) == []


def test_features_belong_to_one_model(lenet: Problem, fresh_home: Path) -> None:
    before = features(lenet.model, lenet.dataset.test, "key")
    other = networks.build("lenet5", lenet.dataset, seed=1).eval()
    found = features(other, lenet.dataset.test, "key")
    assert not torch.allclose(found.Z, before.Z, atol=1e-3)
    assert torch.equal(found.Z, compute(other, lenet.dataset.test.images)[0])


# Where a network is cut.


@pytest.mark.sample(4, reason="a large network each")
@pytest.mark.parametrize("name", models.MODELS)
def test_backbone_and_head_make_the_model(name: str, tiny: Dataset) -> None:
    dataset = data.load("points:moons") if name in models.FOR_VECTORS else tiny
    model = networks.build(name, dataset).eval()
    before = hashes.state_hash(model)
    backbone, head = split_head(model)
    images = to_input(dataset.test.images[:8])
    with torch.no_grad():
        assert torch.equal(head(backbone.eval()(images)), model(images))
        head.weight.zero_()
    assert hashes.state_hash(model) == before  # both are copies
    assert head_name(model) == "head"
    assert blocks(model)[-1] is find_head(model)


@pytest.mark.parametrize(
    ("name", "scope", "opened"),
    [
        ("lenet5", "head", {"head"}),
        ("lenet5", "last:1", {"head", "hidden2"}),
        ("lenet5", "last:3", {"head", "hidden2", "hidden1", "conv2"}),
        ("lenet5", "last:99", {"head", "hidden2", "hidden1", "conv2", "conv1"}),
        ("lenet5", "all", {"head", "hidden2", "hidden1", "conv2", "conv1"}),
        ("small_resnet", "head", {"head"}),
        ("small_resnet", "last:1", {"head", "blocks.2"}),
        ("small_resnet", "last:2", {"head", "blocks.2", "blocks.1"}),
        ("small_resnet", "last:4", {"head", "blocks.2", "blocks.1", "blocks.0", "stem"}),
        ("small_resnet", "all", {"head", "blocks.2", "blocks.1", "blocks.0", "stem"}),
    ],
)
def test_a_scope_opens_the_blocks_it_names(name: str, scope: str, opened: set[str], tiny: Dataset) -> None:
    model = networks.build(name, tiny)
    chosen = {id(p) for p in trainable(model, scope)}
    expected = {id(p) for n, p in model.named_parameters() if any(n.startswith(f"{block}.") for block in opened)}
    assert chosen == expected


# Statistics.


def test_class_statistics_equal_numpy(lenet: Problem) -> None:
    found = class_statistics(lenet.model, lenet.dataset.train)
    for c in (0, 5):
        group = lenet.train.Z[lenet.train.labels == c].double().numpy()
        assert int(found["count"][c]) == 40
        assert np.allclose(found["mean"][c], group.mean(0), atol=1e-4)
        assert np.allclose(found["covariance"][c], np.cov(group.T), atol=1e-3)


def test_importances_equal_a_plain_loop(lenet: Problem) -> None:
    images = ImageSet(lenet.dataset.train.images[:60], lenet.dataset.train.labels[:60])
    found = importances(lenet.model, images, batch_size=20)
    model = networks.build("lenet5", lenet.dataset)
    model.load_state_dict(lenet.model.state_dict())
    fisher = absolute = 0.0
    for start in (0, 20, 40):
        logits = model(to_input(images.images[start : start + 20]))
        weight = model.head.weight
        (g,) = torch.autograd.grad(F.cross_entropy(logits, images.labels[start : start + 20]), weight, retain_graph=True)
        (h,) = torch.autograd.grad((logits**2).sum(1).mean(), weight)
        fisher, absolute = fisher + g**2 / 3, absolute + h.abs() / 3
    assert torch.allclose(found["fisher.head.weight"], fisher, rtol=1e-4, atol=1e-10)
    assert torch.allclose(found["absolute.head.weight"], absolute, rtol=1e-4, atol=1e-8)
    assert int(found["batch_size"]) == 20


def test_the_shared_model_is_not_the_one_on_which_importances_are_taken(lenet: Problem) -> None:
    assert not any(p.requires_grad for p in lenet.model.parameters())
    assert data.load("tiny") is lenet.dataset
    assert original(lenet.dataset, "lenet5").card["dataset"] == "tiny"


# Crops, smoothed labels, half precision, and trainings that diverge.


def test_a_shift_moves_every_image_by_whole_pixels_within_its_share() -> None:
    images = torch.arange(1, 4 * 3 * 16 * 8 + 1).view(4, 3, 16, 8).remainder(250).add(1).to(torch.uint8)
    moved = shifted(images, 0.25, torch.Generator().manual_seed(3))
    assert moved.shape == images.shape
    padded = F.pad(images, (2, 2, 4, 4))
    for one, whole in zip(moved, padded, strict=True):
        places = [(y, x) for y in range(9) for x in range(5) if torch.equal(one, whole[:, y : y + 16, x : x + 8])]
        assert len(places) == 1
    assert shifted(images, 0.0, torch.Generator()) is images
    assert not torch.equal(moved, images)


def test_crops_and_precision_resume_to_the_same_bits(tiny: Dataset, fresh_home: Path) -> None:
    recipe = Recipe(epochs=2, batch_size=64, learning_rate=0.05, crop=0.1, label_smoothing=0.1, precision="bfloat16")
    whole = finished(tiny, recipe=recipe)
    whole._partial.unlink()
    half = Training(tiny, "lenet5", recipe=recipe)
    for _ in half:
        half.cancel()
    assert half.outcome.state == "cancelled"
    assert same_bits(finished(tiny, recipe=recipe).model.state_dict(), whole.model.state_dict())


@pytest.mark.parametrize("wrong", [{"crop": 0.6}, {"crop": -0.1}, {"label_smoothing": 1.0}, {"precision": "int8"}])
def test_recipes_have_bounds(wrong: dict) -> None:
    with pytest.raises(ConfigError):
        Recipe(**wrong)


def test_a_training_that_diverges_says_so_and_is_not_stored(tiny: Dataset, fresh_home: Path) -> None:
    training = Training(tiny, "lenet5", recipe=Recipe(epochs=8, batch_size=64, learning_rate=10.0))
    list(training)
    assert training.outcome.state == "diverged"
    assert "smaller learning rate" in training.outcome.reason
    with pytest.raises(CheckpointError):
        training.save()


def test_large_models_compute_their_companions_when_asked(person: Problem) -> None:
    workspace = Workspace(person, RunConfig(scope="all"))
    initial = workspace.companion("initial")
    assert same_bits(initial, networks.build("reid_resnet18", person.dataset, 0).state_dict())
    statistics = workspace.companion("statistics")
    assert statistics["count"].tolist() == [16] * 12
    assert same_bits(statistics, workspace.companion("statistics"))  # from the disk the second time


@pytest.mark.parametrize("name", ["fashion", "market:/data/x", "market:../../../etc", "market:" + "a" * 300, "a/b", ".."])
def test_a_dataset_name_never_leaves_its_folder(name: str) -> None:
    place = checkpoints.place(name)
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,60}", place)
    assert (place == name) == (name == "fashion")
    assert checkpoints.place(name + "x") != place
