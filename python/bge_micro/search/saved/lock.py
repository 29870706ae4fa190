"""One writer at a time: the lock of a saved index. The system lets go of it when a process ends."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bge_micro.search.saved.facts import LOCK_FILE

_FLAGS = os.O_RDWR | os.O_CREAT
for _name in ("O_BINARY", "O_CLOEXEC", "O_NOINHERIT", "O_NOFOLLOW", "O_NONBLOCK"):
    _FLAGS |= getattr(os, _name, 0)

# What flock says on file systems without locks.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)


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
        alone = _lock(handle, folder)
        try:
            yield alone
        finally:
            if alone:
                _unlock(handle)
    finally:
        os.close(handle)


def _lock(handle: int, folder: Path) -> bool:
    try:
        _lock_handle(handle)
        # Between opening and locking a writer that failed may have removed the file.
        if os.path.samestat(os.fstat(handle), os.stat(folder / LOCK_FILE)):
            return True
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return False
        if error.errno not in (errno.EAGAIN, errno.EACCES, errno.EDEADLK, errno.ENOENT):
            raise
    raise busy(folder)


def busy(folder: Path) -> BlockingIOError:
    """Return the error that tells a writer of another one."""
    return BlockingIOError(
        errno.EAGAIN, "another process is writing this index; try when it is done", str(folder)
    )


if sys.platform == "win32":  # the name that mypy recognises
    import msvcrt

    def _lock_handle(handle: int) -> None:
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)

    def _unlock(handle: int) -> None:
        os.lseek(handle, 0, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _lock_handle(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _unlock(handle: int) -> None:
        # A child that was forked since then has the handle too, and would keep the lock.
        fcntl.flock(handle, fcntl.LOCK_UN)
