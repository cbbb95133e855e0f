"""Which dimension of a layer's output counts channels: found by what the network does, never guessed from sizes.

A block's output (n, a, b, c) shows an image either as (channels, height, width) or as (height, width, channels). A picture twice
as high makes the height grow and leaves the channels as they are. Where a network takes pictures of one size only, the layers
inside of the block tell: convolutions put out channels first, linear layers and layer norms put out channels last.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn

FIRST, LAST = "channels first", "channels last"
_IMAGES = (nn.Conv2d, nn.BatchNorm2d, nn.GroupNorm, nn.InstanceNorm2d, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d)


def spatial(model: nn.Module, blocks: Iterable[str], images: Tensor) -> dict[str, tuple[tuple[int, ...], str]]:
    """Dotted name → (shape of the output, FIRST or LAST), of those `blocks` that put out an image for `images` (n, C, h, w).

    Blocks are in the order in which the network runs them. A block whose layout cannot be told is left out. `model` is neither
    hooked nor changed.
    """
    names = list(blocks)
    shapes, higher, outputs = {}, {}, {}
    _note_outputs(model, names, images, shapes)
    with suppress(Exception):  # of another size, networks with a place for every patch stop at some layer, in their own ways
        _note_outputs(model, names, torch.cat([images, images], 2), higher)
    for name, shape in shapes.items():
        layout = _by_growth(shape, higher.get(name)) or _by_layers(model, name, images, shape)
        if layout:
            outputs[name] = (shape, layout)
    return outputs


def channels_first(output: Tensor, layout: str) -> Tensor:
    """A block's output (n, …) of that `layout` as (n, channels, h, w)."""
    return output if layout == FIRST else output.movedim(3, 1)


def _by_growth(shape: tuple[int, ...], higher: tuple[int, ...] | None) -> str:
    """What the output for a picture twice as high tells: exactly one dimension has grown."""
    if higher is None or len(higher) != 4:
        return ""
    grown = [number for number in (1, 2, 3) if higher[number] != shape[number]]
    return {(2,): FIRST, (1,): LAST}.get(tuple(grown), "")


def _note_outputs(model: nn.Module, names: list[str], images: Tensor, shapes: dict[str, tuple[int, ...]]) -> None:
    """Put into `shapes` those of the outputs, by name, of those blocks that put out one tensor of four dimensions."""
    work = copy.deepcopy(model).eval()
    modules = {work.get_submodule(name): name for name in names}
    for module, name in modules.items():

        def note(_: nn.Module, __: Any, output: Any, name: str = name) -> None:
            if isinstance(output, Tensor) and output.ndim == 4:
                shapes[name] = tuple(output.shape)

        module.register_forward_hook(note)
    with torch.no_grad():
        work(images)


def _by_layers(model: nn.Module, block: str, images: Tensor, shape: tuple[int, ...]) -> str:
    """What the layers inside of `block` tell that put out a tensor of the same `shape`; nothing where they disagree."""
    work, layouts = copy.deepcopy(model).eval(), set()

    def note(module: nn.Module, _: Any, output: Any) -> None:
        if isinstance(output, Tensor) and tuple(output.shape) == shape:
            layouts.add(FIRST if isinstance(module, _IMAGES) else LAST)

    for module in work.get_submodule(block).modules():
        flat_norm = isinstance(module, nn.LayerNorm) and len(module.normalized_shape) == 1
        if isinstance(module, (*_IMAGES, nn.Linear)) or flat_norm:
            module.register_forward_hook(note)
    with torch.no_grad():
        work(images)
    return layouts.pop() if len(layouts) == 1 else ""
