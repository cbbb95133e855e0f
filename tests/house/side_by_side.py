"""What a script can measure of this house, beside the codebases it learns from and the goals: `make check` prints it.

The architecture test reads the source with the same functions, and holds every number to its goal.
"""

from __future__ import annotations

import ast
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Numbers:
    """What is measured of one codebase; None where it was not."""

    functions: int | None
    median_length: float | None
    p90_length: float | None
    longest_function: float | None
    documented: float | None  # percent of public functions and classes
    annotated: float | None  # percent of functions
    most_files: float | None  # in one folder
    longest_file: float | None
    import_depth: float | None  # files in the longest chain of imports
    dicts: float | None  # dict[str, Any] and Mapping[str, Any] in 1,000 lines


# Measured once by the same definitions.
ANCHORS = {
    "this house at 92e1082": Numbers(1825, 6, 17, 57, 100, 100, 47, 630, 28, 9.5),
    "curvlinops": Numbers(373, 8, 41, 83, 100, 88, 22, 1007, 13, 1.6),
    "kronfluence": Numbers(338, 7, 40, 210, 78, 99, 7, 798, 13, 1.6),
    "nanochat": Numbers(132, 10, 40, 99, 52, 11, 13, 555, 5, None),
    "grad-cam": Numbers(164, 8, 27, 76, 22, 19, 25, 231, 4, None),
    "LIT": Numbers(774, 8, 34, 171, 58, 52, 31, 1102, 14, 1.9),
}
GOAL = Numbers(None, 10, 30, 60, 100, 100, 14, 400, 14, 1.6)
AT_LEAST = ("documented", "annotated")  # every other number of the goal is a most


def sources(*floors: str) -> list[Path]:
    """The Python files below these folders of the house, in order."""
    return sorted(path for floor in floors for path in (ROOT / floor).rglob("*.py"))


@cache
def parsed(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text(), str(path))


def name_of(path: Path) -> str:
    """The path as seen from the root of the house."""
    return str(path.relative_to(ROOT))


def module_of(path: Path) -> str:
    """The dotted name under which a file is imported."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """(dotted name, line) of every import, inside functions as well; those under TYPE_CHECKING run nowhere and are left out."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports here are absolute"
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)
        yield from imports(node)


def functions(tree: ast.AST) -> list[Function]:
    """Every function of a file, methods and functions within functions included."""
    return [node for node in ast.walk(tree) if isinstance(node, Function)]


def length(function: Function) -> int:
    """Lines of a function without its docstring, which may explain as long as it likes."""
    lines = function.end_lineno - function.lineno + 1
    first = function.body[0]
    is_text = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    return lines - (first.end_lineno - first.lineno + 1 if is_text else 0)


def public(tree: ast.Module) -> Iterator[tuple[str, Function | ast.ClassDef]]:
    """Public functions and classes of a module, and public methods of public classes."""
    for node in tree.body:
        if not isinstance(node, Function | ast.ClassDef) or node.name.startswith("_"):
            continue
        yield node.name, node
        if isinstance(node, ast.ClassDef):
            methods = (m for m in node.body if isinstance(m, Function | ast.ClassDef) and not m.name.startswith("_"))
            yield from ((f"{node.name}.{method.name}", method) for method in methods)


def is_annotated(function: Function) -> bool:
    """Whether every argument but self and cls has a type, and what comes back has one."""
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    return function.returns is not None and all(a is None or a.annotation or a.arg in ("self", "cls") for a in named)


def files_in_folders(*floors: str) -> dict[str, int]:
    """How many Python files lie in each folder that holds any."""
    folders = [path.parent for path in sources(*floors)]
    return {name_of(folder): folders.count(folder) for folder in dict.fromkeys(folders)}


def lines_of(path: Path) -> int:
    """How many lines a file has."""
    return len(path.read_text().splitlines())


def longest_chain(paths: Sequence[Path]) -> list[str]:
    """The longest chain of modules of which each imports the next; imports that go round are a CycleError."""
    modules = {module_of(path): path for path in paths}
    graph = {}
    for module, path in modules.items():
        targets = {name if name in modules else name.rpartition(".")[0] for name, _ in imports(parsed(path))}
        graph[module] = (targets & modules.keys()) - {module}
    chains: dict[str, list[str]] = {}
    for module in TopologicalSorter(graph).static_order():
        chains[module] = [module, *max((chains[target] for target in sorted(graph[module])), key=len, default=[])]
    return max(chains.values(), key=len)


def dicts_of_anything(path: Path) -> list[int]:
    """The lines on which a file writes dict[str, Any] or Mapping[str, Any]."""
    named = [n for n in ast.walk(parsed(path)) if isinstance(n, ast.Subscript) and isinstance(n.value, ast.Name)]
    return [n.lineno for n in named if n.value.id in ("dict", "Mapping") and ast.unparse(n.slice) in ("(str, Any)", "str, Any")]


@cache
def measured(paths: tuple[Path, ...]) -> Numbers:
    """The numbers of these files."""
    every = [function for path in paths for function in functions(parsed(path))]
    lengths = sorted(length(function) for function in every)
    docs = [ast.get_docstring(node) is not None for path in paths for _, node in public(parsed(path))]
    folders = [path.parent for path in paths]
    return Numbers(
        functions=len(every),
        median_length=statistics.median(lengths),
        p90_length=lengths[int(0.9 * len(lengths))],
        longest_function=lengths[-1],
        documented=100 * statistics.mean(docs),
        annotated=100 * statistics.mean(is_annotated(function) for function in every),
        most_files=max(folders.count(folder) for folder in folders),
        longest_file=max(lines_of(path) for path in paths),
        import_depth=len(longest_chain(paths)),
        dicts=1000 * sum(len(dicts_of_anything(path)) for path in paths) / sum(lines_of(path) for path in paths),
    )


def missed(numbers: Numbers, goal: Numbers) -> list[str]:
    """The fields in which `numbers` are beyond the goal."""
    pairs = [(field.name, getattr(numbers, field.name), getattr(goal, field.name)) for field in fields(Numbers)]
    return [name for name, value, limit in pairs if limit is not None and (value < limit if name in AT_LEAST else value > limit)]


def table() -> str:
    """The numbers of this tree, the goal and the anchors as lines of text."""
    here = measured((ROOT / "app.py", *sources("imu_core", "pages")))
    rows = {"this house now": here, "the goal": GOAL, **ANCHORS}
    heads = [field.name.replace("_", " ") for field in fields(Numbers)]
    lines = [" " * 22 + "  ".join(heads)]
    for name, numbers in rows.items():
        cells = ("–" if value is None else f"{value:,.4g}" if value < 1000 else f"{value:,}" for value in astuple(numbers))
        lines.append(f"{name:22s}" + "  ".join(cell.rjust(len(head)) for cell, head in zip(cells, heads, strict=True)))
    names = [name.replace("_", " ") for name in missed(here, GOAL)]
    chain = " → ".join(longest_chain(sources("imu_core", "pages")))
    return "\n".join(
        [*lines, "", f"Beyond the goal: {', '.join(names) or 'nothing'}.", f"The longest chain of imports: {chain}", ""]
    )


if __name__ == "__main__":
    sys.stdout.write(table())
