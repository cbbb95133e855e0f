"""Which layer of a stranger's file is which of a network of ours: by names, else by shapes, names and order.

The network may lie anywhere in the file (under `state_dict.model.`, beside a loss's buffers, a second head, an averaged copy of
itself); what is not part of it is left out and named. A file that holds a larger network of the same kind is not one of these:
layers that stand in one row with those that fit belong to the network.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from imu_core.model_import.pickled import is_spare

COUNTER = "num_batches_tracked"  # counts batches; nothing reads it in eval mode, and old files lack it
_STATISTICS = re.compile(r"(^|\.)(mean|std)$")
_MASK = re.compile(r"(^|_)mask$")
_DEEPEST, _MOST_ROOTS = 16, 8  # parts of a name that can be a root; places that are looked at closely
_MOST_COMPARED = 400  # layers of one shape that are compared by their names

Signature = tuple[tuple[str, tuple[int, ...]], ...]  # last name and shape of each tensor of a layer, sorted
Layers = dict[str, Signature]  # prefix with its dot → what the layer holds, in order


@dataclass(frozen=True)
class Pairing:
    """Our layers and theirs, prefix by prefix; `root` is what stands before all of theirs, `by` says what told them apart."""

    pairs: tuple[tuple[str, str], ...]
    root: str
    by: str


def of_layers(tensors: Mapping[str, Tensor], leaves: frozenset[str] | None = None) -> Layers:
    """The layers of `tensors` by prefix, without counters.

    `leaves` are the last names that tensors of our layers have. Where they are given, a tensor of another last name is left out
    if it can be no part of such a layer: a single number, whole numbers, a mask, means or standard deviations.
    """
    layers: dict[str, list[tuple[str, tuple[int, ...]]]] = {}
    for name, tensor in tensors.items():
        prefix, dot, leaf = name.rpartition(".")
        if leaf == COUNTER or (leaves is not None and leaf not in leaves and _is_beside(leaf, tensor)):
            continue
        layers.setdefault(prefix + dot, []).append((leaf, tuple(tensor.shape)))
    return {prefix: tuple(sorted(held)) for prefix, held in layers.items()}


def _is_beside(leaf: str, tensor: Tensor) -> bool:
    counts = not (tensor.is_floating_point() or tensor.is_complex()) and not tensor.is_meta
    return tensor.numel() <= 1 or counts or bool(_MASK.search(leaf) or _STATISTICS.search(leaf))


def leaves_of(layers: Layers) -> frozenset[str]:
    """The last names of the tensors of these layers."""
    return frozenset(leaf for held in layers.values() for leaf, _ in held)


# Where in the file the network lies.


def rooted(given: Layers) -> dict[str, Layers]:
    """Every prefix in the file → the layers below it, in order; the whole file is below ""."""
    places: dict[str, Layers] = {}
    for prefix, held in given.items():
        for root in _roots(prefix):
            places.setdefault(root, {})[prefix] = held
    return places


def _roots(prefix: str) -> Iterator[str]:
    yield ""
    at = -1
    for _ in range(_DEEPEST):
        at = prefix.find(".", at + 1)
        if at < 0:
            return
        yield prefix[: at + 1]


def fitting(own: Layers, places: Mapping[str, Layers]) -> list[str]:
    """The roots below which the file has a layer of the same shape for every layer of `own`.

    Where names do not tell, only the innermost root of each branch. Roots with our names come first, copies of a network last.
    """
    wanted = Counter(own.values())
    whole = sorted(root for root, below in places.items() if not wanted - Counter(below.values()))
    named = [root for root in whole if _is_named(own, places[root], root)]
    inner = [root for root, after in zip(whole, [*whole, ""][1:], strict=True) if not after.startswith(root) or not after]
    apart = [root for root in inner if not any(root.startswith(other) or other.startswith(root) for other in named)]
    order = {root: number for number, root in enumerate(places)}
    return sorted([*named, *apart][:_MOST_ROOTS], key=lambda root: (is_spare(root), root not in named, order[root]))


def _is_named(own: Layers, below: Layers, root: str) -> bool:
    return all(below.get(root + prefix) == held for prefix, held in own.items())


def nearest(own: Layers, given: Layers) -> str:
    """The root below which the file has layers of the same shape for most layers of `own`.

    Among equals, the one with most layers of the same kind, then with the fewest layers.
    """
    wanted = Counter(own.values())
    kinds = Counter(map(kind, own.values()))

    def likeness(item: tuple[str, Layers]) -> tuple[int, int, int]:
        below = item[1]
        same = (wanted & Counter(below.values())).total()
        return same, (kinds & Counter(map(kind, below.values()))).total(), -len(below)

    return max(rooted(given).items(), key=likeness, default=("", {}))[0]


def kind(held: Signature) -> tuple[tuple[str, int], ...]:
    """`held` with dimensions instead of shapes: it tells convolutions, norms and linear layers apart."""
    return tuple((leaf, len(shape)) for leaf, shape in held)


# Layer by layer.


def pairings(own: Layers, given: Layers, head: str) -> list[Pairing]:
    """Every way in which the layers of `own` can be those of the file, the most plausible first; none for another network.

    `head` is the prefix of our head.
    """
    by_pairs: dict[tuple[tuple[str, str], ...], Pairing] = {}
    places = rooted(given)
    for root in fitting(own, places):
        below = places[root]
        for pairing in _below(own, below, root):
            if not intruders(pairing, below, head):
                by_pairs.setdefault(tuple(sorted(pairing.pairs)), pairing)
    return list(by_pairs.values())


def _below(own: Layers, below: Layers, root: str) -> Iterator[Pairing]:
    if _is_named(own, below, root):
        yield Pairing(tuple((prefix, root + prefix) for prefix in own), root, "names")
        return
    usable = {prefix: held for prefix, held in below.items() if held in set(own.values())}
    for by, pair in {"order": _in_order, "likeness": _by_likeness, "units": _by_units}.items():
        if (pairs := pair(own, usable)) is not None:
            yield Pairing(tuple(pairs), root, by)
    last = _in_order(dict(reversed(own.items())), dict(reversed(usable.items())))
    if last is not None:
        yield Pairing(tuple(reversed(last)), root, "order")


def _in_order(own: Layers, given: Layers) -> list[tuple[str, str]] | None:
    """Kind by kind in the order they come in, passing over what does not fit; None where that leads to no end."""
    pairs: dict[str, str] = {}
    for wanted in dict.fromkeys(map(kind, own.values())):
        theirs = iter([prefix for prefix, held in given.items() if kind(held) == wanted])
        for ours in (prefix for prefix, held in own.items() if kind(held) == wanted):
            partner = next((prefix for prefix in theirs if given[prefix] == own[ours]), None)
            if partner is None:
                return None
            pairs[ours] = partner
    return [(ours, pairs[ours]) for ours in own]


def _alike(layers: Layers, held: Signature) -> list[str]:
    return [prefix for prefix, other in layers.items() if other == held]


def _by_likeness(own: Layers, given: Layers) -> list[tuple[str, str]] | None:
    """Among layers of one shape those whose names share most parts; equal names are told apart by their order."""
    pairs: dict[str, str] = {}
    for held in dict.fromkeys(own.values()):
        ours, theirs = _alike(own, held), _alike(given, held)
        if max(len(ours), len(theirs)) > _MOST_COMPARED:
            return None
        places = np.abs(np.linspace(0, 1, len(ours))[:, None] - np.linspace(0, 1, len(theirs))[None])
        shared = np.array([[_shared(one, other) for other in theirs] for one in ours])
        rows, columns = linear_sum_assignment(shared - 0.5 * places, maximize=True)
        pairs |= {ours[row]: theirs[column] for row, column in zip(rows, columns, strict=True)}
    return [(ours, pairs[ours]) for ours in own]


def _shared(one: str, other: str) -> float:
    """How alike two names are: each part that they share counts, the last most."""
    a, b = one.rstrip(".").split("."), other.rstrip(".").split(".")
    stems = a[-1].rstrip("0123456789") == b[-1].rstrip("0123456789")
    return 2.0 * (a[-1] == b[-1]) + len(set(a[:-1]) & set(b[:-1])) + 0.5 * stems


def _by_units(own: Layers, given: Layers) -> list[tuple[str, str]] | None:
    """A convolution or linear layer goes with what follows it: units of one shape are paired in order."""
    mine, its = _units(own), _units(given)
    pairs: dict[str, str] = {}
    for form, ours in mine.items():
        theirs = its.get(form, [])
        if len(theirs) < len(ours):
            return None
        for unit, other in zip(ours, theirs, strict=False):
            pairs |= dict(zip(unit, other, strict=True))
    return [(prefix, pairs[prefix]) for prefix in own]


def _units(layers: Layers) -> dict[tuple[Signature, ...], list[list[str]]]:
    """Shapes of a unit → such units, each the prefixes of a layer with matrices and of those behind it that have none."""
    units: list[list[str]] = []
    for prefix, held in layers.items():
        if units and all(len(shape) < 2 for _, shape in held):
            units[-1].append(prefix)
        else:
            units.append([prefix])
    by_shape: dict[tuple[Signature, ...], list[list[str]]] = {}
    for unit in units:
        by_shape.setdefault(tuple(layers[prefix] for prefix in unit), []).append(unit)
    return by_shape


# What is left over.


def intruders(pairing: Pairing, below: Layers, head: str) -> list[str]:
    """The layers below the root that belong to the network and that ours lacks: the file holds a larger one of its kind.

    A layer is none of them, and lies beside the network, where its name has a part of its own right below the root, or beside
    the head, that continues no row of parts that fit: `criterion`, `projector.0`, `fc_aux`. But `layer4` beside `layer3` belongs
    to the network, and so does `blocks.3` beside `blocks.2`.
    """
    matched = [theirs for _, theirs in pairing.pairs]
    theirs = dict(pairing.pairs).get(head, "")
    places = {_shared_root(matched), theirs.rstrip(".").rpartition(".")[0] + "." if "." in theirs.rstrip(".") else ""}
    rows = {place: {m[len(place) :].partition(".")[0] for m in matched if m.startswith(place)} for place in places}
    rest = [prefix for prefix in below if prefix not in set(matched)]
    return [prefix for prefix in rest if not any(_stands_apart(prefix, place, rows[place], below, theirs) for place in places)]


def _shared_root(prefixes: Sequence[str]) -> str:
    """The longest beginning of all `prefixes` that ends with a dot."""
    first, last = min(prefixes), max(prefixes)
    if first == last:
        return first.rstrip(".").rpartition(".")[0] + "." if "." in first.rstrip(".") else ""
    same = next((n for n, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    return first[: first.rfind(".", 0, same) + 1]


def _stands_apart(prefix: str, place: str, row: set[str], below: Layers, head: str) -> bool:
    part = prefix[len(place) :].partition(".")[0]
    if not prefix.startswith(place) or part in row or part.isdecimal():
        return False
    stem = part.rstrip("0123456789")
    if stem == part or not any(other != stem and other.rstrip("0123456789") == stem for other in row):
        return True
    return _is_beside_head(next(iter(p for p in below if p.startswith(f"{place}{part}."))), below, head)


def _is_beside_head(prefix: str, below: Layers, head: str) -> bool:
    """Whether a layer takes what the head takes: a second one of its kind."""
    widths = [[shape[1] for leaf, shape in below.get(p, ()) if leaf == "weight" and len(shape) == 2] for p in (prefix, head)]
    return bool(widths[0]) and widths[0] == widths[1]
