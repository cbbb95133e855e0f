"""The box Forget: what is typed becomes the request it means, and one that cannot be had leaves the page as it was."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import streamlit as st

import imu_core
from imu_core import data, names
from imu_core.errors import DataError
from imu_core.problems import forget as requests
from imu_core.records.run import Problem
from pages.widgets.text import plain

MOST_TRIES = 3  # of the requests that are proposed, before the page gives up
Suggestions = Callable[[str], list[str]]
After = Callable[[list[Any], str], Problem]  # the problem of a request after earlier ones


def typed(suggestions: Suggestions) -> None:
    """Callback of the box, before it is drawn again: replace what was typed or chosen by the request it means."""
    state = st.session_state
    state.refused = state.request_said = ""
    state.forget = _completed(state.forget, state.dataset, suggestions)


def _completed(text: str, dataset: str, suggestions: Suggestions) -> str:
    """The request that `text` means; itself where that is not clear, so that the sentence about it is said."""
    offered = suggestions(dataset)
    try:
        return text if text in offered or not data.is_here(dataset) else requests.meant(text, data.load(dataset))
    except DataError:
        fits = [name for name in offered if text.strip() and names.key(name).startswith(names.key(text.strip()))]
        return fits[0] if len(fits) == 1 else text


def had(earlier: list[Any], suggestions: Suggestions, after: After) -> Problem:
    """The problem that the sidebar names, `after` the `earlier` requests.

    A request that cannot be had is put back to the last good one, and the page begins again.
    Raises DataError where there is nothing to fall back on.
    """
    state = st.session_state
    try:
        problem = _problem(state.forget, earlier, after)
    except DataError as error:
        request = _kept(earlier, suggestions, after)
        if not request:
            raise
        if request != _completed(state.forget, state.dataset, suggestions):
            state.request_said = _why(state.forget, error)
        state.refused = request
        st.rerun()
    state.good = (_about(), state.forget)
    return problem


def _problem(forget: str, earlier: list[Any], after: After) -> Problem:
    if earlier:
        return after(earlier, forget)
    state = st.session_state
    return imu_core.problem(state.dataset, model=state.model, forget=forget, seed=state.seed)


def _about() -> tuple[str, ...]:
    state = st.session_state
    return state.dataset, state.model, state.get("after") or ""


def _kept(earlier: list[Any], suggestions: Suggestions, after: After) -> str:
    """The request to go on with: what was meant, the last good one, or what is proposed first; "" where none can be had."""
    state = st.session_state
    known, good = state.get("good", ((), ""))
    gone = {request for request, _ in earlier}
    proposed = [name for name in suggestions(state.dataset) if name not in gone][:MOST_TRIES]
    meant = _completed(state.forget, state.dataset, suggestions)
    for request in (meant, good if known == _about() else "", *proposed):
        if request and request != state.forget:
            with contextlib.suppress(DataError):
                _problem(request, earlier, after)
                return request
    return ""


def _why(text: str, error: DataError) -> str:
    """What was wrong: the sentence about what was typed, where that says more than the error."""
    try:
        requests.meant(text, data.load(st.session_state.dataset))
    except DataError as about:
        return str(about)
    return str(error)


def put_back() -> None:
    """Put the request that stays into the box, where another was refused; call before the box is drawn."""
    state = st.session_state
    if request := state.pop("refused", ""):
        state.forget = state.put_back = request
    elif state.pop("put_back", "") == state.get("forget") is not None:
        state.forget = state.forget  # Streamlit writes into the address what is set for a widget that was there before


def said() -> None:
    """Write why the last request could not be had and what the page shows instead; nothing where it could."""
    state = st.session_state
    if state.get("request_said"):
        text = f"{state.request_said} The page still shows {state.forget}."
        st.warning(plain(text), icon=":material/help:")
