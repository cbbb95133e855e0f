"""Images as people see them: PNG bytes, enlarged without blur, warm frame for the forget set, cool for the rest."""

from __future__ import annotations

import base64
import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageOps

from imu_core import data

FRAMES = {"forget": "#D55E00", "retain": "#0072B2", "none": None}
_SIDE = 84  # smallest side on screen, pixels


@lru_cache(maxsize=20_000)
def png(dataset: str, part: str, index: int, frame: str = "none") -> bytes:
    """PNG of sample `index` of `part` (train | test), nearest-neighbour, at least 84 pixels wide, framed by its set."""
    images = getattr(data.load(dataset), part).images
    pixels = np.moveaxis(images[index].numpy(), 0, -1)
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).convert("RGB")
    factor = max(1, -(-_SIDE // picture.width))
    picture = picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)
    colour = FRAMES[frame]
    if colour:
        picture = ImageOps.expand(picture, border=3, fill=colour)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def data_url(dataset: str, part: str, index: int, frame: str = "none") -> str:
    """The same picture as a data: address, for HTML."""
    return "data:image/png;base64," + base64.b64encode(png(dataset, part, index, frame)).decode()
