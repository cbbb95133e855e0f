"""The glossary: every word the pages use, a group at a time; the search goes through all, `?term=KEY` puts a term first."""

from __future__ import annotations

import difflib
import re

import streamlit as st

import imu_core.methods  # noqa: F401  (each puts in its own entry)
from imu_core.glossary import GROUPS, TERMS, Term
from pages.session import links as session_links
from pages.sidebar import navigation
from pages.widgets import bound

WIDTH = 760  # pixels: lines of about a hundred letters, whatever the window
ALL = "All"  # groups; a browser needs two seconds to set so many formulas, so one group comes first


def matches(term: Term, search: str) -> bool:
    """Whether every word of `search` occurs in the term."""
    everything = f"{term.key} {term.key.replace('_', ' ')} {term.title} {term.short} {term.text}".lower()
    return all(word in everything for word in search.lower().split())


def rank(term: Term, search: str) -> int:
    """0 when `search` names the term, 1 when it is part of its name, 2 when it stands in its text."""
    wanted, names = search.lower().strip(), (term.key, term.key.replace("_", " "), term.title.lower())
    return 0 if wanted in names else 1 if any(wanted in name for name in names) else 2


def links(keys: tuple[str, ...], here: set[str]) -> str:
    """The terms `keys` as Markdown links: a jump where the term is on this page, a page of its own where it is not."""
    return " · ".join(f"[{TERMS[key].title}]({'#' if key in here else 'glossary?term='}{key})" for key in keys)


def show(term: Term, here: set[str]) -> None:
    """Draw one entry: its name with an anchor, the sentence, the paragraph, related terms."""
    name = f"  :small[:gray[{term.key}]]" if not term.title.lower().endswith(term.key) else ""
    st.subheader(f"{term.title}{name}", anchor=term.key)
    body = term.text.replace("The trap:", "**The trap:**").replace("The traps:", "**The traps:**")
    st.markdown(f"{term.short}\n\n{body}\n\n:small[See also: {links(term.see, here)}]")


def unknown(word: str, here: set[str]) -> None:
    """Say that the link names no term, and which ones it may have meant."""
    readable = re.sub(r"[^\w :+-]", "", word)[:40]
    near = difflib.get_close_matches(word.lower()[:40], TERMS, n=3, cutoff=0.6)
    meant = f" Did you mean {links(tuple(near), here)}?" if near else ""
    st.info(f"There is no term called “{readable}” here.{meant}")


navigation.hand_over()
st.title("Glossary")
st.markdown("Every word this app uses, which way each number is good, and how it is misread.")

with st.container(width=WIDTH):
    search = bound.text_input(
        "Search",
        key="term_search",
        placeholder="a word, a setting or a symbol, such as damping",
        help="Finds every entry that holds all of your words, in its name or in its text.",
        max_chars=80,
    )
    word = session_links.word("term")
    group = bound.pills(
        "Show",
        (*GROUPS, ALL),
        default=TERMS[word].group if word in TERMS else GROUPS[0],
        key="term_group",
        disabled=bool(search),
        help="One group of terms, or all of them. A search goes through all.",
    )
    everywhere = search or group in (None, ALL)
    terms = [term for term in TERMS.values() if (everywhere or term.group == group) and matches(term, search or "")]
    here = {term.key for term in terms} | ({word} & TERMS.keys())
    if word in TERMS:
        with st.container(border=True):
            show(TERMS[word], here)
    elif word:
        unknown(word, here)
    if search:
        st.caption(f"{len(terms)} of {len(TERMS)} terms")
    if not terms:
        st.markdown("No entry holds all of these words. Try fewer, or a shorter one.")
    rest = [term for term in terms if term.key != word]
    if search:
        for term in sorted(rest, key=lambda term: rank(term, search)):
            show(term, here)
    else:
        for name in dict.fromkeys(term.group for term in rest):
            st.header(name, anchor=False, divider="gray")
            for term in rest:
                if term.group == name:
                    show(term, here)
