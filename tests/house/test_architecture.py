"""The house rules that a machine can check, read from the source with `ast`: one case a rule, which lists who breaks it."""

from __future__ import annotations

import ast
import dataclasses
import itertools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from side_by_side import (
    GOAL,
    ROOT,
    Function,
    files_in_folders,
    functions,
    imports,
    is_annotated,
    length,
    lines_of,
    longest_chain,
    measured,
    missed,
    module_of,
    name_of,
    parsed,
    public,
    sources,
)

import imu_core

ENGINE, PAGES, TESTS = sources("imu_core"), sources("pages"), sources("tests")
APP = ROOT / "app.py"
LONGEST_PAGE, LONGEST_APP = 200, 25  # lines

# The way of the data: a room imports only from rooms further up. Rooms on one line do not import each other.
ORDER = """
errors ending names numeric caches report.numbers
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


def nobody(paths: list[Path], offence: Callable[[Path], object]) -> None:
    """Fail with every file that commits the offence, and with what it is; and when there was no file to look at."""
    assert paths, "no file was read"
    offenders = {name_of(path): offences for path in paths if (offences := offence(path))}
    assert not offenders, "\n" + "\n".join(f"{name}: {offences}" for name, offences in offenders.items())


def imported_packages(path: Path) -> set[str]:
    return {name.partition(".")[0] for name, _ in imports(parsed(path))}


# Who may import what.


def test_the_engine_knows_nothing_of_streamlit_and_of_pages() -> None:
    nobody(ENGINE, lambda path: {"streamlit", "pages", "app", "tests"} & imported_packages(path))


def test_pages_leave_torch_to_the_engine() -> None:
    nobody([*PAGES, APP], lambda path: {"torch", "torchvision"} & imported_packages(path))


def ranks() -> dict[str, int]:
    return {room: level for level, line in enumerate(ORDER.split("\n")) for room in line.split()}


def room(module: str) -> str | None:
    """The longest known room that `module` (imu_core.…) lies in; None for the package itself."""
    parts = module.split(".")[1:]
    known = ranks()
    while parts and ".".join(parts) not in known:
        parts.pop()
    return ".".join(parts) or None


def test_every_file_has_a_room() -> None:
    """A new room gets a place in ORDER, below what it imports."""
    nobody([path for path in ENGINE if path != ROOT / "imu_core" / "__init__.py"], lambda path: room(module_of(path)) is None)


def is_module(module: str) -> bool:
    folder = ROOT / Path(*module.split("."))
    return (folder / "__init__.py").exists() or folder.with_suffix(".py").exists()


def imports_against_the_order(path: Path) -> list[str]:
    own, known, against = room(module_of(path)), ranks(), []
    for name, line in imports(parsed(path)):
        if own is None or name.partition(".")[0] != "imu_core":
            continue
        other = room(name if is_module(name) else name.rpartition(".")[0])
        if other is None:
            against.append(f"line {line} imports the package itself; name the room")
        elif own.partition(".")[0] == other.partition(".")[0]:
            continue  # files of one room may use each other
        elif known[other] >= known[own]:
            against.append(f"line {line}: {own} may not import {other}, which comes after it")
    return against


def test_imports_go_up_the_way_of_the_data() -> None:
    nobody(ENGINE, imports_against_the_order)


def test_imports_never_go_round() -> None:
    assert len(longest_chain([*ENGINE, *PAGES])) > 1, "and some file imports another"


def test_the_machine_and_jobs_know_only_errors_and_the_end() -> None:
    allowed = ("imu_core.errors", "imu_core.ending", "imu_core.report.numbers")
    nobody(
        [ROOT / "imu_core" / "runtime.py", ROOT / "imu_core" / "jobs.py"],
        lambda path: [n for n, _ in imports(parsed(path)) if n.startswith("imu_core") and not n.startswith(allowed)],
    )


def test_methods_cannot_reach_the_evaluator_or_the_reference() -> None:
    forbidden = tuple(f"imu_core.{room}" for room in ("unlearning", "evaluation", "metrics", "problems.reference"))
    nobody(sources("imu_core/methods"), lambda path: [n for n, _ in imports(parsed(path)) if n.startswith(forbidden)])


# Size and names.


def prints(path: Path) -> list[int]:
    calls = [node.func for node in ast.walk(parsed(path)) if isinstance(node, ast.Call)]
    return [called.lineno for called in calls if isinstance(called, ast.Name) and called.id == "print"]


def test_nothing_is_printed_outside_the_command_line() -> None:
    nobody([path for path in ENGINE if path.name != "__main__.py"], prints)


def test_no_function_is_longer_than_a_screen() -> None:
    longest = GOAL.longest_function
    nobody([*ENGINE, *PAGES, APP], lambda path: {f.name: length(f) for f in functions(parsed(path)) if length(f) > longest})


def test_a_page_is_short() -> None:
    nobody([path for path in PAGES if path.parent.name == "pages"], lambda path: lines_of(path) > LONGEST_PAGE and lines_of(path))


def test_a_file_is_no_longer_than_one_reads_in_one_go() -> None:
    nobody([*ENGINE, *PAGES], lambda path: lines_of(path) > GOAL.longest_file and lines_of(path))


def test_no_room_is_crowded() -> None:
    counts = files_in_folders("imu_core", "pages", "tests")
    assert counts
    assert sum(counts.values()) == len([*ENGINE, *PAGES, *TESTS])
    assert not {name: count for name, count in counts.items() if count > GOAL.most_files}


def test_no_file_is_private() -> None:
    nobody([*ENGINE, *PAGES, *TESTS], lambda path: path.stem.startswith("_") and not path.stem.startswith("__"))


def test_the_lists_of_files_are_not_empty() -> None:
    assert min(len(ENGINE), len(PAGES), len(TESTS)) > 50


def test_the_app_only_navigates() -> None:
    """No function, class or loop of its own, and nothing but pages and the machine imported."""
    logic = (Function, ast.ClassDef, ast.Lambda, ast.For, ast.While, ast.comprehension)
    assert not [node.lineno for node in ast.walk(parsed(APP)) if isinstance(node, logic)]
    assert imported_packages(APP) == {"streamlit", "pages", "imu_core"}
    assert {name for name, _ in imports(parsed(APP)) if name.startswith("imu_core")} == {"imu_core.runtime"}
    assert lines_of(APP) <= LONGEST_APP


def test_files_are_named_after_what_is_in_them() -> None:
    nameless = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}
    nobody([*ENGINE, *PAGES], lambda path: path.stem in nameless or path.parent.name in nameless)


def repeated_lines(path: Path) -> list[int]:
    blocks = (getattr(node, part, None) for node in ast.walk(parsed(path)) for part in ("body", "orelse", "finalbody"))
    pairs = [pair for block in blocks if isinstance(block, list) for pair in itertools.pairwise(block)]
    alike = [(first, second) for first, second in pairs if type(first) is type(second) and not isinstance(first, ast.Expr)]
    return [second.lineno for first, second in alike if ast.dump(first) == ast.dump(second)]


def test_no_line_is_there_twice_in_a_row() -> None:
    """A statement that repeats the one before it is a slip of the hand; calls may have a reason to be repeated."""
    nobody([*ENGINE, *PAGES, APP], repeated_lines)


HELD = [field.name for field in dataclasses.fields(GOAL) if getattr(GOAL, field.name) is not None]


@pytest.mark.parametrize("name", HELD)
def test_the_numbers_that_make_check_prints_reach_the_goal(name: str) -> None:
    here = measured((APP, *ENGINE, *PAGES))
    assert name not in missed(here, GOAL), f"{getattr(here, name)}, and the goal is {getattr(GOAL, name)}"


# What is public is explained and typed.


def test_every_module_has_a_docstring() -> None:
    nobody([*ENGINE, APP], lambda path: ast.get_docstring(parsed(path)) is None)


def test_what_is_public_has_a_docstring() -> None:
    nobody(ENGINE, lambda path: [name for name, node in public(parsed(path)) if not ast.get_docstring(node)])


def test_every_function_is_annotated() -> None:
    nobody(ENGINE, lambda path: [f.name for f in functions(parsed(path)) if not is_annotated(f)])


def test_the_future_of_annotations_is_the_same_everywhere() -> None:
    """Annotations are text in every file that has functions, so that names under TYPE_CHECKING work in all of them."""
    nobody(
        [path for path in ENGINE if functions(parsed(path))],
        lambda path: not any(isinstance(n, ast.ImportFrom) and n.module == "__future__" for n in parsed(path).body),
    )


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


@pytest.mark.sample(1, reason="a new interpreter each")
@pytest.mark.parametrize("command", [["--help"], ["run", "--nonsense"]])
def test_help_comes_without_torch(command: list[str]) -> None:
    """What the command line says about itself needs no network; a command loads what it needs."""
    code = f"import sys; sys.argv[1:] = {command!r}\ntry:\n from imu_core.__main__ import main; main()\nexcept SystemExit: pass"
    whole = [sys.executable, "-c", code + "\nprint('torch' in sys.modules)"]
    done = subprocess.run(whole, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == str(command != ["--help"]), done.stderr
