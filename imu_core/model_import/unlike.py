"""Why a stranger's file does not hold a network of ours: the sentence, and what lies in the file, in words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from imu_core.errors import shown
from imu_core.model_import import kinds
from imu_core.model_import.pairing import Layers, Signature, kind, leaves_of, nearest, rooted

if TYPE_CHECKING:
    from imu_core.model_import.foreign import Strange

_SHARD = re.compile(r"(\d{1,5})-of-(\d{1,5})(?!\d)")


def listed(names: Sequence[str], most: int = 4) -> str:
    """The first names with commas between them, and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(shown(name, 40) for name in names[:most]) + more


def grouped(names: Sequence[str], root: str = "") -> str:
    """`names`, grouped by where they part from `root`, as `listed` writes them, with how many tensors each group has."""
    groups: dict[str, list[str]] = {}
    for name in names:
        at = 0
        while (dot := name.find(".", at)) >= 0 and root.startswith(name[: dot + 1]):
            at = dot + 1
        groups.setdefault(name[:at] + name[at:].partition(".")[0], []).append(name)
    return listed([held[0] if len(held) == 1 else f"{shown(group, 30)} ({len(held):,})" for group, held in groups.items()])


def why_not(own: Layers, given: Layers, head: str, classes: int, strange: Strange) -> str:
    """A sentence on why the file's layers, `given`, are not those of our network, `own`.

    `head` is the prefix of our head; `classes` is how many classes the images show.
    """
    shard = _SHARD.search(strange.file)
    if shard and int(shard[2]) > 1:
        count = int(shard[2])
        return (
            f"{strange.file} is one of {count} parts of a checkpoint (a shard), as its name says, and the network is not whole "
            f"in it. {kinds.joined(count)}"
        )
    root = nearest(own, given)
    below = rooted(given).get(root, {})
    flawed = [name for p in _larger(own, below) for name in strange.flaws if name.rpartition(".")[0] == p.rstrip(".")]
    if flawed:
        return f"{strange.file} {strange.flaws[flawed[0]]}"
    return _difference(own, below, head, classes, strange) or _another(own, below, strange)


def _difference(own: Layers, below: Layers, head: str, classes: int, strange: Strange) -> str:
    """What one layer differs by, where all others fit."""
    missing = list((Counter(own.values()) - Counter(below.values())).elements())
    spare = list((Counter(below.values()) - Counter(own.values())).elements())
    alike = [(one, other) for one in missing for other in spare if kind(one) == kind(other)]
    if not alike or (len(missing) > 1 and sum(map(_is_large, missing)) * 2 > sum(map(_is_large, own.values()))):
        return ""
    name = {held: prefix for prefix, held in reversed(below.items())}
    if missing == [own.get(head)]:
        for one, other in alike:
            (_, mine), (_, its) = one[-1], other[-1]
            if len(mine) == len(its) == 2 and mine[1:] == its[1:]:
                return (
                    f"{strange.file} tells {its[0]:,} classes apart ({shown(name[other])}weight), the images show {classes:,}. "
                    "Bring images of exactly its classes."
                )
    ours = {held: prefix for prefix, held in reversed(own.items())}
    for one, other in alike:
        for (leaf, mine), (_, its) in zip(one, other, strict=True):
            if len(missing) == 1 and _is_other_colour(mine, its):
                return (
                    f"{shown(name[other] + leaf)} in {strange.file} takes images of {its[1]} channel{'s' * (its[1] > 1)}, "
                    f"these have {mine[1]}. A folder is read in colour, or with @SIDEgrey in one channel."
                )
    one, other = alike[0]
    leaf, mine, its = next((leaf, mine, its) for (leaf, mine), (_, its) in zip(one, other, strict=True) if mine != its)
    return (
        f"{shown(name[other] + leaf)} in {strange.file} has the shape {_shape(its)}, and {ours[one]}{leaf} of the architecture "
        f"{_shape(mine)} ({len(missing)} of {len(own)} layers differ). Choose the architecture it was trained with."
    )


def _is_other_colour(mine: tuple[int, ...], its: tuple[int, ...]) -> bool:
    return len(mine) == 4 == len(its) and mine[0] == its[0] and mine[2:] == its[2:] and its[1] in (1, 3)


def _is_large(held: Signature) -> bool:
    return any(len(shape) > 1 for _, shape in held)


def _shape(shape: tuple[int, ...]) -> str:
    return shown(shape, 60)


def _another(own: Layers, below: Layers, strange: Strange) -> str:
    mine, its = Counter(map(kind, own.values())), Counter(map(kind, below.values()))
    what = next((k for k in mine if mine[k] != its[k]), next(iter(mine)))
    lacking = {p: held for p, held in own.items() if held not in set(below.values())}
    words = shown("+".join(leaf for leaf, _ in what))
    known = leaves_of(own)
    more = [next((p + leaf for leaf, _ in below[p] if leaf not in known), p) for p in _larger(own, below)]
    return (
        f"{strange.file} is another network: it has {its[what]} layers of {words} in {max(n for _, n in what)} dimensions, the "
        f"architecture {mine[what]}. Missing: {listed([p.rstrip('.') for p in lacking], 2) or 'nothing'}; "
        f"not expected: {listed([p.rstrip('.') for p in more], 2) or 'nothing'}. The file holds "
        f"{grouped(list(strange.tensors))}. Choose the architecture it was trained with."
    )


def _larger(own: Layers, below: Layers) -> list[str]:
    """The layers of the file that ours lacks."""
    left, spare = Counter(own.values()), []
    for prefix, held in below.items():
        if left[held] > 0:
            left[held] -= 1
        else:
            spare.append(prefix)
    return spare
