"""Which runs the table shows, and the depth of forgetting at which it compares them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st

from imu_core.glossary import help_text
from imu_core.problems.reference import Reference
from pages.widgets import bound

if TYPE_CHECKING:
    from pages.sections.compare.compared import Compared

DEPTHS = ("deepest that all reach", "0 %", "retrained model's", "a value")
HELP = {"compare_methods": "method", "compare_scopes": "scope"}


def controls(items: list[Compared], reference: Reference | None) -> tuple[list[Compared], float]:
    """Draw the filters and the depth. Returns the runs that pass, and the forget accuracy (0 to 1) at which they are compared."""
    methods = list(dict.fromkeys(item.trajectory.config.method for item in items))
    scopes = list(dict.fromkeys(item.trajectory.config.scope for item in items))
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        options = [name for name in DEPTHS if reference or name != DEPTHS[2]]
        kind = bound.segmented_control(
            "Compare at forget accuracy", options, default=options[0], key="depth", required=True,
            help=help_text("depth"),
        )  # fmt: skip
        value = None
        if kind == DEPTHS[3]:
            value = bound.number_input("Value, %", 0.0, 100.0, 5.0, 0.5, "%.1f", key="depth_value", width=150)
        picked, wide = _filter("Methods shown", methods, "compare_methods"), _filter("Scopes shown", scopes, "compare_scopes")
    chosen = [
        item
        for item in items
        if item.trajectory.config.method in (picked or methods) and item.trajectory.config.scope in (wide or scopes)
    ]
    return chosen, _depth(kind or DEPTHS[0], value, chosen, reference)


def _filter(label: str, options: list[str], key: str) -> list[str]:
    """Some of `options`, or all of them while none is picked; nothing to pick where there is one only."""
    if len(options) < 2:
        return []
    return bound.multiselect(label, options, key=key, placeholder="all", width=240, help=help_text(HELP[key]))


def _depth(kind: str, value: float | None, items: Sequence[Compared], reference: Reference | None) -> float:
    if kind == DEPTHS[2] and reference:
        return reference.accuracies["forget"]
    if kind == DEPTHS[3]:
        return (5.0 if value is None else value) / 100
    ended = [item for item in items if item.trajectory.outcome.state == "done"] or items
    return (
        max((min(p.accuracies["forget"] for p in i.trajectory.points) for i in ended), default=0.0) if kind == DEPTHS[0] else 0.0
    )
