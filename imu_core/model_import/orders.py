"""What somebody who brings a model asks for: which files, read in which way."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from imu_core import names
from imu_core.data import folder
from imu_core.errors import ConfigError
from imu_core.numeric import as_number


@dataclass(frozen=True)
class Order:
    """What somebody brings.

    checkpoint     path of the file, or its content (then `file` says what it is called)
    images         None, or a .zip of images: they become the dataset `folder:NAME@side`
    normalisation  a key of `NORMALISATIONS`, or MEAN/STD with a comma between channels
    head           dotted name of the head, where it cannot be found
    classes        the class names in the checkpoint's order, where that is not the dataset's
    expected       the test accuracy it should reach, 0 to 1
    """

    name: str
    checkpoint: bytes | Path
    architecture: str
    dataset: str = "cifar10"
    normalisation: str = "imagenet"
    head: str = ""
    classes: tuple[str, ...] = ()
    expected: float | None = None
    file: str = ""
    images: bytes | Path | None = None
    side: int = folder.USUAL_SIDE


def in_list(classes: Iterable[str]) -> str:
    """Class names with commas between them, as `from_list` reads them; a name that holds a comma or a quote is quoted."""
    return ", ".join(f'"{name.replace(chr(34), 2 * chr(34))}"' if {",", '"'} & set(name) else name for name in classes)


def from_list(text: str) -> tuple[str, ...]:
    """The names in `text`, with commas or line ends between them; quotes hold a name with a comma together.

    ConfigError where the list cannot be read.
    """
    try:
        rows = list(csv.reader(text.splitlines(), skipinitialspace=True))
    except csv.Error as error:
        raise ConfigError(f"The list of classes cannot be read ({error}). Write the names with commas between them.") from error
    return tuple(names.normal(name.strip()) for row in rows for name in row if name.strip())


def from_percent(percent: float) -> float:
    """`percent`, an expected accuracy from 1 to 100, as a share of 1; a ConfigError for anything else, such as a share itself."""
    percent = as_number(percent)
    if not isinstance(percent, (int, float)) or isinstance(percent, bool):
        raise ConfigError(f"The expected accuracy is {str(percent)[:40]!r}; it is a number of percent, from 1 to 100.")
    if not 1 <= percent <= 100:
        meant = f" Did you mean {100 * percent:g} %? Then write {100 * percent:g}." if 0 < percent < 1 else ""
        raise ConfigError(f"The expected accuracy is {percent:g} %; it is named in percent, from 1 to 100.{meant}")
    return percent / 100
