"""What a stage plays: all frames of some runs at once, as plain numbers, so that a browser needs nothing more to draw them."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from imu_core import runtime
from imu_core.data.thumbnails import pixels
from imu_core.errors import DataError
from imu_core.figures import FORGET, GREY, Shown, utility, utility_title
from imu_core.figures.paths import DIGITS, value_range
from imu_core.figures.style import CLASSES
from imu_core.influence.scoring import forget_scores
from imu_core.records.run import Point, Problem
from imu_core.records.shapes import Json
from imu_core.weights import sample_weights

NEAR = (3.0, 0.5)  # points of forget and of kept accuracy: the corner to reach lies so near the retrained model
MOST_FRAMES, MOST_SENTENCES = 600, 150  # of a run, of a scene
MOST_PIXELS = 64  # of a picture on a wall, from side to side
PICTURES = 24  # on a wall
_DRAW = 67  # stream of the generator
Path = list[list[float]]  # points (across, up) of one piece of a boundary in the square from −1 to 1
Flips = list[list[int]]  # of one image: [place of the point, class] wherever the model changes its mind, the first point included

# Plotly's name of a dash → lengths on a canvas, in pixels.
DASHES: dict[str, list[int]] = {
    "solid": [],
    "dot": [2, 3],
    "dash": [8, 4],
    "longdash": [14, 5],
    "dashdot": [8, 4, 2, 4],
    "longdashdot": [14, 4, 2, 4],
}


@dataclass(frozen=True)
class Line:
    """A run: who it is, how it is drawn, and its points. Accuracies in percent, losses in nats (None before the first step).

    `flips`: what its model says of each picture of the wall; empty where nobody kept it.
    """

    name: str
    colour: str
    dash: list[int]
    corners: list[list[float]]  # of the marker, x to the right, y up, at most 1 from the middle; none for a circle
    hollow: bool
    steps: list[int]
    forget: list[float]
    kept: list[float]
    losses: list[float | None]
    flips: list[Flips]
    apart: list[float]  # of each point, from the parameters of the retrained network; empty where nobody measured it


@dataclass(frozen=True)
class Ground:
    """The plane of a problem: its training points, the boundaries that stay, and one moving ground for each run.

    `points` holds (across, up, class, is it to be forgotten, share of the largest influence) for each training point. `films`
    holds a text for each run: in base64, packed by zlib, side² bytes for each point of its line, each as its change, modulo 256,
    since the point before. A byte is 64 times the class that the model says, plus how sure it is, from 0 (it guesses) to 63.
    """

    side: int
    points: list[list[float]]
    names: list[str]  # of the classes
    original: list[Path]
    retrained: list[Path]
    films: list[str]


@dataclass(frozen=True)
class Wall:
    """Images of the forget set, side by side in one PNG as a data: address, each `side` pixels wide."""

    sheet: str
    side: int
    ids: list[int]
    truth: list[int]
    names: list[str]  # of the classes
    glow: list[float]  # of each image: its weight beside the largest, 0 to 1; empty where the runs give every image the same


@dataclass(frozen=True)
class Scene:
    """All that a stage shows of some runs on one problem. `kept` is the title of the accuracy that must be kept.

    `original` and `retrained` are (forget, kept) in percent, `goal` (left, right, low, high) of the corner to reach; `sentences`
    say from which step on which sentence holds.
    """

    kept: str
    span: list[float]  # of the kept accuracy, from the lowest to the highest drawn
    original: list[float] | None
    retrained: list[float] | None
    goal: list[float] | None
    lines: list[Line]
    sentences: list[tuple[int, str]]
    wall: Wall | None = None
    ground: Ground | None = None

    @property
    def last(self) -> int:
        """The last step of the longest run; 0 where nothing was computed."""
        return max((line.steps[-1] for line in self.lines if line.steps), default=0)

    def data(self) -> dict[str, Json]:
        """The scene as JSON, with an `id` that differs where anything differs."""
        content = asdict(self) | {"colours": {"forget": FORGET, "grey": GREY, "classes": list(CLASSES)}}
        return {"id": hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16], **content}


def scene(
    shown: Sequence[Shown],
    reference: dict[str, float] | None = None,
    say: Callable[[int], str] | None = None,
    wall: Wall | None = None,
    flips: Sequence[Sequence[Flips]] = (),
    ground: Ground | None = None,
    apart: Sequence[list[float]] = (),
) -> Scene:
    """The scene of the runs `shown` beside the retrained model (`reference`, its accuracies as fractions).

    `say` writes the sentence for a step; `flips` are those of each run (see `flips_of`), `apart` its distances.
    """
    key = utility(shown, reference)
    lines = [
        _line(item, key, list(flips[n]) if n < len(flips) else [], apart[n] if n < len(apart) else [])
        for n, item in enumerate(shown)
    ]
    start = next((item.trajectory.points[0].accuracies for item in shown if item.trajectory.points), None)
    retrained = _place(reference, key) if reference else None
    span = value_range(shown, key, reference)
    made = Scene(
        f"{utility_title(key)}, %",
        span,
        _place(start, key) if start else None,
        retrained,
        _goal(retrained, span),
        lines,
        [],
        wall,
        ground,
    )
    return replace(made, sentences=_sentences(made, say)) if say else made


def _line(item: Shown, key: str, flips: list[Flips], apart: list[float]) -> Line:
    points, style = frames(item.trajectory.points), item.style
    return Line(
        item.name,
        style.colour,
        DASHES[style.dash],
        [[round(x, 3), round(y, 3)] for x, y in style.corners],
        style.hollow,
        [point.step for point in points],
        [_percent(point.accuracies["forget"]) for point in points],
        [_percent(point.accuracies[key]) for point in points],
        [None if point.loss is None or not np.isfinite(point.loss) else float(f"{point.loss:.4g}") for point in points],
        flips,
        apart,
    )


def _percent(fraction: float) -> float:
    return round(100 * fraction, DIGITS)


def _place(accuracies: dict[str, float], key: str) -> list[float]:
    return [_percent(accuracies["forget"]), _percent(accuracies[key])]


def _goal(retrained: list[float] | None, span: list[float]) -> list[float] | None:
    if not retrained:
        return None
    forget, kept = retrained
    return [max(-4.0, forget - NEAR[0]), min(106.0, forget + NEAR[0]), kept - NEAR[1], max(kept + NEAR[1], span[1])]


def _sentences(made: Scene, say: Callable[[int], str]) -> list[tuple[int, str]]:
    steps = sorted({step for line in made.lines for step in line.steps})
    every = max(1, -(-len(steps) // MOST_SENTENCES))
    told: list[tuple[int, str]] = []
    for step in dict.fromkeys([*steps[::every], *steps[-1:]]):
        sentence = say(step)
        if not told or told[-1][1] != sentence:
            told.append((step, sentence))
    return told


def frames(points: Sequence[Point]) -> list[Point]:
    """The points that are drawn: all of a usual run, and evenly spaced ones, the last among them, of a very long one."""
    every = max(1, -(-(len(points) - 1) // (MOST_FRAMES - 1)))  # the last has a place of its own
    return [*points[:-1:every], *points[-1:]]


def wall_of(problem: Problem) -> Wall:
    """Up to `PICTURES` images of the forget set, drawn from a seed; those on which IMU's first weights are largest come first."""
    chosen, weights = pictured(problem), _first_weights(problem)
    if weights is not None:
        chosen = chosen[weights[chosen].argsort(descending=True, stable=True)]
    ids = problem.split.forget[chosen]
    images = np.stack([pixels(problem.dataset, "train", index) for index in ids.tolist()])
    return Wall(
        sheet_of(images),
        min(MOST_PIXELS, max(images.shape[-2:])),
        ids.tolist(),
        problem.train.labels[ids].tolist(),
        list(problem.dataset.class_names),
        [] if weights is None else [round(float(weight / weights.max()), 3) for weight in weights[chosen]],
    )


def _first_weights(problem: Problem) -> Tensor | None:
    """The weights (n,) that IMU gives the forget set at its first step; None where no sample has a positive score."""
    with suppress(DataError):
        return sample_weights(forget_scores(problem))
    return None


def pictured(problem: Problem) -> Tensor:
    """Positions in the forget set of the images that a wall shows, by ascending position: a seeded draw."""
    order = torch.randperm(len(problem.split.forget), generator=runtime.generator(problem.seed, _DRAW))
    return order[:PICTURES].sort().values


def sheet_of(images: np.ndarray) -> str:
    """Images (n, channels, h, w) uint8 side by side in one PNG, each on a square of at most `MOST_PIXELS`, as a data: address."""
    side = min(MOST_PIXELS, max(images.shape[-2:]))
    sheet = Image.new("L" if images.shape[1] == 1 else "RGB", (side * len(images), side))
    for number, image in enumerate(np.moveaxis(images, 1, -1)):
        picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
        picture.thumbnail((side, side))
        sheet.paste(picture, (side * number + (side - picture.width) // 2, (side - picture.height) // 2))
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def flips_of(points: Sequence[Point], problem: Problem, wall: Wall) -> list[Flips]:
    """For each image of `wall`, where along the frames of `points` the model changes what it says, and to which class.

    Empty where a point does not hold the predictions of the whole forget set.
    """
    drawn, count = frames(points), len(problem.split.forget)
    told = [point.forget_predictions for point in drawn]
    if not told or any(said is None or len(said) != count for said in told):
        return []
    places = {index: place for place, index in enumerate(problem.split.forget.tolist())}
    columns = torch.stack([said[[places[index] for index in wall.ids]] for said in told]).T
    return [_changes(column.tolist()) for column in columns]


def _changes(classes: list[int]) -> Flips:
    return [[n, name] for n, name in enumerate(classes) if n == 0 or classes[n - 1] != name]
