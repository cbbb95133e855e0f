"""Every word the pages use, explained once: a sentence for tooltips, a paragraph for the glossary page. Pure data."""

from __future__ import annotations

from imu_core.glossary import attacks, compare, controls, endings, influence, methods, metrics, own, people, problem, runs, truth
from imu_core.glossary.term import Term

__all__ = ["GROUPS", "TERMS", "Term", "add", "help_text"]

_ALL = (
    *problem.TERMS,
    *methods.TERMS,
    *influence.TERMS,
    *truth.TERMS,
    *controls.TERMS,
    *metrics.TERMS,
    *attacks.TERMS,
    *compare.TERMS,
    *people.TERMS,
    *endings.TERMS,
    *runs.TERMS,
    *own.TERMS,
)

TERMS: dict[str, Term] = {term.key: term for term in _ALL}
GROUPS: tuple[str, ...] = tuple(dict.fromkeys(term.group for term in _ALL))


def add(term: Term) -> None:
    """Add a term that another package declares, as methods do. Where its key is taken, the earlier term stays."""
    TERMS.setdefault(term.key, term)


def help_text(key: str) -> str:
    """The tooltip of term `key`, Markdown: its one sentence and a link to the paragraph. KeyError for unknown keys."""
    return f"{TERMS[key].short} [more](glossary?term={key})"
