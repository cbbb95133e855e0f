"""The gallery of forget samples: pictures to look at, to pick, and to open."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from imu_core import figures
from imu_core.data import thumbnails
from imu_core.problems.forget import ids_request
from imu_core.records.run import Influence, Problem
from imu_core.report import exports

PAGE_SIZE = 12


def picked_by_hand() -> list[int]:
    """The ids of the training samples whose box is ticked, ascending."""
    return sorted(st.session_state.get("picked", set()))


def _pick(index: int) -> None:
    picked = st.session_state.setdefault("picked", set())
    (picked.add if st.session_state[f"pick_{index}"] else picked.discard)(index)


def gallery(problem: Problem, scored: Influence, chosen: list[int], show: Callable[[int], None]) -> None:
    """Draw the pictures at the `chosen` positions within the forget set, `PAGE_SIZE` a page, in the given order.

    `show` opens the card of one of them, by its position.
    """
    pages = max(1, -(-len(chosen) // PAGE_SIZE))
    page = st.session_state.get("gallery_page", 1)
    shown = chosen[(min(page, pages) - 1) * PAGE_SIZE :][:PAGE_SIZE]
    with st.grid(columns="auto", min_column_width=96, gap="small", key="gallery_grid"):
        for position in shown:
            _cell(problem, scored, position, show)
    if pages > 1:
        st.pagination(pages, key="gallery_page")


def _cell(problem: Problem, scored: Influence, position: int, show: Callable[[int], None]) -> None:
    index = int(problem.split.forget[position])
    name = problem.dataset.class_names[int(problem.train.labels[index])]
    score = float(scored.scores[position])
    with st.container(gap="xsmall", key=f"cell_{index}"):
        st.image(
            thumbnails.png(problem.dataset.name, "train", index, figures.FORGET),
            width=90,
            alt=f"{name}, training sample {index}, score {score:.2e}",
        )
        st.caption(f"{name} {score:+.2g}")
        if st.button("Open", key=f"open_{index}", type="tertiary", help=f"Open sample {index}"):  # lies over the picture
            show(position)
        key = f"pick_{index}"
        st.session_state[key] = index in st.session_state.get("picked", set())
        st.checkbox(f"{index}", key=key, on_change=_pick, args=(index,))


def carry_over(ids: list[int]) -> None:
    """Callback: make `ids` the forget request of the whole app, and note that the page Unlearn is to be shown."""
    st.session_state.update(forget=ids_request(ids), carried=True)


def unlearn_these(problem: Problem, positions: list[int], selected: bool) -> None:
    """Draw the button that makes the samples at `positions` the forget request and goes to the page Unlearn."""
    ids = [int(problem.split.forget[p]) for p in positions]
    label = f"Unlearn {'these' if selected else 'the first'} {len(ids):,}"
    st.button(label, type="primary", on_click=carry_over, args=(ids,))
    if st.session_state.pop("carried", False):  # the new request may have given the button another label
        st.switch_page("pages/unlearn.py", query_params={})  # the sidebar puts its own parameters back


def download(problem: Problem, scored: Influence, weights: object) -> None:
    """Draw the button for a CSV of every forget sample's id, class, score, weight, loss and gradient norm."""
    st.download_button(
        "CSV of all scores",
        lambda: exports.scores_csv(problem, scored, weights),
        file_name=f"influence-{scored.estimator}.csv",
        mime="text/csv",
        on_click="ignore",
    )
