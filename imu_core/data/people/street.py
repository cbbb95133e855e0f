"""Six cameras over six streets: background, tone, viewpoint, scale, blur and what stands in the way."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from imu_core.data.people.figure import PARTS, VIEWS
from imu_core.data.people.look import Colour

WIDTH, HEIGHT = 64, 128  # of a finished shot, pixels
SCALE = 2  # shots are drawn at twice that size and averaged down
_WALL = (3 * WIDTH * SCALE, HEIGHT * SCALE * 5 // 4)


@dataclass(frozen=True)
class Camera:
    """One camera: how it renders colour, how large people are in it, from where it sees them, what hides them."""

    gain: tuple[float, float, float]
    gamma: float
    contrast: float
    size: float  # height of an average person, share of the frame
    views: tuple[float, float, float, float]  # front, back, left, right
    blur: float  # pixels at drawing size
    noise: int
    light: float  # −1 from the left … 1 from the right
    ground: Colour
    wall: Colour
    kind: str
    occluder: str
    hidden: float  # share of shots with the occluder in front


CAMERAS: tuple[Camera, ...] = (
    Camera((1.0, 1.0, 1.0), 1.0, 1.0, 0.88, (0.6, 0.2, 0.1, 0.1), 0.6, 5, -0.5, (146, 146, 142), (178, 166, 150), "bricks",
           "bench", 0.15),
    Camera((1.12, 1.0, 0.82), 0.9, 1.0, 0.82, (0.15, 0.15, 0.35, 0.35), 0.8, 7, 0.6, (172, 160, 138), (128, 150, 112),
           "hedge", "post", 0.25),
    Camera((0.84, 0.98, 1.16), 1.1, 0.95, 0.92, (0.2, 0.6, 0.1, 0.1), 0.6, 6, 0.2, (120, 124, 130), (150, 158, 168), "shop",
           "car", 0.2),
    Camera((0.72, 0.74, 0.86), 1.25, 0.9, 0.84, (0.35, 0.35, 0.15, 0.15), 1.2, 11, -0.8, (84, 86, 94), (72, 74, 86), "tunnel",
           "post", 0.15),
    Camera((1.18, 1.14, 1.04), 0.8, 0.85, 0.78, (0.25, 0.25, 0.4, 0.1), 1.0, 6, 0.9, (202, 200, 192), (214, 208, 196), "plaza",
           "bench", 0.25),
    Camera((0.92, 1.06, 0.9), 1.05, 1.05, 0.9, (0.25, 0.25, 0.1, 0.4), 1.5, 8, -0.2, (118, 132, 104), (88, 118, 84), "park",
           "bush", 0.25),
)  # fmt: skip


def view(camera: Camera, rng: np.random.Generator) -> str:
    """The side from which `camera` sees a person, one of `VIEWS`, drawn at random by that camera's shares."""
    return VIEWS[int(np.searchsorted(np.cumsum(camera.views), rng.random(), side="right").clip(0, 3))]


def background(number: int, rng: np.random.Generator) -> Image.Image:
    """A window of the street that camera `number` looks at, at drawing size."""
    wall = _street(number)
    width, height = WIDTH * SCALE, HEIGHT * SCALE
    x, y = int(rng.integers(wall.width - width + 1)), int(rng.integers(wall.height - height + 1))
    return wall.crop((x, y, x + width, y + height))


@lru_cache(maxsize=len(CAMERAS))
def _street(number: int) -> Image.Image:
    """The whole street behind camera `number`: always the same one."""
    camera, rng = CAMERAS[number], np.random.default_rng([97, number])
    width, height = _WALL
    image = Image.new("RGB", _WALL, camera.wall)
    pen, floor = ImageDraw.Draw(image), int(height * 0.66)
    _SCENES[camera.kind](pen, rng, width, floor, camera)
    pen.rectangle((0, floor, width, height), fill=camera.ground)
    for k in range(7):
        y = floor + (height - floor) * k * k // 49
        pen.line((0, y, width, y), fill=_shade(camera.ground, 0.9), width=2)
    for x in range(-width, 2 * width, 70):
        pen.line((x, floor, x + (x - width // 2) // 2, height), fill=_shade(camera.ground, 0.92), width=2)
    pixels = np.asarray(image, np.int16) + rng.integers(-9, 10, (height, width, 1), dtype=np.int16)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def _shade(colour: Colour, factor: float) -> Colour:
    return tuple(min(255, int(c * factor)) for c in colour)


def _bricks(pen: ImageDraw.ImageDraw, rng: np.random.Generator, width: int, floor: int, camera: Camera) -> None:
    for row, y in enumerate(range(0, floor, 14)):
        for x in range(-(row % 2) * 16, width, 32):
            tint = 0.72 + 0.3 * float(rng.random())
            pen.rectangle((x + 1, y + 1, x + 30, y + 12), fill=_shade((176, 112, 88), tint))
    for x in range(40, width, 150):
        pen.rectangle((x, 30, x + 56, 110), fill=(92, 108, 122), outline=(226, 222, 212), width=4)


def _hedge(pen: ImageDraw.ImageDraw, rng: np.random.Generator, width: int, floor: int, camera: Camera) -> None:
    pen.rectangle((0, 0, width, floor // 3), fill=(186, 204, 222))
    for _ in range(420):
        x, y, r = int(rng.integers(width)), int(rng.integers(floor // 4, floor)), int(rng.integers(5, 16))
        pen.ellipse((x - r, y - r, x + r, y + r), fill=_shade((92, 124, 72), 0.7 + 0.5 * float(rng.random())))


def _shop(pen: ImageDraw.ImageDraw, rng: np.random.Generator, width: int, floor: int, camera: Camera) -> None:
    signs = ((186, 60, 56), (58, 104, 160), (220, 178, 70), (66, 128, 96))
    for k, x in enumerate(range(0, width, 96)):
        pen.rectangle((x + 4, 44, x + 90, floor), fill=_shade((120, 132, 142), 0.7 + 0.4 * float(rng.random())))
        pen.rectangle((x, 18, x + 94, 42), fill=signs[k % len(signs)])
        pen.line((x + 47, 44, x + 47, floor), fill=(60, 62, 66), width=4)


def _tunnel(pen: ImageDraw.ImageDraw, rng: np.random.Generator, width: int, floor: int, camera: Camera) -> None:
    for x in range(0, width, 26):
        for y in range(0, floor, 26):
            pen.rectangle((x + 1, y + 1, x + 24, y + 24), fill=_shade((96, 98, 108), 0.75 + 0.4 * float(rng.random())))
    for x in range(30, width, 130):
        pen.rectangle((x, 8, x + 60, 20), fill=(236, 232, 196))


def _plaza(pen: ImageDraw.ImageDraw, rng: np.random.Generator, width: int, floor: int, camera: Camera) -> None:
    for x in range(0, width, 74):
        pen.rectangle((x, 0, x + 26, floor), fill=_shade((224, 216, 200), 0.86 + 0.14 * float(rng.random())))
        pen.rectangle((x + 34, floor // 3, x + 66, floor), fill=(150, 160, 172))
    for _ in range(5):
        x = int(rng.integers(width))
        pen.ellipse((x, floor - 60, x + 14, floor - 46), fill=(120, 90, 80))
        pen.rectangle((x, floor - 46, x + 14, floor), fill=_shade((130, 130, 140), 0.6 + 0.8 * float(rng.random())))


def _park(pen: ImageDraw.ImageDraw, rng: np.random.Generator, width: int, floor: int, camera: Camera) -> None:
    pen.rectangle((0, 0, width, floor // 2), fill=(168, 194, 206))
    for x in range(10, width, 64):
        x += int(rng.integers(-14, 15))
        pen.rectangle((x, floor // 4, x + 13, floor), fill=(92, 70, 52))
        for _ in range(16):
            dx, dy, r = int(rng.integers(-34, 40)), int(rng.integers(0, 80)), int(rng.integers(8, 20))
            pen.ellipse((x + dx - r, dy - r, x + dx + r, dy + r), fill=_shade((84, 122, 62), 0.7 + 0.5 * float(rng.random())))


_SCENES = {"bricks": _bricks, "hedge": _hedge, "shop": _shop, "tunnel": _tunnel, "plaza": _plaza, "park": _park}


def occlude(colours: Image.Image, parts: Image.Image, camera: Camera, rng: np.random.Generator) -> None:
    """Draw the camera's occluder (post, bench, car or bush) in front of the person, on both canvases."""
    width, height = colours.size
    pens = ImageDraw.Draw(colours), ImageDraw.Draw(parts)
    label, level = PARTS.index("occluder"), float(rng.random())

    def box(corners: tuple[float, ...], colour: Colour) -> None:
        pens[0].rectangle(corners, fill=colour)
        pens[1].rectangle(corners, fill=label)

    if camera.occluder == "post":
        x = width * (0.25 + 0.5 * level)
        box((x, 0, x + 15, height), (96, 98, 100))
        box((x + 3, 0, x + 6, height), (150, 150, 152))
    elif camera.occluder == "bench":
        y = height * (0.68 + 0.12 * level)
        for k in range(3):
            box((0, y + k * 15, width, y + k * 15 + 10), (132, 92, 58))
        box((width * 0.12, y, width * 0.18, height), (58, 56, 56))
        box((width * 0.82, y, width * 0.88, height), (58, 56, 56))
    elif camera.occluder == "car":
        y, tint = height * (0.72 + 0.1 * level), (168, 44, 44) if level > 0.5 else (206, 208, 212)
        box((0, y, width, height * 0.96), tint)
        box((0, y + 10, width, y + 18), _shade(tint, 0.6))
        box((width * 0.06, y + 24, width * 0.24, y + 38), (244, 236, 190))
    else:
        for _ in range(46):
            x, y, r = float(rng.random()) * width, height * (0.74 + 0.26 * float(rng.random())), 8 + 9 * float(rng.random())
            for pen, fill in zip(pens, (_shade((70, 108, 58), 0.7 + 0.5 * float(rng.random())), label), strict=True):
                pen.ellipse((x - r, y - r, x + r, y + r), fill=fill)


@lru_cache
def _curve(gamma: float) -> np.ndarray:
    """(v / 255) ** gamma for v = 0 … 255, by Python's own power: NumPy's may differ in the last bit from machine to machine."""
    return np.array([(value / 255) ** gamma for value in range(256)])


def develop(colours: Image.Image, camera: Camera, rng: np.random.Generator) -> np.ndarray:
    """The camera's picture (HEIGHT, WIDTH, 3) uint8 of a drawn scene: blur, sensor size, tone and noise.

    Tone goes through a table of 256 whole numbers, noise is whole numbers: the same bits on every machine.
    """
    jitter, warm = 0.8 + 0.4 * float(rng.random()), 0.9 + 0.2 * float(rng.random())
    image = colours.filter(ImageFilter.BoxBlur(camera.blur)).resize((WIDTH, HEIGHT), Image.Resampling.BOX)
    curve, tables = _curve(camera.gamma), []
    for channel, gain in enumerate(camera.gain):
        factor = gain * jitter * (warm if channel == 0 else 1 / warm if channel == 2 else 1.0)
        tables.append(np.rint(128 + camera.contrast * (255 * factor * curve - 128)).clip(0, 255))
    table = np.concatenate(tables).astype(int).tolist()
    pixels = np.asarray(image.point(table), np.int16)
    shape = (HEIGHT, WIDTH, 3)
    grain = rng.integers(-camera.noise, camera.noise + 1, shape, np.int16) + rng.integers(
        -camera.noise, camera.noise + 1, shape, np.int16
    )
    return (pixels + grain).clip(0, 255).astype(np.uint8)
