"""Where a model looks, before and after: triplets on one scale, the difference, and the share of heat on a person's cues."""

from __future__ import annotations

import html

import numpy as np
import streamlit as st

from imu_core.data import thumbnails
from imu_core.errors import ConfigError
from imu_core.evaluation import saliency
from imu_core.evaluation.saliency import CAMS, Looked
from imu_core.glossary import help_text
from imu_core.metrics.intervals import Mean
from imu_core.records.run import Problem
from imu_core.report.numbers import interval, percent, signed, signed_interval
from pages.sections.reidentify import looks
from pages.session import searched, session_runs
from pages.widgets import bound, waited

SHOWN = 6  # triplets in a row group
_VISIBLE = 0.0005  # of a share
TITLES = {"forgotten": "The forgotten person", "others": "People who stay"}


def controls(problem: Problem) -> tuple[str, str, int]:
    """Draw the three choices and return (CAM method, layer, opacity of the heat in percent)."""
    sizes = saliency.layers(problem.model, problem.dataset.train.images[:1])
    one, two, three = st.columns([5, 4, 3], gap="large")
    with one:
        method = bound.selectbox(
            "Map", list(CAMS), key="cam", format_func=lambda k: CAMS[k].title, help=help_text("gradcam"),
        )  # fmt: skip
    with two:
        names = list(sizes)[::-1]
        layer = bound.selectbox(
            "Layer", names, key="layer", format_func=lambda k: f"{k}, map of {sizes[k][0]} x {sizes[k][1]}",
            help=help_text("cam_layer"),
        )  # fmt: skip
    with three:
        opacity = bound.slider("Opacity of the heat, %", 0, 100, 75, 5, key="opacity", help=help_text("opacity"))
    return method or "gradcam", layer, opacity


def looked(problem: Problem, item: session_runs.Kept, method: str, layer: str) -> dict[str, Looked] | None:
    """Maps by group (`TITLES`), under the original and the run's model; None while they are computed, with a bar on the page."""
    key = ("looked", method, layer)
    if (known := item.cache.get(key)) is not None:
        return known
    model, title = searched.network(item), f"{CAMS[method].title} before and after"
    make = lambda: saliency.Looking(problem, model, layer=layer, method=method)  # noqa: E731
    work = waited.work(f"{key} {item.job.id}", title, make)
    return item.once(key, lambda: work.found) if work else None


def section(problem: Problem, item: session_runs.Kept) -> None:
    """Draw the controls, and under them the maps of both groups, each with its summary."""
    try:
        method, layer, opacity = controls(problem)
    except ConfigError as error:
        st.caption(str(error))
        return
    st.html(f"<style>.looked{{--heat:{opacity / 100}}}</style>")
    by_group = looked(problem, item, method, layer)
    if by_group is None:
        return
    for group, title in TITLES.items():
        st.markdown(f"**{title}** · {summary(by_group[group])}")
        triplets(by_group[group])
    st.caption(
        "Each group of four: image, original model, unlearned model, difference (red: more heat afterwards, blue: less). The two "
        "maps of an image share one scale, 1 being the larger maximum of the two. The target is the logit of the true identity. "
        f"{CAMS[method].title}: {CAMS[method].source}."
    )


def one(problem: Problem, index: int, models: dict[str, object]) -> None:
    """Draw where each of several models looks on training sample `index`, all maps on one scale, for a sample's card."""
    image, label = problem.dataset.train.images[index : index + 1], problem.dataset.train.labels[index : index + 1]
    method = st.selectbox("Map", list(CAMS), key=f"card_cam_{index}", format_func=lambda k: CAMS[k].title)
    try:
        layers = list(saliency.layers(problem.model, image))[::-1]
    except ConfigError as error:  # such as a transformer whose tokens are no image
        st.caption(str(error))
        return
    layer = st.selectbox("Layer", layers, key=f"card_layer_{index}", help=help_text("cam_layer"))
    maps = [saliency.heat(model, image, label, layer=layer, method=method or "gradcam") for model in models.values()]
    base = thumbnails.as_url(thumbnails.framed(image[0].numpy(), side=96))
    cells = [_cell(base, "image", b"")]
    for name, scaled, raw in zip(models, saliency.together(*maps), maps, strict=True):
        cells.append(_cell(base, name if raw.any() else f"{name}: zero everywhere", thumbnails.overlay(scaled[0])))
    st.html(f'{looks.STYLE}<div class="looked card"><figure><div class="row">{"".join(cells)}</div></figure></div>')
    st.caption("The places that speak for the true class, all models on one scale.")


def summary(maps: Looked) -> str:
    """A sentence: the share of heat on the person's cues, before and after, with intervals; and how many maps were empty."""
    counts = maps.empty()
    empty = f" Zero everywhere, and left out: {counts[0]} maps before, {counts[1]} after." if any(counts) else ""
    shares = maps.on_cues()
    if shares is None:
        return f"{len(maps.images)} images; this set does not say where its cues are, so no share is measured.{empty}"
    before, after, change, area = shares
    covers = f"the cues cover {percent(area, 0)} of the image"
    if not change.n:
        return f"no image has heat in both maps, so no share is measured ({covers}).{empty}"
    if change.n == 1:
        verdict, counted = f"a change of {signed(100 * change.mean)} points that may be chance", "a single image"
    else:
        counted = f"{change.n} images, 95 % interval"
        seen = f"a change of {signed_interval(100 * change.mean, 100 * change.half)} points" if change.seen else "no change seen"
        verdict = seen if abs(change.mean) >= _VISIBLE else "no change that one decimal would show"
    return f"heat on the cues {_percent(before)} → {_percent(after)}, {verdict} ({counted}; {covers}).{empty}"


def _percent(mean: Mean) -> str:
    return f"{interval(100 * mean.mean, 100 * mean.half)} %"


def triplets(maps: Looked) -> None:
    """Draw `SHOWN` images of a group, each with its two maps and their difference."""
    before, after = maps.scaled()
    step = max(1, len(maps.images) // SHOWN)
    cells = [_triplet(maps, i, before[i], after[i]) for i in range(0, len(maps.images), step)][:SHOWN]
    st.html(f'{looks.STYLE}<div class="looked">{"".join(cells)}</div>')


def _triplet(maps: Looked, i: int, before: np.ndarray, after: np.ndarray) -> str:
    base = thumbnails.as_url(thumbnails.framed(maps.images[i].numpy(), side=64))
    label = html.escape(maps.labels[i])
    overlays = (b"", thumbnails.overlay(before), thumbnails.overlay(after), thumbnails.overlay(after - before, signed=True))
    words = ("image", "original", "after", "difference")
    cells = "".join(_cell(base, word, heat, label) for word, heat in zip(words, overlays, strict=True))
    return f'<figure><div class="row">{cells}</div><figcaption>{label}</figcaption></figure>'


def _cell(base: str, word: str, heat: bytes, label: str = "") -> str:
    """One picture with its heat over it and a word under it."""
    over = f'<img class="heat" src="{thumbnails.as_url(heat)}" alt="{html.escape(word)}: heat">' if heat else ""
    alt = html.escape(f"{label}: {word}" if label else word)
    return f'<div><div class="cell"><img src="{base}" alt="{alt}">{over}</div><div class="head">{html.escape(word)}</div></div>'
