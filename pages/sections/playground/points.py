"""The points of the playground: which there are to choose from, and those that a visitor draws, moves, erases or marks."""

from __future__ import annotations

import streamlit as st

from imu_core.data.vectors import drawn
from imu_core.data.vectors.points import KINDS, PREFIX
from imu_core.errors import DataError
from imu_core.problems.forget import ids_request
from pages.sidebar import problem_choice

_TOLD, _CHOICE = "playground_told", "playground_kind"  # of the session: what was wrong with the last edit; the choice of points


def choose(dataset: str) -> None:
    """Draw the choice of prepared points; those of `dataset` are chosen, also where somebody drew them."""
    names = {PREFIX + kind: about.title for kind, about in KINDS.items()}
    names.setdefault(dataset, "Points of your own")
    st.session_state[_CHOICE] = dataset
    st.selectbox(
        "Points",
        list(names),
        format_func=names.get,
        key=_CHOICE,
        on_change=_chosen,
        label_visibility="collapsed",
        width=240,
    )


def _chosen() -> None:
    st.session_state.pop("elsewhere", None)
    problem_choice.take_problem(st.session_state[_CHOICE])


def shows(dataset: str) -> str:
    """What the points of `dataset` show, in a sentence."""
    about = KINDS.get(dataset.removeprefix(PREFIX))
    return about.shows if about else "Your own points. Draw, move or erase some, and brush those that must be forgotten."


def edit(sent: object) -> None:
    """Take the points that the browser `sent`, each (across, up, class, is it to be forgotten), as the problem of every page.

    Where they cannot be used, the points stay as they were, and `told` says why.
    """
    try:
        rows = [tuple(row) for row in sent]  # type: ignore[attr-defined]
        points, marked = [row[:3] for row in rows], [n for n, row in enumerate(rows) if row[3]]
        name = drawn.keep(points)
        if not marked:
            raise DataError("No point is marked to be forgotten. Brush some with Forget.")
    except DataError as error:
        st.session_state[_TOLD] = str(error)
        return
    except (TypeError, IndexError):  # no browser of ours sends that
        st.session_state[_TOLD] = "These are no points. Draw them again."
        return
    st.session_state.pop("elsewhere", None)
    problem_choice.take_problem(name, ids_request(marked), st.session_state.get("model") or "")


def told() -> None:
    """Say what was wrong with the last edit, once."""
    if sentence := st.session_state.pop(_TOLD, ""):
        st.warning(sentence, icon=":material/help:")
