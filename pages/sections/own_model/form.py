"""What somebody brings: images, checkpoint, architecture, and the details that are asked for only where they are not found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st

from imu_core import data
from imu_core.access import limits, rules
from imu_core.data import folder
from imu_core.errors import ImuError
from imu_core.glossary import help_text
from imu_core.jobs import Job
from imu_core.model_import import brought_sets, orders, own
from imu_core.models import MODELS, outside
from pages.session import visitor
from pages.widgets import progress

LARGEST_FILE = 256  # MB of an upload; larger files are named by their path
WHERE, OPEN_WHERE = ("Already here", "Folder", "Zip file"), ("Already here", "Zip file")  # the second: in a public app
HOW, OPEN_HOW = ("Upload", "Path"), ("Upload",)


def largest_file() -> int:
    """The largest upload that is allowed here, in MB: what the server's owner allows, at most `LARGEST_FILE`."""
    return min(LARGEST_FILE, limits.UPLOAD_MB.value)


def form() -> None:
    """Draw the form: images, checkpoint and network side by side, the details, and the button that checks them."""
    images, checkpoint, network = st.columns(3, gap="large")
    with images:
        st.subheader("1 · Images", anchor=False)
        wheres = OPEN_WHERE if rules.is_public() else WHERE
        where = st.segmented_control("Where they are", wheres, default=WHERE[0], key="own_where", required=True)
        _images(where)
    with checkpoint:
        st.subheader("2 · Checkpoint", anchor=False)
        hows = OPEN_HOW if rules.is_public() else HOW
        how = st.segmented_control("How it comes", hows, default=HOW[0], key="own_how", required=True)
        if how == "Upload":
            kinds = ["safetensors", "pt", "pth", "th", "ckpt", "bin"]
            most = largest_file()
            st.file_uploader("Checkpoint file", kinds, key="own_file", max_upload_size=most, help=help_text("checkpoint"))
        else:
            st.text_input("Path on this machine", key="own_path", max_chars=400, help=help_text("checkpoint"))
        st.text_input("Name", key="own_name", max_chars=40, placeholder="stranger", help="It is called own-NAME afterwards.")
    with network:
        st.subheader("3 · Network", anchor=False)
        st.selectbox(
            "Architecture", architectures(), key="own_architecture", accept_new_options=True, help=help_text("architecture")
        )
        st.selectbox(
            "Normalisation",
            list(own.NORMALISATIONS),
            key="own_normalisation",
            accept_new_options=True,
            help=help_text("normalisation"),
        )
        st.caption(own.NORMALISATIONS.get(st.session_state.own_normalisation, "MEAN,MEAN,MEAN/STD,STD,STD in units of 0 to 1"))
        st.number_input(
            "Accuracy it should reach, % (0: not known)",
            0.0,
            100.0,
            0.0,
            0.1,
            key="own_expected",
            format="%.1f",
            help=help_text("own_check"),
        )
    with st.expander("Only where it is not found by itself: the head, the order of the classes"):
        st.text_input("Head", key="own_head", max_chars=100, placeholder="fc", help=help_text("head"))
        st.text_area(
            "Class names in the checkpoint's order",
            key="own_classes",
            placeholder="cat, dog, …",
            help="With commas, a name that holds one in quotes; empty means the order of the data set, or of the folders' names.",
        )
    st.button("Check it", type="primary", on_click=start, key="own_start")


@st.cache_data(show_spinner=False)
def architectures() -> list[str]:
    """The architectures to choose from: the program's own and torchvision's classifiers. Those of timm can be typed."""
    return [*(name for name in MODELS if not name.startswith("reid") and name != "small_resnet_gr"), *outside.listed()]


def _images(where: str) -> None:
    if where == "Already here":
        names = [name for name in data.DATASETS if not data.source(name).people]
        names += [name for name in brought_sets.datasets() if data.is_open(name)]
        st.selectbox("Dataset", names, key="own_dataset", format_func=_state, help=help_text("dataset"))
        return
    if where == "Folder":
        st.text_input("Folder on this machine", key="own_folder", max_chars=400, help=help_text("own_images"))
    else:
        st.file_uploader("Zip of images", "zip", key="own_zip", max_upload_size=largest_file(), help=help_text("own_images"))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.number_input(
            "Side in pixels",
            folder.SMALLEST,
            folder.LARGEST,
            folder.USUAL_SIDE,
            key="own_side",
            help="Every image is cut to a square and scaled to this side: take the one that the network was trained with.",
        )
        if where == "Folder":
            st.checkbox("Grey", key="own_grey", help="Read one channel in place of three.")


def _state(name: str) -> str:
    return name if data.is_here(name) else f"{name} (not here yet)"


def _order() -> own.Order:
    """What the widgets say."""
    state = st.session_state
    where, zipped, file = state.own_where, state.get("own_zip"), state.get("own_file")
    dataset = state.get("own_dataset", "")
    if where == "Folder":
        dataset = f"{data.FOLDER}{state.own_folder.strip()}@{state.own_side}{'grey' if state.own_grey else ''}"
        data.check_folder(dataset)
    path = Path(state.get("own_path", "").strip())
    if state.own_how == "Path":
        rules.check(path)
    checkpoint: Any = path if state.own_how == "Path" else file.getvalue() if file else b""
    return own.Order(
        name=state.own_name.strip(),
        checkpoint=checkpoint,
        file=file.name if state.own_how == "Upload" and file else "",
        architecture=(state.own_architecture or "").strip(),
        dataset=dataset,
        normalisation=(state.own_normalisation or "").strip(),
        head=state.own_head.strip(),
        classes=orders.from_list(state.own_classes),
        expected=orders.from_percent(state.own_expected) if state.own_expected else None,
        images=zipped.getvalue() if where == "Zip file" and zipped else None,
        side=state.get("own_side", folder.USUAL_SIDE),
    )


def _missing() -> str:
    """What has not been given yet, in words."""
    state = st.session_state
    given = {
        "a name": state.own_name.strip(),
        "a checkpoint": state.get("own_file") if state.own_how == "Upload" else state.own_path.strip(),
        "images": {"Folder": state.get("own_folder", "").strip(), "Zip file": state.get("own_zip")}.get(state.own_where, "here"),
        "an architecture": state.own_architecture,
        "a normalisation": state.own_normalisation,
    }
    return " and ".join(what for what, value in given.items() if not value)


def start() -> None:
    """Put a check of what the form holds in line; where something is missing or wrong, note the sentence that says so."""
    missing = _missing()
    st.session_state.own_said = f"Still missing: {missing}." if missing else ""
    if missing:
        return
    try:
        once = [_order()]  # popped, so that no upload outlives its check
    except ImuError as error:
        st.session_state.own_said = str(error)
        return

    def make() -> own.Bringing:
        return own.Bringing(once.pop())

    title = f"Check {once[0].name[:40]}"
    job = Job(title, make, kind="training", owner=visitor.owner())
    if progress.put_in_line(job):
        bringing()["job"] = job


def bringing() -> dict[str, Job]:
    """A dictionary with the check that this visitor asked for last under "job", empty before; it outlives a reload."""
    return visitor.theirs("bringing", dict)


def follow(suggestion: dict[str, str]) -> None:
    """Fill in the form what `suggestion` says by field, and check again."""
    st.session_state.update({f"own_{name}": value for name, value in suggestion.items()})
    start()
