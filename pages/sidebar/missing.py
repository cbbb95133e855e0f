"""What to do where a problem is not there yet: read, draw or download its images, name their folder, train its model."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from imu_core import data
from imu_core.access import rules
from imu_core.errors import CheckpointError, DataError, shown
from imu_core.records.data import Source
from imu_core.training.loop import Training
from pages.session import visitor
from pages.widgets import progress
from pages.widgets.text import plain

QUICK = ("faces",)  # trained on first use, because that takes less than two minutes


def read(dataset: str, source: Source) -> None:
    """Read or draw a dataset that needs no download, and start the page again; a folder of this machine only after a click."""
    if source.asks and st.session_state.pop("to_read", "") != dataset:
        st.info(f"{plain(source.title)}: not read yet.", icon=":material/folder:")
        offer(dataset, source)
        st.stop()
    _fetch(dataset)


def offer(dataset: str, source: Source) -> None:
    """Draw a button that fetches `dataset`."""
    if st.button(plain(f"{source.verb} {shown(dataset, 100)}"), type="primary"):
        try:
            _fetch(dataset)
        except DataError as error:
            st.error(plain(error))


def ask_folder(take: Callable[[str], None]) -> None:
    """Draw a form for the folder of Market-1501, whose dataset is given to `take`; nothing on a public server."""
    if rules.is_public():
        return
    with st.form("folder", border=False):
        st.text_input("Folder with bounding_box_train, bounding_box_test and query", key="market_folder", max_chars=400)
        st.form_submit_button("Read this folder", on_click=_take_folder, args=(take,))


def _take_folder(take: Callable[[str], None]) -> None:
    path = st.session_state.get("market_folder", "").strip()
    if path:
        take(data.MARKET + path)
        st.session_state.to_read = data.MARKET + path


def no_model(dataset: str, model: str, error: CheckpointError) -> None:
    """Offer to train the missing `model`, or train it at once where that takes less than two minutes (`QUICK`)."""
    title = f"Train {model} on {dataset}"
    if any(job.title == title for job in visitor.queue().active(visitor.owner())):
        words = f"{title}: progress and Stop are in the sidebar; this page opens when it has finished."
        st.info(words, icon=":material/model_training:")
        return
    titles = st.session_state.setdefault("asked_for", set())
    automatic = dataset in QUICK and data.is_here(dataset) and title not in titles
    if not automatic:
        st.warning(plain(error))
    if automatic or (data.is_here(dataset) and st.button(title, type="primary")):
        titles.add(title)
        progress.start_training(title, lambda: Training(data.load(dataset), model))


def _fetch(dataset: str) -> None:
    """Download, draw or read `dataset` here and now, with its progress; the page starts again when it is there."""
    st.caption(f"{plain(dataset)} is not on this machine yet. Leaving this page stops the work.")
    progress.run_here(data.download(dataset), "fetching")
    st.session_state.fetched = dataset
    st.rerun()
