"""CIFAR without a network: staged files, superclasses, networks for 32 x 32 colour; and the real images where they are here."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import math
import os
import pickle
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import same_bits
from streamlit.testing.v1 import AppTest
from torch import nn
from torch.nn import functional as F
from web import answer, answering

from imu_core import data, models, runtime
from imu_core.data import cifar
from imu_core.errors import ConfigError, DataError
from imu_core.evaluation import saliency
from imu_core.methods.workspace import Workspace
from imu_core.models import checkpoints, networks
from imu_core.models.architectures.airbench import Whitening
from imu_core.models.head import blocks, find_head, trainable
from imu_core.models.inference import to_input
from imu_core.models.networks import fresh
from imu_core.problems import features, forget
from imu_core.problems.problem import NOTHING
from imu_core.problems.problem import problem as make_problem
from imu_core.records.data import Dataset, ImageSet
from imu_core.records.run import RunConfig
from imu_core.training.loop import Training, _mirrored, one_cycle, parameter_groups, shifted
from imu_core.training.recipes import Recipe, recipe_for
from imu_core.unlearning.run import unlearn

APP = Path(__file__).resolve().parents[2] / "app.py"
NETWORKS = ("airbench", "resnet20", "resnet18", "vgg19", "lenet5")
FINE = tuple(sorted(name for group in cifar.SUPERCLASSES.values() for name in group))
real10 = pytest.mark.skipif(not cifar.cifar10_is_here(), reason="CIFAR-10 is not in IMU_DATA")
real100 = pytest.mark.skipif(not cifar.cifar100_is_here(), reason="CIFAR-100 is not in IMU_DATA")


# ---------------------------------------------------------------------------------------------------------------- staging


def rows(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, 3072), dtype=np.uint8)


def stage10(folder: Path) -> None:
    """Five batches of 20 training images and one of 20 test images, as the published files hold them."""
    folder.mkdir(parents=True)
    for number, name in enumerate([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]):
        content = {"data": rows(20, number), "labels": [i % 10 for i in range(20)]}
        (folder / name).write_bytes(pickle.dumps(content))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": list(cifar.CLASS_NAMES)}))


def stage100(folder: Path) -> None:
    """Four training images and one test image of each of the hundred classes."""
    folder.mkdir(parents=True)
    for name, each in (("train", 4), ("test", 1)):
        content = {"data": rows(100 * each, each), "fine_labels": [i % 100 for i in range(100 * each)]}
        (folder / name).write_bytes(pickle.dumps(content))
    (folder / "meta").write_bytes(pickle.dumps({"fine_label_names": list(FINE)}))


@pytest.fixture
def staged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with both small sets in it, and a torchvision that takes their MD5s for the published ones."""
    monkeypatch.setenv("IMU_DATA", str(tmp_path / "data"))
    for kind, stage in (("CIFAR10", stage10), ("CIFAR100", stage100)):
        published, folder = cifar._torchvision(kind), tmp_path / "data" / cifar._FILES[kind][0]
        stage(folder)

        def known(names: list[str], folder: Path = folder) -> list[list[str]]:
            return [[name, hashlib.md5((folder / name).read_bytes()).hexdigest()] for name in names]

        monkeypatch.setattr(published, "train_list", known([name for name, _ in published.train_list]))
        monkeypatch.setattr(published, "test_list", known([name for name, _ in published.test_list]))
        meta = published.meta["filename"]
        monkeypatch.setattr(published, "meta", {**published.meta, "md5": known([meta])[0][1]})
    return tmp_path / "data"


def packed(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        archive.add(folder, arcname=folder.name)
    return buffer.getvalue()


def serve(monkeypatch: pytest.MonkeyPatch, content: bytes, md5: str | None = None) -> None:
    monkeypatch.setattr(cifar._torchvision("CIFAR10"), "tgz_md5", md5 or hashlib.md5(content).hexdigest())
    answering(monkeypatch, lambda url: answer(content))


@pytest.fixture
def coloured() -> Dataset:
    """160 training and 60 test images of ten plainly coloured classes, 32 x 32, as a data set of its own."""
    generator = torch.Generator().manual_seed(0)

    def part(n: int) -> ImageSet:
        labels = torch.arange(n) % 10
        shade = torch.stack([labels * 25, 250 - labels * 25, (labels * 77) % 250], 1).view(-1, 3, 1, 1).float()
        noise = 60 * torch.randn(n, 3, 32, 32, generator=generator)
        return ImageSet((shade + noise).clamp(0, 255).to(torch.uint8), labels)

    return Dataset("coloured", "Coloured", part(160), part(60), tuple("abcdefghij"), (0.5,) * 3, (0.25,) * 3)


# ---------------------------------------------------------------------------------------------------------------- the files


def test_the_staged_images_are_read_plane_by_plane(staged: Path) -> None:
    found = data.source("cifar10").load()
    assert found.train.images.shape == (100, 3, 32, 32)
    assert found.train.images.is_contiguous()
    assert (found.train.images.dtype, found.train.labels.dtype) == (torch.uint8, torch.int64)
    assert np.array_equal(found.train.images[20:40].flatten(1).numpy(), rows(20, 1))
    assert np.array_equal(found.test.images.flatten(1).numpy(), rows(20, 5))
    assert found.class_names == cifar.CLASS_NAMES == data.class_names("cifar10")


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "cifar20"])
def test_images_that_are_not_here_say_what_to_do(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMU_DATA", str(tmp_path))
    assert not data.is_here(name)
    with pytest.raises(DataError, match="Download it on the page") as caught:
        data.source(name).load()
    assert str(tmp_path) in str(caught.value)
    assert "'fashion'" in str(caught.value)


def test_one_missing_file_is_a_missing_set(staged: Path) -> None:
    assert data.is_here("cifar10")
    (staged / "cifar-10-batches-py" / "data_batch_3").unlink()
    assert not data.is_here("cifar10")
    assert data.is_here("cifar20")


def test_a_file_with_another_md5_is_never_unpickled(staged: Path, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple:
            return (open, (str(tmp_path / "bang"), "w"))

    (staged / "cifar-10-batches-py" / "data_batch_2").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(DataError, match="damaged"):
        data.source("cifar10").load()
    assert not (tmp_path / "bang").exists()


def test_a_download_is_unpacked_whole_and_reports_its_progress(staged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = staged / "cifar-10-batches-py"
    serve(monkeypatch, packed(folder))
    for path in folder.iterdir():
        path.unlink()
    progress = [fraction for fraction, _ in data.download("cifar10")]
    assert progress == sorted(progress)
    assert progress[-1] == 1.0
    assert len(data.source("cifar10").load().train) == 100
    assert sorted(path.name for path in staged.iterdir()) == ["cifar-10-batches-py", "cifar-100-python"]  # no archive is left


def test_an_archive_that_climbs_out_is_refused(staged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo("../../escaped"))
    serve(monkeypatch, buffer.getvalue())
    with pytest.raises(DataError, match="cannot be unpacked"):
        list(data.download("cifar10"))
    assert not list(tmp_path.rglob("escaped"))
    assert not list(staged.glob("unpacking-*"))


@pytest.mark.parametrize(("content", "md5", "said"), [(b"<html>", "0" * 32, "arrived damaged"), (b"no tar", None, "unpacked")])
def test_a_wrong_archive_gives_a_sentence(
    content: bytes, md5: str | None, said: str, staged: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(monkeypatch, content, md5)
    with pytest.raises(DataError, match=said):
        list(data.download("cifar10"))
    assert data.is_here("cifar10")  # what was there before stays


@real10
def test_cifar10_is_the_published_one() -> None:
    found = data.load("cifar10")
    assert found.hash == "9048fcbac9c08a64"  # every stored model is tied to it
    assert (len(found.train), len(found.test)) == (50_000, 10_000)
    assert found.class_names == cifar.CLASS_NAMES
    assert found.train.labels.bincount().tolist() == [5000] * 10
    pixels = found.train.images[::10].float() / 255
    assert torch.allclose(pixels.mean((0, 2, 3)), torch.tensor(found.mean), atol=0.01)
    assert torch.allclose(pixels.transpose(0, 1).flatten(1).std(1), torch.tensor(found.std), atol=0.01)


@real100
def test_the_superclasses_are_those_of_the_published_files() -> None:
    folder = runtime.data_folder() / "cifar-100-python"
    names, test = (pickle.loads((folder / name).read_bytes(), encoding="latin1") for name in ("meta", "test"))
    for fine, coarse in set(zip(test["fine_labels"], test["coarse_labels"], strict=True)):
        assert names["fine_label_names"][fine] in cifar.SUPERCLASSES[names["coarse_label_names"][coarse]]
    assert data.class_names("cifar100") == tuple(names["fine_label_names"])
    assert data.class_names("cifar20") == tuple(names["coarse_label_names"])
    twenty, hundred = data.load("cifar20"), data.load("cifar100")
    assert twenty.test.labels.tolist() == test["coarse_labels"]
    assert hundred.test.labels.tolist() == test["fine_labels"]
    assert twenty.hash != hundred.hash


# ---------------------------------------------------------------------------------------------------------------- subclasses


def test_there_are_twenty_superclasses_of_five() -> None:
    assert len(cifar.SUPERCLASSES) == 20
    assert {len(group) for group in cifar.SUPERCLASSES.values()} == {5}
    assert len(set(FINE)) == 100


def test_a_subclass_of_cifar100_is_a_class(staged: Path) -> None:
    found = data.source("cifar100").load()
    asked = forget.split("subclass: People/BOY", found, None)
    assert asked.request == "subclass:people/boy"
    assert torch.equal(asked.forget, forget.split("class:boy", found, None).forget)
    assert asked.classes == (FINE.index("boy"),)


def test_a_subclass_of_cifar20_is_a_part_of_its_class(staged: Path) -> None:
    fine, found = data.source("cifar100").load(), data.source("cifar20").load()
    asked = forget.split("subclass:trees/oak_tree+people/boy", found, None)
    assert asked.request == "subclass:people/boy+trees/oak_tree"
    assert {FINE[label] for label in fine.train.labels[asked.forget].tolist()} == {"boy", "oak_tree"}
    assert len(asked.forget) == 8
    assert asked.classes == ()  # girls are still people
    assert {found.class_names[label] for label in found.train.labels[asked.forget].tolist()} == {"people", "trees"}
    whole = forget.split(
        "+".join(["subclass:people/baby", *(f"people/{n}" for n in ("boy", "girl", "man", "woman"))]), found, None
    )
    assert whole.classes == (found.class_names.index("people"),)


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ("subclass:boy", "SUPERCLASS/SUBCLASS"),
        ("subclass:people", "The superclasses of CIFAR-100: aquatic_mammals, fish"),
        ("subclass:plants/oak", "vehicles_2"),
        ("subclass:people/dog", "baby, boy, girl, man, woman"),
        ("subclass:people/boy+", "is not understood"),
        ("subclass:/", "is not understood"),
        ("subclass:" + "x" * 500 + "/boy", "…"),
    ],
)
def test_wrong_subclasses_list_what_there_is(request_: str, said: str, staged: Path) -> None:
    with pytest.raises(DataError) as caught:
        forget.split(request_, data.source("cifar100").load(), None)
    assert said in str(caught.value)
    assert len(str(caught.value)) < 700


def test_a_set_without_superclasses_says_which_have_them(tiny: Dataset) -> None:
    with pytest.raises(DataError, match="cifar100 or cifar20"):
        forget.split("subclass:people/boy", tiny, None)


@pytest.mark.parametrize("name", ["cifar100", "cifar20"])
def test_every_suggested_part_is_understood(name: str, staged: Path) -> None:
    found = data.source(name).load()
    assert len(data.part_requests(name)) == 100
    for text in data.part_requests(name)[::9]:
        assert forget.split(text, found, None).request == text
    assert data.part_requests("fashion") == data.part_requests("nothing") == ()


# ---------------------------------------------------------------------------------------------------------------- networks


@pytest.mark.parametrize(
    ("name", "parameters", "width", "count"),
    [
        ("airbench", 1_159_458, 192, 5),
        ("resnet20", 269_722, 64, 11),
        ("resnet18", 11_173_962, 512, 10),
        ("vgg19", 20_035_018, 512, 17),
        ("lenet5", 83_126, 84, 5),
    ],
)
def test_networks_have_the_size_the_papers_say(name: str, parameters: int, width: int, count: int, coloured: Dataset) -> None:
    model = networks.build(name, coloured)
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert find_head(model).in_features == width
    assert len(blocks(model)) == count
    opened = [sum(p.numel() for p in trainable(model, scope)) for scope in ("head", "last:1", "last:2", "all")]
    assert opened == sorted(set(opened)), "each wider scope opens more"
    assert opened[-1] == parameters
    with torch.no_grad():
        assert model.eval()(to_input(coloured.test.images[:3])).shape == (3, 10)


@pytest.mark.parametrize("name", NETWORKS[:4])
def test_stored_networks_keep_their_memory_format(name: str, coloured: Dataset, tmp_path: Path) -> None:
    """Channels last is what makes them fast; filling from a file must not undo it, nor change a bit."""
    model = networks.build(name, coloured)
    checkpoints.save(tmp_path / "m.safetensors", model.state_dict())
    other = networks.build(name, coloured, seed=1)
    checkpoints.fill(other, checkpoints.read_tensors(tmp_path / "m.safetensors"))
    assert same_bits(other.state_dict(), model.state_dict())
    wide = [m.weight for m in other.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
    assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in wide)


def test_whitening_leaves_uncorrelated_directions(coloured: Dataset) -> None:
    layer, x = Whitening(3), to_input(coloured.train.images) - 0.5
    layer.fit(x)
    with torch.no_grad():
        out = layer(x).transpose(0, 1).flatten(1).double()
    second = out @ out.T / out.shape[1]
    assert torch.allclose(second[:12, :12], torch.eye(12, dtype=torch.float64), atol=0.05)
    assert torch.allclose(out[:12], -out[12:], atol=1e-5)


def test_whitening_is_no_parameter(coloured: Dataset) -> None:
    model = networks.build("airbench", coloured)
    assert "stem.weight" in model.state_dict()
    assert "stem.weight" not in dict(model.named_parameters())
    assert not any(name.endswith("norm1.weight") for name in model.state_dict())


def test_batch_norm_without_a_factor_equals_the_formula(coloured: Dataset) -> None:
    norm = networks.build("airbench", coloured).groups[0].norm1
    x = torch.randn(40, 64, 5, 5, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        norm.bias.copy_(torch.arange(64.0))
        expected = (x - x.mean((0, 2, 3), keepdim=True)) / (x.var((0, 2, 3), correction=0, keepdim=True) + norm.eps).sqrt()
        assert torch.allclose(norm(x), expected + torch.arange(64.0).view(1, -1, 1, 1), atol=1e-4)


def test_a_convolution_starts_as_the_identity(coloured: Dataset) -> None:
    conv = networks.build("airbench", coloured).groups[1].conv1
    x = torch.randn(2, 64, 6, 6)
    with torch.no_grad():
        assert torch.equal(conv(x)[:, :64], x)


def test_the_shortcut_without_parameters_takes_every_second_pixel(coloured: Dataset) -> None:
    shortcut = networks.build("resnet20", coloured).row2[0].shortcut
    x = torch.randn(2, 16, 8, 8)
    assert torch.equal(shortcut(x)[:, :16], x[:, :, ::2, ::2])
    assert not shortcut(x)[:, 16:].any()


# ---------------------------------------------------------------------------------------------------------------- training


FAST = dataclasses.replace(recipe_for("airbench"), epochs=2, batch_size=16, learning_rate=0.05)


def trained(dataset: Dataset, recipe: Recipe = FAST, model: str = "airbench") -> Training:
    made = Training(dataset, model, recipe=recipe)
    list(made)
    assert made.outcome.state == "done"
    return made


def test_the_fast_recipe_learns_and_resumes_to_the_same_bits(
    coloured: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMU_HOME", str(tmp_path / "straight"))
    straight = trained(coloured, model="small_resnet")
    assert straight.accuracies["test"] > 0.5
    monkeypatch.setenv("IMU_HOME", str(tmp_path / "stopped"))
    stopped = Training(coloured, "small_resnet", recipe=FAST)
    for _ in stopped:
        stopped.cancel()
    assert stopped.epoch == 1
    assert same_bits(trained(coloured, model="small_resnet").model.state_dict(), straight.model.state_dict())


@pytest.mark.slow(reason="whole trainings or runs, several times over")
def test_lookahead_equals_a_plain_loop(coloured: Dataset, fresh_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fast weights between two meetings come from the same steps; the meetings are done by hand here."""
    recipe = dataclasses.replace(FAST, batch_size=40, learning_rate=0.01, precision="float32")
    made, by_hand = Training(coloured, "airbench", recipe=recipe), {}
    monkeypatch.setattr("imu_core.training.loop._LOOK_AHEAD", 80)
    made._steps = 20  # as if the training were longer: every second of its first 8 steps, and no last one
    step, count = Training._one_step, [0]

    def followed(self: Training, *batch: torch.Tensor) -> float:
        state = {name: t for name, t in self.model.state_dict().items() if t.is_floating_point()}
        if count[0] == 0:
            by_hand.update({name: t.double() for name, t in state.items()})
        for name, t in state.items():
            if count[0] and count[0] % 2 == 0:
                assert torch.allclose(t.double(), by_hand[name], atol=1e-5), (count, name)
        loss = step(self, *batch)
        count[0] += 1
        if count[0] % 2 == 0:
            kept = 0.95**5 * (count[0] / 20) ** 3
            for name, t in state.items():
                by_hand[name] = kept * by_hand[name] + (1 - kept) * t.double()
        return loss

    monkeypatch.setattr(Training, "_one_step", followed)
    list(made)
    assert count == [8]
    for name, t in by_hand.items():
        assert torch.allclose(made.model.state_dict()[name].double(), t, atol=1e-5), name


def test_alternating_flips_turn_round_every_other_epoch(coloured: Dataset, fresh_home: Path) -> None:
    made, order = Training(coloured, "airbench", recipe=FAST), torch.randperm(160)
    seen = []
    for made.epoch in range(4):
        seen.append(torch.empty(160, dtype=torch.bool))
        seen[-1][order] = made._flips(order)
        order = torch.randperm(160)
    assert torch.equal(seen[0], seen[2])
    assert torch.equal(seen[1], ~seen[0])
    assert torch.equal(seen[3], ~seen[0])
    assert 50 < int(seen[0].sum()) < 110


def test_the_same_image_is_flipped_alike_whatever_else_is_removed(coloured: Dataset, fresh_home: Path) -> None:
    order = torch.tensor([7, 150, 12])
    one, other = (Training(coloured, "airbench", removed=gone, recipe=FAST) for gone in (None, torch.arange(0, 160, 10)))
    assert torch.equal(one._flips(order), other._flips(order))


@pytest.mark.parametrize("edge", ["zeros", "reflect"])
def test_a_shift_equals_cutting_out_of_the_padded_image(edge: str) -> None:
    images = torch.randint(0, 256, (9, 3, 16, 8), dtype=torch.uint8)
    moved = shifted(images, 0.25, torch.Generator().manual_seed(3), edge)
    again = torch.Generator().manual_seed(3)
    down, right = (torch.randint(2 * far + 1, (9,), generator=again).tolist() for far in (4, 2))
    padded = F.pad(images.float(), (2, 2, 4, 4), mode="constant" if edge == "zeros" else edge)
    for one, whole, y, x in zip(moved, padded, down, right, strict=True):
        assert torch.equal(one.float(), whole[:, y : y + 16, x : x + 8])


def test_places_outside_are_mirrored_at_the_outermost_pixel() -> None:
    assert _mirrored(torch.arange(-2, 6), 4).tolist() == [2, 1, 0, 1, 2, 3, 2, 1]


def test_groups_change_the_rate_but_not_the_decay(coloured: Dataset) -> None:
    model, recipe = networks.build("airbench", coloured), recipe_for("airbench")
    groups = parameter_groups(model, recipe)
    rate = {id(p): group["lr"] for group in groups for p in group["params"]}
    named = dict(model.named_parameters())
    assert set(rate) == {id(p) for p in named.values()}
    assert sum(len(group["params"]) for group in groups) == len(named)
    assert rate[id(named["groups.0.norm1.bias"])] == pytest.approx(64 * recipe.learning_rate)
    assert rate[id(named["head.weight"])] == pytest.approx(recipe.learning_rate / 81)
    assert rate[id(named["stem.bias"])] == rate[id(named["groups.2.conv2.weight"])] == recipe.learning_rate
    for group in groups:
        assert group["lr"] * group["weight_decay"] == pytest.approx(recipe.learning_rate * recipe.weight_decay)


def test_a_small_head_learns_like_a_large_one_whose_logits_are_scaled() -> None:
    """What the factor 1/81 of the head's rate stands for: W / 9 with a rate / 81 moves as W with logits / 9 does."""
    generator = torch.Generator().manual_seed(0)
    z, y = torch.randn(30, 5, generator=generator), torch.arange(30) % 4
    start = torch.randn(4, 5, generator=generator)
    large, small = start.clone().requires_grad_(), (start / 9).requires_grad_()
    options = {"momentum": 0.85, "nesterov": True}
    one = torch.optim.SGD([large], 0.5, weight_decay=0.01, **options)
    other = torch.optim.SGD([small], 0.5 / 81, weight_decay=0.01 * 81, **options)
    for _ in range(20):
        for optimizer, logits in ((one, z @ large.T / 9), (other, z @ small.T)):
            optimizer.zero_grad()
            F.cross_entropy(logits, y).backward()
            optimizer.step()
    assert torch.allclose(large / 9, small, atol=1e-6)


def test_the_linear_cycle_rises_for_a_fifth_and_falls_in_a_straight_line() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], 2.0)
    schedule, seen = one_cycle(optimizer, 100, "linear"), []
    for _ in range(100):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert seen[0] == pytest.approx(0.4)
    assert max(seen) == seen[20] == pytest.approx(2.0)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.14)
    assert np.allclose(np.diff(seen[:21]), 0.08)
    assert np.allclose(np.diff(seen[20:]), -1.86 / 80)


def test_what_a_network_looks_at_before_training_never_holds_removed_samples(coloured: Dataset, fresh_home: Path) -> None:
    removed = (coloured.train.labels == 3).nonzero()[:, 0]
    images = coloured.train.images.clone()
    images[removed] = 255 - images[removed]
    poisoned = dataclasses.replace(coloured, train=ImageSet(images, coloured.train.labels))
    clean, other = (Training(dataset, "airbench", removed, recipe=FAST) for dataset in (coloured, poisoned))
    assert same_bits(clean.initial, other.initial)
    assert not same_bits(Training(poisoned, "airbench", recipe=FAST).initial, fresh("airbench", coloured).state_dict())


def test_initial_weights_that_are_not_stored_are_made_as_training_made_them(
    coloured: Dataset, fresh_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(data.DATASETS, "coloured", data.Source("Coloured", lambda: coloured))
    made = trained(coloured, dataclasses.replace(FAST, epochs=1, batch_size=40))
    saved = made.save()
    assert not saved.has("initial")  # more than a million parameters
    data.load.cache_clear()
    workspace = Workspace(make_problem("coloured", model="airbench", forget="class:d"), RunConfig(scope="all"))
    assert same_bits(workspace.companion("initial"), made.initial)


@pytest.mark.parametrize("wrong", [{"flips": "never"}, {"edge": "wrap"}, {"decay": "step"}, {"lookahead": 1}])
def test_new_settings_of_a_recipe_have_bounds(wrong: dict) -> None:
    ((name, value),) = wrong.items()
    with pytest.raises(ConfigError, match=name) as caught:
        Recipe(**wrong)
    assert repr(value) in str(caught.value)


def test_the_device_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IMU_DEVICE", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert runtime.device().type == "cuda"
    monkeypatch.setenv("IMU_DEVICE", "cpu")
    assert runtime.device().type == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for wrong in ("cuda", "tpu"):
        monkeypatch.setenv("IMU_DEVICE", wrong)
        with pytest.raises(ConfigError, match=wrong):
            runtime.device()


@pytest.mark.slow(reason="a new interpreter")
def test_fewer_threads_can_be_asked_for_from_outside() -> None:
    code = "from imu_core import runtime; import torch; print(runtime.limit_threads(), torch.get_num_threads())"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(APP.parent)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.split() == ["1", "1"]


@pytest.fixture
def known(coloured: Dataset, fresh_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Dataset]:
    """The coloured set by name, with untrained originals of two networks on disk."""
    monkeypatch.setitem(data.DATASETS, "coloured", data.Source("Coloured", lambda: coloured))
    data.load.cache_clear()
    for name in ("airbench", "resnet20"):
        card = {"model": name, "data_hash": coloured.hash, "removed_hash": "none", "seed": 0}
        path = fresh_home / "models" / "coloured" / name / "original.safetensors"
        checkpoints.save(path, fresh(name, coloured).state_dict(), card)
    yield coloured
    data.load.cache_clear()


@pytest.mark.slow(reason="large networks")
@pytest.mark.parametrize("model", ["airbench", "resnet20"])
def test_new_networks_unlearn_at_every_scope_and_are_looked_into(model: str, known: Dataset) -> None:
    asked = make_problem("coloured", model=model, forget="class:d")
    before = {name: t.clone() for name, t in asked.model.state_dict().items()}
    changed = []
    for scope in ("head", "last:1", "all"):
        run = unlearn(asked, RunConfig(method="imu", scope=scope, epochs=1, batch_size=16, learning_rate=0.05))
        assert [point.full for point in run][-1]
        assert run.outcome.state in ("done", "diverged"), run.outcome
        after = run.model().state_dict()
        changed.append({name for name in before if not torch.equal(before[name], after[name])})
    assert changed[0] <= {"head.weight", "head.bias"}
    assert changed[0] < changed[1] < changed[2]
    assert not any(name.endswith(("running_mean", "running_var")) or name == "stem.weight" for name in changed[2])
    assert same_bits(asked.model.state_dict(), before)
    layers = saliency.layers(asked.model, known.test.images[:1])
    assert len(layers) == len(blocks(asked.model)) - 1
    maps = saliency.heat(asked.model, known.test.images[:4], known.test.labels[:4])
    assert maps.shape == (4, 32, 32)
    assert np.isfinite(maps).all()


# ---------------------------------------------------------------------------------------------------------------- what ships


@real10
@pytest.mark.parametrize(("model", "least"), [("airbench", 0.93), ("resnet20", 0.91)])
def test_shipped_models_reach_what_their_cards_say(model: str, least: float) -> None:
    """Test accuracy measured again on every fifth image, without averaging over flips."""
    dataset = data.load("cifar10")
    found = checkpoints.find(dataset, model, NOTHING)
    if found is None:
        pytest.skip(f"assets/models/cifar10/{model} is not there")
    assert found.card["accuracies"]["test"] >= least
    network, some = networks.load_model(found, dataset), slice(None, None, 5)
    _, logits = features.compute(network, dataset.test.images[some])
    hit = float((logits.argmax(1) == dataset.test.labels[some]).double().mean())
    spread = math.sqrt(least * (1 - least) / len(logits))
    assert hit == pytest.approx(found.card["accuracies"]["test"], abs=4 * spread)


SHIPPED = sorted((runtime.ASSETS / "models").glob("cifar*/*/retrained-*.json"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_references_never_saw_what_they_are_without(path: Path) -> None:
    """A class it never saw is never named; a random draw is like new images; of beavers some are taken for otters' kin."""
    card = checkpoints.at(path.with_suffix(".safetensors")).card
    original = checkpoints.at(path.with_name("original.safetensors")).card
    kind, known = card["request"].partition(":")[0], card["accuracies"]
    removed, least, most = {
        "class": (5000, 0.0, 0.0),
        "random": (5000, known["test"] - 0.02, known["test"] + 0.02),
        "subclass": (500, 0.0, known["test"] - 0.2),
    }[kind]
    assert card["removed"] == removed
    assert least <= known["forget"] <= most
    assert Recipe(**card["recipe"]) == Recipe(**original["recipe"])
    assert card["data_hash"] == original["data_hash"]


def test_references_ship_for_every_class_three_draws_and_a_part_of_a_superclass() -> None:
    kinds = [checkpoints.at(path.with_suffix(".safetensors")).card["request"].partition(":")[0] for path in SHIPPED]
    assert sorted(kinds) == ["class"] * 10 + ["random"] * 3 + ["subclass"]


def test_everything_that_ships_is_small() -> None:
    assert sum(path.stat().st_size for path in runtime.ASSETS.rglob("*") if path.is_file()) < 80_000_000


# ---------------------------------------------------------------------------------------------------------------- features


def test_features_on_disk_are_mapped_and_not_copied(coloured: Dataset, fresh_home: Path) -> None:
    model = networks.build("airbench", coloured).eval().requires_grad_(False)
    first = features.features(model, coloured.train, "key")
    again = features.features(model, coloured.train, "key")
    assert torch.equal(first.Z, again.Z)
    (path,) = (fresh_home / "features").iterdir()
    maps = Path("/proc/self/maps")
    if maps.exists():
        assert str(path) in maps.read_text()


# ---------------------------------------------------------------------------------------------------------------- the page


def test_choosing_cifar10_without_its_files_offers_the_download(fresh_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMU_DATA", str(fresh_home / "nothing"))
    data.load.cache_clear()  # another test may have loaded the real images
    app = AppTest.from_file(str(APP), default_timeout=120)
    app.query_params.update(dataset="cifar10", model="airbench", forget="class:bird")
    app.switch_page("pages/influence.py").run()
    assert not app.exception
    assert [box.options for box in app.selectbox if box.label == "Model"] == [list(models.FOR_COLOUR)]
    assert any("Download it on the page" in warning.value for warning in app.warning)
    assert "Download cifar10" in [button.label for button in app.button]
