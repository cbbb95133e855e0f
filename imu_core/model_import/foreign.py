"""A stranger's checkpoint: read without running anything in it, checked tensor by tensor, and laid over a network of ours.

safetensors is read as it is; anything else through torch's `weights_only` reader, which refuses whatever is more than tensors,
and in a process apart, since even what that reader lets through can hang it or fill the memory. Both read from memory: nothing is
unpacked on the disk, and torch never takes the path that old tar files would.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from imu_core.access import rules
from imu_core.errors import CheckpointError, ClosedError, shown
from imu_core.model_import import apart, kinds
from imu_core.model_import.folded import folded
from imu_core.model_import.pairing import COUNTER, Layers, Pairing, leaves_of, of_layers, pairings
from imu_core.model_import.pickled import MOST_BYTES, NO_STATE, Found, Refused, is_spare, plain
from imu_core.model_import.unlike import grouped, listed, why_not
from imu_core.models.outside import linear_layers
from imu_core.report.numbers import mebibytes

_NORMALISE = ("normalise.mean", "normalise.std")  # what this program's own exports carry
_MEAN = re.compile(r"(^|.*[._])mean$")


@dataclass(frozen=True, eq=False)
class Strange:
    """All tensors of a file by dotted name, in the file's order where it has one; those of the network are among them.

    `notes` say what was done to the tensors; `flaws` say of some, by name, why they cannot be used; `sha256` is the file's.
    Where the network can be laid over ours in several ways, `way` says which is taken (`ways`).
    """

    file: str
    sha256: str
    tensors: dict[str, Tensor]
    notes: tuple[str, ...]
    flaws: Mapping[str, str] = field(default_factory=dict)
    way: int = 0


@dataclass(frozen=True, eq=False)
class Matched:
    """Tensors under the names of a network of ours, and words on how it was told which tensor is which."""

    state: dict[str, Tensor]
    how: str


def read(source: bytes | Path, file: str = "", stop: threading.Event | None = None) -> Strange:
    """The tensors in `source`, a path or a file's content (then called `file`).

    Raises CheckpointError, a sentence, for files that are too large or damaged, are recognised as something else, or hold no
    tensors; Cancelled soon after `stop` is set.
    """
    file = shown(file or (source.name if isinstance(source, Path) else "the file"), 120)
    content = source if isinstance(source, bytes) else _content(source)
    _check_bytes(len(content), file)
    is_safe = content[8:9] == b"{" and int.from_bytes(content[:8], "little") <= len(content) - 8
    try:
        if not is_safe:
            _check_kind(content, file)
        checkpoint = _safetensors(content) if is_safe else apart.unpickled(content, stop)
        if is_safe:  # that format sorts by itself; conv2 comes before conv10
            checkpoint.tensors = dict(sorted(checkpoint.tensors.items(), key=lambda item: _natural(item[0])))
        tensors, notes = folded(checkpoint.tensors)
    except Refused as refusal:
        raise CheckpointError(f"{file} {refusal}") from refusal
    if checkpoint.objects:
        notes = (*notes, f"objects beside the tensors left out and not run: {listed(checkpoint.objects)}")
    return Strange(file, hashlib.sha256(content).hexdigest(), tensors, notes, checkpoint.flaws | _not_numbers(tensors))


def _check_kind(content: bytes, file: str) -> None:
    if words := kinds.unlike(content, file):
        raise Refused(words)
    if len(content) < 16:
        raise Refused(f"has {len(content)} bytes: there is no checkpoint in it.")


def _content(path: Path) -> bytes:
    try:
        with rules.opened(path.expanduser()) as file:
            _check_bytes(os.fstat(file.fileno()).st_size, shown(path.name))
            content = file.read(MOST_BYTES + 1)
    except ClosedError:  # a ValueError too
        raise
    except FileNotFoundError as error:
        raise CheckpointError(
            f"There is no file {str(path)[:200]!r}. Name a checkpoint: .safetensors, or a state dict of torch."
        ) from error
    except (OSError, ValueError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CheckpointError(
            f"{str(path)[:200]!r} cannot be read ({shown(reason, 200)}). Name a checkpoint: .safetensors, or a state dict of "
            "torch."
        ) from error
    _check_bytes(len(content), shown(path.name))  # it may have grown
    return content


def _check_bytes(size: int, file: str) -> None:
    if size > MOST_BYTES:
        raise CheckpointError(f"{file} has {mebibytes(size)}; checkpoints of at most {mebibytes(MOST_BYTES)} are read.")


def _safetensors(content: bytes) -> Found:
    try:
        tensors = safetensors.torch.load(content)
    except (SafetensorError, ValueError, KeyError, RuntimeError, OverflowError, TypeError, AttributeError) as error:
        raise Refused(f"is a damaged safetensors file ({shown(error, 120)}). Copy it again.") from error
    if not tensors:
        raise Refused(NO_STATE.format(""))
    return plain(tensors)


def _not_numbers(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """What is wrong with those that hold values that are none in float32, as which a network of ours takes them."""
    flaws = {}
    for name, tensor in tensors.items():
        usable = tensor.is_floating_point() and not tensor.is_meta
        wrong = int((~torch.isfinite(tensor.float())).sum()) if usable else 0
        if wrong:
            flaws[name] = (
                f"holds under {shown(name)} {wrong:,} values that are no numbers in float32 (nan, infinity or too large) among "
                f"{tensor.numel():,}. Take a checkpoint from before the training diverged."
            )
    return flaws


def _natural(name: str) -> list[tuple[int, int, str]]:
    parts = (part for part in re.split(r"([0-9]{1,9})", name) if part)  # ² is a digit to Python, but no number
    return [(1, int(part), "") if part.isascii() and part.isdecimal() else (0, 0, part) for part in parts]


# Which tensor is which.


def match(model: nn.Module, strange: Strange, classes: int) -> Matched:
    """The tensors of `strange` under the names that `model` has, told apart by names, shapes and order; or a CheckpointError.

    Only the accuracy shows whether that was right. A file may lack the counters of batch norm and the bias of a head that had
    none. It may hold other things beside the network; `Matched.how` names them.
    """
    choices = ways(model, strange)
    if not choices:
        own, head = _own_layers(model, strange)[0]
        raise CheckpointError(why_not(own, _given_layers(own, strange), head, classes, strange))
    way = choices[min(strange.way, len(choices) - 1)]
    own, names = model.state_dict(), {}
    for ours, theirs in way.pairs:
        held = [name[len(ours) :] for name in own if name.startswith(ours) and "." not in name[len(ours) :]]
        names |= {ours + leaf: theirs + leaf for leaf in held if strange.tensors.get(theirs + leaf) is not None}
    names = {mine: its for mine, its in names.items() if own[mine].shape == strange.tensors[its].shape}
    for its in names.values():
        if its in strange.flaws:
            raise CheckpointError(f"{strange.file} {strange.flaws[its]}")
    return Matched(dict(own) | {mine: strange.tensors[its] for mine, its in names.items()}, _how(way, choices, names, strange))


def ways(model: nn.Module, strange: Strange) -> list[Pairing]:
    """Every way in which the file's tensors can be those of `model`, the most plausible first; none for another network."""
    for own, head in _own_layers(model, strange):
        if choices := pairings(own, _given_layers(own, strange), head):
            return choices
    return []


def _own_layers(model: nn.Module, strange: Strange) -> list[tuple[Layers, str]]:
    """(the layers of `model` that a file must have, the prefix of its head), and the same without the bias of the head.

    That is zero as it was built. Numbers that the network makes for itself, such as positions, may be missing too.
    """
    leaves = {name.rpartition(".")[2] for name in strange.tensors}
    own = {
        name: t
        for name, t in model.state_dict().items()
        if name not in _NORMALISE and (t.is_floating_point() or name.rpartition(".")[2] in leaves)
    }
    head = getattr(model, "head_layer", "")
    forms = [(of_layers(own), f"{head}." if head else "")]
    if own.pop(f"{head}.bias", None) is not None and head:
        forms.append((of_layers(own), f"{head}."))
    return forms


def _given_layers(own: Layers, strange: Strange) -> Layers:
    carried = {name for names in statistics(strange) for name in names}
    return of_layers({name: t for name, t in strange.tensors.items() if name not in carried}, leaves_of(own))


def statistics(strange: Strange) -> list[tuple[str, str]]:
    """(name of means, name of standard deviations) of each layer in the file that normalises images, as its names tell."""
    pairs = []
    for name in strange.tensors:
        if _MEAN.match(name) and not name.endswith("running_mean"):
            std = f"{name.removesuffix('mean')}std"
            if std in strange.tensors and not {name, std} & strange.flaws.keys():
                pairs.append((name, std))
    return sorted(pairs, key=lambda names: is_spare(names[0]))


def _how(way: Pairing, choices: list[Pairing], names: Mapping[str, str], strange: Strange) -> str:
    count = sum(not name.endswith(COUNTER) for name in names)
    words = {
        "names": f"all {count} tensors by their names",
        "order": f"{count} tensors by order: shapes agree, names do not",
        "likeness": f"{count} tensors by their shapes, and like ones by their names",
        "units": f"{count} tensors by their shapes, and like ones by the layers beside them",
    }
    phrases = [words[way.by] + (f", under {shown(way.root.rstrip('.'))}" if way.root else "")]
    others = list(dict.fromkeys(other.root for other in choices if other.root != way.root))
    if others:
        phrases.append(f"not taken, though it fits as well: {listed([root.rstrip('.') or 'the rest' for root in others])}")
    used = {*names.values(), *(name for pair in statistics(strange) for name in pair)}
    used |= {name for name in strange.tensors if name.endswith(COUNTER) or name.startswith(tuple(filter(None, others)))}
    left = [name for name in strange.tensors if name not in used]
    if left:
        phrases.append(f"left out as no part of the network: {grouped(left, way.root)}")
    return "; ".join([*phrases, *strange.notes])


# Which layer is the head.


@torch.no_grad()
def ends_in(model: nn.Module, head: str, images: Tensor) -> bool:
    """Whether the logits of `model` for `images` (n, channels, h, w) in [0, 1] are exactly what its layer `head` puts out.

    CheckpointError where the logits are no numbers: then nothing can be compared.
    """
    layer, calls = model.get_submodule(head), []
    hook = layer.register_forward_hook(lambda module, inputs, output: calls.append((inputs[0], output)))
    try:
        logits = model(images)
    finally:
        hook.remove()
    check_answers(logits)
    once = len(calls) == 1 and calls[0][0].ndim == 2
    return once and calls[0][1].shape == logits.shape and torch.equal(calls[0][1], logits)


def check_answers(logits: Tensor) -> None:
    """Raise CheckpointError where a row of `logits` (n, C), the answer to one image, holds a value that is not finite."""
    wrong = int((~torch.isfinite(logits)).flatten(1).any(1).sum())
    if wrong:
        raise CheckpointError(
            f"With these tensors the network answers {wrong:,} of {len(logits):,} images with values that are no numbers (nan or "
            "infinity): a running variance is below zero, or weights are too large. Take a checkpoint from before the training "
            "diverged, and the architecture it was trained with."
        )


def candidates(model: nn.Module, classes: int) -> list[str]:
    """The names of the linear layers with one output per class, the last first: one of them may be the head."""
    return [name for name, layer in reversed(linear_layers(model).items()) if layer.out_features == classes]
