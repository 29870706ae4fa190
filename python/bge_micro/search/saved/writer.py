"""Write a saved index, new or over an old one, safely with readers and at any kill."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from bge_micro.atomic import (
    atomic_file,
    copy_access,
    create_file,
    find_own,
    followed,
    naming,
    sync_folder,
)
from bge_micro.search.saved.facts import (
    DATA_FILE,
    INDEX_FILE,
    LOCK_FILE,
    DataFile,
    Facts,
    SavedIndexError,
    read_facts,
)
from bge_micro.search.saved.lock import busy, writer_lock
from bge_micro.vector_files import FORMATS, Block, Layout


class IndexWriter:
    """Appends to the files of an index.

    Attributes:
        rows: Rows written so far.
    """

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
    """Give a writer; when the body is done the folder holds the new index.

    Until then, and if the body fails, it holds the old one, or does not appear as an index.

    Args:
        folder: The folder, made if need be; a link to one stays a link. An index that is there is
            replaced and its files' modes are kept.
        space_id: Of the vectors.
        options: Of encode, with which queries are to be encoded too.
        like: An array of the vectors' dtype and columns.

    Raises:
        FileExistsError: Something else is there.
        BlockingIOError: Another process is writing there.
    """
    target = Path(folder)
    _refuse_what_is_no_index(target)
    with _locked(target) as alone:
        old = _facts_of(target)
        if alone:
            _remove_leftovers(target, old)
        token = secrets.token_hex(8)
        paths = [target / f"vectors-{token}.npy", target / f"texts-{token}.jsonl"]
        old_paths = [target / name for name in old.file_names] if old else []
        try:
            with (
                _new_file(paths[0], *old_paths[:1]) as vectors,
                _new_file(paths[1], *old_paths[1:]) as texts,
            ):
                writer = IndexWriter(vectors, texts, Layout(like.dtype, like.shape[1], space_id))
                yield writer
                writer.finish()
            files = [DataFile(path.name, path.stat().st_size) for path in paths]
            sync_folder(target)  # their names are on the disk before index.json names them
            with atomic_file(target / INDEX_FILE) as file:
                file.write(Facts(space_id, options, writer.rows, *files).to_json())
        finally:
            _remove_unnamed(target, paths, old_paths)


def _refuse_what_is_no_index(folder: Path) -> None:
    """Raise FileExistsError if the folder exists and no save made it."""
    try:
        names = set(os.listdir(folder))
    except FileNotFoundError:
        return
    except NotADirectoryError:
        raise _no_index(folder) from None
    ours = {name for name in names if _is_ours(name)}
    # Without index.json it may be empty, of a killed first writer, or of one that is at work.
    is_index = bool(ours) if INDEX_FILE in names else names == ours
    if not is_index and _facts_of(folder) is None:
        raise _no_index(folder)


def _no_index(folder: Path) -> FileExistsError:
    return FileExistsError(f"{folder}: exists and is no index; remove it or take another name.")


def _is_ours(name: str) -> bool:
    partial = name.startswith(f".{INDEX_FILE}.")
    return partial or name == LOCK_FILE or DATA_FILE.fullmatch(name) is not None


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Lock the folder, made if need be; remove it again if it was made and the body fails.

    Yields:
        As `writer_lock`.
    """
    place = followed(folder)  # a link may point to where nothing is yet
    made = [path for path in (place, *place.parents) if not path.exists()]
    try:
        place.mkdir(parents=True, exist_ok=True)
    except FileExistsError:  # which a writer that failed has removed since
        raise busy(folder) from None
    with writer_lock(folder) as alone:
        try:
            yield alone
        except BaseException:
            if made and not (folder / INDEX_FILE).exists():
                with suppress(OSError):  # the lock's file goes while the lock is held
                    (folder / LOCK_FILE).unlink()
                    place.rmdir()
            raise
        for path in made:
            sync_folder(path.parent)


@contextmanager
def _new_file(path: Path, old: Path | None = None) -> Iterator[IO[bytes]]:
    """Give a new file with the permissions of an old one; bring it to the disk after the body."""
    like = old or path
    with create_file(path, like, shown=path) as file:
        yield file
        with naming(path):
            file.flush()
            copy_access(file.fileno(), like)
            os.fsync(file.fileno())


def _facts_of(folder: Path) -> Facts | None:
    """Return what index.json says; None if it is missing or damaged."""
    try:
        return read_facts(folder)
    except (FileNotFoundError, SavedIndexError):
        return None


def _remove_leftovers(folder: Path, facts: Facts | None) -> None:
    """Remove what killed writers have left: the caller holds the lock, so none of them lives.

    A reader that has read an older index.json finds its files missing then, and reads it again.
    """
    if facts is None and (folder / INDEX_FILE).exists():  # of a newer format, or to be repaired
        return
    named = facts.file_names if facts else ()
    found = [path for path in folder.iterdir() if DATA_FILE.fullmatch(path.name)]
    _remove([path for path in found if path.name not in named] + find_own(folder / INDEX_FILE))


def _remove_unnamed(folder: Path, new: list[Path], old: list[Path]) -> None:
    """Remove the new files or the old ones: those that index.json does not name.

    A failure may come after index.json was replaced: its content decides.
    """
    with suppress(OSError):
        facts = _facts_of(folder)
        named = facts.file_names if facts else ()
        _remove([path for path in [*new, *(old if facts else ())] if path.name not in named])


def _remove(paths: list[Path]) -> None:
    for path in paths:
        with suppress(OSError):  # on Windows it may be mapped still: the next save removes it
            path.unlink(missing_ok=True)
