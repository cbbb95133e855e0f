"""A run on its way out: CSV, JSON, LaTeX, a Python snippet that repeats it, safetensors."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from safetensors.torch import save as save_tensors
from torch import nn

from imu_core.records.run import Influence, Problem, Trajectory, finite


def to_json(trajectory: Trajectory) -> str:
    """The whole record as indented JSON; `Trajectory.from_dict(json.loads(text))` reads it back."""
    return json.dumps(trajectory.to_dict(), indent=1)


def to_csv(trajectory: Trajectory) -> str:
    """One line a point: step, epoch, seconds, loss, every accuracy (fractions) and the weights' summary."""
    rows = [
        {"step": p.step, "epoch": p.epoch, "seconds": p.seconds, "loss": p.loss, **p.accuracies, **_prefixed(p.weights)}
        for p in trajectory.points
    ]
    return pd.DataFrame(rows).to_csv(index=False)


def _prefixed(weights: dict[str, float] | None) -> dict[str, float]:
    return {f"weights_{name}": value for name, value in (weights or {}).items()}


def to_snippet(trajectory: Trajectory) -> str:
    """Python that repeats the run exactly: the same problem, the same earlier requests, the same settings."""
    about = trajectory.problem
    history = [(step["forget"], step["config"]) for step in about["history"]]
    call = f"problem_after(\n    {history!r},\n    " if history else "problem(\n    "
    settings = ", ".join(f"{name}={value!r}" for name, value in trajectory.config.changed().items())
    return (
        "import imu_core\n\n"
        f"problem = imu_core.{call}{about['dataset']!r}, model={about['model']!r}, forget={about['forget']!r}, "
        f"seed={about['seed']},\n)\n"
        f"run = imu_core.unlearn(problem, imu_core.RunConfig({settings}))\n"
        "for point in run:\n"
        "    print(point.step, point.accuracies)\n"
        "print(run.outcome)\n"
    )


Rows = Sequence[Mapping[str, Any]]


def table_csv(rows: Rows) -> str:
    """`rows` (name of column → value) as CSV, columns in order of first appearance; what is not there is empty."""
    return pd.DataFrame(list(rows), columns=_columns(rows)).to_csv(index=False)


def table_json(rows: Rows) -> str:
    """`rows` as an indented JSON list; nan and infinity become null."""
    return json.dumps(finite([dict(row) for row in rows]), indent=1, ensure_ascii=False)


def table_latex(rows: Rows, caption: str = "", decimals: Mapping[str, int] | None = None) -> str:
    """`rows` as a LaTeX table with the rules of booktabs: text to the left, numbers to the right, "--" for what is missing.

    Every text is escaped; arrows, ± and ≈ become mathematics, and letters beyond are left to XeLaTeX, LuaLaTeX or a recent
    pdfLaTeX. `decimals` says how many a column has (1 where it does not). The document needs \\usepackage{booktabs}.
    """
    names, places = _columns(rows), decimals or {}
    numeric = [all(isinstance(row.get(name), (int, float, type(None))) for row in rows) for name in names]
    lines = [[_cell(row.get(name), places.get(name, 1)) for name in names] for row in rows]
    table = pd.DataFrame(lines, columns=[escaped(name) for name in names]).style.hide(axis="index")
    sides = "".join("r" if right else "l" for right in numeric)
    return table.to_latex(hrules=True, column_format=sides, position_float="centering", caption=escaped(caption) or None)


def _columns(rows: Rows) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def _cell(value: Any, places: int) -> str:
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        return "--"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        text = f"{value:,}" if isinstance(value, int) else f"{value:.{places}f}"
        return f"${text}$" if value < 0 else text  # a hyphen is no minus
    return escaped(value)


_LATEX = {  # pandas escapes the first two lines alone
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", '"': "''", "[": "{[}", "]": "{]}",
    "|": r"\textbar{}", "↑": r"$\uparrow$", "↓": r"$\downarrow$", "≈": r"$\approx$", "±": r"$\pm$", "−": "$-$", "→": r"$\to$",
    "ψ": r"$\psi$", "λ": r"$\lambda$", "·": r"$\cdot$",
}  # fmt: skip


def escaped(text: object) -> str:
    """`text` escaped for LaTeX, so that none of its signs is a command; line breaks and control characters become spaces."""
    return "".join(_LATEX.get(sign, sign if sign.isprintable() else " ") for sign in str(text))


def to_safetensors(model: nn.Module, trajectory: Trajectory) -> bytes:
    """The bytes of a safetensors file: the unlearned model's parameters and buffers, with problem and config in its metadata."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    metadata = {"problem": json.dumps(trajectory.problem), "config": json.dumps(trajectory.config.changed())}
    return save_tensors(state, metadata)


def scores_csv(problem: Problem, influence: Influence, weights: Any) -> str:
    """One line a forget sample: id, class, score, weight, loss (nats), gradient norm; ids index the training set."""
    names = problem.dataset.class_names
    forget = problem.split.forget
    table = pd.DataFrame(
        {
            "id": forget.numpy(),
            "class": [names[label] for label in problem.train.labels[forget].tolist()],
            "score": influence.scores.numpy(),
            "weight": weights.numpy(),
            "loss": influence.losses.numpy(),
            "gradient_norm": influence.gradient_norms.numpy(),
        }
    )
    buffer = io.StringIO()
    table.sort_values("score", ascending=False, kind="stable").to_csv(buffer, index=False)
    return buffer.getvalue()
