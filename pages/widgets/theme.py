"""How pages look: light or dark, the layout of narrow windows, and charts without the bar of buttons."""

from __future__ import annotations

import streamlit as st

# Streamlit stacks columns on phones only; on a narrow window charts and pictures need the whole width too. The Tab key comes
# to the page before it comes to the twenty stops of the sidebar (in browsers that know `reading-flow`).
LAYOUT = """<style>
[data-testid="stMainBlockContainer"] { padding-top: 2.2rem; padding-bottom: 3rem; }
a.skip { position: fixed; left: 1rem; top: -6rem; z-index: 1000000; padding: .5rem 1rem; border-radius: .5rem;
  background: var(--accent); color: var(--ground) !important; }
a.skip:focus { top: 1rem; }
[data-testid="stBaseButton-primary"] *, [data-testid="stMultiSelect"] span[title] { color: var(--ground) !important; }
[data-testid="stCaptionContainer"] code, [data-testid="stMarkdownContainer"] code { color: inherit !important; }
:has(> .st-key-title_stays) { position: sticky; top: 0; z-index: 100; background: var(--ground); padding: .2rem 0; }
[data-testid="stHorizontalBlock"] > [data-testid="stLayoutWrapper"]:has(> * > .st-key-link_box) { flex: 0 0 auto; width: auto; }
[class*="st-key-cell_"] { position: relative; }
[class*="st-key-cell_"] [class*="st-key-open_"] { position: absolute; top: 0; left: 0; width: 92px; height: 92px; z-index: 1; }
[class*="st-key-cell_"] [class*="st-key-open_"] * { width: 100%; height: 100%; color: transparent !important; }
.st-key-lesson { padding: .6rem .9rem; }
.st-key-lesson p { margin: 0; }
[data-testid="stElementContainer"]:has(.skip) { position: absolute; }
:has(> [data-testid="stSidebar"]) { reading-flow: source-order; }
:has(> [data-testid="stMain"]) { reading-order: -1; }
[data-testid="stMetric"] *, [data-testid="stPageLink-NavLink"] *, [data-testid^="stBaseButton"] *,
[data-testid="stFileUploaderDropzoneInstructions"] * {
  white-space: normal !important; overflow: visible !important; text-overflow: clip !important;
}
[data-testid="stBaseButton-tertiary"], [data-testid="stBaseButton-tertiary"] * { text-align: left; justify-content: flex-start; }
[data-testid="stButtonGroup"] > div { flex-wrap: wrap; overflow: visible; }
@media (max-width: 1000px) {
  [data-testid="stHorizontalBlock"] { flex-wrap: wrap; }
  [data-testid="stColumn"] { min-width: min(100%, 11rem); flex: 1 1 11rem; }
  [data-testid="stColumn"]:has([data-testid="stPlotlyChart"], [data-testid="stImage"], [data-testid="stButtonGroup"]) {
    min-width: 100%;
  }
}
</style>"""
NO_BAR = {"displayModeBar": False}  # the configuration of a chart that is looked at, not worked with


def lay_out() -> None:
    """Draw what gives every page its look; call once a run, before anything else."""
    theme = light_or_dark()
    ground, accent = (st.get_option(f"theme.{theme}.{name}Color") for name in ("background", "primary"))
    st.html(f"{LAYOUT}<style>:root {{ --ground: {ground}; --accent: {accent}; }}</style>")


def light_or_dark() -> str:
    """The theme that the visitor sees the page in: "light" or "dark"."""
    return "dark" if getattr(st.context.theme, "type", None) == "dark" else "light"
