"""How alike two models are: class by class, answer by answer, layer by layer (CKA), and sample by sample in one common frame."""

from __future__ import annotations

import copy
import math
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from scipy.linalg import orthogonal_procrustes
from sklearn.decomposition import PCA
from torch import Tensor, nn

from imu_core.caches import SharedCache
from imu_core.errors import DataError
from imu_core.models import hashes
from imu_core.models.head import blocks, find_head, head_name
from imu_core.models.inference import Logits, chunk_of, to_input
from imu_core.problems.features import compute
from imu_core.problems.reference import retrained_model
from imu_core.problems.subsets import spread
from imu_core.progress import Task
from imu_core.records.run import Problem

SAMPLES = 400  # test images whose activations are compared
_FEWEST = 4  # samples that the unbiased estimate needs
_GRAMS: SharedCache[tuple[str, str, int], dict[str, Tensor]] = SharedCache(8)  # by hashes of model and data set, and samples


# Answers.
Models = dict[str, nn.Module]  # by name


@torch.no_grad()
def outputs(problem: Problem, model: nn.Module) -> Logits:
    """Logits of `model` on the whole training and test set; from the stored features where only its head was changed."""
    if same_below_head(model, problem.model):
        head = find_head(model)
        return head(problem.train.Z), head(problem.test.Z)
    return compute(model, problem.dataset.train.images)[1], compute(model, problem.dataset.test.images)[1]


def same_below_head(one: nn.Module, other: nn.Module) -> bool:
    """Whether both models hold the same numbers everywhere but in their heads, buffers included."""
    mine, its, head = one.state_dict(), other.state_dict(), f"{head_name(other)}."
    return all(torch.equal(mine[name], tensor) for name, tensor in its.items() if not name.startswith(head))


def identical_blocks(one: nn.Module, other: nn.Module) -> int:
    """How many blocks from the input on hold the same numbers in both models; their outputs are then the same as well."""
    count = 0
    for mine, its in zip(blocks(one), blocks(other), strict=True):
        pairs = zip(mine.state_dict().values(), its.state_dict().values(), strict=True)
        if not all(torch.equal(a, b) for a, b in pairs):
            break
        count += 1
    return count


def class_accuracies(logits: Tensor, labels: Tensor, classes: int) -> np.ndarray:
    """Accuracy of each class (classes,), fractions, float64, from logits (n, C); nan for a class without samples."""
    hit = (logits.argmax(1) == labels).double()
    sizes = torch.bincount(labels, minlength=classes).double()
    return (torch.bincount(labels, hit, minlength=classes) / sizes).numpy()


def class_changes(problem: Problem, logits: Logits) -> np.ndarray:
    """Change of every class's test accuracy against the original model (C,), fractions; nan where the test set has none."""
    labels, classes = problem.test.labels, len(problem.dataset.class_names)
    before, after = (class_accuracies(z, labels, classes) for z in (problem.test.logits, logits[1]))
    return after - before


def prediction_matrix(one: Tensor, other: Tensor) -> np.ndarray:
    """Counts (C, C): in row i and column j the samples to which `one` says class i and `other` class j, from logits (n, C).

    It compares answers, not truth: the diagonal is agreement, right or wrong. DataError for logits of two shapes.
    """
    if one.shape != other.shape or one.ndim != 2:
        raise DataError(f"Logits of shapes {tuple(one.shape)} and {tuple(other.shape)}: both must be (n, C).")
    classes = one.shape[1]
    pairs = one.argmax(1) * classes + other.argmax(1)
    return torch.bincount(pairs, minlength=classes * classes).reshape(classes, classes).numpy()


# Layers.


def gram(values: Tensor) -> Tensor:
    """X Xᵀ (n, n) in float64 of activations (n, …), flattened and centred over the samples."""
    x = values.reshape(len(values), -1).to(torch.float64)
    x = x - x.mean(0)
    return x @ x.T


def cka(one: Tensor, other: Tensor) -> float:
    """Linear CKA of two Gram matrices (n, n) of the same samples, by the unbiased estimate of HSIC; 1 = alike up to rotation.

    HSIC(K, L) = (tr K̃L̃ + 1ᵀK̃1 1ᵀL̃1 / ((n−1)(n−2)) − 2 1ᵀK̃L̃1 / (n−2)) / (n(n−3)), diagonals set to 0;
    CKA = HSIC(K, L) / √(HSIC(K, K) HSIC(L, L)). The standard estimate calls anything alike when there are more features than
    samples; this one is near 0 for unrelated activations and may fall slightly below. nan for activations that never vary.

    Raises: DataError below four samples or for two sizes. Source: Kornblith et al. 2019, arXiv 1905.00414; Nguyen et al. 2021,
    arXiv 2010.15327, equations 1 to 3.
    """
    if one.shape != other.shape or one.ndim != 2 or one.shape[0] != one.shape[1] or len(one) < _FEWEST:
        shapes = f"{tuple(one.shape)} and {tuple(other.shape)}"
        raise DataError(f"Gram matrices of shapes {shapes}: both must be (n, n), n at least {_FEWEST}.")
    K, L = (g.to(torch.float64) - torch.diag(torch.diagonal(g.to(torch.float64))) for g in (one, other))
    scale = math.sqrt(max(0.0, _hsic(K, K) * _hsic(L, L)))
    return _hsic(K, L) / scale if scale > 0.0 else math.nan


def _hsic(K: Tensor, L: Tensor) -> float:
    """The unbiased estimate from Gram matrices whose diagonals are 0."""
    n = len(K)
    rows = (K.sum(0), L.sum(0))
    crossed = float(rows[0].sum() * rows[1].sum()) / ((n - 1) * (n - 2))
    return (float((K * L).sum()) + crossed - 2.0 * float(rows[0] @ rows[1]) / (n - 2)) / (n * (n - 3))


def block_names(model: nn.Module) -> tuple[str, ...]:
    """The dotted names of `models.head.blocks`, in forward order, the head last."""
    names = {id(module): name for name, module in model.named_modules()}
    return tuple(names[id(block)] for block in blocks(model))


def block_outputs(model: nn.Module, images: Tensor) -> Iterator[tuple[float, dict[str, Tensor]]]:
    """Yields (fraction done, {}) a chunk of uint8 `images`, at the end (1.0, name of block → outputs (n, d)); eval mode.

    It works on a copy: a hook on a shared model would be seen by everybody who uses it.
    """
    network, activations = copy.deepcopy(model).eval(), {}
    for name, block in zip(block_names(network), blocks(network), strict=True):
        parts = activations.setdefault(name, [])
        block.register_forward_hook(lambda _, __, out, parts=parts: parts.append(out.flatten(1)))
    chunks = images.split(chunk_of(images))
    for number, chunk in enumerate(chunks, 1):
        with torch.no_grad():
            network(to_input(chunk))
        yield (
            number / len(chunks),
            {name: torch.cat(parts) for name, parts in activations.items()} if number == len(chunks) else {},
        )


class LayerSimilarity(Task):
    """CKA of every block of `models` (name → network) to the original and, where one is stored, to the retrained network.

    Iterate it for (fraction done, words); afterwards or after a Stop:

        layers       names of the blocks, the head (its logits) last
        values       name → {original, retrained} → CKA by layer; the retrained network itself stands there as well
        identical    name → how many blocks from the input on hold the original's very numbers: their CKA is exactly 1
        samples      how many test images it is over (evenly spaced, all classes)
    """

    def __init__(self, problem: Problem, models: Mapping[str, nn.Module], most: int = SAMPLES) -> None:
        super().__init__()
        self.problem = problem
        self._models = dict(models)
        self._index = spread(torch.arange(len(problem.dataset.test)), most)
        self.samples, self.layers = len(self._index), block_names(problem.model)
        self.values: dict[str, dict[str, list[float]]] = {}
        self.identical: dict[str, int] = {}

    def working(self) -> Iterator[tuple[float, str]]:
        """Compares one model after another; the values of those that were compared before a Stop stay."""
        reference = retrained_model(self.problem)
        models = {"original": self.problem.model, **({"retrained": reference} if reference is not None else {}), **self._models}
        known: dict[str, dict[str, Tensor]] = {}
        for number, (name, model) in enumerate(models.items()):
            grams: dict[str, Tensor] = yield from self._grams(
                name, model, known.get("original"), number / len(models), len(models)
            )
            if name in ("original", "retrained"):
                known[name] = grams
            if name != "original":
                self.values[name] = {who: [cka(grams[at], other[at]) for at in self.layers] for who, other in known.items()}

    def _grams(
        self, name: str, model: nn.Module, original: dict[str, Tensor] | None, start: float, models: int
    ) -> Generator[tuple[float, str], None, dict[str, Tensor]]:
        """Gram matrices by layer, read where this model was asked before, or its features are known."""
        self.identical[name] = identical_blocks(model, self.problem.model)
        key = (hashes.state_hash(model), self.problem.dataset.hash, self.samples)
        stored = _GRAMS.get(key)
        if stored is not None:
            return stored
        if original and self.identical[name] >= len(self.layers) - 1:
            with torch.no_grad():
                logits = find_head(model)(self.problem.test.Z[self._index])
            return {**original, self.layers[-1]: gram(logits)}
        activations: dict[str, Tensor] = {}
        for fraction, activations in block_outputs(model, self.problem.dataset.test.images[self._index]):  # noqa: B007
            yield start + 0.8 * fraction / models, f"activations of {name}"
            self._raise_if_cancelled()
        _GRAMS[key] = grams = {layer: gram(values) for layer, values in activations.items()}
        return grams


# Samples, in one frame.


def centred(logits: Tensor) -> Tensor:
    """Logits (n, C) minus their mean over the classes, float64: softmax is the same, and no model has a drift of its own."""
    values = logits.detach().to(torch.float64)
    return values - values.mean(1, keepdim=True)


@dataclass(frozen=True, eq=False)
class Frame:
    """A plane in a space of d numbers: where it is (`mean` (d,)), its two `axes` (2, d), and the `share` of variance of each."""

    mean: Tensor
    axes: Tensor
    share: tuple[float, ...]

    def place(self, values: Tensor) -> np.ndarray:
        """Where `values` (n, d) lie in the plane, (n, 2) float64: projected, never fitted again."""
        return ((values.to(torch.float64) - self.mean) @ self.axes.T).numpy()

    def shows(self, values: Tensor) -> float:
        """The share of the variance of `values` (n, d) that this plane shows, 0 to 1; nan where they do not vary."""
        x = values.to(torch.float64)
        x = x - x.mean(0)
        whole = float((x**2).sum())
        return float(((x @ self.axes.T) ** 2).sum()) / whole if whole > 0.0 else math.nan


def frame(values: Tensor) -> Frame:
    """The plane of the two principal components of `values` (n, d); each axis points to where its largest entry is positive.

    Raises: DataError below three samples, below two numbers a sample, or for values that are not finite.
    """
    x = values.detach().to(torch.float64)
    if x.ndim != 2 or min(x.shape[0] - 1, x.shape[1]) < 2 or not bool(torch.isfinite(x).all()):
        raise DataError(f"Values of shape {tuple(values.shape)}: a plane needs at least (3, 2) finite numbers.")
    with np.errstate(invalid="ignore"):  # where all samples are in one place, no axis has a share
        fitted = PCA(2, svd_solver="full").fit(x.numpy())  # the other solvers give up digits
    share = np.nan_to_num(fitted.explained_variance_ratio_)
    return Frame(torch.from_numpy(fitted.mean_), torch.from_numpy(fitted.components_), tuple(share.tolist()))


def turned(values: Tensor, onto: Tensor, rows: Tensor) -> Tensor:
    """`values` (n, d) moved, turned and mirrored, never stretched, so that the samples `rows` lie as near as can be to `onto`.

    Orthogonal Procrustes. A network that was trained by itself may hold the same features in another basis: unturned, its
    place in somebody else's frame means nothing. Source: Schönemann 1966.
    """
    x, y = values.to(torch.float64), onto.to(torch.float64)
    centres = x[rows].mean(0), y[rows].mean(0)
    turn, _ = orthogonal_procrustes((x[rows] - centres[0]).numpy(), (y[rows] - centres[1]).numpy())
    return (x - centres[0]) @ torch.from_numpy(turn) + centres[1]


@dataclass(frozen=True, eq=False)
class Embedding:
    """The same samples under several models in one frame.

    `ids` (n,) training indices, `is_forget` (n,); `places` model → (n, 2); `shows` model → the share of that model's variance
    that the frame shows; `lengths` model → (n,) how far a sample moved from where the original has it, in the whole space.
    """

    ids: np.ndarray
    is_forget: np.ndarray
    places: dict[str, np.ndarray]
    shows: dict[str, float]
    lengths: dict[str, np.ndarray] = field(default_factory=dict)


def sample_ids(problem: Problem, forget: int = 150, retain: int = 350) -> tuple[Tensor, Tensor]:
    """(training indices, whether each belongs to the forget set): at most so many of both sets, evenly spaced."""
    parts = spread(problem.split.forget, forget), spread(problem.split.retain, retain)
    return torch.cat(parts), torch.cat([torch.full((len(p),), k == 0) for k, p in enumerate(parts)])


def embedding(ids: Tensor, is_forget: Tensor, values: Mapping[str, Tensor], own_basis: tuple[str, ...] = ()) -> Embedding:
    """`values` (model → (n, d), with an entry "original" that the frame is fitted on) in one frame.

    Models in `own_basis` are `turned` onto the original first, by the samples that are not to be forgotten.
    """
    base = values["original"].to(torch.float64)
    plane = frame(base)
    same = {name: turned(v, base, ~is_forget) if name in own_basis else v.to(torch.float64) for name, v in values.items()}
    return Embedding(
        ids.numpy(),
        is_forget.numpy(),
        {name: plane.place(v) for name, v in same.items()},
        {name: plane.shows(v) for name, v in same.items()},
        {name: torch.linalg.vector_norm(v - base, dim=1).numpy() for name, v in same.items()},
    )


@torch.no_grad()
def sample_features(problem: Problem, model: nn.Module, ids: Tensor) -> Tensor:
    """Penultimate features (n, d) of the training samples `ids` under `model`."""
    if same_below_head(model, problem.model):
        return problem.train.Z[ids]
    return compute(model, problem.dataset.train.images[ids])[0]


def as_table(matrix: np.ndarray, names: tuple[str, ...], most: int = 12) -> tuple[np.ndarray, list[str]]:
    """`matrix` (C, C) and its class names; of more than `most` classes, those with the largest counts off the diagonal stay."""
    if len(names) <= most:
        return matrix, list(names)
    off: Any = matrix - np.diag(np.diag(matrix))
    classes = np.sort(np.argsort(-(off.sum(0) + off.sum(1)), kind="stable")[:most])
    return matrix[np.ix_(classes, classes)], [names[c] for c in classes]
