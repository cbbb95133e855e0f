"""People: made-up pedestrians, drawn from a seed, in the layout of Market-1501. No real person is in it.

150 training identities and 75 unseen ones, each seen by six cameras in four shots; distractors (other people, id 0) and junk
(bad detections, id −1) in the gallery. Every image comes with a map of the parts of the body, so that what tells one identity
from another (the *cues*: hair, top, logo, legs, shoes, bag) can be measured against.
"""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from imu_core import runtime
from imu_core.data import market
from imu_core.data.market import Named
from imu_core.data.people import street
from imu_core.data.people.figure import CUES, PARTS, Body, Pose, draw
from imu_core.data.people.look import Look, look
from imu_core.errors import DataError
from imu_core.records.data import Dataset

__all__ = ["CUES", "PARTS", "VERSION", "count", "cue_mask", "draw_all", "is_here", "load", "shots", "write"]

VERSION = 1  # raise it whenever a single pixel changes: models are tied to it
TRAINING, UNSEEN, SHOTS = 150, 75, 4
DISTRACTORS, JUNK = 300, 150
_LOOK, _SHOT, _DISTRACTOR, _JUNK = 1, 2, 3, 4  # streams of the generator


def cue_mask(parts: np.ndarray) -> np.ndarray:
    """Where `parts` (…, H, W) shows something that tells this identity from others: bool, the same shape."""
    return np.isin(parts, [PARTS.index(cue) for cue in CUES])


def count() -> int:
    """How many images `shots` yields."""
    return (TRAINING + UNSEEN) * len(street.CAMERAS) * SHOTS + DISTRACTORS + JUNK


def is_here() -> bool:
    """Whether the set has been drawn on this machine."""
    return _cache().exists()


def draw_all() -> Iterator[tuple[float, str]]:
    """Draw the set and keep it on this machine, yielding (fraction done, what is being done)."""
    total, drawn = count(), []
    for shot in shots():
        drawn.append(shot)
        if len(drawn) % 50 == 0:
            yield len(drawn) / total, f"drawing people, {len(drawn):,} of {total:,} images"
    market.store(_cache(), drawn)
    yield 1.0, "all people are drawn"


def load() -> Dataset:
    """The set drawn from seed 0, from this machine's cache; drawn first (about 12 s) where it is not there yet."""
    if not is_here():
        for _ in draw_all():
            pass
    parts, key = market.reordered(market.restore(_cache())), f"people version {VERSION} seed 0"
    return market.assemble("people", "People (synthetic)", *parts, key=key, synthetic=True)


def _cache() -> Path:
    return runtime.home() / "people" / f"version-{VERSION}.safetensors"


def write(folder: Path, seed: int = 0) -> Iterator[tuple[float, str]]:
    """Write the set into `folder` as Market-1501 is laid out (JPEG files), yielding (fraction done, file name).

    The masks of the identity cues go into the folder `cues` beside the three, as PNG files of the same name.
    """
    if folder.exists() and any(folder.iterdir()):
        raise DataError(f"{str(folder)!r} is not empty. Name a new folder, so that nothing of yours is overwritten.")
    with runtime.made(folder):
        try:
            for number, shot in enumerate(shots(seed)):
                _write(folder, shot)
                yield (number + 1) / count(), shot.name
        except BaseException:  # half a set is none
            for part in (*market.FOLDERS, "cues"):
                shutil.rmtree(folder / part, ignore_errors=True)
            raise


def _write(folder: Path, shot: Named) -> None:
    for part, pixels, suffix in ((shot.folder, shot.pixels, ".jpg"), ("cues", cue_mask(shot.parts), ".png")):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG" if suffix == ".jpg" else "PNG", quality=95)
        target = (folder / part / shot.name).with_suffix(suffix)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(buffer.getvalue())


def shots(seed: int = 0) -> Iterator[Named]:
    """Every image of the set drawn from `seed`, in the order of folders and names."""
    cameras = range(len(street.CAMERAS))
    for identity in range(1, TRAINING + UNSEEN + 1):
        person = look(np.random.default_rng([seed, _LOOK, identity]))
        for camera in cameras:
            for number in range(SHOTS):
                rng = np.random.default_rng([seed, _SHOT, identity, camera, number])
                folder = "bounding_box_train" if identity <= TRAINING else "bounding_box_test" if number else "query"
                yield _named(folder, identity, camera, number, take(person, camera, rng))
    for number in range(DISTRACTORS):
        rng = np.random.default_rng([seed, _DISTRACTOR, number])
        camera = number % len(street.CAMERAS)
        yield _named("bounding_box_test", 0, camera, number, take(look(rng), camera, rng))
    for number in range(JUNK):
        rng = np.random.default_rng([seed, _JUNK, number])
        camera = number % len(street.CAMERAS)
        yield _named("bounding_box_test", -1, camera, number, _bad(camera, rng))


def _named(folder: str, identity: int, camera: int, number: int, picture: tuple[np.ndarray, np.ndarray]) -> Named:
    """Market-1501's names: 0002_c1s1_000451_03.jpg is identity 2, camera 1, sequence 1, frame 451, box 3; junk is -1_…"""
    frame = 25 * (abs(identity) * SHOTS + number) + 1
    return Named(
        folder, f"{'-1' if identity < 0 else f'{identity:04d}'}_c{camera + 1}s1_{frame:06d}_{number % 100:02d}.jpg", *picture
    )


def take(person: Look, camera: int, rng: np.random.Generator, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (128, 64, 3) and parts (128, 64) of `person` as `camera` sees them; `shift` moves them out of the frame."""
    eye = street.CAMERAS[camera]
    colours = street.background(camera, rng)
    parts = Image.new("L", colours.size, 0)
    if rng.random() < 0.2:
        _passer_by(colours, rng)
    pose = _pose(eye, person, colours.size, rng, shift)
    draw(Body(colours, parts, pose, person.build), person)
    colours = _lit(colours, parts, pose, eye)
    if rng.random() < eye.hidden:
        street.occlude(colours, parts, eye, rng)
    small = parts.resize((street.WIDTH, street.HEIGHT), Image.Resampling.NEAREST)
    return street.develop(colours, eye, rng), np.asarray(small)


def _pose(eye: street.Camera, person: Look, size: tuple[int, int], rng: np.random.Generator, shift: float = 0.0) -> Pose:
    width, height = size
    tall = height * eye.size * person.height * (0.94 + 0.12 * float(rng.random()))
    x = width * (0.5 + 0.12 * (float(rng.random()) - 0.5) + shift)
    y = (height - tall) * (0.3 + 0.5 * float(rng.random()))
    stride = 2 * float(rng.random()) - 1
    return Pose(x, y, tall, street.view(eye, rng), stride, stride * (0.5 + 0.5 * float(rng.random())))


def _passer_by(colours: Image.Image, rng: np.random.Generator) -> None:
    """Somebody else, smaller and at the edge: not the person this image is about."""
    width, height = colours.size
    other, tall = look(rng), height * (0.55 + 0.15 * float(rng.random()))
    x = width * (0.06 if rng.random() < 0.5 else 0.94)
    pose = Pose(x, height * 0.82 - tall, tall, "front" if rng.random() < 0.5 else "back", float(rng.random()), 0.2)
    draw(Body(colours, Image.new("L", colours.size), pose, other.build), other)


def _lit(colours: Image.Image, parts: Image.Image, pose: Pose, eye: street.Camera) -> Image.Image:
    """The scene with light on the person: round bodies are brighter towards the light, and darker lower down."""
    pixels, person = np.asarray(colours, np.float32), np.asarray(parts) > 0
    rows, columns = np.nonzero(person)
    if not len(rows):
        return colours
    across = ((columns - pose.x) / (0.13 * pose.height)).clip(-1, 1)
    down = (rows - pose.y) / pose.height
    light = 1.03 + 0.2 * eye.light * across - 0.14 * across**2 - 0.12 * down
    lit = pixels.copy()
    lit[rows, columns] = (pixels[rows, columns] * light[:, None]).clip(0, 255)
    return Image.fromarray(lit.astype(np.uint8))


def _bad(camera: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A detection gone wrong: street only, or somebody mostly outside the frame."""
    if rng.random() < 0.4:
        empty = street.develop(street.background(camera, rng), street.CAMERAS[camera], rng)
        return empty, np.zeros((street.HEIGHT, street.WIDTH), np.uint8)
    return take(look(rng), camera, rng, 0.5 if rng.random() < 0.5 else -0.5)
