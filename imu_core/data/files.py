"""Which files are images that are read, and which are left out, and why: one rule for folders, archives, people and faces."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import astuple
from pathlib import Path

from imu_core import names
from imu_core.access import rules
from imu_core.errors import DataError, shown
from imu_core.records.data import LeftOut, Why

IMAGES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff")
NOTE = ".left-out.json"  # in an unpacked archive: what of it was not unpacked
MOST_FILES = 400_000  # of any kind, folders too, that are looked at in one folder or archive
_GLIMPSE = 2_000  # of them, where something is wrong already and a sentence says what there is instead
_SYSTEM = {  # what systems and programs leave in folders beside files whose names start with a dot; in small letters
    "__macosx",
    "__pycache__",
    "thumbs.db",
    "ehthumbs.db",
    "ehthumbs_vista.db",
    "desktop.ini",
    "icon\r",
    "$recycle.bin",
    "system volume information",
    "@eadir",
    "lost+found",
}
_KINDS_NAMED = 6  # in a sentence; the others are counted


def is_hidden(name: str) -> bool:
    """Whether a file or folder of that name belongs to a system or a program: ._x.jpg, .DS_Store, __MACOSX, Thumbs.db …"""
    return name.startswith(".") or name.lower() in _SYSTEM


def is_image(name: str) -> bool:
    """Whether a file of that name is read as an image: its ending is one of `IMAGES`, and it is not hidden."""
    return not is_hidden(name) and ending(name) in IMAGES


def ending(name: str) -> str:
    """The ending of a file's name in small letters, with its dot; nothing where it has none."""
    return os.path.splitext(name)[1].lower().rstrip(".")


class Tally:
    """Counts what is left out while a folder or an archive is looked through."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[Why, str]] = Counter()
        self._examples: dict[tuple[Why, str], str] = {}
        self._seen, self._most = 0, MOST_FILES
        self._waiting: list[Path] = []

    def add(self, why: Why, what: str, example: str, count: int = 1) -> None:
        """Count `count` files of the kind `what`, of which `example` is one."""
        self._counts[why, what] += count
        self._examples[why, what] = min(example, self._examples.get((why, what), example))  # the same one on every machine

    def sort(self, name: str, where: str) -> bool:
        """Whether the file `name` in the folder called `where` is an image, by its name.

        Any other file is counted as left out, except those that this program itself keeps there.
        """
        self.saw()
        if name in (NOTE, rules.MARK):
            return False
        if is_hidden(name):
            self.add(Why.HIDDEN, "", f"{where}/{name}")
        elif not is_image(name):
            self.add(Why.KIND, ending(name), f"{where}/{name}")
        else:
            return True
        return False

    def saw(self) -> None:
        """Count one more file as looked at; a DataError where that is one too many."""
        self._seen += 1
        if self._seen > self._most:
            raise DataError(
                f"There are more than {self._most:,} files in it, and below it. Take a folder that holds the images alone."
            )

    def misplaced(self, folder: Path) -> None:
        """Have `left_out` count what lies in and below `folder`, where no images are looked for.

        A hidden folder or a link counts as one file.
        """
        if is_hidden(folder.name):
            self.add(Why.HIDDEN, "", folder.name)
        elif folder.is_symlink():
            self.add(Why.SPECIAL, "", folder.name)
        else:
            self._waiting.append(folder)

    def _count_misplaced(self) -> None:
        """Done last: most folders that are no images of one's own are found out before, and some hold a whole disk."""
        while self._waiting:
            folder = self._waiting.pop()
            for place, inside, files in os.walk(folder):
                self.saw()
                inside[:] = [name for name in inside if not is_hidden(name)]
                called = str(Path(place).relative_to(folder.parent))
                for name in files:
                    if self.sort(name, called):
                        self.add(Why.PLACE, folder.name, f"{called}/{name}")

    def instead(self) -> str:
        """The `sentence` on what is left out, to end an error with; "" where there are too many files for a quick look."""
        self._most = min(self._most, self._seen + _GLIMPSE)
        with suppress(DataError):
            return sentence(self.left_out())
        return ""

    def left_out(self) -> tuple[LeftOut, ...]:
        """What was counted, the most frequent kind first; a DataError where there are too many files to count."""
        self._count_misplaced()
        entries = [LeftOut(why, what, count, shown(self._examples[why, what])) for (why, what), count in self._counts.items()]
        return tuple(sorted(entries, key=lambda entry: (-entry.count, entry.why, entry.what)))


def images(folder: Path, tally: Tally) -> list[Path]:
    """The image files in `folder`, by name; whatever else it holds is counted in `tally`."""
    paths = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if _is(entry.is_dir):
                tally.misplaced(Path(entry.path))
            elif tally.sort(entry.name, folder.name):
                if _is(entry.is_file):
                    paths.append(Path(entry.path))
                else:  # a pipe would be waited for, a device never ends, a link leads nowhere
                    tally.add(Why.SPECIAL, "", f"{folder.name}/{entry.name}")
    return sorted(paths, key=lambda path: (names.normal(path.name), path.name))


def _is(question: Callable[[], bool]) -> bool:
    """The system's answer to `question` about an entry; False where it has none, as for a link that leads in a circle."""
    try:
        return question()
    except OSError:
        return False


def folders(folder: Path, tally: Tally | None = None) -> list[Path]:
    """The folders in `folder` that are not hidden, by name; files beside them are counted in `tally`."""
    paths = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if _is(entry.is_dir) and not is_hidden(entry.name):
                paths.append(Path(entry.path))
            elif tally is not None and tally.sort(entry.name, folder.name):
                tally.add(Why.PLACE, folder.name, f"{folder.name}/{entry.name}")
    for inner in paths:
        rules.check(inner)  # a link may lead out of what pages may read
    return sorted(paths, key=lambda path: (names.normal(path.name), path.name))


def merged(*groups: Iterable[LeftOut]) -> tuple[LeftOut, ...]:
    """All `groups` as one, files of one kind counted together."""
    tally = Tally()
    for entry in (entry for group in groups for entry in group):
        tally.add(entry.why, entry.what, entry.example, entry.count)
    return tally.left_out()


def to_text(left_out: Iterable[LeftOut]) -> str:
    """`left_out` as JSON, to be kept beside what was read."""
    return json.dumps([astuple(entry) for entry in left_out])


def from_text(text: str) -> tuple[LeftOut, ...]:
    """What `to_text` wrote; a ValueError, TypeError or KeyError where it is something else."""
    return tuple(LeftOut(Why(why), str(what), int(count), str(example)) for why, what, count, example in json.loads(text))


def sentence(left_out: Iterable[LeftOut]) -> str:
    """Words on which files were left out, how many, and why; "" where none was."""
    entries = tuple(left_out)
    if not entries:
        return ""
    parts = [_words(entry) for entry in entries[:_KINDS_NAMED]]
    others = sum(entry.count for entry in entries[_KINDS_NAMED:])
    if others:
        parts.append(f"{others:,} of other kinds")
    kinds = f" Images are read as {', '.join(IMAGES)}." if any(entry.why is Why.KIND for entry in entries) else ""
    return f"Left out: {'; '.join(parts)}.{kinds}"


def _words(entry: LeftOut) -> str:
    what, many, example = entry.what, entry.count, f"such as {entry.example}"
    match entry.why:
        case Why.HIDDEN:
            return f"{many:,} hidden {_files(many)} or folder{'s' * (many != 1)} of a system or program ({example})"
        case Why.KIND:
            kind = f"{what} {_files(many)}" if what else f"{_files(many)} without an ending"
            return f"{many:,} {kind} ({example}), a kind that is not read"
        case Why.PLACE:
            return f"{many:,} image{'s' * (many != 1)} in {shown(what)}, where none is looked for ({example})"
        case Why.SPECIAL:
            lead = "is no plain file, or a link that is" if many == 1 else "are no plain files, or links that are"
            return f"{many:,} that {lead} not followed ({example})"
        case Why.FRAMES:
            return f"all but the first picture of {many:,} {_files(many)} that hold{'s' * (many == 1)} several ({example})"


def _files(count: int) -> str:
    return "file" if count == 1 else "files"
