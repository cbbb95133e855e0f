"""The lesson: every step can be done on its page, is ticked by the page itself, and says a prediction beside its outcome."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest
from test_pages import LONG_WAY, button, finish, go_to, has_button, press, rerun, runs_of, visit, wait_until, words

from pages.lesson.steps import STEPS
from pages.lesson.words import USUAL, languages
from pages.lesson.words import words as words_of

MOST_WORDS = 40  # of a step, text and task together
ENGLISH = words_of(USUAL)
TO_DO, DONE = ENGLISH["strip"]["task"], ENGLISH["strip"]["done"]


def strip(at: AppTest) -> str:
    """What the strip says, all its lines."""
    return "\n".join(line.value for line in at.main.markdown if line.value.startswith(("**Step", ":green", ":gray")))


def is_done(at: AppTest) -> bool:
    return f"{DONE}]" in strip(at).partition("\n")[2]


def step_of(at: AppTest) -> str:
    """The title of the step that is shown; "" where none is."""
    found = re.search(r"\*\*Step \d+ of \d+ · (.+?)\*\*", words(at))
    return found[1] if found else ""


def predict(at: AppTest, place: int) -> AppTest:
    (ask,) = [pills for pills in at.main.pills if (pills.key or "").startswith("lesson_ask_")]
    ask.set_value(ask.options[place])
    return rerun(at)


def onward(at: AppTest) -> AppTest:
    """The page of the next step. AppTest would go back to the page it was sent to last, where a browser stays on the new one."""
    press(at, "Next")
    return go_to(at, Path(STEPS[at.session_state.lesson - 1].page).stem)


# ----------------------------------------------------------------------------------------------------------------- the words


def test_there_are_twelve_steps_each_with_words() -> None:
    assert len(STEPS) == 12
    assert set(ENGLISH) == {"strip", *(step.name for step in STEPS)}


@pytest.mark.parametrize("language", languages())
def test_a_step_is_short_and_asks_what_it_answers(language: str) -> None:
    for step in STEPS:
        part = words_of(language)[step.name]
        assert len(f"{part['text']} {part['task']}".split()) <= MOST_WORDS, step.name
        assert ("ask" in part) == ("answers" in part) == ("outcome" in part), step.name
        assert len(part.get("answers", ["", ""])) in (2, 3), step.name


@pytest.mark.parametrize("language", languages())
def test_every_language_has_the_same_numbers_in_its_sentences(language: str) -> None:
    for name, part in words_of(language).items():
        for key, text in part.items():
            holes = [re.findall(r"\{(\w+)\}", one) for one in (str(text), str(ENGLISH[name][key]))]
            assert sorted(holes[0]) == sorted(holes[1]), f"{name}.{key}"
            assert isinstance(text, str) or len(text) == len(ENGLISH[name][key])


def test_what_a_language_lacks_is_said_in_english(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import pages.lesson.words as file

    (tmp_path / "en.toml").write_text('[strip]\nnext = "Next"\nback = "Back"\n')
    (tmp_path / "eo.toml").write_text('[strip]\nnext = "Sekva"\n')
    monkeypatch.setattr(file, "_HERE", tmp_path)
    words_of.cache_clear()
    try:
        assert words_of("eo") == {"strip": {"next": "Sekva", "back": "Back"}}
        assert words_of("xx") == words_of("en")
    finally:
        words_of.cache_clear()


# ------------------------------------------------------------------------------------------------------------------ the strip


def test_without_a_lesson_there_is_no_strip() -> None:
    at = visit("glossary")
    assert not step_of(at)
    assert not has_button(at, "Leave the lesson")


@pytest.mark.slow(reason="a run is computed on a page; the steps' links are read without one too")
def test_a_link_opens_a_step_on_its_own_page_in_its_state() -> None:
    at = visit("start", lesson="6")
    assert step_of(at) == ENGLISH["far"]["title"]
    assert at.session_state.visit.page == "unlearn"
    assert (at.session_state.methods, at.session_state.preset, at.session_state.own_learning_rate) == (["ga"], "own", 1.0)
    assert at.query_params["lesson"] in ("6", ["6"])


@pytest.mark.slow(reason="a run is computed on a page")
def test_what_the_link_says_itself_wins_over_the_step() -> None:
    at = visit("unlearn", lesson="2", forget="class:Bag", preset="five epochs")
    assert (at.session_state.forget, at.session_state.preset) == ("class:Bag", "five epochs")


@pytest.mark.parametrize("wrong", ["0", "13", "x", "-1", "1e3", "９", "99999999999999999999", ""])
def test_a_step_that_is_none_gets_a_sentence(wrong: str) -> None:
    at = visit("glossary", lesson=wrong)
    assert "cannot be had. Allowed: 1 to 12." in words(at)
    assert not step_of(at)


@pytest.mark.parametrize("language", ["xx", "../en", ""])
def test_a_language_that_is_not_there_gets_a_sentence(language: str) -> None:
    at = visit("start", lesson="1", lang=language)
    assert f"Allowed: {', '.join(languages())}." in words(at)
    assert step_of(at) == ENGLISH["knows"]["title"]


def test_the_lesson_is_there_in_german() -> None:
    at = visit("start", lesson="1", lang="de")
    assert words_of("de")["knows"]["title"] in words(at)
    assert has_button(at, words_of("de")["strip"]["next"])


def test_the_lesson_begins_on_start_and_can_be_left() -> None:
    at = press(visit("start"), ENGLISH["strip"]["begin"])
    assert step_of(at) == ENGLISH["knows"]["title"]
    at = press(at, ENGLISH["strip"]["leave"])
    assert not step_of(at)
    assert "lesson" not in at.query_params


@pytest.mark.slow(reason="twelve whole runs of pages; one step forward and back is tested beside it")
def test_back_and_next_lead_through_all_pages_and_the_address_says_where() -> None:
    at = visit("compare", lesson="11")
    assert step_of(at) == ENGLISH["retraining"]["title"]
    onward(at)
    assert step_of(at) == ENGLISH["own"]["title"]
    assert at.query_params["lesson"] in ("12", ["12"])
    assert button(rerun(at), "Next").disabled
    assert step_of(press(at, "Back")) == ENGLISH["retraining"]["title"]


def test_on_another_page_the_strip_stays_and_leads_back() -> None:
    at = go_to(visit("start", lesson="1"), "glossary")
    assert step_of(at) == ENGLISH["knows"]["title"]
    assert "lesson" not in at.query_params


# ------------------------------------------------------------------------------------------------------------------ the tasks


def test_the_first_step_is_done_once_the_stage_rests_on_step_0() -> None:
    at = visit("start", lesson="1")
    assert not is_done(at)
    at.session_state.start_at = 0
    assert is_done(rerun(at))


def test_a_run_is_noticed_and_its_cost_is_said_beside_the_prediction() -> None:
    at = visit("unlearn", lesson="2", measure="false")
    assert not is_done(at)
    finish(press(at, "Run"))
    assert is_done(at)
    at = press(at, "Next")
    assert not is_done(at)
    predict(at, 2)
    first, last = (point.accuracies["test_other"] for point in (runs_of(at)[0].run.points[0], runs_of(at)[0].run.points[-1]))
    cost = f"{100 * (last - first):.1f}".replace("-", "−")
    assert f"You said: {ENGLISH['cost']['answers'][2]}." in words(at)
    assert f"IMU by {cost}." in words(at)
    assert is_done(at)


@LONG_WAY
def test_every_other_step_can_be_done() -> None:
    at = visit("unlearn", lesson="5", measure="false")
    for name, key in (("shuffle", "permuted"), ("far", "fell to chance"), ("tenth", "That is the aim")):
        assert step_of(at) == ENGLISH[name]["title"]
        predict(at, 0)
        assert ENGLISH["strip"]["wait"] in words(at)
        finish(press(at, "Run"))
        assert is_done(at), name
        assert key in words(at)
        onward(at)
    assert step_of(at) == ENGLISH["attack"]["title"]
    predict(at, 0)
    assert not is_done(at)
    thresholds = lambda: [s for s in rerun(at).slider if s.label.startswith("Threshold")]  # noqa: E731
    wait_until(lambda: bool(thresholds()), "the model is asked about every image")
    (slider,) = thresholds()
    slider.set_value(slider.max)
    rerun(at)
    assert is_done(rerun(at))
    assert "At his best he is right in" in words(at)


def test_the_card_of_an_image_is_noticed() -> None:
    at = visit("influence", lesson="4")
    predict(at, 1)
    assert not is_done(at)
    next(b for b in at.button if b.label == "Open").click()
    rerun(at)
    assert is_done(rerun(at))
    assert "rank correlation" in words(at)


def test_the_comparison_of_two_is_noticed() -> None:
    at = visit("compare", lesson="11")
    assert not is_done(at)
    at.segmented_control(key="compare").set_value("A against B")
    assert is_done(rerun(rerun(at)))


# ------------------------------------------------------------------------------------------------------------ a lecturer's link


def styles(at: AppTest) -> str:
    return "".join(block.proto.body for block in at.get("html"))


def test_controls_can_be_hidden_by_name_and_stay_hidden() -> None:
    at = visit("unlearn", hide="run_seed,target")
    for name in ("run_seed", "target"):
        assert f".st-key-{name} {{ display: none; }}" in styles(at)
    assert ".st-key-target {" in styles(go_to(at, "glossary"))
    assert ".st-key-scope {" not in styles(at)


@pytest.mark.parametrize("wrong", ["}body{display:none", "a" * 99, "<script>", "Scope", "a b"])
def test_a_name_that_is_none_never_gets_into_the_style(wrong: str) -> None:
    at = visit("glossary", hide=wrong)
    assert wrong not in styles(at)
    assert "cannot be had" in words(at)


def test_a_page_can_be_shown_on_a_projector() -> None:
    assert "zoom" in styles(visit("glossary", present="1"))
    assert "zoom" not in styles(visit("glossary", present="0"))
    assert "Allowed: 0 or 1" in words(visit("glossary", present="maybe"))
