"""What was foretold against what leaving a sample out really did, a mark a sample."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from imu_core.figures import FORGET, HEIGHT, INK, base


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
