"""Maps: equal to ReLU(CAM) where theory says so, on one scale, and nothing is left behind in a model."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from conftest import same_bits
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from torch import nn

import imu_core
from imu_core.errors import ConfigError
from imu_core.evaluation import saliency
from imu_core.metrics.intervals import mean_interval
from imu_core.records.run import Problem, RunConfig


class Pooled(nn.Module):
    """Convolutions, global average pooling, a linear layer: where Grad-CAM has a closed form."""

    def __init__(self, channels: int = 5, classes: int = 4) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.early = nn.Sequential(nn.Conv2d(3, channels, 3, padding=1), nn.Tanh())
        self.late = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.Tanh())
        self.head = nn.Linear(channels, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.late(self.early(x)).mean((2, 3)))


def images(n: int = 6, size: int = 8) -> torch.Tensor:
    return torch.randint(0, 256, (n, 3, size, size), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)


@pytest.mark.parametrize("method", ["gradcam", "hirescam", "xgradcam"])
def test_grad_cam_is_the_class_activation_map(method: str) -> None:
    model, x, targets = Pooled(), images(), torch.tensor([0, 1, 2, 3, 0, 1])
    found = saliency.heat(model, x, targets, method=method)
    with torch.no_grad():
        activations = model.late(model.early(x.float() / 255))
        cam = torch.einsum("nk,nkhw->nhw", model.head.weight[targets], activations)
    expected = cam.clamp(min=0) / activations[0, 0].numel()
    assert found == pytest.approx(expected.numpy(), abs=1e-5)


def test_the_map_carries_the_logit() -> None:
    model, x = Pooled(), images()
    model.head.weight.data.abs_()
    model.late[1] = nn.Sigmoid()  # everything positive: nothing is cut off
    with torch.no_grad():
        logits = model(x.float() / 255)[:, 2] - model.head.bias[2]
    assert saliency.heat(model, x, [2] * 6).sum((1, 2)) == pytest.approx(logits.numpy(), rel=1e-4)


@pytest.mark.parametrize("method", saliency.CAMS)
def test_every_map_has_the_size_of_its_image_and_no_negative_heat(person: Problem, method: str) -> None:
    x, y = person.dataset.train.images[:5], person.dataset.train.labels[:5]
    found = saliency.heat(person.model, x, y, method=method)
    assert found.shape == (5, 128, 64)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    assert (found >= 0).all()
    assert (found > 0).any()


def test_chunks_do_not_matter(person: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = person.dataset.train.images[:7], person.dataset.train.labels[:7]
    whole = saliency.heat(person.model, x, y)
    monkeypatch.setattr(saliency, "CHUNK", 3)
    assert saliency.heat(person.model, x, y) == pytest.approx(whole, abs=1e-5)


def test_image_classifiers_have_maps_too(lenet: Problem, resnet: Problem) -> None:
    for problem in (lenet, resnet):
        x, y = problem.dataset.train.images[:3], problem.dataset.train.labels[:3]
        assert saliency.heat(problem.model, x, y).shape == (3, 28, 28)
        for layer in saliency.layers(problem.model, x):
            assert saliency.heat(problem.model, x, y, layer=layer).shape == (3, 28, 28)


def hooks(model: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) for m in model.modules())


def test_a_model_comes_back_unchanged_and_without_hooks(person: Problem) -> None:
    model, before = person.model, copy.deepcopy(person.model.state_dict())
    modes = [module.training for module in model.modules()]
    saliency.heat(model, person.dataset.train.images[:2], person.dataset.train.labels[:2])
    assert same_bits(before, model.state_dict())
    assert hooks(model) == 0
    assert modes == [module.training for module in model.modules()]
    assert not any(p.requires_grad or p.grad is not None for p in model.parameters())


def test_hooks_are_gone_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    model, copies = Pooled(), []
    real = copy.deepcopy
    monkeypatch.setattr(saliency.copy, "deepcopy", lambda m: copies.append(real(m)) or copies[-1])
    with pytest.raises(RuntimeError):
        saliency.heat(model, images(2), torch.tensor([0, 99]))  # no such class
    assert hooks(model) == 0
    assert hooks(copies[-1]) == 0


def test_a_training_model_is_asked_in_eval_mode(resnet: Problem) -> None:
    model = copy.deepcopy(resnet.model).train()
    x, y = resnet.dataset.train.images[:4], resnet.dataset.train.labels[:4]
    assert saliency.heat(model, x, y) == pytest.approx(saliency.heat(resnet.model, x, y))
    assert model.training


@pytest.mark.parametrize(("wrong", "said"), [({"method": "magic"}, "Known maps"), ({"layer": "attic"}, "Its layers")])
def test_unknown_maps_and_layers_get_a_sentence(lenet: Problem, wrong: dict, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        saliency.heat(lenet.model, lenet.dataset.train.images[:1], [0], **wrong)


MAPS = hnp.arrays(np.float64, (3, 4, 5), elements=st.floats(0, 10))


@given(MAPS, MAPS)
def test_two_maps_share_one_scale(one: np.ndarray, other: np.ndarray) -> None:
    a, b = saliency.together(one, other)
    for i in range(3):
        largest = max(one[i].max(), other[i].max())
        assert max(a[i].max(), b[i].max()) == pytest.approx(1.0 if largest > 0 else 0.0)
        assert a[i] * (largest or 1) == pytest.approx(one[i])
        assert b[i] * (largest or 1) == pytest.approx(other[i])


@given(MAPS, hnp.arrays(bool, (3, 4, 5)))
def test_shares_are_those_of_an_explicit_loop(maps: np.ndarray, mask: np.ndarray) -> None:
    for found, heat, inside in zip(saliency.share_on(maps, mask), maps, mask, strict=True):
        total = sum(heat.flatten())
        expected = sum(h for h, m in zip(heat.flatten(), inside.flatten(), strict=True) if m) / total if total else math.nan
        assert found == pytest.approx(expected, nan_ok=True)


def test_empty_maps_are_counted_and_left_out() -> None:
    maps = np.ones((4, 2, 2), np.float32)
    maps[1] = 0
    mask = np.zeros((4, 2, 2), bool)
    mask[:, 0] = True
    looked = saliency.Looked(images(4, 2), torch.zeros(4), ("",) * 4, maps, np.ones((4, 2, 2), np.float32), mask)
    before, after, change, area = looked.on_cues()
    assert looked.empty() == (1, 0)
    assert (before.n, after.n, change.n, area) == (3, 3, 3, 0.5)
    assert (before.mean, change.mean) == (0.5, 0.0)
    assert not change.seen


def test_the_interval_is_the_t_interval() -> None:
    values = np.array([0.1, 0.4, 0.35, np.nan, 0.8])
    found, kept = mean_interval(values), values[~np.isnan(values)]
    low, high = stats.t.interval(0.95, 3, kept.mean(), stats.sem(kept))
    assert (found.mean - found.half, found.mean + found.half) == pytest.approx((low, high))
    assert found.n == 4
    assert math.isnan(mean_interval([1.0]).half)
    assert math.isnan(mean_interval([]).mean)
    assert mean_interval([1.0, 1.1, 0.9]).seen
    assert not mean_interval([-1.0, 1.1, 0.1]).seen


def test_an_untouched_model_looks_where_it_looked(person: Problem) -> None:
    found = saliency.look(person, person.model, "forgotten")
    assert (found.before == found.after).all()
    before, after, change, _ = found.on_cues()
    assert before == after
    assert (change.mean, change.half) == (0.0, 0.0)


@pytest.mark.parametrize("group", saliency.GROUPS)
def test_groups_show_whom_they_say(person: Problem, group: str) -> None:
    train, test = saliency.chosen(person, group, 24)
    shown = [*person.train.labels[train].tolist(), *person.test.labels[test].tolist()]
    assert len(shown) == 24
    assert all((label == 4) == (group == "forgotten") for label in shown)
    assert len(set(train)) == len(train)
    looked = saliency.look(person, person.model, group)
    assert looked.targets.tolist() == shown
    assert looked.masks.shape == looked.before.shape
    parts = torch.cat([person.dataset.people.train.parts[train], person.dataset.people.test.parts[test]])
    assert looked.masks.mean() == pytest.approx(float(torch.isin(parts, torch.tensor([2, 3, 4, 5, 6, 7])).float().mean()))


def test_classes_have_no_cues(resnet: Problem) -> None:
    run = imu_core.unlearn(resnet, RunConfig(epochs=1, batch_size=16))
    list(run)
    looked = saliency.look(resnet, run.model(), "forgotten")
    assert looked.masks is None
    assert looked.on_cues() is None
    assert len(looked.images) == len(looked.labels) == 24
