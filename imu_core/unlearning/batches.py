"""Which samples a step sees: the forget set, the retain set, or both in one of three ways. The same for every method."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import cycle

import torch
from torch import Tensor

from imu_core import runtime
from imu_core.records.run import RunConfig, Split

_SHUFFLE, _SHARE, _PARTNER = 41, 43, 47  # streams of the generator


@dataclass(frozen=True, eq=False)
class Part:
    """The samples of one step: `index` into the training set (n,), `position` within their own set, `is_forget` (n,)."""

    index: Tensor
    position: Tensor
    is_forget: Tensor


class Stream:
    """Batches of one epoch after another, drawn by the run's seed and the epoch alone.

    forget | retain   that set, shuffled
    together          both sets, shuffled into one
    in_turn           the forget set's batches, then the retain set's
    paired            each batch of the retain set with a batch of the forget set, which is gone through again and again

    `share` of the retain set takes part, a fixed random choice by the run's seed.
    """

    def __init__(self, kind: str, split: Split, config: RunConfig, share: float = 1.0) -> None:
        self._kind, self._seed, self._size = kind, config.seed, config.batch_size
        self._forget, self._retain = split.forget, split.retain
        self._kept = torch.arange(len(split.retain))
        if share < 1.0:
            count = max(1, round(share * len(split.retain)))
            drawn = torch.randperm(len(split.retain), generator=runtime.generator(config.seed, _SHARE))[:count]
            self._kept = drawn.sort().values

    @cached_property
    def batches(self) -> int:
        """How many batches an epoch has."""
        forget, retain = (math.ceil(len(s) / self._size) for s in (self._forget, self._kept))
        together = math.ceil((len(self._forget) + len(self._kept)) / self._size)
        return {"forget": forget, "retain": retain, "paired": retain, "in_turn": forget + retain, "together": together}[
            self._kind
        ]

    def epoch(self, epoch: int) -> Iterator[Part]:
        """The batches of `epoch` (from 0)."""
        if self._kind == "together":
            yield from self._together(epoch)
        elif self._kind == "paired":
            partners = cycle(self._batches_of(True, epoch, _PARTNER))
            yield from (_joined(part, next(partners)) for part in self._batches_of(False, epoch))
        else:
            if self._kind in ("forget", "in_turn"):
                yield from self._batches_of(True, epoch)
            if self._kind in ("retain", "in_turn"):
                yield from self._batches_of(False, epoch)

    def _batches_of(self, is_forget: bool, epoch: int, stream: int = _SHUFFLE) -> list[Part]:
        own = torch.arange(len(self._forget)) if is_forget else self._kept
        position = own[torch.randperm(len(own), generator=runtime.generator(self._seed, stream, epoch))]
        whole = (self._forget if is_forget else self._retain)[position], position, torch.full((len(own),), is_forget)
        return [Part(*part) for part in zip(*(tensor.split(self._size) for tensor in whole), strict=True)]

    def _together(self, epoch: int) -> Iterator[Part]:
        positions = torch.cat([torch.arange(len(self._forget)), self._kept])
        is_forget = torch.arange(len(positions)) < len(self._forget)
        order = torch.randperm(len(positions), generator=runtime.generator(self._seed, _SHUFFLE, epoch))
        for part in order.split(self._size):
            yield self._part(positions[part], is_forget[part])

    def _part(self, position: Tensor, is_forget: Tensor) -> Part:
        last_forget, last_retain = max(0, len(self._forget) - 1), max(0, len(self._retain) - 1)
        forget = self._forget[position.clamp(max=last_forget)]
        retain = self._retain[position.clamp(max=last_retain)] if len(self._retain) else forget
        return Part(torch.where(is_forget, forget, retain), position, is_forget)


def _joined(one: Part, other: Part) -> Part:
    return Part(*(torch.cat([getattr(one, name), getattr(other, name)]) for name in ("index", "position", "is_forget")))
