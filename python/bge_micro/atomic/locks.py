"""Locks of open files. The system ends them with the process, however it ends."""

from __future__ import annotations

import errno
import os
import sys

# What the system says on file systems without locks.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL)

# What it says if another has the lock.
_TAKEN = (errno.EAGAIN, errno.EACCES, errno.EDEADLK)


def lock_handle(handle: int) -> bool | None:
    """Lock an open file, or on POSIX an open folder.

    Returns:
        Whether it is locked now; False if another process or thread has it, None if the file system
        has no locks.
    """
    try:
        _lock(handle)
    except OSError as error:
        if error.errno in _TAKEN:
            return False
        if error.errno in _NO_LOCKS:
            return None
        raise
    return True


if sys.platform == "win32":  # the name that mypy recognises
    import msvcrt

    def _lock(handle: int) -> None:
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)

    def unlock_handle(handle: int) -> None:
        """Let go of a lock."""
        os.lseek(handle, 0, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _lock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def unlock_handle(handle: int) -> None:
        """Let go of a lock, also if a child that was forked since then has the handle too."""
        fcntl.flock(handle, fcntl.LOCK_UN)
