"""How people are shown: the columns of retrieval, and the style of their pictures."""

from __future__ import annotations

import streamlit as st

from imu_core.figures.style import OTHER, SAME
from imu_core.glossary import help_text
from pages.widgets.text import column_width

COLUMNS = {
    "person_map": "Person: mAP ≈",
    "person_rank1": "rank-1 ≈",
    "person_rank5": "rank-5 ≈",
    "map": "Unseen: mAP ↑",
    "rank1": "rank-1 ↑",
    "rank5": "rank-5 ↑",
    "forget": "Named: person ↓",
    "test_other": "others ↑",
}
STYLE = f"""<style>
.people{{display:flex;flex-wrap:wrap;gap:10px}} .people figure{{margin:0;width:72px}}
.people img{{width:100%;image-rendering:pixelated;display:block;border-radius:3px}}
.people .same img{{outline:3px solid {SAME}}} .people .other img{{outline:3px solid {OTHER}}}
.people figcaption,.looked figcaption{{font-size:.75rem;line-height:1.25;opacity:.85;padding-top:4px;
  font-variant-numeric:tabular-nums}}
.looked{{display:grid;grid-template-columns:repeat(auto-fill,minmax(280px,1fr));gap:14px}} .looked figure{{margin:0}}
.looked .row{{display:flex;gap:3px}} .looked.card .row{{flex-wrap:wrap}} .looked .cell{{position:relative;width:68px}}
.looked .cell img{{width:68px;display:block;image-rendering:pixelated;border-radius:2px}}
.looked .cell img.heat{{position:absolute;inset:0;height:100%;image-rendering:auto;opacity:var(--heat,.75)}}
.looked.card .cell,.looked.card .cell img,.looked.card .head{{width:110px}}
.looked .head{{font-size:.68rem;opacity:.7;width:68px;text-align:center;line-height:1.1}}
</style>"""


def columns() -> dict[str, object]:
    """The columns of retrieval for a Streamlit table, by title: percent, one decimal, help from the glossary."""
    number = st.column_config.NumberColumn
    width = column_width
    return {title: number(title, format="%.1f", width=width(title), help=help_text(key)) for key, title in COLUMNS.items()}
