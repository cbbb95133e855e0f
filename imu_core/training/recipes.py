"""How the networks here are trained: one recipe a network."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from imu_core.numeric import as_number
from imu_core.settings import TRAINING


@dataclass(frozen=True)
class Recipe:
    """How the models here are trained: SGD with Nesterov momentum, one-cycle learning rate, horizontal flips.

    crop             random shift, as a share of height and width; at its edge come in zeros, or the image itself (reflect)
    label_smoothing  share of the target spread over all classes
    precision        float32, or bfloat16 for the forward pass: about twice as fast where the processor has it
    gradient_penalty α of IAU's gradient regularisation: α ‖∇ loss‖² is added to the loss of every batch; 0 is none
    flips            random, or alternating: drawn in the first epoch and turned round in every other one (arXiv 2404.00498)
    decay            after the first fifth the learning rate falls as a cosine, or in a straight line to a fourteenth
    lookahead        slow weights that follow the fast ones every few steps, ever more slowly (arXiv 1907.08610)
    """

    epochs: int = TRAINING["epochs"].default
    batch_size: int = TRAINING["batch_size"].default
    learning_rate: float = TRAINING["learning_rate"].default
    momentum: float = TRAINING["momentum"].default
    weight_decay: float = TRAINING["weight_decay"].default
    crop: float = TRAINING["crop"].default
    label_smoothing: float = TRAINING["label_smoothing"].default
    precision: str = TRAINING["precision"].default
    gradient_penalty: float = TRAINING["gradient_penalty"].default
    flips: str = TRAINING["flips"].default
    edge: str = TRAINING["edge"].default
    decay: str = TRAINING["decay"].default
    lookahead: bool = TRAINING["lookahead"].default

    def __post_init__(self) -> None:
        for setting in fields(self):
            object.__setattr__(self, setting.name, value := as_number(getattr(self, setting.name)))
            TRAINING[setting.name].check(value)


_PEOPLE = Recipe(30, 64, 0.1, crop=0.0625, label_smoothing=0.1, precision="bfloat16")  # torchreid smooths labels by 0.1, too
_AIRBENCH = Recipe(
    16, 512, 0.75, 0.85, weight_decay=1.33e-3, crop=0.0625, label_smoothing=0.2, precision="bfloat16",
    flips="alternating", edge="reflect", decay="linear", lookahead=True,
)  # fmt: skip
_CIFAR = Recipe(40, 128, 0.2, crop=0.125, label_smoothing=0.1, precision="bfloat16", edge="reflect")
RECIPES: dict[str, Recipe] = {
    "small_resnet": Recipe(),
    "small_resnet_gr": Recipe(gradient_penalty=0.01),
    "lenet5": Recipe(learning_rate=0.05),
    "reid_resnet18": _PEOPLE,
    "reid_resnet50": replace(_PEOPLE, epochs=60, batch_size=32, learning_rate=0.02),
    "faces/reid_resnet18": replace(_PEOPLE, epochs=60, batch_size=16, learning_rate=0.05),
    "faces/small_resnet": replace(_PEOPLE, epochs=60, batch_size=16, learning_rate=0.1, precision="float32"),
    "airbench": _AIRBENCH,
    "resnet20": replace(_CIFAR, label_smoothing=0.0),
    "resnet20_even": replace(_CIFAR, label_smoothing=0.0),
    "resnet18": replace(_CIFAR, epochs=30),
    "vgg19": replace(_CIFAR, epochs=40, learning_rate=0.1),
    "mlp": Recipe(80, 32, 0.2, weight_decay=1e-4),
    "logistic": Recipe(60, 32, 0.5, weight_decay=1e-3),
    "cifar10/lenet5": replace(_CIFAR, epochs=30, learning_rate=0.05, label_smoothing=0.0),
}


def recipe_for(model_name: str, dataset: str = "") -> Recipe:
    """The recipe that `dataset` has for `model_name` (few images need small batches), else the usual one of that network."""
    return RECIPES.get(f"{dataset}/{model_name}") or RECIPES.get(model_name, Recipe())
