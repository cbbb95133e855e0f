"""Streamlit's own command line in a process that also knows the small set of people "crowd": what the browser tests start."""

from conftest import register_people
from streamlit.web.cli import main

register_people("crowd", with_reference=True)
main()
