"""How images are normalised before a stranger's network sees them: by a name, by numbers, or by what its file carries itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from imu_core.errors import CheckpointError, ConfigError, shown
from imu_core.model_import import foreign
from imu_core.records.data import Dataset

NORMALISATIONS = {
    "imagenet": "mean and standard deviation of ImageNet",
    "dataset": "those of the images brought",
    "half": "0.5 and 0.5: values from -1 to 1",
    "none": "values from 0 to 1 as they are",
}
Statistics = tuple[tuple[float, ...], tuple[float, ...]]  # mean and std of each channel
_IMAGENET = {3: ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), 1: ((0.449,), (0.226,))}


class Carried(NamedTuple):
    """The normalisation in a file: the name of its means, and the numbers of each channel in units of 0 to 1."""

    name: str
    mean: tuple[float, ...]
    std: tuple[float, ...]


def normalisation(text: str, dataset: Dataset, strange: foreign.Strange | None = None) -> Statistics:
    """(mean, std) of each channel: what the file `strange` carries itself, else what `text` means for `dataset`.

    ConfigError where `text` is no normalisation; CheckpointError where an export of this program carries impossible numbers.
    """
    channels = dataset.train.images.shape[1]
    fixed = {
        "imagenet": _IMAGENET.get(channels, _IMAGENET[3]),
        "dataset": (dataset.mean, dataset.std),
        "half": ((0.5,) * channels, (0.5,) * channels),
        "none": ((0.0,) * channels, (1.0,) * channels),
    }
    statistics = fixed[text] if text in fixed else _numbers(text, channels)
    carried = _carried(strange, channels) if strange else None
    return (carried.mean, carried.std) if carried else statistics


def _carried(strange: foreign.Strange, channels: int) -> Carried | None:
    """What a file brings along itself, None where it brings none for so many channels."""
    for names in foreign.statistics(strange):
        mean, std = (tuple(map(float, strange.tensors[name].flatten()[: channels + 1].tolist())) for name in names)
        own_export = names[0].endswith("normalise.mean")
        if _are_bytes(mean, std) and not own_export:
            mean, std = (tuple(number / 255 for number in part) for part in (mean, std))
        if len(mean) != channels or len(std) != channels:
            continue
        if _within_bounds(mean, std, channels):
            return Carried(names[0], mean, std)
        if own_export:
            raise CheckpointError(
                f"{strange.file} carries the normalisation {mean} and {std} itself; means must be from -10 to 10, standard "
                "deviations from 0.0001 to 10. Save it without normalise.mean and normalise.std, and choose a normalisation."
            )
    return None


def normalised_by(strange: foreign.Strange, dataset: Dataset) -> str:
    """Words on the normalisation that a file carries itself; "" where it carries none."""
    carried = _carried(strange, dataset.train.images.shape[1])
    return f"normalised by the mean and standard deviation that the file carries ({shown(carried.name)})" if carried else ""


def _are_bytes(mean: Sequence[float], std: Sequence[float]) -> bool:
    """Whether these are in units of 0 to 255."""
    return all(0 <= m <= 255 for m in mean) and all(1.5 < s <= 255 for s in std) and max(mean, default=0) > 1.5


def _within_bounds(mean: Sequence[float], std: Sequence[float], channels: int) -> bool:
    return len(mean) == len(std) == channels and all(-10 <= m <= 10 for m in mean) and all(1e-4 <= s <= 10 for s in std)


def _numbers(text: str, channels: int) -> Statistics:
    try:
        mean, std = (tuple(float(number) for number in part.split(",")) for part in text.split("/"))
    except ValueError:
        mean, std = (), ()
    if not _within_bounds(mean, std, channels):
        raise ConfigError(
            f"The normalisation is {text[:60]!r}; it may be {', '.join(NORMALISATIONS)}, or {channels} means and {channels} "
            "standard deviations in units of 0 to 1, such as 0.49,0.48,0.45/0.25,0.24,0.26."
        )
    return mean, std
