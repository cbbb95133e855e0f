"""The command line, `python -m imu_core`: what the pages show, as numbers, JSON and CSV.

Progress goes to stderr, results to stdout. Exit codes: 0 done (also where a run diverged: that is a result), 1 the run
failed, 2 an argument cannot be used, 130 stopped by Ctrl-C.
"""

from imu_core.cli.commands import app

__all__ = ["app"]
