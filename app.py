"""The app: navigation, and the sidebar that names the problem on every page."""

import streamlit as st

from pages import _parts

st.set_page_config(page_title="IMU: machine unlearning, live", page_icon=":material/ink_eraser:", layout="wide")

page = st.navigation(
    {
        "": [st.Page("pages/start.py", title="Start", icon=":material/play_circle:", default=True)],
        "Look": [st.Page("pages/influence.py", title="Influence", icon=":material/scatter_plot:", url_path="influence")],
        "Run": [st.Page("pages/unlearn.py", title="Unlearn", icon=":material/ink_eraser:", url_path="unlearn")],
        "Read": [st.Page("pages/glossary.py", title="Glossary", icon=":material/menu_book:", url_path="glossary")],
    }
)
_parts.sidebar()
page.run()
