"""Where a run happens: its own copy of the model (or of the head alone), and the inputs that go through it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from torch import Tensor, nn

from imu_core import runtime
from imu_core.errors import CheckpointError
from imu_core.models import checkpoints, hashes, networks, outside
from imu_core.models.head import find_head, head_name, trainable
from imu_core.models.inference import to_input
from imu_core.models.networks import fresh
from imu_core.problems.features import compute
from imu_core.records.run import Problem, RunConfig
from imu_core.records.shapes import Value
from imu_core.training.loop import Training
from imu_core.training.recipes import Recipe
from imu_core.training.statistics import IMPORTANCE_BATCH, batch_importances, feature_statistics, importances

_FLIP, _LIMIT = 23, 29  # streams of the generator
_WAIT = 0.2  # seconds between two looks at a lock


Head = tuple[Tensor, Tensor]  # weight (C, d), bias (C,)


class Workspace:
    """A private copy of the model to unlearn, and its inputs by training index.

    With `scope="head"`, `bn="eval"` and no augmentation the module is the head alone and its inputs are cached features:
    the frozen part would compute the same numbers again and again. Otherwise it is the whole model over images.
    """

    def __init__(self, problem: Problem, config: RunConfig, raise_if_stopped: Callable[[], None] = lambda: None) -> None:
        self.problem, self.config, self.raise_if_stopped = problem, config, raise_if_stopped
        self.on_features = config.scope == "head" and config.bn == "eval" and not config.augment
        self.original: nn.Module = problem.head if self.on_features else problem.model
        self.module = copy.deepcopy(self.original).requires_grad_(False)
        self.parameters = list(self.module.parameters()) if self.on_features else trainable(self.module, config.scope)
        for parameter in self.parameters:
            parameter.requires_grad_(True)
        self.set_mode(training=True)

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """(logits (n, C), penultimate features (n, d)) of `inputs`."""
        if self.on_features:
            return self.module(inputs), inputs
        features: list[Tensor] = []
        hook = self.head.register_forward_pre_hook(lambda head, passed: features.append(passed[0]))
        try:
            return self.module(inputs), features[0]
        finally:
            hook.remove()

    @property
    def names(self) -> list[str]:
        """The whole model's names of `parameters`, in the same order."""
        prefix = head_name(self.problem.model) + "." if self.on_features else ""
        known = {id(p): prefix + name for name, p in self.module.named_parameters()}
        return [known[id(p)] for p in self.parameters]

    @property
    def head(self) -> nn.Linear:
        """The head of the copy, as it is now."""
        return self.module if isinstance(self.module, nn.Linear) else find_head(self.module)

    def head_copy(self) -> Head | None:
        """A copy of the current head where inputs are features; None elsewhere, where the head alone would not be enough."""
        return (self.head.weight.detach().clone(), self.head.bias.detach().clone()) if self.on_features else None

    @torch.no_grad()
    def put_head(self, head: Head) -> None:
        """Set the head back to `head`, which `head_copy` returned earlier."""
        for parameter, then in zip((self.head.weight, self.head.bias), head, strict=True):
            parameter.copy_(then)

    @torch.no_grad()
    def place(self, start: list[Tensor], target: list[Tensor], share: float) -> None:
        """Put the parameters on the line from `start` to `target`; `share` 1 is the target itself, bit for bit."""
        for parameter, old, new in zip(self.parameters, start, target, strict=True):
            parameter.copy_(new if share == 1.0 else old + share * (new - old))

    def set_mode(self, training: bool) -> None:
        """Put the module in eval mode; only batch norm layers go into training mode, with `training` and `bn="train"`."""
        if self.on_features:
            return  # a head has no mode
        self.module.eval()
        for layer in self.module.modules():
            if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                layer.train(training and self.config.bn == "train")

    def inputs(self, index: Tensor, step: int | None = None) -> Tensor:
        """What goes into the module for training samples `index`; flipped at random when augmenting at step `step`.

        Vectors are never flipped.
        """
        if self.on_features:
            return self.problem.train.Z[index]
        images = to_input(self.problem.dataset.train.images[index])
        if self.config.augment and step is not None and images.ndim == 4:
            flips = torch.rand(len(index), generator=runtime.generator(self.config.seed, _FLIP, step)) < 0.5
            images = torch.where(flips.view(-1, 1, 1, 1), images.flip(-1), images)
        return images

    def test_inputs(self, index: Tensor | slice) -> Tensor:
        """What goes into the module for test samples `index`."""
        if self.on_features:
            return self.problem.test.Z[index]
        return to_input(self.problem.dataset.test.images[index])

    def sample(self, index: Tensor, limit: int | None) -> Tensor:
        """`index` itself, or a random `limit` of it that the run's seed draws, ascending."""
        if limit is None or limit >= len(index):
            return index
        drawn = torch.randperm(len(index), generator=runtime.generator(self.config.seed, _LIMIT))[:limit]
        return index[drawn].sort().values

    def fresh(self, seed: int) -> nn.Module:
        """A randomly initialised module of the same kind, in eval mode, without gradients."""
        network = networks.build(self.problem.model_name, self.problem.dataset, seed)
        return (find_head(network) if self.on_features else network).eval().requires_grad_(False)

    def random_inputs(self, count: int, generator: torch.Generator) -> Tensor:
        """`count` inputs of standard normal noise: as features, or as normalised pixels of images or columns of vectors.

        These are returned in their own units, so before normalisation.
        """
        if self.on_features:
            Z = self.problem.head.in_features
            return torch.randn(count, Z, generator=generator)
        dataset = self.problem.dataset
        shape = dataset.train.images.shape[1:]
        mean, std = (torch.tensor(v).view(-1, *(1,) * (len(shape) - 1)) for v in (dataset.mean, dataset.std))
        return mean + std * torch.randn(count, *shape, generator=generator)

    def features_of(self, index: Tensor) -> Tensor:
        """Features (n, d) of training samples under the copy as it is now, eval mode, without augmentation.

        Cached features are returned where nothing below the head can move, and at any scope before the first step.
        """
        if (self.config.scope == "head" and self.config.bn == "eval") or self._is_untouched():
            return self.problem.train.Z[index]
        Z, _ = compute(self.module, self.problem.dataset.train.images[index])
        return Z

    def _is_untouched(self) -> bool:
        states = (module.state_dict().values() for module in (self.module, self.original))
        return all(torch.equal(now, before) for now, before in zip(*states, strict=True))

    @property
    def recipe(self) -> dict[str, Value]:
        """The training recipe on the original model's card; CheckpointError for a model that somebody brought."""
        self._trained_here("how it was trained")
        return self._original().card["recipe"]

    def _trained_here(self, what: str) -> None:
        """CheckpointError for a model that somebody brought: of its training nothing is known."""
        if outside.is_brought(self.problem.model_name):
            raise CheckpointError(
                f"{self.problem.model_name} was brought, so {what} is not known, and this method needs it. Choose another method."
            )

    def training_log(self, raise_if_stopped: Callable[[], None]) -> dict[str, Tensor]:
        """Parameter name → the sum of what it gained in those training steps whose batch held a removed sample.

        No log of the training is stored. The training is repeated here, once, with the original's own recipe and seed, and the
        sum is kept on disk.
        """
        self._trained_here("what each step of its training did")
        removed = self.problem.split.removed
        path = self._log_file(removed)
        if not path.exists():
            labels = self.problem.dataset.train.labels
            by_class = [(labels == c).nonzero()[:, 0] for c in labels.unique().tolist()]
            is_class = any(torch.equal(removed, members) for members in by_class)
            self._repeat_training(by_class if is_class else [removed], raise_if_stopped)  # one training serves all classes
        return checkpoints.read_tensors(path)

    def _log_file(self, removed: Tensor) -> Path:
        name = f"{self.problem.dataset.hash}-{self.problem.model_name}-{self._original().card['seed']}"
        return runtime.home() / "companions" / f"{name}-{hashes.removed_hash(removed)}.log.safetensors"

    def _repeat_training(self, watched: list[Tensor], raise_if_stopped: Callable[[], None]) -> None:
        card, problem = self._original().card, self.problem
        training = Training(problem.dataset, problem.model_name, seed=card["seed"], recipe=Recipe(**card["recipe"]))
        training.trace(watched)
        training.before_batch = raise_if_stopped
        for _ in training:
            pass
        for members, sums in zip(watched, training.traced, strict=True):
            checkpoints.save(self._log_file(members), sums)

    def _original(self) -> checkpoints.Checkpoint:
        checkpoint = checkpoints.find(self.problem.dataset, self.problem.model_name, torch.empty(0, dtype=torch.int64))
        if checkpoint is None:
            raise CheckpointError(f"No {self.problem.model_name} is stored for {self.problem.dataset.name}: train it first.")
        return checkpoint

    def companion(self, kind: str) -> dict[str, Tensor]:
        """Name → tensor of a companion of the original model, `kind` initial, statistics or importances; computed if not stored.

        Initial weights are named as in the module: those of the head alone lose their prefix.
        """
        if kind == "initial":
            self._trained_here("what it began its training with")
        checkpoint = self._original()
        tensors = checkpoint.companion(kind) if checkpoint.has(kind) else self._made(kind, checkpoint)
        if not (self.on_features and kind == "initial"):
            return tensors
        prefix = head_name(self.problem.model) + "."
        return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}

    def _made(self, kind: str, checkpoint: checkpoints.Checkpoint) -> dict[str, Tensor]:
        """A companion that is not stored beside the original, because the model is large."""
        dataset, name = self.problem.dataset, self.problem.model_name
        if kind == "initial":
            return fresh(name, dataset, checkpoint.card["seed"]).state_dict()
        if kind == "statistics":
            train = self.problem.train
            return feature_statistics(train.Z, train.labels, len(dataset.class_names))
        return self._head_importances() if self.on_features else self._kept_importances()

    def _head_importances(self) -> dict[str, Tensor]:
        """Those of the head alone, from the cached features: the rest would take minutes and nobody asked for it."""
        train = self.problem.train
        parts = zip(train.Z.split(IMPORTANCE_BATCH), train.labels.split(IMPORTANCE_BATCH), strict=True)
        return batch_importances(self.problem.head, parts, IMPORTANCE_BATCH, head_name(self.problem.model) + ".")

    def _kept_importances(self) -> dict[str, Tensor]:
        """Those of all parameters: minutes on a large model, so computed once for all visitors and kept on this machine."""
        images = self.problem.dataset.train
        name = f"{hashes.state_hash(self.problem.model)}-{self.problem.dataset.hash}.importances.safetensors"
        path = runtime.folder(runtime.home() / "companions") / name
        with self._alone(path):
            if not path.exists():
                checkpoints.save(path, importances(self.problem.model, images, before_batch=self.raise_if_stopped))
        return checkpoints.read_tensors(path)

    @contextmanager
    def _alone(self, path: Path) -> Iterator[None]:
        """Nobody else makes `path` meanwhile, in this process or another; waiting ends with Cancelled when the run is stopped."""
        lock = FileLock(path.with_suffix(".lock"))
        while not lock.is_locked:
            self.raise_if_stopped()
            with suppress(Timeout):
                lock.acquire(timeout=_WAIT)
        try:
            yield
        finally:
            lock.release()

    def model(self) -> nn.Module:
        """A whole model with the parameters as they are now, in eval mode, without gradients; the caller owns it."""
        if not self.on_features:
            return copy.deepcopy(self.module).eval().requires_grad_(False)
        model = copy.deepcopy(self.problem.model)
        find_head(model).load_state_dict(self.module.state_dict())
        return model.eval().requires_grad_(False)
