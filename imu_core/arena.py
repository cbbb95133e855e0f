"""Where a run happens: its own copy of the model (or of the head alone), and the inputs that go through it."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from imu_core import runtime
from imu_core.errors import CheckpointError
from imu_core.features import compute
from imu_core.models import checkpoints
from imu_core.models.head import find_head, head_name, trainable
from imu_core.records import Problem, RunConfig
from imu_core.statistics import COMPANIONS
from imu_core.training import fresh, to_input

_FLIP = 23  # stream of the generator


class Arena:
    """A private copy to unlearn, with its inputs by training index.

    With `scope="head"`, `bn="eval"` and no augmentation the module is the head alone and its inputs are cached features:
    the frozen part would compute the same numbers again and again. Otherwise it is the whole model over images.
    """

    def __init__(self, problem: Problem, config: RunConfig) -> None:
        self.problem, self.config = problem, config
        self.on_features = config.scope == "head" and config.bn == "eval" and not config.augment
        self.original: nn.Module = problem.head if self.on_features else problem.model
        self.module = copy.deepcopy(self.original).requires_grad_(False)
        self.parameters = list(self.module.parameters()) if self.on_features else trainable(self.module, config.scope)
        for parameter in self.parameters:
            parameter.requires_grad_(True)
        self.set_mode(training=True)

    @property
    def head(self) -> nn.Linear:
        """The head of the copy, as it is now."""
        return self.module if isinstance(self.module, nn.Linear) else find_head(self.module)

    def set_mode(self, training: bool) -> None:
        """Batch norm follows `bn` while training and is always in eval mode otherwise; nothing else has a mode here."""
        self.module.eval()
        for layer in self.module.modules():
            if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                layer.train(training and self.config.bn == "train")

    def inputs(self, index: Tensor, step: int | None = None) -> Tensor:
        """What goes into the module for training samples `index`; flipped at random when augmenting at step `step`."""
        if self.on_features:
            return self.problem.train.Z[index]
        images = to_input(self.problem.dataset.train.images[index])
        if self.config.augment and step is not None:
            flips = torch.rand(len(index), generator=runtime.generator(self.config.seed, _FLIP, step)) < 0.5
            images = torch.where(flips.view(-1, 1, 1, 1), images.flip(-1), images)
        return images

    def test_inputs(self, index: Tensor | slice) -> Tensor:
        """What goes into the module for test samples `index`."""
        if self.on_features:
            return self.problem.test.Z[index]
        return to_input(self.problem.dataset.test.images[index])

    def forget_features(self) -> Tensor:
        """Features (n, d) of the forget set under the copy as it is now, eval mode, without augmentation."""
        forget = self.problem.split.forget
        if self.config.scope == "head" and self.config.bn == "eval":
            return self.problem.train.Z[forget]
        Z, _ = compute(self.module, self.problem.dataset.train.images[forget])
        return Z

    def companion(self, kind: str) -> dict[str, Tensor]:
        """Tensors stored beside the original model; names are those of the module (the head's lose their prefix)."""
        found = checkpoints.find(self.problem.dataset, self.problem.model_name, torch.empty(0, dtype=torch.int64))
        if found is None:
            raise CheckpointError(
                f"No {kind} are stored for {self.problem.model_name} on {self.problem.dataset.name}: train it first."
            )
        tensors = found.companion(kind) if found.has(kind) else self._made(kind, found)
        if not (self.on_features and kind == "initial"):
            return tensors
        prefix = head_name(self.problem.model) + "."
        return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}

    def _made(self, kind: str, original: checkpoints.Checkpoint) -> dict[str, Tensor]:
        """A companion that is not stored beside the original, because the model is large: computed once, kept on this machine."""
        dataset, name = self.problem.dataset, self.problem.model_name
        if kind == "initial":
            return fresh(name, dataset, original.card["seed"]).state_dict()
        path = runtime.home() / "companions" / f"{checkpoints.state_hash(self.problem.model)}-{dataset.hash}.{kind}.safetensors"
        if not path.exists():
            checkpoints.save(path, COMPANIONS[kind](self.problem.model, dataset.train))
        return checkpoints.read_tensors(path)

    def model(self) -> nn.Module:
        """A whole model with the parameters as they are now, in eval mode, without gradients; the caller owns it."""
        if not self.on_features:
            return copy.deepcopy(self.module).eval().requires_grad_(False)
        model = copy.deepcopy(self.problem.model)
        find_head(model).load_state_dict(self.module.state_dict())
        return model.eval().requires_grad_(False)
