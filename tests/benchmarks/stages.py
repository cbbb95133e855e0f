"""The larger stages of the benchmark: other libraries on the same head, growth with size, scopes, features, pages."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from influence_libraries import OURS, WAYS
from safetensors.torch import load_file, save_file
from scaling import BASE, CURVES, FULL, FULL_WORKS, WORKS, drawn

import imu_core
from imu_core import data, runtime
from imu_core.errors import ImuError
from imu_core.influence import ranking
from imu_core.problems import features
from imu_core.problems.problem import prepare
from imu_core.records.run import Problem, RunConfig

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
LIBRARIES = ROOT / "build" / "influence-venv" / "bin" / "python"
PATIENCE, MOST_SECONDS = 900, 120  # until a process is given up, and until a library is
CIFAR = {"dataset": "cifar10", "model": "airbench", "forget": "class:dog"}
FASHION = {"dataset": "fashion", "model": "small_resnet", "forget": "class:Sandal"}


@dataclass(frozen=True)
class Row:
    """A line of the table: `seconds` (median or best of `repeats`), and `ratio` to `against` where it is compared with something.

    `processor` seconds are those of all threads, which a busy machine changes less; `bytes` is memory; `spearman` the rank
    correlation with the dense answer.
    """

    part: str
    what: str
    seconds: float | None
    repeats: int
    ratio: float | None = None
    against: str = ""
    note: str = ""
    processor: float | None = None
    bytes: int | None = None
    spearman: float | None = None
    more: dict[str, Any] = field(default_factory=dict)


def usual() -> tuple[dict[str, str], str]:
    """The real problem to measure on, and why this one: CIFAR-10 where its images and a model are here, else what ships."""
    try:
        if data.is_here(CIFAR["dataset"]):
            imu_core.problem(**CIFAR)
            return CIFAR, "CIFAR-10, airbench, class dog"
        reason = "CIFAR-10 is not on this machine (IMU_DATA)"
    except ImuError:
        reason = "no model is trained on CIFAR-10"
    return FASHION, f"Fashion-MNIST, small_resnet, class Sandal, because {reason}"


def child(python: Path | str, *arguments: str, patience: int = PATIENCE) -> tuple[list[dict[str, Any]], str]:
    """The JSON lines that a script of this folder prints, run in a process of its own, and why there are no more of them."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    command = [str(python), str(HERE / arguments[0]), *arguments[1:]]
    try:
        done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=patience)
    except subprocess.TimeoutExpired as late:
        lines, error = (late.stdout or b"").decode(), f"did not finish in {patience} s"
    else:
        lines, error = done.stdout, "" if not done.returncode else (done.stderr.strip().splitlines() or ["failed"])[-1]
    return [json.loads(line) for line in lines.splitlines() if line.startswith("{")], error


# ------------------------------------------------------------------------------------------------------------ libraries


def heads() -> Iterator[tuple[str, dict[str, torch.Tensor]]]:
    """The heads that everybody computes influence on: a real one, and N 5,000, d 512, C 10."""
    which, words = usual()
    problem = imu_core.problem(**which)
    index, head = problem.split.forget, problem.head
    Z, y = problem.train.Z[index].clone(), problem.train.labels[index]
    yield words, {"Z": Z, "y": y, "W": head.weight.detach(), "b": head.bias.detach(), "damping": _number(1e-2)}
    Z, y, W, b = drawn(5000, 512, 10)
    yield "drawn features", {"Z": Z, "y": y, "W": W, "b": b, "damping": _number(1e-3)}


def _number(value: float) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64)


def bench_libraries() -> Iterator[Row]:
    """Our influence and that of five libraries on the same heads, each in a process of its own."""
    if not LIBRARIES.exists():
        yield Row("libraries", "not measured", None, 0, note="their environment is not built: make bench-libraries")
    with tempfile.TemporaryDirectory() as folder:
        for words, given in heads():
            path = Path(folder) / "head.safetensors"
            save_file({name: tensor.contiguous() for name, tensor in given.items()}, path)
            n, d, C = *given["Z"].shape, len(given["W"])
            yield from _on_one_head(f"N {n:,}, d {d}, C {C}, λ {float(given['damping']):g}: {words}", path)


def _on_one_head(title: str, path: Path) -> Iterator[Row]:
    scores, found = {}, {}
    order = ["dense float64", *(name for name in WAYS if name != "dense float64")]
    for name in (n for n in order if n in OURS or LIBRARIES.exists()):
        out = path.with_name("scores.safetensors")
        lines, error = child(
            sys.executable if name in OURS else LIBRARIES,
            "influence_libraries.py",
            name,
            str(path),
            str(out),
            patience=MOST_SECONDS,
        )
        if error or not lines:
            yield Row("libraries", name, None, 0, note=f"{title}; {error[:120]}")
            continue
        scores[name], found[name] = load_file(out)["scores"].clone(), lines[0]
        truth = scores["dense float64"]
        seconds = found[name]["processor_seconds"] / found["imu exact"]["processor_seconds"] if "imu exact" in found else None
        yield Row(
            "libraries", name, found[name]["seconds"], found[name]["repeats"], seconds, "imu exact, processor", title,
            found[name]["processor_seconds"], found[name]["bytes"], ranking.spearman(scores[name], truth),
        )  # fmt: skip


# --------------------------------------------------------------------------------------------------------------- growth


def bench_curves() -> Iterator[Row]:
    """Seconds and bytes as each of N, d and C grows alone; the slope on logarithmic scales is 1 where growth is linear."""
    for kind, name in WORKS:
        for axis, sizes in CURVES.items():
            lines, error = child(sys.executable, "scaling.py", kind, name, *(",".join(map(str, size)) for size in sizes))
            for line in lines:
                each = line["processor_seconds"] / max(1, line.get("iterations", 0))
                yield Row(
                    "curves", f"{name}: N {line['N']:,}, d {line['d']:,}, C {line['C']:,}", line["seconds"], line["repeats"],
                    note=error[:120], processor=line["processor_seconds"], bytes=line["bytes"],
                    more={"work": name, "axis": axis, "size": line[axis], "seconds": each},
                )  # fmt: skip


def bench_full() -> Iterator[Row]:
    """N 50,000, d 2,048, C 1,000: influence by every estimator that is linear in N, and runs on the head."""
    size = ",".join(map(str, FULL))
    for kind, name in FULL_WORKS:
        lines, error = child(sys.executable, "scaling.py", kind, name, size, patience=2 * PATIENCE)
        if not lines:
            yield Row("full size", f"{kind}: {name}", None, 0, note=error[:120])
        for line in lines:
            note = f"{line['iterations']} iterations to {line['residual']:.0e}" if line.get("iterations") else ""
            yield Row(
                "full size", f"{kind}: {name}", line["seconds"], line["repeats"], note=note,
                processor=line["processor_seconds"], bytes=line["process_bytes"],
            )  # fmt: skip


def slopes(rows: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    """By work and axis: sizes, processor seconds (of an iteration for `exact`), bytes, and the slopes of the four largest."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for row in (r for r in rows if r["more"]):
        more = row["more"]
        curve = found.setdefault((more["work"], more["axis"]), {"size": [], "seconds": [], "bytes": []})
        for name, value in (("size", more["size"]), ("seconds", more["seconds"]), ("bytes", row["bytes"])):
            curve[name].append(value)
    for curve in found.values():
        for what in ("seconds", "bytes"):
            curve[f"slope of {what}"] = _slope(curve["size"][-4:], curve[what][-4:])
    return found


def _slope(x: list[float], y: list[float]) -> float:
    """Least squares through the logarithms."""
    lx, ly = ([math.log(max(v, 1e-12)) for v in values] for values in (x, y))
    mx, my = sum(lx) / len(lx), sum(ly) / len(ly)
    return sum((a - mx) * (b - my) for a, b in zip(lx, ly, strict=True)) / sum((a - mx) ** 2 for a in lx)


def picture(rows: list[dict[str, Any]], path: Path) -> None:
    """The curves as a PNG: seconds above, memory below, against N, d and C."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    names = {"diagonal": "influence, diagonal", "exact": "influence, exact (an iteration)", "imu": "IMU, one epoch on the head"}
    figure, axes = plt.subplots(2, 3, figsize=(9, 5), sharey="row", sharex="col", layout="constrained")
    for (name, axis), curve in slopes(rows).items():
        column = list(CURVES).index(axis)
        for above, what, unit in ((0, "seconds", 1), (1, "bytes", 1e6)):
            label = names[name] if not above else None
            slope = curve[f"slope of {what}"]
            line = axes[above][column].plot(curve["size"], [v / unit for v in curve[what]], marker="o", markersize=3, label=label)
            axes[above][column].annotate(
                f"{slope:.2f}", (curve["size"][-1], curve[what][-1] / unit), fontsize=7, color=line[0].get_color()
            )
            axes[above][column].set(xscale="log", yscale="log")
            axes[above][column].xaxis.set_minor_formatter("")
        fixed = ", ".join(f"{key} {value:,}" for key, value in zip(CURVES, BASE, strict=True) if key != axis)
        axes[1][column].set_xlabel(f"{axis}  ({fixed})")
    axes[0][0].set_ylabel("processor seconds")
    axes[1][0].set_ylabel("memory grown by, MB")
    axes[0][1].legend(fontsize=7)
    runtime.write_whole(path, lambda part: figure.savefig(part, format="png", dpi=90))
    plt.close(figure)


# ------------------------------------------------------------------------------------------------- scopes, features, pages


def bench_scopes(repeats: int) -> Iterator[Row]:
    """IMU against GA with the same steps at each scope, the best of a few runs of each in turn."""
    which, words = usual()
    forget = imu_core.problem(which["dataset"], model=which["model"], forget="random:512,seed=0")
    for scope, epochs in (("head", 5), ("last:1", 1), ("all", 1)):
        rounds = 4 * repeats if scope == "head" else repeats
        found: dict[str, list[float]] = {"ga": [], "imu": []}
        for _ in range(rounds):
            for name, seen in found.items():
                seen.append(_own(forget, name, scope, epochs))
        for name, seen in found.items():
            ratio = min(seen) / min(found["ga"])
            note = f"epochs: {epochs}, 512 samples; {words}"
            yield Row("scopes", f"{name}, {scope}", min(seen), rounds, ratio, "ga", note)


def _own(problem: Problem, method: str, scope: str, epochs: int) -> float:
    """Seconds a method itself takes for `epochs`, influence included: a run that ends before all images are judged."""
    batches = math.ceil(len(problem.split.forget) / 256)
    config = RunConfig(method=method, scope=scope, epochs=epochs + 1, eval_every=epochs * batches, learning_rate=1e-3)
    run = imu_core.unlearn(problem, config)
    next(point for point in run if point.step)
    return run.phases["prepare"] + run.phases["steps"]


def bench_features() -> Iterator[Row]:
    """The features of a whole dataset: computed for the first time, and found again."""
    which, words = usual()
    name, model = which["dataset"], which["model"]
    images = sum(len(part) for part in (data.load(name).train, data.load(name).test))
    home = os.environ.get("IMU_HOME")
    with tempfile.TemporaryDirectory() as folder:
        if (runtime.home() / "models").exists():
            shutil.copytree(runtime.home() / "models", Path(folder) / "models")
        os.environ["IMU_HOME"] = folder
        try:
            for what in ("computed", "found again"):
                wall, cpu = time.perf_counter(), time.process_time()
                for _ in prepare(name, model=model):
                    pass
                imu_core.problem(name, model=model, forget=which["forget"])
                wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
                yield Row("features", f"{images:,} images, {what}", wall, 1, note=words, processor=cpu)
                _forget_features()
        finally:
            del os.environ["IMU_HOME"]
            os.environ.update({"IMU_HOME": home} if home else {})


def _forget_features() -> None:
    """As in a process that has just started, which has only what is on the disk."""
    features._READY.clear()
    sys.modules["imu_core.problems.problem"]._original.cache_clear()


INTERACTIONS = {
    "start": (),
    "influence": ("damping", 1e-1, 1e-3),
    "unlearn": ("measure", False, True),
    "compare": ("compare",),
    "attack": ("attacked",),
    "playground": (),
    "reidentify": (),
    "your_own": (),
    "runs": (),
    "paper": ("paper", "Table 3", "Table 1"),
    "glossary": ("term_search", "score", ""),
    "docs": (),
}


def bench_server(visits: int) -> Iterator[Row]:
    """Server time of each page, the real problem loaded: a visitor's first script run in a warm server, and an interaction."""
    import logging

    from streamlit.testing.v1 import AppTest

    logging.disable(logging.WARNING)
    which, words = usual()

    def visit(page: str) -> tuple[Any, float, float]:
        app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=PATIENCE)
        app.query_params.update(which)
        if page != "start":
            app.switch_page(f"pages/{page}.py")
        return app, *_timed(app)

    for page, (key, *values) in ((p, i or ("",)) for p, i in INTERACTIONS.items()):
        visit(page)
        found = [visit(page) for _ in range(visits)]
        yield _page_row(f"{page}: first paint", [f[1:] for f in found], words)
        app, times = found[-1][0], []
        for number in range(visits + 1):
            if values:
                _widget(app, key).set_value(values[number % len(values)])
            times.append(_timed(app))
        yield _page_row(f"{page}: {'change of ' + key if values else 'run again'}", times[1:], words)
    logging.disable(logging.NOTSET)


def _timed(app: Any) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    app.run()
    assert not app.exception, [error.message for error in app.exception]
    return time.perf_counter() - wall, time.process_time() - cpu


def _widget(app: Any, key: str) -> Any:
    kinds = ("select_slider", "toggle", "text_input", "selectbox", "button_group")
    return next(w for kind in kinds for w in getattr(app, kind) if w.key == key)


def _page_row(what: str, times: list[tuple[float, float]], words: str) -> Row:
    wall, cpu = (min(column) for column in zip(*times, strict=True))
    return Row("server", what, wall, len(times), note=f"goal below 0.3 s; {words}", processor=cpu)
