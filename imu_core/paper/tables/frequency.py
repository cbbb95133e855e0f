"""Tables 4 and 9: how often the scores are computed anew, for whole classes and for random samples; all on the head."""

from __future__ import annotations

import dataclasses

from imu_core.paper.experiment import CLASSES, CONTROLS, RANDOM, Claim, Experiment, Line

_EPOCHS = 5  # of the paper
_SLOW = "Steps are so short that a run lasts several epochs, as in the paper, and the scores can change."
_TITLES = {0: "once", 1: "every epoch", 2: "every two epochs", "iteration": "every step (Algorithm 1)"}


def _often(every: int | str) -> Line:
    settings = (("update_every", every),) if every else ()
    paper = str(every) if every != "iteration" else ""
    line = Line(f"nu-{every}", f"IMU, scores {_TITLES[every]}", "imu", settings=settings, paper=paper, epochs=_EPOCHS)
    return line if paper else dataclasses.replace(line, role="same scope")


_LINES = tuple(_often(every) for every in _TITLES)
_CONTROLS = tuple(dataclasses.replace(line, epochs=_EPOCHS) for line in CONTROLS)
_CLAIMS = (Claim("test", ("1", "0"), ("nu-1", "nu-0")), Claim("test", ("2", "0"), ("nu-2", "nu-0")))
TABLE4 = Experiment(
    "table4",
    CLASSES,
    (*_LINES, *_CONTROLS),
    _CLAIMS,
    f"{_SLOW} Scores cost milliseconds: features of the frozen part are kept.",
)
TABLE9 = Experiment(
    "table9",
    RANDOM,
    (*_LINES, *_CONTROLS),
    _CLAIMS,
    f"{_SLOW} Runs stop where the forget set is recognised as often as the test images.",
)
