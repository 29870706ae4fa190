"""A file of a saved index: opened without trust, mapped or read, and never used if it was cut."""

from __future__ import annotations

import os
import stat
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import IO

from bge_micro.search.saved.facts import damaged

# If the file is a pipe, opening must not wait for a writer.
_FLAGS = os.O_RDONLY
for _name in ("O_BINARY", "O_CLOEXEC", "O_NOINHERIT", "O_NONBLOCK"):
    _FLAGS |= getattr(os, _name, 0)


def open_stored(path: Path) -> IO[bytes]:
    """Open a file to read it.

    Raises:
        FileNotFoundError: There is none.
        SavedIndexError: It is no regular file.
    """
    if path.is_dir():  # which Windows does not open
        raise damaged(path, "is a folder, expected a file")
    file = os.fdopen(os.open(path, _FLAGS), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise damaged(path, "is a pipe or device, expected a file")
    return file


class StoredFile:
    """The bytes of a file that belong to the index.

    Attributes:
        path: The file.
        size: How many bytes belong to the index. The file may have more, not fewer.
    """

    def __init__(self, path: Path, file: IO[bytes], size: int, *, map_file: bool) -> None:
        """Map an open file, or read it.

        Raises:
            SavedIndexError: It is too short.
        """
        self.path = path
        self.size = size
        self._mapped: mmap | None = None
        self._read = b""
        self._check_length(os.fstat(file.fileno()).st_size)
        if not map_file:
            file.seek(0)
            self._read = file.read(size)
            # If the file is cut short during the read, the length may be right and the end zeros.
            self._check_length(min(len(self._read), os.fstat(file.fileno()).st_size))
        elif size:  # nothing cannot be mapped
            try:
                self._mapped = mmap(file.fileno(), size, access=ACCESS_READ)
            except ValueError:  # it was cut just now
                self._check_length(os.fstat(file.fileno()).st_size)
                raise

    def content(self) -> mmap | bytes:
        """Return the bytes, after a check that the file still has them.

        Reading a mapped page that the file no longer has would end the process by SIGBUS.

        Raises:
            SavedIndexError: The file was cut.
        """
        if self._mapped is None:
            return self._read
        self._check_length(self._mapped.size())
        return self._mapped

    def _check_length(self, found: int) -> None:
        if found < self.size:
            raise damaged(self.path, f"has {found} bytes, expected {self.size}: it was cut")
