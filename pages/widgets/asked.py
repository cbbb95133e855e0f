"""What the words of a link mean for a choice, a number, a switch or a text: the value, or what would have been allowed."""

from __future__ import annotations

import difflib
import math
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from imu_core.settings import between

MOST_NAMED = 12  # of what is allowed, in a sentence
SWITCH = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


@dataclass(frozen=True)
class Asked:
    """What a link asks of one widget: `value` where `had`, the words that cannot be had, and what is allowed.

    `literal`: the widget itself reads this value from these words; otherwise it has to be told.
    """

    had: bool
    value: Any = None
    literal: bool = True
    wrong: tuple[str, ...] = ()
    allowed: str = ""


NOTHING = Asked(False)


def folded(word: str) -> str:
    """`word` without its letter case, Unicode form and spacing."""
    return " ".join(unicodedata.normalize("NFKC", word).casefold().split())


def empty(words: Sequence[str]) -> bool:
    """Whether the link names the parameter without a value."""
    return not any(words)


def choice(words: Sequence[str], options: Sequence[Any], label: Callable[[Any], str] = str) -> Asked:
    """What the last of `words` asks of a widget for one of `options`: by its label on the page, or by the option itself."""
    if empty(words):
        return NOTHING
    matches = _match(words[-1], options, label)
    if matches is None:
        return Asked(False, wrong=(words[-1],), allowed=one_of([label(o) for o in options], words[-1]))
    return Asked(True, matches[0], literal=label(matches[0]) == words[-1])


def choices(words: Sequence[str], options: Sequence[Any], label: Callable[[Any], str] = str) -> Asked:
    """What `words` ask of a widget for any number of `options`: one a word, or several with commas between them."""
    if empty(words):
        return Asked(True, [])
    labels, value, wrong, literal = {label(o) for o in options}, [], [], True
    for word in filter(None, words):
        whole = _match(word, options, label) is not None
        parts = [word] if whole else [part.strip() for part in word.split(",") if part.strip()]
        literal &= word in labels
        for part in parts:
            matches = _match(part, options, label)
            wrong += [part] if matches is None else []
            value += [o for o in matches or () if o not in value]
    allowed = one_of([label(o) for o in options], wrong[0]) if wrong else ""
    return Asked(bool(value), value, literal and not wrong, tuple(wrong), allowed)


def _match(word: str, options: Sequence[Any], label: Callable[[Any], str]) -> list[Any] | None:
    """[the option] that `word` names, exactly or but for its letter case; None where there is none, or more than one."""
    for same in (lambda a: a == word, lambda a: folded(a) == folded(word)):
        for name in (label, str):
            matches = [o for o in options if same(name(o))]
            if len(matches) == 1:
                return matches
    return None


def number(words: Sequence[str], low: float, high: float, whole: bool, optional: bool = False, allowed: str = "") -> Asked:
    """What the last of `words` asks of a widget for a number from `low` to `high` (in a sentence: `allowed`).

    The value is None where the number is `optional` and the word is empty or "none".
    """
    word = words[-1].strip()
    if folded(word) in ("", "none") and (optional or not word):
        return Asked(True, None, literal=not word) if optional else NOTHING
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not low <= value <= high or not math.isfinite(value) or (whole and value != int(value)):
        return Asked(False, wrong=(words[-1],), allowed=allowed or between(low, high, whole))
    return Asked(True, int(value) if whole else value)


def switch(words: Sequence[str]) -> Asked:
    """What the last of `words` asks of a switch: on or off."""
    if empty(words):
        return NOTHING
    word = folded(words[-1])
    if word not in SWITCH:
        return Asked(False, wrong=(words[-1],), allowed="true or false")
    return Asked(True, SWITCH[word], literal=words[-1].lower() in ("true", "false"))


def text(words: Sequence[str], longest: int | None) -> Asked:
    """The last of a link's `words` as what a text box is to hold; any text of at most `longest` signs (None: of any length)."""
    if longest is not None and len(words[-1]) > longest:
        return Asked(False, wrong=(words[-1],), allowed=f"a text of at most {longest:,} signs")
    return Asked(True, words[-1])


def one_of(labels: Sequence[str], word: str = "") -> str:
    """The `labels` as a list in words, at most `MOST_NAMED` of them; where there are more, those most like `word` come first."""
    if not labels:
        return "nothing, as there is nothing to choose from"
    near = difflib.get_close_matches(word[:80], labels, 3, 0.5) if len(labels) > MOST_NAMED else []
    named = list(dict.fromkeys([*near, *labels]))[:MOST_NAMED]
    more = f" and {len(labels) - len(named):,} more" if len(labels) > len(named) else ""
    return ("; " if any("," in name for name in named) else ", ").join(named) + more
