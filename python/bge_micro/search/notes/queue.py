"""Rows on their way to the index: in order, and encoded many at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bge_micro.search.known import KnownVectors
from bge_micro.search.notes.report import NotesReport
from bge_micro.search.notes.rows import NoteRow
from bge_micro.search.saved import IndexWriter, SavedIndex

# Passages that are encoded together.
_PASSAGES = 1024


class Queue:
    """Rows to be written in order: those of an index are copied, others encoded together."""

    def __init__(
        self,
        writer: IndexWriter,
        encode: Callable[[list[str]], NDArray[Any]],
        known: KnownVectors,
        report: NotesReport,
    ) -> None:
        """Take where rows are written, how they are encoded, and the vectors that are known."""
        self._writer = writer
        self._encode = encode
        self._known = known
        self._report = report
        self._waiting: list[NoteRow] = []

    def copy(self, saved: SavedIndex, rows: range) -> None:
        """Write rows of an index behind those that wait."""
        self.flush()
        part = slice(rows.start, rows.stop)
        ids, metadata = saved.ids, saved.metadata
        self._writer.append(
            saved.texts[part],
            saved.vectors[part],
            None if ids is None else ids[part],
            None if metadata is None else metadata[part],
        )

    def add(self, rows: Sequence[NoteRow]) -> None:
        """Put rows behind those that wait, and write some."""
        self._waiting += rows
        while len(self._waiting) >= _PASSAGES:
            self._write(self._waiting[:_PASSAGES])
            del self._waiting[:_PASSAGES]

    def flush(self) -> None:
        """Write the rows that wait."""
        if self._waiting:
            self._write(self._waiting)
            self._waiting = []

    def _write(self, rows: list[NoteRow]) -> None:
        vectors = [self._known.find(row.text) for row in rows]
        new = [number for number, vector in enumerate(vectors) if vector is None]
        encoded = self._encode([rows[number].text for number in new])
        for number, vector in zip(new, encoded, strict=True):
            vectors[number] = vector
        self._writer.append(
            [row.text for row in rows],
            np.stack(vectors),  # type: ignore[arg-type]
            [row.id for row in rows],
            [row.metadata for row in rows],
        )
        self._report.embedded += len(new)
        self._writer.checkpoint()
