"""Text as it may stand on a page, and the room that it takes."""

from __future__ import annotations

import re

LETTER, AROUND = 7, 20  # pixels of a letter in the head of a table, at most, and of what stands around the words


def plain(text: object) -> str:
    """`text` with every Markdown sign escaped: what a visitor typed is shown, never rendered."""
    sendable = str(text).encode("utf-8", "replace").decode()  # half a surrogate pair, as a file's name may hold, breaks the page
    return re.sub(r"([\\`*_\[\]<>$~:|#!])", r"\\\1", sendable)


def column_width(title: str, least: int = 0) -> int:
    """Pixels of a table's column that is wide enough for its `title`, and at least `least`."""
    return max(least, AROUND + LETTER * len(title))
