"""The app: navigation, and the sidebar that names the problem on every page."""

import streamlit as st

from pages.session import visitor
from pages.sidebar import warming

if visitor.is_starting():
    # The server loads this file to find its app, and runs it once a visit.
    app = st.App(__file__, middleware=visitor.middleware(), lifespan=warming.lifespan)
else:
    from imu_core import runtime
    from pages.session import answered, links
    from pages.sidebar import in_order, navigation
    from pages.widgets import theme

    icon = str(runtime.ASSETS / "pictures" / "icon.png")
    st.set_page_config(page_title="IMU: machine unlearning, live", page_icon=icon, layout="wide")

    page = navigation.navigation()
    theme.lay_out()
    links.read(page)
    with answered.answered():
        in_order.draw(page)
