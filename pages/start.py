"""Start: one screen that plays by itself, from stored frames, before the engine is loaded; two doors lead on."""

from __future__ import annotations

import streamlit as st

from pages.lesson import strip
from pages.session import links
from pages.session.address import address
from pages.sidebar import navigation
from pages.stage import first
from pages.stage.stage import Look, Stage, skip_to
from pages.widgets import bound, link_box

DOORS = (
    ("pages/unlearn.py", "Run it yourself", ":material/ink_eraser:"),
    ("pages/influence.py", "Who matters most?", ":material/scatter_plot:"),
    ("pages/attack.py", "Did it really forget?", ":material/policy:"),
    ("pages/reidentify.py", "Is the person still found?", ":material/person_search:"),
)
LOOK = Look(panels=("wall", "plane"), height=262, columns=6, tile=64, pictures=24)


def play() -> Stage:
    """Draw the stage; it plays once by itself, unless the link names a step or says play=0. Returns it."""
    known, place = first.stored(), first.chosen()
    last = max(line["steps"][-1] for line in known["scenes"][place]["lines"])
    stage, rests = Stage("start", last), "step" in links.visit().asked
    bound.cursor("start", last)
    wishes = links.take("play")
    if "start_played" not in st.session_state:
        st.session_state.start_played = True
        if rests or (wishes or ["1"])[-1] == "0":
            stage.show(stage.step)
        else:
            stage.play()
    stage.draw(known["scenes"], LOOK, chosen=place, picks=known["names"], asks="What it must forget", on_pick=first.take)
    return stage


@st.fragment
def link(stage: Stage) -> None:
    """Draw the box with the whole address of this page: its class, and the step where the stage rests."""

    def draw() -> None:
        at = {} if stage.step == stage.last else {"step": stage.step}
        known = first.stored()["names"][first.chosen()]
        link_box.write(
            address("", {"forget": f"{first.CLASS}{known}", **at}), "Opens this page with the same class, at this step"
        )

    link_box.box(draw)


navigation.hand_over()
skip_to("start")
title = link_box.titled("It knows ten kinds of clothes. Make it forget.")
stage = play()
with title:
    link(stage)
with st.container(horizontal=True, gap="medium", vertical_alignment="center"):
    for page, label, icon in DOORS:
        st.page_link(page, label=f"**{label}**", icon=icon, width="content")
    strip.offer()
if not first.is_here():
    st.caption("What plays here is an example. The sidebar names your problem: the four doors lead to it.")
with st.expander("What this is, and what it cannot promise", icon=":material/info:"):
    st.markdown(
        "[Machine unlearning](glossary?term=unlearning) means making a trained model behave as if it had never seen some of its "
        "training samples, without training it again from nothing. "
        "[IMU](glossary?term=imu) does it by gradient ascent on those samples alone, pushing hardest where a sample's "
        "[influence](glossary?term=influence) is largest: the glow of a picture is its weight. "
        "The measure of everything is the [retrained model](glossary?term=retrained), drawn as a star: it never saw that data."
    )
    st.markdown(
        "- A low accuracy on the forget set is not proof that the data is gone: with the head alone changed, the features below "
        "it still hold everything they learned.\n"
        "- An attack that fails here says only that this attack failed.\n"
        "- For [random forget sets](glossary?term=random_sets) the aim is not a low accuracy but the retrained model's.\n"
        "- These are small models on small images, and the people are drawn, not photographed. What holds here may not hold for "
        "yours: the same commands run on yours.\n"
        "- Nothing here is a legal certificate of deletion."
    )
