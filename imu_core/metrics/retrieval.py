"""Retrieval by Market-1501's protocol: mean average precision and the cumulative matching curve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from imu_core.errors import DataError


@dataclass(frozen=True, eq=False)
class Ranking:
    """`map` in 0-1; `cmc` (gallery size,): share of queries with a hit among the first k; `queries`: how many counted.

    `precisions` (Q,) and `first` (Q,) are each query's average precision and the rank of its first hit, nan where it does not
    count.
    """

    map: float
    cmc: np.ndarray
    queries: int
    precisions: np.ndarray
    first: np.ndarray


def rank(distances: Any, query_ids: Any, gallery_ids: Any, query_cams: Any, gallery_cams: Any) -> Ranking:
    """Rank the gallery for every query by ascending distance: mAP and CMC, single query (Zheng et al. 2015, Market-1501).

    Gallery entries with id −1 (junk) are dropped; id 0 (distractors) is an id like any other. For each query the entries
    with its id *and* its camera are removed. Ties keep the gallery's order. A query without any match left is not counted.

    Args: distances (Q, G); ids and cameras (Q,) and (G,), compared for equality only.
    Raises: DataError when shapes do not fit, distances are nan, or no query has a match.
    """
    D = np.asarray(distances, dtype=np.float64)
    q_ids, g_ids, q_cams, g_cams = (np.asarray(v) for v in (query_ids, gallery_ids, query_cams, gallery_cams))
    if (
        D.ndim != 2
        or q_ids.shape != D.shape[:1]
        or q_cams.shape != D.shape[:1]
        or g_ids.shape != D.shape[1:]
        or g_cams.shape != D.shape[1:]
    ):
        raise DataError(
            f"Shapes do not fit: distances {D.shape}, query ids {q_ids.shape} and cameras {q_cams.shape}, "
            f"gallery ids {g_ids.shape} and cameras {g_cams.shape}; expected (Q, G), (Q,), (Q,), (G,), (G,)."
        )
    if np.isnan(D).any():
        raise DataError("distances hold values that are not numbers; a rank is not defined for them.")
    curve = np.zeros(int((g_ids != -1).sum()))
    precisions, first = np.full(len(q_ids), np.nan), np.full(len(q_ids), np.nan)
    for query, (distance, identity, camera) in enumerate(zip(D, q_ids, q_cams, strict=True)):
        shown = g_ids[order_of(distance, identity, camera, g_ids, g_cams)]
        places = np.flatnonzero(shown == identity)
        if len(places):
            precisions[query], first[query] = np.mean(np.arange(1, len(places) + 1) / (places + 1)), places[0] + 1
            curve[places[0] :] += 1
    counted = int(np.isfinite(first).sum())
    if not counted:
        raise DataError("No query has a match in the gallery seen by another camera, so there is nothing to rank.")
    return Ranking(float(np.nanmean(precisions)), curve / counted, counted, precisions, first)


def order_of(distance: np.ndarray, identity: int, camera: int, gallery_ids: np.ndarray, gallery_cams: np.ndarray) -> np.ndarray:
    """Gallery positions as one query sees them, nearest first: without junk, and without its own identity in its own camera."""
    order = np.argsort(distance, kind="stable")
    ids, cams = gallery_ids[order], gallery_cams[order]
    return order[(ids != -1) & ((ids != identity) | (cams != camera))]
