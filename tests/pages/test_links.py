"""Links: what a word means, that settings come back from their link, and that whatever cannot be had is said on every page."""

from __future__ import annotations

import dataclasses
import tomllib
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest
from test_pages import (
    APP,
    PATIENCE,
    TINY,
    finish,
    healthy,
    link_of,
    press_run,
    record_of,
    rerun,
    run_methods,
    runs_of,
    visit,
)

from imu_core.methods import METHODS, PRESETS
from imu_core.records.run import Problem, RunConfig
from imu_core.settings import RUN
from pages.widgets import asked as widgets_asked
from pages.widgets import run_form, run_link, run_settings

TEXT = st.text(max_size=20) | st.sampled_from(["1e400", "nan", "-inf", "9" * 5001, "0x10", "true", "none", "\x00", "１２", ""])
WORDS = st.lists(TEXT, min_size=1, max_size=3)
OPTIONS = ("head", "last:1", "all", "IMU, random weights", "ψ")


# ------------------------------------------------------------------------------------------------ what a word means


@given(WORDS)
def test_any_words_are_one_of_the_options_or_said_to_be_none(words: list[str]) -> None:
    asked = widgets_asked.choice(words, OPTIONS)
    assert asked.value in OPTIONS if asked.had else asked.wrong == (words[-1],) or widgets_asked.empty(words)
    many = widgets_asked.choices(words, OPTIONS)
    assert set(many.value or ()) <= set(OPTIONS)
    assert not (many.wrong and many.literal)


@given(WORDS, st.booleans(), st.booleans())
def test_any_words_are_a_number_in_range_or_said_to_be_none(words: list[str], whole: bool, optional: bool) -> None:
    asked = widgets_asked.number(words, 1, 500, whole, optional)
    if asked.had and asked.value is not None:
        assert 1 <= asked.value <= 500
        assert isinstance(asked.value, int) is whole
    else:
        assert asked.wrong or not words[-1].strip() or optional


@pytest.mark.parametrize("word", ["imu, RANDOM weights", "IMU, random weights"])
def test_a_word_is_read_in_any_letter_case(word: str) -> None:
    assert widgets_asked.choices([word], OPTIONS).value == ["IMU, random weights"]


def test_words_with_commas_are_several() -> None:
    asked = widgets_asked.choices(["head,ALL,zebra"], OPTIONS)
    assert (asked.value, asked.wrong, asked.literal) == (["head", "all"], ("zebra",), False)
    assert asked.allowed.startswith("head; last:1; all")


# -------------------------------------------------------------------------------------------- settings → link → settings


def form_alone() -> None:
    """The form of settings on a page of its own."""
    from types import SimpleNamespace

    import streamlit as st

    from pages.session import answered, links
    from pages.widgets import bound, run_form

    links.read(SimpleNamespace(url_path="unlearn"))
    with answered.answered():
        also = lambda word: word if word == "last:3" else None  # noqa: E731
        st.session_state.made = run_form.settings(None, True, also)
        bound.toggle("Attack", True, key="measure")


def opened(query: dict[str, Any]) -> AppTest:
    at = AppTest.from_function(form_alone, default_timeout=PATIENCE)
    at.query_params.update({name: value for name, value in query.items() if name not in ("dataset", "model", "forget", "seed")})
    return healthy(at.run())


def notes(at: AppTest) -> str:
    return "\n".join(m.value for m in at.main.markdown if m.value.startswith("- **")).replace("\\", "")


def of_field(name: str) -> st.SearchStrategy[Any]:
    about = RUN[name]
    none = st.none() if about.optional else st.nothing()
    if about.switch:
        return st.booleans()
    if about.choices or about.words:
        return none | st.sampled_from(about.offered or about.choices)
    low, high = about.ends
    if about.whole:
        return none | st.integers(low, high)
    return none | st.floats(low, high).map(lambda value: min(high, max(low, float(about.form % value))))


def of_option(p: Any) -> st.SearchStrategy[Any]:
    if isinstance(p.default, bool) or p.choices:
        return st.sampled_from(p.choices or (False, True))
    return st.integers(int(p.low), int(p.high)) if p.whole else st.floats(p.low, p.high).map(lambda v: float(f"{v:.4g}"))


@st.composite
def filled(draw: st.DrawFn) -> list[RunConfig]:
    """What a form, filled in anyhow, would run."""
    names = draw(st.lists(st.sampled_from(sorted(run_form.choices())), min_size=1, max_size=4, unique=True))
    kind, scope = draw(st.sampled_from([*PRESETS, run_form.OWN])), draw(st.sampled_from(["head", "last:1", "last:3", "all"]))
    names = run_form._fitting(names, scope, whole_classes=True)
    stop = draw(st.none() | st.integers(0, 1000).map(lambda n: run_form.as_fraction(n / 10)))
    methods = run_form.methods_of(names)
    common = {name: draw(of_field(name)) for name in run_settings.drawn(methods)} if kind == run_form.OWN else {}
    own = {}
    for method in methods if kind == run_form.OWN else ():
        chosen = {p.name: draw(of_option(p)) for p in METHODS[method].parameters}
        default = {p.name: p.default for p in METHODS[method].parameters}
        own[method] = {**common, "options": {k: v for k, v in chosen.items() if v != default[k]}}
    seed = draw(st.integers(*RUN["seed"].ends))
    return [run_form.config(name, kind, scope, stop, seed, own) for name in names]


@pytest.mark.slow(reason="forty forms of any kind; the presets' forms come back in the default run")
@settings(max_examples=40)
@given(filled())
def test_every_form_comes_back_from_its_link(configs: list[RunConfig]) -> None:
    if not configs:
        return
    form, shown = run_link.form_of(configs)
    assert shown == configs, "one form made them, so one form shows them"
    at = opened(form.query())
    assert not notes(at)
    made = at.session_state.made
    assert len(made) == len(configs)
    for config in configs:
        assert any(run_link.alike(config, other) for other in made)


@pytest.mark.parametrize("kind", PRESETS)
@pytest.mark.parametrize("scope", ["head", "last:3", "all"])
def test_a_preset_goes_by_its_name_and_opens_no_form(kind: str, scope: str) -> None:
    configs = [run_form.config(name, kind, scope, None, 3, {}) for name in ("imu", "ga", "imu-permuted", "finetune")]
    form, shown = run_link.form_of(configs)
    assert (form.kind, shown) == (kind, configs)
    assert not [name for name in form.query() if name.startswith("own_")]
    at = opened(form.query())
    assert sorted(at.session_state.made, key=repr) == sorted(configs, key=repr)
    assert at.number_input(key="run_seed").value == 3
    assert "own_epochs" not in [box.key for box in at.number_input]


def test_runs_that_no_one_form_holds_leave_the_link_to_the_first() -> None:
    configs = [RunConfig("ga", epochs=3), RunConfig("npo", epochs=4), RunConfig("imu", "all", epochs=3)]
    form, shown = run_link.form_of(configs)
    assert shown == configs[:1]
    assert form.names == ("ga",)


def test_the_batch_norm_of_the_page_re_identify_leaves_the_preset_its_name() -> None:
    config = dataclasses.replace(run_form.config("ga", "gentle", "all", None, 0, {}), bn="train")
    assert run_link.form_of([config])[0].kind == run_form.OWN
    form = run_link.form_of([config], modes=run_form.MODES)[0]
    assert (form.kind, form.mode, form.query()["mode"]) == ("gentle", "train", "train")


# ------------------------------------------------------------------------------------------- what cannot be had is said

HOSTILE = {
    "methods": "IMU,XYZ",
    "more": "zebra",
    "preset": "zebra",
    "scope": "last:99",
    "target": "5000",
    "run_seed": "1e400",
    "measure": "maybe",
}
OWN = {
    "own_epochs": "-1",
    "own_batch_size": "1e9",
    "own_learning_rate": "nan",
    "own_optimizer": "zebra",
    "own_augment": "perhaps",
    "own_eval_every": "0.5",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_setting_that_cannot_be_had_is_said_with_what_was_taken(name: str) -> None:
    at = opened({name: HOSTILE[name]})
    wrong = "XYZ" if name == "methods" else HOSTILE[name]
    assert f"{name}={wrong}" in notes(at)
    assert "Allowed: " in notes(at)
    assert "Taken instead: " in notes(at)
    assert notes(at) == notes(at.run()), "it stands there until it is closed"
    at.button(key="link_note_close").click()
    assert not notes(at.run())


def test_own_settings_that_cannot_be_had_are_said() -> None:
    at = opened({"preset": "own", **OWN})
    for name, value in OWN.items():
        assert f"{name}={value}" in notes(at)
    assert set(at.query_params) == {"preset"}


def test_the_ends_are_those_of_the_engine() -> None:
    made = opened({"preset": "own", "methods": "ga", "own_epochs": "0", "own_batch_size": "50000"}).session_state.made
    assert [(config.method, config.epochs, config.batch_size) for config in made] == [("ga", 0, 50000)]


def test_names_that_nothing_goes_by_are_said_once() -> None:
    at = opened({"epochs": "3", "preset": "own", "zebra": "1"})
    assert "epochs=3 was left out" in notes(at).replace("**", "")
    assert "Did you mean own_epochs?" in notes(at)
    assert "zebra=1" in notes(at)
    assert set(at.query_params) == {"preset"}


EVERYWHERE = {"dataset": "zebra", "model": "zebra", "seed": "1e400", "zebra": "1"}
ON_PAGES = {
    "start": {"step": "-1"},
    "influence": {
        "estimator": "bogus",
        "damping": "-1",
        "psi": "zebra",
        "against": "zebra",
        "influence_part": "zebra",
        "gallery_order": "zebra",
    },
    "unlearn": HOSTILE,
    "compare": {"compare": "zebra"},
    "attack": {"attacked": "zebra", "attack_by": "zebra", "loss_at": "1e400", "relearn_scope": "last:99", "shadow_pairs": "9"},
    "paper": {"paper": "zebra", "paper_on": "zebra"},
    "glossary": {"term_group": "zebra", "term_search": "z" * 81},
    "docs": {"doc": "zebra"},
    "runs": {"search": "z" * 201},
    "your_own": {},
}


@pytest.mark.sample(1, reason="whole runs of a page; the same is tested where it is computed")
@pytest.mark.parametrize("page", ON_PAGES)
@pytest.mark.sample(3, reason="a case is a whole run of a page")
def test_every_page_says_what_its_link_could_not_have(tiny: object, page: str) -> None:
    query = {**EVERYWHERE, **ON_PAGES[page]}
    at = visit(page, **query)
    for name, value in query.items():
        wrong = "XYZ" if name == "methods" else value[:39]
        assert f"{name}={wrong}" in notes(at), name
    assert not set(query) & set(at.query_params) - {"methods"}


@pytest.mark.sample(1, reason="whole runs of a page; the same is tested where it is computed")
@pytest.mark.parametrize(
    ("view", "query"),
    [
        ("A against B", dict.fromkeys(("run_a", "run_b", "compare_set", "space", "moved"), "zebra")),
        ("Your runs", dict.fromkeys(("depth", "compare_methods", "runs"), "zebra")),
        ("All methods", {"compare_scope": "zebra"}),
    ],
)
def test_every_part_of_compare_says_what_its_link_could_not_have(tiny: object, view: str, query: dict[str, str]) -> None:
    at = visit("compare", **TINY, compare=view, **query)
    said = notes(at) + " ".join(w.value for w in at.main.warning).replace("\\", "")
    for name in query:
        assert f"{name}=zebra" in said or (name == "runs" and "There is no run 'zebra'" in said), name
    assert at.button_group(key="compare").value == view


def test_a_damping_between_those_of_the_slider_is_shown(tiny: object) -> None:
    at = visit("influence", **TINY, damping="0.5", estimator="Exact")
    assert at.select_slider(key="damping").value == 0.5
    assert not notes(at)
    assert (at.query_params["damping"], at.query_params["estimator"]) == ("0.5", "exact")
    at.select_slider(key="damping").set_value(1.0)
    assert rerun(at).select_slider(key="damping").value == 1.0


def test_a_scope_that_this_network_has_is_taken(tiny: object) -> None:
    at = visit("unlearn", **TINY, scope="last:3")
    assert not notes(at)
    assert at.query_params["scope"] == "last:3"


# ----------------------------------------------------------------------------------------------------- whole addresses


def test_a_link_is_a_whole_address_below_any_base_path(lenet: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    from pages.session import address

    for url, page in (("https://a.example/imu/unlearn", "unlearn"), ("http://b.example:8501/", ""), ("http://c.example/x/", "")):
        monkeypatch.setattr(address.st, "context", type("Context", (), {"url": url}))
        monkeypatch.setattr(address.links, "visit", lambda page=page: type("Visit", (), {"page": page}))
        link = urlsplit(run_link.link(record_of(RunConfig("ga"), lenet), others=[record_of(RunConfig("npo"), lenet)], step=4))
        assert f"{link.scheme}://{link.netloc}{link.path}" == url.removesuffix("unlearn").rstrip("/") + "/unlearn"
        assert parse_qs(link.query)["methods"] == ["GA", "NPO"]
        assert parse_qs(link.query)["step"] == ["4"]


def test_every_bound_widget_is_made_in_one_place() -> None:
    for path in (APP.parent / "pages").rglob("*.py"):
        if path.name != "bound.py":
            assert "query-params" not in path.read_text(), path.name


def test_the_settings_of_the_app_are_one_toml_file() -> None:
    found = tomllib.loads((APP.parent / ".streamlit" / "config.toml").read_text())
    assert found["global"]["disableWidgetStateDuplicationWarning"], "a value from a link is given to its widget"


def test_the_page_of_a_copied_link_is_the_page_it_was_copied_from(tiny: object) -> None:
    """Methods, several own settings, controls, the attack switch and the step: as they were, and no form that is not needed."""
    own = {"preset": "own", "own_epochs": "2", "own_psi": "softmax", "run_seed": "4"}
    at = run_methods(["ga", "imu-permuted"], **TINY, **own, measure="false")
    assert "step=" not in link_of(at)
    step = at.session_state.unlearn_at = at.session_state.unlearn_last - 1
    query = parse_qs(urlsplit(link_of(at)).query, keep_blank_values=True)
    assert query["step"] == [str(step)], "the link follows the step"
    there = visit("unlearn", **{name: words if len(words) > 1 else words[0] for name, words in query.items()})
    assert not notes(there)
    assert there.pills(key="methods").value == ["ga", "imu-permuted"]
    assert there.toggle(key="measure").value is False
    assert there.session_state.unlearn_at == step
    there = finish(press_run(there))
    assert [item.config for item in runs_of(there)[-2:]] == [item.config for item in runs_of(at)[-2:]]
    assert there.session_state.unlearn_at == step, "the runs that were made of the link are shown at its step"


def test_a_step_that_no_run_has_is_said(tiny: object) -> None:
    at = visit("unlearn", **TINY, step="99999")
    assert "step=99999" in notes(at)
    assert f"ends at step {at.session_state.unlearn_last}" in notes(at)
    assert "step=-1 cannot be had" in notes(visit("start", **TINY, step="-1")).replace("**", "")
