"""The command that made `assets/fashion`: python -m imu_core.data.embed --source FOLDER --out assets/fashion."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from PIL import Image

from imu_core import runtime
from imu_core.data.fashion import CLASS_NAMES, COLUMNS, DEBIAN_FOLDER, PER_CLASS, SIDE, read_idx


def embed(source: Path, out: Path) -> None:
    """Write the two sheets of the subset into `out` from the four gzip files in `source`; lossless, the same bytes each time."""
    out.mkdir(parents=True, exist_ok=True)
    for part, per_class in PER_CLASS.items():
        images, labels = read_idx(source, part)
        chosen = torch.cat([torch.where(labels == c)[0][:per_class] for c in range(len(CLASS_NAMES))])
        tiles = images[chosen, 0].numpy().reshape(-1, COLUMNS, SIDE, SIDE)
        sheet = Image.fromarray(tiles.swapaxes(1, 2).reshape(-1, COLUMNS * SIDE))
        sheet.save(out / f"{part}.webp", lossless=True, quality=100, method=6)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Make the Fashion-MNIST subset that ships in assets/fashion.")
    parser.add_argument("--source", type=Path, default=DEBIAN_FOLDER, help="folder with the four gzip files")
    parser.add_argument("--out", type=Path, default=runtime.ASSETS / "fashion", help="folder to write the two sheets to")
    arguments = parser.parse_args()
    embed(arguments.source, arguments.out)
