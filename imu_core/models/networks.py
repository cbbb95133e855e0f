"""Networks by name for a data set: which are offered, one before its first step, one with the tensors of a checkpoint."""

from __future__ import annotations

from functools import lru_cache

from torch import Tensor, nn

from imu_core.models import FOR_CLASSES, FOR_COLOUR, FOR_PEOPLE, brought, construct
from imu_core.models.checkpoints import Checkpoint, fill, read_tensors
from imu_core.models.inference import to_input
from imu_core.models.outside import is_brought
from imu_core.records.data import Dataset, Source

_PREPARE = 5000  # training images that a model may look at before its first step


def suited(dataset: str, source: Source) -> tuple[str, ...]:
    """Names of the models to offer for `dataset`, which `source` describes, the one to choose by default first.

    Models that somebody brought are among them, except for a set of people.
    """
    if source.people:
        return source.models or FOR_PEOPLE
    usual, own = source.models or (FOR_COLOUR if source.channels == 3 else FOR_CLASSES), brought.names(dataset)
    return (*own, *usual) if source.brought else (*usual, *own)


def build(name: str, dataset: Dataset, seed: int = 0) -> nn.Module:
    """A freshly initialised model `name` for `dataset`; the same seed gives the same bits."""
    classes, shape = len(dataset.class_names), dataset.train.images.shape[1:]
    if is_brought(name):
        about = brought.card(dataset.name, name)["brought"]
        return construct(about["architecture"], classes, shape, about["mean"], about["std"], head=about["head"], seed=seed)
    return construct(name, classes, shape, dataset.mean, dataset.std, seed=seed)


@lru_cache(200)
def parameters(name: str, classes: int, shape: tuple[int, ...]) -> int:
    """How many numbers the model `name` of the registry learns, for samples of `shape` in so many classes."""
    channels = shape[0]
    network = construct(name, classes, shape, (0.0,) * channels, (1.0,) * channels)
    return sum(values.numel() for values in network.parameters())


def fresh(model_name: str, dataset: Dataset, seed: int = 0, samples: Tensor | None = None) -> nn.Module:
    """The model before its first step. One with a method `prepare` has been shown up to 5,000 training images.

    Those are the first of `samples`, the indices of the samples that will be trained on; None means all of the training set.
    """
    model = build(model_name, dataset, seed)
    if hasattr(model, "prepare"):
        seen = slice(_PREPARE) if samples is None else samples[:_PREPARE]
        model.prepare(to_input(dataset.train.images[seen]))
    return model


def load_model(checkpoint: Checkpoint, dataset: Dataset) -> nn.Module:
    """The model of `checkpoint` in float32 and eval mode, without gradients; it is meant to be shared."""
    model = build(checkpoint.card["model"], dataset)
    fill(model, read_tensors(checkpoint.path))
    return model.eval().requires_grad_(False)
