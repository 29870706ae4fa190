"""The texts of a saved index: lines of a file, each a JSON string, decoded when asked for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import IO, overload

import numpy as np
from numpy.typing import NDArray

from bge_micro.search.saved.facts import SavedIndexError, damaged
from bge_micro.search.saved.stored_file import StoredFile

# The mask of a large file would be as large as the file.
_PIECE_BYTES = 1 << 24


class TextLines(Sequence[str]):
    """The texts, by row."""

    def __init__(self, stored: StoredFile, file: IO[bytes], rows: int) -> None:
        """Find the lines of an open file.

        Raises:
            SavedIndexError: There are not so many, or the last one has no end.
        """
        self._stored = stored
        # Before each line, and behind the last one.
        self._ends = np.concatenate([np.array([-1], np.int64), *_ends_of_lines(file, stored.size)])
        if len(self) != rows:
            raise damaged(stored.path, f"has {len(self)} lines, expected {rows}")
        if self._ends[-1] != stored.size - 1:
            raise damaged(stored.path, f"does not end with line {rows}")

    def __len__(self) -> int:
        """Return the number of texts."""
        return len(self._ends) - 1

    @overload
    def __getitem__(self, rows: int) -> str: ...
    @overload
    def __getitem__(self, rows: slice) -> list[str]: ...
    def __getitem__(self, rows: int | slice) -> str | list[str]:
        """Return a text, or those of a slice.

        Raises:
            SavedIndexError: The line is no JSON string, or the file was cut.
        """
        if isinstance(rows, slice):
            return [self[row] for row in range(*rows.indices(len(self)))]
        row = range(len(self))[rows]
        return self._decode(self._stored.content()[self._ends[row] + 1 : self._ends[row + 1]], row)

    def _decode(self, line: bytes, row: int) -> str:
        try:
            # One that is decoded already: json would take bytes for UTF-16 too.
            text = json.loads(line.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise self._no_string(row, f"no JSON ({error})") from None
        if not isinstance(text, str):
            raise self._no_string(row, f"a {type(text).__name__}")
        return text

    def _no_string(self, row: int, found: str) -> SavedIndexError:
        return damaged(self._stored.path, f"line {row + 1} is {found}, expected a JSON string")


def _ends_of_lines(file: IO[bytes], size: int) -> list[NDArray[np.int64]]:
    """Return where lines end in the first bytes of a file.

    The file is read, not mapped: it takes long enough for another process to cut it.
    """
    found = []
    file.seek(0)
    for at in range(0, size, _PIECE_BYTES):
        piece = np.frombuffer(file.read(min(_PIECE_BYTES, size - at)), np.uint8)
        found.append(np.flatnonzero(piece == ord("\n")) + at)
    return found
