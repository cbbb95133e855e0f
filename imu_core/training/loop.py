"""Train a model, or the retrained reference that never saw the forget set; both are the same recipe on other samples.

`Training` is iterated: each epoch yields a `Point`. It saves after every epoch and resumes where it was stopped; the
resumed model equals the uninterrupted one bit for bit, because every epoch draws from its own generator.
"""

from __future__ import annotations

import math
import platform
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from imu_core import runtime
from imu_core.errors import CheckpointError, ConfigError
from imu_core.models import checkpoints, hashes, outside
from imu_core.models.inference import accuracy, predict, to_input
from imu_core.models.networks import fresh
from imu_core.progress import Task
from imu_core.records.data import Dataset, ImageSet
from imu_core.records.outcome import Outcome
from imu_core.records.run import Point
from imu_core.records.shapes import Card
from imu_core.settings import TRAINING
from imu_core.training.recipes import Recipe, recipe_for
from imu_core.training.statistics import COMPANIONS, LARGEST_WITH_COMPANIONS

_WORSE_THAN_GUESSING = 30.0  # mean loss of an epoch, in units of the loss of guessing, at which a training has diverged
_FEWEST_VECTORS = 2  # samples that a training on vectors needs
_SHUFFLE, _FLIP, _CROP = 1, 2, 3  # streams of the generator
_LOOK_AHEAD, _SLOWEST = 5120, 0.95**5  # samples between two meetings, and what the slow weights keep at the last of them


class Training(Task):
    """Train `model_name` on `dataset` without the samples in `removed`; iterate for Points, then call `save`.

    Stop with `cancel()` from any thread: the run ends within one batch and the last finished epoch stays on disk.
    """

    def __init__(
        self,
        dataset: Dataset,
        model_name: str,
        removed: Tensor | None = None,
        seed: int = 0,
        recipe: Recipe | None = None,
        request: str = "",
    ) -> None:
        super().__init__()
        self.dataset, self.model_name, self.request = dataset, model_name, request
        self.seed = TRAINING["seed"].check(seed)
        self.removed = torch.empty(0, dtype=torch.int64) if removed is None else removed.sort().values
        self.recipe = recipe or recipe_for(model_name, dataset.name)
        keep = torch.ones(len(dataset.train), dtype=torch.bool)
        keep[self.removed] = False
        self.kept = keep.nonzero()[:, 0]
        least = min(self.recipe.batch_size, _FEWEST_VECTORS) if dataset.holds_vectors else self.recipe.batch_size
        if len(self.kept) < least:
            raise ConfigError(f"Only {len(self.kept)} training samples would be left; at least {least} are needed.")
        self._batch = min(self.recipe.batch_size, len(self.kept))
        self.traced: list[dict[str, Tensor]] = []
        self._watched: Sequence[Tensor] = ()
        self.before_batch: Callable[[], None] = lambda: None  # may raise, to end a training from within
        self._worst = _WORSE_THAN_GUESSING * math.log(len(dataset.class_names))
        self.accuracies: dict[str, float] = {}
        self._device = runtime.device()
        self._begin()

    def _begin(self) -> None:
        """Everything that training changes, as it is before the first step."""
        self.model = fresh(self.model_name, self.dataset, self.seed, self.kept)
        self.initial = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        self.epoch, self.seconds, recipe = 0, 0.0, self.recipe
        groups = parameter_groups(self.model, recipe)
        self._optimizer = torch.optim.SGD(groups, recipe.learning_rate, recipe.momentum, nesterov=True)
        self._steps = len(self.kept) // self._batch * recipe.epochs
        self._schedule = one_cycle(self._optimizer, self._steps, recipe.decay)
        moving = {name: tensor for name, tensor in self.initial.items() if tensor.is_floating_point()}
        self._slow = {name: tensor.clone() for name, tensor in moving.items()} if recipe.lookahead else {}

    def trace(self, watched: Sequence[Tensor]) -> None:
        """Add up in `traced`, for each index set in `watched`, the changes of all steps whose batch holds one of its samples.

        `traced` then holds one dictionary a set: the name of a parameter and the sum of its changes. Such a training does not
        resume, and a stopped one is not kept: the sums would miss the steps before.
        """
        self._watched = watched
        self.traced = [{name: torch.zeros_like(p) for name, p in self.model.named_parameters()} for _ in watched]

    def progress(self, last: Point) -> tuple[float, str]:
        """How far the training is after its point `last`: (fraction done, words)."""
        epochs = self.recipe.epochs
        return last.epoch / epochs, f"epoch {last.step} of {epochs}"

    @property
    def time_left(self) -> float:
        """Seconds until the last epoch at the pace so far; 0 before the first epoch has ended."""
        return self.seconds / self.epoch * (self.recipe.epochs - self.epoch) if self.epoch else 0.0

    def __iter__(self) -> Iterator[Point]:
        runtime.limit_threads()
        self.outcome = Outcome("running")
        self.model.to(self._device)  # before the optimizer's state comes, which follows the parameters
        if not self.traced:
            self._resume()
        self.model.to(self._device)
        try:
            yield from self._epochs()
        finally:
            self.model.to("cpu")  # where everything else is

    def _epochs(self) -> Iterator[Point]:
        while self.epoch < self.recipe.epochs:
            start = time.perf_counter()
            loss = self._one_epoch()
            if loss is None:
                self.outcome = Outcome("cancelled", f"Stopped by you after epoch {self.epoch}; training resumes from there.")
                return
            if not loss <= self._worst:  # so that nan counts as well
                words = f"rose to {loss:.3g} nats" if math.isfinite(loss) else "stopped being a number"
                self.outcome = Outcome("diverged", f"The loss {words} in epoch {self.epoch + 1}. Use a smaller learning rate.")
                return
            self.epoch += 1
            self.seconds += time.perf_counter() - start
            if not self.traced and not self.dataset.trains_at_once:
                self._remember()
            last = self.epoch == self.recipe.epochs
            self.accuracies = self._evaluate(None if last else 2000)
            yield Point(self.epoch, float(self.epoch), self.seconds, loss, self.accuracies, full=last)
        self.accuracies = self.accuracies or self._evaluate(None)  # resumed after the last epoch
        self.outcome = Outcome("done")

    def _one_epoch(self) -> float | None:
        self.model.train()
        order = self.kept[torch.randperm(len(self.kept), generator=runtime.generator(self.seed, _SHUFFLE, self.epoch))]
        flips = self._flips(order)
        size, total = self._batch, 0.0
        batches, shift = len(order) // size, runtime.generator(self.seed, _CROP, self.epoch)
        for number in range(batches):
            self.before_batch()
            if self.is_cancelled:
                return None
            part = slice(number * size, (number + 1) * size)
            total += self._one_step(order[part], flips[part], shift)
            self._look_ahead()
        return total / batches

    def _flips(self, order: Tensor) -> Tensor:
        """Which of the images `order` (n,) are flipped in this epoch."""
        alternating = self.recipe.flips == "alternating"
        drawn = runtime.generator(self.seed, _FLIP, 0 if alternating else self.epoch)
        if not alternating:
            return torch.rand(len(order), generator=drawn) < 0.5
        first = torch.rand(len(self.dataset.train), generator=drawn) < 0.5
        return first[order] ^ bool(self.epoch % 2)

    def _one_step(self, index: Tensor, flip: Tensor, shift: torch.Generator) -> float:
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self.recipe.precision == "bfloat16"):
            logits = self.model(self._inputs(index, flip, shift))
        labels = self.dataset.train.labels[index].to(self._device)
        loss = F.cross_entropy(logits.float(), labels, label_smoothing=self.recipe.label_smoothing)
        if self.recipe.gradient_penalty:
            loss = loss + self.recipe.gradient_penalty * self._squared_gradient(loss)
        self._optimizer.zero_grad()
        loss.backward()
        before = {name: p.detach().clone() for name, p in self.model.named_parameters()} if self.traced else {}
        self._optimizer.step()
        self._log(index, before)
        self._schedule.step()
        return float(loss.detach())

    def _inputs(self, index: Tensor, flip: Tensor, shift: torch.Generator) -> Tensor:
        """What goes into the model for the samples `index`: images moved and flipped, vectors as they are."""
        if self.dataset.holds_vectors:
            return self.dataset.train.images[index].to(self._device)
        images = shifted(self.dataset.train.images[index], self.recipe.crop, shift, self.recipe.edge)
        images = torch.where(flip.view(-1, 1, 1, 1), images.flip(-1), images)
        return to_input(images.to(self._device)).to(memory_format=torch.channels_last)

    @torch.no_grad()
    def _look_ahead(self) -> None:
        """Every 5,120 samples slow weights and model meet: nearer the model at first, nearer the slow weights in the end.

        At least ten times, and after the last step, so that short trainings do not end where they began.
        """
        step, every = self._schedule.last_epoch, max(1, min(self._steps // 10, round(_LOOK_AHEAD / self.recipe.batch_size)))
        if not self._slow or (step % every and step < self._steps):
            return
        share, state = _SLOWEST * (step / self._steps) ** 3, self.model.state_dict()
        for name, slow in self._slow.items():
            slow.lerp_(state[name].to(slow.device), 1 - share)
            state[name].copy_(slow)

    def _squared_gradient(self, loss: Tensor) -> Tensor:
        """‖∇ loss‖² of a batch, itself with gradient: the regulariser of IAU (arXiv 2507.23257, Eq. 7) at batch level."""
        gradients = torch.autograd.grad(loss, list(self.model.parameters()), create_graph=True)
        return torch.stack([g.square().sum() for g in gradients]).sum()

    @torch.no_grad()
    def _log(self, index: Tensor, before: dict[str, Tensor]) -> None:
        """Add the step just taken on the batch `index` to the sums of every traced set that the batch has a sample of."""
        change = {name: p - before[name] for name, p in self.model.named_parameters() if name in before}
        for watched, sums in zip(self._watched, self.traced, strict=True):
            if bool(torch.isin(index, watched).any()):
                for name, tensor in change.items():
                    sums[name] += tensor.cpu()

    def _evaluate(self, limit: int | None) -> dict[str, float]:
        """Accuracy on the samples trained on, on test, and (at the end) on what was removed."""
        sets = {"train": _take(self.dataset.train, self.kept[:limit]), "test": _take(self.dataset.test, slice(limit))}
        if len(self.removed) and limit is None:
            sets["forget"] = _take(self.dataset.train, self.removed)
        return {name: accuracy(predict(self.model, images), images.labels) for name, images in sets.items()}

    @property
    def _partial(self) -> Path:
        recipe = "-".join(str(value) for value in asdict(self.recipe).values())
        name = f"{self.dataset.hash}-{self.model_name}-{hashes.removed_hash(self.removed)}-{self.seed}-{recipe}.pt"
        return runtime.home() / "training" / name

    def _remember(self) -> None:
        state = {
            "model": self.model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "schedule": self._schedule.state_dict(),
            "slow": self._slow,
            "epoch": self.epoch,
            "seconds": self.seconds,
        }
        runtime.write_whole(self._partial, lambda path: torch.save(state, path))

    def _resume(self) -> None:
        if not self._partial.exists():
            return
        try:
            state = torch.load(self._partial, weights_only=True, map_location="cpu")
            self.model.load_state_dict(state["model"])
            self._optimizer.load_state_dict(state["optimizer"])
            self._schedule.load_state_dict(state["schedule"])
            self._slow = {name: state["slow"][name] for name in self._slow}
            self.epoch, self.seconds = int(state["epoch"]), float(state["seconds"])
        except Exception:  # a damaged partial file only costs the time to train again, from the very beginning
            self._partial.unlink(missing_ok=True)
            self._begin()

    def save(self, folder: Path | None = None) -> checkpoints.Checkpoint:
        """Store the finished model with its card in `folder`, by default that of trained models; returns the checkpoint.

        It is stored in float16 where that costs at most 0.1 point. Files with its first weights and the statistics that methods
        need come beside a small original. CheckpointError where the training has not ended well or would replace a brought model.
        """
        if self.outcome.state != "done":
            raise CheckpointError("Only a finished training can be saved: iterate it to the end first.")
        if outside.is_brought(self.model_name) and not len(self.removed):
            raise CheckpointError(
                f"{self.model_name} was brought; a training may not take its place. Train an architecture instead."
            )
        folder = folder or checkpoints.folders()[1]
        role = "retrained" if len(self.removed) else "original"
        slug = re.sub("[^A-Za-z0-9]+", "-", self.request)[:40].strip("-")
        name = f"retrained-{slug}-{hashes.removed_hash(self.removed)[:6]}" if len(self.removed) else "original"
        path = (
            folder
            / checkpoints.place(self.dataset.name)
            / self.model_name
            / f"{name if self.seed == 0 else f'{name}-seed{self.seed}'}.safetensors"
        )
        state, stored = self._storable()
        if role == "original" and sum(p.numel() for p in self.model.parameters()) <= LARGEST_WITH_COMPANIONS:
            checkpoints.save(path.with_name(f"{path.stem}.initial.safetensors"), self.initial)
            for kind, make in COMPANIONS.items():
                checkpoints.save(path.with_name(f"{path.stem}.{kind}.safetensors"), make(self.model, self.dataset.train))
        card = self._card(role, stored)
        checkpoints.save(path, state, card)
        self._partial.unlink(missing_ok=True)
        return checkpoints.Checkpoint(path, card)

    def _storable(self) -> tuple[dict[str, Tensor], str]:
        full = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        checkpoints.fill(self.model, checkpoints.halved(full))
        after = self._evaluate(None)
        if all(abs(after[name] - self.accuracies[name]) <= 0.001 for name in after):
            self.accuracies = after
            return checkpoints.halved(full), "float16"
        checkpoints.fill(self.model, full)
        return full, "float32"

    def _card(self, role: str, stored: str) -> Card:
        command = f"python -m imu_core train --problem {self.dataset.name} --model {self.model_name} --seed {self.seed}"
        usual = asdict(recipe_for(self.model_name, self.dataset.name))
        flags = ("epochs", "learning_rate", "batch_size", "gradient_penalty")
        own = {name: getattr(self.recipe, name) for name in flags if getattr(self.recipe, name) != usual[name]}
        command += "".join(f" --{name.replace('_', '-')} {value}" for name, value in own.items())
        return {
            "role": role,
            "dataset": self.dataset.name,
            "data_hash": self.dataset.hash,
            "model": self.model_name,
            "parameters": sum(p.numel() for p in self.model.parameters()),
            "seed": self.seed,
            "request": self.request,
            "removed": len(self.removed),
            "removed_hash": hashes.removed_hash(self.removed),
            "command": command + (f" --forget '{self.request}'" if self.request else ""),
            "recipe": asdict(self.recipe),
            "accuracies": self.accuracies,
            "seconds": round(self.seconds, 1),
            "stored": stored,
            "versions": {"python": platform.python_version(), "torch": torch.__version__},
        }


def parameter_groups(model: nn.Module, recipe: Recipe) -> list[dict[str, float | list[nn.Parameter]]]:
    """All parameters of `model`, in groups that learn at the recipe's rate times a factor that the model names (`RATES`).

    The weight decay is divided by that factor, so that a step takes the same share of every parameter away.
    """
    rates: dict[str, float] = getattr(model, "RATES", {})
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        factor = next((value for part, value in rates.items() if part in name), 1.0)
        groups.setdefault(factor, []).append(parameter)
    return [
        {"params": parameters, "lr": recipe.learning_rate * factor, "weight_decay": recipe.weight_decay / factor}
        for factor, parameters in groups.items()
    ]


def one_cycle(optimizer: torch.optim.Optimizer, steps: int, decay: str = "cosine") -> torch.optim.lr_scheduler.LRScheduler:
    """A schedule that raises the learning rate to the optimizer's own over a fifth of `steps`, then lowers it (Smith 2018).

    With `decay` cosine it starts at a 25th of that peak and ends at nearly 0; with linear it starts at a fifth and ends at a
    fourteenth. With fewer than 10 steps the rate is constant: there is no cycle to speak of.
    """
    if steps < 10:
        return torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
    if decay == "linear":
        top = 0.2 * steps
        return torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: 0.2 + 0.8 * step / top if step < top else 1 - 0.93 * (step - top) / (steps - top)
        )
    peaks = [group["lr"] for group in optimizer.param_groups]
    return torch.optim.lr_scheduler.OneCycleLR(optimizer, peaks, total_steps=steps + 1, pct_start=0.2, cycle_momentum=False)


def shifted(images: Tensor, share: float, generator: torch.Generator, edge: str = "zeros") -> Tensor:
    """`images` (n, channels, h, w), each moved at random by up to `share` of its height and width. 0 changes nothing.

    `edge` says what comes in at the edge: zeros, or (reflect) the image mirrored at its outermost pixels.
    """
    if share == 0:
        return images
    height, width = images.shape[2:]
    high, wide = round(height * share), round(width * share)
    down = torch.randint(2 * high + 1, (len(images),), generator=generator)
    right = torch.randint(2 * wide + 1, (len(images),), generator=generator)
    rows = down.view(-1, 1, 1) - high + torch.arange(height).view(-1, 1)
    columns = right.view(-1, 1, 1) - wide + torch.arange(width)
    if edge == "zeros":
        images = F.pad(images, (wide, wide, high, high))
        rows, columns = rows + high, columns + wide
    else:
        rows, columns = _mirrored(rows, height), _mirrored(columns, width)
    return images.permute(0, 2, 3, 1)[torch.arange(len(images)).view(-1, 1, 1), rows, columns].permute(0, 3, 1, 2)


def _mirrored(places: Tensor, size: int) -> Tensor:
    """Places outside 0 … size − 1 as their mirror images inside."""
    places = places.abs()
    return torch.where(places >= size, 2 * (size - 1) - places, places)


def _take(images: ImageSet, index: Tensor | slice) -> ImageSet:
    return ImageSet(images.images[index], images.labels[index])
