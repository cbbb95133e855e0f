"""The house rules that a machine can check, read from the source with `ast`."""

from __future__ import annotations

import ast
import itertools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import imu_core

ROOT = Path(__file__).resolve().parents[2]
ENGINE = sorted((ROOT / "imu_core").rglob("*.py"))
PAGES = sorted((ROOT / "pages").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
APP = ROOT / "app.py"
LONGEST_FUNCTION, LONGEST_FILE, LONGEST_PAGE, LONGEST_APP = 60, 400, 200, 25  # lines
MOST_FILES = 14  # in a folder

# The way of the data: a room imports only from rooms further up. Rooms on one line do not import each other.
ORDER = """
errors ending names numeric
settings
records
runtime depth parsing
progress jobs access
glossary metrics
data
models
training
problems
model_import influence
weights
methods
unlearning
evaluation
store
report
experiments
figures
paper
cli
__main__
"""


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def sources(paths: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("path", paths, ids=name_of)


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


def imported_packages(path: Path) -> set[str]:
    return {name.partition(".")[0] for name, _ in imports(parsed(path))}


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))


# Who may import what.


@sources(ENGINE)
def test_the_engine_knows_nothing_of_streamlit(path: Path) -> None:
    assert "streamlit" not in imported_packages(path)


@sources([*PAGES, APP])
def test_pages_leave_torch_to_the_engine(path: Path) -> None:
    assert not {"torch", "torchvision"} & imported_packages(path)


@sources(ENGINE)
def test_the_engine_does_not_import_pages(path: Path) -> None:
    assert not {"pages", "app", "tests"} & imported_packages(path)


def ranks() -> dict[str, int]:
    return {room: level for level, line in enumerate(ORDER.split("\n")) for room in line.split()}


def room(module: str) -> str | None:
    """The longest known room that `module` (imu_core.…) lies in; None for the package itself."""
    parts = module.split(".")[1:]
    known = ranks()
    while parts and ".".join(parts) not in known:
        parts.pop()
    return ".".join(parts) or None


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@sources([path for path in ENGINE if path.parent.name != "imu_core" or path.stem != "__init__"])
def test_every_file_has_a_room(path: Path) -> None:
    assert room(module_of(path)), f"{name_of(path)} is a new room: give it a place in ORDER, below what it imports"


def is_package(module: str) -> bool:
    return (ROOT / Path(*module.split(".")) / "__init__.py").exists()


def is_module(module: str) -> bool:
    return is_package(module) or (ROOT / Path(*module.split("."))).with_suffix(".py").exists()


@sources(ENGINE)
def test_imports_go_up_the_way_of_the_data(path: Path) -> None:
    own, known = room(module_of(path)), ranks()
    for name, line in imports(parsed(path)):
        if own is None or name.partition(".")[0] != "imu_core":
            continue
        module = name if is_module(name) else name.rpartition(".")[0]
        other = room(module)
        assert other, f"{name_of(path)}:{line} imports the package itself; name the room"
        if other == own or own.partition(".")[0] == other.partition(".")[0]:
            continue  # files of one room may use each other
        assert known[other] < known[own], f"{name_of(path)}:{line}: {own} may not import {other}, which comes after it"


def test_the_machine_depends_on_nothing_but_errors() -> None:
    found = {name for name, _ in imports(parsed(ROOT / "imu_core" / "runtime.py")) if name.startswith("imu_core")}
    assert all(name.startswith(("imu_core.errors", "imu_core.ending")) for name in found)


def test_jobs_know_only_errors_and_the_end() -> None:
    found = {name for name, _ in imports(parsed(ROOT / "imu_core" / "jobs.py")) if name.startswith("imu_core")}
    assert all(name.startswith(("imu_core.errors", "imu_core.ending")) for name in found)


def test_methods_cannot_reach_the_judge_or_the_reference() -> None:
    forbidden = tuple(f"imu_core.{room}" for room in ("unlearning", "evaluation", "metrics", "problems.reference"))
    for path in (ROOT / "imu_core" / "methods").rglob("*.py"):
        assert not [name for name, _ in imports(parsed(path)) if name.startswith(forbidden)], path.name


# Size and names.


@sources(ENGINE)
def test_nothing_is_printed_outside_the_command_line(path: Path) -> None:
    if path.name == "__main__.py":
        return
    calls = [node for node in ast.walk(parsed(path)) if isinstance(node, ast.Call)]
    printed = [node.lineno for node in calls if isinstance(node.func, ast.Name) and node.func.id == "print"]
    assert not printed, f"{name_of(path)}: print on line {printed}"


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its docstring, which may explain as long as it likes."""
    lines = function.end_lineno - function.lineno + 1
    first = function.body[0]
    is_text = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    return lines - (first.end_lineno - first.lineno + 1 if is_text else 0)


@sources([*ENGINE, *PAGES, APP])
def test_no_function_is_longer_than_a_screen(path: Path) -> None:
    long = {f.name: length(f) for f in functions(parsed(path)) if length(f) > LONGEST_FUNCTION}
    assert not long


@sources([path for path in PAGES if path.parent.name == "pages"])
def test_a_page_is_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LONGEST_PAGE


@sources([*ENGINE, *PAGES])
def test_a_file_is_no_longer_than_one_reads_in_one_go(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LONGEST_FILE


@pytest.mark.parametrize("floor", ["imu_core", "pages", "tests"])
def test_no_room_is_crowded(floor: str) -> None:
    folders = [ROOT / floor, *(path for path in (ROOT / floor).rglob("*") if path.is_dir() and path.name != "__pycache__")]
    counts = {name_of(folder): len(list(folder.glob("*.py"))) for folder in folders}
    assert sum(counts.values()) > 50, "the files were found"
    assert not {name: count for name, count in counts.items() if count > MOST_FILES}


@sources([*ENGINE, *PAGES, *TESTS])
def test_no_file_is_private(path: Path) -> None:
    assert path.stem.startswith("__") or not path.stem.startswith("_")


def test_the_lists_of_files_are_not_empty() -> None:
    assert min(len(ENGINE), len(PAGES), len(TESTS)) > 50


def test_the_app_only_navigates() -> None:
    assert len(APP.read_text().splitlines()) <= LONGEST_APP


@sources([*ENGINE, *PAGES])
def test_files_are_named_after_what_is_in_them(path: Path) -> None:
    assert path.stem not in {"utils", "util", "helpers", "helper", "common", "manager", "misc"}


@sources([*ENGINE, *PAGES, APP])
def test_no_line_is_there_twice_in_a_row(path: Path) -> None:
    """A statement that repeats the one before it is a slip of the hand; calls may have a reason to be repeated."""
    blocks = (getattr(node, part, None) for node in ast.walk(parsed(path)) for part in ("body", "orelse", "finalbody"))
    pairs = (pair for block in blocks if isinstance(block, list) for pair in itertools.pairwise(block))
    twice = [second.lineno for first, second in pairs if not isinstance(first, ast.Expr) and ast.dump(first) == ast.dump(second)]
    assert not twice


# What is public is explained and typed.


def public(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef | ast.ClassDef]]:
    """Public functions and classes of a module, and public methods of public classes."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    for node in tree.body:
        if not isinstance(node, kinds) or node.name.startswith("_"):
            continue
        yield node.name, node
        if isinstance(node, ast.ClassDef):
            methods = (m for m in node.body if isinstance(m, kinds) and not m.name.startswith("_"))
            yield from ((f"{node.name}.{method.name}", method) for method in methods)


@sources(ENGINE)
def test_modules_and_what_is_public_have_a_docstring(path: Path) -> None:
    tree = parsed(path)
    assert ast.get_docstring(tree), f"{name_of(path)} does not say what it is"
    bare = [name for name, node in public(tree) if not ast.get_docstring(node)]
    assert not bare


@sources(ENGINE)
def test_every_function_is_annotated(path: Path) -> None:
    incomplete = []
    for function in functions(parsed(path)):
        arguments = function.args
        named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        extra = [argument for argument in (arguments.vararg, arguments.kwarg) if argument]
        untyped = [a.arg for a in [*named, *extra] if a.annotation is None and a.arg not in ("self", "cls")]
        if untyped or function.returns is None:
            incomplete.append((function.name, untyped))
    assert not incomplete


@sources(ENGINE)
def test_the_future_of_annotations_is_the_same_everywhere(path: Path) -> None:
    """Annotations are text in every file that has functions, so that names under TYPE_CHECKING work in all of them."""
    tree = parsed(path)
    if any(True for _ in functions(tree)):
        assert any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in tree.body)


def test_the_public_surface_exists() -> None:
    tree = parsed(ROOT / "imu_core" / "__init__.py")
    first = next(node for node in tree.body if isinstance(node, ast.If))  # what type checkers see; at run time it is loaded later
    seen = {alias.asname or alias.name for node in first.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert set(imu_core.__all__) == seen
    assert all(hasattr(imu_core, name) for name in seen)
    assert callable(imu_core.problem)
    assert {"problem", "unlearn", "RunConfig", "influence", "weights", "metrics", "METHODS"} <= seen
    with pytest.raises(AttributeError, match="nonsense"):
        _ = imu_core.nonsense


@pytest.mark.parametrize("command", [["--help"], ["run", "--nonsense"]])
def test_help_comes_without_torch(command: list[str]) -> None:
    """What the command line says about itself needs no network; a command loads what it needs."""
    code = f"import sys; sys.argv[1:] = {command!r}\ntry:\n from imu_core.__main__ import main; main()\nexcept SystemExit: pass"
    whole = [sys.executable, "-c", code + "\nprint('torch' in sys.modules)"]
    done = subprocess.run(whole, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == str(command != ["--help"]), done.stderr
