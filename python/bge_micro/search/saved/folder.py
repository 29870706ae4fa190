"""The folder of a saved index for its writers: taken by one at a time, and kept clean."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bge_micro.atomic import atomic_file, find_own, followed, sync_folder
from bge_micro.search.saved.facts import (
    DATA_FILE,
    INDEX_FILE,
    LOCK_FILE,
    UNFINISHED_FILE,
    Facts,
    SavedIndexError,
)
from bge_micro.search.saved.fields import read_facts
from bge_micro.search.saved.lock import busy, writer_lock


def refuse_what_is_no_index(folder: Path) -> None:
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
    if not is_index and facts_of(folder) is None:
        raise _no_index(folder)


def _no_index(folder: Path) -> FileExistsError:
    return FileExistsError(f"{folder}: exists and is no index; remove it or take another name.")


def _is_ours(name: str) -> bool:
    partial = name.startswith((f".{INDEX_FILE}.", f".{UNFINISHED_FILE}."))
    return partial or name in (LOCK_FILE, UNFINISHED_FILE) or DATA_FILE.fullmatch(name) is not None


@contextmanager
def locked(folder: Path) -> Iterator[bool]:
    """Lock the folder, made if need be; remove it again if it was made and the body leaves nothing.

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
            kept = any((folder / name).exists() for name in (INDEX_FILE, UNFINISHED_FILE))
            if made and not kept:
                with suppress(OSError):  # the lock's file goes while the lock is held
                    (folder / LOCK_FILE).unlink()
                    place.rmdir()
            raise
        for path in made:
            sync_folder(path.parent)


def facts_of(folder: Path, name: str = INDEX_FILE) -> Facts | None:
    """Return what index.json or unfinished.json says; None if it is missing or damaged."""
    try:
        return read_facts(folder, name)
    except (FileNotFoundError, SavedIndexError):
        return None


def write_facts(folder: Path, facts: Facts, name: str = INDEX_FILE) -> None:
    """Replace index.json or unfinished.json; the data files are on the disk already."""
    sync_folder(folder)  # their names are there before they are named
    with atomic_file(folder / name) as file:
        file.write(facts.to_json())


def remove_leftovers(folder: Path) -> None:
    """Remove what killed writers have left: the caller holds the lock, so none of them lives.

    A reader that has read an older index.json finds its files missing then, and reads it again.
    """
    # One that cannot be read is of a newer format, or to be repaired.
    for name in (INDEX_FILE, UNFINISHED_FILE):
        if facts_of(folder, name) is None and (folder / name).exists():
            return
    found = [path for path in folder.iterdir() if DATA_FILE.fullmatch(path.name)]
    for name in (INDEX_FILE, UNFINISHED_FILE):
        found += find_own(folder / name)
    remove_unnamed(folder, found)


def remove_unnamed(folder: Path, paths: Iterable[Path]) -> None:
    """Remove those files that neither index.json nor unfinished.json names."""
    named = set()
    for name in (INDEX_FILE, UNFINISHED_FILE):
        facts = facts_of(folder, name)
        named |= set(facts.file_names if facts else ())
    for path in paths:
        if path.name not in named:
            remove(path)


def remove(path: Path) -> None:
    """Remove a file if that is possible: on Windows it may be mapped still."""
    with suppress(OSError):
        path.unlink(missing_ok=True)
