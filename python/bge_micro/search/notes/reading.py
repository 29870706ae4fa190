"""The text of a note, and without its front matter."""

from __future__ import annotations

import re
from pathlib import Path

# Larger ones are no notes: logs, exports. This bounds the memory too.
MOST_BYTES = 32 << 20

# The longer mark comes first: that of UTF-32 begins like that of UTF-16.
_MARKS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)

_FRONT_MATTER = re.compile(
    r"---[ \t]*\n(?:.*\n)*?(?:---|\.\.\.)[ \t]*(?:\n|\Z)"  # YAML
    r"|\+\+\+[ \t]*\n(?:.*\n)*?\+\+\+[ \t]*(?:\n|\Z)"  # TOML
)


class NoNoteError(ValueError):
    """A file cannot be read as a note; the message says why."""


def read_bytes(path: Path) -> bytes:
    """Read a note's file.

    Raises:
        NoNoteError: It cannot be read, or is too large.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise NoNoteError(f"cannot be read: {error.strerror}") from None
    if len(data) > MOST_BYTES:
        raise NoNoteError(f"has more than {MOST_BYTES} bytes")
    return data


def decode(data: bytes) -> str:
    """Return a note's text, whose lines end in a line feed.

    Raises:
        NoNoteError: It is no text in UTF-8, or in what a byte order mark names.
    """
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        name = encoding.removesuffix("-sig").upper()
        raise NoNoteError(f"is not {name}: bad byte at position {error.start + 1}") from None
    if "\0" in text:
        raise NoNoteError("holds the character 0: it is no text")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def front_matter_end(text: str) -> int:
    """Return where the text begins behind the front matter, YAML or TOML; 0 without any."""
    found = _FRONT_MATTER.match(text)
    return found.end() if found else 0
