"""Sections of a Markdown file that a command writes: what stands between `<!-- NAME: begin -->` and `<!-- NAME: end -->`."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from imu_core import runtime
from imu_core.errors import ConfigError

LARGEST = 10 << 20  # bytes of such a file


def section(file: Path, name: str) -> str:
    """The text that stands in section `name` of `file`; ConfigError where the file has no such section."""
    return _parts(file, name)[1].strip("\n")


def put(file: Path, name: str, text: str) -> None:
    """Write `text` into section `name` of `file` in place of what stands there; the rest of the file stays.

    ConfigError where the file has no such section.
    """
    before, _, after = _parts(file, name)
    begin, end = _marks(name)
    whole = f"{before}{begin}\n{text}\n{end}{after}"
    runtime.write_whole(file, lambda part: part.write_text(whole, encoding="utf-8"))


def _marks(name: str) -> tuple[str, str]:
    return f"<!-- {name}: begin -->", f"<!-- {name}: end -->"


def _parts(file: Path, name: str) -> tuple[str, str, str]:
    """What stands before the section, in it, and after it."""
    (begin, end), text = _marks(name), ""
    with suppress(OSError, UnicodeDecodeError):
        text = runtime.read_text(file, LARGEST)
    before, _, rest = text.partition(begin)
    inside, mark, after = rest.partition(end)
    if not mark:
        raise ConfigError(f"{file} has no place for the table: it must be a text with the lines {begin} and {end}.")
    return before, inside, after
