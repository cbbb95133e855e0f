"""The problem: the sidebar that names it, the words in it that lead to another one, and what to do where it is not there yet."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import streamlit as st
from streamlit.navigation.page import Page

from imu_core import data, models
from imu_core.data import notes
from imu_core.data.vectors import points
from imu_core.errors import CheckpointError, ClosedError, DataError, ImuError
from imu_core.glossary import help_text
from imu_core.model_import.brought_sets import datasets as folders
from imu_core.models import networks
from imu_core.problems import reference
from imu_core.problems.problem import prepare
from imu_core.records.data import Dataset
from imu_core.records.run import Problem
from imu_core.records.shapes import Value
from imu_core.settings import RUN
from pages.sidebar import history, missing, navigation, request, running
from pages.sidebar.reopen import PROBLEM
from pages.widgets import bound, progress
from pages.widgets.text import plain

SHOWN_PEOPLE = ("0005", "0011", "0020")  # whose retrained references ship
UNKNOWN_PEOPLE = "random:10%,seed=0"  # the request on a set that nobody has read yet


# Pages that need a kind of data: whether a set is of that kind, and the set they open with where the problem is of none.
FITS: dict[str, Callable[[str], bool]] = {
    navigation.PEOPLE_PAGE: data.shows_people,
    navigation.POINTS_PAGE: lambda name: name.startswith(points.PREFIX),
}
USUAL = {navigation.PEOPLE_PAGE: "people", navigation.POINTS_PAGE: f"{points.PREFIX}moons"}


def sidebar(page: Page) -> None:
    """Draw the problem (dataset, model, forget request, seed) and the running jobs; the same on every page, and in the URL."""
    _follow(page)
    with st.sidebar:
        names = list(data.DATASETS)
        own = str(_now("dataset"))
        names += [name for name in folders() if name != own and data.is_open(name)]
        names += [own] if own and own not in names and (own.startswith((data.MARKET, data.FOLDER)) or _is_vectors(own)) else []
        dataset = bound.selectbox("Dataset", names, key="dataset", help=help_text("dataset"), on_change=_changed)
        shown = _loaded(dataset)
        with contextlib.suppress(ImuError):
            st.caption(plain(data.source(dataset).title.partition(" (")[0]))
        if shown and shown.people and shown.people.synthetic:
            st.caption(":material/draw: synthetic: made-up people, drawn from a seed")
        model = bound.selectbox("Model", models_for(dataset), key="model", help=help_text("original"))
        st.caption(_called(model, shown))
        bound.selectbox(
            "Forget",
            suggestions(dataset),
            key="forget",
            accept_new_options=True,
            help=help_text("request"),
            on_change=request.typed,
            args=(suggestions,),
        )
        if st.session_state.get("after") or st.query_params.get("after"):
            bound.text_input("Already unlearned", key="after", help=help_text("second_request"))
            st.button("Back to the original model", on_click=lambda: st.session_state.update(after=""))
        bound.setting(RUN["problem_seed"], key="seed")
    running.running_jobs()


def _called(model: str, dataset: Dataset | None) -> str:
    """What a person calls `model`, and how much it learns where that is known."""
    name = plain(models.title(model))
    if dataset is None or model not in models.MODELS:
        return name
    shape = tuple(dataset.train.images.shape[1:])
    return f"{name}, {networks.parameters(model, len(dataset.class_names), shape):,} numbers to learn"


def _is_vectors(name: str) -> bool:
    """Whether `name` is that of points or of a table, known or drawn."""
    with contextlib.suppress(ImuError):
        return data.source(name).vectors
    return False


def _now(key: str) -> str:
    """What the sidebar's widget `key` says, or the link before that widget exists."""
    return st.session_state.get(key) or st.query_params.get(key) or ""


def _changed() -> None:
    """Another dataset was chosen: a model and a request that belong to it, and no way back to an earlier one."""
    st.session_state.pop("elsewhere", None)
    take_problem(st.session_state.dataset)


def take_problem(dataset: str, forget: str = "", model: str = "") -> None:
    """Make `dataset`, `model` (its first) and `forget` (its first suggestion by default) the problem of every page."""
    model = model or models_for(dataset)[0]
    st.session_state.update(dataset=dataset, model=model, forget=forget or suggestions(dataset)[0], after="")


def _follow(page: Page) -> None:
    """Some pages need a kind of data: going there takes it as the problem, leaving brings the earlier problem back."""
    request.put_back()
    fetched = st.session_state.pop("fetched", "")
    if fetched and _now("forget") == UNKNOWN_PEOPLE:  # only now is it known who is in it
        st.session_state.forget = suggestions(fetched)[0]
    state, url = st.session_state, page.url_path
    if state.get("elsewhere") is not None and not (url in FITS and _fits(url)):
        earlier, left = state.pop("elsewhere"), _problem()
        state.setdefault("before", {}).update({other: left for other in FITS if _fits(other)})
        take_problem(earlier.get("dataset") or next(iter(data.DATASETS)))
        state.update(earlier)
    if not _fits(url):
        state.elsewhere = _problem()
        take_problem(USUAL[url])
        state.update(state.get("before", {}).get(url, {}))


def _fits(url: str) -> bool:
    """Whether the data set of the problem is one for the page at `url`."""
    return url not in FITS or FITS[url](_now("dataset"))


def _problem() -> dict[str, Value]:
    """The sidebar's problem now, by the keys of its widgets."""
    return {key: st.session_state[key] for key in PROBLEM if st.session_state.get(key)}


def models_for(dataset: str) -> list[str]:
    """The architectures that suit `dataset`, the usual one first."""
    return list(networks.suited(dataset, data.source(dataset)))


def _loaded(dataset: str) -> Dataset | None:
    """The dataset if it can be had without waiting; what is wrong with it is said by `current`."""
    with contextlib.suppress(ImuError):
        return data.load(dataset) if data.is_here(dataset) else None
    return None


def suggestions(dataset: str) -> list[str]:
    """The forget requests that are proposed for `dataset`, the usual one first; any other can be typed."""
    people, loaded = data.shows_people(dataset), _loaded(dataset)
    proposed = data.source(dataset).requests if _is_vectors(dataset) else ()
    if proposed and loaded:
        many = [f"class:{name}" for name in loaded.class_names] if len(loaded.class_names) > 2 else []
        return list(dict.fromkeys([*proposed, *many, "random:10%,seed=0", "hardest:10", "easiest:10"]))
    if people and loaded is None:
        return [f"identity:{name}" for name in SHOWN_PEOPLE] if dataset == "people" else [UNKNOWN_PEOPLE]
    names = loaded.class_names if loaded else data.class_names(dataset)
    general = ["random:10%,seed=0", "outliers:100", "hardest:100", "easiest:100"]
    if people:
        first = SHOWN_PEOPLE if dataset == "people" else ()
        return [f"identity:{name}" for name in (*first, *(n for n in names if n not in first))] + general
    if not names:
        return [UNKNOWN_PEOPLE]
    classes = [f"class:{name}" for name in sorted(names, key=lambda n: n != "Sandal")]
    pair = [f"class:{names[6]}+{names[0]}"] if len(names) > 6 else []
    return [*classes, *general, *pair, *data.part_requests(dataset)]


def current() -> Problem:
    """The problem that the sidebar names; where it cannot be had, the page says why, offers a way out, and ends here."""
    navigation.hand_over()
    request.said()
    state = st.session_state
    try:
        source = data.source(state.dataset)
        data.check_folder(state.dataset)
        if source.free and not source.is_here():
            missing.read(state.dataset, source)
        progress.run_here(prepare(state.dataset, model=state.model), "features")
        problem = request.had(history.read(), suggestions, history.problem)
        progress.run_here(reference.prepare(problem), "reference_features")
        for note in notes.before(problem):  # what of its images was left out, and what is there twice
            st.caption(f":material/photo_library: {plain(note)}")
        return problem
    except CheckpointError as error:
        missing.no_model(state.dataset, state.model, error)
    except DataError as error:
        st.warning(plain(error), icon=":material/help:")
        if data.shows_people(state.dataset) and source.asks and not data.is_here(state.dataset):
            missing.ask_folder(take_problem)
        elif not isinstance(error, ClosedError) and not data.is_here(state.dataset):
            missing.offer(state.dataset, source)
    except ImuError as error:
        st.warning(plain(error))
    st.stop()
