"""The documentation, one document at a time as it lies in assets/docs: `?doc=NAME`; the list of all where the link names none."""

from __future__ import annotations

import re
from collections.abc import Iterator

import streamlit as st
from markdown_it import MarkdownIt

from imu_core import runtime
from pages.session import links
from pages.sidebar import navigation
from pages.widgets import asked

FOLDER = runtime.ASSETS / "docs"
LIST = "README"  # the document that names the others
WIDTH = 860  # pixels: lines of about a hundred letters; tables and commands take the whole window
MANY = 4  # sections, from which on they are listed at the top
_PICTURE = re.compile(r"!\[(.*)\]\((.+)\)")
_OTHER = re.compile(r"\]\((\w+)\.md(#[\w-]+)?\)")  # a link to another document
_ENTRY = re.compile(r"- \[(.+)\]\((\w+)\.md\): (.+)")  # a line of the list
_TITLES = {"h1": st.title, "h2": st.header, "h3": st.subheader}
# A table scrolls by itself where the window is narrow, and a number is never broken in two.
LAYOUT = """<style>
.st-key-document [data-testid="stMarkdownContainer"] { overflow-x: auto; }
.st-key-document td[style*="right"] { white-space: nowrap; }
</style>"""


def blocks(text: str) -> Iterator[tuple[str, str]]:
    """Yield the blocks of a document as (kind, text), without comments; kinds: h1 … h3, code, python, table, picture, text."""
    lines = text.splitlines()
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        if token.level or token.nesting < 0 or token.type == "html_block":
            continue
        part = "\n".join(lines[slice(*token.map)]).strip("\n")
        if token.type in ("fence", "code_block"):
            yield token.info or "code", token.content
        elif token.type == "heading_open":
            yield token.tag, part.lstrip("# ")
        elif token.type == "table_open":
            yield "table", part
        else:
            yield ("picture" if _PICTURE.fullmatch(part) else "text"), part


def anchor(title: str) -> str:
    """The anchor of the section `title`, by the rule of GitHub: small letters, a hyphen for each space, no other signs."""
    return re.sub(r"[^\w -]", "", title.lower()).strip().replace(" ", "-")


def draw(kind: str, part: str) -> None:
    """Draw one block of a document; its links to other documents lead to this page."""
    if kind in _TITLES:
        _TITLES[kind](part, anchor=anchor(part))
    elif kind in ("code", "python"):
        st.code(part.rstrip(), language=kind if kind == "python" else None)
    elif kind == "picture":
        alt, where = _PICTURE.fullmatch(part).groups()
        st.image(FOLDER / where, alt=alt)
    else:
        linked = _OTHER.sub(lambda link: f"](docs?doc={link[1]}{link[2] or ''})", part)
        st.markdown(linked, width="stretch" if kind == "table" else WIDTH)


def show(name: str) -> None:
    """Draw a document; below its title the way back to the list, and links to its sections where it has many."""
    (kind, title), *rest = blocks((FOLDER / f"{name}.md").read_text(encoding="utf-8"))
    draw(kind, title)
    leading("All documents", ":material/arrow_back:")
    sections = [part for kind, part in rest if kind == "h2"]
    if len(sections) >= MANY:
        st.markdown(" · ".join(f"[{section}](#{anchor(section)})" for section in sections), width=WIDTH)
    with st.container(key="document"):
        st.html(LAYOUT)
        for kind, part in rest:
            draw(kind, part)


def leading(label: str, icon: str, *name: str) -> None:
    """Draw a button to the document `name`, or to the list; a link from a page to itself would leave the address as it is."""
    st.button(label, key=f"doc_{''.join(name)}", icon=icon, type="tertiary", on_click=links.rewrite, args=("doc", name))


def overview() -> None:
    """Draw the list: every document's name and what it says."""
    st.title("Docs")
    st.markdown("How to use it, what was measured, and how it is built.")
    for title, name, words in _ENTRY.findall((FOLDER / f"{LIST}.md").read_text(encoding="utf-8")):
        leading(f"**{title}**: {words}", ":material/description:", name)


def chosen() -> str:
    """The name of the document that the link asks for; `LIST` where it asks for none, or for an unknown one, which is said."""
    word = links.word("doc")
    wish = asked.choice([word], sorted(path.stem for path in FOLDER.glob("*.md") if path.stem != LIST))
    if wish.wrong:
        links.refuse("doc", wish, "the list of all documents")
        links.rewrite("doc")
    return wish.value if wish.had else LIST


navigation.hand_over()
name = chosen()
if name == LIST:
    overview()
else:
    show(name)
