"""Where a model looks: class activation maps through the grad-cam library, kept on the scale of the logit.

The library divides every map by its own maximum, so that two maps can never be compared. Here its methods are asked for the
map before that step: for Grad-CAM at the layer below a global average pooling and a linear head, the map then sums to the
part of the logit that this layer carries.
"""

from __future__ import annotations

import copy
import importlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from imu_core import runtime
from imu_core.data.people import cue_mask
from imu_core.errors import ConfigError
from imu_core.evaluation import layout
from imu_core.metrics.intervals import Mean, mean_interval
from imu_core.models.head import blocks
from imu_core.models.inference import to_input
from imu_core.progress import Task
from imu_core.records.data import Dataset
from imu_core.records.run import Problem

CHUNK = 32


@dataclass(frozen=True)
class Method:
    """A kind of map: its title, its module and class in the grad-cam library, and the paper that it is from."""

    title: str
    module: str
    name: str
    source: str


CAMS: dict[str, Method] = {
    "gradcam": Method("Grad-CAM", "grad_cam", "GradCAM", "Selvaraju et al. 2017, arXiv 1610.02391"),
    "gradcam++": Method("Grad-CAM++", "grad_cam_plusplus", "GradCAMPlusPlus", "Chattopadhay et al. 2018, arXiv 1710.11063"),
    "xgradcam": Method("XGrad-CAM", "xgrad_cam", "XGradCAM", "Fu et al. 2020, arXiv 2008.02312"),
    "hirescam": Method("HiResCAM", "hirescam", "HiResCAM", "Draelos and Carin 2020, arXiv 2011.08891"),
    "layercam": Method("LayerCAM", "layer_cam", "LayerCAM", "Jiang et al. 2021, IEEE TIP 30"),
    "elementwise": Method(
        "Element-wise Grad-CAM", "grad_cam_elementwise", "GradCAMElementWise", "grad-cam library, by Gildenblat"
    ),
}


def layers(model: nn.Module, images: Tensor) -> dict[str, tuple[int, int]]:
    """Dotted name → (height, width) of the map, for every block of `model` whose output is an image; the last is the default.

    Channels may come first or last (`layout`); a block whose layout cannot be told is left out. ConfigError where none is left.
    """
    return {name: size for name, (size, _) in _maps_of(model, images).items()}


def _maps_of(model: nn.Module, images: Tensor) -> dict[str, tuple[tuple[int, int], str]]:
    """Dotted name → (size of the map, layout) of every block whose output is an image."""
    names = {module: name for name, module in model.named_modules()}
    outputs = layout.spatial(model, [names[block] for block in blocks(model)], to_input(images[:1]))
    if not outputs:
        raise ConfigError(
            f"{type(model).__name__} has no layer whose output is certainly an image: none has four dimensions, or nothing tells "
            "its channels from its height. Maps are drawn of convolutional networks and of transformers that keep the grid."
        )
    return {name: (shape[2:] if how == layout.FIRST else shape[1:3], how) for name, (shape, how) in outputs.items()}


def heat(
    model: nn.Module, images: Tensor, targets: Tensor | Sequence[int], *, layer: str = "", method: str = "gradcam"
) -> np.ndarray:
    """Maps (n, h, w) float32 ≥ 0, of the size of `images` (n, channels, h, w) uint8, for the logit of each image's target.

    Not scaled: two models' maps of one image can be compared, and divided by one number (`together`). `layer` is a name from
    `layers`, the last of them by default. `model` is copied: it is never hooked and never changes.

    Raises: ConfigError for a method or layer that does not exist.
    """
    if method not in CAMS:
        raise ConfigError(f"There is no map called {method!r}. Known maps: {', '.join(CAMS)}.")
    known = _maps_of(model, images)
    if layer and layer not in known:
        raise ConfigError(f"There is no layer {layer!r} with maps in {type(model).__name__}. Its layers: {', '.join(known)}.")
    layer = layer or list(known)[-1]
    work, how = copy.deepcopy(model).eval().requires_grad_(False), known[layer][1]
    made = _library(CAMS[method])(work, [work.get_submodule(layer)], lambda output: layout.channels_first(output, how))
    targets = torch.as_tensor(targets)
    try:
        parts = zip(images.split(CHUNK), targets.split(CHUNK), strict=True)
        return np.concatenate([_maps(made, *part) for part in parts]).astype(np.float32)
    finally:
        made.activations_and_grads.release()


def _library(method: Method) -> type:
    runtime.import_torchvision()  # the library imports it, and must find the guarded one
    return getattr(importlib.import_module(f"pytorch_grad_cam.{method.module}"), method.name)


@torch.enable_grad()
def _maps(made: Any, images: Tensor, targets: Tensor) -> np.ndarray:
    """Maps of one chunk: forward, the gradient of the sum of the target logits, and the library's rule, unscaled."""
    inputs = to_input(images).requires_grad_(True)  # parameters are frozen: without this nothing has a gradient
    logits = made.activations_and_grads(inputs)
    logits.gather(1, targets[:, None]).sum().backward()
    activations, gradients = (getattr(made.activations_and_grads, name)[0].numpy() for name in ("activations", "gradients"))
    raw = made.get_cam_image(inputs, made.target_layers[0], None, activations, gradients, False)
    small = torch.from_numpy(np.maximum(np.asarray(raw, np.float32), 0))[:, None]
    return F.interpolate(small, images.shape[2:], mode="bilinear", align_corners=False)[:, 0].numpy()


def together(*maps: np.ndarray) -> tuple[np.ndarray, ...]:
    """The given maps (n, h, w) of the same images, each divided by the largest value that any of them has on that image.

    All of them are then in 0 … 1 and on one scale; an image on which all maps are zero stays zero.
    """
    largest = np.max([m.reshape(len(m), -1).max(1) for m in maps], axis=0)
    return tuple(m / np.where(largest > 0, largest, 1)[:, None, None] for m in maps)


def is_empty(maps: np.ndarray) -> np.ndarray:
    """Which of the maps (n, h, w) are zero everywhere, (n,): nothing in that layer speaks for the target."""
    return ~(maps.reshape(len(maps), -1) > 0).any(1)


def share_on(maps: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Share (n,) of each map's heat that falls on `mask` (n, h, w) bool, 0 to 1; nan where the map is zero everywhere."""
    total = maps.reshape(len(maps), -1).sum(1)
    inside = (maps * mask).reshape(len(maps), -1).sum(1)
    return np.divide(inside, total, out=np.full(len(maps), np.nan), where=total > 0)


@dataclass(frozen=True, eq=False)
class Looked:
    """The same images through two models: `images` uint8, `targets`, raw maps `before` and `after`, and cue `masks` if known.

    `labels` say in words what each image shows and whether it was trained on.
    """

    images: Tensor
    targets: Tensor
    labels: tuple[str, ...]
    before: np.ndarray
    after: np.ndarray
    masks: np.ndarray | None = None

    def scaled(self) -> tuple[np.ndarray, np.ndarray]:
        """(before, after) in 0 … 1, each image's two maps divided by their common maximum."""
        return together(self.before, self.after)

    def empty(self) -> tuple[int, int]:
        """How many maps are zero everywhere, before and after."""
        return int(is_empty(self.before).sum()), int(is_empty(self.after).sum())

    def on_cues(self) -> tuple[Mean, Mean, Mean, float] | None:
        """Share of the heat on the identity's cues: before, after, paired change, each with its interval, and the cues' area.

        Only images with heat in both maps count. None where the cues are not known.
        """
        if self.masks is None:
            return None
        shares = np.stack([share_on(maps, self.masks) for maps in (self.before, self.after)])
        shares[:, np.isnan(shares).any(0)] = np.nan
        change = shares[1] - shares[0]
        return mean_interval(shares[0]), mean_interval(shares[1]), mean_interval(change), float(self.masks.mean())


GROUPS = ("forgotten", "others")


def chosen(problem: Problem, group: str, most: int) -> tuple[list[int], list[int]]:
    """(positions in the training set, in the test set) of at most `most` images for a `group` of `GROUPS`.

    "forgotten" takes the forget set and test images of its classes, "others" takes what stays. Half of the images come from
    each set where both have enough. For one problem they are always the same.
    """
    split, test = problem.split, problem.test.labels
    if group == "forgotten":
        train, held = split.forget, torch.isin(test, torch.tensor(split.classes, dtype=torch.int64)).nonzero()[:, 0]
    else:
        train, held = split.retain, (~torch.isin(test, torch.tensor(split.gone_classes, dtype=torch.int64))).nonzero()[:, 0]
    half = min(len(held), most // 2)
    return _spread(train, most - half), _spread(held, half)


def _spread(index: Tensor, count: int) -> list[int]:
    """`count` positions of `index`, evenly apart."""
    if not count or not len(index):
        return []
    at = torch.linspace(0, len(index) - 1, min(count, len(index))).round().long()
    return index[at].tolist()


def look(problem: Problem, after: nn.Module, group: str, *, layer: str = "", method: str = "gradcam", most: int = 24) -> Looked:
    """Maps for the true class of up to `most` images of `group` (forgotten | others), under the problem's model and `after`."""
    train, test = chosen(problem, group, most)
    dataset = problem.dataset
    images = torch.cat([dataset.train.images[train], dataset.test.images[test]])
    targets = torch.cat([dataset.train.labels[train], dataset.test.labels[test]])
    maps = [heat(model, images, targets, layer=layer, method=method) for model in (problem.model, after)]
    labels = [f"{dataset.class_names[int(y)]}, {'trained on' if n < len(train) else 'held out'}" for n, y in enumerate(targets)]
    return Looked(images, targets, tuple(labels), *maps, _masks(dataset, train, test))


class Looking(Task):
    """Where the problem's model and `after` look: iterate it for (fraction, words); `found` (group → Looked) fills as it goes."""

    def __init__(self, problem: Problem, after: nn.Module, *, layer: str = "", method: str = "gradcam") -> None:
        super().__init__()
        self.problem, self.after, self.how = problem, after, {"layer": layer, "method": method}
        self.found: dict[str, Looked] = {}

    def working(self) -> Iterator[tuple[float, str]]:
        """Makes the maps of the images to be forgotten first, then those of the others."""
        for number, group in enumerate(GROUPS):
            yield number / len(GROUPS), "asking both models where they look"
            self._raise_if_cancelled()
            self.found[group] = look(self.problem, self.after, group, **self.how)


def _masks(dataset: Dataset, train: list[int], test: list[int]) -> np.ndarray | None:
    people = dataset.people
    if people is None or people.train.parts is None or people.test.parts is None:
        return None
    return cue_mask(torch.cat([people.train.parts[train], people.test.parts[test]]).numpy())
