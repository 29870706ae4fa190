"""The bytes of a file, read or mapped, and the checksum of just these bytes."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

from bge_micro.checkpoint.advice import refuse_pointer, refuse_pointer_file
from bge_micro.checkpoint.errors import CheckpointError, MissingFileError


class FileContent:
    """The bytes of a file as they were loaded, whatever happens to the file later.

    Attributes:
        path: The file.
        data: Its bytes; empty after `release`.
    """

    def __init__(self, path: Path, data: memoryview, mapped: os.stat_result | None) -> None:
        """Take bytes, and what the system said of the file if it is mapped; use `load_content`."""
        self.path = path
        self.data = data
        self._mapped = mapped
        self._sha256: str | None = None

    def sha256(self) -> str:
        """Return the SHA-256 of the bytes in hexadecimal.

        It is computed once. A file that another one has replaced stays mapped, so its bytes are
        still those that were loaded.

        Raises:
            CheckpointError: The file is mapped, and was written to since.
        """
        if self._sha256 is None:
            import hashlib  # OpenSSL, 3 ms of a start that needs no checksum

            self._sha256 = hashlib.sha256(self.data).hexdigest()
            self._check_map()
        return self._sha256

    def release(self) -> None:
        """Drop the bytes, of which only the checksum is needed from now on."""
        self.sha256()
        self.data = memoryview(b"")

    def _check_map(self) -> None:
        before = self._mapped
        try:
            now = os.stat(self.path)
        except OSError:
            return
        if (
            before is not None
            and os.path.samestat(before, now)
            and (before.st_mtime_ns, before.st_size) != (now.st_mtime_ns, now.st_size)
        ):
            self._sha256 = None
            raise CheckpointError(
                f"{self.path}: was written to while it was mapped, so nobody knows which weights "
                "are in use; load the model again, without mmap=True."
            )


def load_content(path: Path, map_file: bool) -> FileContent:
    """Read or map a file.

    Raises:
        MissingFileError: The file is not there.
        CheckpointError: It is no regular file, a pointer of Git LFS, or changes while it is read.
    """
    try:
        if not path.is_file() and path.exists():
            raise CheckpointError(f"{path}: expected a regular file.")
        with path.open("rb") as file:
            before = os.fstat(file.fileno())
            # An empty file cannot be mapped.
            if map_file and before.st_size > 0:
                refuse_pointer_file(path)
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
                return FileContent(path, memoryview(mapped), before)
            data = memoryview(file.read())
            after = os.fstat(file.fileno())
        refuse_pointer(path, data)
    except FileNotFoundError:
        raise MissingFileError(
            f"{path}: the file is missing; the model folder is incomplete."
        ) from None
    # If the file is cut short during the read, the length may be right and the end zeros.
    if len(data) != after.st_size or before.st_mtime_ns != after.st_mtime_ns:
        raise CheckpointError(
            f"{path}: the file changed while it was read ({before.st_size} bytes before, "
            f"{after.st_size} after); load it again when its writer is done."
        )
    return FileContent(path, data, None)
