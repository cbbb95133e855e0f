"""What to forget, as text: a request becomes a `Split` of the training set, or a sentence that says what is allowed."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor

from imu_core import names, runtime
from imu_core.errors import DataError
from imu_core.records import Dataset, Features, Split

GRAMMAR = (
    "class:NAME or class:A+B (whole classes), subclass:people/boy (a part of a superclass, in CIFAR-100), "
    "identity:0042 (a person, in sets of people), "
    "random:10% or random:500,seed=3 (drawn at random), ids:4,8,15-23 (picked by hand), "
    "outliers:K (strangest features), hardest:K or easiest:K (largest or smallest loss)"
)
_DRAW = 7  # stream of the generator for random requests
MAX_TEXT = 60_000


def split(request: str, dataset: Dataset, train: Features, seed: int = 0, earlier: Split | None = None) -> Split:
    """The forget and retain indices that `request` asks for; samples removed by `earlier` belong to neither.

    `seed` is used only by a random request that names none. Raises DataError, as a sentence for people, for requests that
    are malformed, empty, or leave nothing (or too little) to keep.
    """
    kind, body = _parse(request)
    gone = earlier.removed if earlier else torch.empty(0, dtype=torch.int64)
    free = torch.ones(len(dataset.train), dtype=torch.bool)
    free[gone] = False
    chosen, canonical = _KINDS[kind](body, dataset, train, free, seed)
    mask = torch.zeros_like(free)
    mask[chosen] = True
    mask &= free
    return _checked(canonical, mask, free & ~mask, dataset, gone, earlier.gone_classes if earlier else ())


def _parse(request: str) -> tuple[str, str]:
    text = request.strip() if isinstance(request, str) else ""
    if not text:
        raise DataError(f"The forget request is empty. Write {GRAMMAR}.")
    if len(text) > MAX_TEXT:
        raise DataError(
            f"The forget request has {len(text):,} characters; at most {MAX_TEXT:,} are read. Use ranges such as ids:0-999."
        )
    kind, colon, body = text.partition(":")
    kind = kind.strip().lower()
    if not colon or kind not in _KINDS:
        raise DataError(f"{_short(text)} is not a forget request. Write {GRAMMAR}.")
    if not body.strip():
        raise DataError(f"{_short(text)} names nothing to forget. Write {GRAMMAR}.")
    return kind, body.strip()


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "…")


def _checked(
    canonical: str, forget: Tensor, retain: Tensor, dataset: Dataset, gone: Tensor, gone_classes: tuple[int, ...]
) -> Split:
    labels = dataset.train.labels
    forget_index, retain_index = forget.nonzero()[:, 0], retain.nonzero()[:, 0]
    if not len(forget_index):
        raise DataError(f"{_short(canonical)} leaves nothing to forget: those samples are already gone. Ask for others.")
    present = torch.bincount(labels[retain_index], minlength=len(dataset.class_names)) > 0
    if int(present.sum()) < 2:
        raise DataError(
            f"{_short(canonical)} asks to forget {len(forget_index):,} of {int((forget | retain).sum()):,} samples: samples "
            "of at least two classes must remain, or there is no model left to keep. Ask for fewer."
        )
    classes = tuple(c for c in labels[forget_index].unique().tolist() if not present[c] and c not in gone_classes)
    whole = torch.isin(labels[forget_index], torch.tensor(classes)).all() if classes else False
    return Split(canonical, forget_index, retain_index, classes if whole else (), gone, gone_classes)


def _classes(body: str, dataset: Dataset, *_: object) -> tuple[Tensor, str]:
    known = {names.key(name): index for index, name in enumerate(dataset.class_names)}
    wanted = []
    for name in body.split("+"):
        key = names.key(name.strip())
        if key not in known:
            raise DataError(
                f"There is no class {_short(name.strip())} in {dataset.title}. Its classes: {', '.join(dataset.class_names)}."
            )
        wanted.append(known[key])
    chosen = sorted(set(wanted))
    canonical = "class:" + "+".join(dataset.class_names[c] for c in chosen)
    return torch.isin(dataset.train.labels, torch.tensor(chosen)).nonzero()[:, 0], canonical


def _subclasses(body: str, dataset: Dataset, *_: object) -> tuple[Tensor, str]:
    parts = dataset.subclasses
    if parts is None:
        raise DataError(
            f"{dataset.title} has no superclasses, so 'subclass:' means nothing here. Choose cifar100 or cifar20, or write "
            "class:NAME."
        )
    superclasses = {names.key(name): name for name in parts.superclasses}
    wanted = set()
    for piece in body.split("+"):
        above, slash, name = (names.key(text.strip()) for text in piece.partition("/"))
        if not slash or above not in superclasses:
            raise DataError(
                f"{_short(piece.strip())} is not understood. Write SUPERCLASS/SUBCLASS, such as subclass:people/boy. "
                f"The superclasses of {dataset.title}: {', '.join(parts.superclasses)}."
            )
        group = {names.key(part): part for part in parts.superclasses[superclasses[above]]}
        if name not in group:
            raise DataError(
                f"There is no {_short(name)} in {superclasses[above]} of {dataset.title}. Its subclasses: "
                f"{', '.join(group.values())}."
            )
        wanted.add((superclasses[above], group[name]))
    numbers = torch.tensor([parts.names.index(name) for _, name in wanted])
    chosen = torch.isin(parts.labels, numbers).nonzero()[:, 0]
    return chosen, "subclass:" + "+".join("/".join(pair) for pair in sorted(wanted))


def _identity(body: str, dataset: Dataset, *_: object) -> tuple[Tensor, str]:
    if dataset.people is None:
        raise DataError(
            f"{dataset.title} shows no identities, so 'identity:' means nothing here. Choose people, or write class:NAME."
        )
    known = {_plain_number(name): index for index, name in enumerate(dataset.class_names)}
    wanted = []
    for name in body.split("+"):
        if _plain_number(name) not in known:
            first, last = dataset.class_names[0], dataset.class_names[-1]
            raise DataError(
                f"There is no identity {_short(name.strip())} among the {len(known)} people {dataset.title} was trained on; "
                f"they go from {first} to {last}."
            )
        wanted.append(known[_plain_number(name)])
    chosen = sorted(set(wanted))
    mask = torch.isin(dataset.train.labels, torch.tensor(chosen))
    return mask.nonzero()[:, 0], "identity:" + "+".join(dataset.class_names[c] for c in chosen)


def _plain_number(name: str) -> str:
    """An identity as people may write it: 42, 0042 and ' 42' are the same one."""
    text = names.key(name.strip())
    return str(int(text)) if re.fullmatch(r"[0-9]{1,18}", text) else text


def _random(body: str, dataset: Dataset, train: Features, free: Tensor, seed: int) -> tuple[Tensor, str]:
    match = re.fullmatch(r"([^,]+)(?:,\s*seed\s*=\s*(\d{1,9}))?", body)
    if not match:
        raise DataError(
            f"'random:{body[:40]}' is not understood. Write random:10% or random:500, and if you like ,seed=3 behind it."
        )
    drawn = int(match[2]) if match[2] is not None else seed
    pool = free.nonzero()[:, 0]
    count, text = _count("random", match[1], len(pool))
    order = torch.randperm(len(pool), generator=runtime.generator(drawn, _DRAW))
    return pool[order[:count]], f"random:{text},seed={drawn}"


def _count(kind: str, text: str, available: int) -> tuple[int, str]:
    """The number of samples that "10%" or "500" means, and its canonical spelling."""
    text = text.strip()
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,6})?)\s*%|(\d{1,9})", text)
    if not match:
        raise DataError(
            f"'{kind}:{text[:40]}' is not understood: behind {kind}: comes a number of samples (500) or a share (10%)."
        )
    count = round(float(match[1]) / 100 * available) if match[1] else int(match[2])
    if not 1 <= count < available:
        raise DataError(f"'{kind}:{text}' asks for {count:,} samples; allowed are 1 to {available - 1:,}, or a share below 100%.")
    return count, f"{float(match[1]):.10g}%" if match[1] else str(count)


def _ids(body: str, dataset: Dataset, *_: object) -> tuple[Tensor, str]:
    total = len(dataset.train)
    chosen: set[int] = set()
    for piece in filter(None, (part.strip() for part in body.split(","))):
        match = re.fullmatch(r"(\d{1,9})(?:\s*-\s*(\d{1,9}))?", piece)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, -1)
        if not match or last < first or last >= total:
            raise DataError(
                f"'ids:' cannot read {_short(piece)}: ids are whole numbers or ranges such as 4,8,15-23, from 0 to {total - 1:,}."
            )
        chosen.update(range(first, last + 1))
    if not chosen:
        raise DataError(f"'ids:' names no sample. Write ids such as ids:4,8,15-23, from 0 to {total - 1:,}.")
    ordered = sorted(chosen)
    return torch.tensor(ordered), ids_request(ordered)


def in_words(split: Split, dataset: Dataset) -> str:
    """What the forget set of `split` holds: "one image of cat", "6 images of cat", "40 images of 3 of the 10 classes"."""
    seen, n = dataset.train.labels[split.forget].unique().tolist(), len(split.forget)
    of = dataset.class_names[seen[0]] if len(seen) == 1 else f"{len(seen):,} of the {len(dataset.class_names):,} classes"
    return f"{f'{n:,} images' if n > 1 else 'one image'} of {of}"


def ids_request(ids: list[int]) -> str:
    """The request that names exactly `ids`, neighbours written as ranges: [4, 5, 6, 9] gives 'ids:4-6,9'."""
    runs: list[list[int]] = []
    for index in sorted(set(ids)):
        if runs and index == runs[-1][1] + 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    return "ids:" + ",".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


def _extreme(kind: str, scores: Callable[[Features], Tensor]) -> Callable[..., tuple[Tensor, str]]:
    def choose(body: str, dataset: Dataset, train: Features, free: Tensor, seed: int) -> tuple[Tensor, str]:
        pool = free.nonzero()[:, 0]
        count, text = _count(kind, body, len(pool))
        order = scores(train)[pool].argsort(descending=True, stable=True)
        return pool[order[:count]], f"{kind}:{text}"

    return choose


@lru_cache(maxsize=8)
def _strangeness(train: Features) -> Tensor:
    """Anomaly score of each sample by an isolation forest on the features (Liu et al. 2008), larger = stranger."""
    from sklearn.ensemble import IsolationForest

    forest = IsolationForest(random_state=0).fit(train.Z.numpy())
    return torch.from_numpy(-forest.score_samples(train.Z.numpy()))


_KINDS: dict[str, Callable[..., tuple[Tensor, str]]] = {
    "class": _classes,
    "subclass": _subclasses,
    "identity": _identity,
    "random": _random,
    "ids": _ids,
    "outliers": _extreme("outliers", _strangeness),
    "hardest": _extreme("hardest", lambda train: train.losses),
    "easiest": _extreme("easiest", lambda train: -train.losses),
}
