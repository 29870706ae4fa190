"""One writer at a time: the lock of a saved index."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bge_micro.atomic import lock_handle, unlock_handle
from bge_micro.search.saved.facts import LOCK_FILE

_FLAGS = os.O_RDWR | os.O_CREAT
for _name in ("O_BINARY", "O_CLOEXEC", "O_NOINHERIT", "O_NOFOLLOW", "O_NONBLOCK"):
    _FLAGS |= getattr(os, _name, 0)


@contextmanager
def writer_lock(folder: Path) -> Iterator[bool]:
    """Keep other writers out of a folder.

    Yields:
        Whether that is certain: some network file systems have no locks.

    Raises:
        BlockingIOError: Another process, or another thread of this one, is writing there.
    """
    try:
        handle = os.open(folder / LOCK_FILE, _FLAGS, 0o666)
    except FileNotFoundError:  # a writer that failed has removed the folder just now
        raise busy(folder) from None
    try:
        locked = lock_handle(handle)
        if locked is False or (locked and not _is_in_place(handle, folder)):
            raise busy(folder)
        try:
            yield bool(locked)
        finally:
            if locked:
                unlock_handle(handle)
    finally:
        os.close(handle)


def _is_in_place(handle: int, folder: Path) -> bool:
    """Tell whether a writer that failed has not removed the file between opening and locking."""
    try:
        return os.path.samestat(os.fstat(handle), os.stat(folder / LOCK_FILE))
    except FileNotFoundError:
        return False


def busy(folder: Path) -> BlockingIOError:
    """Return the error that tells a writer of another one."""
    return BlockingIOError(
        errno.EAGAIN, "another process is writing this index; try when it is done", str(folder)
    )
