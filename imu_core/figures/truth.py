"""What was foretold against what leaving a sample out really did, a mark a sample."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from imu_core.figures import FORGET, GREY, HEIGHT, INK, base
from imu_core.influence.queries import Without


def against(predicted: np.ndarray, real: np.ndarray, ids: np.ndarray, estimator: str, theme: str = "light") -> go.Figure:
    """Change of the mean loss that `estimator` foretold (right) against the real one (up), nats; on the line it was right."""
    ends = [float(min(predicted.min(), real.min())), float(max(predicted.max(), real.max()))]
    line = {"dash": "dot", "color": INK[theme]}
    figure = go.Figure(go.Scatter(x=ends, y=ends, mode="lines", line=line, hoverinfo="skip", showlegend=False))
    figure.add_trace(
        go.Scatter(
            x=predicted,
            y=real,
            customdata=ids,
            mode="markers",
            marker={"color": FORGET, "size": 6, "opacity": 0.55},
            hovertemplate="sample %{customdata}: foretold %{x:.3g}, really %{y:.3g}<extra></extra>",
            showlegend=False,
        )
    )
    figure.update_xaxes(title=f"Foretold by {estimator}, nats", zeroline=True, exponentformat="power")
    figure.update_yaxes(title="Really, nats", zeroline=True, exponentformat="power")
    return base(figure, HEIGHT)


def without(found: Without, answer: str, theme: str = "light") -> go.Figure:
    """Probability of the answer, percent, by how many samples are gone: the most helpful, and random ones of the same classes."""
    figure = go.Figure()
    lines = ((found.helpful, "the most helpful", FORGET, "solid"), (found.random, "random, same classes", INK[theme], "dot"))
    for values, name, colour, dash in lines:
        figure.add_trace(
            go.Scatter(
                x=list(found.removed),
                y=(100 * values).tolist(),
                name=name,
                mode="lines+markers",
                line={"color": colour, "dash": dash},
                hovertemplate="%{x} gone: %{y:.1f} %<extra></extra>",
            )
        )
    figure.add_hline(y=100 * found.before, line={"color": GREY, "width": 1})
    figure.update_xaxes(title="Training samples taken away", type="log", tickvals=list(found.removed))
    figure.update_yaxes(title=f"Probability of {answer}, %", range=[0, 102])
    return base(figure, HEIGHT)
