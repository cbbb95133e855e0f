"""Finished runs in a database."""

from imu_core.store.runs import Store, default_url, save_run

__all__ = ["Store", "default_url", "save_run"]
