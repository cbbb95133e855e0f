"""The record of the paper's tables that ships with the program: what is in it, and numbers as the page writes them."""

from __future__ import annotations

import streamlit as st

from imu_core.errors import DataError
from imu_core.paper import record
from imu_core.paper.published import COLUMNS, Value
from imu_core.paper.shapes import TablesRecord
from imu_core.records.shapes import MeanRecord
from pages.widgets import bound
from pages.widgets.text import plain

# Columns of ours that the paper does not print: (heading, direction, factor, decimals, help)
OURS = {
    "w1": (
        "W1",
        "lower",
        1.0,
        4,
        "Distance of the outputs from those of the retrained model, over test images; free of class order.",
    ),
    "gap": (
        "Average gap, points",
        "lower",
        100.0,
        2,
        "Mean distance from the retrained model over three accuracies and the attack.",
    ),
}
SHORT = {"forget": "Forget, %", "retain": "Retain, %", "test": "Test, %", "membership": "MIA", "w_dist": "W_dist", "seconds": "s"}
HELP = {
    "forget": "Of the forget set, training images.",
    "retain": "Of all other training images.",
    "test": "Of the test images without the forgotten class; of all of them where no class goes.",
    "membership": "Share of the forget set that an SVC takes for never seen. Here it learns from 1,000 images a side, of seed 0.",
    "w_dist": "As in the authors' code: between the class numbers that the retrained and this model predict on test images. "
    "The paper says retain set; its largest values are more than that code can give.",
    "seconds": "Here one core, the method alone: no features read, nothing judged. In the paper the whole script on an RTX 3090.",
}


def load() -> list[TablesRecord]:
    """All records, the one on CIFAR-10 first; [] where the file is damaged, which the page then says."""
    try:
        return record.load()
    except DataError as error:
        st.warning(plain(error))
        return []


def chosen(records: list[TablesRecord]) -> TablesRecord | None:
    """The record that is looked at, None where there is none; where there are several, a choice that is in the link is drawn."""
    if len(records) < 2:
        return records[0] if records else None
    names = [title(tables_record) for tables_record in records]
    picked = bound.segmented_control(
        "Made on", names, default=names[0], key="paper_on", required=True,
        help="The data set and the network of our runs; the paper's are CIFAR-10, CIFAR-100 and ResNet-18.",
    )  # fmt: skip
    return records[names.index(picked)] if picked in names else records[0]


def title(tables_record: TablesRecord) -> str:
    """Data set and model of a record, such as "cifar10, airbench"."""
    return f"{tables_record['dataset']}, {tables_record['model']}"


def scale(column: str) -> tuple[float, int]:
    """(the factor that a column's values are multiplied by, the decimals they are written with)."""
    return (COLUMNS[column].factor, COLUMNS[column].decimals) if column in COLUMNS else OURS[column][2:4]


def heading(column: str) -> str:
    """The heading of a column with its unit, such as "Test accuracy, %"."""
    return f"{COLUMNS[column].title}, {COLUMNS[column].unit}" if column in COLUMNS else OURS[column][0]


def arrow(column: str) -> str:
    """↑ or ↓, the direction in which a column is better; "" for any other."""
    better = COLUMNS[column].better if column in COLUMNS else OURS[column][1]
    return {"higher": "↑", "lower": "↓"}.get(better, "")


def here(value: MeanRecord | None, column: str, sets: int) -> str:
    """'93.55 ± 0.64', with ' (3)' behind it where that is over fewer forget sets than `sets`; "" where nothing was measured."""
    if value is None:
        return ""
    fewer = f" ({value['n']})" if value["n"] < sets else ""
    factor, decimals = scale(column)
    half = "" if value["half"] is None else f" ± {factor * value['half']:.{decimals}f}"
    return f"{factor * value['mean']:.{decimals}f}{half}{fewer}"


def there(value: Value | None, column: str) -> str:
    """A printed value as the paper prints it."""
    if value is None:
        return ""
    decimals = 0 if column == "seconds" else 2
    return f"{value.mean:.{decimals}f}" + ("" if value.spread is None else f" ± {value.spread:.{decimals}f}")
