"""Create, open, lock and publish one file; permissions of new files."""

from __future__ import annotations

import errno
import io
import os
import stat
from pathlib import Path
from typing import IO

from bge_micro.atomic.locks import lock_handle
from bge_micro.atomic.names import WINDOWS, is_own, naming

_FLAGS = os.O_RDWR
for _name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY", "O_NOINHERIT"):
    _FLAGS |= getattr(os, _name, 0)


def create_file(partial: Path, target: Path, *, shown: str | Path) -> IO[bytes]:
    """Create a file, locked, with the permissions of its target.

    Args:
        partial: The name, of `partial_path`.
        target: The file that it is to become.
        shown: What errors of writing call it.

    Raises:
        OSError: It cannot be created. FileExistsError if there is such a name.
    """
    mode = 0o600 if target.exists() else 0o666
    with naming(shown):
        file = _NamedFile(os.open(partial, os.O_CREAT | os.O_EXCL | _FLAGS, mode), shown)
        copy_access(file.fileno(), target, 0o600)
    lock(file, partial)
    return io.BufferedRandom(file)


def make_folder_of(target: Path, *, shown: str | Path) -> None:
    """Make the folders above a file or folder, if they are missing.

    Args:
        target: The file or folder that is to be made in them.
        shown: What errors call it.

    Raises:
        NotADirectoryError: There is a file where a folder belongs.
        OSError: They cannot be made.
    """
    made = [folder for folder in target.parents if not folder.exists()]
    top = target.parents[len(made)]
    if not top.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, f"{top} is a file, expected a folder", str(shown))
    with naming(shown):
        target.parent.mkdir(parents=True, exist_ok=True)
    for folder in made:
        sync_folder(folder.parent)


def open_own(path: Path, *, shown: str | Path) -> IO[bytes]:
    """Open an existing file that we own, to read and write it.

    Raises:
        PermissionError: It is not a regular file, not ours, or has a second name.
        OSError: It cannot be opened.
    """
    with naming(path):
        file = _NamedFile(os.open(path, _FLAGS), shown)
        if not is_own(os.fstat(file.fileno())):
            file.close()
            raise PermissionError(errno.EACCES, "is not a file of this user", str(path))
    return io.BufferedRandom(file)


def publish_file(file: IO[bytes], partial: Path, target: Path, *, shown: str | Path) -> None:
    """Flush a file to the disk, close it, and rename it to its target.

    Args:
        file: The file, of `create_file` or `open_own`.
        partial: Its name now.
        target: Its new name; an existing file is replaced.
        shown: What errors call it.
    """
    with naming(shown):
        file.flush()
        copy_access(file.fileno(), target)
        os.fsync(file.fileno())
        if WINDOWS:
            file.close()
        os.replace(partial, target)  # still locked, so that no other writer removes it
        sync_folder(target.parent)
        file.close()


def copy_access(handle: int, target: Path, more: int = 0) -> None:
    """Give an open file or folder its target's mode, and `more`, and its group, if there is one.

    If the group cannot be set, the file's own group must not gain the permissions of the target's
    group: it gets those of other users.
    """
    if WINDOWS or not target.exists():
        return
    found = target.stat()
    mode = stat.S_IMODE(found.st_mode) & 0o777 | more
    if os.fstat(handle).st_gid != found.st_gid:
        try:
            os.fchown(handle, -1, found.st_gid)
        except OSError:
            mode = mode & 0o707 | (mode & 0o007) << 3
    os.fchmod(handle, mode)


def sync_folder(folder: Path) -> None:
    """Flush the names in a folder to the disk, if the system can."""
    if WINDOWS:
        return
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except PermissionError:  # it may be written and not be read
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems
            raise
    finally:
        os.close(handle)


def lock(file: IO[bytes], path: Path) -> bool:
    """Lock a file; return whether no other process has it and `path` still names it.

    The lock ends with the process, however it ends. On Windows and on file systems without locks
    the result is True.
    """
    if not WINDOWS and lock_handle(file.fileno()) is False:
        return False
    try:
        # Between opening and locking another process may have published or removed it.
        return os.path.samestat(os.fstat(file.fileno()), os.lstat(path))
    except FileNotFoundError:
        return False


class _NamedFile(io.FileIO):
    """A file whose errors of writing name the file that it is to become."""

    def __init__(self, handle: int, shown: str | Path) -> None:
        super().__init__(handle, "r+b")
        self._shown = shown

    def write(self, data: object) -> int:
        with naming(self._shown):
            return super().write(data)  # type: ignore[arg-type]
