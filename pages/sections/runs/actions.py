"""What can be done with stored runs: open, compare, name, tag, export, delete, and undo that."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import streamlit as st

from imu_core.errors import DataError, ImuError
from imu_core.glossary import help_text
from imu_core.store.runs import Store, Summary
from imu_core.store.stored import LONGEST_NAME, MOST_TAGS
from pages.session import keeper, restored, session_runs
from pages.sidebar import reopen
from pages.widgets.text import plain


def signature(runs: Sequence[Summary]) -> str:
    """A key for the table of `runs`: it changes with the runs and after each action, so that the new table has no selection."""
    about = "".join(run.id for run in runs) + str(st.session_state.get("acted", 0))
    return hashlib.sha256(about.encode()).hexdigest()[:16]


def act(work: Callable[[Store], str | None], undo: Sequence[str] = ()) -> None:
    """Do `work`, and say at the top of the page what came of it; `undo` are the ids of deleted runs to bring back."""
    state = st.session_state
    state.acted = state.get("acted", 0) + 1
    try:
        text = work(keeper.view())
        restored.changed()
        state.said = {"text": text, "undo": list(undo)} if text else None
    except ImuError as error:
        state.said = {"error": str(error)}


def said() -> None:
    """Draw what the last action did, with its Undo; nothing where there was none."""
    news = st.session_state.get("said")
    if not news:
        return
    if "error" in news:
        st.warning(plain(news["error"]))
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(news["text"], width="content")
        if news["undo"]:
            st.button("Undo", on_click=restore, args=(news["undo"],))


def many(number: int) -> str:
    """A number of runs in words: "1 run", "2 runs"."""
    return f"{number:,} run" + ("" if number == 1 else "s")


def delete(ids: Sequence[str]) -> None:
    """Hide runs, and offer to bring them back."""

    def work(store: Store) -> str:
        store.delete(*ids)
        return f"{many(len(ids))} deleted."

    act(work, undo=ids)


def restore(ids: Sequence[str]) -> None:
    """Bring deleted runs back."""

    def work(store: Store) -> str:
        store.restore(*ids)
        return f"{many(len(ids))} back in the list."

    act(work)


def store_again(items: list[session_runs.Kept]) -> None:
    """Try once more to write what could not be written."""
    for item in items:
        item.trouble = ""
        keeper.keep(keeper.keeper(), item)
        keeper.rename(keeper.keeper(), item)


# Going elsewhere: callbacks run before the sidebar is drawn, so the problem of every page can be set in them.


def open_record(run_id: str) -> None:
    """Callback: show the run `run_id` in detail."""
    st.session_state.said = None
    st.query_params["run"] = run_id


def close_record() -> None:
    """Callback: go back to the list."""
    st.session_state.said = None
    st.query_params.pop("run", None)


def open_settings(run_id: str) -> None:
    """Callback: go to the page that can run it again, with its problem and its settings."""

    def work(store: Store) -> None:
        run = store.get(run_id)
        page, _, query = reopen.way_back(run, run.trajectory)
        reopen.take_problem(run.trajectory.problem)
        # The sidebar puts its own parameters back.
        st.session_state.going = (f"pages/{page}.py", {k: v for k, v in query.items() if k not in reopen.PROBLEM})

    act(work)


def compare(ids: Sequence[str]) -> None:
    """Callback: go to the page Compare with these runs, on the problem of the first."""

    def work(store: Store) -> None:
        run = store.get(ids[0])
        reopen.check_known(run)
        reopen.take_problem(run.trajectory.problem)
        st.session_state.going = ("pages/compare.py", {"runs": ",".join(ids)})

    act(work)


def go_on() -> None:
    """Open the page that the last click asked for (`open_settings`, `compare`), if it asked for one."""
    page, query = st.session_state.pop("going", (None, None))
    if page:
        st.switch_page(page, query_params=query)


# The row of buttons.


def bar(store: Store, chosen: list[Summary]) -> None:
    """Draw what can be done with the chosen runs. All buttons are always there, so that a tick never moves the table below."""
    ids, none, one = [run.id for run in chosen], not chosen, len(chosen) == 1
    st.caption(f"{many(len(ids))} ticked." if chosen else "Tick rows at their left edge.")
    with st.container(horizontal=True, vertical_alignment="center", key="bar"):
        st.button("Look closer", on_click=open_record, args=ids[:1], type="primary" if one else "secondary", disabled=not one)
        about = "Its problem and its settings, ready to run again."
        st.button("Open in Unlearn", on_click=open_settings, args=ids[:1], disabled=not one, help=about)
        kind = "primary" if len(ids) > 1 else "secondary"
        st.button("Compare", on_click=compare, args=(ids,), type=kind, disabled=none)
        naming(chosen[0] if one else None)
        tagging(chosen)
        export(store, ids)
        st.button("Delete", on_click=delete, args=(ids,), help=help_text("deleted_run"), disabled=none)


def naming(run: Summary | None) -> None:
    """Draw a small form for the name of one run; without a run it is disabled."""
    with st.popover("Name", disabled=run is None):
        if run is None:
            return
        with st.form(f"name_form_{run.id}", border=False):
            name = st.text_input("Name", run.name, key=f"name_of_{signature([run])}", max_chars=LONGEST_NAME)
            if st.form_submit_button("Rename"):
                act(lambda store: store.rename(run.id, name))
                st.rerun()


def tagging(chosen: list[Summary]) -> None:
    """Draw a small form for the tags that all chosen runs share; without runs it is disabled."""
    with st.popover("Tags", disabled=not chosen):
        if not chosen:
            return
        shared = sorted(set.intersection(*(set(run.tags) for run in chosen)))
        with st.form(f"tag_form_{signature(chosen)}", border=False):
            label = "Tags, separated by commas" if len(chosen) == 1 else "Tags of all of them, separated by commas"
            value, key = ", ".join(shared), f"tags_of_{signature(chosen)}"
            text = st.text_input(label, value, key=key, max_chars=900, help=help_text("tags"))
            if st.form_submit_button("Tag"):
                act(lambda store: _tag(store, chosen, set(shared), text))
                st.rerun()


def _tag(store: Store, runs: list[Summary], shared: set[str], text: str) -> None:
    """Put the tags in `text` in place of those that all `runs` share; each keeps what it alone carries."""
    wanted = {tag.strip() for tag in text.split(",")} - {""}
    if any(len((set(run.tags) - shared) | wanted) > MOST_TAGS for run in runs):
        raise DataError(f"A run may carry {MOST_TAGS} tags; this would be more. Nothing was changed.")
    for run in runs:
        store.tag(run.id, (set(run.tags) - shared) | wanted)


def export(store: Store, ids: Sequence[str]) -> None:
    """Draw the button for a file with everything about these runs; `import` reads it back, here or elsewhere."""
    st.download_button(
        "Export",
        lambda: store.export(ids),
        "runs.json",
        "application/json",
        key="export",
        on_click="ignore",
        disabled=not ids,
        help="JSON with settings, every point, figures and changed parameters; it can be imported here or elsewhere.",
    )
