"""The settings of an influence estimate, and of the weights that are made of its scores."""

from __future__ import annotations

import math

from imu_core.settings.setting import Setting, table

ESTIMATORS = ("diagonal", "diagonal_ggn", "exact", "kfac", "ekfac", "gradient", "dual")
PSIS = ("sqrt", "identity", "tanh", "softmax")
CONTROLS = ("uniform", "permuted", "random", "loss", "gradient_norm")

INFLUENCE = table(
    Setting(
        "estimator",
        "Estimator",
        "diagonal",
        "How the inverse curvature in the influence score is computed or approximated.",
        choices=ESTIMATORS,
    ),
    Setting(
        "damping",
        "Damping λ",
        1e-2,
        "A constant added to the curvature before dividing by it; large values turn influence into gradient similarity.",
        0.0,
        1e6,
        step=0.01,
        form="%.6f",
        offered=(1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0),
    ),
    Setting(
        "psi",
        "ψ, score to weight",
        "sqrt",
        "The function that turns positive scores into weights: sqrt, identity, tanh or softmax.",
        choices=PSIS,
    ),
    Setting(
        "top",
        "Top share kept",
        1.0,
        "Share of the positively scored samples that keep a weight, highest scores first; 1 keeps all.",
        0.0,
        1.0,
        above=True,
        step=0.05,
        form="%.2f",
    ),
    Setting(
        "clip_quantile",
        "Clip at quantile",
        None,
        "Cuts weights off at this quantile of the kept ones, so that single samples cannot dominate; empty means no clipping.",
        0.0,
        1.0,
        optional=True,
        step=0.01,
        form="%.2f",
        empty="off",
    ),
    Setting(
        "control",
        "Control",
        None,
        "Weights put in place of IMU's own, everything else unchanged, to see what the influence contributed.",
        choices=CONTROLS,
        optional=True,
    ),
    Setting(
        "curvature",
        "Curvature from",
        None,
        "So many forget samples give the curvature of scopes wider than the head; all, unless given.",
        1,
        math.inf,
        whole=True,
        optional=True,
    ),
    Setting("total", "Training samples", None, "The N that scores are divided by.", 1, math.inf, optional=True),
    Setting(
        "rtol", "Tolerance", 1e-8, "How small the residual of the exact solve must be, relative to the gradient.", 0, math.inf
    ),
)
