"""The check of a brought model: its accuracy class by class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from imu_core.figures import INK, RETAIN, base

_NAMED = 30  # classes whose names still fit below their bars


def per_class(names: Sequence[str], accuracies: np.ndarray, mean: float, chance: float, theme: str = "light") -> go.Figure:
    """Test accuracy (fractions) of each class as bars, with lines at the mean and at chance; in percent."""
    figure = go.Figure(
        go.Bar(
            x=list(range(len(names))),
            y=100 * accuracies,
            customdata=list(names),
            hovertemplate="%{customdata}: %{y:.1f} %<extra></extra>",
            marker={"color": RETAIN},
        )
    )
    for value, words, dash in ((mean, "all", "dash"), (chance, "chance", "dot")):
        line = {"color": INK[theme], "dash": dash, "width": 1}
        figure.add_hline(y=100 * value, line=line, annotation={"text": words, "yanchor": "bottom"}, annotation_position="right")
    few = len(names) <= _NAMED
    figure.update_xaxes(tickvals=list(range(len(names))) if few else None, ticktext=list(names) if few else None)
    figure.update_xaxes(title=None if few else "Class number")
    figure.update_yaxes(title="Test accuracy, %", range=[0, 104])
    return base(figure, 300).update_layout(showlegend=False, margin={"r": 52})
