"""Write a saved index, new or behind the rows of one, safely with readers and at any kill."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from bge_micro.search.saved.data_files import DataFiles
from bge_micro.search.saved.facts import INDEX_FILE, UNFINISHED_FILE, Facts
from bge_micro.search.saved.folder import (
    facts_of,
    locked,
    refuse_what_is_no_index,
    remove,
    remove_leftovers,
    remove_unnamed,
    write_facts,
)
from bge_micro.search.saved.lock import writer_lock
from bge_micro.vector_files import FORMATS, Block, Layout

CHECKPOINT_SECONDS = 2.0

# Lines of a column that begins late which are written together.
_LINES = 1 << 16


class IndexChangedError(Exception):
    """The folder holds another index than the one to append to, or none."""


class IndexWriter:
    """Appends to the files of an index.

    Attributes:
        rows: Rows written so far, with those of the index that is appended to.
        kept: How many of them a later run can use if this one is interrupted.
        facts: What index.json says when the body of the `with` statement is done.
    """

    def __init__(self, folder: Path, files: DataFiles, facts: Facts, like: NDArray[Any]) -> None:
        """Open the files.

        Args:
            folder: The folder.
            files: The data files.
            facts: What index.json says before anything is written: no rows, or those of the index
                that is appended to.
            like: An array of the vectors' dtype and columns.
        """
        self.rows = facts.rows
        self.kept = 0
        self.facts = facts
        self._folder = folder
        self._files = files
        self._npy = FORMATS["npy"](Layout(like.dtype, like.shape[1], facts.space_id))
        self._vectors = files.open("vectors")
        if not self._vectors.tell():
            self._npy.begin(self._vectors)
        self._lines = {"texts": files.open("texts")}
        for kind in ("ids", "metadata"):
            if kind in facts.files:
                self._lines[kind] = files.open(kind)
        unfinished = facts_of(folder, UNFINISHED_FILE)
        self._earlier = unfinished.rows if unfinished else 0
        self._noted = time.monotonic()

    def append(
        self,
        texts: Sequence[str],
        vectors: NDArray[Any],
        ids: Sequence[str | None] | None = None,
        metadata: Sequence[Any] | None = None,
    ) -> None:
        """Write rows.

        Args:
            texts: The texts.
            vectors: Their vectors, (rows, columns).
            ids: Their ids, which are not checked; None if none has one.
            metadata: Values that JSON can hold; None if none has one.
        """
        self._npy.append(self._vectors, Block((), (), np.ascontiguousarray(vectors)))
        self._append_lines("texts", texts)
        for kind, values in (("ids", ids), ("metadata", metadata)):
            if values is None or all(value is None for value in values):
                values = [None] * len(texts) if kind in self._lines else []
            self._append_lines(kind, values)
        self.rows += len(texts)

    def _append_lines(self, kind: str, values: Sequence[Any]) -> None:
        if not len(values):
            return
        if kind not in self._lines:
            self._lines[kind] = self._begin(kind)
        write = self._lines[kind].write
        for value in values:
            write(json.dumps(value, allow_nan=False).encode("ascii") + b"\n")

    def _begin(self, kind: str) -> IO[bytes]:
        """Open a file of which no row before had a value."""
        file = self._files.open(kind)
        for row in range(0, self.rows, _LINES):
            file.write(b"null\n" * min(_LINES, self.rows - row))
        return file

    def sync(self) -> Facts:
        """Bring all rows to the disk; return what index.json has to say of them."""
        end = self._vectors.tell()
        self._files.sync()  # the header counts no rows that are not there
        self._npy.finish(self._vectors, self.rows)
        self._vectors.seek(end)
        self.facts = replace(self.facts, rows=self.rows, files=self._files.sync())
        return self.facts

    def checkpoint(self) -> None:
        """Have a later run find these rows if this one is interrupted: every two seconds.

        Rows of an earlier run that was interrupted are kept until there are as many new ones.
        """
        if time.monotonic() - self._noted >= CHECKPOINT_SECONDS and self.rows >= self._earlier:
            self.keep()

    def keep(self) -> None:
        """Have a later run find these rows, now."""
        write_facts(self._folder, self.sync(), UNFINISHED_FILE)
        self.kept = self.rows
        self._noted = time.monotonic()


@contextmanager
def new_index(
    folder: str | Path,
    space_id: str,
    options: dict[str, Any],
    like: NDArray[Any],
    *,
    prompt: str | None = None,
    resume: bool = False,
) -> Iterator[IndexWriter]:
    """Give a writer; when the body is done the folder holds the new index.

    Until then, and if the body fails, it holds the old one, or does not appear as an index. Rows
    that `IndexWriter.checkpoint` has noted are kept if the body fails.

    Args:
        folder: The folder, made if need be; a link to one stays a link. An index that is there is
            replaced and its files' modes are kept.
        space_id: Of the vectors.
        options: Of encode, with which queries are to be encoded too.
        like: An array of the vectors' dtype and columns.
        prompt: Text that is put before each text; None if that is not known.
        resume: Whether rows of an interrupted run are kept until this one has as many.

    Raises:
        FileExistsError: Something else is there.
        BlockingIOError: Another process is writing there.
    """
    target = Path(folder)
    refuse_what_is_no_index(target)
    with locked(target) as alone:
        old = facts_of(target)
        if alone:
            if not resume:
                remove(target / UNFINISHED_FILE)
            remove_leftovers(target)
        facts = Facts(space_id, options, prompt, 0, {})
        with _written(target, DataFiles(target, old), facts, like, old) as writer:
            yield writer


@contextmanager
def append_index(folder: str | Path, expected: Facts, like: NDArray[Any]) -> Iterator[IndexWriter]:
    """Give a writer that appends to an index; when the body is done the folder holds all rows.

    Until then, and if the body fails, it holds the rows that it held.

    Args:
        folder: The folder.
        expected: What its index.json must say.
        like: An array of the vectors' dtype and columns.

    Raises:
        IndexChangedError: It says something else, or there is none.
        BlockingIOError: Another process is writing there.
    """
    target = Path(folder)
    if facts_of(target) != expected:
        raise IndexChangedError
    with writer_lock(target) as alone:
        if facts_of(target) != expected:
            raise IndexChangedError
        if alone:
            remove_leftovers(target)
        # Without a lock two writers could write to the same file.
        files = DataFiles(target, expected, base=expected, in_place=alone)
        with _written(target, files, expected, like, expected) as writer:
            yield writer


@contextmanager
def _written(
    folder: Path, files: DataFiles, facts: Facts, like: NDArray[Any], old: Facts | None
) -> Iterator[IndexWriter]:
    """Give a writer; after the body replace index.json and remove what it does not name."""
    unfinished = facts_of(folder, UNFINISHED_FILE)
    replaced = [folder / name for each in (old, unfinished) if each for name in each.file_names]
    writer = None
    try:
        writer = IndexWriter(folder, files, facts, like)
        yield writer
        write_facts(folder, writer.sync(), INDEX_FILE)
        if writer.kept or unfinished:
            remove(folder / UNFINISHED_FILE)
    except BaseException:
        if writer and writer.kept:
            with suppress(OSError, ValueError):  # a full disk: then an earlier checkpoint counts
                writer.keep()
        raise
    finally:
        files.close()
        with suppress(OSError):
            # A failure may come after index.json was replaced: its content decides. If it can not
            # be read, what it names is not known.
            known = facts_of(folder) or not (folder / INDEX_FILE).exists()
            remove_unnamed(folder, [*files.created, *(replaced if known else ())])
