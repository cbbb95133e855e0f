"""A bounded memory that threads share: what was used last stays, what was used longest ago goes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any, TypeVar

from cachetools import LRUCache

K = TypeVar("K")
V = TypeVar("V")


class SharedCache(MutableMapping[K, V]):
    """A dictionary of at most `most` entries: the one that was used longest ago leaves for a new one.

    Threads may share it; each operation is atomic. `leaving` is called with the value of an entry that had to leave.
    """

    def __init__(self, most: int, leaving: Callable[[V], object] = lambda value: None) -> None:
        self._entries: LRUCache[K, V] = LRUCache(most)
        self._lock = threading.Lock()
        self._leaving = leaving

    def __getitem__(self, key: K) -> V:
        with self._lock:
            return self._entries[key]

    def __setitem__(self, key: K, value: V) -> None:
        with self._lock:
            is_full = key not in self._entries and len(self._entries) == self._entries.maxsize
            left = [self._entries.popitem()[1]] if is_full else []
            self._entries[key] = value
        for old in left:
            self._leaving(old)

    def __delitem__(self, key: K) -> None:
        with self._lock:
            del self._entries[key]

    def pop(self, key: K, default: Any = None) -> Any:
        """Remove `key` and return its value; `default` where it was not there."""
        with self._lock:
            return self._entries.pop(key, default)

    def __iter__(self) -> Iterator[K]:
        with self._lock:
            return iter(list(self._entries))

    def __len__(self) -> int:
        return len(self._entries)
