"""What a visitor has done on the pages, as far as the lesson asks for it, with the numbers that were to be seen then."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st


def note(deed: str, **numbers: str) -> None:
    """Note that the visitor has done `deed`, and with which `numbers`, as they are written; the newest stay."""
    st.session_state.setdefault("deeds", {})[deed] = numbers


def of(deed: str) -> Mapping[str, str] | None:
    """The numbers of `deed`; None where it was not done."""
    return st.session_state.get("deeds", {}).get(deed)
