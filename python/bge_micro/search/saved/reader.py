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
from bge_micro.search.saved.facts import INDEX_FILE, Facts, SavedIndexError, damaged
from bge_micro.search.saved.fields import read_facts
from bge_micro.search.saved.json_lines import JsonLines
from bge_micro.search.saved.stored_file import StoredFile, open_stored

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
    """A saved index: its data stay on the disk, or are read.

    Attributes:
        facts: What index.json says.
        texts: The texts, by row; they, ids and metadata are decoded when asked for.
        ids: A string or None for each row; None if no row has one.
        metadata: A JSON value for each row; None if no row has one.
    """

    def __init__(
        self,
        facts: Facts,
        vectors: NDArray[Any],
        stored: StoredFile,
        lines: dict[str, Sequence[Any]],
    ) -> None:
        """Take what `open_index` has found."""
        self.facts = facts
        self.texts: Sequence[str] = lines["texts"]
        self.ids: Sequence[str | None] | None = lines.get("ids")
        self.metadata: Sequence[Any] | None = lines.get("metadata")
        self._vectors = vectors
        self._stored = stored

    @property
    def space_id(self) -> str:
        """The name of the vectors' space."""
        return self.facts.space_id

    @property
    def options(self) -> dict[str, Any]:
        """The options of `encode` with which the vectors were made."""
        return self.facts.options

    @property
    def prompt(self) -> str | None:
        """The text that was put before each text; None if that is not known."""
        return self.facts.prompt

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


def open_index(folder: str | Path, *, mmap: bool = True, name: str = INDEX_FILE) -> SavedIndex:
    """Open a saved index; while another process saves one there, the old or the new one.

    Args:
        folder: Where it is.
        mmap: Map its files instead of reading them. If another process cuts a mapped file
            short, the next use of it raises an error; but in the middle of a search the operating
            system ends this process with SIGBUS. A save never cuts a file.
        name: index.json, or unfinished.json for the rows of a run that was interrupted.

    Raises:
        FileNotFoundError: There is none.
        SavedIndexError: It is damaged, or of another version's format.
    """
    folder = Path(folder)
    facts = read_facts(folder, name)
    refused = False
    for _ in range(_MOST_TRIES):
        try:
            return _open(folder, facts, mmap)
        except SavedIndexError:
            if refused:
                raise
            refused = True  # a writer that appends may be changing the vectors' header just now
            continue
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ESTALE):
                raise
            missing = Path(error.filename or folder)
        before, facts = facts, read_facts(folder, name)
        if facts == before:
            raise damaged(missing, f"is missing, expected what {name} names")
    raise SavedIndexError(f"{folder}: is saved again and again while it is opened; try later.")


def _open(folder: Path, facts: Facts, map_files: bool) -> SavedIndex:
    vectors, stored = _open_vectors(folder, facts, map_files)
    lines: dict[str, Sequence[Any]] = {
        kind: _open_lines(kind, folder, facts, map_files)
        for kind in facts.files
        if kind != "vectors"
    }
    return SavedIndex(facts, vectors, stored, lines)


def _open_lines(kind: str, folder: Path, facts: Facts, map_file: bool) -> JsonLines:
    path, size = folder / facts.files[kind].name, facts.files[kind].size
    with open_stored(path) as file:
        if size is None:
            size = file.seek(0, os.SEEK_END)
        return JsonLines(kind, StoredFile(path, file, size, map_file=map_file), file, facts.rows)


def _open_vectors(folder: Path, facts: Facts, map_file: bool) -> tuple[NDArray[Any], StoredFile]:
    path, stated = folder / facts.files["vectors"].name, facts.files["vectors"].size
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
