"""What the check found: the accuracy, class by class, the head, what fits better, and where to go from here."""

from __future__ import annotations

import streamlit as st

import imu_core
from imu_core import data
from imu_core.access import rules
from imu_core.errors import ImuError
from imu_core.figures.own import per_class
from imu_core.glossary import help_text
from imu_core.jobs import Job
from imu_core.model_import import brought_sets, own
from imu_core.models import brought
from imu_core.problems.problem import prepare
from imu_core.records.run import Problem
from imu_core.report.numbers import percent
from pages.sections.own_model import form
from pages.session import pace
from pages.sidebar import problem_choice
from pages.widgets import progress
from pages.widgets.text import plain
from pages.widgets.theme import NO_BAR, light_or_dark

EXAMPLE = ("fashion", "small_resnet")
DOORS = (
    ("Who matters most? (Influence)", "pages/influence.py"),
    ("See it forget (Unlearn)", "pages/unlearn.py"),
    ("Attack the result (Attack)", "pages/attack.py"),
)


def result(job: Job | None) -> None:
    """Draw the visitor's last check; where there is none, the check of a model that ships, as an example."""
    if job is None:
        example()
        return
    going(job)
    if not job.finished:
        return
    work: own.Bringing = job.work
    if job.state != "done" or work is None or work.check is None:
        if job.state == "cancelled":
            progress.ended_words(job)
        else:
            st.warning(plain(job.reason or "Nothing was found out."), icon=":material/help:")
        if work is not None and work.layers:
            _choose_head(work.layers)
        return
    _card(work.check, f"{work.order.name} on {work.dataset_name}")
    if work.check.fits:
        doors(work.dataset_name, work.model_name)
    elif work.check.suggestion:
        words = " and ".join(work.check.suggestion)
        st.button(f"Check again with that {words}", on_click=form.follow, args=(work.check.suggestion,), type="primary")


def going(job: Job) -> None:
    """Draw how far the check is, with Stop, until it has ended; nothing afterwards."""

    @st.fragment(run_every=None if job.finished else pace.tick())
    def show() -> None:
        if job.finished:
            st.rerun()
        fraction, words = progress.of(job)
        st.progress(fraction, text=words)
        progress.stop_button(job, f"own-stop-{job.id}")
        if job.work is not None and job.work.check is not None:  # known long before the features of all images are
            st.info(plain(job.work.check.sentence))

    if not job.finished:
        show()


def example() -> None:
    """Draw a finished check: that of the network that ships, on the images that ship."""
    dataset, model = EXAMPLE
    progress.run_here(prepare(dataset, model=model), "features")
    problem = imu_core.problem(dataset, model=model)
    st.caption("Until you bring one: the check of a model that ships.")
    _card(_check_of(dataset, model, problem), f"{model} on {dataset}")


@st.cache_resource(show_spinner=False)
def _check_of(dataset: str, model: str, _problem: Problem) -> own.Check:
    return own.checked(_problem.dataset, _problem.model, _problem.test.logits, "by name; it was trained here")


def _card(check: own.Check, title: str) -> None:
    left, right = st.columns([2, 3], gap="large")
    with left:
        half = 50 * (check.accuracy.high - check.accuracy.low)
        st.metric(
            f"Test accuracy of {plain(title)} ↑",
            percent(check.accuracy.share),
            help=help_text("own_check"),
            delta=f"± {half:.1f} points on {check.accuracy.n:,} images",
            delta_color="off",
            delta_arrow="off",
        )
        (st.success if check.fits else st.warning)(plain(check.sentence))
        if check.advice:
            st.info(plain(check.advice))
        for note in check.notes:
            st.warning(plain(note), icon=":material/photo_library:")
        st.markdown(f"**Head** `{check.head}`: {check.features} features, {len(check.class_names)} classes.")
        st.caption(f"Tensors matched: {plain(check.matched)}.")
    with right:
        chart = per_class(check.class_names, check.per_class, check.accuracy.share, check.chance, light_or_dark())
        alt = "Test accuracy of each class as bars, with lines at the mean and at chance."
        st.plotly_chart(chart, key="own_classes_chart", config=NO_BAR, alt=alt)


def _choose_head(layers: tuple[str, ...]) -> None:
    """None was found: which layer is it?"""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = st.selectbox("Which layer is the head?", layers, index=len(layers) - 1, key="own_layers", help=help_text("head"))
        st.button("Check with this head", on_click=form.follow, args=({"head": chosen},), type="primary")


def doors(dataset: str, model: str) -> None:
    """Draw the buttons that make the brought model the problem of all pages and open one of them."""
    about = brought.card(dataset, model)["recipe"]
    with st.container(horizontal=True):
        for label, page in DOORS:
            if st.button(label, key=f"own_{page}", on_click=problem_choice.take_problem, args=(dataset, "", model)):
                st.switch_page(page, query_params={})
    st.caption(
        "It is in the sidebar now, and every page and command takes it. A retrained reference is trained by our recipe "
        f"({about['epochs']} epochs of SGD at {about['learning_rate']:g}, {about['batch_size']} images a step), not by its "
        "makers': "
        "compare with that in mind. Methods that ask how the original was trained say that they cannot know."
    )


def kept() -> None:
    """Draw the models brought to this machine, each with a way to open and to delete it; on a public server only one's own."""
    models = [(dataset, model) for dataset, model in brought.everything() if data.is_open(dataset)]
    if not models:
        return
    st.subheader("Brought by you" if rules.is_public() else "Brought to this machine", anchor=False)
    for number, (dataset, model) in enumerate(models):
        try:
            card = brought.card(dataset, model)
        except ImuError:
            continue  # deleted by somebody else meanwhile
        with st.container(horizontal=True, vertical_alignment="center"):
            about = card["brought"]
            share = f"{percent(card['accuracies']['test'])} of {about['tested']:,} test images"
            st.markdown(f"**{model}** on {plain(dataset)} · {about['architecture']} · {share}", width="stretch")
            if st.button(
                "Open in Unlearn", key=f"own_open_{number}", on_click=problem_choice.take_problem, args=(dataset, "", model)
            ):
                st.switch_page("pages/unlearn.py", query_params={})
            with st.popover("Delete"):
                st.markdown("Its references go too, and images that were unpacked for it alone.")
                st.button("Delete it for good", key=f"own_delete_{number}", on_click=_delete, args=(dataset, model))


def _delete(dataset: str, model: str) -> None:
    if st.session_state.get("model") == model and st.session_state.get("dataset") == dataset:
        problem_choice.take_problem(EXAMPLE[0])
    try:
        st.session_state.own_said = brought_sets.remove(dataset, model)
    except ImuError as error:
        st.session_state.own_said = str(error)
    form.bringing().clear()
