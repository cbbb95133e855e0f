"""The requests that came before this one, as the link carries them."""

from __future__ import annotations

import json
from typing import Any

import streamlit as st

from imu_core.errors import ConfigError


def read() -> list[tuple[str, dict[str, Any]]]:
    """The earlier requests in the link; a ConfigError where they are damaged."""
    try:
        found = json.loads(st.session_state.get("after") or "[]")
        return [(str(request), dict(settings)) for request, settings in found]
    except (ValueError, TypeError, RecursionError) as error:
        raise ConfigError(
            "The list of earlier requests in the link is damaged. Press “Back to the original model” in the sidebar."
        ) from error
