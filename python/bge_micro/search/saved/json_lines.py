"""Texts, ids or metadata of a saved index: a JSON value a line, decoded when asked for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import IO, Any, NoReturn, overload

import numpy as np
from numpy.typing import NDArray

from bge_micro.search.saved.facts import damaged
from bge_micro.search.saved.stored_file import StoredFile

# The mask of a large file would be as large as the file.
_PIECE_BYTES = 1 << 24

# What a line of each kind of file may be, and how a message says it.
_EXPECTED: dict[str, tuple[tuple[type, ...], str]] = {
    "texts": ((str,), "a JSON string"),
    "ids": ((str, type(None)), "a JSON string or null"),
    "metadata": ((object,), "a JSON value"),
}


class JsonLines(Sequence[Any]):
    """The values, by row."""

    def __init__(self, kind: str, stored: StoredFile, file: IO[bytes], rows: int) -> None:
        """Find the lines of an open file.

        Args:
            kind: "texts", "ids" or "metadata".
            stored: The bytes.
            file: The same file, open.
            rows: How many lines it must have.

        Raises:
            SavedIndexError: There are not so many, or the last one has no end.
        """
        self._types, self._expected = _EXPECTED[kind]
        self._stored = stored
        # Before each line, and behind the last one.
        self._ends = np.concatenate([np.array([-1], np.int64), *_ends_of_lines(file, stored.size)])
        if len(self) != rows:
            raise damaged(stored.path, f"has {len(self)} lines, expected {rows}")
        if self._ends[-1] != stored.size - 1:
            raise damaged(stored.path, f"does not end with line {rows}")

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._ends) - 1

    @overload
    def __getitem__(self, rows: int) -> Any: ...
    @overload
    def __getitem__(self, rows: slice) -> list[Any]: ...
    def __getitem__(self, rows: int | slice) -> Any:
        """Return a value, or those of a slice.

        Raises:
            SavedIndexError: The line is no such value, or the file was cut.
        """
        if isinstance(rows, slice):
            return [self[row] for row in range(*rows.indices(len(self)))]
        row = range(len(self))[rows]
        return self._decode(self._stored.content()[self._ends[row] + 1 : self._ends[row + 1]], row)

    def _decode(self, line: bytes, row: int) -> Any:
        try:
            # One that is decoded already: json would take bytes for UTF-16 too.
            value = json.loads(line.decode("utf-8"), parse_constant=_refuse)
        except (ValueError, RecursionError) as error:
            raise self._wrong(row, f"no JSON ({error})") from None
        if not isinstance(value, self._types):
            raise self._wrong(row, f"a {type(value).__name__}")
        return value

    def _wrong(self, row: int, found: str) -> ValueError:
        return damaged(self._stored.path, f"line {row + 1} is {found}, expected {self._expected}")


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not in JSON")


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
