"""What the IMU paper prints, as data: its Tables 1 and 3 to 10, and what it says in words about its Figures 1, 2 and 6.

Transcribed from arXiv 2508.01620, version 3 (14 April 2026), whose HTML edition has sections and no page numbers; `where` names
the section. These are the authors' results, never ours. Accuracies are in percent, as printed; what stands behind ± there is not
explained (taken for a standard deviation over `runs` classes or seeds, which is what repeated runs are usually given with).
"""

from __future__ import annotations

from dataclasses import dataclass, field

SOURCE = "arXiv 2508.01620, version 3"


@dataclass(frozen=True)
class Value:
    """A printed number and what stands behind its ± (None where nothing does), in the units of the paper."""

    mean: float
    spread: float | None = None


@dataclass(frozen=True)
class Column:
    """A measured column: its heading, unit, direction (higher | lower | ""), and the `factor` from our numbers to its unit."""

    title: str
    unit: str
    better: str
    factor: float = 100.0
    decimals: int = 2


COLUMNS: dict[str, Column] = {
    "forget": Column("Forget accuracy", "%", "lower"),
    "retain": Column("Retain accuracy", "%", "higher"),
    "test": Column("Test accuracy", "%", "higher"),
    "membership": Column("Judged never seen (MIA)", "fraction", "higher", 1.0),
    "w_dist": Column("W_dist", "class numbers", "lower", 1.0),
    "seconds": Column("Run time", "s", "lower", 1.0, 1),
}


@dataclass(frozen=True)
class Table:
    """A printed table: its number, caption in our words, section, the runs behind a figure, and row → column → value."""

    number: int
    title: str
    where: str
    runs: int | None
    rows: dict[str, dict[str, Value]] = field(hash=False)
    part: str = ""


def _rows(columns: str, text: str) -> dict[str, dict[str, Value]]:
    """Rows from lines "name: a±b c±d …" in the order of `columns`; a dash where the paper prints nothing."""
    names, rows = columns.split(), {}
    for line in filter(None, (part.strip() for part in text.strip().splitlines())):
        name, _, body = line.partition(":")
        cells = body.split()
        rows[name.strip()] = {key: _value(cell) for key, cell in zip(names, cells, strict=True) if cell != "–"}
    return rows


def _value(cell: str) -> Value:
    mean, _, spread = cell.partition("±")
    return Value(float(mean), float(spread) if spread else None)


_MAIN = "forget retain test membership w_dist seconds"

TABLES: dict[str, Table] = {
    "table1": Table(
        1,
        "One class of CIFAR-10 is forgotten; means over the ten classes",
        "section 4.2",
        10,
        _rows(
            _MAIN,
            """
            original: 99.71±0.00 99.45±0.00 94.43±0.00 0.01±0.00 – –
            retrained: 0.00±0.00 99.98±0.00 94.41±0.35 1.00±0.00 0.00±0.00 –
            IU: 7.56±1.43 96.04±0.95 90.24±0.91 0.96±0.03 0.15±0.07 55±1
            GA: 0.48±0.10 75.89±6.28 72.43±5.83 0.99±0.00 3.59±0.39 29±0
            RL: 0.71±0.42 79.01±13.25 73.33±12.25 0.99±0.00 4.04±0.61 25±5
            SCAR: 0.50±1.03 85.78±4.15 80.99±4.07 1.00±0.00 4.80±0.62 325±11
            NPO: 0.20±0.28 91.63±7.23 85.84±6.66 1.00±0.00 0.24±0.03 39±2
            IMU: 0.18±0.27 98.93±0.30 93.38±1.06 1.00±0.00 0.07±0.02 58±0
            """,
        ),
        "cifar10",
    ),
    "table1-subclasses": Table(
        1,
        "One subclass of CIFAR-100 is forgotten; means over the 20 superclasses",
        "section 4.2",
        20,
        _rows(
            _MAIN,
            """
            original: 99.89±0.19 99.99±0.02 76.63±5.47 0.01±0.00 – –
            retrained: 0.00±0.00 99.53±2.79 74.05±8.95 1.00±0.00 0.00±0.00 –
            IU: 0.00±0.00 69.29±4.00 61.85±5.18 1.00±0.00 4.82±2.00 19±2
            GA: 0.00±0.00 68.29±5.27 40.89±8.61 1.00±0.00 5.22±0.14 9±0
            RL: 0.00±0.00 73.87±8.81 42.80±7.68 1.00±0.00 7.73±0.81 22±3
            SSD: 0.00±0.00 77.37±9.93 46.85±2.90 1.00±0.00 3.15±1.27 10±0
            SCAR: 0.00±0.00 77.79±1.28 60.00±1.48 1.00±0.00 7.13±1.51 68±0
            NPO: 0.00±0.00 90.47±3.15 55.80±7.55 1.00±0.00 5.35±1.10 25±3
            IMU: 0.00±0.00 98.06±1.35 63.75±7.85 1.00±0.00 2.09±0.37 14±0
            """,
        ),
        "cifar100, across superclasses",
    ),
    "table1-one-superclass": Table(
        1,
        "One subclass of CIFAR-100 is forgotten; means over the five subclasses of one superclass",
        "section 4.2",
        5,
        _rows(
            _MAIN,
            """
            original: 100.00±0.00 100.00±0.00 77.80±2.98 0.00±0.00 – –
            retrained: 0.00±0.00 99.33±1.16 76.49±2.53 1.00±0.00 0.00±0.00 –
            IU: 0.00±0.00 60.58±4.89 54.50±5.31 1.00±0.00 5.80±0.08 18±0
            GA: 0.00±0.00 75.56±9.46 49.50±6.16 1.00±0.00 7.54±1.29 9±0
            RL: 0.00±0.00 76.49±11.51 47.69±4.54 1.00±0.00 7.57±0.07 19±2
            SSD: 0.00±0.00 83.07±1.13 52.20±1.32 1.00±0.00 4.81±0.50 10±0
            SCAR: 0.00±0.00 78.72±4.80 56.55±5.31 1.00±0.00 5.88±0.25 67±0
            NPO: 0.00±0.00 90.22±4.57 58.90±6.34 1.00±0.00 5.61±0.25 26±2
            IMU: 0.00±0.00 98.61±0.85 67.60±3.44 1.00±0.00 3.69±0.16 14±0
            """,
        ),
        "cifar100, within one superclass",
    ),
    "table3": Table(
        3,
        "Only the top fraction r of the scores is used",
        "section 4.3",
        10,
        _rows(
            "forget retain test membership seconds",
            """
            1.00: 0.02±0.03 97.93±0.84 91.22±0.77 1.00±0.00 56±0
            0.80: 0.18±0.32 97.89±0.80 91.19±0.58 1.00±0.00 54±0
            0.60: 0.04±0.08 97.94±0.86 91.32±0.62 1.00±0.00 53±0
            0.40: 0.03±0.05 98.00±0.71 91.14±0.83 1.00±0.00 51±0
            0.20: 0.00±0.00 98.62±0.70 91.98±0.53 1.00±0.00 50±0
            0.05: 0.00±0.00 99.79±0.19 93.78±0.24 1.00±0.00 48±0
            """,
        ),
    ),
    "table4": Table(
        4,
        "How often the scores are computed anew (ν), one class forgotten",
        "section 4.3",
        10,
        _rows(
            "forget retain test membership seconds",
            """
            0: 0.02±0.02 97.75±0.70 91.86±0.53 1.00±0.00 56±0
            1: 0.00±0.00 97.65±0.73 91.71±0.54 1.00±0.00 231±1
            2: 0.00±0.00 97.72±0.73 91.82±0.58 1.00±0.00 175±3
            """,
        ),
    ),
    "table5": Table(
        5,
        "What is done to the scores before they become weights (ψ)",
        "section B.2",
        None,
        _rows(
            "forget retain test w_dist",
            """
            none: 3.18 98.50 92.80 0.09
            sqrt: 2.13 98.59 92.85 0.09
            softmax: 2.97 98.48 92.72 0.09
            tanh: 2.36 98.59 92.86 0.09
            """,
        ),
    ),
    "table6": Table(
        6,
        "Which layers may move",
        "section B.2",
        None,
        _rows(
            "forget retain test w_dist seconds",
            """
            only fc: 0.22 98.57 92.84 0.09 65
            fc&block1: 0.18 95.30 89.39 0.13 58
            fc&block1-2: 0.13 89.10 84.05 0.18 59
            fc&block1-3: 0.00 82.35 78.29 0.32 57
            all layers: 0.53 63.48 61.62 0.39 57
            """,
        ),
    ),
    "table7": Table(
        7,
        "What the weights are made of",
        "section B.2",
        None,
        _rows(
            "forget retain test w_dist seconds",
            """
            none (GA): 0.48 75.89 72.43 3.59 29
            gradient norm: 0.93 91.66 83.16 0.58 43
            sample loss: 0.02 94.43 87.34 0.58 35
            influence value: 0.02 98.62 92.89 0.07 56
            """,
        ),
    ),
    "table8": Table(
        8,
        "Which set the Hessian is taken over",
        "section B.2",
        None,
        _rows(
            "forget retain test w_dist seconds",
            """
            H over the forget set: 0.02 98.62 92.89 0.07 56
            H over the training set: 0.04 99.47 93.69 0.07 345
            """,
        ),
    ),
    "table9": Table(
        9,
        "How often the scores are computed anew (ν), 10 % random samples forgotten",
        "section B.3",
        10,
        _rows(
            "forget retain test membership seconds",
            """
            0: 97.82±0.31 97.78±0.53 91.90±0.82 0.12±0.06 55±0
            1: 97.47±0.42 97.55±0.49 91.82±0.10 0.08±0.03 224±1
            2: 97.17±0.00 97.17±0.97 91.50±1.07 0.11±0.03 139±1
            """,
        ),
    ),
    "table10": Table(
        10,
        "10 % random samples of CIFAR-10 are forgotten; means over ten seeds",
        "section B.3",
        10,
        _rows(
            _MAIN,
            """
            original: 99.47±0.00 100.00±0.00 94.61±0.00 0.00±0.00 – –
            retrained: 94.33±0.00 99.93±0.00 94.42±0.00 0.13±0.00 0.00±0.00 –
            IU: 99.06±0.11 99.03±0.03 92.98±0.06 0.02±0.01 0.06±0.04 54±1
            GA: 99.04±0.47 98.75±0.27 92.88±0.18 0.02±0.00 0.07±0.04 31±1
            RL: 98.90±0.55 98.90±0.51 93.49±0.55 0.11±0.00 0.03±0.01 24±0
            SSD: 99.04±0.44 99.01±0.36 93.34±0.54 0.03±0.00 0.04±0.01 55±3
            SCAR: 98.78±0.25 98.94±0.14 93.17±0.24 0.13±0.02 0.04±0.01 703±2
            NPO: 98.74±0.16 98.83±0.15 92.98±0.22 0.03±0.02 0.05±0.03 38±1
            IMU: 98.64±0.11 99.06±0.20 93.62±0.21 0.03±0.00 0.08±0.01 56±0
            """,
        ),
        "cifar10",
    ),
    "table10-cifar100": Table(
        10,
        "10 % random samples of CIFAR-100 are forgotten; means over ten seeds",
        "section B.3",
        10,
        _rows(
            _MAIN,
            """
            original: 97.69±0.00 97.48±0.00 76.25±0.00 0.06±0.00 – –
            retrained: 75.71±0.00 99.98±0.00 74.24±0.00 0.50±0.00 0.00±0.00 –
            IU: 94.58±1.62 94.71±1.76 70.11±0.77 0.12±0.01 0.67±0.21 57±1
            GA: 94.42±0.93 93.36±0.57 70.37±0.15 0.11±0.01 1.07±0.51 32±1
            RL: 93.82±1.46 94.14±1.51 66.58±1.05 0.06±0.03 1.07±0.18 31±1
            SSD: 93.97±0.73 94.22±0.80 70.30±0.23 0.13±0.01 0.31±0.14 50±0
            SCAR: 93.82±1.04 95.18±1.03 70.70±0.60 0.14±0.01 0.81±0.11 726±4
            NPO: 94.43±0.70 94.31±0.53 70.86±0.60 0.12±0.00 1.02±0.25 38±2
            IMU: 93.55±0.23 95.21±0.09 72.15±0.88 0.14±0.01 0.74±0.31 62±2
            """,
        ),
        "cifar100",
    ),
}


@dataclass(frozen=True)
class Figure:
    """A figure whose points are not printed: what it shows, what the text says of it, and the numbers the text gives."""

    number: int
    title: str
    where: str
    says: str
    numbers: dict[str, float] = field(default_factory=dict, hash=False)


FIGURES: dict[str, Figure] = {
    "figure1": Figure(
        1,
        "Influence of every forget sample",
        "section 1",
        "per-sample influence values span a wide range: a few samples dominate, others are marginal",
    ),
    "figure2": Figure(
        2,
        "Influence by the head alone against influence through the whole model",
        "section 3.3",
        "both order the samples alike: Spearman 0.992 on average and Kendall's concordance 0.984 over five seeds",
        {"spearman": 0.992, "concordance": 0.984, "seeds": 5},
    ),
    "figure6": Figure(
        6,
        "Influence of 15 samples over five epochs",
        "section B.6",
        "class-wise the weights settle after about two epochs and become alike; sample-wise ever more samples have negative "
        "influence, which in its sign is what helps to forget",
        {"epochs": 5, "samples": 15, "settled": 2},
    ),
}
