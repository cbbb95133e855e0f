"""README and the documents: links lead somewhere, code runs, commands exist, and tables are what their commands write."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import pytest
import typer.main
from markdown_it import MarkdownIt
from markdown_it.token import Token
from streamlit.testing.v1 import AppTest
from test_architecture import ORDER, name_of
from typer.testing import CliRunner

from imu_core import runtime
from imu_core.cli import app
from imu_core.cli.table import markdown as methods_table
from imu_core.experiments.comparison import Plan
from imu_core.methods import METHODS, plugins
from imu_core.paper import readable, record
from imu_core.records.run import RunConfig
from imu_core.report import marked

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "assets" / "docs"
FILES = (ROOT / "README.md", *sorted(DOCS.glob("*.md")))
NAMED = [path.stem for path in FILES[1:] if path.stem != "README"]
LONGEST_README = 150  # lines
LINK = re.compile(r"\]\(([^)\s]+)\)")
PATIENCE = 400.0  # seconds until a wait is given up


def tokens(path: Path, *kinds: str) -> list[Token]:
    """The blocks of these kinds in a document."""
    return [token for token in MarkdownIt("commonmark").enable("table").parse(path.read_text()) if token.type in kinds]


def anchors(path: Path) -> set[str]:
    """What links call the sections of a document, by the rule of GitHub."""
    titles = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def commands(program: str) -> list[str]:
    """Every command line in README and the documents that calls `program`, without its comment."""
    blocks = [token.content for path in FILES for token in tokens(path, "code_block")]
    lines = [line.partition("  #")[0].strip() for block in blocks for line in block.splitlines()]
    return sorted({line for line in lines if line.startswith(f"{program} ")})


def test_the_lists_are_not_empty() -> None:
    assert len(NAMED) >= 11
    assert len(commands("imu")) > 15
    assert len(commands("make")) > 5


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= LONGEST_README


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    for link in LINK.findall(path.read_text()):
        where, _, section = link.partition("#")
        if where.startswith("https://"):
            continue
        target = (path.parent / where).resolve() if where else path
        assert target.is_file(), link
        assert not section or section in anchors(target), link


def test_readme_leads_to_the_documents() -> None:
    text = (ROOT / "README.md").read_text()
    assert [name for name in NAMED if f"assets/docs/{name}.md" not in text] == ["paper_tables"], "results.md leads there"


def test_the_list_names_every_document_by_its_title() -> None:
    entries = re.findall(r"^- \[(.+)\]\((\w+)\.md\): .+$", (DOCS / "README.md").read_text(), re.MULTILINE)
    titles = {name: (DOCS / f"{name}.md").read_text().partition("\n")[0].removeprefix("# ") for name in NAMED}
    assert {name: title for title, name in entries} == titles


def test_the_rooms_are_those_of_the_house() -> None:
    """In the order that the imports are held to."""
    text = (DOCS / "architecture.md").read_text().partition("## The engine")[2].partition("## The pages")[0]
    rows = [re.findall(r"`([\w.]+)`", row.split("|")[1]) for row in text.splitlines() if row.startswith("| `")]
    assert rows == [line.split() for line in ORDER.split("\n") if line]


@pytest.mark.parametrize("path", [path for path in FILES if path.stem in ("README", "architecture", "contributing")], ids=name_of)
def test_files_that_are_named_are_there(path: Path) -> None:
    named = re.findall(r"`((?:imu_core|pages|tests|assets)/[\w./]*)`", path.read_text())
    assert [name for name in named if "NAME" not in name and not (ROOT / name).exists()] == []


# Code and commands.


def python_blocks() -> Iterator[Any]:
    for path in FILES:
        blocks = [token.content for token in tokens(path, "fence") if token.info == "python"]
        yield from (pytest.param(block, id=f"{path.stem}-{n}") for n, block in enumerate(blocks) if "register(" not in block)


@pytest.mark.sample(3, reason="new interpreters")
@pytest.mark.parametrize("code", python_blocks())
def test_python_runs(code: str) -> None:
    exec(compile(code, "a document", "exec"), {"__name__": "document"})


@pytest.fixture
def registry() -> Iterator[None]:
    """The registry as it was before the test, and again after it."""
    methods, loaded = dict(METHODS), set(plugins._LOADED)
    yield
    METHODS.clear()
    METHODS.update(methods)
    plugins._LOADED.clear()
    plugins._LOADED.update(loaded)


@pytest.mark.parametrize("path", [ROOT / "README.md", DOCS / "methods.md"], ids=["README", "methods"])
def test_the_method_of_ones_own_runs(path: Path, registry: None, tiny: object, tmp_path: Path) -> None:
    (code,) = [token.content for token in tokens(path, "fence") if "register(" in token.content]
    plugin = tmp_path / "mine.py"
    plugin.write_text(code)
    (line,) = [line for line in commands("imu") if "mine.py" in line and ("--set" in line) == ("Parameter" in code)
               and line in path.read_text()]  # fmt: skip
    arguments = shlex.split(line.replace("mine.py", str(plugin)))[1:]
    ran = CliRunner().invoke(app, [*arguments, "--problem", "tiny", "--model", "lenet5", "--epochs", "1", "--no-metrics"])
    assert ran.exit_code == 0, ran.output


@pytest.mark.parametrize("line", commands("imu"))
def test_a_command_has_these_options(line: str) -> None:
    """The line is taken apart as the command line does it; nothing runs, and files need not exist."""
    words = shlex.split(line.partition("&")[0])[1:]
    command, context = typer.main.get_command(app), None
    while isinstance(command, click.Group):
        if words[:1] == ["--help"]:
            return
        context = click.Context(command, parent=context)
        name, command, words = command.resolve_command(context, words)
        assert command is not None, name
    command.make_parser(click.Context(command)).parse_args(words)


def test_every_command_is_explained() -> None:
    text = (DOCS / "cli.md").read_text()
    assert [name for name in typer.main.get_command(app).commands if f"imu {name}" not in text] == []


@pytest.mark.parametrize("line", commands("make"))
def test_a_target_exists(line: str) -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert line.split()[1] in targets


def test_methods_are_what_the_table_says() -> None:
    """A method need not be in the table; one that is must be there, and see what its row says."""
    rows = re.findall(r"^\| (the forget set alone|and what was .+?|the retain set|both sets) \| (.+) \|$",
                      (DOCS / "methods.md").read_text(), re.MULTILINE)  # fmt: skip
    assert len(rows) == 4
    for sees, cell in rows:
        for name in re.findall(r"`(\w+)`", cell.partition(", and")[0]):
            assert name in METHODS
            assert sees_of(name) == sees, name


def sees_of(name: str) -> str:
    needs = METHODS[name].needs(RunConfig(method=name))
    if "retain" in needs:
        return "both sets" if "forget" in needs else "the retain set"
    return "the forget set alone" if needs == {"forget"} else "and what was stored at training"


# Tables.


def results(name: str) -> Any:
    return json.loads((runtime.ASSETS / "results" / name).read_text())


def all_methods() -> str:
    kept = results("methods.json")
    plan = kept["plan"]
    seeds = tuple((scope, count) for scope, count in plan["seeds"])
    made = Plan(plan["dataset"], plan["model"], tuple(plan["requests"]), seeds, (), plan["target"])
    return methods_table(kept["rows"], kept["reference"], made)


def benchmark() -> str:
    return import_module("tables").markdown(results("bench.json")["parts"])


def people(name: str) -> str:
    pattern, table = import_module("people_tables").TABLES[name]
    return table(json.loads(path.read_text()) for path in sorted((runtime.ASSETS / "people").glob(pattern)))


@pytest.mark.parametrize(
    ("file", "section", "made"),
    [
        ("results.md", "table", all_methods),
        ("benchmarks.md", "bench", benchmark),
        ("people.md", "scopes", lambda: people("scopes")),
        ("people.md", "heat", lambda: people("heat")),
    ],
)
def test_a_section_is_what_its_command_writes(
    monkeypatch: pytest.MonkeyPatch, file: str, section: str, made: Callable[[], str]
) -> None:
    monkeypatch.syspath_prepend(ROOT / "tests" / "benchmarks")
    assert marked.section(DOCS / file, section) == made().strip("\n")


@pytest.mark.parametrize("section", ["weights", "influence"])
def test_make_compare_has_its_places(section: str) -> None:
    assert marked.section(DOCS / "results.md", section).startswith("| ")


def test_the_papers_tables_are_what_their_command_writes() -> None:
    assert (DOCS / "paper_tables.md").read_text() == readable.markdown(record.load())


# The page.


def page(name: str = "") -> AppTest:
    """The page Docs, opened at one document."""
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=PATIENCE)
    if name:
        at.query_params["doc"] = name
    at.switch_page("pages/docs.py").run()
    assert not at.exception
    return at


def test_every_document_is_shown_whole() -> None:
    for name in NAMED:
        at = page(name)
        headings = [heading.value for kind in (at.title, at.header, at.subheader) for heading in kind]
        assert sorted(headings) == sorted(token.content for token in headings_of(DOCS / f"{name}.md")), name
        code = [token.content.rstrip() for token in tokens(DOCS / f"{name}.md", "code_block", "fence")]
        assert [block.value for block in at.code] == code, name
        text = "\n".join(block.value for block in at.main.markdown)
        assert not re.search(r"\]\(\w+\.md", text), "links lead to this page"
        assert text.count("](docs?doc=") == len(re.findall(r"\]\(\w+\.md", (DOCS / f"{name}.md").read_text())), name


def headings_of(path: Path) -> list[Token]:
    parsed = MarkdownIt("commonmark").parse(path.read_text())
    return [inside for opens, inside in pairwise(parsed) if opens.type == "heading_open"]


def test_the_list_is_shown_where_no_document_is_named() -> None:
    at = page()
    assert at.title[0].value == "Docs"
    assert not at.main.code


@pytest.mark.parametrize("name", ["zebra", "../results/bench", "/etc/passwd", "README.md"])
def test_a_document_that_is_not_there_is_said(name: str) -> None:
    at = page(name)
    assert at.title[0].value == "Docs"
    assert any("cannot be had" in block.value and "cli" in block.value for block in at.main.markdown)
