"""Streamlit's widgets, bound to the address: what the link asks is checked against the widget's own choices and ends.

Each takes the arguments of the widget of the same name. A page must bind a widget here and nowhere else.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import streamlit as st

from imu_core.glossary import TERMS, help_text
from imu_core.settings import RUN, Setting
from pages.session import links
from pages.widgets import asked as widgets_asked
from pages.widgets.asked import Asked

EVERYTHING = "everything"  # in place of the parts of a page: all of them
MOST_STEPS = RUN["eval_every"].ends[1]  # of a run, in a link


def _drawn(
    draw: Callable[..., Any],
    key: str,
    understand: Callable[[list[str]], Asked],
    shown: Callable[[Any], str],
    words_of: Callable[[Any], list[str]] | None = None,
) -> Any:
    """The value of the widget that `draw` makes, from the link where it can be had; what cannot is said, with what is shown.

    Streamlit reads the address when the widget is first made, so what it would not read is put right there, and the page begins
    again. `words_of` writes a value as the widget reads it.
    """
    now, words, bound = links.visit(), links.take(key), True
    wish = understand(words) if words is not None else widgets_asked.NOTHING
    if wish.wrong:
        now.refused[key] = wish
    if words is not None and not (wish.had and wish.literal):
        written = (words_of or _words)(wish.value) if wish.had else []
        if links.rewrite(key, written):
            st.rerun()
        bound, now.again = False, True  # gone back to: the widget is there, and lets go of the address
        if wish.had:
            st.session_state[key] = wish.value
    value = draw(key=key, bind="query-params" if bound else None)
    _show(key, (words_of or _words)(value))
    if key in now.refused:
        links.refuse(key, now.refused.pop(key), shown(value))
    return value


def _show(key: str, words: list[str]) -> None:
    """Note what the widget says; that it is empty only where it would begin with something, and the address says so."""
    links.show(key, words if any(words) or key in st.query_params else [])


def _words(value: Any) -> list[str]:
    return [""] if value is None else [str(value).lower() if isinstance(value, bool) else str(value)]


def _more_options(key: str, options: Sequence[Any], also: Callable[[str], Any] | None, words: Sequence[str] | None) -> list[Any]:
    """`options`, and those that links asked for besides, where `also` makes one of the word; they stay for this visit."""
    if also is None:
        return list(options)
    extra = st.session_state.setdefault("extra_options", {}).setdefault(key, [])
    extra += [words[-1]] if words and words[-1] not in extra else []
    made = [also(word) for word in extra]
    return [*options, *(o for o in dict.fromkeys(made) if o is not None and o not in options)]


def selectbox(label: str, options: Sequence[Any], *, key: str, format_func: Callable[[Any], str] = str, **more: Any) -> Any:
    """`st.selectbox`; with `accept_new_options` any text may come."""
    options = list(options)

    def understand(words: list[str]) -> Asked:
        if more.get("accept_new_options") and not widgets_asked.empty(words):
            return Asked(True, words[-1])
        return widgets_asked.choice(words, options, format_func)

    draw = lambda **bound: st.selectbox(label, options, format_func=format_func, **bound, **more)  # noqa: E731
    return _drawn(draw, key, understand, _shown(format_func), lambda o: [] if o is None else [format_func(o)])


def segmented_control(
    label: str, options: Sequence[Any], *, key: str, format_func: Any = str, also: Callable[[str], Any] | None = None, **more: Any
) -> Any:
    """`st.segmented_control` for one choice; `also` makes an option of a word in the link that is none yet, or None."""
    options = _more_options(key, options, also, links.visit().asked.get(key))
    return _one(st.segmented_control, label, options, key, format_func, more)


def parts(titles: Mapping[str, str], *, key: str) -> Callable[[str], bool]:
    """Draw the choice of one part of a page by its title, the first one to begin with; or all of them.

    Returns a function that says whether the part of that name is to be drawn. So what is looked at fits on the screen.
    """
    named = {**titles, EVERYTHING: "All of it"}
    first = next(iter(named))
    look = {"label_visibility": "collapsed", "wrap": True}
    chosen = segmented_control("Part", list(named), key=key, format_func=named.get, default=first, required=True, **look)
    return lambda name: (chosen or first) in (name, EVERYTHING)


def pills(label: str, options: Sequence[Any], *, key: str, format_func: Any = str, **more: Any) -> Any:
    """`st.pills` for one choice, or for several with `selection_mode="multi"`."""
    draw = _several if more.get("selection_mode") == "multi" else _one
    return draw(st.pills, label, list(options), key, format_func, more)


def multiselect(label: str, options: Sequence[Any], *, key: str, format_func: Any = str, **more: Any) -> list[Any]:
    """`st.multiselect` whose choice stands in the link under `key`."""
    return _several(st.multiselect, label, list(options), key, format_func, more)


def _one(widget: Callable[..., Any], label: str, options: list[Any], key: str, format_func: Any, more: dict[str, Any]) -> Any:
    def understand(words: list[str]) -> Asked:
        if widgets_asked.empty(words) and not more.get("required"):
            return Asked(True)
        return widgets_asked.choice(words, options, format_func)

    draw = lambda **bound: widget(label, options, format_func=format_func, **bound, **more)  # noqa: E731
    return _drawn(draw, key, understand, _shown(format_func), lambda o: [] if o is None else [format_func(o)])


def _several(widget: Callable[..., Any], label: str, options: list[Any], key: str, format_func: Any, more: dict[str, Any]) -> Any:
    draw = lambda **bound: widget(label, options, format_func=format_func, **bound, **more)  # noqa: E731
    names = lambda chosen: ", ".join(format_func(o) for o in chosen or ()) or "none"  # noqa: E731
    words_of = lambda chosen: [format_func(o) for o in chosen] or [""]  # noqa: E731
    return _drawn(draw, key, lambda words: widgets_asked.choices(words, options, format_func), names, words_of)


def number_input(
    label: str,
    low: Any,
    high: Any,
    value: Any,
    step: Any = None,
    form: str | None = None,
    *,
    key: str,
    allowed: str = "",
    **more: Any,
) -> Any:
    """`st.number_input` with both ends, which a sentence calls `allowed`; a `value` of None can be left empty."""
    whole, optional = isinstance(low, int), value is None
    understand = lambda words: widgets_asked.number(words, low, high, whole, optional, allowed)  # noqa: E731
    draw = lambda **bound: st.number_input(label, low, high, value, step, form, **bound, **more)  # noqa: E731
    return _drawn(draw, key, understand, lambda v: str(more.get("placeholder") or "none") if v is None else f"{v:,.10g}")


def setting(about: Setting, *, key: str, **more: Any) -> Any:
    """The widget for the setting `about`: a switch, a choice, or a number between its ends. `start` is what it begins with."""
    start = more.pop("start", about.default)
    more = {"help": help_text(about.name)} | more if about.name in TERMS else more
    if about.switch:
        return toggle(about.label, start, key=key, **more)
    if about.choices or about.words:
        words = {about.empty if o is None else str(o): o for o in (*(None,) * about.optional, *(about.offered or about.choices))}
        chosen = selectbox(about.label, list(words), index=list(words.values()).index(start), key=key, **more)
        return words.get(chosen, start)
    more |= {"placeholder": about.empty} if about.optional else {}
    value = start if start is None else int(start) if about.whole else float(start)
    form = None if about.whole else about.form or "%.4g"
    return number_input(about.label, *about.ends, value, _step(about, value), form, key=key, allowed=about.allowed, **more)


def _step(about: Setting, start: Any) -> float:
    """By how much a number moves with one click, where its setting does not say it."""
    if about.whole:
        return 1
    usual = (about.high - about.low) / 100 if about.high <= 1 else 0.1
    return about.step or (start / 10 if about.logarithmic else usual)


def slider(
    label: str, low: Any, high: Any, value: Any, step: Any = None, form: str | None = None, *, key: str, **more: Any
) -> Any:
    """`st.slider` for one number."""
    understand = lambda words: widgets_asked.number(words, low, high, isinstance(low, int))  # noqa: E731
    draw = lambda **bound: st.slider(label, low, high, value, step, form, **bound, **more)  # noqa: E731
    return _drawn(draw, key, understand, lambda v: f"{v:,.10g}")


def select_slider(
    label: str, options: Sequence[float], ends: tuple[float, float], value: float, *, key: str, format_func: Any, **more: Any
) -> float:
    """`st.select_slider` over numbers; a link may ask for any other between the two `ends`, which then joins the options."""
    also = lambda word: widgets_asked.number([word], *ends, whole=False).value  # noqa: E731
    listed = sorted(_more_options(key, options, also, links.visit().asked.get(key)))

    def understand(words: list[str]) -> Asked:
        wish = widgets_asked.number(words, *ends, whole=False)
        return dataclasses.replace(wish, literal=wish.had and format_func(wish.value) == words[-1])

    draw = lambda **bound: st.select_slider(label, listed, value, format_func=format_func, **bound, **more)  # noqa: E731
    return _drawn(draw, key, understand, format_func, lambda v: [format_func(v)])


def toggle(label: str, value: bool, *, key: str, **more: Any) -> bool:
    """`st.toggle`."""
    draw = lambda **bound: st.toggle(label, value, **bound, **more)  # noqa: E731
    return _drawn(draw, key, widgets_asked.switch, lambda on: str(on).lower())


def text_input(label: str, *, key: str, **more: Any) -> str:
    """`st.text_input`."""
    draw = lambda **bound: st.text_input(label, **bound, **more)  # noqa: E731
    return _drawn(draw, key, lambda words: widgets_asked.text(words, more.get("max_chars")), lambda text: text or "")


def _shown(format_func: Callable[[Any], str]) -> Callable[[Any], str]:
    return lambda value: "none" if value is None else str(format_func(value))


def cursor(name: str, last: int) -> int | None:
    """Set the player `name` to the step that the link asks for; a step that cannot be had, or is after `last`, gets a sentence.

    Returns that step once, when runs that this visitor made are to be replayed; None otherwise.
    """
    state, words = st.session_state, links.take("step")
    state[f"{name}_last"] = last
    if words is not None:
        links.rewrite("step")
        wish = widgets_asked.number(words, 0, MOST_STEPS, whole=True)
        if wish.wrong:
            links.refuse("step", wish, str(last))
        elif wish.had:
            state[f"{name}_at"] = state[f"{name}_asked"] = wish.value
            if wish.value > last:
                links.tell(f"**step={wish.value}**: what is shown ends at step {last:,}. Runs that go so far are shown there.")
    return state.pop(f"{name}_asked", None) if state.get("replay") else None
