"""A page in parts, of which one is shown at a time: so that what a visitor looks at fits on the screen."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pages.widgets import bound

EVERYTHING = "everything"


def choose(titles: Mapping[str, str], key: str) -> Callable[[str], bool]:
    """Draw the choice of a part by its title, the first one to begin with; its word stands in the link under `key`.

    Returns a function that says whether the part of that name is to be drawn: the chosen one, or each where all are asked for.
    """
    named = {**titles, EVERYTHING: "All of it"}
    first = next(iter(named))
    chosen = bound.segmented_control(
        "Part", list(named), default=first, key=key, required=True, format_func=named.get, label_visibility="collapsed", wrap=True
    )
    return lambda name: (chosen or first) in (name, EVERYTHING)
