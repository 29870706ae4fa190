"""The folder of a saved index.

index.json    {"format": 1, "space_id": ..., "options": of encode, "rows": ...}
vectors.npy   (rows, columns)
texts.jsonl   a JSON string a row
"""

from __future__ import annotations

import json
import mmap
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, overload

import numpy as np
from numpy.typing import NDArray

from bge_micro.vector_files import FORMATS, Block, Layout

INDEX_FILE = "index.json"
_VECTORS_FILE, _TEXTS_FILE = "vectors.npy", "texts.jsonl"
_FORMAT = 1


@dataclass(frozen=True)
class IndexFolder:
    """A saved index: vectors and texts are mapped, not read."""

    space_id: str
    options: dict[str, Any]
    vectors: NDArray[Any]
    texts: Sequence[str]


class TextLines(Sequence[str]):
    """The texts of a JSONL file, decoded one by one."""

    def __init__(self, path: Path) -> None:
        """Map the file and find its lines."""
        with path.open("rb") as file:
            empty = path.stat().st_size == 0
            self._bytes = b"" if empty else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        raw = np.frombuffer(self._bytes, np.uint8)
        # In pieces: the mask of a large file would be as large as the file.
        pieces = range(0, len(raw), 1 << 24)
        ends = [np.flatnonzero(raw[at : at + (1 << 24)] == ord("\n")) + at for at in pieces]
        self._ends = np.concatenate([np.array([-1], np.int64), *ends])

    def __len__(self) -> int:
        """Return the number of texts."""
        return len(self._ends) - 1

    @overload
    def __getitem__(self, rows: int) -> str: ...
    @overload
    def __getitem__(self, rows: slice) -> list[str]: ...
    def __getitem__(self, rows: int | slice) -> str | list[str]:
        """Return a text, or those of a slice."""
        if isinstance(rows, slice):
            return [self[row] for row in range(*rows.indices(len(self)))]
        row = range(len(self))[rows]
        text: str = json.loads(self._bytes[self._ends[row] + 1 : self._ends[row + 1]])
        return text


class IndexWriter:
    """Appends to the files of an index."""

    def __init__(self, vectors: IO[bytes], texts: IO[bytes], layout: Layout) -> None:
        """Take the open files."""
        self._npy = FORMATS["npy"](layout)
        self._vectors, self._texts = vectors, texts
        self.rows = 0
        self._npy.begin(vectors)

    def append(self, texts: Sequence[str], vectors: NDArray[Any]) -> None:
        """Write texts and their vectors."""
        self._npy.append(self._vectors, Block((), (), np.ascontiguousarray(vectors)))
        for text in texts:
            self._texts.write(json.dumps(text).encode("ascii") + b"\n")
        self.rows += len(vectors)

    def finish(self) -> None:
        """Write the number of rows."""
        self._npy.finish(self._vectors, self.rows)


@contextmanager
def new_index(
    folder: str | Path, space_id: str, options: dict[str, Any], like: NDArray[Any]
) -> Iterator[IndexWriter]:
    """Give a writer; the folder takes its name when the body is done, or does not appear.

    Args:
        folder: The folder to make. An index that is there is replaced.
        space_id: Of the vectors.
        options: Of encode, with which queries are to be encoded too.
        like: An array of the vectors' dtype and columns.

    Raises:
        FileExistsError: Something else is there.
    """
    target = Path(folder)
    if (
        target.exists()
        and not (target / INDEX_FILE).is_file()
        and (not target.is_dir() or any(target.iterdir()))
    ):
        raise FileExistsError(f"{target}: exists and is no index; remove it or take another name.")
    partial = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
    partial.mkdir(parents=True)
    try:
        layout = Layout(like.dtype, like.shape[1], space_id)
        with (
            (partial / _VECTORS_FILE).open("w+b") as vectors,
            (partial / _TEXTS_FILE).open("wb") as texts,
        ):
            writer = IndexWriter(vectors, texts, layout)
            yield writer
            writer.finish()
        facts = {"format": _FORMAT, "space_id": space_id, "options": options, "rows": writer.rows}
        (partial / INDEX_FILE).write_text(json.dumps(facts, indent=2) + "\n", encoding="ascii")
        _take_name(partial, target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _take_name(partial: Path, target: Path) -> None:
    """Rename a folder, over an old one if need be: that one is out of the way for a moment."""
    old = None
    if target.exists():
        old = target.with_name(f".{target.name}.{secrets.token_hex(4)}.old")
        os.rename(target, old)
    try:
        os.rename(partial, target)
    except OSError:
        if old is not None:
            os.rename(old, target)
        raise
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)


def open_index(folder: str | Path) -> IndexFolder:
    """Open a saved index.

    Raises:
        FileNotFoundError: There is none.
        ValueError: It is damaged, or of a newer format.
    """
    folder = Path(folder)
    text = (folder / INDEX_FILE).read_text(encoding="ascii")
    try:
        facts = json.loads(text)
        if facts["format"] != _FORMAT:
            raise ValueError(f"format {facts['format']}, expected {_FORMAT}")
        vectors = np.load(folder / _VECTORS_FILE, mmap_mode="r", allow_pickle=False)
        texts = TextLines(folder / _TEXTS_FILE)
        if not {"truncate_dim", "precision"} <= facts["options"].keys():
            raise ValueError(f"options {facts['options']}, expected truncate_dim and precision")
        if not len(vectors) == len(texts) == facts["rows"]:
            raise ValueError(
                f"{len(vectors)} vectors and {len(texts)} texts, expected {facts['rows']}"
            )
        return IndexFolder(facts["space_id"], facts["options"], vectors, texts)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{folder}: the index is damaged: {error}.") from error
