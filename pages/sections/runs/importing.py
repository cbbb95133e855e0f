"""Below the list of runs: taking in a file of exported runs, and bringing back deleted ones."""

from __future__ import annotations

from typing import Any

import streamlit as st

from imu_core.access import limits
from imu_core.errors import DataError
from imu_core.store.runs import Store
from pages.sections.runs import actions
from pages.session import keeper, stored
from pages.widgets import apart
from pages.widgets.text import plain

LARGEST_FILE = 32  # MB of an import
MOST_DELETED = 20  # listed for bringing back


def largest_file() -> int:
    """The largest file that can be imported here, in MB: what the server's owner allows, at most `LARGEST_FILE`."""
    return min(LARGEST_FILE, limits.UPLOAD_MB.value)


def row() -> None:
    """Draw, below the list, the buttons for importing a file and for bringing back deleted runs."""
    store = keeper.view()
    hidden = store.count(deleted=True)
    with st.container(horizontal=True):
        with st.popover("Import runs"):
            upload()
        if hidden:
            with st.popover(f"Deleted runs ({hidden:,})"):
                bring_back(store)


def upload() -> None:
    """Draw the choice of a file and the button that imports it; everything in it is checked first."""
    key = f"file_{st.session_state.get('acted', 0)}"
    file = st.file_uploader(
        "A file that Export wrote", "json", key=key, max_upload_size=largest_file(), help="All of it comes in, or nothing."
    )
    if file is not None:
        st.button("Import", on_click=take_in, args=(file,), type="primary")


def take_in(file: Any) -> None:
    """Store what is in `file`, or say what is wrong with it."""

    def work(store: Store) -> str:
        if file.size > largest_file() * 2**20:
            raise DataError(f"The file has {file.size / 2**20:.0f} MB; at most {largest_file()} can be imported here.")
        try:
            text = file.getvalue().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise DataError("This file is no text in UTF-8, so it is no export of runs.") from error
        return f"The file holds {actions.many(len(store.import_(text)))}; what was not here yet is in the list now."

    actions.act(work)


def bring_back(store: Store) -> None:
    """Draw the deleted runs, newest first, each with a button that brings it back."""
    hidden = store.search(deleted=True, limit=MOST_DELETED)
    for run in hidden:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(
                f"{plain(stored.title_of(run))} · {plain(run.forget[:40])} · {run.id[: apart.SHORT]}",
                width="stretch",
            )
            st.button("Bring back", key=f"back_{run.id}", on_click=actions.restore, args=([run.id],))
    st.caption(f"The newest {len(hidden)}. The command `python -m imu_core runs restore ID` brings back any other.")
