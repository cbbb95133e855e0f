"""Vectors as small pictures, so that pages can show them where they show images."""

from __future__ import annotations

import itertools

import numpy as np

from imu_core.records.data import Dataset

SIDE = 64
_GROUND, _OTHERS, _POINT, _BAR, _ZERO = 250, 190, (20, 20, 20), (74, 127, 193), 150  # grey levels and colours


def picture(dataset: Dataset, part: str, index: int) -> np.ndarray:
    """Sample `index` of `part` (train | test) as uint8 pixels (3, 64, 64).

    A point of the plane is a dark square among the training points; a row of a table is a bar for each of its columns, upwards
    where it is above the mean of the training set, three standard deviations at most. Neighbouring columns share a bar where
    there are more than 64.
    """
    x = getattr(dataset, part).images[index].double().numpy()
    pixels = np.full((SIDE, SIDE, 3), _GROUND, np.uint8)
    if len(x) == 2:
        columns, rows = _places(dataset.train.images.double().numpy())
        pixels[rows, columns] = _OTHERS
        (column,), (row,) = _places(x[None])
        pixels[max(0, row - 2) : row + 3, max(0, column - 2) : column + 3] = _POINT
    else:
        _bars(pixels, (x - np.array(dataset.mean)) / np.array(dataset.std))
    return np.ascontiguousarray(np.moveaxis(pixels, -1, 0))


def _places(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Columns and rows of points (n, 2) of the square from −1 to 1."""
    cells = ((np.stack([x[:, 0], -x[:, 1]], 1) + 1) / 2 * SIDE).astype(int).clip(0, SIDE - 1)
    return cells[:, 0], cells[:, 1]


def _bars(pixels: np.ndarray, z: np.ndarray) -> None:
    middle, edges = SIDE // 2, np.linspace(0, SIDE, min(len(z), SIDE) + 1).astype(int)
    for group, (left, right) in zip(np.array_split(z, len(edges) - 1), itertools.pairwise(edges), strict=True):
        top = middle - round(float(group.mean().clip(-3, 3)) / 3 * (middle - 2))
        pixels[min(top, middle) : max(top, middle), left : max(left + 1, right - 1)] = _BAR
    pixels[middle] = _ZERO
