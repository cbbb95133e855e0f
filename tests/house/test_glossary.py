"""The glossary explains every name a visitor can meet, its links lead somewhere, and its page survives any link."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from imu_core import glossary, jobs
from imu_core.evaluation.saliency import CAMS
from imu_core.glossary import GROUPS, TERMS, Term, help_text
from imu_core.influence import ESTIMATORS
from imu_core.methods import METHODS, PRESETS
from imu_core.metrics import METRICS
from imu_core.problems import forget
from imu_core.records.run import RunConfig
from imu_core.weights import CONTROLS, PSI

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "pages" / "glossary.py"
NAMES = {
    "setting": [field.name for field in dataclasses.fields(RunConfig)],
    "estimator": list(ESTIMATORS),
    "psi": list(PSI),
    "control": list(CONTROLS),
    "preset": [name.replace(" ", "_") for name in PRESETS],
    "method": list(METHODS),
    "metric": list(METRICS),
    "state": list(jobs.STATES),
    "request": [f"request_{kind}" for kind in sorted(set(re.findall(r"(\w+):", forget.GRAMMAR)))],
    "map": [name.replace("+", "p") for name in CAMS],
    "weights on record": ["effective_share", "largest", "positive_share"],
}
TERM = pytest.mark.parametrize("term", TERMS.values(), ids=TERMS)


@pytest.mark.parametrize("kind", NAMES)
def test_every_name_has_a_term(kind: str) -> None:
    assert [name for name in NAMES[kind] if name not in TERMS] == []


def test_request_kinds_are_read_from_the_grammar() -> None:
    assert len(NAMES["request"]) == 8


def test_keys_are_unique() -> None:
    assert len({term.key for term in glossary._ALL} | METHODS.keys()) == len(glossary._ALL) + len(METHODS)
    wanted = ("The problem", "Methods", "Influence", "Controls", "Metrics", "People", "How a run ends", "Stored runs", "Your own")
    assert wanted == GROUPS


@pytest.mark.parametrize("name", METHODS)
def test_a_method_is_explained_where_it_is_declared(name: str) -> None:
    assert TERMS[name] == METHODS[name].explained().term(name)
    assert TERMS[name].group == "Methods"


@TERM
def test_a_term_is_well_formed(term: Term) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]*", term.key)
    assert len(term.short) <= 140
    assert term.short[-1] in ".?"
    assert "$" not in term.short, "tooltips hold no formulas"
    assert "`" not in term.title, "titles stand in links"
    assert [key for key in term.see if key not in TERMS or key == term.key] == []
    assert len(set(term.see)) == len(term.see) >= 1


@TERM
def test_the_paragraph_can_be_read_and_set(term: Term) -> None:
    formulas = re.findall(r"\$[^$]+\$", term.text)
    assert term.text.count("$") == 2 * len(formulas)
    assert all(formula.count("{") == formula.count("}") for formula in formulas)
    assert term.text.count("`") % 2 == 0
    assert "  " not in term.text
    sentences = re.findall(r"[.?!](?= |$)", re.sub(r"\$[^$]+\$", "F", term.text))
    assert 3 <= len(sentences) <= 7
    assert "successfully" not in f"{term.short} {term.text}".lower()


@pytest.mark.parametrize("name", METRICS)
def test_metrics_say_which_way_is_good(name: str) -> None:
    words = f"{TERMS[name].short} {TERMS[name].text}".lower()
    for direction in filter(None, (METRICS[name].better, METRICS[name].on_random)):
        assert ("nearest the retrained" if direction.startswith("nearest") else direction) in words


def test_help_text_is_the_sentence_and_a_link() -> None:
    assert help_text("psi") == f"{TERMS['psi'].short} [more](glossary?term=psi)"
    with pytest.raises(KeyError):
        help_text("nothing of the kind")


def test_pages_ask_for_terms_that_exist() -> None:
    files = [ROOT / "app.py", *(ROOT / "pages").rglob("*.py")]
    asked = {
        (file.name, key) for file in files if file.exists() for key in re.findall(r'help_text\("([^"]+)"\)', file.read_text())
    }
    assert [pair for pair in sorted(asked) if pair[1] not in TERMS] == []


def page(**query: str) -> AppTest:
    """The glossary page, run once with the URL parameters `query`."""
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    app.run()
    for name, value in query.items():
        app.query_params[name] = value
    app.switch_page("pages/glossary.py").run()
    assert not app.exception
    return app


def members(group: str) -> list[str]:
    return [term.key for term in TERMS.values() if term.group == group]


def anchors(app: AppTest) -> list[str]:
    """Keys of the entries shown, in order."""
    return [entry.anchor for entry in app.subheader]


def test_the_page_shows_one_group_or_every_term_once() -> None:
    assert anchors(page()) == members(GROUPS[0])
    assert sorted(anchors(page(term_group="All"))) == sorted(TERMS)


def test_search_narrows_and_puts_names_first() -> None:
    app = page()
    app.text_input(key="term_search").set_value("damping").run()
    assert not app.exception
    assert anchors(app)[0] == "damping"
    assert 1 < len(anchors(app)) < len(TERMS) / 2
    app.text_input(key="term_search").set_value("no such word anywhere").run()
    assert anchors(app) == []
    assert any("Try fewer" in block.value for block in app.markdown)


def test_a_group_can_be_shown_alone() -> None:
    app = page()
    app.button_group(key="term_group").set_value("Controls").run()
    assert not app.exception
    assert anchors(app) == members("Controls")


def test_a_search_goes_through_all_groups() -> None:
    app = page(term_group="Controls", term_search="damping")
    assert app.button_group(key="term_group").disabled
    assert anchors(app)[0] == "damping"
    assert TERMS["damping"].group != "Controls"


def test_the_search_can_come_from_the_url() -> None:
    assert anchors(page(term_search="kurtosis")) == []
    assert anchors(page(term_search="stop_at"))[0] == "stop_at"


def test_a_term_in_the_url_comes_first_and_only_once() -> None:
    shown = anchors(page(term="psi"))
    assert shown[0] == "psi"
    assert sorted(shown) == sorted(members(TERMS["psi"].group)), "its group comes with it"
    assert anchors(page(term="psi", term_search="membership"))[0] == "psi"


@pytest.mark.parametrize("asked", ["dampin", "", "[x](http://example.com)`", "ψ" * 5000, "<b>", "__class__"])
def test_a_term_that_does_not_exist_is_answered(asked: str) -> None:
    app = page(term=asked)
    assert anchors(app) == members(GROUPS[0])
    said = " ".join(block.value for block in app.info)
    assert bool(said) == bool(asked)
    assert "http" not in said or "](http" not in said
    assert len(said) < 300
    assert ("Damping" in said) == (asked == "dampin")
