"""Images as people see them: PNG bytes, enlarged without blur, with a frame where one is wanted."""

from __future__ import annotations

import base64
import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageOps

from imu_core import data
from imu_core.data.vectors.pictures import picture
from imu_core.records.data import Dataset

_SIDE = 84  # smallest side on screen, pixels


@lru_cache(maxsize=20_000)
def png(dataset: str, part: str, index: int, frame: str | None = None) -> bytes:
    """PNG of sample `index` of `part` (train | test), nearest-neighbour, at least 84 pixels wide, framed in that colour."""
    return framed(pixels(data.load(dataset), part, index), frame)


@lru_cache(maxsize=20_000)
def plain_url(dataset: str, part: str, index: int) -> str:
    """Sample `index` of `part` as a data: address, in its own size, without a frame: a page enlarges and frames it by style."""
    return as_url(framed(pixels(data.load(dataset), part, index), None, 1))


def pixels(dataset: Dataset, part: str, index: int) -> np.ndarray:
    """Sample `index` of `part` (train | test) as uint8 pixels (channels, h, w): itself, or for a vector a picture of it."""
    return picture(dataset, part, index) if dataset.holds_vectors else getattr(dataset, part).images[index].numpy()


def framed(pixels: np.ndarray, colour: str | None = None, side: int = _SIDE) -> bytes:
    """PNG of an image (channels, h, w) uint8, nearest-neighbour, at least `side` pixels wide, with a frame of `colour`."""
    pixels = np.moveaxis(pixels, 0, -1)
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).convert("RGB")
    factor = max(1, -(-side // picture.width))
    picture = picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)
    if colour:
        picture = ImageOps.expand(picture, border=3, fill=colour)
    return _as_png(picture)


def overlay(values: np.ndarray, signed: bool = False) -> bytes:
    """PNG with transparency of a map (h, w): 0 … 1 from clear to dark red; with `signed` −1 … 1 from blue over clear to red."""
    import matplotlib

    scale = matplotlib.colormaps["RdBu_r" if signed else "YlOrRd"]
    colours = scale(values / 2 + 0.5 if signed else values, bytes=True)
    colours[..., 3] = np.sqrt(np.abs(values).clip(0, 1)) * 255
    return _as_png(Image.fromarray(colours))


def _as_png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def as_url(content: bytes) -> str:
    """A PNG as a data: address, for HTML."""
    return "data:image/png;base64," + base64.b64encode(content).decode()
