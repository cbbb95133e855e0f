"""Streamlit's own command line in a process that also knows the small set of people "crowd": what the browser tests start."""

from conftest import register_people
from streamlit.web.cli import main

from pages import _problem

register_people("crowd", crowd=True)
_problem.USUAL_PEOPLE = "crowd"  # what Re-identify opens with here; drawing and reading all people takes half a minute
main()
