"""Slow browsers: pages whose messages are looked at seconds late drag the slider of a replay to and fro. How many of them die?

    .venv/bin/python tests/benchmarks/slow_browsers.py --port 8501 --visitors 20

A page dies of a "Cached ForwardMsg MISS": the server refers to a message that the page no longer holds. Exit 1 where one died.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys

from visitors import Visitor

CLASSES = ("Sandal", "Trouser", "Dress", "Bag", "Coat")
PATIENCE = 180.0  # seconds for a page to come
STEPS = (10, 60, 30)  # where the slider is dragged, again and again: back to pictures that the page is about to drop


async def one(address: str, number: int, lag: float, drags: int) -> Visitor:
    """Open Unlearn and its finished example as quickly as any browser, then become slow and drag."""
    draw = random.Random(number)
    visitor = Visitor(address, "unlearn", f"forget=class:{CLASSES[number % len(CLASSES)]}")
    await visitor.open()
    await visitor.settle(PATIENCE)
    await visitor.until(lambda: visitor.has("slider", "Step"), PATIENCE)
    visitor.lag = lag
    for drag in range(drags):
        before = visitor.answers
        await visitor.drag("Step", STEPS[drag % len(STEPS)])
        await visitor.until(lambda: visitor.answers > before, PATIENCE)  # noqa: B023 — awaited before the next turn
        await asyncio.sleep(draw.uniform(0.05, 0.3))
    await asyncio.sleep(2 * lag)
    await visitor.close()
    return visitor


async def all_of_them(address: str, visitors: int, lag: float, drags: int) -> list[Visitor]:
    """A few at a time: the test is of slow browsers, not of a crowd."""
    room = asyncio.Semaphore(4)

    async def in_turn(number: int) -> Visitor:
        async with room:
            return await one(address, number, lag, drags)

    return list(await asyncio.gather(*map(in_turn, range(visitors))))


def main() -> int:
    """Print what came of it, a line in all."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--port", type=int, default=8501)
    parser.add_argument("--visitors", type=int, default=20)
    parser.add_argument("--lag", type=float, default=3.0, help="seconds from a message to its look")
    parser.add_argument("--drags", type=int, default=40)
    asked = parser.parse_args()
    address = f"ws://127.0.0.1:{asked.port}/_stcore/stream"
    seen = asyncio.run(all_of_them(address, asked.visitors, asked.lag, asked.drags))
    dead, failed = sum(bool(v.misses) for v in seen), sum(bool(v.exceptions) for v in seen)
    print(f"{len(seen)} slow browsers: {dead} died, {failed} saw an exception, {sum(v.bytes for v in seen) / 1e6:.1f} MB in all")
    return int(bool(dead or failed))


if __name__ == "__main__":
    sys.exit(main())
