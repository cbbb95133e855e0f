"""Streamlit's own command line in a process that also knows the small set of people "crowd": what the browser tests start."""

import sys
from pathlib import Path

sys.path[:0] = map(str, Path(__file__).resolve().parents[1:3])  # tests, and the project

from conftest import register_people  # noqa: E402
from streamlit.web.cli import main  # noqa: E402

from pages.sidebar import problem_choice  # noqa: E402

register_people("crowd", crowd=True)
problem_choice.USUAL["reidentify"] = "crowd"  # what Re-identify opens with; reading all people takes half a minute
main()
