"""The rows of an index: texts, ids, metadata and vectors, of a saved index and added since."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bge_micro.search.column import Column
from bge_micro.search.labels import IdTable
from bge_micro.search.saved import (
    Facts,
    IndexChangedError,
    IndexWriter,
    SavedIndex,
    append_index,
    new_index,
)

# Rows that are written together.
_PIECE_ROWS = 1 << 16


class Contents:
    """The rows.

    Attributes:
        texts: The texts.
        ids: A string or None for each row.
        metadata: A JSON value for each row, None where none was given.
        table: The row of each id.
    """

    def __init__(self, vectors: NDArray[Any], saved: SavedIndex | None = None) -> None:
        """Take the rows of a saved index, or none.

        Args:
            vectors: Its vectors, or an array of their dtype and columns without rows.
            saved: The saved index.
        """
        rows = len(vectors)
        self.texts = Column[str](saved.texts if saved else None, rows)
        self.ids = Column["str | None"](saved.ids if saved else None, rows)
        self.metadata = Column[Any](saved.metadata if saved else None, rows)
        self.table = IdTable(self.ids)
        self._blocks = [vectors]
        self._mapped = saved  # whose vectors are the first block
        self._base = saved.facts if saved else None  # what is on the disk of the first rows

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.texts)

    def blocks(self) -> list[NDArray[Any]]:
        """Return the vectors in at most two blocks: those that were first, those added since.

        Raises:
            SavedIndexError: They are of a saved index, whose file was cut since.
        """
        if self._mapped is not None:
            self._mapped.check_length()
        if len(self._blocks) > 2:
            self._blocks[1:] = [np.concatenate(self._blocks[1:])]
        return self._blocks

    def vectors(self) -> NDArray[Any]:
        """Return the vectors in one array, (rows, columns); raises like `blocks`."""
        blocks = self.blocks()
        if len(blocks) > 1:
            self._blocks, self._mapped = [np.concatenate(blocks)], None
        return self._blocks[0]

    def extend(
        self,
        texts: Sequence[str],
        ids: Sequence[str | None],
        metadata: Sequence[Any],
        vectors: NDArray[Any],
    ) -> None:
        """Add rows."""
        self._blocks.append(vectors)
        self.ids.extend(ids)
        self.metadata.extend(metadata)
        self.texts.extend(texts)

    def remove(self, rows: Sequence[int]) -> None:
        """Remove rows; those behind them move up."""
        keep = np.delete(np.arange(len(self)), rows)
        self._blocks, self._mapped, self._base = [self.vectors()[keep]], None, None
        numbers = keep.tolist()
        self.texts.keep(numbers)
        self.ids.keep(numbers)
        self.metadata.keep(numbers)
        self.table = IdTable(self.ids)

    def save(
        self, folder: str | Path, space_id: str, options: dict[str, Any], prompt: str | None
    ) -> None:
        """Write a folder; if it holds the first rows already, only those behind them.

        Args:
            folder: The folder.
            space_id: Of the vectors.
            options: Of `encode`.
            prompt: Text that was put before each text.

        Raises:
            FileExistsError, BlockingIOError, OSError: As `Index.save`.
        """
        if self._base is not None and self._append(folder, self._base):
            return
        with new_index(folder, space_id, options, self._blocks[0], prompt=prompt) as writer:
            self._write(writer)
        self._base = writer.facts

    def _append(self, folder: str | Path, base: Facts) -> bool:
        """Append to the index in a folder; return whether it is the base."""
        try:
            with append_index(folder, base, self._blocks[0]) as writer:
                self._write(writer)
        except IndexChangedError:
            return False
        self._base = writer.facts
        return True

    def _write(self, writer: IndexWriter) -> None:
        """Write what is behind the writer's rows, in pieces, so that few texts are decoded."""
        first = 0
        for block in self.blocks():
            for at in range(max(0, writer.rows - first), len(block), _PIECE_ROWS):
                piece = block[at : at + _PIECE_ROWS]
                rows = slice(first + at, first + at + len(piece))
                writer.append(self.texts[rows], piece, self.ids[rows], self.metadata[rows])
            first += len(block)
