"""How numbers are written, everywhere: on pages, by commands, in charts and in files. Fractions go in, percent comes out."""

from __future__ import annotations

import math

MINUS = "−"  # the sign; a hyphen is shorter than a plus and breaks at line ends


def decimal(value: float, digits: int, plus: bool = False) -> str:
    """`value` with so many digits after the point and a real minus sign: '−1.50'; '—' for nan; with `plus`, '+1.50'."""
    if math.isnan(value):
        return "—"
    return f"{value:{'+' if plus else ''}.{digits}f}".replace("-", MINUS)


def percent(fraction: float, digits: int = 1) -> str:
    """0.9981 → '99.8 %'."""
    return f"{100 * fraction:.{digits}f} %"


def in_unit(value: float, unit: str) -> str:
    """A metric: a fraction as percent where its `unit` is "%", else three digits after the point."""
    return percent(value) if unit == "%" else f"{value:.3f}"


def points(fraction: float) -> str:
    """A distance between two fractions: 0.045 → '4.5 points'."""
    return f"{100 * fraction:.1f} points"


def tenths(fraction: float) -> int:
    """`fraction` as it is printed, in tenths of a point: 0.98764 → 988."""
    return round(1000 * fraction)


def apart(one: float, other: float) -> str:
    """How far two fractions are apart as they are printed: '4.5 points'."""
    return f"{abs(tenths(one) - tenths(other)) / 10:.1f} points"


def signed(points: float, digits: int = 1) -> str:
    """A change in points, with its sign: '+1.4', '−0.2', '±0.0'."""
    rounded = round(points, digits)
    return f"±{0:.{digits}f}" if rounded == 0 else f"{MINUS if rounded < 0 else '+'}{abs(rounded):.{digits}f}"


def change(fraction: float, other: float = 0.0) -> str:
    """The change from `other` to `fraction` in points, both as they are printed: '+1.4', '−0.2', '±0.0'."""
    return signed((tenths(fraction) - tenths(other)) / 10)


def signed_interval(mean: float, half: float, digits: int = 1) -> str:
    """A change in points with half its interval: '−1.2 ± 0.3'; without one where `half` is nan."""
    return signed(mean, digits) + ("" if math.isnan(half) else f" ± {half:.{digits}f}")


def interval(mean: float, half: float | None, digits: int = 1) -> str:
    """A mean with half its interval: '98.1 ± 0.4'; the mean alone where `half` is None or nan."""
    return f"{mean:.{digits}f}" + ("" if half is None or math.isnan(half) else f" ± {half:.{digits}f}")


def between(low: float, high: float, digits: int = 1) -> str:
    """'1.0 to 2.5', or '1.0' where both are printed alike."""
    first, last = f"{low:.{digits}f}", f"{high:.{digits}f}"
    return first if first == last else f"{first} to {last}"


def seconds(value: float, digits: int = 2) -> str:
    """'0.42 s'."""
    return f"{value:.{digits}f} s"


def duration(value: float) -> str:
    """A length of time in the unit that suits it: '45 s', '12 min', '2.5 h'."""
    return seconds(max(1, value), 0) if value < 90 else f"{value / 60:.0f} min" if value < 5400 else f"{value / 3600:.1f} h"


def phase_words(values: dict[str, float], digits: int = 2) -> str:
    """How long each part of a run took: 'prepare 0.01 s, steps 0.30 s'."""
    return ", ".join(f"{name} {seconds(value, digits)}" for name, value in values.items())


def mebibytes(count: float) -> str:
    """'1,024 MiB'."""
    return f"{count / 2**20:,.0f} MiB"


def gibibytes(count: float, digits: int = 0) -> str:
    """'4 GiB'."""
    return f"{count / 2**30:.{digits}f} GiB"


def megabytes(count: float) -> str:
    """Bytes in millions, without a unit, for a column that names it: '12'."""
    return f"{count / 1e6:.0f}"


def power_of_ten(exponent: int) -> str:
    """A power of ten for a chart: '10<sup>−3</sup>'."""
    return f"10<sup>{exponent}</sup>".replace("-", MINUS)
