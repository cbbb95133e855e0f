"""Attack: find out what is left after unlearning, beside the retrained model and beside chance."""

from __future__ import annotations

import streamlit as st

from imu_core import data
from imu_core.errors import ImuError
from pages.sections.attack import another, jobs, table, threshold
from pages.sections.unlearn import results
from pages.session import links, pace, session_runs
from pages.sidebar import problem_choice
from pages.widgets import bound, link_box
from pages.widgets.text import plain

PARTS = {
    "answers": "Its answers",
    "features": "Its features",
    "relearning": "Relearning",
    "shadows": "Shadow heads",
    "numbers": "All numbers",
}


def attackable(items: list[session_runs.Kept]) -> list[session_runs.Kept]:
    """Runs that have ended and left a model behind: done, stopped or diverged."""
    return [item for item in items if item.job.finished and item.job.state != "failed" and item.shown and not item.lacks_model]


def not_here(items: list[session_runs.Kept]) -> None:
    """Write which runs cannot be attacked and why: going on (with progress), failed, stopped before they began, no model kept."""
    going = [item for item in items if not item.job.finished]

    @st.fragment(run_every=pace.tick() if going else None)
    def show() -> None:
        session_runs.going(going)
        if any(item.job.finished for item in going):
            st.rerun()

    if going:
        show()
    for item in (item for item in items if item.job.finished and item not in attackable([item])):
        why = f": {item.lacks_model}" if item.lacks_model else f" left no model to attack: {item.job.reason}"
        st.caption(plain(item.name + why))


def choose(items: list[session_runs.Kept]) -> session_runs.Kept:
    """Draw the choice of the run to attack; returns the chosen one. Its name is in the link."""
    names = [item.name for item in items]
    if st.session_state.get("attacked") not in names:
        st.session_state.pop("attacked", None)
    chosen = bound.segmented_control("Run", names, default=names[0], key="attacked", required=True, wrap=True)
    session_runs.tell_apart(items)
    return next((item for item in items if item.name == chosen), items[0])


def in_link(item: session_runs.Kept) -> tuple[dict[str, str], list[str]]:
    """(parameters of a link to the run under attack, sentences on what it leaves out). It has the id: others may use the name."""
    ids = [item.stored] if item.stored else []
    words = {"run": item.stored, "attacked": "" if ids else item.name}
    return words, link_box.of_runs(ids, [] if ids or item.is_example else [item.name])


title = link_box.titled("Did it really forget?")
st.markdown(
    "Attack a run: what an attacker can still find has not gone. Beside every number stands the retrained model, which never saw "
    "the data."
)
problem = problem_choice.current()
results.reference_offer(problem)
mine = session_runs.of(problem)
not_here(mine)
first = st.container()  # the box below it adds to what is chosen from in it
wish = another.asked(problem, attackable(mine))
items = [*attackable(mine), *attackable(another.another(problem, session_runs.title_of))] or attackable(
    session_runs.examples(problem)
)
if not items:
    st.warning("No run on this problem left a model that could be attacked. Choose another problem in the sidebar.")
    st.stop()
with first:
    item = choose(items)
with title:
    link_box.of_page(problem, "Opens this page with the same problem, run and choices", lambda: in_link(item))
if wish:
    links.refuse("run", wish, item.name)
if item.is_example:
    st.caption("Finished examples, the gentle preset on the head. Your own runs on this problem stand here once you made some.")
if not problem.split.classes:
    st.caption(
        f"These {len(problem.split.forget):,} {problem.dataset.noun} are no whole class: a model that never saw them recognises "
        "many of them, so the aim is the retrained model's figure, not a low one."
    )
try:
    shows = bound.parts(PARTS, key="attack_part")
    if item.is_example and problem.dataset.name == next(iter(data.DATASETS)):
        jobs.start_missing(problem, item)  # two quick ones, so that no part is empty
    if shows("answers"):
        st.subheader("Do its answers give it away?")
        st.caption("For a person this means: anyone who can ask the model about your photo could tell that it was trained on it.")
        threshold.section(problem, item)
    others = {"features": jobs.probe, "relearning": jobs.relearn, "shadows": jobs.shadows, "numbers": table.section}
    for name, draw in others.items():
        if shows(name):
            draw(problem, item)
except ImuError as error:
    st.warning(f"{plain(error)} Choose another run, or run it again with smaller steps.")
