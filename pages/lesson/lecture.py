"""A lecturer's link: `hide` takes controls off the page by name, `present=1` makes it fit for a projector."""

from __future__ import annotations

import re

import streamlit as st

from pages.session import links
from pages.widgets.text import plain

NAME = re.compile(r"[a-z][a-z_]{0,30}")
MOST = 30  # names in a link
PRESENT = """<style>
[data-testid="stSidebar"], [data-testid="stExpandSidebarButton"], [data-testid="stHeader"] { display: none; }
[data-testid="stMainBlockContainer"] { padding: 1.2rem 2rem; max-width: none; zoom: 1.25; }
</style>"""


def lay_out() -> None:
    """Hide what the link hides, on every page from here on, and write large where it says so."""
    names = _hidden()
    present = _present()
    rules = "".join(f".st-key-{name} {{ display: none; }}" for name in names)
    if rules or present:
        st.html((f"<style>{rules}</style>" if rules else "") + (PRESENT if present else ""))


def _hidden() -> list[str]:
    asked = links.take("hide")
    if asked is not None:
        given = [name.strip() for word in asked for name in word.split(",") if name.strip()][:MOST]
        st.session_state.hide = [name for name in given if NAME.fullmatch(name)]
        if wrong := [name for name in given if not NAME.fullmatch(name)]:
            links.tell(f"**hide={plain(links.short(wrong[0]))}** cannot be had. Allowed: names of controls as links have them.")
    names = st.session_state.get("hide", [])
    links.show("hide", [",".join(names)] if names else [])
    return names


def _present() -> bool:
    asked = links.take("present")
    if asked is not None:
        if asked[-1] in ("0", "1"):
            st.session_state.present = asked[-1] == "1"
        else:
            links.tell(f"**present={plain(links.short(asked[-1]))}** cannot be had. Allowed: 0 or 1.")
    is_on = bool(st.session_state.get("present"))
    links.show("present", ["1"] if is_on else [])
    return is_on
