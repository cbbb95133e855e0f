"""A stored run opened again: its problem in the sidebar, its settings in the form."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import streamlit as st

from imu_core import data
from imu_core.errors import StoreError
from imu_core.methods import METHODS
from imu_core.models.networks import suited
from imu_core.records.run import Trajectory
from imu_core.store.runs import Summary
from pages.sidebar import navigation
from pages.widgets import run_link

PROBLEM = ("dataset", "model", "forget", "after", "seed")  # the sidebar's keys


def way_back(run: Summary, trajectory: Trajectory) -> tuple[str, str, dict[str, str]]:
    """(page, whole link, its parameters) that restore the run's problem and settings; ImuError where these are not known here."""
    check_known(run)
    if run.method not in METHODS:
        raise StoreError(f"The method {run.method} is not known here, so its settings cannot be opened.")
    page = navigation.PEOPLE_PAGE if data.shows_people(run.dataset) else "unlearn"
    link = run_link.link(trajectory, page)
    return page, link, dict(parse_qsl(urlsplit(link).query, keep_blank_values=True))


def check_known(run: Summary) -> None:
    """Raise an ImuError where the data set or model of `run` is not known here, as in a record from elsewhere."""
    if run.model_name not in suited(run.dataset, data.source(run.dataset)):
        raise StoreError(f"The model {run.model_name} is not known here for {run.dataset}, so this run cannot be opened.")


def take_problem(about: dict[str, Any]) -> None:
    """Make the problem of a record that of every page; call in a callback, before the sidebar is drawn."""
    history = [[step["forget"], step["config"]] for step in about["history"]]
    after = json.dumps(history) if history else ""
    st.session_state.pop("elsewhere", None)
    st.session_state.update({name: about[name] for name in ("dataset", "model", "forget")}, after=after)
    if st.session_state.get("seed") != about["seed"]:
        st.session_state.seed = about["seed"]
