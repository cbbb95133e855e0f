"""Channels first or last: told by what a network does, where sizes could not tell, and refused where nothing tells."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import same_bits
from torch import Tensor, nn

from imu_core import models
from imu_core.errors import ConfigError
from imu_core.evaluation import layout, saliency

SIDE = 8  # as many channels as rows and columns: sizes tell nothing


class First(nn.Module):
    """Convolutions with as many channels as their maps have rows."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.early = nn.Sequential(nn.Conv2d(3, SIDE, 3, padding=1), nn.Tanh())
        self.late = nn.Sequential(nn.Conv2d(SIDE, SIDE, 3, padding=1), nn.Tanh())
        self.head = nn.Linear(SIDE, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.late(self.early(x)).mean((2, 3)))


class Turned(nn.Module):
    """A block with its channels moved to the end."""

    def __init__(self, block: nn.Module, comes_last: bool) -> None:
        super().__init__()
        self.block, self.comes_last = block, comes_last

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x.movedim(3, 1) if self.comes_last else x).movedim(1, 3)


class Last(First):
    """The same network, its blocks with channels last."""

    def __init__(self) -> None:
        super().__init__()
        self.early, self.late = Turned(self.early, False), Turned(self.late, True)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.late(self.early(x)).mean((1, 2)))


class OneSize(nn.Module):
    """Takes pictures of one size alone; its block is a linear layer over channels that come last."""

    def __init__(self, inner: nn.Module | None = None) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, SIDE, 1), nn.Linear(SIDE, 4)
        self.head_layer = "head"
        self.block = inner or nn.Sequential(nn.LayerNorm(SIDE), nn.Linear(SIDE, SIDE))

    def forward(self, x: Tensor) -> Tensor:
        assert x.shape[2:] == (SIDE, SIDE), "one size alone"
        return self.head(self.block(self.stem(x).movedim(1, 3)).mean((1, 2)))


class Weighed(nn.Module):
    """A block without any layer inside."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * x


def pictures(n: int = 3) -> Tensor:
    return torch.randint(0, 256, (n, 3, SIDE, SIDE), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)


@pytest.mark.parametrize("method", saliency.CAMS)
def test_channels_last_gives_the_maps_of_the_same_network_with_channels_first(method: str) -> None:
    first, last = First(), Last()
    before = {name: tensor.clone() for name, tensor in last.state_dict().items()}
    targets = [0, 1, 2]
    for layer in ("early", "late"):
        wanted = saliency.heat(first, pictures(), targets, layer=layer, method=method)
        assert wanted.any()
        assert np.allclose(saliency.heat(last, pictures(), targets, layer=layer, method=method), wanted, atol=1e-6)
    assert same_bits(last.state_dict(), before)


def test_growth_tells_the_layout_where_every_size_is_equal() -> None:
    images = torch.rand(1, 3, SIDE, SIDE)
    shape = (1, SIDE, SIDE, SIDE)
    assert layout.spatial(First(), ["early", "late"], images) == dict.fromkeys(("early", "late"), (shape, layout.FIRST))
    assert layout.spatial(Last(), ["early", "late"], images) == dict.fromkeys(("early", "late"), (shape, layout.LAST))


def test_layers_tell_the_layout_where_pictures_have_one_size() -> None:
    assert saliency.layers(OneSize(), pictures()) == {"stem": (SIDE, SIDE), "block": (SIDE, SIDE)}
    assert layout.spatial(OneSize(), ["stem", "block"], torch.rand(1, 3, SIDE, SIDE)) == {
        "stem": ((1, SIDE, SIDE, SIDE), layout.FIRST),
        "block": ((1, SIDE, SIDE, SIDE), layout.LAST),
    }


def test_a_layer_that_nothing_tells_of_is_left_out_and_a_network_of_such_is_a_sentence() -> None:
    assert list(saliency.layers(OneSize(Weighed()), pictures())) == ["stem"]
    with pytest.raises(ConfigError, match="no layer 'block'"):
        saliency.heat(OneSize(Weighed()), pictures(), [0, 1, 2], layer="block")
    tokens = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE * SIDE, 4))
    for ask in (lambda: saliency.layers(tokens, pictures()), lambda: saliency.heat(tokens, pictures(), [0, 1, 2])):
        with pytest.raises(ConfigError, match="no layer whose output is certainly an image"):
            ask()


def test_the_maps_of_a_swin_are_as_wide_as_they_are_high() -> None:
    net = models.construct("torchvision:swin_t", 3, (3, 32, 32), (0.0,) * 3, (1.0,) * 3, head="head").eval()
    x = torch.randint(0, 256, (1, 3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    sizes = saliency.layers(net, x)
    assert sizes["features.0"] == (8, 8)
    assert sizes["norm"] == (1, 1)
    assert saliency.heat(net, x, [1], layer="features.1").shape == (1, 32, 32)
