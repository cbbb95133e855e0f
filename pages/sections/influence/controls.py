"""The three choices of the page Influence."""

from __future__ import annotations

import streamlit as st

from imu_core.glossary import help_text
from imu_core.settings import INFLUENCE
from pages.widgets import bound


def controls() -> tuple[str, float, str]:
    """Draw the three choices and return (estimator, damping, ψ). Each changes ranks or weights at once, and is in the link."""
    one, two, three = st.columns([5, 3, 4], gap="large")
    with one:
        estimator = _segmented("estimator")
    with two:
        damping = INFLUENCE["damping"]
        chosen = bound.select_slider(
            damping.label,
            damping.offered,
            damping.ends,
            damping.default,
            key="damping",
            format_func="{:g}".format,
            help=help_text("damping"),
        )
    with three:
        psi = _segmented("psi")
    return estimator, chosen, psi


def _segmented(name: str) -> str:
    """What is chosen for the setting `name`; its default where an empty parameter in a link empties the widget."""
    s = INFLUENCE[name]
    more = {"required": True, "wrap": True, "help": help_text(name)}
    return bound.segmented_control(s.label, s.choices, default=s.default, key=name, **more) or s.default
