"""What to forget, as text: a request becomes a `Split` of the training set, or a sentence that says what is allowed."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

import torch
from torch import Tensor

from imu_core import runtime
from imu_core.errors import DataError
from imu_core.names import key
from imu_core.records.data import Dataset
from imu_core.records.run import Features, Split

DRAWN = (
    "random:10% or random:500,seed=3 (drawn at random), ids:4,8,15-23 (picked by hand), outliers:K (strangest features), "
    "hardest:K or easiest:K (largest or smallest loss)"
)
GRAMMAR = (
    "class:NAME or class:A+B (whole classes; the names alone will do), subclass:people/boy (a part of a superclass, in "
    f"CIFAR-100), identity:0042 (a person, in sets of people), {DRAWN}"
)
_DRAW = 7  # stream of the generator for random requests
MAX_TEXT = 60_000
_ALIKE = 0.7  # share of letters from which on one name is like another
_CLEARLY = 0.05  # by how much the best spelling must be ahead of the next


def split(request: str, dataset: Dataset, train: Features, seed: int = 0, earlier: Split | None = None) -> Split:
    """The forget and retain indices that `request` asks for; samples removed by `earlier` belong to neither.

    `seed` is used only by a random request that names none. Raises DataError, as a sentence for people, for requests that
    are malformed, empty, or leave nothing (or too little) to keep.
    """
    kind, body = _parse(request, dataset)
    gone = earlier.removed if earlier else torch.empty(0, dtype=torch.int64)
    free = torch.ones(len(dataset.train), dtype=torch.bool)
    free[gone] = False
    chosen, canonical = _KINDS[kind](body, dataset, train, free, seed)
    mask = torch.zeros_like(free)
    mask[chosen] = True
    mask &= free
    return _checked(canonical, mask, free & ~mask, dataset, gone, earlier.gone_classes if earlier else ())


def _text(request: str) -> str:
    text = request.strip() if isinstance(request, str) else ""
    if not text:
        raise DataError(f"The forget request is empty. Write {GRAMMAR}.")
    if len(text) > MAX_TEXT:
        raise DataError(
            f"The forget request has {len(text):,} characters; at most {MAX_TEXT:,} are read. Use ranges such as ids:0-999."
        )
    return text


def _parse(request: str, dataset: Dataset) -> tuple[str, str]:
    """(kind, text behind the colon); names alone are a request for whole classes, or for people in a set of people."""
    text = _text(request)
    kind, colon, body = text.partition(":")
    kind = kind.strip().lower()
    if not colon or kind not in _KINDS:
        names = list(_pieces(text, dataset))
        if all(_named(name, dataset.class_names) for name in names):
            return _whole(dataset), text
        near = [_nearest(name, dataset.class_names) for name in names[:4]]
        meant = f" Did you mean {' + '.join(matches[0] for matches in near)}?" if all(near) and len(names) <= 4 else ""
        raise DataError(f"{_short(text)} is not a forget request.{meant} Write {GRAMMAR}.")
    if not body.strip():
        raise DataError(f"{_short(text)} names nothing to forget. Write {GRAMMAR}.")
    return kind, body.strip()


def _whole(dataset: Dataset) -> str:
    """The kind of request that names alone are."""
    return "class" if dataset.people is None else "identity"


# Names as people write them.


def _folded(name: str) -> str:
    """`name` in one form for every letter case, Unicode form and spacing; 42 and 0042 are one name too."""
    text = " ".join(key(unicodedata.normalize("NFKC", name).casefold()).split())
    return str(int(text)) if re.fullmatch(r"[0-9]{1,18}", text) else text


def _squeezed(name: str) -> str:
    return "".join(c for c in _folded(name) if c.isalnum())


def _named(name: str, names: Sequence[str]) -> list[str]:
    """Those of `names` that `name` is: the very same, else whatever differs in letter case, Unicode form or spacing alone."""
    return [name.strip()] if name.strip() in names else [known for known in names if _folded(known) == _folded(name)]


def _pieces(body: str, dataset: Dataset) -> Iterator[str]:
    """The names in A+B+C; one that holds a + itself, such as c++, stays whole."""
    parts, names = body.split("+"), {_folded(name) for name in dataset.class_names}
    longest = 1 + max(name.count("+") for name in dataset.class_names)
    while parts:
        fits = (n for n in range(min(longest, len(parts)), 1, -1) if _folded("+".join(parts[:n])) in names)
        count = next(fits, 1)
        yield "+".join(parts[:count]).strip()
        parts = parts[count:]


def _index(name: str, dataset: Dataset, unknown: str) -> int:
    """The class that `name` is; DataError where it is none (`unknown` says so) or could be several."""
    matches = _named(name, dataset.class_names)
    if not matches:
        near = _nearest(name, dataset.class_names)[:5]
        raise DataError(f"{unknown}{f' Did you mean {_either(near)}?' if near else ''}")
    if len(matches) > 1:
        raise DataError(f"{_short(name)} may be {_either(matches)} in {dataset.title}: write it letter by letter.")
    return dataset.class_names.index(matches[0])


def _either(names: Sequence[str], most: int = 6) -> str:
    shown = [*names[:most], *([f"{len(names) - most:,} more"] if len(names) > most else [])]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} or {shown[-1]}"


def _nearest(name: str, names: Sequence[str]) -> list[str]:
    """Those of `names` that `name` may stand for, the best first: the same letters, beginning so, holding it, spelled like it."""
    wanted = _squeezed(name)
    if not wanted:
        return []
    squeezed = {known: _squeezed(known) for known in names}
    typed = _folded(name)
    for fits in (lambda n: squeezed[n] == wanted, lambda n: _folded(n).startswith(typed), lambda n: wanted in squeezed[n]):
        if matches := [known for known in names if fits(known)]:
            return matches
    if wanted.isdigit():
        return []  # a number is not nearly another one
    alike = {known: difflib.SequenceMatcher(None, wanted, text).ratio() for known, text in squeezed.items()}
    best = max(alike.values(), default=0.0)
    return sorted((n for n in names if alike[n] >= max(_ALIKE, best - _CLEARLY)), key=lambda n: -alike[n])


def meant(text: str, dataset: Dataset) -> str:
    """The request that `text`, typed by somebody in a hurry, means: beginnings and near spellings of names are completed.

    A request of another kind comes back as it is. Raises DataError, a sentence that offers the names, where several fit or none.
    """
    text = _text(text)
    kind, colon, body = text.partition(":")
    kind = kind.strip().lower()
    if not colon or kind not in _KINDS:
        kind, body = (_whole(dataset), text) if not colon else (_kind_like(kind, text), body)
    if kind not in ("class", "identity") or not body.strip():
        return text if colon and text.lower().startswith(kind) else f"{kind}:{body.strip()}"
    return f"{kind}:" + "+".join(_completed(name, dataset) for name in _pieces(body.strip(), dataset))


def _kind_like(kind: str, text: str) -> str:
    near = [known for known in _KINDS if kind and known.startswith(kind)] or difflib.get_close_matches(kind, _KINDS, 1, _ALIKE)
    if len(near) != 1:
        raise DataError(f"{_short(text)} is not a forget request. Write {GRAMMAR}.")
    return near[0]


def _completed(name: str, dataset: Dataset) -> str:
    matches = _named(name, dataset.class_names) or _nearest(name, dataset.class_names)
    if len(matches) > 1:
        raise DataError(f"{_short(name)} may be {_either(matches)} in {dataset.title}: write one of them.")
    what, all_of = ("class", "Its classes") if dataset.people is None else ("identity", "Its people")
    if not matches:
        raise DataError(
            f"There is no {what} {_short(name)} in {dataset.title}. {all_of}: {_either(dataset.class_names, 20)}. "
            f"Or write {DRAWN}."
        )
    return matches[0]


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
    known = f"in {dataset.title}. Its classes: {', '.join(dataset.class_names)}."
    chosen = sorted({_index(name, dataset, f"There is no class {_short(name)} {known}") for name in _pieces(body, dataset)})
    canonical = "class:" + "+".join(dataset.class_names[c] for c in chosen)
    return torch.isin(dataset.train.labels, torch.tensor(chosen)).nonzero()[:, 0], canonical


def _subclasses(body: str, dataset: Dataset, *_: object) -> tuple[Tensor, str]:
    parts = dataset.subclasses
    if parts is None:
        raise DataError(
            f"{dataset.title} has no superclasses, so 'subclass:' means nothing here. Choose cifar100 or cifar20, or write "
            "class:NAME."
        )
    superclasses = {_folded(name): name for name in parts.superclasses}
    wanted = set()
    for piece in body.split("+"):
        above, slash, name = (_folded(text) for text in piece.partition("/"))
        if not slash or above not in superclasses:
            raise DataError(
                f"{_short(piece.strip())} is not understood. Write SUPERCLASS/SUBCLASS, such as subclass:people/boy. "
                f"The superclasses of {dataset.title}: {', '.join(parts.superclasses)}."
            )
        group = {_folded(part): part for part in parts.superclasses[superclasses[above]]}
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
    known = (
        f"among the {len(dataset.class_names)} people {dataset.title} was trained on; "
        f"they go from {dataset.class_names[0]} to {dataset.class_names[-1]}."
    )
    chosen = sorted({_index(name, dataset, f"There is no identity {_short(name)} {known}") for name in _pieces(body, dataset)})
    mask = torch.isin(dataset.train.labels, torch.tensor(chosen))
    return mask.nonzero()[:, 0], "identity:" + "+".join(dataset.class_names[c] for c in chosen)


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
    return f"{f'{n:,} {dataset.noun}' if n > 1 else f'one {dataset.noun[:-1]}'} of {of}"


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
