"""`python -m imu_core`: the command line."""

from __future__ import annotations

from imu_core.cli import app


def main() -> None:
    """What the command `imu` runs."""
    app(prog_name="imu")


if __name__ == "__main__":  # worker processes of a sweep import this file too
    app(prog_name="python -m imu_core")
