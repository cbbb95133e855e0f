"""The scenes that Start plays: stored frames of one network forgetting each of its ten classes. Nothing is computed for them."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

import streamlit as st

from imu_core import names, runtime

DATASET, MODEL, USUAL = "fashion", "small_resnet", "Sandal"
CLASS = "class:"  # how the request to forget a class begins


@lru_cache
def stored() -> dict[str, Any]:
    """The file that ships: {names: of the classes, scenes: one for each}; the same for everybody, so nobody changes it."""
    return json.loads((runtime.ASSETS / "examples" / f"{DATASET}-{MODEL}.json").read_text())


def chosen() -> int:
    """The place of the class that the sidebar or the link names; of the usual one where they name something else."""
    known = stored()["names"]
    wanted = (_now("forget").removeprefix(CLASS) if is_here() else "") or USUAL
    return next(n for n, name in enumerate(known) if names.key(name) == names.key(wanted))


def is_here() -> bool:
    """Whether the problem of this visit is one that is stored: one class of this set, forgotten by this network."""
    if _now("dataset") not in ("", DATASET) or _now("model") not in ("", MODEL) or _now("after") or _now("seed") not in ("", "0"):
        return False
    return names.key(_now("forget").removeprefix(CLASS) or USUAL) in {names.key(name) for name in stored()["names"]}


def _now(key: str) -> str:
    """What the sidebar's widget `key` says, or the link before that widget exists."""
    return str(st.session_state.get(key, st.query_params.get(key)) or "")


def take(place: int) -> None:
    """Make forgetting the class at `place` the problem of every page; a place that there is none of changes nothing."""
    if not 0 <= place < len(stored()["names"]):
        return
    st.session_state.update(dataset=DATASET, model=MODEL, seed=0, after="", forget=f"{CLASS}{stored()['names'][place]}")
    st.session_state.pop("elsewhere", None)
