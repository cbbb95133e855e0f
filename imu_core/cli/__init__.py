"""The command line, `python -m imu_core`: what the pages show, as numbers, JSON and CSV.

Progress goes to stderr, results to stdout. Exit codes: 0 done (also where a run diverged: that is a result), 1 the run
failed, 2 an argument cannot be used, 130 stopped by Ctrl-C.
"""

# Each joins the app; --help lists them in this order.
# isort: off
from imu_core.cli import run, sweep, runs, table, tables, train, own, influence, people, look, info, serve

# isort: on
from imu_core.cli.speaking import app

__all__ = [
    "app", "influence", "info", "look", "own", "people", "run", "runs", "serve", "sweep", "table", "tables", "train",
]  # fmt: skip
