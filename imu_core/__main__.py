"""`python -m imu_core`: the command line."""

from imu_core import cli_people  # noqa: F401  (its commands join the others)
from imu_core.cli import app

app(prog_name="python -m imu_core")
