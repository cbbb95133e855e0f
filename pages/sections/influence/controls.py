"""The three choices of the page Influence."""

from __future__ import annotations

import streamlit as st

from imu_core.glossary import help_text
from imu_core.influence import ESTIMATORS
from imu_core.records import RANGES
from imu_core.weights import PSI
from pages.widgets import bound

DAMPINGS = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0]


def controls() -> tuple[str, float, str]:
    """Estimator, damping and ψ; each moves the ranks or the weights at once, and each is in the link."""
    common = {"required": True, "wrap": True}
    one, two, three = st.columns([5, 3, 4], gap="large")
    with one:
        estimator = bound.segmented_control(
            "Estimator", list(ESTIMATORS), default="diagonal", key="estimator", help=help_text("estimator"), **common
        )
    with two:
        damping = bound.select_slider(
            "Damping λ",
            DAMPINGS,
            RANGES["damping"],
            1e-2,
            key="damping",
            format_func="{:g}".format,
            help=help_text("damping"),
        )
    with three:
        psi = bound.segmented_control(
            "ψ, score to weight", list(PSI), default="sqrt", key="psi", help=help_text("psi"), **common
        )
    return estimator or "diagonal", damping, psi or "sqrt"  # an empty parameter in a link empties the widget
