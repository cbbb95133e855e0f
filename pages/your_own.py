"""Your own: bring a trained network and its images, check them, and take them to every other page."""

from __future__ import annotations

import streamlit as st

from imu_core.errors import ImuError
from pages.lesson import deeds
from pages.sections.own_model import form, result
from pages.sidebar import navigation
from pages.widgets.text import plain

navigation.hand_over()
st.title("Your own")
st.markdown(
    "Bring a network that you or somebody else trained. Its accuracy is checked before anything else; if it fits, every "
    "page takes it."
)
try:
    result.result(form.bringing().get("job"))
except ImuError as error:
    st.warning(plain(error))
if sentence := st.session_state.get("own_said"):
    st.warning(plain(sentence))
    st.session_state.own_said = ""
form.form()
result.kept()
rules = st.expander("What is read, and what is refused", icon=":material/info:", key="own_rules", on_change="rerun")
if rules.open:
    deeds.note("rules")
    rules.markdown(
        "- **Checkpoints**: safetensors, or a state dict that torch reads with `weights_only`; wrappers such as `state_dict` and "
        "prefixes such as `module.` are taken off. Where names differ, layers are paired in order if all shapes agree; the "
        "accuracy "
        "decides whether that was right. A pickle that wants to run something is refused, and nothing in it is run.\n"
        "- **Images**: one folder a class, in `train` and `test` (or `val`), or side by side: then a fifth of each class "
        "is kept out "
        "to test, drawn by the SHA-256 of the file names. Classes are numbered in the order of their names.\n"
        "- **Zip files** are unpacked whole or not at all; members that lead out of their folder and links are refused.\n"
        "- Nothing is kept of what is refused or stopped."
    )
