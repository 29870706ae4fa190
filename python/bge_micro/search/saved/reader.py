"""Open a saved index."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bge_micro.plan import DTYPES
from bge_micro.search.saved.facts import Facts, SavedIndexError, damaged, read_facts
from bge_micro.search.saved.stored_file import StoredFile, open_stored
from bge_micro.search.saved.text_lines import TextLines

# Each time another process must have saved between two system calls of ours.
_MOST_TRIES = 100

# What NumPy writes before the rows of a matrix. It has one form, so that nothing of a file need be
# evaluated, as `numpy.load` does; 118 is the length of what follows it.
_HEADER_BYTES = 128
_HEADER = re.compile(
    rb"\x93NUMPY\x01\x00\x76\x00\{'descr': '([^']{2,4})', 'fortran_order': False, "
    rb"'shape': \((0|[1-9]\d{0,18}), ([1-9]\d{0,8})\), \} *\n"
)


class SavedIndex:
    """A saved index: its vectors and texts stay on the disk, or are read.

    Attributes:
        space_id: Of the vectors.
        options: Of `encode`, with which they were made.
        texts: The texts, by row, decoded when asked for.
    """

    def __init__(
        self, facts: Facts, vectors: NDArray[Any], stored: StoredFile, texts: Sequence[str]
    ) -> None:
        """Take what `open_index` has found."""
        self.space_id = facts.space_id
        self.options = facts.options
        self.texts = texts
        self._vectors = vectors
        self._stored = stored

    @property
    def vectors(self) -> NDArray[Any]:
        """The vectors, (rows, columns), read-only; raises like `check_length`."""
        self.check_length()
        return self._vectors

    def check_length(self) -> None:
        """See that vectors that were taken can still be read: call it before each search.

        Raises:
            SavedIndexError: The file was cut since it was opened.
        """
        self._stored.content()


def open_index(folder: str | Path, *, mmap: bool = True) -> SavedIndex:
    """Open a saved index; while another process saves one there, the old or the new one.

    Args:
        folder: Where it is.
        mmap: Map vectors and texts instead of reading them. If another process cuts a mapped file
            short, the next use of it raises an error; but in the middle of a search the operating
            system ends this process with SIGBUS. A save never cuts a file.

    Raises:
        FileNotFoundError: There is none.
        SavedIndexError: It is damaged, or of another version's format.
    """
    folder = Path(folder)
    facts = read_facts(folder)
    for _ in range(_MOST_TRIES):
        try:
            return _open(folder, facts, mmap)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ESTALE):
                raise
            missing = Path(error.filename or folder)
        before, facts = facts, read_facts(folder)
        if facts == before:
            raise damaged(missing, "is missing, expected what index.json names")
    raise SavedIndexError(f"{folder}: is saved again and again while it is opened; try later.")


def _open(folder: Path, facts: Facts, map_files: bool) -> SavedIndex:
    vectors, stored = _open_vectors(folder, facts, map_files)
    path, size = folder / facts.texts.name, facts.texts.size
    with open_stored(path) as file:
        if size is None:
            size = file.seek(0, os.SEEK_END)
        texts = TextLines(StoredFile(path, file, size, map_file=map_files), file, facts.rows)
    return SavedIndex(facts, vectors, stored, texts)


def _open_vectors(folder: Path, facts: Facts, map_file: bool) -> tuple[NDArray[Any], StoredFile]:
    path, stated = folder / facts.vectors.name, facts.vectors.size
    dtype = DTYPES[facts.options["precision"]]
    with open_stored(path) as file:
        count, columns = _read_header(path, file.read(_HEADER_BYTES), dtype)
        if count < facts.rows or (stated is None and count > facts.rows):
            raise damaged(path, f"has {count} rows, expected {facts.rows}")
        size = _HEADER_BYTES + facts.rows * columns * dtype.itemsize
        if stated not in (size, None):
            raise damaged(
                path, f"has {stated} bytes as index.json says, expected {size} for its rows"
            )
        stored = StoredFile(path, file, size, map_file=map_file)
    shape = facts.rows, columns
    return np.ndarray(shape, dtype, stored.content(), offset=_HEADER_BYTES), stored


def _read_header(path: Path, header: bytes, dtype: np.dtype[Any]) -> tuple[int, int]:
    """Return the shape of the vectors, after a check of all else that the header says."""
    descr = np.lib.format.dtype_to_descr(dtype)
    found = _HEADER.fullmatch(header)
    if found is None or found[1].decode("latin-1") != descr:
        raise damaged(
            path,
            f"begins with {header[:80]!a}, expected NumPy's header of {descr} in C order, "
            "(rows, columns)",
        )
    return int(found[2]), int(found[3])
