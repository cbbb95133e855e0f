"""Re-identification as pictures and tables: who, is the person still found, ranks before and after, where the model looks."""

from __future__ import annotations

import dataclasses
import html

import streamlit as st

from imu_core.data import thumbnails
from imu_core.evaluation import reidentification
from imu_core.evaluation.reidentification import Found
from imu_core.figures.style import FORGET
from imu_core.glossary import help_text
from imu_core.models import checkpoints
from imu_core.records.data import Sightings
from imu_core.records.run import Problem, RunConfig
from pages.sections.reidentify.looks import COLUMNS, STYLE, columns
from pages.session import session_runs
from pages.session.searched import found
from pages.widgets import bound, run_form, tables
from pages.widgets.text import plain

ON_A_PAGE = 8  # people to choose from


def in_mode(configs: list[RunConfig]) -> list[RunConfig]:
    """Draw the choice of the batch-norm mode; returns `configs` in it. It decides more about a search than the method does."""
    mode = bound.segmented_control(
        "Batch norm while unlearning",
        run_form.MODES,
        default=run_form.FREE,
        key="mode",
        required=True,
        help=help_text("bn"),
    )
    return [dataclasses.replace(config, bn=mode) for config in configs] if mode in ("eval", "train") else configs


def choose(problem: Problem) -> None:
    """Draw the training people to choose from, a page at a time; those whose retrained model is stored come first."""
    names, labels = problem.dataset.class_names, problem.dataset.train.labels.tolist()
    stored = {c.card["request"] for c in checkpoints.listing(problem.dataset.name, problem.model_name)}
    order = sorted(range(len(names)), key=lambda c: (f"identity:{names[c]}" not in stored, c))
    pages = -(-len(order) // ON_A_PAGE)
    page = min(st.session_state.get("people_page", 1), pages)
    with st.container(horizontal=True, gap="small", key="people_grid"):
        for c in order[(page - 1) * ON_A_PAGE : page * ON_A_PAGE]:
            with st.container(gap="xsmall", width=82):
                alt = f"Person {names[c]}" + (", retrained model stored" if f"identity:{names[c]}" in stored else "")
                frame = FORGET if c in problem.split.classes else None
                st.image(thumbnails.png(problem.dataset.name, "train", labels.index(c), frame), width=76, alt=alt)
                st.button(
                    f"{names[c]}{' ★' if f'identity:{names[c]}' in stored else ''}",
                    key=f"person_{names[c]}",
                    type="primary" if c in problem.split.classes else "secondary",
                    on_click=lambda name=names[c]: st.session_state.update(forget=f"identity:{name}"),
                )
    if pages > 1:
        st.pagination(pages, key="people_page")
    made_up, note = ("synthetic ", ", drawn from a seed, none of them real") if problem.dataset.people.synthetic else ("", "")
    st.caption(f"{len(names)} {made_up}people the model was trained on{note}. ★ a retrained model that never saw them is stored.")


def table(problem: Problem, items: list[session_runs.Kept], known: dict[str, Found], reference: dict[str, float] | None) -> None:
    """Draw the table of retrieval: every finished run beside the original and the retrained model (`known`), in percent."""
    first = items[0].trajectory.points[0].accuracies
    rows = [("Original", known["original"].numbers() | first)]
    if "retrained" in known:
        rows.append(("Retrained", known["retrained"].numbers() | (reference or {})))
    rows += [(item.name, found(item).numbers() | item.trajectory.points[-1].accuracies) for item in items]
    shown = [{"Model": name} | {t: 100 * values[k] for k, t in COLUMNS.items() if k in values} for name, values in rows]
    tables.draw(shown, columns(), alt="Retrieval with every model")
    judged, people = known["original"], problem.dataset.people
    queries = judged.person.queries if judged.person else 0
    st.caption(
        f"Percent. Person: {queries} queries of the forgotten person from cameras kept out of training, against "
        f"{len(people.gallery) + len(people.test):,} images. Unseen people: {judged.unseen.queries:,} queries against "
        f"{len(people.gallery):,} images. Named: the head's first answer, on {len(problem.split.forget)} forget images and "
        f"{len(people.test):,} held-out ones. "
        "↑ higher is better, ↓ lower, ≈ nearest the retrained model."
    )


def ranks(problem: Problem, item: session_runs.Kept, original: Found) -> None:
    """Draw one query, its ten nearest images with the original model and after unlearning, and how many places changed."""
    before, after = original.embedded, found(item).embedded
    own, unseen = "the forgotten person", "unseen people"
    kinds = [own, unseen] if len(reidentification.queries_of(problem)) else [unseen]
    kind = st.segmented_control("Queries of", kinds, default=kinds[0], key=f"query_kind_{len(kinds)}", required=True)
    search = reidentification.search(problem, before, after, kind == own)
    at = _query(search, kind == own)
    lists = search.nearest(at)
    for title, hits in zip(("Original", item.name), lists, strict=True):
        st.markdown(f"**{plain(title)}**: {sum(hit.same for hit in hits)} of the ten nearest show the same person")
        gallery = search.gallery
        neighbours = [_figure(gallery, h.position, _caption(gallery, h, n), _kind(h)) for n, h in enumerate(hits, 1)]
        _strip([_figure(search.shown, at, f"query: {_who(search.shown, at)}", "query"), *neighbours])
    moved = sum(hit.before != place for place, hit in enumerate(lists[1], 1))
    st.caption(
        "Green, ✓: the same person in another camera; red, ✗: somebody else. "
        + (f"{moved} of the ten stood elsewhere before." if moved else "Nothing moved: every place is the one it was before.")
    )


def _query(search: reidentification.Search, own: bool) -> int:
    """The query by picture; returns its position."""
    key = f"query_{own}"
    chosen = st.session_state.get(key)
    chosen = chosen if chosen in search.positions else search.positions[0]
    with st.container(horizontal=True, gap="small", key=f"queries_{own}"):
        for number, position in enumerate(search.positions, 1):
            with st.container(gap="xsmall", width=56):
                picture = thumbnails.framed(search.shown.images[position].numpy(), side=64)
                st.image(picture, width=52, alt=f"Query {number}: {_who(search.shown, position)}")
                kind = "primary" if position == chosen else "tertiary"
                st.button(f"{number}", key=f"{key}_{number}", type=kind, on_click=_ask, args=(key, position))
    return chosen


def _ask(key: str, position: int) -> None:
    st.session_state[key] = position


def _kind(hit: reidentification.Hit) -> str:
    return "same" if hit.same else "other"


def _who(shown: Sightings, position: int) -> str:
    return f"{int(shown.ids[position]):04d}, camera {int(shown.cameras[position])}"


def _caption(gallery: Sightings, hit: reidentification.Hit, place: int) -> str:
    who = "distractor" if int(gallery.ids[hit.position]) == 0 else f"{int(gallery.ids[hit.position]):04d}"
    was = "" if hit.before == place else f"\nwas {hit.before}."
    return f"{place}. {'✓' if hit.same else '✗'} {who}{was}"


def _figure(shown: Sightings, position: int, caption: str, kind: str) -> str:
    url = thumbnails.as_url(thumbnails.framed(shown.images[position].numpy()))
    alt = html.escape(f"{_who(shown, position)}: {caption}")
    text = html.escape(caption).replace("\n", "<br>")
    return f'<figure class="{kind}"><img src="{url}" alt="{alt}" title="{alt}"><figcaption>{text}</figcaption></figure>'


def _strip(figures_: list[str]) -> None:
    st.html(f'{STYLE}<div class="people">{"".join(figures_)}</div>')
