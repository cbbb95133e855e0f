"""Whole addresses of this app's pages: they can be pasted in a mail, from whatever host and base path the app is served."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import streamlit as st

from pages.session import links


def root() -> str:
    """Scheme, host and base path as the visitor's browser knows them, without a slash at the end; "" where these are unknown."""
    here = (st.context.url or "").rstrip("/")
    return here.removesuffix(links.visit().page).rstrip("/")


def address(page: str, query: Mapping[str, Any]) -> str:
    """The whole address of `page` with the parameters `query`; a list is a parameter with several values."""
    return f"{root()}/{page}" + (f"?{urlencode(query, doseq=True)}" if query else "")
