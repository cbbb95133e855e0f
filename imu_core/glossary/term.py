"""One entry of the glossary."""

from __future__ import annotations

from dataclasses import dataclass

OF_METHODS = "Methods"  # the group of every method's entry


@dataclass(frozen=True)
class Term:
    """A word and what it means: `short` is one sentence for a tooltip, `text` a paragraph (Markdown, formulas in $…$).

    `key` names the term in links and in `help_text`; settings, methods, metrics and states are keyed by the name they have in
    the code. `see` holds the keys of related terms.
    """

    key: str
    title: str
    group: str
    short: str
    text: str
    see: tuple[str, ...] = ()
