"""How much one visitor of a server may have, by environment variables; less by default where the server is open to everybody.

IMU_MAX_JOBS       jobs at once: runs, measurements, attacks and trainings that have not ended
IMU_MAX_RUNS       runs in the database
IMU_MAX_STORED_MB  what they take there, in MB
IMU_MAX_UPLOAD_MB  one uploaded file, in MB
IMU_SHARE_RUNS     1: everybody sees everybody's runs; 0: only their own. Where the server is open to everybody 0 is the default,
                   and nobody changes another's either way.

Commands and the library have no limits.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from imu_core.access.rules import is_public
from imu_core.errors import ConfigError


@dataclass(frozen=True)
class Limit:
    """A limit: the variable that sets it, and what it is on a private and on a public server."""

    variable: str
    private: int
    public: int
    most: int = 10**9

    @property
    def value(self) -> int:
        """The limit that holds now: the variable, else the default. ConfigError where it is no whole number from 1 to `most`."""
        text = os.environ.get(self.variable, "").strip()
        if not text:
            return self.public if is_public() else self.private
        if not (text.isascii() and text.isdigit() and len(text) < 12 and 1 <= int(text) <= self.most):
            raise ConfigError(f"{self.variable} is {text[:40]!r}; it must be a whole number from 1 to {self.most:,}.")
        return int(text)


JOBS = Limit("IMU_MAX_JOBS", private=400, public=24, most=10_000)
RUNS = Limit("IMU_MAX_RUNS", private=100_000, public=200)
STORED_MB = Limit("IMU_MAX_STORED_MB", private=50_000, public=200)
UPLOAD_MB = Limit("IMU_MAX_UPLOAD_MB", private=256, public=32, most=100_000)
ALL = (JOBS, RUNS, STORED_MB, UPLOAD_MB)
SHARE = "IMU_SHARE_RUNS"
_WORDS = {"1": True, "yes": True, "on": True, "true": True, "0": False, "no": False, "off": False, "false": False}


def shares_runs() -> bool:
    """Whether everybody may see everybody's runs: what IMU_SHARE_RUNS says, else whether the server is private.

    ConfigError where the variable says neither yes nor no.
    """
    text = os.environ.get(SHARE, "").strip().lower()
    if not text:
        return not is_public()
    if text not in _WORDS:
        raise ConfigError(f"{SHARE} is {text[:40]!r}; it must be 1 (everybody sees everybody's runs) or 0.")
    return _WORDS[text]


def check() -> None:
    """Read all variables; ConfigError, with a sentence, where the content of one is not allowed."""
    shares_runs()
    for limit in ALL:
        _ = limit.value
