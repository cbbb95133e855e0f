"""Tables as data sets: three that scikit-learn ships, and CSV files of one's own, `table:FILE.csv`.

A third of the rows of each class is kept for testing, drawn from a fixed seed.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import torch

from imu_core import names
from imu_core.access import rules
from imu_core.errors import DataError, shown
from imu_core.records.data import Dataset, ImageSet

PREFIX = "table:"
SHIPPED = {
    "wine": ("Wines, 178 rows of 13 measurements", "load_wine"),
    "cancer": ("Breast cancer (Wisconsin), 569 rows of 30 measurements", "load_breast_cancer"),
    "digits": ("Digits, 1,797 rows of 64 numbers", "load_digits"),
}
FEWEST_ROWS, MOST_ROWS, MOST_COLUMNS, MOST_CLASSES, MOST_BYTES = 12, 100_000, 1_000, 100, 100_000_000
_FEWEST_OF_CLASS = 3
_HELD_OUT, _SEED = 1 / 3, 0


def load(name: str) -> Dataset:
    """The table called `name`: `wine`, `cancer`, `digits`, or the path of a CSV file (see `read`)."""
    if name in SHIPPED:
        from sklearn import datasets  # a second, which nobody waits for who opens no table

        title, loader = SHIPPED[name]
        table = getattr(datasets, loader)()
        return _dataset(name, title, table.data, table.target, tuple(map(str, table.target_names)))
    x, labels = read(Path(name))
    classes, y = np.unique(labels, return_inverse=True)
    return _dataset(name, f"Table {shown(Path(name).name)}", x, y, tuple(map(str, classes)))


def find(name: str) -> Path:
    """The CSV file that `name` is; a DataError where there is none, a ClosedError where pages may not read it."""
    path = names.spelt(Path(name).expanduser())
    rules.check(path)
    try:
        if path.is_file():
            return path
    except (OSError, ValueError):
        pass  # too long a name, a null byte
    raise DataError(
        f"There is no table {shown(name, 200)!r}. Known tables: {', '.join(PREFIX + known for known in SHIPPED)}, "
        f"{PREFIX}FILE.csv."
    )


def state(name: str) -> str:
    """What changes once the file does; ClosedError where pages may not read it."""
    if name in SHIPPED:
        return ""
    about = find(name).stat()
    return f"{about.st_mtime_ns} {about.st_size}"


def read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Numbers (n, d) float32 and class names (n,) of a CSV file in UTF-8: a line of titles, then rows; the class stands last.

    A DataError names the line and what is wrong there. Nothing is left out: a row with an empty cell is an error.
    """
    try:
        with rules.opened(find(str(path))) as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise DataError(f"{shown(path.name)} has more than {MOST_BYTES:,} bytes. Take fewer rows.")
        lines = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""))
        titles = next(lines, [])
        return _parsed(path, titles, lines)
    except DataError:
        raise
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{shown(path.name)} is no CSV file in UTF-8 ({shown(error)}). Save the table as one.") from error


def _parsed(path: Path, titles: list[str], lines: csv.reader) -> tuple[np.ndarray, np.ndarray]:
    width = len(titles)
    if not 2 <= width <= MOST_COLUMNS + 1:
        raise DataError(
            f"{shown(path.name)} has {width} columns; a table has 1 to {MOST_COLUMNS:,} columns of numbers, and the class last."
        )
    rows, labels = [], []
    for cells in lines:
        if not cells:
            continue
        if len(rows) == MOST_ROWS:
            raise DataError(f"{shown(path.name)} has more than {MOST_ROWS:,} rows. Take fewer.")
        if len(cells) != width:
            raise DataError(f"Line {lines.line_num} of {shown(path.name)} has {len(cells)} cells; the first line has {width}.")
        try:
            numbers = np.array(cells[:-1], dtype=np.float32)
        except ValueError:
            numbers = np.array([np.nan])
        if not np.isfinite(numbers).all():
            raise DataError(
                f"Line {lines.line_num} of {shown(path.name)} has a cell that is no finite number (the class is last)."
            )
        if not cells[-1].strip():
            raise DataError(f"Line {lines.line_num} of {shown(path.name)} names no class: its last cell is empty.")
        rows.append(numbers)
        labels.append(cells[-1].strip())
    return _checked(path, rows, labels)


def _checked(path: Path, rows: list[np.ndarray], labels: list[str]) -> tuple[np.ndarray, np.ndarray]:
    classes, counts = np.unique(labels, return_counts=True)
    if len(rows) < FEWEST_ROWS or not 2 <= len(classes) <= MOST_CLASSES or counts.min() < _FEWEST_OF_CLASS:
        few = f", the smallest with {counts.min()}" if len(classes) else ""
        raise DataError(
            f"{shown(path.name)} has {len(rows)} rows of {len(classes):,} classes{few}. A table has at least {FEWEST_ROWS} "
            f"rows, 2 to {MOST_CLASSES} classes (the last column), and at least {_FEWEST_OF_CLASS} rows of each."
        )
    return np.stack(rows), np.array(labels)


def _dataset(name: str, title: str, x: np.ndarray, y: np.ndarray, class_names: tuple[str, ...]) -> Dataset:
    from sklearn.model_selection import train_test_split

    train, test = train_test_split(
        np.arange(len(y)), test_size=max(_HELD_OUT, (len(class_names) + 1) / len(y)), random_state=_SEED, stratify=y
    )
    sets = [
        ImageSet(torch.tensor(x[part], dtype=torch.float32), torch.tensor(y[part].astype(np.int64))) for part in (train, test)
    ]
    numbers = sets[0].images.double()
    std = numbers.std(0, correction=0)
    std = torch.where(std > 0, std, torch.ones_like(std))  # a column that never changes says nothing
    return Dataset(PREFIX + name, title, *sets, class_names, tuple(numbers.mean(0).tolist()), tuple(std.tolist()))
