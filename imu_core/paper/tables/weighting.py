"""Tables 3, 5, 7 and 8: what the weights of IMU are made of. Each row changes one thing, all on the head."""

from __future__ import annotations

import dataclasses

from imu_core.paper.experiment import CLASSES, CONTROLS, GA, IMU, PERMUTED, WIDE_GA, Claim, Experiment, Line, control_of

_FRACTIONS = (1.0, 0.8, 0.6, 0.4, 0.2, 0.05)


def _top(fraction: float) -> Line:
    settings = (("top", fraction),) if fraction < 1.0 else ()
    return Line(f"top-{fraction:.2f}", f"IMU, r = {fraction:.2f}", "imu", settings=settings, paper=f"{fraction:.2f}")


_TOPS = tuple(_top(fraction) for fraction in _FRACTIONS)
TABLE3 = Experiment(
    "table3",
    CLASSES,
    (*_TOPS, GA, *(control_of(line) for line in _TOPS)),
    (Claim("test", ("0.05", "1.00"), ("top-0.05", "top-1.00")), Claim("test", ("0.20", "1.00"), ("top-0.20", "top-1.00"))),
    "A permuted row uses as many samples with the same weights, drawn without regard to their influence.",
)

_PSIS = {"none": "identity", "sqrt": "sqrt", "softmax": "softmax", "tanh": "tanh"}


def _psi(name: str, ours: str) -> Line:
    settings = (("psi", ours),) if ours != "sqrt" else ()
    return Line(f"psi-{ours}", f"IMU, ψ = {ours}", "imu", settings=settings, paper=name)


_PSI_LINES = tuple(_psi(name, ours) for name, ours in _PSIS.items())
TABLE5 = Experiment(
    "table5",
    CLASSES,
    (*_PSI_LINES, GA, *(control_of(line) for line in _PSI_LINES)),
    tuple(Claim("test", ("sqrt", name), ("psi-sqrt", f"psi-{ours}")) for name, ours in _PSIS.items() if name != "sqrt"),
    "The paper's four rows end at different depths (2.1 to 3.2 % forget accuracy); here all stop at the same one.",
)

TABLE7 = Experiment(
    "table7",
    CLASSES,
    (
        dataclasses.replace(IMU, title="IMU, influence", paper="influence value"),
        Line("imu-loss", "IMU, sample loss instead", "imu", settings=(("control", "loss"),), paper="sample loss"),
        Line(
            "imu-gradient_norm",
            "IMU, gradient norm instead",
            "imu",
            settings=(("control", "gradient_norm"),),
            paper="gradient norm",
        ),
        dataclasses.replace(WIDE_GA, paper="none (GA)"),
        *CONTROLS,
    ),
    (
        Claim("test", ("influence value", "sample loss"), ("imu", "imu-loss")),
        Claim("test", ("influence value", "gradient norm"), ("imu", "imu-gradient_norm")),
        Claim("test", ("influence value", "none (GA)"), ("imu", "ga@all"), ("imu", "ga")),
    ),
    "The paper's GA row is that of its Table 1, where GA moves all layers; GA on the head is the same-scope control.",
)

_FULL = Line(
    "imu-train",
    "IMU, H over the training set",
    "imu",
    settings=(("hessian", "train"),),
    paper="H over the training set",
)
TABLE8 = Experiment(
    "table8",
    CLASSES,
    (
        dataclasses.replace(IMU, title="IMU, H over the forget set", paper="H over the forget set"),
        _FULL,
        GA,
        PERMUTED,
        control_of(_FULL),
    ),
    (Claim("test", ("H over the training set", "H over the forget set"), ("imu-train", "imu")),),
    "The curvature alone changes; the query is the forget set in both.",
)
