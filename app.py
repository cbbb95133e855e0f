"""The app: navigation, and the sidebar that names the problem on every page."""

import streamlit as st

from pages import _visitor

if _visitor.is_starting():
    # The server loads this file to find its app, and runs it once a visit.
    app = st.App(__file__, middleware=_visitor.middleware(), lifespan=_visitor.lifespan)
else:
    from pages import _answered, _links, _parts, _problem

    st.set_page_config(page_title="IMU: machine unlearning, live", page_icon="assets/pictures/icon.png", layout="wide")

    page = _parts.navigation()
    _links.read(page)
    _problem.sidebar(page)
    _links.restore()
    with _answered.answered():
        page.run()
