"""How time and memory grow with N, d and C: WORK N,d,C [N,d,C …], in a process of its own; a line of JSON for each size.

WORK is `influence ESTIMATOR` or `unlearn METHOD` (head scope, one epoch on a tenth of the samples, influence included, judged
at its beginning and its end). Features are drawn, not computed: only their size matters here.
"""

from __future__ import annotations

import ctypes
import json
import math
import sys
import time
from collections.abc import Callable
from contextlib import suppress

import torch
from torch import Tensor, nn

import imu_core
from imu_core import runtime
from imu_core.influence import head_scores
from imu_core.records.data import Dataset, ImageSet
from imu_core.records.run import Features, Problem, RunConfig, Split

ENOUGH, REPEATS = 1.0, 5  # seconds after which no further repetition begins, and the most repetitions
BASE = (8000, 256, 64)
CURVES = {
    "N": [(n, *BASE[1:]) for n in (2000, 4000, 8000, 16000, 32000, 64000)],
    "d": [(BASE[0], d, BASE[2]) for d in (64, 128, 256, 512, 1024, 2048)],
    "C": [(*BASE[:2], c) for c in (16, 32, 64, 128, 256, 512)],
}
FULL = (50_000, 2048, 1000)
WORKS = (("influence", "diagonal"), ("influence", "exact"), ("unlearn", "imu"))
FULL_WORKS = (
    *(("influence", name) for name in ("diagonal", "diagonal_ggn", "gradient", "kfac", "ekfac", "exact")),
    *(("unlearn", name) for name in ("ga", "imu", "npo")),
)


def drawn(n: int, d: int, C: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Z (n, d) after a rectifier, y (n,), W (C, d) and b (C,) of a head that is right about most of them, but not too sure.

    Its logit of the right class is ln C + 2 above the others on average, at every size: surer, and the Hessian would vanish.
    """
    g = torch.Generator().manual_seed(0)
    means, y = torch.randn(C, d, generator=g), torch.randint(C, (n,), generator=g)
    Z = torch.empty(n, d)
    for rows in torch.arange(n).split(1000):
        Z[rows] = (0.5 * means[y[rows]] + torch.randn(len(rows), d, generator=g)).relu_()
    return Z, y, means * (4 * (math.log(C) + 2) / d), torch.zeros(C)


def influence(estimator: str, n: int, d: int, C: int) -> Callable[[], dict[str, float]]:
    """Scores of all n samples."""
    Z, y, W, b = drawn(n, d, C)

    def work() -> dict[str, float]:
        found = head_scores(Z, y, W, b, estimator=estimator, damping=1e-2)
        return {"iterations": found.iterations, "residual": found.residual}

    return work


def unlearn(method: str, n: int, d: int, C: int) -> Callable[[], dict[str, float]]:
    """A run at head scope."""
    Z, y, W, b = drawn(n, d, C)
    model = nn.Sequential(nn.Flatten(), nn.Linear(d, C)).requires_grad_(False)
    model[1].load_state_dict({"weight": W, "bias": b})
    images = ImageSet(torch.zeros(n, 1, 1, 1, dtype=torch.uint8), y)
    dataset = Dataset("drawn", "Drawn", images, images, tuple(map(str, range(C))), (0.5,), (0.5,), key=f"{n} {d} {C}")
    features = Features(Z, y, model[1](Z))
    test = Features(Z[: n // 10], y[: n // 10], features.logits[: n // 10])
    index = torch.arange(n)
    problem = Problem(dataset, "drawn", model, features, test, Split("drawn", index[::10], index[index % 10 > 0]))
    config = RunConfig(method=method, epochs=1, learning_rate=1e-3, eval_every=10**6)

    def work() -> dict[str, float]:
        run = imu_core.unlearn(problem, config)
        steps = [point.step for point in run]
        assert run.outcome.state in ("done", "diverged"), run.outcome.reason
        return {"steps": steps[-1]}

    return work


def measured(work: Callable[[], dict[str, float]]) -> dict[str, float]:
    """Seconds (wall and processor) of the best repetition, and bytes: grown by, and of the whole process at its largest."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)  # what an earlier size left behind would hide this one's growth
    memory, begun, found = runtime.Memory(), time.perf_counter(), []
    while not found or (len(found) < REPEATS and time.perf_counter() - begun < ENOUGH):
        wall, cpu = time.perf_counter(), time.process_time()
        facts = work()
        found.append((time.perf_counter() - wall, time.process_time() - cpu))
    return {
        "seconds": min(w for w, _ in found), "processor_seconds": min(c for _, c in found), "repeats": len(found),
        "bytes": memory.peak(), "process_bytes": runtime._resident("VmHWM"), **facts,
    }  # fmt: skip


def main() -> None:
    """Measure every size that the arguments name."""
    kind, name, *sizes = sys.argv[1:]
    runtime.limit_threads()
    {"influence": influence, "unlearn": unlearn}[kind](name, 200, 8, 4)()  # what is loaded on first use is no part of any size
    for size in sizes:
        n, d, C = map(int, size.split(","))
        print(json.dumps({"N": n, "d": d, "C": C, **measured({"influence": influence, "unlearn": unlearn}[kind](name, n, d, C))}))
        sys.stdout.flush()


if __name__ == "__main__":
    main()
