"""The bounded memory that threads share."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor

from imu_core.caches import SharedCache


def test_what_was_used_longest_ago_leaves_and_is_told() -> None:
    left: list[str] = []
    cache: SharedCache[int, str] = SharedCache(2, left.append)
    cache[1], cache[2] = "one", "two"
    assert cache[1] == "one"
    cache[1] = "uno"
    assert left == [], "nothing new came"
    cache[3] = "three"
    assert left == ["two"]
    assert dict(cache) == {1: "uno", 3: "three"}
    assert (cache.get(2), cache.pop(2), cache.pop(3), cache.pop(3, "gone")) == (None, None, "three", "gone")
    assert left == ["two"], "what was taken out did not have to leave"


def test_it_stays_whole_while_many_threads_write() -> None:
    cache: SharedCache[int, int] = SharedCache(8)

    def work(start: int) -> int:
        for number in range(start, start + 3000):
            cache[number % 31] = number
            cache.get((number * 7) % 31)
            cache.pop((number * 3) % 31)
            list(cache)
        return max(itertools.chain([0], (len(cache) for _ in range(10))))

    with ThreadPoolExecutor(8) as pool:
        assert max(pool.map(work, range(8))) <= 8
    assert len(cache) == len(list(cache)) <= 8
