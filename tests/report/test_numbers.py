"""How numbers are written, case by case."""

from __future__ import annotations

import math

import pytest

from imu_core.report import numbers


@pytest.mark.parametrize(
    ("written", "words"),
    [
        (numbers.percent(0.9981), "99.8 %"),
        (numbers.percent(0.021, 0), "2 %"),
        (numbers.decimal(-1.5, 2), "−1.50"),
        (numbers.decimal(math.nan, 3), "—"),
        (numbers.decimal(0.25, 1, plus=True), "+0.2"),
        (numbers.signed(-0.04), "±0.0"),
        (numbers.signed(-0.06), "−0.1"),
        (numbers.signed(1.234, 2), "+1.23"),
        (numbers.change(0.9, 0.914), "−1.4"),
        (numbers.signed_interval(1.2, math.nan), "+1.2"),
        (numbers.signed_interval(-1.2, 0.31), "−1.2 ± 0.3"),
        (numbers.interval(98.14, None), "98.1"),
        (numbers.interval(98.14, 0.4), "98.1 ± 0.4"),
        (numbers.between(1.01, 1.02), "1.0"),
        (numbers.between(1.01, 2.0), "1.0 to 2.0"),
        (numbers.duration(0.2), "1 s"),
        (numbers.duration(600), "10 min"),
        (numbers.duration(9000), "2.5 h"),
        (numbers.phase_words({"steps": 0.3, "prepare": 1.0}), "steps 0.30 s, prepare 1.00 s"),
        (numbers.mebibytes(3 * 2**30), "3,072 MiB"),
        (numbers.gibibytes(3 * 2**29, 1), "1.5 GiB"),
        (numbers.in_unit(0.5, "%"), "50.0 %"),
        (numbers.in_unit(0.5, "nats"), "0.500"),
        (numbers.power_of_ten(-3), "10<sup>−3</sup>"),
    ],
)
def test_a_number_is_written_as_everywhere(written: str, words: str) -> None:
    assert written == words
