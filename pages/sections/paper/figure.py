"""One figure of the paper: our data drawn, what they say beside the paper's words, and for Figure 1 the samples themselves."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import streamlit as st

from imu_core import data
from imu_core.errors import ImuError
from imu_core.figures import paper as charts
from imu_core.paper.published import FIGURES
from imu_core.paper.readable import told
from imu_core.paper.shapes import Figure
from pages.widgets import pictures
from pages.widgets.text import plain
from pages.widgets.theme import NO_BAR, light_or_dark

KINDS = {"classes": "One class", "random": "10 % random samples"}


def section(name: str, by_kind: Figure | None, dataset: str) -> None:
    """Draw the figure `name`; `by_kind` is our data for each kind of forget set, None where nobody has made the figure."""
    figure = FIGURES[name]
    st.subheader(figure.title, anchor=False)
    st.markdown(f"The paper ({figure.where}): {figure.says}.")
    if not by_kind:
        st.info("This figure has not been made yet. The command below makes it.")
        return
    st.markdown("\n".join(f"- {plain(text)}" for text in told(name, by_kind)))
    chart, alt, caption = DRAWN[name](by_kind)
    st.plotly_chart(chart, key=f"paper_{name}", config=NO_BAR, alt=alt)
    st.caption(plain(caption))
    if name == "figure1":
        _pictures(by_kind, dataset)


def _titles(by_kind: Figure) -> dict[str, str]:
    return {kind: f"{KINDS.get(kind, kind)}: {part['request']}" for kind, part in by_kind.items()}


def _influence(by_kind: Figure) -> tuple[Any, str, str]:
    points = {kind: part["points"] for kind, part in by_kind.items()}
    caption = "Each dot is a sample of the forget set. N·s on the head; above 0 its removal would raise the loss of the set."
    chart = charts.influence(points, _titles(by_kind), light_or_dark())
    return chart, "Influence of forget samples in ascending order", caption


def _epochs(by_kind: Figure) -> tuple[Any, str, str]:
    name = {"classes": "even", "random": "positive"}
    lines = {kind: part["lines"] for kind, part in by_kind.items()}
    shares = {kind: {who: told[name[kind]] for who, told in part["numbers"].items()} for kind, part in by_kind.items()}
    caption = (
        "Above: 15 samples drawn from the forget set, scores after each epoch of IMU; the paper plots −N·s. Below, over all "
        "samples and forget sets, with 95 % intervals: one class, how even the weights are (100 % = all equal); random samples, "
        "the share with a positive score. GA has no weights: it is the control, scored the same way."
    )
    return charts.epochs(lines, shares, _titles(by_kind), light_or_dark()), "Influence of samples by epoch", caption


def _ranks(by_kind: Figure) -> tuple[Any, str, str]:
    part = next(iter(by_kind.values()))
    chart = charts.ranks([p[1] for p in part["points"]], [p[2] for p in part["points"]], light_or_dark())
    return (
        chart,
        "Scores through the whole model against scores by the head",
        f"Each dot is a sample of {part['request']}.",
    )


DRAWN = {"figure1": _influence, "figure2": _ranks, "figure6": _epochs}


def _pictures(by_kind: Figure, dataset: str) -> None:
    """The samples with the largest and the smallest scores, where the images are on this machine."""
    try:
        loaded = data.load(dataset) if data.is_here(dataset) else None
    except ImuError:
        loaded = None
    if loaded is None:
        st.caption(f"The images of {dataset} are not on this machine, so its samples cannot be shown.")
        return
    shown = SimpleNamespace(dataset=loaded, train=loaded.train)
    for kind, part in by_kind.items():
        for which in ("largest", "smallest"):
            st.caption(f"{KINDS.get(kind, kind)}: the {which} influence")
            ids = part["extremes"][which]
            pictures.strip(shown, ids, [loaded.class_names[int(loaded.train.labels[i])] for i in ids], label=f"{kind}, {which}")
