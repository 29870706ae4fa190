"""A file or folder that takes its name when all of it is written."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from bge_micro.atomic.files import (
    copy_access,
    create_file,
    make_folder_of,
    publish_file,
    sync_folder,
)
from bge_micro.atomic.locks import lock_handle
from bge_micro.atomic.names import (
    WINDOWS,
    find_own,
    followed,
    naming,
    partial_path,
    target_of,
)

# Before it is locked, a new partial file looks like the file of a killed writer.
_LEFTOVER_SECONDS = 10.0


@contextmanager
def atomic_file(path: str | Path) -> Iterator[IO[bytes]]:
    """Yield an empty file to write and read; after the body it gets its name.

    An existing file is replaced then; if the body fails, it stays as it was. Errors of writing name
    `path`.

    Args:
        path: The file to make or replace, with the folders above it; a symbolic link means the
            file that it points to.

    Raises:
        ValueError: `path` is a folder, pipe or device.
        OSError: It cannot be written.
    """
    target = target_of(path)
    make_folder_of(target, shown=path)
    _remove_leftovers(target)
    partial = partial_path(target)
    file = create_file(partial, target, shown=path)
    try:
        yield file
        publish_file(file, partial, target, shown=path)
    finally:
        with suppress(OSError):  # after a failure; `publish_file` has closed it otherwise
            file.close()
        with suppress(OSError):
            partial.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Yield an empty folder to fill; after the body it gets its name, with all its files.

    If the body fails, nothing is left. Errors name `path`, or the file in it.

    Args:
        path: The folder to make, with the folders above it. It may exist if it is empty.

    Raises:
        FileExistsError: It exists and is not an empty folder, before or after the body.
        OSError: It cannot be written.
    """
    target = followed(path)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise FileExistsError(f"{path}: exists and is not an empty folder; remove it first.")
    partial = partial_path(target)
    make_folder_of(target, shown=path)
    with _naming_in(path, partial):
        _remove_leftovers(target)
        partial.mkdir()
        try:
            with _held(partial, target):
                yield partial
                _sync_all(partial)
                _rename_folder(partial, target, path)
            sync_folder(target.parent)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _sync_all(top: Path) -> None:
    for folder, _, files in os.walk(top, topdown=False):
        for name in files:
            with naming(Path(folder, name)), open(Path(folder, name), "r+b") as file:
                os.fsync(file.fileno())  # open for writing: Windows syncs no other
        sync_folder(Path(folder))


@contextmanager
def _held(partial: Path, target: Path) -> Iterator[None]:
    """Lock a new folder and give it the permissions of its target; on Windows do nothing."""
    if WINDOWS:
        yield
        return
    handle = os.open(partial, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        lock_handle(handle)
        copy_access(handle, target, 0o700)  # which we must write to
        yield
    finally:
        os.close(handle)


def _rename_folder(partial: Path, target: Path, shown: str | Path) -> None:
    try:
        if WINDOWS and target.exists():  # which renames over no folder, not even an empty one
            target.rmdir()
        partial.rename(target)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
            raise
        raise FileExistsError(
            f"{shown}: another process has written it meanwhile; its folder was left as it is."
        ) from error


def _remove_leftovers(target: Path) -> None:
    """Remove the partial files of killed writers of a target, not those of running ones."""
    if WINDOWS:  # which has no lock that tells the two apart
        return
    with suppress(OSError):  # a folder that cannot be listed is no reason not to write
        for path in find_own(target):
            with suppress(OSError):
                _remove_leftover(path)


def _remove_leftover(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        found = os.fstat(handle)
        if time.time() - found.st_ctime < _LEFTOVER_SECONDS or not lock_handle(handle):
            return
        if stat.S_ISDIR(found.st_mode):
            shutil.rmtree(path)
        else:
            path.unlink()
    finally:
        os.close(handle)


@contextmanager
def _naming_in(path: str | Path, partial: Path) -> Iterator[None]:
    """Have OSErrors of the body name files as they will be called; a full disk names the folder."""
    try:
        yield
    except OSError as error:
        if isinstance(error.filename, str | Path):
            with suppress(ValueError):
                rest = Path(error.filename).relative_to(partial)
                error.filename = str(Path(path) / rest)
                del error.filename2
        elif error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            error.filename = str(path)
        raise
