"""A stranger's checkpoint: read without running anything in it, checked tensor by tensor, and laid over a network of ours.

safetensors is read as it is; anything else through torch's `weights_only` reader, which refuses whatever is more than tensors,
and in a process apart, since even what that reader lets through can hang it or fill the memory. Both read from memory: nothing is
unpacked on the disk, and torch never takes the path that old tar files would.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from imu_core import access, runtime
from imu_core.errors import CheckpointError
from imu_core.models import apart
from imu_core.models.brought import linear_layers
from imu_core.models.pickled import DEEPEST, MOST_BYTES, NO_STATE, Refused, plain, shown

PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.")
_COUNTER = "num_batches_tracked"  # counts batches; nothing reads it in eval mode, and old files lack it
_NORMALISE = ("normalise.mean", "normalise.std")  # what this program's own exports carry


@dataclass(frozen=True, eq=False)
class Strange:
    """The tensors of a file by name (wrappers and common prefixes taken off), in the file's order where it has one.

    `notes` say in words what was taken off, `sha256` is the file's.
    """

    file: str
    sha256: str
    tensors: dict[str, Tensor]
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Matched:
    """Tensors under the names of a network of ours, and in words how they were told which is which."""

    state: dict[str, Tensor]
    how: str


def read(source: bytes | Path, file: str = "", stop: threading.Event | None = None) -> Strange:
    """The tensors in `source`, a path or a file's content (then called `file`).

    Raises CheckpointError, a sentence, for files that are too large or damaged, hold more than tensors, or numbers that are none;
    Cancelled soon after `stop` is set.
    """
    file = shown(file or (source.name if isinstance(source, Path) else "the file"), 120)
    content = source if isinstance(source, bytes) else _content(source)
    _check_bytes(len(content), file)
    is_safe = content[8:9] == b"{" and int.from_bytes(content[:8], "little") < len(content)
    try:
        tensors, through = _safetensors(content) if is_safe else apart.unpickled(content, stop)
        tensors = plain(tensors)
        _check_numbers(tensors)
    except Refused as refusal:
        raise CheckpointError(f"{file} {refusal}") from refusal
    tensors, notes = _without_prefix(tensors)
    if is_safe:  # that format sorts by itself; conv2 comes before conv10
        tensors = dict(sorted(tensors.items(), key=lambda item: _natural(item[0])))
    if through:
        notes = (f"taken from {' → '.join(through)}", *notes)
    return Strange(file, hashlib.sha256(content).hexdigest(), tensors, notes)


def _content(path: Path) -> bytes:
    access.check(path)
    try:
        path = path.expanduser()
        if not path.is_file():
            raise CheckpointError(
                f"There is no file {str(path)[:200]!r}. Name a checkpoint: .safetensors, or a state dict of torch."
            )
        _check_bytes(path.stat().st_size, shown(path.name))
        return runtime.read_bytes(path, MOST_BYTES)
    except (OSError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{str(path)[:200]!r} cannot be read ({shown(error, 200)}).") from error


def _check_bytes(size: int, file: str) -> None:
    if size > MOST_BYTES:
        raise CheckpointError(
            f"{file} has {size / 2**20:,.0f} MiB; checkpoints of at most {MOST_BYTES / 2**20:,.0f} MiB are read."
        )
    if size < 16:
        raise CheckpointError(f"{file} has {size} bytes: there is no checkpoint in it.")


def _safetensors(content: bytes) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    try:
        tensors = safetensors.torch.load(content)
    except (SafetensorError, ValueError, KeyError, RuntimeError, OverflowError) as error:
        raise Refused(f"is a damaged safetensors file ({shown(error, 120)}). Copy it again.") from error
    if not tensors:
        raise Refused(NO_STATE)
    return tensors, ()


def _check_numbers(tensors: Mapping[str, Tensor]) -> None:
    """float32 is what a network of ours takes them as."""
    for name, tensor in tensors.items():
        wrong = int((~torch.isfinite(tensor.float())).sum()) if tensor.is_floating_point() else 0
        if wrong:
            raise Refused(
                f"holds under {shown(name)} {wrong:,} values that are no numbers in float32 (nan, infinity or too large) among "
                f"{tensor.numel():,}. Take a checkpoint from before the training diverged."
            )


def _without_prefix(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The same without the prefixes that wrappers of networks leave on every name."""
    taken = []
    for _ in range(DEEPEST):
        prefix = next((p for p in PREFIXES if all(name.startswith(p) for name in tensors)), None)
        if prefix is None:
            break
        tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
        taken.append(prefix)
    return tensors, (f"{' and '.join(taken)} taken off every name",) if taken else ()


def _natural(name: str) -> list[tuple[int, int, str]]:
    parts = (part for part in re.split(r"([0-9]{1,9})", name) if part)  # ² is a digit to Python, but no number
    return [(1, int(part), "") if part.isascii() and part.isdecimal() else (0, 0, part) for part in parts]


# Which tensor is which.


def match(model: nn.Module, strange: Strange, classes: int) -> Matched:
    """The tensors of `strange` under the names that `model` has, by name or else by order; or a CheckpointError.

    By order: layers of the same kind (convolutions, norms, linear layers) are paired in the order they come in, and every
    shape must agree one for one. Whether that was right, accuracy decides. A file may lack the counters of batch norm
    and the bias of a head that had none.
    """
    own = {name: t for name, t in model.state_dict().items() if not name.endswith(_COUNTER) and name not in _NORMALISE}
    given = {name: t for name, t in strange.tensors.items() if not name.endswith(_COUNTER) and name not in _NORMALISE}
    added = f"{getattr(model, 'head_layer', '')}.bias"
    if added in own and added not in given and len(own) == len(given) + 1:
        del own[added]  # zeros, as it was built
    if own.keys() == given.keys():
        pairs, how = [(name, name) for name in own], f"all {len(own)} tensors by their names"
    else:
        pairs, how = list(_in_order(own, given, strange.file)), f"{len(own)} tensors by order: shapes agree, names do not"
    _check_shapes(pairs, own, given, classes, strange.file)
    state = dict(model.state_dict())
    state |= {mine: given[theirs] for mine, theirs in pairs}
    counters = {name: t for name, t in strange.tensors.items() if name in state and state[name].shape == t.shape}
    return Matched(state | {n: t for n, t in counters.items() if n.endswith(_COUNTER)}, how)


def _in_order(own: Mapping[str, Tensor], given: Mapping[str, Tensor], file: str) -> Iterator[tuple[str, str]]:
    """(our name, their name), layer by layer."""
    mine, its = _layers(own), _layers(given)
    for kind in {**mine, **its}:
        ours, theirs = mine.get(kind, []), its.get(kind, [])
        if len(ours) != len(theirs):
            raise CheckpointError(_other_network(own, given, file, kind, len(ours), len(theirs)))
        for one, other in zip(ours, theirs, strict=True):
            yield from ((f"{one}{leaf}", f"{other}{leaf}") for leaf, _ in kind)


def _layers(tensors: Mapping[str, Tensor]) -> dict[tuple[tuple[str, int], ...], list[str]]:
    """Kind of layer (its tensors' last names and dimensions) → prefixes of such layers, in order."""
    layers: dict[str, list[tuple[str, int]]] = {}
    for name, tensor in tensors.items():
        prefix, dot, leaf = name.rpartition(".")
        layers.setdefault(prefix + dot, []).append((leaf, tensor.ndim))
    kinds: dict[tuple[tuple[str, int], ...], list[str]] = {}
    for prefix, leaves in layers.items():
        kinds.setdefault(tuple(sorted(leaves)), []).append(prefix)
    return kinds


def _other_network(
    own: Mapping[str, Tensor], given: Mapping[str, Tensor], file: str, kind: tuple[tuple[str, int], ...], ours: int, theirs: int
) -> str:
    missing, extra = sorted(set(own) - set(given)), sorted(set(given) - set(own))
    what = shown("+".join(leaf for leaf, _ in kind))
    return (
        f"{file} is another network: it has {theirs} layers of {what} in {max(n for _, n in kind)} dimensions, the "
        f"architecture {ours}. "
        f"Missing {', '.join(missing[:2]) or 'nothing'}; not expected {', '.join(map(shown, extra[:2])) or 'nothing'}. "
        "Choose the architecture it was trained with."
    )


def _check_shapes(
    pairs: list[tuple[str, str]], own: Mapping[str, Tensor], given: Mapping[str, Tensor], classes: int, file: str
) -> None:
    wrong = [(mine, its) for mine, its in pairs if own[mine].shape != given[its].shape]
    if not wrong:
        return
    mine, its = wrong[0]
    one, other = tuple(own[mine].shape), tuple(given[its].shape)
    if all(_is_head(own[m], given[t], classes) for m, t in wrong):
        raise CheckpointError(
            f"{file} tells {other[0]:,} classes apart ({shown(its)}), the images show {classes:,}. Bring images of exactly "
            "its classes."
        )
    if one[0] == other[0] and len(one) == len(other) == 4 and one[2:] == other[2:] and other[1] in (1, 3):
        raise CheckpointError(
            f"{shown(its)} in {file} takes images of {other[1]} channel{'s' if other[1] > 1 else ''}, these have {one[1]}. "
            "A folder is read in colour, or with @SIDEgrey in one channel."
        )
    raise CheckpointError(
        f"{shown(its)} in {file} has the shape {other}, and {mine} of the architecture {one} ({len(wrong)} of {len(pairs)} "
        "tensors differ). Choose the architecture it was trained with."
    )


def _is_head(mine: Tensor, theirs: Tensor, classes: int) -> bool:
    return mine.ndim == theirs.ndim and mine.shape[0] == classes != theirs.shape[0] and mine.shape[1:] == theirs.shape[1:]


# Which layer is the head.


@torch.no_grad()
def ends_in(model: nn.Module, head: str, images: Tensor) -> bool:
    """Whether the logits of `model` for `images` (n, channels, h, w) in [0, 1] are exactly what its layer `head` puts out.

    CheckpointError where the logits are no numbers: then nothing can be compared.
    """
    layer, kept = model.get_submodule(head), []
    hook = layer.register_forward_hook(lambda module, inputs, output: kept.append((inputs[0], output)))
    try:
        logits = model(images)
    finally:
        hook.remove()
    check_answers(logits)
    once = len(kept) == 1 and kept[0][0].ndim == 2
    return once and kept[0][1].shape == logits.shape and torch.equal(kept[0][1], logits)


def check_answers(logits: Tensor) -> None:
    """CheckpointError where a network answers an image, a row of `logits` (n, C), with what is no number."""
    wrong = int((~torch.isfinite(logits)).flatten(1).any(1).sum())
    if wrong:
        raise CheckpointError(
            f"With these tensors the network answers {wrong:,} of {len(logits):,} images with values that are no numbers (nan or "
            "infinity): a running variance is below zero, or weights are too large. Take a checkpoint from before the training "
            "diverged, and the architecture it was trained with."
        )


def candidates(model: nn.Module, classes: int) -> list[str]:
    """The linear layers with one output a class, the last first: what could be the head."""
    return [name for name, layer in reversed(linear_layers(model).items()) if layer.out_features == classes]
