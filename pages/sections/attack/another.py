"""The stored run that is looked at besides those on the visitor's list: chosen in a box, or named by the link."""

from __future__ import annotations

import streamlit as st

from imu_core.caches import SharedCache
from imu_core.errors import ImuError, StoreError
from imu_core.records.run import Problem
from imu_core.store.runs import Summary
from pages.session import keeper, links, restored, visitor
from pages.session.kept import Kept
from pages.widgets.asked import Asked


def asked(problem: Problem, mine: list[Kept]) -> Asked | None:
    """Choose the run that the link asks for by `run=ID`: one of `mine`, or another stored one on `problem`.

    Returns None where the choice is made or the link asks for none; the wish with what is allowed where there is no such run.
    """
    words, state = links.take("run"), st.session_state
    if not words or not words[-1]:
        return None
    own = next((item for item in mine if item.stored and item.stored.startswith(words[-1])), None)
    try:
        run = None if own else _showable(problem, words[-1])
    except ImuError:
        links.rewrite("run")
        return Asked(False, wrong=(words[-1],), allowed="the id of a stored run on this problem that you may see")
    if own and "attacked" not in links.visit().asked:
        state.attacked = own.name
    if run:
        state.update(another_linked=run, another_run=run.id)
        state.another_shown = run.id if "attacked" in links.visit().asked else None
    return None


def _showable(problem: Problem, start: str) -> Summary:
    """The stored run whose id begins with `start`; StoreError where this visitor cannot see it on `problem`."""
    store = keeper.view()
    run = store.get(store.resolve(start))
    if run.deleted or not restored.is_showable(run) or not restored.fitting(store, problem, [run.id]):
        raise StoreError("This run is deleted, about another problem, or of a method that is not known here.")
    return run


def _addressed() -> None:
    """Put the stored run that was chosen in the address."""
    chosen = st.session_state.another_run
    links.rewrite("run", [chosen] if chosen else [])


def another(problem: Problem, name_of: restored.Namer) -> list[Kept]:
    """Draw the box of stored runs besides those on the visitor's list (none to choose from: no box); [the chosen run], or []."""
    offered, linked = restored.others(problem), st.session_state.get("another_linked")
    if linked and restored.about_of(problem) == (linked.dataset, linked.model_name, linked.forget, linked.problem_seed):
        offered = {linked.id: linked} | offered  # it may be older than those that are offered
    chosen = restored.box("Or a stored run", offered, key="another_run", on_change=_addressed) if offered else None
    links.show("run", [chosen] if chosen else [])
    if chosen is None:
        return []
    item = _one(problem, offered[chosen], name_of)
    if item is None:
        st.caption("This run began from another model (an earlier request came before it), or holds nothing that could be shown.")
        return []
    if item.lacks_model:
        st.caption(item.lacks_model)
    elif st.session_state.get("another_shown") != chosen:
        st.session_state.update(another_shown=chosen, attacked=item.name)
    return [item]


def _one(problem: Problem, run: Summary, name_of: restored.Namer) -> Kept | None:
    """The stored `run` as a finished one, kept for this visitor; None where it began elsewhere or cannot be drawn."""
    known: SharedCache[str, Kept | None] = visitor.theirs("others", lambda: SharedCache(restored.LISTED))
    if run.id not in known:
        paths = restored.fitting(keeper.view(), problem, [run.id])
        known[run.id] = item = restored.restored(problem, run, paths[run.id], name_of) if paths else None
        if item is not None:
            item.name += f" ({run.id[:4]})"
    return known.get(run.id)
