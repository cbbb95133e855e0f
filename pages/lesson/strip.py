"""The strip of the lesson above a page: what to do, a prediction, the outcome beside it, Back and Next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st
from streamlit.navigation.page import Page

from pages.lesson.steps import CASE, RIGHT, STEPS, Numbers, Step
from pages.lesson.words import languages, words
from pages.session import links, pace
from pages.widgets.text import plain

TO_THE_TOP = """<script>document.querySelector('[data-testid="stMain"]')?.scrollTo(0, 0)</script>"""
LOOKS = 2.0  # seconds between two looks at whether the task is done, at least


def offer() -> None:
    """Draw the button that begins the lesson, for a page that is its first step."""
    if not st.session_state.get("lesson"):
        st.button(words(_now())["strip"]["begin"], icon=":material/school:", on_click=enter, args=(1,), key="lesson_begin")


def begin(page: Page) -> Any:
    """The place of the strip at the top of `page`, in the state that its step begins with; None outside the lesson.

    A link to a step leads to the step's own page.
    """
    number = _number()
    _language()
    if not number:
        return None
    step = STEPS[number - 1]
    if st.session_state.get("lesson_entered") != number:
        enter(number)
    if st.session_state.pop("lesson_goes", False) and page.url_path != _address(step):
        st.switch_page(step.page, query_params={"lesson": str(number)})
    if page.url_path != _address(step):
        links.rewrite("lesson")
    elif st.query_params.get("lesson") != str(number):
        links.rewrite("lesson", [str(number)])
    place = st.container(border=True, gap="xsmall", key="lesson").empty()
    if step.name != st.session_state.get("lesson_drawn"):  # the page may take a while; its strip does not
        place.markdown(_heading(number))
        st.html(TO_THE_TOP, unsafe_allow_javascript=True)
        st.session_state.lesson_drawn = step.name
    return place


def _number() -> int:
    """The number of the step, from 1; 0 outside the lesson. A number that is none gets a sentence."""
    asked = links.take("lesson")
    if asked is not None:
        if asked[-1].isascii() and asked[-1].isdigit() and len(asked[-1]) < 4 and 1 <= int(asked[-1]) <= len(STEPS):
            st.session_state.lesson = int(asked[-1])
        else:
            links.rewrite("lesson")
            links.tell(f"**lesson={plain(links.short(asked[-1]))}** cannot be had. Allowed: 1 to {len(STEPS)}.")
    number = st.session_state.get("lesson", 0)
    links.show("lesson", [str(number)] if number else [])
    return number


def _language() -> None:
    """Take the language that the link asks for, where the words are there in it."""
    asked = links.take("lang")
    if asked is not None:
        if asked[-1] in languages():
            st.session_state.lang = asked[-1]
        else:
            links.rewrite("lang")
            links.tell(f"**lang={plain(links.short(asked[-1]))}** cannot be had. Allowed: {', '.join(languages())}.")
    links.show("lang", [_now()] if _now() != languages()[0] else [])


def _now() -> str:
    """The language of the words."""
    return st.session_state.get("lang", languages()[0])


def _address(step: Step) -> str:
    name = step.page.removeprefix("pages/").removesuffix(".py")
    return "" if name == "start" else name


def enter(number: int) -> None:
    """Begin the step `number`: set the sidebar and the page as the step begins; what the link itself says stays."""
    step, state = STEPS[number - 1], st.session_state
    state.lesson = state.lesson_entered = number
    state.lesson_goes = True
    for key, value in {**step.problem, **step.widgets}.items():
        if key not in links.visit().asked:
            state[key] = value
    if step.problem:
        state.pop("elsewhere", None)


def end(place: Any) -> None:
    """Draw the strip in its place, once the page is drawn: by then the page has noted what the visitor has done."""
    if place is None:
        return
    number = st.session_state.lesson
    with place.container(gap="xsmall"):
        st.fragment(_draw, run_every=None if _is_done(number) else max(LOOKS, pace.tick()))(number)


def _seen(number: int) -> Numbers | None:
    return STEPS[number - 1].seen()


def _is_done(number: int) -> bool:
    return _seen(number) is not None and (not _part(number).get("ask") or _answer(number) is not None)


def _part(number: int) -> Mapping[str, Any]:
    return words(_now())[STEPS[number - 1].name]


def _answer(number: int) -> int | None:
    """The place of the answer that was predicted."""
    return st.session_state.get("lesson_answers", {}).get(STEPS[number - 1].name)


def _heading(number: int) -> str:
    part = _part(number)
    place = words(_now())["strip"]["place"].format(step=number, steps=len(STEPS))
    return f"**{place} · {part['title']}** {part['text']}"


def _draw(number: int) -> None:
    common, part = words(_now())["strip"], _part(number)
    done = _is_done(number)
    st.markdown(_heading(number))
    mark = f":green-badge[:material/check: {common['done']}]" if done else f":gray-badge[{common['task']}]"
    if part.get("ask"):
        _predict(number, common, part)
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        st.markdown(f"{mark} {part['task']}" if number < len(STEPS) else f"{mark} {part['task']} {common['end']}")
        _go("lesson_back", common["back"], number - 1)
        _go("lesson_next", common["next"], number + 1, primary=done)
        if st.button(common["leave"], type="tertiary", key="lesson_leave", on_click=_leave):
            st.rerun()


def _predict(number: int, common: Mapping[str, Any], part: Mapping[str, Any]) -> None:
    """Draw the question until it is answered; then the answer, and beside it the outcome as soon as there is one."""
    answer, seen = _answer(number), _seen(number)
    if answer is None:
        key = f"lesson_ask_{STEPS[number - 1].name}"
        st.pills(f"{common['ask']}: {part['ask']}", part["answers"], key=key, on_change=_predicted, args=(number, key))
        return
    said = common["said"].format(answer=part["answers"][answer])
    if not seen:
        st.markdown(f"{part['ask']} {said} {common['wait']}")
        return
    outcome = part["outcome"].format_map({name: plain(text) for name, text in seen.items()})
    so = part.get("so", {}).get(seen.get(CASE), "")
    came = common["right" if seen.get(RIGHT) == str(answer) else "otherwise"] if RIGHT in seen else ""
    st.markdown(" ".join(filter(None, (part["ask"], said, came, f"**{outcome}**", so))))


def asks(name: str) -> bool:
    """Whether the lesson is at the step `name` and waits for a prediction, so that nothing should tell the answer yet."""
    number = st.session_state.get("lesson", 0)
    return bool(number) and STEPS[number - 1].name == name and bool(_part(number).get("ask")) and _answer(number) is None


def _predicted(number: int, key: str) -> None:
    answers = _part(number)["answers"]
    if st.session_state.get(key) in answers:
        st.session_state.setdefault("lesson_answers", {})[STEPS[number - 1].name] = answers.index(st.session_state[key])


def _go(key: str, label: str, number: int, primary: bool = False) -> None:
    """A button that leads to the step `number`, where there is one."""
    exists = 1 <= number <= len(STEPS)
    kind = "primary" if primary and exists else "secondary"
    if st.button(label, key=key, type=kind, disabled=not exists, on_click=enter if exists else None, args=(number,)):
        st.rerun()


def _leave() -> None:
    st.session_state.lesson = 0
    st.session_state.pop("lesson_entered", None)
    links.rewrite("lesson")
