"""Names of classes, files and data sets as two people, or two systems, may write them: one form to compare them in.

A Mac stores é as e with an accent behind it, Linux stores what was typed, and disks of Macs and of Windows hold `Cat` and `cat`
for one name. Nothing here changes a name on the disk.
"""

from __future__ import annotations

import unicodedata
from pathlib import Path


def normal(text: str) -> str:
    """`text` in Unicode's composed form (NFC): é is one sign, however it was typed or stored."""
    return unicodedata.normalize("NFC", text)


def key(text: str) -> str:
    """`text` composed (NFC) and in small letters: the same text for all spellings of one name."""
    return normal(normal(text).lower())


def forms(text: str) -> tuple[str, ...]:
    """`text` as it is, composed and decomposed, each form once: how a file system may have stored it."""
    return tuple(dict.fromkeys((text, normal(text), unicodedata.normalize("NFD", text))))


def spelt(path: Path) -> Path:
    """`path` as the disk spells it, composed or decomposed; from the first name that is not there on it stays as given."""
    spelling = Path(path.anchor)
    for part in path.parts[len(spelling.parts) :]:
        spelling = next((spelling / form for form in forms(part) if (spelling / form).exists()), spelling / part)
    return spelling
