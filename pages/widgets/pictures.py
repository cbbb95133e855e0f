"""Rows of pictures."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

import streamlit as st

from imu_core.data import thumbnails
from imu_core.figures.style import FRAMES
from imu_core.records.run import Problem


def strip(
    problem: Problem, ids: Iterable[int], captions: Sequence[str], frame: str = "forget", part: str = "train", label: str = ""
) -> None:
    """Draw the samples `ids` of the set `part` (train, test) as a row that wraps, captions below; to look at, not to click."""
    cells = []
    names, labels = problem.dataset.class_names, getattr(problem, part).labels
    for index, caption in zip(ids, captions, strict=True):
        url = thumbnails.plain_url(problem.dataset.name, part, int(index))
        alt = html.escape(f"{names[int(labels[index])]}, {part} sample {int(index)}: {caption}")
        text = html.escape(caption).replace("\n", "<br>")
        cells.append(
            f'<figure role="listitem"><img src="{url}" alt="{alt}" title="{alt}"><figcaption>{text}</figcaption></figure>'
        )
    style = (
        "<style>.strip{display:flex;flex-wrap:wrap;gap:9px}.strip figure{margin:0;width:84px;overflow-wrap:anywhere}"
        ".strip img{width:84px;image-rendering:pixelated;border-radius:3px;display:block;box-sizing:border-box}"
        f".strip.{frame} img{{border:3px solid {FRAMES[frame] or 'transparent'}}}"
        ".strip figcaption{font-size:.78rem;line-height:1.25;opacity:.8;font-variant-numeric:tabular-nums}</style>"
    )
    st.html(f'{style}<div class="strip {frame}" role="list" aria-label="{html.escape(label)}">{"".join(cells)}</div>')
